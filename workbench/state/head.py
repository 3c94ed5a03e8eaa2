"""
The head: the first member of a stored document, by which writers tell whose turn it is.

::

    {"_h":"1 cccccccc rrrrrrrrrrrr n0n0n0n0 ... n7n7n7n7"      without the spaces; then , or }

Version 1, the CRC-32 of every byte after itself, the revision, and the names of the last eight
updates, newest first. It has a fixed width, so a server can compare it without reading JSON, and
it travels inside the value, so it survives a failover, a copy and a restart. Pure: bytes in, bytes
out.
"""

import base64
import hashlib
import os
import re
import zlib
from typing import Final, Literal

import msgspec

from workbench.state.errors import IntegrityError

__all__ = [
    "ABSENT",
    "HEAD_BYTES",
    "OWN",
    "Fate",
    "Head",
    "fate",
    "name_of",
    "names_in",
    "new_update_id",
]

HEAD_BYTES: Final = 93
"""Width of a head, up to the comma or brace after it."""

_PREFIX: Final = b'{"_h":"1'
_CRC_END: Final = len(_PREFIX) + 8
_NAME_BYTES: Final = 8
_NAMES: Final = 8
_FORM: Final = re.compile(
    re.escape(_PREFIX) + rb'[0-9a-f]{8}(?P<revision>[0-9]{12})(?P<ring>[\w-]{64})"[,}]', re.ASCII
)
OWN: Final = "workbench:own:"
"""Before the name, in the id of an update that was given none."""
_OWN_ID: Final = re.compile(rf"{OWN}(?P<name>[\w-]{{8}})", re.ASCII)
_FILLERS: Final = b"A" * _NAME_BYTES * _NAMES
_SINCE: Final = re.compile(r"(?P<revision>[0-9]{1,12}):(?P<name>[\w-]{8}|)", re.ASCII)

Fate = Literal["applied", "not applied", "unknowable"]


class Head(msgspec.Struct, frozen=True):
    """
    What a document's text begins with.

    Two documents are the same one exactly if their whole heads are: after a deletion, a
    re-creation or a failover revisions repeat, names do not.

    Attributes:
        text: the bytes as stored, HEAD_BYTES of them; empty if there is no document, or one
            without a head.
        revision: how often it was written since it was created; 0 without a head.
        ring: names of the last updates, newest first, one after another; of a document without a
            head its fingerprint.
    """

    text: bytes
    revision: int
    ring: bytes

    @property
    def names(self) -> tuple[bytes, ...]:
        """Of the last updates, newest first."""
        ring = self.ring
        return tuple(ring[at : at + _NAME_BYTES] for at in range(0, len(ring), _NAME_BYTES))

    def holds(self, name: bytes) -> bool:
        """Whether the update of this name is among the last ones."""
        return name in self.ring and name in self.names

    @property
    def since(self) -> str:
        """What ``fate`` needs to know of it, as text that can be kept."""
        return f"{self.revision}:{self.ring[:_NAME_BYTES].decode()}"

    @classmethod
    def of_since(cls, since: str) -> "Head":
        """
        As much of the head as its ``since`` tells.

        Raises:
            ValueError: the text is not one.
        """
        form = _SINCE.fullmatch(since)
        if form is None:
            raise ValueError("since is not one that an AmbiguousWriteError gave")
        return cls(b"", int(form["revision"]), form["name"].encode())

    @classmethod
    def of(cls, stored: bytes) -> "Head":
        """
        The head of a stored text. One that has none, since somebody else wrote it, is known by a
        fingerprint of its bytes.

        Raises:
            IntegrityError: the text is damaged, or was changed by somebody who kept its head.
        """
        form = _FORM.match(stored)
        fits = b"%08x" % zlib.crc32(stored[_CRC_END:]) == stored[len(_PREFIX) : _CRC_END]
        if form is None and not fits and not stored.startswith(_PREFIX):
            return cls.without(stored)
        if form is None or not fits:
            raise IntegrityError(
                "the stored document is damaged, or somebody changed it and kept its head; look at "
                "it, then take it over with RedisAtomic.adopt, or delete it"
            )
        return cls(stored[:HEAD_BYTES], int(form["revision"]), form["ring"])

    @classmethod
    def without(cls, stored: bytes) -> "Head":
        """What stands for the head of a text that has none, or none that counts."""
        return cls(b"", 0, _hashed(stored))

    def followed_by(self, body: bytes, name: bytes) -> "tuple[Head, bytes]":
        """
        The document's next revision: its head, and its whole text.

        Args:
            body: a JSON object without a head.
            name: of the update that makes it.
        """
        revision = self.revision + 1
        ring = (name + self.ring + _FILLERS)[: len(_FILLERS)]
        # The head's end and the body's first member are put together; the body is copied once.
        begin = b'%012d%s"%s' % (revision, ring, b"" if body == b"{}" else b",")
        rest = memoryview(body)[1:]
        checksum = zlib.crc32(rest, zlib.crc32(begin))
        text = b"".join((_PREFIX, b"%08x" % checksum, begin, rest))
        return Head(text[:HEAD_BYTES], revision, ring), text


ABSENT: Final = Head(b"", 0, b"")
"""Stands for no document at all."""


def fate(name: bytes, old: Head, now: Head) -> Fate:
    """
    What became of an update whose reply was lost.

    That its name is missing does not show that it was not applied: others may have pushed it out
    of the ring. Only if ``old`` can still be seen in its place, so that the ring reaches back past
    the update, is it certain (of 4,800 updates at 5 % lost replies, 16 writers and a ring of 4,
    seven were applied twice by the simpler rule, and none by this).

    Args:
        name: of the update.
        old: on which it was to be applied.
        now: what stands there now.
    """
    names = now.names
    if name in names:
        return "applied"
    since = now.revision - old.revision
    if old.ring and 0 <= since < len(names) and names[since] == old.ring[:_NAME_BYTES]:
        return "not applied"
    return "unknowable"


def names_in(head: bytes) -> tuple[bytes, ...]:
    """
    Names of the last updates, newest first, of a head that was read without its document.

    Whether the document is intact cannot be told then. None of a text that is no head.
    """
    form = _FORM.match(head[:HEAD_BYTES] + b",")
    return Head(b"", 0, form["ring"]).names if form else ()


def name_of(update_id: str) -> bytes:
    """The name under which an update goes into the head: 48 bits, base64url."""
    own = _OWN_ID.fullmatch(update_id)
    if own is not None:
        return own["name"].encode()
    return _hashed(update_id.encode("utf-8", "surrogatepass"))


def new_update_id() -> str:
    """An id for an update that was given none: its name, which is random, behind a mark."""
    return OWN + base64.urlsafe_b64encode(os.urandom(6)).decode()


def _hashed(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(hashlib.blake2b(data, digest_size=6).digest())
