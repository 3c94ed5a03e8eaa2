"""
Trend: one figure of many runs of one experiment, and where it changed for good.

A run is held against the stretch of runs before it: their median, and how far they usually lie from
it. One run outside may be the machine's doing; two in a row, on one side, are a change. What grows
a little with each run lies outside of nothing: a stretch as a whole is asked whether it rises.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal, NamedTuple, Self

import numpy as np
import pandas as pd

from workbench.analysis.comparison import FIGURES, Figure, check_tolerance, whole_of
from workbench.analysis.likeness import circumstances
from workbench.analysis.resampling import Numbers, Parts
from workbench.errors import UsageError, nearest
from workbench.runs.facts import began, html_table
from workbench.runs.listing import list_runs
from workbench.runs.run import Run, open_run
from workbench.runs.several import latest_pair, listed, open_runs

__all__ = ["RUNS_LEAST", "Course", "Trend", "course", "trend_of"]

RUNS_LEAST: Final = 5
"""Runs without which nothing is told."""

_STRETCH_LEAST: Final = 4
_DOUBT: Final = 0.01
_SHARE_LEAST: Final = 0.001
# A median absolute deviation times this is the standard deviation, of what is normal.
_OF_NORMAL: Final = 1.4826

Mark = Literal["first ones", "usual", "worse", "better"]
Standing = Literal["worse", "rising", "still worse", "last alone", "no worse"]


@dataclass(frozen=True, eq=False)
class Course:
    """
    One figure over the runs.

    Attributes:
        figure: which.
        table: a row a run: ``run``, ``began_unix_s``, ``value``, ``low`` and ``high`` (between
            which it would be usual; NaN for the first ones), ``mark``, ``stretch`` (its number).
        tolerance: by which share a value may lie off without being called so.
    """

    figure: Figure
    table: pd.DataFrame
    tolerance: float

    @property
    def changes(self) -> pd.DataFrame:
        """The rows with which a new stretch begins."""
        return self.table[self.table["stretch"].diff() > 0]

    @property
    def medians(self) -> dict[int, float]:
        """The median of each stretch."""
        found = self.table.groupby("stretch")["value"].median()
        return {int(str(stretch)): float(value) for stretch, value in found.items()}

    @property
    def stretch(self) -> pd.DataFrame:
        """The rows of the last stretch."""
        return self.table.query("stretch == stretch.max()")

    @property
    def standing(self) -> Standing:
        """
        How the figure stands at the last run.

        ``worse`` than in its best stretch since the last change; ``still worse`` though the last
        change was for the better; ``rising`` within the last stretch; ``last alone`` if only the
        last run is worse.
        """
        if self.best is not None:
            mark = self.changes["mark"].iloc[-1]
            return "worse" if mark == "worse" else "still worse"
        if self.rise is not None:
            return "rising"
        two_make_it = not self.changes.empty and len(self.stretch) == 2
        alone = self.table["mark"].iloc[-1] == "worse" and not two_make_it
        return "last alone" if alone else "no worse"

    @property
    def best(self) -> int | None:
        """
        The best stretch before the last one, if the last one is worse than it.

        Two odd runs are no level that is to be held again: a stretch counts from four runs on.
        """
        if self.changes.empty:
            return None
        last, medians = int(self.table["stretch"].iloc[-1]), self.medians
        runs = self.table["stretch"].value_counts()
        long = [each for each in range(last) if runs[each] >= _STRETCH_LEAST]
        least = min(long, key=lambda each: medians[each])
        return least if self._beyond(medians[last], medians[least]) else None

    @cached_property
    def rise(self) -> tuple[float, float] | None:
        """
        From where to where the last stretch rises from run to run; None if it is not known to.

        Source:
            Kendall's τ against the order, one-sided at 1 %, so that no single run makes a rise; how
            much by the slope of Theil and Sen, and more than the tolerance.
        """
        values = self.stretch["value"].to_numpy(dtype=float)
        if len(values) < RUNS_LEAST:
            return None
        from scipy.stats import kendalltau, theilslopes  # it takes a second to import

        order = np.arange(len(values))
        doubt = float(kendalltau(order, values, alternative="greater").pvalue)
        if not doubt < _DOUBT:  # of what is always the same there is none
            return None
        scaled = np.log(values) if self.figure.kind == "latency" else values
        slope, begin = theilslopes(scaled, order)[:2]
        ends = np.array([begin, begin + slope * order[-1]])
        low, high = np.exp(ends) if self.figure.kind == "latency" else np.maximum(ends, 0)
        return (float(low), float(high)) if self._beyond(high, low) else None

    def _beyond(self, value: float, base: float) -> bool:
        if self.figure.kind == "latency":
            return value > base * (1 + self.tolerance)
        return value > base + max(self.tolerance * base, _SHARE_LEAST)


@dataclass(frozen=True, slots=True, eq=False)
class Trend:
    """
    The figures of many runs.

    Attributes:
        experiment: whose runs.
        runs: those that are like the latest, in the order of time.
        courses: one a figure that is known in all of them.
        unknown: figures that are not known in all of them.
        left_out: name of each run that was left out, and why.
    """

    experiment: str
    runs: tuple[Run, ...]
    courses: tuple[Course, ...]
    unknown: tuple[Figure, ...]
    left_out: tuple[tuple[str, str], ...]

    def rows(self) -> list[tuple[str, ...]]:
        """One row a run, the latest last, for people; then those that were left out."""
        told = []
        for at, run in enumerate(self.runs):
            rows = [(each, each.table.iloc[at]) for each in self.courses]
            cells = [
                f"{each.figure.told(row['value'])}"
                f"{'' if row['mark'] in {'usual', 'first ones'} else ', ' + row['mark']}"
                for each, row in rows
            ]
            told.append((run.name, began(run.manifest.started_unix_s), *cells))
        blank = [""] * len(self.courses)
        left = [(name, f"left out: {why}", *blank) for name, why in self.left_out]
        return told + left

    @property
    def head(self) -> tuple[str, ...]:
        """The names of the columns of ``rows``."""
        return "run", "began", *(each.figure.title for each in self.courses)

    def __repr__(self) -> str:
        return "\n".join("  ".join(row).strip() for row in (self.head, *self.rows()))

    def _repr_html_(self) -> str:
        return html_table(self.rows(), head=self.head)


def trend_of(
    runs: Any = (),
    *,
    experiment: str = "",
    figures: Sequence[str] = (),
    varied: Sequence[str] = (),
    tolerance: float = 0.1,
) -> Trend:
    """
    The course of the figures of many runs of one experiment.

    Runs that broke off, are invalid, of another experiment, or unlike the latest one in more than
    what was meant, are left out and named.

    Args:
        runs: as ``open_runs`` takes them; all sealed runs if there are none, and the example if
            there is no run at all.
        experiment: its name; the latest run's if empty.
        figures: their names; those that weigh if there are none.
        varied: circumstances that may differ, such as ``version``.
        tolerance: by which share a value may lie off without being called so.

    Raises:
        UsageError: no such figure or circumstance, or the tolerance makes no sense.
        RunError: a run that was named is not there, or not sealed.
    """
    check_tolerance(tolerance)
    chosen = _figures(figures)
    known = sorted(_all(runs), key=lambda run: run.manifest.started_unix_s)
    name = experiment or _name(known[-1])
    kept, left_out = _alike(known, name, set(listed("varied", varied)))
    values = pd.DataFrame(
        [{figure.name: _value(run, figure, parts) for figure in chosen} for run, parts in kept]
    )
    times = [run.manifest.started_unix_s for run, _ in kept]
    names = [run.name for run, _ in kept]
    courses = []
    for figure in chosen:
        if kept and np.isfinite(values[figure.name]).all():
            table = course(values[figure.name].tolist(), figure, tolerance=tolerance)
            table.insert(0, "run", names)
            table.insert(1, "began_unix_s", times)
            courses.append(Course(figure, table, tolerance))
    told = {each.figure for each in courses}
    return Trend(
        name,
        tuple(run for run, _ in kept),
        tuple(courses),
        tuple(each for each in chosen if each not in told),
        tuple(left_out),
    )


def course(values: Sequence[float], figure: Figure, *, tolerance: float) -> pd.DataFrame:
    """
    Which of the values are usual, by those before them, and where a new stretch begins.

    Args:
        values: of one figure, in the order of time.
        figure: of which less is better.
        tolerance: by which share a value may lie off without being called so.

    Returns:
        One row a value: ``value``, ``low``, ``high``, ``mark``, ``stretch``.

    Source:
        Bounds of a further value of a normal sample, median and 1.4826 · median absolute deviation
        for its mean and deviation, so that one odd run does not widen them.
    """
    rows: list[dict[str, Any]] = []
    begin, alone = 0, set[int]()
    # How far a value usually lies off, as the stretches before tell it.
    known = _Usual.of((), figure)
    for at, value in enumerate(values):
        # What lies off alone is no part of what is usual.
        before = [values[each] for each in range(begin, at) if each not in alone]
        usual = _Usual.of(before, figure)
        if begin and len(before) < _STRETCH_LEAST:
            usual = known.moved_to(before, figure)
        low, high = usual.ends(figure, tolerance)
        mark: Mark = "first ones"
        if math.isfinite(low):
            mark = "worse" if value > high else "better" if value < low else "usual"
        stretch = rows[-1]["stretch"] if rows else 0
        if at - 1 in alone and rows[-1]["mark"] == mark:
            # A new stretch begins with the first of the two.
            begin, stretch, known = at - 1, stretch + 1, usual
            rows[-1]["stretch"] = stretch
            alone.discard(begin)
        elif mark in {"worse", "better"}:
            alone.add(at)
        rows.append({"value": value, "low": low, "high": high, "mark": mark, "stretch": stretch})
    return pd.DataFrame(rows, columns=["value", "low", "high", "mark", "stretch"])


class _Usual(NamedTuple):
    """
    What a further value of a stretch would be: of a latency in logarithms.

    Attributes:
        middle: the median of its values; NaN if they are too few.
        deviation: how far they lie from it.
        told_by: how many values tell the deviation.
        number: how many tell the middle.
        least: the bounds are as wide at least, to either side.
    """

    middle: float
    deviation: float
    told_by: int
    number: int
    least: float = 0.0

    @classmethod
    def of(cls, before: Sequence[float], figure: Figure) -> Self:
        number = len(before)
        if number < _STRETCH_LEAST:
            return cls(math.nan, math.nan, number, number)
        values = _scaled(before, figure)
        middle = float(np.median(values))
        deviation = _OF_NORMAL * float(np.median(np.abs(values - middle)))
        return cls(middle, deviation, number, number)

    def moved_to(self, before: Sequence[float], figure: Figure) -> "_Usual":
        """Around the few values of a new stretch, as far as those before it lay from their own."""
        values = _scaled(before, figure)
        middle = float(np.median(values))
        times = 1.0
        if figure.kind != "latency" and self.middle > 0:
            times = max(1.0, middle / self.middle)
        return _Usual(
            middle, times * self.deviation, self.told_by, len(values), float(np.ptp(values))
        )

    def ends(self, figure: Figure, tolerance: float) -> tuple[float, float]:
        if not math.isfinite(self.middle):
            return math.nan, math.nan
        from scipy.stats import t  # it takes a second to import, and few look at it

        times = float(t.ppf(1 - _DOUBT / 2, self.told_by - 1))
        half = max(times * self.deviation * math.sqrt(1 + 1 / self.number), self.least)
        if figure.kind == "latency":
            half = max(half, math.log1p(tolerance))
            return math.exp(self.middle - half), math.exp(self.middle + half)
        half = max(half, tolerance * self.middle, _SHARE_LEAST)
        return self.middle - half, self.middle + half


def _scaled(values: Sequence[float], figure: Figure) -> Numbers:
    return np.log(values) if figure.kind == "latency" else np.asarray(values, dtype=float)


def _figures(names: Sequence[str]) -> list[Figure]:
    known = {figure.name: figure for figure in FIGURES}
    names = listed("figures", names)
    for name in names:
        if name not in known:
            raise UsageError(f"there is no figure {name!r}{nearest(str(name), known)}")
    return [known[name] for name in names] or [each for each in FIGURES if each.weighs]


def _all(runs: Any) -> Sequence[Run]:
    if found := open_runs(runs):
        return found
    return [open_run(entry.path) for entry in list_runs()] or latest_pair()[0]


def _name(run: Run) -> str:
    return str(run.manifest.experiment.get("name", "unknown"))


def _alike(
    known: Sequence[Run], name: str, varied: set[str]
) -> tuple[list[tuple[Run, Any]], list[tuple[str, str]]]:
    """The runs that are like the latest one, and the others with what is odd about them."""
    odd: dict[str, str] = {}
    sound = []
    for run in known:
        if _name(run) != name:
            continue
        if run.manifest.status != "complete":
            odd[run.name] = f"{run.manifest.status}: {run.manifest.why}"
        elif run.measured_s <= 0:
            odd[run.name] = "no measured phase"
        else:
            sound.append(run)
    if not sound:
        return [], list(odd.items())
    now = circumstances(sound[-1].manifest)
    if unknown := varied - now.keys():
        first = sorted(unknown)[0]
        raise UsageError(f"no circumstance of a run is called {first!r}{nearest(first, now)}")
    kept = []
    for run in sound:
        then = circumstances(run.manifest)
        unlike = [
            f"{each} {then[each]}, not {value}"
            for each, value in now.items()
            if each in then and then[each] != value and each not in varied
        ]
        if unlike:
            more = f" and {len(unlike) - 3} more" if len(unlike) > 3 else ""
            odd[run.name] = f"unlike: {'; '.join(unlike[:3])}{more}"
        else:
            kept.append((run, whole_of(run)))
    return kept, [(run.name, odd[run.name]) for run in known if run.name in odd]


def _value(run: Run, figure: Figure, parts: Parts) -> float:
    if parts.count < figure.turns_least:
        return math.nan
    found = float(figure.values(parts, np.ones((1, 1)))[0])
    return math.exp(found) if figure.kind == "latency" else found
