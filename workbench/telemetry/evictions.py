"""
The ledger: which keys the server took away by itself, by its keyspace events, in its own process.

Events are not certain to come: a subscriber that falls behind is dropped, and what is told then is
gone. So INFO is asked on the connection that the events come on, once a window. Its answer stands
between the events before and those after, and what was seen is held against what was counted.

Like the sampler it is told what to do by one line of JSON, and ends when its input closes; unlike
the sampler it has changed a setting, which it puts back however it is asked to end.
"""

import json
import re
import select
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from redis import Redis
from redis.exceptions import RedisError, TimeoutError

from workbench.flows.model import IDENTIFIER_PREFIX
from workbench.runs.clock import Clock
from workbench.runs.recorder import TableWriter
from workbench.runs.schema import EVICTION_KINDS
from workbench.state import connect, redact
from workbench.telemetry.keyspace import CHANNELS, NOTE, ask_for_events, put_back
from workbench.telemetry.prefixes import Prefixes

__all__ = ["Ledger", "main"]

_WINDOW_S: Final = 1.0
_FLUSH_S: Final = 5.0
_UNREACHABLE_S: Final = 5.0
_TIMEOUT_S: Final = 2.0
_RETRY_S: Final = 0.05
_PAUSE_S: Final = 0.02
_AT_ONCE: Final = 1000  # events between two looks at whether to stop
_OURS: Final = f"channel:{IDENTIFIER_PREFIX}".encode()
_CHANNEL: Final = re.compile(rb"__keyevent@(\d+)__:(\w+)")
_COUNTED: Final = re.compile(rb"^(run_id|evicted_keys|expired_keys):(\w+)\r?$", re.MULTILINE)


class Ledger:
    """
    Writes one row of ``evictions`` a key, and one of ``eviction_windows`` a window.

    Args:
        url: of the server to listen to.
        run_dir: where to write.
        window_s: from one INFO to the next, s.
        prefix_depth: parts of a key's name that are recorded.
        clock: the run's.
        unreachable_s: a server that does not answer for longer is given up, s.
    """

    def __init__(
        self,
        url: str,
        run_dir: Path,
        *,
        window_s: float = _WINDOW_S,
        prefix_depth: int = 1,
        clock: Clock | None = None,
        unreachable_s: float = _UNREACHABLE_S,
    ) -> None:
        self._url = url
        self._note = run_dir / NOTE
        self._window_s = window_s
        self._prefixes = Prefixes(prefix_depth)
        self._clock = clock or Clock()
        self._unreachable_s = unreachable_s
        self._client = connect(url, timeout_s=_TIMEOUT_S, breaker=None)
        self._evictions = TableWriter(run_dir, "evictions", "ledger")
        self._windows = TableWriter(run_dir, "eviction_windows", "ledger")
        self._events = TableWriter(run_dir, "events", "ledger")
        self._stream: _Stream | None = None
        self._seen: Counter[str] = Counter()
        self._counted: dict[str, Any] = {}
        self._counted_s = 0.0
        self._cut_off = False

    def run(self, stop: Callable[[float], bool]) -> None:
        """
        Listen until ``stop(seconds)``, which waits that long, says True; then put the setting back.

        Raises:
            RedisError: the server did not answer for so long that it was given up.
            OSError: what was seen cannot be written.
        """
        try:
            self._listen(stop)
        finally:
            self._put_back()
            self._flush()

    def _listen(self, stop: Callable[[float], bool]) -> None:
        answered_s = flushed_s = time.monotonic()
        stopped = False
        while not stopped:
            try:
                if self._stream is None:
                    self._open()
                stopped = self._hear(stop)
                answered_s = time.monotonic()
            except RedisError:
                self._close()
                if time.monotonic() - answered_s > self._unreachable_s:
                    raise
                stopped = stop(_RETRY_S)
            if time.monotonic() - flushed_s > _FLUSH_S:
                self._flush()
                flushed_s = time.monotonic()

    def _open(self) -> None:
        """Ask for events and subscribe; also again, as after a restart or when it was cut off."""
        self._tell(ask_for_events(self._client, self._note, self._url))
        self._stream = _Stream(self._client)
        first = not self._counted
        self._ask()
        if first:
            self._events.flush()  # whoever started the ledger waits for it

    def _hear(self, stop: Callable[[float], bool]) -> bool:
        """One window, which ends with an INFO; whether it was cut short since it is to stop."""
        assert self._stream is not None, "it was opened before"
        due_s = time.monotonic() + self._window_s
        stopped, heard = False, 0
        while not stopped and (left_s := due_s - time.monotonic()) > 0:
            event = self._stream.next(0)
            if event is None:
                # Whoever waits for each event is woken by each, and the server pays for that.
                stopped = stop(min(left_s, _PAUSE_S))
            else:
                self._note_down(event)
                heard += 1
                stopped = heard % _AT_ONCE == 0 and stop(0)
        self._ask()
        return stopped

    def _ask(self) -> None:
        """Ask INFO, read what was told before its answer, and hold the one against the other."""
        assert self._stream is not None, "it was opened before"
        self._stream.ask()
        while not isinstance(answer := self._stream.next(_TIMEOUT_S), bytes):
            if answer is None:
                raise TimeoutError("INFO was not answered in time")
            self._note_down(answer)
        counted = {name.decode(): value.decode() for name, value in _COUNTED.findall(answer)}
        now_s = self._clock.unix_s()
        if self._counted:
            self._windows.append(self._window(counted, now_s))
        self._seen.clear()
        self._counted, self._counted_s, self._cut_off = counted, now_s, False

    def _window(self, counted: dict[str, str], now_s: float) -> list[Any]:
        seen = [self._seen[kind] for kind in EVICTION_KINDS]
        grown: list[int | None] = [None, None]
        why = "restarted"
        if counted["run_id"] == self._counted["run_id"]:
            names = [f"{kind}_keys" for kind in EVICTION_KINDS]
            grown = [int(counted[name]) - int(self._counted[name]) for name in names]
            why = ""
            if seen != grown:
                fewer = any(a < (b or 0) for a, b in zip(seen, grown, strict=True))
                why = "excess" if not fewer else "disconnected" if self._cut_off else "missed"
        return [now_s, now_s - self._counted_s, *seen, *grown, not why, why]

    def _note_down(self, event: list[Any]) -> None:
        if event[0] != b"pmessage" or not (told := _CHANNEL.fullmatch(event[2])):
            return
        kind, key = told[2].decode(), event[3]
        self._seen[kind] += 1
        number = key[len(_OURS) :] if key.startswith(_OURS) else b""
        self._evictions.append(
            (
                self._clock.unix_s(),
                kind,
                int(told[1]),
                self._prefixes.of(key),
                int(number) if number.isdigit() and len(number) < 10 else None,
            )
        )

    def _put_back(self) -> None:
        self._close()
        try:
            done = put_back(self._client, self._note)
        except RedisError as error:
            done = f"the setting could not be put back: {redact(str(error))}"
        if done:
            self._tell(done)

    def _close(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None
            self._cut_off = True

    def _tell(self, done: str) -> None:
        self._events.append((self._clock.unix_s(), 0.0, "keyspace_events", "ledger", done))
        print(done, file=sys.stderr, flush=True)  # noqa: T201  (its log)

    def _flush(self) -> None:
        for table in (self._evictions, self._windows, self._events):
            table.flush()


class _Stream:
    """One connection that events come on, and answers to INFO between them, in their order."""

    def __init__(self, client: Redis) -> None:
        # Only by RESP3 may a subscriber ask anything else.
        self._pool: Any = client.connection_pool
        self._pool.connection_kwargs["protocol"] = 3
        self._connection: Any = self._pool.get_connection()
        try:
            self._connection.send_command("PSUBSCRIBE", *CHANNELS)  # type: ignore[no-untyped-call]
            for _ in CHANNELS:
                self.next(_TIMEOUT_S)
        except RedisError:
            self.close()
            raise

    def ask(self) -> None:
        self._connection.send_command("INFO", "server", "stats")

    def next(self, wait_s: float) -> Any:
        """An event, which is a list, or the answer to INFO; None if nothing comes in time."""
        if not self._connection.can_read(timeout=wait_s):
            return None
        return self._connection.read_response(disable_decoding=True, push_request=True)

    def close(self) -> None:
        self._connection.disconnect()
        self._pool.release(self._connection)


def main() -> int:
    """
    The process: reads ``{"url", "run_dir", "window_s", "prefix_depth", "clock_offset_s",
    "unreachable_s"}`` from standard input, and listens until it closes. Exit code 0; 130 when it
    was interrupted; 4 when the server stopped answering or what was seen could not be written.
    """
    came: list[int] = []
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, lambda number, _: came.append(number))
    line = sys.stdin.readline()
    if not line or came:
        return 130 if came else 0
    orders = json.loads(line)
    ledger = Ledger(
        orders["url"],
        Path(orders["run_dir"]),
        window_s=orders.get("window_s", _WINDOW_S),
        prefix_depth=orders.get("prefix_depth", 1),
        clock=Clock(orders["clock_offset_s"]),
        unreachable_s=orders.get("unreachable_s", _UNREACHABLE_S),
    )
    try:
        ledger.run(lambda wait_s: bool(came) or _input_closes(wait_s) or bool(came))
    except RedisError as error:
        print(f"the server stopped answering: {redact(str(error))}", file=sys.stderr)  # noqa: T201
        return 4
    except OSError as error:
        print(f"what was seen cannot be written: {error}", file=sys.stderr)  # noqa: T201
        return 4
    return 130 if came else 0


def _input_closes(wait_s: float) -> bool:
    readable, _, _ = select.select([sys.stdin], [], [], wait_s)
    return bool(readable)


if __name__ == "__main__":
    sys.exit(main())
