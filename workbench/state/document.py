"""
The state document: its typed shape, its text in Redis, and how an update merges into it.

Pure: no client, no clock of its own, no randomness. A document in hand is a plain nested
``dict``; the typed shape below says which parts are fixed. Parts that it does not name are kept
as they are, so that an older service does not lose what a newer one wrote.
"""

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from workbench.state.errors import InvalidStateError, SchemaTooNewError
from workbench.state.head import HEAD_BYTES
from workbench.state.migrations import SCHEMA, from_origin, migrated

__all__ = [
    "DOCUMENT_BYTES_MAX",
    "HEAD",
    "OPTIONAL_PARTS",
    "PROTECTED",
    "SCHEMA",
    "Parts",
    "decode",
    "encode",
    "encode_parts",
    "joined",
    "merged",
    "new_document",
    "opened",
    "plain",
    "plain_parts",
    "refuse_large",
    "refuse_unlike",
    "split",
    "timestamp",
]

HEAD: Final = "_h"
"""Name of a stored document's first member, which is no part of the document."""

DOCUMENT_BYTES_MAX: Final = 1024 * 1024
"""The largest document that is read or written. The largest realistic one has 49 KB."""

DOCUMENT_DEPTH_MAX: Final = 128
"""How deep what is read or written may be nested. An update by StateManager allows 32."""

Parts = dict[str, msgspec.Raw]
"""The JSON text of each part of a document."""

PROTECTED: Final = {
    "_metadata": "it is kept by the manager itself",
    "_validation": "it is kept by the manager itself",
    "schema": "it is kept by the manager itself",
    "channel": "set it once with initialize_channel(channel_type, identifier)",
}
"""Parts that no update may name, and why."""
_PLAIN_NAME: Final = re.compile(r"(?!.*\d{5})[\w-]{1,40}", re.ASCII)
_STRING: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.S)
_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_NOTHING: Final[Mapping[str, Any]] = {}
_NOT_FINITE: Final = re.compile(rb"\xcb[\x7f\xff][\xf0-\xff]")  # how such a float begins
_pack: Final = msgspec.msgpack.Encoder().encode
_LOOKED_INTO: Final = frozenset({"schema", "channel", "flow_data", "_metadata", "_validation"})
_DEPTH_MAX: Final = 32
_SCALARS: Final = frozenset({str, int, bool, type(None)})
_TEXT_ONLY: Final = frozenset({str})
_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder().decode


class _Channel(msgspec.Struct):
    """Whose conversation it is."""

    type: str
    identifier: str


class _FlowValidation(msgspec.Struct):
    """The validation state of the flow's current step."""

    in_progress: bool
    attempts: int
    last_attempt: datetime | None
    error: str | None = None


class _FlowData(msgspec.Struct):
    """Where the conversation stands, and what it has gathered so far."""

    context: str
    component: str
    data: dict[str, Any]
    validation: _FlowValidation


class _Metadata(msgspec.Struct):
    """When the conversation began, and when it was last written."""

    initialized_at: datetime | None = None
    updated_at: datetime | None = None
    messages: list[str] = []


class _OperationsValidation(msgspec.Struct):
    """Attempts, last attempts and the last error, by operation."""

    in_progress: bool
    attempts: dict[str, int]
    last_attempt: dict[str, datetime]
    error: str | None = None


class _OptionalShape(msgspec.Struct):
    """Parts that may be missing, and are updated without a validation."""

    auth: dict[str, Any] | None = None
    dashboard: dict[str, Any] | None = None
    action: dict[str, Any] | None = None
    active_account_id: str | None = None


class _Shape(
    _OptionalShape, kw_only=True, rename={"metadata": "_metadata", "validation": "_validation"}
):
    """The fixed parts of a conversation's state. What is not named here is kept untouched."""

    channel: _Channel
    metadata: _Metadata
    validation: _OperationsValidation
    schema: int
    flow_data: _FlowData | None = None


OPTIONAL_PARTS: Final = frozenset(_OptionalShape.__struct_fields__)
"""Parts that are updated without a validation."""

_REQUIRED: Final = frozenset({"schema", "channel", "_metadata", "_validation"})


def timestamp(moment: datetime) -> str:
    """ISO 8601 in UTC with a Z. A naive datetime is taken as UTC."""
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    # "2026-01-02T03:04:05" and then the fraction, in a fifth of the time that isoformat takes.
    return f"{_encode(aware)[1:20].decode()}.{aware.microsecond // 1000:03}Z"


def new_document(channel_type: str, identifier: str, now: datetime) -> dict[str, Any]:
    """A conversation that has just begun."""
    return {
        "schema": SCHEMA,
        "channel": {"type": channel_type, "identifier": identifier},
        "_metadata": {"initialized_at": timestamp(now), "updated_at": timestamp(now)},
        "_validation": {"in_progress": False, "attempts": {}, "last_attempt": {}, "error": None},
    }


def plain(value: Any) -> Any:
    """
    The value as JSON can hold it: datetimes as UTC text, tuples as lists.

    Raises:
        InvalidStateError: a type that JSON has no form for, a key that is no string, nesting
            deeper than 32.
    """
    try:
        return _plain(value, 0)
    except _NotPlainError:
        return _named(value, "", 0)


class _NotPlainError(Exception):
    """Something that is looked at again, with the place where it stands."""


def _plain(value: Any, depth: int) -> Any:
    """A copy of what is of JSON's own types, in a third of the time that naming places takes."""
    kind = type(value)
    if kind in _SCALARS:
        return value
    if depth < _DEPTH_MAX:
        below = depth + 1
        if kind is dict and {*map(type, value)} <= _TEXT_ONLY:
            return {
                name: member if type(member) in _SCALARS else _plain(member, below)
                for name, member in value.items()
            }
        if kind is list:
            return [_plain(member, below) for member in value]
    if kind is float and math.isfinite(value):
        return value
    raise _NotPlainError


def _named(value: Any, path: str, depth: int) -> Any:
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidStateError(f"{path or 'value'}: JSON has no {value}", path=path)
        return value
    if isinstance(value, datetime):
        return timestamp(value)
    if depth >= _DEPTH_MAX:
        raise InvalidStateError(f"{path}: nested deeper than {_DEPTH_MAX} levels", path=path)
    if isinstance(value, Mapping):
        result = {}
        for key, member in value.items():
            if not isinstance(key, str):
                raise InvalidStateError(
                    f"{path or 'value'}: a key is a {type(key).__name__}, not a string", path=path
                )
            below = f"{path}.{_shown(key)}" if path else _shown(key)
            result[key] = _named(member, below, depth + 1)
        return result
    if isinstance(value, list | tuple):
        return [_named(member, f"{path}[{index}]", depth + 1) for index, member in enumerate(value)]
    raise InvalidStateError(
        f"{path or 'value'}: a {type(value).__name__} cannot be stored; "
        "use text, numbers, true/false, lists and dicts",
        path=path,
    )


def plain_parts(parts: Mapping[str, Any]) -> dict[str, Any]:
    """
    Like ``plain``, of parts by name.

    Raises:
        InvalidStateError: it is no mapping, or as ``plain``.
    """
    if not isinstance(parts, Mapping):
        raise InvalidStateError(f"a {type(parts).__name__} is given; give parts by name, as a dict")
    fixed: dict[str, Any] = plain(parts)
    return fixed


def encode(document: Mapping[str, Any]) -> bytes:
    """
    The document as compact JSON, checked against the documented shape.

    What is read back from it equals what was given, or it is refused.

    Args:
        document: without its head.

    Raises:
        InvalidStateError: a part is not of its type, a value is not one of JSON, or the whole is
            too large.
    """
    return joined(encode_parts(document))


def encode_parts(
    document: Mapping[str, Any],
    *,
    known: Mapping[str, msgspec.Raw] = _NOTHING,
    same: Mapping[str, Any] = _NOTHING,
    exact: bool = False,
) -> Parts:
    """
    Like ``encode``, part by part, with less work on the parts that did not change.

    Args:
        document: without its head.
        known: texts of the document before. A part that still has its text is not read back: it
            is what it was.
        same: the document of which they are. A part that is the same object as there is not even
            written anew, so it must not have been altered in place.
        exact: the other parts are known to hold only what JSON has a form for.

    Raises:
        InvalidStateError: a part is not of its type, or a value is not one of JSON.
    """
    _check_changed(document, same)
    if HEAD in document:
        raise InvalidStateError(f"{HEAD} is the name of the head; choose another", path=HEAD)
    if document["schema"] != SCHEMA:
        raise InvalidStateError(f"schema: what is written is of schema {SCHEMA}", path="schema")
    parts: Parts = {}
    for name, value in document.items():
        before = known.get(name)
        if before is not None and same.get(name, _NOTHING) is value:
            parts[name] = before
            continue
        try:
            text = _encode(value)
            part = msgspec.Raw(text)
            kept = exact or (part == before and not _may_hide_nan(value, text))
            if not kept:
                _refuse_deep(text)
            sound = kept or (isinstance(name, str) and _decode(text) == value)
        except (TypeError, ValueError, RecursionError) as error:
            plain(document)  # names the place
            raise InvalidStateError(f"the document cannot be written as JSON: {error}") from None
        if not sound:
            plain(document)
            # Tuples and datetimes, which would read back as something else.
            raise InvalidStateError(
                f"{_shown(name)}: a value would not read back as it is; "
                "use text, numbers, true/false, lists and dicts",
                path=_shown(name),
            )
        parts[name] = part
    return parts


def _may_hide_nan(value: Any, text: bytes) -> bool:
    """Whether the value may hold a NaN or an infinity, which JSON writes as null, like None."""
    if b"null" not in text:
        return False
    try:
        # There is no faster way to look at every number: msgpack keeps them as they are.
        return _NOT_FINITE.search(_pack(value)) is not None
    except (OverflowError, TypeError, ValueError):
        return True


def joined(parts: Parts) -> bytes:
    """
    The text of the document that has these parts.

    Raises:
        InvalidStateError: it is too large, or a part's name cannot be written.
    """
    try:
        text = _encode(parts)
    except ValueError as error:
        raise InvalidStateError(f"the document cannot be written as JSON: {error}") from None
    size_bytes = len(text) + HEAD_BYTES
    if size_bytes > DOCUMENT_BYTES_MAX:
        raise InvalidStateError(
            f"the document has {size_bytes} bytes, more than {DOCUMENT_BYTES_MAX}; "
            "keep large data elsewhere and store its address"
        )
    return text


def copied(part: Any) -> Any:
    """A part of a document, to do with as one likes."""
    return _decode(_encode(part))


def split(text: bytes) -> Parts:
    """The parts of a text that ``decode`` has taken, without its head."""
    parts = msgspec.json.decode(text, type=Parts)
    parts.pop(HEAD, None)
    return parts


def opened(text: bytes) -> tuple[dict[str, Any], Parts]:
    """
    The document of a text that we wrote, and its parts, with as little work as will do.

    Only the parts that changes look into are decoded. The others stay text in the document as well:
    they can be passed on or replaced, and are not to be read.
    """
    parts = split(text)
    document = {
        name: _decode(part) if name in _LOOKED_INTO else part for name, part in parts.items()
    }
    return document, parts


def refuse_large(text: bytes) -> None:
    """Raise InvalidStateError for a text that is too large to be looked at."""
    if len(text) > DOCUMENT_BYTES_MAX:
        raise InvalidStateError(
            f"the stored document has {len(text)} bytes, more than {DOCUMENT_BYTES_MAX}"
        )


def decode(text: bytes, *, foreign: bool = True) -> dict[str, Any]:
    """
    The document that the text holds, without its head, in the present schema.

    One of a newer schema is returned as it is: it can be read, as far as it is understood.

    Args:
        text: as stored.
        foreign: it was not written by us, so that what we never write is looked for.

    Raises:
        InvalidStateError: not JSON, not an object, a name twice in one object, too large, or not
            of the documented shape.
    """
    refuse_large(text)
    if foreign:
        _refuse_deep(text)
    try:
        document: Any = _decode(text)
        if foreign:
            # msgspec keeps the last of two members of one name, another reader the first.
            json.loads(text, object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError) as error:
        raise InvalidStateError(f"the stored document is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise InvalidStateError("the stored document is not a JSON object")
    read: dict[str, Any] = document
    read.pop(HEAD, None)
    version = read.get("schema", 0)
    if type(version) is int and version > SCHEMA:
        return read
    if foreign:
        read = from_origin(read)
    if version != SCHEMA:
        read = migrated(read)
    _check(read)
    return read


def refuse_unlike(document: Mapping[str, Any]) -> None:
    """Raise SchemaTooNewError for a newer service's document that lost the documented shape."""
    version = document["schema"]
    if version <= SCHEMA:
        return
    try:
        _check(document)
    except InvalidStateError:
        raise SchemaTooNewError(found=version, supported=SCHEMA) from None


def _refuse_deep(text: bytes) -> None:
    """Raise InvalidStateError for a text that is nested too deep to be given to a parser."""
    if text.count(b"[") + text.count(b"{") <= DOCUMENT_DEPTH_MAX:
        return
    depth = 0
    for bracket in _STRING.sub(b"", text).translate(None, _BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        if depth > DOCUMENT_DEPTH_MAX:
            raise InvalidStateError(
                f"the document is nested deeper than {DOCUMENT_DEPTH_MAX} levels"
            )


def _without_duplicates(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("a name stands twice in one object")


def merged(
    document: Mapping[str, Any], updates: Mapping[str, Any], *, now: datetime
) -> dict[str, Any]:
    """
    The document with the updates in it: ``flow_data.data`` merged one level, the rest replaced.

    Args:
        document: as it stands; it is not changed.
        updates: whole parts by name, as ``plain`` leaves them.
        now: becomes ``_metadata.updated_at``; ``initialized_at`` stays as it is.

    Raises:
        InvalidStateError: a part that may not be updated, or one without its validation; the
            message names the right way.
    """
    result = dict(document)
    for name, value in updates.items():
        _refuse_protected(name, value)
        merges = name == "flow_data"
        result[name] = _merged_flow(document.get("flow_data"), value) if merges else value
    result["_metadata"] = {**document["_metadata"], "updated_at": timestamp(now)}
    return result


def _refuse_protected(name: str, value: Any) -> None:
    if name in PROTECTED:
        raise InvalidStateError(f"{name} cannot be updated: {PROTECTED[name]}", path=name)
    if name in OPTIONAL_PARTS:
        return
    if not (isinstance(value, dict) and isinstance(value.get("validation"), dict)):
        shown = _shown(name)
        raise InvalidStateError(
            f"{shown} is updated without validation; give it the part "
            "'validation': {'in_progress': ..., 'attempts': ..., 'last_attempt': ...}",
            path=f"{shown}.validation",
        )


def _merged_flow(before: Mapping[str, Any] | None, update: dict[str, Any]) -> dict[str, Any]:
    data = update.get("data", {})
    if not isinstance(data, dict):
        raise InvalidStateError("flow_data.data is not an object", path="flow_data.data")
    return {**update, "data": {**((before or {}).get("data") or {}), **data}}


def _shown(name: object) -> str:
    """A name for an error's text: it may be a person's number, if people name parts by it."""
    text = str(name)
    return text if _PLAIN_NAME.fullmatch(text) else "[...]"


def _check_changed(document: Any, same: Mapping[str, Any]) -> None:
    """Check a document of which what is the same object as in the one before was checked there."""
    if not same or type(document) is not dict:
        _check(document)
        return
    changed = {name: part for name, part in document.items() if same.get(name, same) is not part}
    if changed.keys() <= OPTIONAL_PARTS and document.keys() >= _REQUIRED:
        _check(changed, _OptionalShape)
        return
    _check(
        {
            name: part
            for name, part in document.items()
            if name in changed or type(part) is not msgspec.Raw
        }
    )


def _check(document: Any, shape: type = _Shape) -> None:
    try:
        msgspec.convert(document, shape)
    except msgspec.ValidationError as error:
        # msgspec ends with "- at `$.flow_data.validation`": keep the path, drop the notation.
        what, _, where = str(error).partition(" - at `$")
        path = where.rstrip("`").lstrip(".")
        raise InvalidStateError(f"{path or 'the document'}: {what}", path=path) from None
