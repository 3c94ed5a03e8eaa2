"""
What a load counted: outcomes, and the four clocks of its turns in histograms.

Tallies of several processes merge without loss: the sum of the parts is the whole. No locust in
here.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final, Self

from loadtests.histogram import Histogram
from workbench.runs.schema import TABLES

__all__ = ["CAUSES", "CLOCKS", "PERCENTILES", "Tally"]

CAUSES: Final = ("evicted", "expired", "restarted", "deleted", "elsewhere", "missing")
"""Outcomes of turns that needed a state and found none."""

CLOCKS: Final = ("response_us", "queue_us", "lag_us", "service_us")
"""Of a turn, in the order in which they are told."""

PERCENTILES: Final = {"p50": 50.0, "p95": 95.0, "p99": 99.0, "p999": 99.9}
"""Name and percentage of each percentile that can be told."""

_LEAST: Final = {"p50": 2, "p95": 20, "p99": 100, "p999": 1000}
_ADDED: Final = (
    *("begun", "overdue", "seconds", "starved"),
    *("evicted_turns", "expired_turns", "processes"),
)
_SEEN: Final = ("evicted_keys", "expired_keys")
_AT: Final = {column.name: at for at, column in enumerate(TABLES["operations"].columns)}


class Tally:
    """
    Counts of the measured phase, of one load process or of several merged.

    Attributes:
        clocks: a histogram of each clock, µs, to three digits.
        outcomes: turns by what became of them.
        begun: of these, the ones that needed no state, since they begin a conversation.
        overdue: while the load goes on, turns beside these that have been due for over a second and
            are not completed; 0 at its end, when they are ``unsent``.
        seconds, starved: seconds of the load; of these, the ones in which turns waited for a slot
            although the server was fast.
        cpu_share: of one core, on average; of the busiest process.
        measured_s: how long was measured so far, s; of the process that measured longest.
        processes: how many were merged.
        keys: conversations that were looked for at the end, by how they were found; as ``evicted``,
            ``present``, …; see ``loadtests.probe``.
        updates: of these, by whether the last acknowledged update was there.
        evicted_turns: turns of the whole load, measured or not, that found their state evicted.
        expired_turns: likewise, those that found it gone after its time to live.
        evicted_keys, expired_keys: by how much the server's own counts grew; None if that is not
            known.
    """

    def __init__(self) -> None:
        self.clocks = {name: Histogram() for name in CLOCKS}
        self.outcomes: Counter[str] = Counter()
        self.begun = self.overdue = 0
        self.seconds = self.starved = 0
        self.cpu_share = self.measured_s = 0.0
        self.processes = 1
        self.keys: Counter[str] = Counter()
        self.updates: Counter[str] = Counter()
        self.evicted_turns = self.expired_turns = 0
        self.evicted_keys: int | None = None
        self.expired_keys: int | None = None

    def fold(self, rows: Sequence[Sequence[Any]]) -> None:
        """Count these rows of the table of operations."""
        columns = list(zip(*rows, strict=True))
        for name in CLOCKS:
            self.clocks[name].record(columns[_AT[name]])
        self.outcomes.update(columns[_AT["outcome"]])
        self.begun += columns[_AT["operation"]].count("write")

    def add_second(self, cpu_share: float, *, starved: bool) -> None:
        """Count a second of the load process itself."""
        self.seconds += 1
        self.starved += starved
        self.cpu_share += (cpu_share - self.cpu_share) / self.seconds

    @property
    def turns(self) -> int:
        """Turns that came due."""
        return self.outcomes.total()

    @property
    def lost(self) -> dict[str, int]:
        """Turns that needed a state and found none, by cause; only causes that there were."""
        return {cause: self.outcomes[cause] for cause in CAUSES if self.outcomes[cause]}

    @property
    def delivered_share(self) -> float:
        """Completed ÷ due; 0 of none."""
        due = self.turns + self.overdue
        return 1 - (self.outcomes["unsent"] + self.overdue) / due if due else 0.0

    @property
    def starved_share(self) -> float:
        """Seconds in which turns waited for a slot although the server was fast, of all."""
        return self.starved / self.seconds if self.seconds else 0.0

    def percentile_us(self, clock: str, name: str) -> float:
        """A percentile of a clock, µs; NaN of too few turns."""
        histogram = self.clocks[clock]
        if histogram.count < _LEAST[name]:
            return float("nan")
        return histogram.percentile_us(PERCENTILES[name])

    def as_message(self) -> dict[str, Any]:
        """All of it, in a form that travels to another process."""
        return {
            "clocks": {name: each.as_message() for name, each in self.clocks.items()},
            "outcomes": dict(self.outcomes),
            "begun": self.begun,
            "overdue": self.overdue,
            "seconds": self.seconds,
            "starved": self.starved,
            "cpu_share": self.cpu_share,
            "measured_s": self.measured_s,
            "processes": self.processes,
            "keys": dict(self.keys),
            "updates": dict(self.updates),
            "evicted_turns": self.evicted_turns,
            "expired_turns": self.expired_turns,
            "evicted_keys": self.evicted_keys,
            "expired_keys": self.expired_keys,
        }

    @classmethod
    def of_message(cls, message: dict[str, Any]) -> Self:
        """What ``as_message`` made."""
        tally = cls()
        tally.clocks = {
            name: Histogram.of_message(cells) for name, cells in message["clocks"].items()
        }
        tally.outcomes = Counter(message["outcomes"])
        tally.keys, tally.updates = Counter(message["keys"]), Counter(message["updates"])
        for name in (*_ADDED, "cpu_share", "measured_s", *_SEEN):
            setattr(tally, name, message[name])
        return tally

    @classmethod
    def merged(cls, tallies: Iterable["Tally"]) -> "Tally":
        """Those of several processes, as if one had counted all."""
        whole = cls()
        whole.processes = 0
        for part in tallies:
            for name, histogram in part.clocks.items():
                whole.clocks[name].add(histogram)
            whole.outcomes += part.outcomes
            whole.keys += part.keys
            whole.updates += part.updates
            whole.cpu_share = max(whole.cpu_share, part.cpu_share)
            whole.measured_s = max(whole.measured_s, part.measured_s)
            # Each asked the same server; who asked last has seen most.
            for name in _SEEN:
                seen = [getattr(each, name) for each in (whole, part)]
                setattr(whole, name, max((n for n in seen if n is not None), default=None))
            for name in _ADDED:
                setattr(whole, name, getattr(whole, name) + getattr(part, name))
        return whole
