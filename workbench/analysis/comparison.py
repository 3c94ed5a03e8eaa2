"""
Two runs, or two groups of runs: which figures differ, by how much, and how sure that is.

Nothing of it is judged here beyond the bounds; the finding is the matter of ``diagnostics``.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np
import pandas as pd

from workbench.analysis.likeness import Unlike, check_sides, unknown
from workbench.analysis.persistence import since_first_rewrite
from workbench.analysis.resampling import (
    BLOCK_LEAST_S,
    BLOCKS_LEAST,
    CLASS_WIDTH,
    Numbers,
    Parts,
    Spread,
    blocks_of,
    interval,
    spreads,
)
from workbench.errors import RunError, UsageError
from workbench.runs.facts import html_table, markdown_table
from workbench.runs.run import Run
from workbench.runs.several import listed
from workbench.units import format_count, format_duration, format_rate, format_share

__all__ = [
    "FIGURES",
    "RUNS_LEAST",
    "Comparison",
    "Difference",
    "Figure",
    "Side",
    "check_tolerance",
    "compare",
    "whole_of",
]

Kind = Literal["latency", "share", "rate"]
Verdict = Literal["worse", "better", "no worse", "unknown"]

RUNS_LEAST: Final = 3
"""Runs of each side from which on runs are drawn again, not blocks of time."""

_SHARE_LEAST: Final = 0.001
_DOUBT: Final = 0.05
_BEYOND: Final = 10
# From three times on a change is told as times, and up to a thousand of them.
_TIMES_FROM: Final = 2.0
_TIMES_MOST: Final = 1000


@dataclass(frozen=True, slots=True)
class Figure:
    """
    One figure that is compared; of each of them less is better.

    Attributes:
        name: of its column, with its unit.
        title: as a person reads it.
        kind: how it is told: a ``latency`` in µs, a ``share`` of a whole, a ``rate`` by the second.
        weighs: whether it has a say in the verdict; the others explain it.
        of: the clock, or the sum above the stroke.
        by: the share of the turns below a percentile, or the sum below the stroke.
    """

    name: str
    title: str
    kind: Kind
    weighs: bool
    of: str
    by: str | float = ""

    @property
    def of_run(self) -> bool:
        """Whether a run has it once, so that it has bounds among several runs only."""
        return not self.by

    @property
    def turns_least(self) -> int:
        """Turns without which a percentile rests on less than ten; 0 of what is none."""
        return round(_BEYOND / (1 - self.by)) if isinstance(self.by, float) else 0

    def values(self, parts: Parts, weights: Numbers) -> Numbers:
        """Of each resample; of a latency its logarithm."""
        if isinstance(self.by, float):
            return np.log(parts.quantile_us(self.of, self.by, weights))
        if self.by:
            return parts.quotient(self.of, self.by, weights)
        found = parts.mean(self.of, weights)
        return np.log(np.where(found > 0, found, np.nan)) if self.kind == "latency" else found

    def told(self, value: float) -> str:
        """A value of it for people; ``unknown`` where there is none."""
        if self.kind == "latency":
            return format_duration(value / 1e6)
        return format_share(value) if self.kind == "share" else format_rate(value)


# Turns are drawn from what may come; a time that was watched from end to end is no such sample.
_COUNTED: Final = ("needing", "sent")
_TTL: Final = "load.ttl_s"

FIGURES: Final = (
    Figure("response_us_p50", "response p50", "latency", True, "response_us", 0.5),
    Figure("response_us_p99", "response p99", "latency", True, "response_us", 0.99),
    Figure("response_us_p999", "response p99.9", "latency", False, "response_us", 0.999),
    Figure("service_us_p99", "service p99", "latency", False, "service_us", 0.99),
    Figure("lost_state_share", "turns that lost their state", "share", True, "lost", "needing"),
    Figure("expired_share", "turns that found it expired", "share", False, "expired", "needing"),
    Figure("failed_share", "turns that failed", "share", True, "failed", "sent"),
    Figure("evicted_keys_per_s", "keys evicted", "rate", False, "evicted", "watched"),
    Figure("rewriting_share", "time in AOF rewrites", "share", False, "rewriting", "watched"),
    Figure("fork_us", "longest fork", "latency", False, "fork_us"),
    Figure("memory_peak_share", "peak memory, of the cap", "share", False, "memory_share"),
)
"""Every figure that is compared."""


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """
    One side of a comparison.

    Attributes:
        name: for people.
        runs: of it.
        parts: what is drawn again.
        whole: its runs, each as one part.
        measured_s: in all, s.
    """

    name: str
    runs: tuple[Run, ...]
    parts: Parts
    whole: Parts
    measured_s: float

    def value(self, figure: Figure) -> float:
        """The figure over all runs of the side; NaN if it is not known."""
        found = float(figure.values(self.whole, np.ones((1, len(self.whole))))[0])
        return math.exp(found) if figure.kind == "latency" else found


@dataclass(frozen=True, slots=True)
class Difference:
    """
    How one figure differs.

    Attributes:
        figure: which.
        baseline, other: its value on each side; NaN if it is not known.
        change: of a share in parts of the whole, else by the baseline's value; NaN if not known.
        low, high: the bounds of the change; NaN if they are not known.
        verdict: of the other side.
        why: it is unknown, and how much more would do; empty if it is known.
    """

    figure: Figure
    baseline: float
    other: float
    change: float
    low: float
    high: float
    verdict: Verdict
    why: str = ""

    @property
    def told(self) -> str:
        """The change with its bounds, for people."""
        if not math.isfinite(self.change):
            return "unknown"
        if not math.isfinite(self.low):
            return f"{self._one(self.change)}, bounds unknown"
        low, high = self._number(self.low), self._number(self.high)
        return f"{self._one(self.change)} ({low} to {high})"

    def _one(self, change: float) -> str:
        told = self._number(change)
        if self.figure.kind == "share":
            return f"{told} points"
        return f"{told} %" if told[0] in "+-" else told

    def _number(self, change: float) -> str:
        if self.figure.kind != "share" and change >= _TIMES_FROM:
            return f"×{1 + change:.3g}" if change < _TIMES_MOST else f"over ×{_TIMES_MOST:,}"
        digits = 2 if abs(change) < 0.1 else 1 if abs(change) < 1 else 0
        return f"{100 * change:+.{digits}f}"


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """
    Two sides, and every figure of them.

    Attributes:
        baseline, other: the sides.
        differences: one a figure.
        unlike: circumstances in which they differ, all of them meant or accepted.
        doubts: what makes less of it than it seems, in sentences.
        how: what was drawn again.
        tolerance: by which share a figure may be worse.
        twice: whether a run stands on both sides, so that nothing can be said.
    """

    baseline: Side
    other: Side
    differences: tuple[Difference, ...]
    unlike: tuple[Unlike, ...]
    doubts: tuple[str, ...]
    how: str
    tolerance: float
    twice: bool = False

    def __getitem__(self, name: str) -> Difference:
        return next(each for each in self.differences if each.figure.name == name)

    @property
    def frame(self) -> pd.DataFrame:
        """One row a figure, in its own unit: for programs."""
        return pd.DataFrame(
            {
                "figure": each.figure.name,
                "baseline": each.baseline,
                "other": each.other,
                "change": each.change,
                "low": each.low,
                "high": each.high,
                "verdict": each.verdict,
                "why": each.why,
            }
            for each in self.differences
        )

    def rows(self) -> list[tuple[str, ...]]:
        """One row a figure, for people; see ``HEAD``."""
        return [
            (
                each.figure.title,
                each.figure.told(each.baseline),
                each.figure.told(each.other),
                each.told,
                f"{each.verdict}: {each.why}" if each.why else each.verdict,
            )
            for each in self.differences
        ]

    @property
    def head(self) -> tuple[str, ...]:
        """The names of the columns of ``rows``."""
        return "", self.baseline.name, self.other.name, "change (bounds)", "verdict"

    def to_markdown(self) -> str:
        """The table, what differs besides, and how sure it is."""
        table = markdown_table(self.head, self.rows())
        return "\n\n".join([table, *self.notes()])

    def notes(self) -> list[str]:
        """What differs besides, what was drawn again, and what makes less of it, in sentences."""
        told = [f"Unlike in {each}." for each in self.unlike]
        return [*told, *filter(None, [self.how]), *self.doubts]

    def to_text(self) -> str:
        """The table in columns, and the notes below it."""
        lines = [self.head, *self.rows()]
        widths = [max(len(line[at]) for line in lines) for at in range(len(self.head) - 1)]
        table = [
            "  ".join(
                [*(text.ljust(width) for text, width in zip(line, widths, strict=False)), line[-1]]
            )
            for line in lines
        ]
        return "\n".join([*table, "", *self.notes()])

    def told(self) -> dict[str, Any]:
        """All of it in its own units, for programs; what is not known is None."""
        columns = self.frame.astype(object).where(self.frame.notna(), None)
        return {
            "baseline": [run.where for run in self.baseline.runs],
            "other": [run.where for run in self.other.runs],
            "figures": columns.to_dict("records"),
            "unlike": {each.name: [each.baseline, each.other] for each in self.unlike},
            "notes": self.notes()[len(self.unlike) :],
        }

    def __repr__(self) -> str:
        return self.to_text()

    def _repr_html_(self) -> str:
        notes = html_table([(note,) for note in self.notes()])
        return html_table(self.rows(), head=self.head) + notes


def compare(
    baseline: Sequence[Run],
    other: Sequence[Run],
    *,
    varied: Sequence[str] = (),
    accept_unlike: bool = False,
    tolerance: float = 0.1,
    names: tuple[str, str] | None = None,
) -> Comparison:
    """
    Compare two runs, or two groups of runs.

    With three runs or more on each side runs are drawn again, so that the bounds hold what differs
    from run to run; else blocks of the time of these runs, and the bounds tell of these runs alone.
    The bounds of all figures together fail to hold the change in one comparison of twenty.

    Args:
        baseline: its runs, all of one kind.
        other: the runs that are held against it, likewise.
        varied: circumstances that were meant to differ, such as ``maxmemory-policy``.
        accept_unlike: compare whatever differs.
        tolerance: by which share a figure may be worse without being called so.
        names: of the sides, for people; the runs' own if None.

    Raises:
        RunError: the sides are unlike in more than what was meant, a run broke off, or has no
            measured phase.
        UsageError: no circumstance has such a name, or the tolerance makes no sense.
    """
    check_tolerance(tolerance)
    if not baseline or not other:
        raise UsageError("a comparison takes a run on each side")
    unlike = check_sides(
        baseline, other, varied=listed("varied", varied), accept_unlike=accept_unlike
    )
    by_run = min(len(baseline), len(other)) >= RUNS_LEAST
    told = names or _names(baseline, other)
    first, second = _side(told[0], baseline, by_run), _side(told[1], other, by_run)
    twice = {run.where for run in baseline} & {run.where for run in other}
    # A state that lives shortly is not evicted: where that was changed, it is what may be worse.
    lives = _TTL in {each.name for each in unlike}
    figures = [
        replace(each, weighs=True) if lives and each.name == "expired_share" else each
        for each in FIGURES
    ]
    differences = _differences(figures, (first, second), tolerance, by_run)
    if twice:
        why = "the same run stands on both sides"
        differences = [_unknown(each, why) for each in differences]
    return Comparison(
        first,
        second,
        tuple(differences),
        unlike,
        tuple(_doubts((first, second), by_run, twice=bool(twice))),
        "" if twice else _how((first, second)),
        tolerance,
        bool(twice),
    )


def _names(baseline: Sequence[Run], other: Sequence[Run]) -> tuple[str, str]:
    if len(baseline) == len(other) == 1:
        return baseline[0].name, other[0].name
    before, after = (format_count(len(runs), "run") for runs in (baseline, other))
    return f"baseline ({before})", f"other ({after})"


def _side(name: str, runs: Sequence[Run], by_run: bool) -> Side:
    for run in runs:
        if run.measured_s <= 0:
            raise RunError(f"{run.name} has no measured phase; compare runs that have one")
    each = [blocks_of(run) for run in runs]
    whole = Parts.together([_whole(*known) for known in zip(runs, each, strict=True)])
    parts = whole if by_run else Parts.together(each)
    return Side(name, tuple(runs), parts, whole, sum(run.measured_s for run in runs))


def check_tolerance(tolerance: Any) -> None:
    """
    Refuse a tolerance that makes no sense.

    Raises:
        UsageError: it is no share.
    """
    if not isinstance(tolerance, int | float) or not 0 < tolerance <= 1:
        raise UsageError(f"tolerance is {tolerance!r}, and not a share above 0, such as 0.1")


def whole_of(run: Run) -> Parts:
    """A run as one part, of which figures can be asked."""
    return _whole(run, blocks_of(run))


def _whole(run: Run, parts: Parts) -> Parts:
    return parts.whole(fork_us=_fork_us(run), memory_share=_memory_share(run))


def _fork_us(run: Run) -> float:
    """The longest fork of a rewrite under the measured load, µs; NaN if there was none."""
    return float(since_first_rewrite(run.events, run.samples)["latest_fork_usec"].max())


def _memory_share(run: Run) -> float:
    """``used_memory`` at its most, of the cap; NaN without one."""
    polls = run.samples[run.samples["elapsed_s"].between(0, run.measured_s)]
    capped = polls[polls["maxmemory"] > 0]
    return float((capped["used_memory"] / capped["maxmemory"]).max())


def _differences(
    figures: Sequence[Figure], sides: tuple[Side, Side], tolerance: float, by_run: bool
) -> list[Difference]:
    why = {figure: _why_not(figure, *sides, by_run) for figure in figures}
    bounded = [figure for figure in figures if not why[figure]]
    drawn = [
        dict(zip(bounded, _spreads(side.parts, bounded, seed), strict=True))
        for seed, side in enumerate(sides, start=1)
    ]
    return [
        _difference(
            figure,
            sides,
            [spread.get(figure) for spread in drawn],
            why[figure],
            doubt=_DOUBT / max(1, len(bounded)),
            tolerance=tolerance,
        )
        for figure in figures
    ]


def _spreads(parts: Parts, figures: Sequence[Figure], seed: int) -> list[Spread]:
    if not figures:
        return []
    return spreads(
        len(parts),
        lambda weights: np.stack([figure.values(parts, weights) for figure in figures]),
        seed=seed,
    )


def _why_not(figure: Figure, baseline: Side, other: Side, by_run: bool) -> str:
    """Why a figure can have no bounds, and what it takes; empty if it can."""
    sides = (baseline, other)
    absent = [side.name for side in sides if not math.isfinite(side.value(figure))]
    if absent:
        return f"there is none in {' and in '.join(dict.fromkeys(absent))}"
    if figure.of_run and not by_run:
        return f"a run has it once: it takes {RUNS_LEAST} runs on each side"
    if isinstance(figure.by, float):
        few = min(side.parts.count for side in sides)
        least = figure.turns_least
        if few < least:
            return f"not enough data: {few:,} turns, and it takes {least:,} on each side"
        late = [run for side in sides for run in side.runs if run.manifest.status == "invalid"]
        if late:
            return f"the figures of {late[0].name} do not hold: {late[0].manifest.why}"
    parts = min(len(side.parts) for side in sides)
    if not by_run and parts < BLOCKS_LEAST:
        shortest_s = min(side.measured_s for side in sides)
        block_s = max(BLOCK_LEAST_S, shortest_s / parts)
        return (
            f"not enough data: {format_duration(shortest_s)} are {format_count(parts, 'block')}, "
            f"and it takes {BLOCKS_LEAST}: measure {format_duration(BLOCKS_LEAST * block_s)}"
        )
    return ""


def _difference(
    figure: Figure,
    sides: tuple[Side, Side],
    drawn: Sequence[Spread | None],
    why: str,
    *,
    doubt: float,
    tolerance: float,
) -> Difference:
    before, after = (side.value(figure) for side in sides)
    relative = figure.kind != "share"
    change = after / before - 1 if relative and before else after - before
    change = math.nan if relative and not before and after else change
    first, second = drawn
    if why or first is None or second is None:
        return Difference(figure, before, after, change, math.nan, math.nan, "unknown", why)
    bounds = interval(first, second, doubt=doubt)
    low, high = bounds.low, bounds.high
    if figure.kind == "latency":
        # A class is so wide: within it nothing is told apart.
        low, high = (math.exp(bound) - 1 for bound in (low - CLASS_WIDTH, high + CLASS_WIDTH))
    elif figure.kind == "rate" and before:
        low, high = max(-1.0, low / before), high / before
    elif not before and not after and figure.by in _COUNTED:
        # None of so many: by the rule of three it may still be three of them.
        low, high = -_three(figure, sides[0]), _three(figure, sides[1])
    allowed = tolerance if relative else max(tolerance * before, _SHARE_LEAST)
    verdict = _verdict(change, low, high, allowed)
    why = _how_much_more(change, low, high, allowed, sides) if verdict == "unknown" else ""
    return Difference(figure, before, after, change, low, high, verdict, why)


def _three(figure: Figure, side: Side) -> float:
    return 3 / max(3.0, float(side.whole.sums[str(figure.by)].sum()))


def _verdict(change: float, low: float, high: float, allowed: float) -> Verdict:
    if not math.isfinite(change + low + high):
        return "unknown"
    if low > 0 and change > allowed:
        return "worse"
    if high < 0 and change < -allowed:
        return "better"
    return "no worse" if high <= allowed else "unknown"


def _how_much_more(
    change: float, low: float, high: float, allowed: float, sides: tuple[Side, Side]
) -> str:
    """How much more data would settle it: bounds narrow with the root of what they rest on."""
    if not math.isfinite(change + low + high):
        return "nothing to compare it with: the baseline has none"
    half = (high - low) / 2
    room = max(allowed - change if change < allowed / 2 else change, allowed / 4)
    times = (half / room) ** 2
    if times <= 1:
        times = 2.0
    if len(sides[0].parts) == len(sides[0].runs) and sides[0].parts is sides[0].whole:
        runs = max(len(side.runs) for side in sides)
        more = f"{math.ceil(times * runs):,} runs on each side"
    else:
        more = format_duration(math.ceil(times * min(side.measured_s for side in sides)))
        more = f"{more} measured on each side"
    return (
        f"not enough data: {'over 100 times as much' if times > 100 else f'about {more}'} would do"
    )


def _unknown(each: Difference, why: str) -> Difference:
    return Difference(
        each.figure, each.baseline, each.other, math.nan, math.nan, math.nan, "unknown", why
    )


def _how(sides: Sequence[Side]) -> str:
    drawn = [
        f"{len(side.parts)} {side.parts.what} of {side.name}"
        if side.parts is not side.whole
        else f"{len(side.parts)} runs of {side.name}"
        for side in sides
    ]
    return (
        f"Drawn again: {' and '.join(drawn)}. In nineteen comparisons of twenty all bounds hold "
        "what they are to hold. Shares are of all turns measured, each once, however often it was "
        "delivered."
    )


def _doubts(sides: Sequence[Side], by_run: bool, *, twice: bool) -> list[str]:
    if twice:
        return []
    blank = unknown([run for side in sides for run in side.runs])
    doubts = [
        f"Not known of all runs, so that they may be unlike in it: {', '.join(blank)}."
    ] * bool(blank) + [
        f"{run.name} is invalid: {run.manifest.why}; its latencies do not hold."
        for side in sides
        for run in side.runs
        if run.manifest.status == "invalid"
    ]
    if not by_run:
        doubts.append(
            f"The bounds tell of these runs alone: what differs from run to run takes {RUNS_LEAST} "
            "runs on each side."
        )
    return doubts
