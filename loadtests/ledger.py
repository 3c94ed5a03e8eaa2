"""Ledger: what a load process writes down of its turns and of itself, as tables and as figures."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from loadtests.drivers.turn import Done
from loadtests.probe import Found
from loadtests.scheduler import Turn
from loadtests.tally import Tally
from workbench.runs.recorder import TableWriter
from workbench.runs.schema import TABLES

__all__ = ["Ledger", "Second"]

_SLOW_US: Final = 10_000.0  # as in workbench.analysis.validity, which this must not import: pandas
_AT: Final = {column.name: at for at, column in enumerate(TABLES["operations"].columns)}


@dataclass(frozen=True, slots=True)
class Second:
    """
    What went on in one second of a load process. Times are in s from the start of the warm-up.

    Args:
        since_s, until_s: from when to when.
        cpu_share: of one core, that the process used.
        due, completed: turns.
        waiting: turns without a free slot, most at once.
        busy: slots at work, most at once.
        in_service: when the turns were sent that are still unanswered at the end.
    """

    since_s: float
    until_s: float
    cpu_share: float
    due: int
    completed: int
    waiting: int
    busy: int
    in_service: Sequence[float]


class Ledger:
    """
    Rows for the tables, if there is a run directory, and a tally of the measured phase.

    Args:
        run_dir: where to record; nowhere if None.
        worker: number of the load process.
        ttl_s: time to live of a write, s.
        measured_s: start and end of the measured phase, s from the start of the warm-up.

    Attributes:
        tally: the figures so far.
        unix_at_zero_s: when the warm-up began; 0 until it does.
    """

    def __init__(
        self, run_dir: Path | None, worker: int, *, ttl_s: float, measured_s: tuple[float, float]
    ) -> None:
        self.tally = Tally()
        self.unix_at_zero_s = 0.0
        self._worker = worker
        self._ttl_s = ttl_s
        self._start_s, self._stop_s = measured_s
        self._rows: list[tuple[Any, ...]] = []  # since the last fold
        self._tables = {
            name: TableWriter(run_dir, name, f"worker{worker}")
            for name in ("operations", "keys", "generator", "events")
            if run_dir is not None
        }

    def turn(
        self,
        turn: Turn,
        step: str,
        outcome: str,
        done: Done,
        *,
        begins: bool,
        sent_s: float,
        completed_s: float,
        age_s: float | None,
    ) -> None:
        """Write down one turn."""
        conversation = turn.conversation
        self._rows.append(
            (
                self.unix_at_zero_s + turn.due_s,
                conversation.flow.name,
                step,
                "write" if begins else "update",
                outcome,
                1e6 * (completed_s - turn.due_s),
                1e6 * (turn.ready_s - turn.due_s),
                1e6 * (sent_s - turn.ready_s),
                1e6 * (completed_s - sent_s),
                done.attempts,
                done.value_bytes,
                age_s,
                self._ttl_s,
                conversation.number,
                turn.number,
                turn.delivery,
                self._worker,
            )
        )

    def unsent(self, turns: Sequence[Turn], now_s: float) -> None:
        """Write down the turns that came due and were not completed: cut off now."""
        behind: Counter[int] = Counter()
        for turn in turns:
            turn.ready_s = now_s
            conversation = turn.conversation
            last = len(conversation.script) - 1
            position = min(conversation.position + behind[conversation.number], last)
            behind[conversation.number] += 1
            self.turn(
                turn,
                conversation.script[position].name,
                "unsent",
                Done("unsent"),
                begins=position == 0,
                sent_s=now_s,
                completed_s=now_s,
                age_s=None,
            )

    def lost(self, cause: str) -> None:
        """Count a state that was written in this load, and found gone by a turn."""
        self.tally.evicted_turns += cause == "evicted"
        self.tally.expired_turns += cause == "expired"

    def key(self, found: Found, *, unix_s: float, age_s: float) -> None:
        """Write down how a conversation was found when the load was over."""
        self.tally.keys[found.state] += 1
        self.tally.updates[found.update] += bool(found.update)
        if "keys" in self._tables:
            number = found.conversation.number
            self._tables["keys"].append(
                (unix_s, number, age_s, self._ttl_s, found.state, found.update, self._worker)
            )

    def event(self, unix_s: float, duration_s: float, label: str, detail: str = "") -> None:
        """Write down a phase, and have it on disk at once."""
        if "events" in self._tables:
            self._tables["events"].append((unix_s, duration_s, "phase", label, detail))
            self._tables["events"].flush()

    def second(self, second: Second) -> None:
        """Write down a second, and fold the turns that it completed into the figures."""
        starved = second.waiting > 0 and not self._server_was_slow(second)
        rows = self._fold()
        if self._start_s <= second.until_s <= self._stop_s + 1:
            self.tally.add_second(second.cpu_share, starved=starved)
            self.tally.measured_s = min(second.until_s, self._stop_s) - self._start_s
        if "generator" not in self._tables:
            return
        for row in rows:
            self._tables["operations"].append(row)
        self._tables["generator"].append(
            (
                self.unix_at_zero_s + second.until_s,
                second.cpu_share,
                second.due,
                second.completed,
                second.waiting,
                second.busy,
                self._worker,
            )
        )

    def flush(self, run: Any = None) -> None:
        """
        Fold what is left into the figures, and write all rows so far.

        Raises:
            OSError: they cannot be written.
        """
        rows = self._fold()
        if "operations" in self._tables:
            for row in rows:
                self._tables["operations"].append(row)
        for table in self._tables.values():
            table.flush(run)

    def _fold(self) -> list[tuple[Any, ...]]:
        rows, self._rows = self._rows, []
        start_s, stop_s = self.unix_at_zero_s + self._start_s, self.unix_at_zero_s + self._stop_s
        measured = [row for row in rows if start_s <= row[0] < stop_s]
        if measured:
            self.tally.fold(measured)
        return rows

    def _server_was_slow(self, second: Second) -> bool:
        """
        Whether turns of over 10 ms took most of the slots' time in this second.

        Then turns waited for the server, and not for want of slots.
        """
        slow_s = held_s = 0.0
        services = [(sent_s, second.until_s) for sent_s in second.in_service]
        for row in self._rows:
            completed_s = row[0] - self.unix_at_zero_s + row[_AT["response_us"]] / 1e6
            services.append((completed_s - row[_AT["service_us"]] / 1e6, completed_s))
        for start_s, stop_s in services:
            within_s = max(0.0, min(stop_s, second.until_s) - max(start_s, second.since_s))
            held_s += within_s
            slow_s += within_s * (1e6 * (stop_s - start_s) > _SLOW_US)
        return slow_s > held_s / 2
