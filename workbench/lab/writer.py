"""
Writes sessions at a given rate, as a process of its own that says what it achieved.

``python -m workbench.lab.writer`` waits for a plan, a line of JSON. Then it writes, whatever the
server does: what comes due while the server stands still is written afterwards, with up to a
thousand commands on their way. It ends when its input closes or the server is gone, and prints how
many writes were acknowledged by when.
"""

import json
import select
import socket
import sys
import time
from dataclasses import asdict, dataclass, field
from random import Random
from typing import Final

from workbench.lab.sessions import Sessions

__all__ = ["Plan", "Written", "write"]

_UNANSWERED_MAX: Final = 1000
"""Commands on their way at once: as if so many people wrote, and each waited for an answer."""

_TICK_S: Final = 0.002
_NOTE_S: Final = 0.005
_END_S: Final = 1.0
_TENTHS: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """
    What is to be written.

    Attributes:
        port: of the server, on the loopback.
        per_s: writes a second.
        value_bytes: length of a value, on average.
        length_spread: how far lengths lie from that at most, of it.
        keys: how many sessions there are, numbered from 0.
        hot_share: share of the writes that go to a tenth of them; 0.1 is uniform.
        new_keys: write new sessions instead.
        seed: of what is drawn.
    """

    port: int
    per_s: float
    value_bytes: int
    keys: int
    hot_share: float = 0.1
    new_keys: bool = False
    length_spread: float = 0.0
    seed: int = 1


@dataclass(slots=True)
class Written:
    """
    What was achieved.

    Attributes:
        at_s: moments of the monotonic clock, s.
        acknowledged: writes that were answered by then.
        refused: writes that were answered with an error.
        refusal: the first of these errors.
    """

    at_s: list[float] = field(default_factory=list)
    acknowledged: list[int] = field(default_factory=list)
    refused: int = 0
    refusal: str = ""

    def per_s(self, from_s: float, to_s: float) -> float:
        """Writes a second that were acknowledged between two moments of the monotonic clock."""
        if to_s <= from_s:
            return 0.0
        return (self._by(to_s) - self._by(from_s)) / (to_s - from_s)

    def _by(self, moment_s: float) -> float:
        before = (0.0, 0)
        for at_s, acknowledged in zip(self.at_s, self.acknowledged, strict=True):
            if at_s > moment_s:
                part = (moment_s - before[0]) / (at_s - before[0])
                return before[1] + max(0.0, part) * (acknowledged - before[1])
            before = (at_s, acknowledged)
        return before[1]


def write(plan: Plan, connection: socket.socket, input_: int) -> Written:
    """Write until ``input_``, a file descriptor, has something to read, or the server is gone."""
    numbers = _Numbers(plan)
    sessions = Sessions(plan.value_bytes, plan.seed, plan.length_spread)
    connection.setblocking(False)
    written, outgoing = Written(), b""
    sent = answered = 0
    begun_s = noted_s = time.monotonic()
    end_s: float | None = None
    while end_s is None or (answered < sent and time.monotonic() < end_s):
        now_s = time.monotonic()
        due = int((now_s - begun_s) * plan.per_s) if end_s is None else sent
        if not outgoing and (room := min(due - sent, _UNANSWERED_MAX - (sent - answered))) > 0:
            outgoing = b"".join([sessions.write(numbers.draw(), sent + i) for i in range(room)])
            sent += room
        wait_s = max(_TICK_S, begun_s + (sent + 1) / plan.per_s - now_s) if end_s is None else 0.01
        server = connection.fileno()
        asked = [input_, server] if end_s is None else [server]
        readable, writable, _ = select.select(
            asked, [server] if outgoing else [], [], _TICK_S if outgoing else wait_s
        )
        try:
            if writable:
                outgoing = outgoing[connection.send(outgoing) :]
            if server in readable:
                replies = connection.recv(1 << 16)
                if not replies:
                    break
                answered += replies.count(b"\n")
                _note_errors(written, replies)
        except ConnectionError:
            break
        if input_ in readable:
            end_s = time.monotonic() + _END_S
        if now_s >= noted_s + _NOTE_S:
            written.at_s.append(time.monotonic())
            written.acknowledged.append(answered - written.refused)
            noted_s = now_s
    written.at_s.append(time.monotonic())
    written.acknowledged.append(answered - written.refused)
    return written


class _Numbers:
    """Which session is written next."""

    def __init__(self, plan: Plan) -> None:
        self._random = Random(f"writer {plan.seed}")
        self._plan = plan
        self._next = plan.keys

    def draw(self) -> int:
        plan = self._plan
        if plan.new_keys:
            self._next += 1
            return self._next - 1
        # Every tenth session is a hot one, so that they lie between the others as they would.
        tenth = int(self._random.random() * max(1, plan.keys // _TENTHS))
        if self._random.random() < plan.hot_share:
            return _TENTHS * tenth
        return _TENTHS * tenth + 1 + int(self._random.random() * (_TENTHS - 1))


def _note_errors(written: Written, replies: bytes) -> None:
    for line in replies.split(b"\r\n") if b"-" in replies else []:
        if line.startswith(b"-"):
            written.refused += 1
            written.refusal = written.refusal or line[1:].decode(errors="replace")


def _write_as_told(line: str, input_: int) -> Written:
    given = Plan(**json.loads(line))
    try:
        connection = socket.create_connection(("127.0.0.1", given.port))
    except ConnectionError:  # it was killed before the first write
        return Written()
    with connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return write(given, connection, input_)


if __name__ == "__main__":
    if plan := sys.stdin.readline():
        json.dump(asdict(_write_as_told(plan, sys.stdin.fileno())), sys.stdout)
