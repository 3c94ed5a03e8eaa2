"""Prefixes: how a key's name begins, and never all of it: names may hold people's numbers."""

from typing import Final

__all__ = ["OTHERS", "Prefixes"]

OTHERS: Final = "(others)"
"""Stands for the prefixes beyond the first thousand, as where every key has one of its own."""

_PREFIXES_MAX: Final = 1000
_LENGTH_MAX: Final = 64


class Prefixes:
    """
    Tells the prefix of a key.

    A name is cut at its colons. The prefix is its first parts, as many as are asked for, but never
    the last one: ``channel:263771234567`` begins with ``channel`` at any depth, and a name without
    a colon has no prefix.

    Args:
        depth: parts of a prefix; 0 for none at all.
    """

    def __init__(self, depth: int = 1) -> None:
        self._depth = depth
        self._seen: dict[bytes, str] = {}

    def of(self, key: bytes) -> str:
        """The prefix, without the colon at its end; empty if there is none."""
        *parts, _ = key.split(b":", self._depth) if self._depth else (b"",)
        begins = b":".join(parts)
        told = self._seen.get(begins)
        if told is None:
            if len(self._seen) >= _PREFIXES_MAX:
                return OTHERS
            told = self._seen[begins] = _printable(begins)
        return told


def _printable(begins: bytes) -> str:
    """As text that does nothing to a terminal, however long or odd the name is."""
    text = begins.decode("utf-8", "backslashreplace")
    text = "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)
    return text if len(text) <= _LENGTH_MAX else f"{text[: _LENGTH_MAX - 1]}…"
