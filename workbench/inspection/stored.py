"""What lies under a conversation's key: made out, never changed."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from redis import Redis

from workbench.state import IntegrityError, InvalidStateError
from workbench.state import document as documents
from workbench.state.head import Head

__all__ = ["KINDS", "PREFIX", "Kind", "Stored", "looked_at", "made_out", "scan"]

PREFIX: Final = "channel:"

Kind = Literal["sound", "headless", "newer", "damaged", "no conversation", "too large"]

KINDS: Final[dict[Kind, str]] = {
    "sound": "has a head, and its checksum fits",
    "headless": "written by somebody else, or before there were heads; the next update adopts it",
    "newer": "of a schema that this version does not know; it is left alone",
    "damaged": "its checksum does not fit: RedisAtomic.adopt takes it over, or delete it",
    "no conversation": "not JSON, or not of the documented shape",
    "too large": f"more than {documents.DOCUMENT_BYTES_MAX:,} bytes, so it is not looked at",
}
"""What can lie there, and what that means."""


@dataclass(frozen=True, slots=True)
class Stored:
    """
    What lies under a key.

    Attributes:
        kind: one of KINDS.
        why: for what is not sound, in words.
        document: without its head; None if it cannot be read.
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
    try:
        head = Head.of(text)
    except IntegrityError as error:
        return Stored("damaged", str(error), None, None, len(text), ttl_s)
    try:
        document = documents.decode(text, foreign=not head.text)
    except InvalidStateError as error:
        return Stored("no conversation", str(error), None, None, len(text), ttl_s)
    newer = document.get("schema", 0) > documents.SCHEMA
    kind: Kind = "newer" if newer else "sound" if head.text else "headless"
    why = "" if kind == "sound" else KINDS[kind]
    return Stored(kind, why, document, head if head.text else None, len(text), ttl_s)


def looked_at(client: Redis, keys: list[str]) -> dict[str, Stored]:
    """
    What lies under some keys, in one round trip; those that are gone are left out.

    A key that holds no string is told as no conversation.
    """
    pipe = client.pipeline(transaction=False)
    for key in keys:
        pipe.execute_command("GET", key, NEVER_DECODE=True)  # type: ignore[no-untyped-call]
        pipe.pttl(key)
    replies: list[Any] = pipe.execute(raise_on_error=False)
    found = {}
    for key, text, ttl_ms in zip(keys, replies[::2], replies[1::2], strict=True):
        if isinstance(text, Exception):
            ttl_s = ttl_ms / 1000 if isinstance(ttl_ms, int) and ttl_ms >= 0 else None
            found[key] = Stored("no conversation", "it is no string", None, None, 0, ttl_s)
        elif text is not None:
            found[key] = made_out(text, ttl_ms)
    return found


def scan(client: Redis, pattern: str = f"{PREFIX}*", *, batch: int = 200) -> Iterator[list[str]]:
    """
    The keys that match, in batches; the server is asked for a few at a time.

    A key may come twice, and one that is written meanwhile may be missed: that is what SCAN gives.
    """
    keys: list[str] = []
    for key in client.scan_iter(pattern, count=batch):
        keys.append(key)
        if len(keys) >= batch:
            yield keys
            keys = []
    if keys:
        yield keys
