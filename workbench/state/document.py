"""
The state document: its typed shape, its text in Redis, and how an update merges into it.

Pure: no client, no clock of its own, no randomness. A document in hand is a plain nested
``dict``; the typed shape below says which parts are fixed. Parts that it does not name are kept
as they are, so that an older service does not lose what a newer one wrote.
"""

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from workbench.state.errors import InvalidStateError
from workbench.state.migrations import SCHEMA, from_origin, migrated

__all__ = [
    "DOCUMENT_BYTES_MAX",
    "HEAD",
    "SCHEMA",
    "decode",
    "encode",
    "merged",
    "new_document",
    "plain",
    "refuse_large",
    "timestamp",
]

HEAD: Final = "_h"
"""Name of a stored document's first member, which is no part of the document."""

DOCUMENT_BYTES_MAX: Final = 1024 * 1024
"""The largest document that is read or written. The largest realistic one has 49 KB."""

_PROTECTED: Final = {
    "_metadata": "it is kept by the manager itself",
    "_validation": "it is kept by the manager itself",
    "schema": "it is kept by the manager itself",
    "channel": "set it once with initialize_channel(channel_type, identifier)",
}
_OPTIONAL_PARTS: Final = frozenset({"auth", "dashboard", "action", "active_account_id"})


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


class _OperationsValidation(msgspec.Struct):
    """Attempts, last attempts and the last error, by operation."""

    in_progress: bool
    attempts: dict[str, int]
    last_attempt: dict[str, datetime]
    error: str | None = None


class _Shape(msgspec.Struct, rename={"metadata": "_metadata", "validation": "_validation"}):
    """The fixed parts of a conversation's state. What is not named here is kept untouched."""

    channel: _Channel
    metadata: _Metadata
    validation: _OperationsValidation
    schema: int
    flow_data: _FlowData | None = None
    auth: dict[str, Any] | None = None
    dashboard: dict[str, Any] | None = None
    action: dict[str, Any] | None = None
    active_account_id: str | None = None


def timestamp(moment: datetime) -> str:
    """ISO 8601 in UTC with a Z. A naive datetime is taken as UTC."""
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return aware.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def new_document(channel_type: str, identifier: str, now: datetime) -> dict[str, Any]:
    """A conversation that has just begun."""
    return {
        "schema": SCHEMA,
        "channel": {"type": channel_type, "identifier": identifier},
        "_metadata": {"initialized_at": timestamp(now), "updated_at": timestamp(now)},
        "_validation": {"in_progress": False, "attempts": {}, "last_attempt": {}, "error": None},
    }


def plain(value: Any, *, path: str = "", depth: int = 0) -> Any:
    """
    The value as JSON can hold it: datetimes as UTC text, tuples as lists.

    Raises:
        InvalidStateError: a type that JSON has no form for, a key that is no string, nesting
            deeper than 32.
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidStateError(f"{path or 'value'}: JSON has no {value}", path=path)
        return value
    if isinstance(value, datetime):
        return timestamp(value)
    if depth >= 32:
        raise InvalidStateError(f"{path}: nested deeper than 32 levels", path=path)
    if isinstance(value, Mapping):
        result = {}
        for key, member in value.items():
            if not isinstance(key, str):
                raise InvalidStateError(
                    f"{path or 'value'}: a key is a {type(key).__name__}, not a string", path=path
                )
            below = f"{path}.{key}" if path else key
            result[key] = plain(member, path=below, depth=depth + 1)
        return result
    if isinstance(value, list | tuple):
        return [
            plain(member, path=f"{path}[{index}]", depth=depth + 1)
            for index, member in enumerate(value)
        ]
    raise InvalidStateError(
        f"{path or 'value'}: a {type(value).__name__} cannot be stored; "
        "use text, numbers, true/false, lists and dicts",
        path=path,
    )


def encode(document: Mapping[str, Any], *, exact: bool = False) -> bytes:
    """
    The document as compact JSON, checked against the documented shape.

    What is read back from it equals what was given, or it is refused.

    Args:
        document: without its head.
        exact: it is known to hold only what JSON has a form for, so this is not looked at.

    Raises:
        InvalidStateError: a part is not of its type, a value is not one of JSON, or the whole is
            too large.
    """
    _check(document)
    if HEAD in document:
        raise InvalidStateError(f"{HEAD} is the name of the head; choose another", path=HEAD)
    try:
        text = msgspec.json.encode(document)
        exact = exact or msgspec.json.decode(text) == document
    except (TypeError, ValueError, RecursionError) as error:
        plain(document)  # names the place
        raise InvalidStateError(f"the document cannot be written as JSON: {error}") from None
    if not exact:
        plain(document)
        # Tuples and datetimes, which would read back as something else.
        raise InvalidStateError(
            "a value would not read back as it is; use text, numbers, true/false, lists and dicts"
        )
    if len(text) > DOCUMENT_BYTES_MAX:
        raise InvalidStateError(
            f"the document has {len(text)} bytes, more than {DOCUMENT_BYTES_MAX}; "
            "keep large data elsewhere and store its address"
        )
    return text


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
    try:
        document: Any = msgspec.json.decode(text)
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
    if name in _PROTECTED:
        raise InvalidStateError(f"{name} cannot be updated: {_PROTECTED[name]}", path=name)
    if name in _OPTIONAL_PARTS:
        return
    if not (isinstance(value, dict) and isinstance(value.get("validation"), dict)):
        raise InvalidStateError(
            f"{name} is updated without validation; give it the part "
            "'validation': {'in_progress': ..., 'attempts': ..., 'last_attempt': ...}",
            path=f"{name}.validation",
        )


def _merged_flow(before: Mapping[str, Any] | None, update: dict[str, Any]) -> dict[str, Any]:
    data = update.get("data", {})
    if not isinstance(data, dict):
        raise InvalidStateError("flow_data.data is not an object", path="flow_data.data")
    return {**update, "data": {**((before or {}).get("data") or {}), **data}}


def _check(document: Any) -> None:
    try:
        msgspec.convert(document, _Shape)
    except msgspec.ValidationError as error:
        # msgspec ends with "- at `$.flow_data.validation`": keep the path, drop the notation.
        what, _, where = str(error).partition(" - at `$")
        path = where.rstrip("`").lstrip(".")
        raise InvalidStateError(f"{path or 'the document'}: {what}", path=path) from None
