"""
Parts of runs that are drawn again whole: blocks of a run's time, runs, groups of conversations.

Turns that follow each other are alike: one slow second slows hundreds of them. Drawn again one by
one they would look like as many witnesses, and two runs of one server would "differ" as a rule. So
what is drawn again is a part that tells little of the next one, as it is.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from workbench.analysis.failure import FAILED
from workbench.analysis.persistence import rewrite_spans
from workbench.runs.rows import Rows
from workbench.runs.run import Run

__all__ = [
    "BLOCKS_LEAST",
    "BLOCK_LEAST_S",
    "CLASS_WIDTH",
    "Interval",
    "Parts",
    "Spread",
    "blocks_of",
    "groups_of",
    "interval",
    "spreads",
]

Numbers = npt.NDArray[np.float64]
Statistic = Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]

CLASS_WIDTH: Final = 0.005
"""By which share the classes are wide in which latencies are counted."""

BLOCK_LEAST_S: Final = 5.0
"""The shortest block of time that is drawn again, s."""

BLOCKS_LEAST: Final = 6
"""Blocks without which a run cannot be compared."""

CLOCKS: Final = ("response_us", "service_us")
_LN: Final = math.log1p(CLASS_WIDTH)
_CLASSES: Final = 4000  # 1 µs to 7 min
_BLOCKS_MOST: Final = 400
_RESAMPLES: Final = 999
_BATCH: Final = 100
_GROUPS: Final = 200
_LOST: Final = ("evicted", "restarted", "deleted", "elsewhere", "missing")
_GONE: Final = (*_LOST, "expired")
_DONE: Final = ("ok", "duplicate")


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """
    Parts of one run or of several, each a row of every table in here.

    Attributes:
        turns: of each clock, how many turns of each part are in each class of latency.
        sums: a row a part; what the figures are quotients of: ``seconds``, ``sent``, ``failed``,
            ``needing``, ``lost`` and ``expired`` (turns of the whole measured phase), ``evicted``
            (keys), ``rewriting`` and ``watched`` (s), and ``fork_us`` and ``memory_share``, which
            only whole runs have.
        what: what a part is, in words.
    """

    turns: Mapping[str, Numbers]
    sums: pd.DataFrame
    what: str

    def __len__(self) -> int:
        return len(self.sums)

    @property
    def count(self) -> int:
        """Turns in all."""
        return int(self.turns["response_us"].sum())

    def whole(self, *, fork_us: float, memory_share: float) -> "Parts":
        """All parts as one: a run, with what is known of it as a whole."""
        sums = self.sums.sum().to_frame().T
        sums["fork_us"], sums["memory_share"] = fork_us, memory_share
        turns = {name: counts.sum(axis=0, keepdims=True) for name, counts in self.turns.items()}
        return Parts(turns, sums, "runs")

    @classmethod
    def together(cls, several: Sequence["Parts"]) -> Self:
        """The parts of several runs, one after the other."""
        turns = {clock: np.concatenate([each.turns[clock] for each in several]) for clock in CLOCKS}
        sums = pd.concat([each.sums for each in several], ignore_index=True)
        return cls(turns, sums, several[0].what)

    def quantile_us(self, clock: str, share: float, weights: Numbers) -> Numbers:
        """
        Nearest-rank percentile of the turns of the parts, so often as the weights say.

        Args:
            clock: which.
            share: of the turns, that is below.
            weights: one row a resample, one column a part.
        """
        used = np.flatnonzero(self.turns[clock].any(axis=0))
        if not used.size:
            return np.full(len(weights), np.nan)
        first, last = int(used[0]), int(used[-1]) + 1
        below = np.cumsum(weights @ self.turns[clock][:, first:last], axis=1)
        # Half a turn less: what a product of whole numbers leaves over must not skip a class.
        reached = below >= np.ceil(share * below[:, -1:] - 1e-6) - 0.5
        found: Numbers = np.exp((first + np.argmax(reached, axis=1) + 0.5) * _LN)
        found[below[:, -1] <= 0] = np.nan
        return found

    def quotient(self, above: str, below: str, weights: Numbers) -> Numbers:
        """One sum by another, over the parts as often as the weights say; NaN by nothing."""
        over = weights @ self.sums[below].to_numpy(dtype=float)
        top = weights @ self.sums[above].to_numpy(dtype=float)
        found: Numbers = np.divide(top, over, out=np.full(len(weights), np.nan), where=over > 0)
        return found

    def mean(self, name: str, weights: Numbers) -> Numbers:
        """The mean over parts of what each has once; NaN if one has it not."""
        found: Numbers = weights @ self.sums[name].to_numpy(dtype=float) / weights.sum(axis=1)
        return found


@dataclass(frozen=True, slots=True)
class Spread:
    """
    An estimate, and how far it would be off.

    Attributes:
        value: the estimate.
        error: its standard error; NaN if it is not known.
        parts: of how many parts.
    """

    value: float
    error: float
    parts: int


@dataclass(frozen=True, slots=True)
class Interval:
    """A difference, other less baseline, with the bounds that hold it as often as was asked."""

    value: float
    low: float
    high: float


def spreads(parts: int, statistic: Statistic, *, seed: int = 1) -> list[Spread]:
    """
    The standard error of each figure, by drawing the parts again.

    Args:
        parts: how many there are.
        statistic: from weights, one row a resample and one column a part, to one row a figure.
        seed: of the drawing.

    Source:
        ``scipy.stats.bootstrap`` over the numbers of the parts. Its error is that of the sample;
        with n parts that is √(n−1)/√n of what is sought (Efron and Tibshirani, 1993).
    """
    values = statistic(np.ones((1, parts)))[:, 0]
    if parts < 2:
        return [Spread(float(value), math.nan, parts) for value in values]

    def drawn(numbers: npt.NDArray[np.int64], axis: int) -> Numbers:
        rows = np.atleast_2d(np.moveaxis(numbers, axis, -1))
        weights = np.zeros((len(rows), parts))
        np.add.at(weights, (np.arange(len(rows))[:, None], rows), 1.0)
        return statistic(weights)

    from scipy.stats import bootstrap  # it takes a second to import, and few look at it

    found: Any = bootstrap(
        (np.arange(parts),),
        drawn,
        n_resamples=_RESAMPLES,
        batch=_BATCH,
        vectorized=True,
        axis=-1,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    errors = np.nanstd(found.bootstrap_distribution, axis=-1, ddof=1)
    return [
        Spread(float(value), float(error) * math.sqrt(parts / (parts - 1)), parts)
        for value, error in zip(values, errors, strict=True)
    ]


def interval(baseline: Spread, other: Spread, *, doubt: float) -> Interval:
    """
    The difference of two estimates, with its bounds.

    Args:
        baseline: its estimate.
        other: independent of it.
        doubt: how often the bounds may fail to hold it, of 1.

    Source:
        Student's t with Welch's degrees of freedom: of so few parts the bootstrap's own percentiles
        make bounds that are too narrow (Hesterberg, 2015).
    """
    from scipy.stats import t  # see above

    squares = [baseline.error**2, other.error**2]
    both = sum(squares)
    if not both:
        return _around(other.value - baseline.value, 0.0)
    free = squares[0] ** 2 / (baseline.parts - 1) + squares[1] ** 2 / (other.parts - 1)
    return _around(
        other.value - baseline.value,
        float(t.ppf(1 - doubt / 2, both**2 / free)) * math.sqrt(both),
    )


def _around(value: float, half: float) -> Interval:
    return Interval(value, value - half, value + half)


def blocks_of(run: Run) -> Parts:
    """
    The measured phase of a run in blocks of equal length, the last one longer.

    A block is 5 s at least, and as much longer as turns that follow each other are alike; what it
    counts is asked in SQL, so that a run may have any number of turns.

    Source:
        The length by Carlstein's rule for the first autocorrelation r of windows of 1 s, n of them:
        (2r/(1−r²))^(2/3) · n^(1/3) (Annals of Statistics 14, 1986).
    """
    turns, measured_s = run.measured_turns, run.measured_s
    block_s = _block_s(turns, measured_s)
    number = max(1, int(measured_s / block_s))
    edges = np.append(np.arange(number) * block_s, max(measured_s, block_s))
    sums = _turn_sums(run, block_s, number)
    sums["seconds"] = np.diff(edges)
    sums["evicted"], sums["watched"] = _evicted(run.samples, edges)
    sums["rewriting"] = _rewriting(run, edges)
    return Parts(
        {clock: _classes(turns, clock, block_s, number) for clock in CLOCKS},
        sums,
        f"blocks of {block_s:g} s",
    )


def groups_of(run: Run) -> pd.DataFrame:
    """
    What became of the turns of a run, a row a group of conversations.

    A conversation is in the same group in every run of the same seed.

    Returns:
        columns ``sent``, ``failed``, ``needing``, ``lost``, ``expired``: turns of the measured
        phase, each once, however often it was delivered.
    """
    question = _turn_counts(of="conversation % $groups")
    found = run.measured_turns.ask(question, groups=_GROUPS).set_index("part")
    return found.reindex(range(_GROUPS), fill_value=0).astype(float)


def _block_s(turns: Rows, measured_s: float) -> float:
    seconds = turns.ask(
        "select floor(elapsed_s)::int as second, avg(ln(greatest(response_us, 1))) as slow, "
        f"avg((outcome in {_LOST})::int) as lost, avg((outcome in {FAILED})::int) as failed "
        "from rows group by second order by second"
    )
    alike = max(
        (_autocorrelation(seconds[name].to_numpy()) for name in ("slow", "lost", "failed")),
        default=0.0,
    )
    alike = min(max(alike, 0.0), 0.95)
    rule_s = (2 * alike / (1 - alike**2)) ** (2 / 3) * max(1, len(seconds)) ** (1 / 3)
    # Of fewer blocks nothing could be told at all.
    rule_s = min(math.ceil(rule_s), math.floor(measured_s / BLOCKS_LEAST))
    return float(max(BLOCK_LEAST_S, rule_s, math.ceil(measured_s / _BLOCKS_MOST)))


def _autocorrelation(values: Numbers) -> float:
    if len(values) < 4 or not np.isfinite(values).all():
        return 0.0
    # Around its trend: no block is as long as that, and both sides have it.
    at = np.arange(len(values))
    off = values - np.polyval(np.polyfit(at, values, 1), at)
    square = float(off @ off)
    return float(off[1:] @ off[:-1]) / square if square > 0 else 0.0


_BLOCK: Final = "least(floor(elapsed_s / $block_s)::int, $number - 1)"


def _classes(turns: Rows, clock: str, block_s: float, number: int) -> Numbers:
    found = turns.ask(
        f"select {_BLOCK} as block, least(floor(ln(greatest({clock}, 1)) / $ln)::int, $most) as "
        f"class, count(*) as turns from rows where {clock} is not null group by all",
        block_s=block_s,
        number=number,
        ln=_LN,
        most=_CLASSES - 1,
    )
    counts = np.zeros((number, _CLASSES))
    counts[found["block"].to_numpy(), found["class"].to_numpy()] = found["turns"]
    return counts


def _turn_counts(*, of: str) -> str:
    """
    The question how many turns were sent and failed, and needed their state and lost it.

    A turn counts once, however often its message was delivered: with the first delivery that was
    sent, and as failed only if no delivery was carried out or told that the state is gone. Lost is
    what was gone before its time to live was over; ``expired`` what was gone after it.

    Args:
        of: what turns are put together by, in SQL.
    """
    gone = f"outcome in {_GONE}"
    # Few messages are delivered again: only these are put together.
    again = (
        "select conversation, turn, "
        f"coalesce(min(delivery) filter ({gone}), -1) as gone_at, "
        "coalesce(min(delivery) filter (outcome <> 'unsent'), -1) as sent_at, "
        f"bool_or(outcome in {(*_DONE, *_GONE)}) as settled from rows "
        "where (conversation, turn) in (select (conversation, turn) from rows where delivery > 0) "
        "group by all"
    )
    told = (
        "select rows.*, coalesce(delivery = gone_at, true) as found_first, "
        "coalesce(delivery = sent_at, true) as sent_first, coalesce(settled, false) as settled "
        f"from rows left join ({again}) using (conversation, turn)"
    )
    needing = f"operation = 'update' and (outcome = 'ok' or {gone} and found_first)"
    return (
        f"select {of} as part, "
        "count(*) filter (outcome <> 'unsent' and sent_first) as sent, "
        f"count(*) filter (outcome in {FAILED} and sent_first and not settled) as failed, "
        f"count(*) filter ({needing}) as needing, "
        f"count(*) filter ({needing} and outcome in {_LOST}) as lost, "
        f"count(*) filter ({needing} and outcome = 'expired') as expired "
        f"from ({told}) group by part"
    )


def _turn_sums(run: Run, block_s: float, number: int) -> pd.DataFrame:
    question = _turn_counts(of=_BLOCK)
    found = run.measured_turns.ask(question, block_s=block_s, number=number)
    return found.set_index("part").reindex(range(number), fill_value=0).astype(float)


def _evicted(samples: pd.DataFrame, edges: Numbers) -> tuple[Numbers, Numbers]:
    """Keys evicted in each block, and for how much of it the server was sampled, s."""
    number = len(edges) - 1
    if len(samples) < 2:
        return np.zeros(number), np.zeros(number)
    at_s = samples["elapsed_s"].to_numpy(dtype=float)
    # A restarted server counts from 0 again.
    grown = np.maximum(0.0, np.diff(samples["evicted_keys"].to_numpy(dtype=float), prepend=np.nan))
    counted = np.interp(edges, at_s, np.nancumsum(grown))
    return np.diff(counted), np.diff(np.clip(edges, at_s[0], at_s[-1]))


def _rewriting(run: Run, edges: Numbers) -> Numbers:
    spans = rewrite_spans(run.events, run.samples)
    overlap = np.zeros(len(edges) - 1)
    for begin_s, end_s in zip(spans["elapsed_s"], spans["end_s"], strict=True):
        overlap += np.diff(np.clip(edges, begin_s, max(begin_s, end_s)))
    return np.minimum(overlap, np.diff(edges))
