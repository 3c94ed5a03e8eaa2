"""
The sampler: one INFO after another, at a fixed rate, in a process of its own; a whole snapshot at
the start and at the end.

A sampler thread in the loading process had gaps of up to 0.87 s at 0.1 s asked; a process has not.
It records how late it was all the same. It is told what to do by one line of JSON on its standard
input, so that no password shows in the list of processes, and it ends when that input closes: when
the conductor stops it, and also when the conductor dies.
"""

import json
import select
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from redis import Redis
from redis.exceptions import ConnectionError, RedisError, ResponseError, TimeoutError

from workbench.runs.clock import Clock
from workbench.runs.recorder import TableWriter
from workbench.runs.schema import TABLES
from workbench.runs.snapshot import Snapshot, write_snapshots
from workbench.state import redact
from workbench.telemetry.onlooker import onlooker
from workbench.telemetry.snapshot import take_snapshot

__all__ = ["Sampler", "is_possible", "main", "sample_of"]

_FLUSH_S: Final = 5.0
_UNREACHABLE_S: Final = 5.0
_STEP_S: Final = 0.5
_RETRY_S: Final = 0.2
_INT64: Final = range(-(2**63), 2**63)
_COLUMNS: Final = frozenset(column.name for column in TABLES["samples"].columns)


class Sampler:
    """
    Writes one row of ``samples`` per interval.

    Args:
        client: of the server to watch.
        run_dir: where to write.
        interval_s: from one sample to the next, s.
        clock: the run's.
        unreachable_s: a server that does not answer for longer is given up, s.
        keys: how many keys the snapshot at the end looks at, at most.
    """

    def __init__(
        self,
        client: Redis,
        run_dir: Path,
        *,
        interval_s: float,
        clock: Clock | None = None,
        unreachable_s: float = _UNREACHABLE_S,
        keys: int = 0,
    ) -> None:
        self._client = client
        self._run_dir = run_dir
        self._keys = keys
        self._snapshots: list[Snapshot] = []
        self._interval_s = interval_s
        self._clock = clock or Clock()
        self._unreachable_s = unreachable_s
        self._step_s = self._clock.step_s()
        self._writer = TableWriter(run_dir, "samples", "sampler")
        self._events = TableWriter(run_dir, "events", "sampler")
        self._impossible: set[str] = set()

    def run(self, stop: Any) -> None:
        """
        Sample until ``stop(seconds)``, which waits that long, says True.

        Raises:
            RedisError: the server did not answer for so long that it was given up.
        """
        due_s = answered_s = time.monotonic()
        flushed_s = -_FLUSH_S  # the first sample is written at once: the load waits for it
        try:
            while not stop(max(0.0, due_s - time.monotonic())):
                asked_s = time.monotonic()
                try:
                    row = self._sample(lag_s=asked_s - due_s)
                except RedisError:
                    if asked_s - answered_s > self._unreachable_s:
                        raise
                else:
                    answered_s = time.monotonic()
                    self._writer.append(row)
                # A sample that is late does not push back the next; those that were missed are
                # left out, and the gap shows in unix_s.
                due_s = max(due_s + self._interval_s, asked_s)
                self._look_at_wall()
                if time.monotonic() - flushed_s > _FLUSH_S:
                    self._flush()
                    flushed_s = time.monotonic()
                if not self._snapshots:
                    with suppress(ConnectionError, TimeoutError):  # the next sample tells
                        self._snapshot()
            self._look_last()
        finally:
            self._flush()

    def _look_last(self) -> None:
        """The snapshot at the end; a server that does not answer it is gone, and that is said."""
        until_s = time.monotonic() + min(_UNREACHABLE_S, self._unreachable_s)
        while True:
            try:
                self._snapshot(keys=self._keys)
            except (ConnectionError, TimeoutError):
                if time.monotonic() > until_s:
                    raise
                time.sleep(_RETRY_S)
            else:
                return

    def _snapshot(self, *, keys: int = 0) -> None:
        # What a server refuses is on record in the snapshot; one that refuses INFO has none.
        with suppress(ResponseError):
            found = take_snapshot(self._client, keys=keys, unix_s=self._clock.unix_s())
            self._snapshots.append(found)
            write_snapshots(self._run_dir, self._snapshots)

    def _flush(self) -> None:
        self._writer.flush()
        self._events.flush()

    def _look_at_wall(self) -> None:
        # Slewing moves the wall clock by less than 1 ms between two samples; a step is more.
        step_s = self._clock.step_s()
        if abs(step_s - self._step_s) > _STEP_S:
            moved = f"{step_s - self._step_s:+.1f} s"
            self._events.append((self._clock.unix_s(), 0.0, "clock_step", moved, ""))
        self._step_s = step_s

    def _sample(self, *, lag_s: float) -> list[Any]:
        asked_s = time.perf_counter()
        info: dict[str, Any] = self._client.info()
        values = {
            **sample_of(info),
            "unix_s": self._clock.unix_s(),
            "sample_lag_s": lag_s,
            "sample_us": 1e6 * (time.perf_counter() - asked_s),
        }
        return [
            self._possible(column.name, values.get(column.name), integer=column.type == pa.int64())
            for column in TABLES["samples"].columns
        ]

    def _possible(self, name: str, value: Any, *, integer: bool) -> Any:
        """
        The value, or None where it cannot be true: a server that subtracts more from an unsigned
        counter than it holds reports nearly 2^64. The first of each field is put on record.
        """
        if value is None or not integer or is_possible(value):
            return value
        if name not in self._impossible:
            self._impossible.add(name)
            self._events.append((self._clock.unix_s(), 0.0, "impossible_value", name, str(value)))
        return None


def sample_of(info: dict[str, Any]) -> dict[str, Any]:
    """What a row of ``samples`` has of one INFO, by column; what INFO does not name is absent."""
    databases = [v for k, v in info.items() if k[:2] == "db" and k[2:].isdigit()]
    values = {
        **info,
        "keys": sum(database["keys"] for database in databases),
        "expires": sum(database["expires"] for database in databases),
        "errorstat_MISCONF": _errors(info, "MISCONF"),
    }
    return {name: value for name, value in values.items() if name in _COLUMNS}


def is_possible(value: Any) -> bool:
    """Whether it is a whole number that the table can hold."""
    return isinstance(value, int) and value in _INT64


def _errors(info: dict[str, Any], name: str) -> int | None:
    """How often the server replied with an error; INFO names only those that came up."""
    if "total_error_replies" not in info:
        return None  # it keeps no such statistics, so that a missing line says nothing
    return int(info.get(f"errorstat_{name}", {}).get("count", 0))


def main() -> int:
    """
    The process: reads ``{"url", "run_dir", "interval_s", "clock_offset_s", "unreachable_s",
    "keys"}`` from standard input, samples until it closes. Exit code 0, or 4 when the server
    stopped answering or the samples could not be written.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the conductor decides when to stop
    orders = json.loads(sys.stdin.readline())
    client = onlooker(orders["url"], timeout_s=2.0, max_connections=1)
    sampler = Sampler(
        client,
        Path(orders["run_dir"]),
        interval_s=orders["interval_s"],
        clock=Clock(orders["clock_offset_s"]),
        unreachable_s=orders.get("unreachable_s", _UNREACHABLE_S),
        keys=orders.get("keys", 0),
    )
    try:
        sampler.run(_input_closes)
    except RedisError as error:
        print(f"the server stopped answering: {redact(str(error))}", file=sys.stderr)  # noqa: T201
        return 4
    except OSError as error:
        print(f"the samples cannot be written: {error}", file=sys.stderr)  # noqa: T201
        return 4
    return 0


def _input_closes(wait_s: float) -> bool:
    readable, _, _ = select.select([sys.stdin], [], [], wait_s)
    return bool(readable)


if __name__ == "__main__":
    sys.exit(main())
