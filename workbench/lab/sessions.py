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

    Every value has the same length, so that each takes the same room in the server; its text is
    words and digits, which the server compresses in its files as it does with conversations.

    Args:
        value_bytes: length of a value.
        seed: of the texts.
    """

    def __init__(self, value_bytes: int, seed: int) -> None:
        random = Random(f"sessions {seed}")
        texts = (_text(value_bytes, random) for _ in range(_TEXTS))
        self._ends = [
            b"\r\n$%d\r\n%b\r\n$2\r\nEX\r\n$%d\r\n%d\r\n"
            % (len(text), text, len(str(TTL_S)), TTL_S)
            for text in texts
        ]

    def write(self, number: int) -> bytes:
        """The command that writes session ``number``."""
        return b"*5\r\n$3\r\nSET\r\n$20\r\nchannel:wb-%09d%b" % (
            number,
            self._ends[number % _TEXTS],
        )


def _text(length: int, random: Random) -> bytes:
    words: list[str] = []
    room = length - len('{"data": ""}')
    while sum(map(len, words)) < room:
        words.append(f"{random.choice(_WORDS)} {random.randrange(10**6)} ")
    return b'{"data": "%b"}' % "".join(words)[:room].encode()
