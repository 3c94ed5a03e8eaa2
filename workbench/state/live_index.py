"""
The live index: until when each conversation is to live, kept beside the conversations.

A conversation that is gone says nothing of why. The index does: hashes without a time to live,
which an eviction policy of the ``volatile-*`` kind leaves alone, hold for each conversation when it
was to expire, by the server's clock. It is written in the step that writes the conversation. Under
``allkeys-*`` the index is evicted like anything else, and the answer is ``unknown``.

It cannot see who deletes a conversation without it: if the server has evicted any key since it was
started, that is told as evicted.

An entry has the hash of a key, and no key. It stays for a day after its conversation has gone, and
is then taken away by one of the writes that follow. 4096 hashes keep the entries of 500,000
conversations in compact form: about 20 bytes each.
"""

import base64
import hashlib
import zlib
from dataclasses import dataclass
from typing import Final

from workbench.state.errors import Reason

__all__ = ["INDEX_PREFIX", "Entry", "Found", "entry_of", "reason"]

INDEX_PREFIX: Final = "live:"
_SHARDS: Final = 4096


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a conversation stands in the index: a hash, and a field of it."""

    index: str
    field: str


@dataclass(frozen=True, slots=True)
class Found:
    """
    What the index says of a conversation.

    Attributes:
        until_ms: when it was to expire, Unix time; negative: when it was deleted.
        now_ms: time of the same server.
        evicted_keys: how many the server has evicted since it was started.
    """

    until_ms: int
    now_ms: int
    evicted_keys: int


def entry_of(key: str) -> Entry:
    """The conversation's place in the index."""
    text = key.encode("utf-8", "surrogatepass")
    field = base64.urlsafe_b64encode(hashlib.blake2b(text, digest_size=9).digest()).decode()
    return Entry(f"{INDEX_PREFIX}{zlib.crc32(text) % _SHARDS}", field)


def reason(found: Found) -> Reason:
    """Why a conversation that the index knows is gone."""
    if found.until_ms < 0:
        return "deleted"
    if found.until_ms <= found.now_ms:
        return "expired"
    # It was to live on. If nothing was evicted, somebody deleted it who keeps no index.
    return "evicted" if found.evicted_keys else "unknown"
