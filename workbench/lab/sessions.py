"""
Sessions as the laboratory writes them: keys, values of one length, and their commands as bytes.

Importing it costs nothing: the writer is a process of its own, which has to start fast.
"""

from random import Random
from typing import Final

__all__ = ["TTL_S", "VALUE_BYTES_MIN", "Sessions"]

TTL_S: Final = 86_400
"""Time to live of a session, s: it outlasts any trial, so nothing but the cap removes any."""

VALUE_BYTES_MIN: Final = 64
"""The shortest value that is still JSON with a name and a text."""

_TEXTS: Final = 256
_KEPT_BYTES: Final = 16 * 1024 * 1024  # fewer texts of longer values
_STREAM_BYTES: Final = 64 * 1024  # of words, from which the texts are cut
_WORDS: Final = tuple(
    word
    for line in (
        "account balance branch cancel card confirm details email enter forward history language",
        "limit login menu message name next number open option page password payment phone please",
        "receive select send session start status step transfer validate value view welcome",
    )
    for word in line.split()
)


class Sessions:
    """
    Commands that write sessions under ``channel:wb-<number>``.

    The text of a value is words and digits, which the server compresses in its files as it does
    with conversations.

    Args:
        value_bytes: length of a value, on average.
        seed: of the texts.
        spread: how far lengths lie from the average at most, of it; 0 if all are equally long.
    """

    def __init__(self, value_bytes: int, seed: int, spread: float = 0.0) -> None:
        random = Random(f"sessions {seed}")
        count = max(1, min(_TEXTS, _KEPT_BYTES // value_bytes))
        stream = _words(2 * value_bytes + _STREAM_BYTES, random)
        self._ends = []
        for index in range(count):
            # Evenly over the range, so that their average is that of any draw.
            beside = spread * (2 * (index + 0.5) / count - 1)
            length = max(VALUE_BYTES_MIN, round(value_bytes * (1 + beside)))
            start = random.randrange(_STREAM_BYTES)
            text = b'{"data": "%b"}' % stream[start : start + length - len(b'{"data": ""}')]
            end = (length, text, len(str(TTL_S)), TTL_S)
            self._ends.append(b"\r\n$%d\r\n%b\r\n$2\r\nEX\r\n$%d\r\n%d\r\n" % end)
        random.shuffle(self._ends)

    def write(self, number: int, turn: int = 0) -> bytes:
        """The command that writes session ``number``; in another turn it has another text."""
        end = self._ends[(number + turn) % len(self._ends)]
        return b"*5\r\n$3\r\nSET\r\n$20\r\nchannel:wb-%09d%b" % (number, end)


def _words(length: int, random: Random) -> bytes:
    """So much text: a word, a number, a word."""
    shortest = min(map(len, _WORDS)) + len(" 0 ")
    told = [
        f"{random.choice(_WORDS)} {random.randrange(10**6)} " for _ in range(1 + length // shortest)
    ]
    return "".join(told)[:length].encode()
