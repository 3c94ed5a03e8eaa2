"""What lies under a conversation's key: made out, never changed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec
from redis import Redis

from workbench.state import IntegrityError, InvalidStateError
from workbench.state import document as documents
from workbench.state.conversation import CHANNEL_PREFIX
from workbench.state.errors import store_error
from workbench.state.head import Head

__all__ = ["GONE", "KINDS", "Kind", "Stored", "asked_for", "looked_at", "made_out", "scan"]

Kind = Literal["sound", "headless", "older", "newer", "damaged", "no conversation", "too large"]

KINDS: Final[dict[Kind, str]] = {
    "sound": "has a head, and its checksum fits",
    "headless": "written by somebody else, or before there were heads; the next update adopts it",
    "older": "of an older schema; the next update brings it to the present one",
    "newer": "of a schema that this version does not know; it is left alone",
    "damaged": "its checksum does not fit: RedisAtomic.adopt takes it over, or delete it",
    "no conversation": "not JSON, or not of the documented shape",
    "too large": f"more than {documents.DOCUMENT_BYTES_MAX:,} bytes, so it is not looked at",
}
"""What can lie there, and what that means."""

GONE: Final = -2
"""What PTTL answers where there is nothing."""

_ALL: Final = f"{CHANNEL_PREFIX}*".encode()
_BATCH_BYTES_MAX: Final = 4 * documents.DOCUMENT_BYTES_MAX


@dataclass(frozen=True, slots=True)
class Stored:
    """
    What lies under a key.

    Attributes:
        kind: one of KINDS.
        why: for what is not sound, in words.
        document: as it is stored, without its head; None if it is no JSON object.
        head: None if there is none that counts.
        value_bytes: of the text.
        ttl_s: None if it has none.
    """

    kind: Kind
    why: str
    document: dict[str, Any] | None
    head: Head | None
    value_bytes: int
    ttl_s: float | None


def made_out(text: bytes, ttl_ms: int) -> Stored:
    """
    What a text is.

    Args:
        text: as stored.
        ttl_ms: as PTTL answers.
    """
    ttl_s = ttl_ms / 1000 if ttl_ms >= 0 else None
    if len(text) > documents.DOCUMENT_BYTES_MAX:
        return Stored("too large", KINDS["too large"], None, None, len(text), ttl_s)
    stored, broken = _as_stored(text)
    try:
        head = Head.of(text)
    except IntegrityError as error:
        return Stored("damaged", f"{error}{broken}", stored, None, len(text), ttl_s)
    try:
        read = documents.decode(text, foreign=not head.text)
    except InvalidStateError as error:
        return Stored("no conversation", str(error), stored, None, len(text), ttl_s)
    kind: Kind = "sound" if head.text else "headless"
    if read["schema"] > documents.SCHEMA:
        kind = "newer"
    elif head.text and (stored or {}).get("schema") != documents.SCHEMA:
        kind = "older"
    why = "" if kind == "sound" else KINDS[kind]
    return Stored(kind, why, stored, head if head.text else None, len(text), ttl_s)


def _as_stored(text: bytes) -> tuple[dict[str, Any] | None, str]:
    """The text's object without its head; or None, and where it breaks."""
    try:
        found = msgspec.json.decode(text)
    except (ValueError, RecursionError) as error:
        return None, f" ({error})"
    if not isinstance(found, dict):
        return None, ""
    found.pop(documents.HEAD, None)
    return found, ""


def looked_at(client: Redis, keys: Sequence[bytes]) -> Iterator[tuple[bytes, Stored]]:
    """
    What lies under some keys; those that are gone are left out.

    Sizes are asked for first, and values then read a few MiB at a time; what is too large is not
    read at all. A key that holds no string is told as no conversation.
    """
    pipe = client.pipeline(transaction=False)
    for key in keys:
        pipe.strlen(key)
        pipe.pttl(key)
    replies: list[Any] = pipe.execute(raise_on_error=False)
    batch: list[bytes] = []
    batch_bytes = 0
    for key, size_bytes, ttl_ms in zip(keys, replies[::2], replies[1::2], strict=True):
        if found := _unread(size_bytes, ttl_ms):
            yield key, found
        elif ttl_ms != GONE:
            if batch and batch_bytes + size_bytes > _BATCH_BYTES_MAX:
                yield from _read(client, batch)
                batch, batch_bytes = [], 0
            batch.append(key)
            batch_bytes += size_bytes
    yield from _read(client, batch)


def _unread(size_bytes: Any, ttl_ms: Any) -> Stored | None:
    """What can be told by the size alone; None if the value is to be read."""
    if isinstance(ttl_ms, Exception):
        raise store_error(ttl_ms) from None
    ttl_s = ttl_ms / 1000 if ttl_ms >= 0 else None
    if isinstance(size_bytes, Exception):
        return _no_string(size_bytes, ttl_s)
    if size_bytes > documents.DOCUMENT_BYTES_MAX:
        return Stored("too large", KINDS["too large"], None, None, size_bytes, ttl_s)
    return None


def _read(client: Redis, keys: Sequence[bytes]) -> Iterator[tuple[bytes, Stored]]:
    pipe = client.pipeline(transaction=False)
    for key in keys:
        pipe.execute_command(*asked_for(key), NEVER_DECODE=True)  # type: ignore[no-untyped-call]
        pipe.pttl(key)
    replies: list[Any] = pipe.execute(raise_on_error=False)
    for key, text, ttl_ms in zip(keys, replies[::2], replies[1::2], strict=True):
        if isinstance(ttl_ms, Exception):
            raise store_error(ttl_ms) from None
        if isinstance(text, Exception):
            yield key, _no_string(text, ttl_ms / 1000 if ttl_ms >= 0 else None)
        elif ttl_ms != GONE:
            yield key, made_out(text, ttl_ms)


def asked_for(key: bytes) -> tuple[bytes | str | int, ...]:
    """
    The command that reads the text, or so much of it as shows that it is too large.

    Not GET: it may have grown since it was asked for its size.
    """
    return "GETRANGE", key, 0, documents.DOCUMENT_BYTES_MAX  # the last of them is included


def _no_string(error: Exception, ttl_s: float | None) -> Stored:
    if "WRONGTYPE" not in str(error):
        raise store_error(error) from None
    return Stored("no conversation", "it is no string", None, None, 0, ttl_s)


def scan(client: Redis, pattern: bytes = _ALL, *, batch: int = 200) -> Iterator[list[bytes]]:
    """
    The keys that match, in batches; the server is asked for a few at a time.

    A key may come twice, and one that is written meanwhile may be missed: that is what SCAN gives.
    It need not be text, so it is not decoded.
    """
    keys: list[bytes] = []
    for key in client.scan_iter(pattern, count=batch, NEVER_DECODE=True):
        keys.append(key)
        if len(keys) >= batch:
            yield keys
            keys = []
    if keys:
        yield keys
