"""A figure of a bench: its value, how sure it is, and what it was to be."""

import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Figure", "Report", "count", "measured", "percentile", "ratio"]


@dataclass(frozen=True, slots=True)
class Figure:
    """
    One number.

    Attributes:
        id: for programs.
        title: for people.
        value: in ``unit``.
        low, high: between which nine of ten rounds lie; None of what is counted.
        must, goal: as in ``<=1.35``; None if it is only reported.
        holds: whether ``must`` is met; None if it cannot be told, and ``why`` says why.
        n: how many times the thing was done.
    """

    id: str
    title: str
    value: float
    unit: str
    n: int
    low: float | None = None
    high: float | None = None
    must: str | None = None
    goal: str | None = None
    holds: bool | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """
    What a bench found.

    Attributes:
        bench: its name.
        noisy: the same command, measured twice, differed by more than 5 %.
    """

    bench: str
    noisy: bool
    figures: Sequence[Figure]
    server: str

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        return {
            "bench": self.bench,
            "seed": 0,
            "machine": {
                "cpus": os.cpu_count(),
                "load": [round(each, 2) for each in os.getloadavg()],
                "python": platform.python_version(),
                "system": f"{platform.system()} {platform.machine()}",
                "server": self.server,
            },
            "noisy": self.noisy,
            "figures": [asdict(figure) for figure in self.figures],
        }

    @property
    def failed(self) -> bool:
        """Whether any figure that had to hold does not."""
        return any(figure.holds is False for figure in self.figures)


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def ratio(
    figure_id: str,
    title: str,
    of: Sequence[Sequence[float]],
    to: Sequence[Sequence[float]],
    *,
    must: str | None = None,
    goal: str | None = None,
) -> Figure:
    """
    The ratio of two medians, measured in rounds; each round has as many of the one as of the other.

    Args:
        figure_id: for programs.
        title: of the figure.
        of: for each round, what was measured.
        to: for each round, what it is compared with.
        must: as in ``<=1.35``.
        goal: likewise.
    """
    ratios = [statistics.median(a) / statistics.median(b) for a, b in zip(of, to, strict=True)]
    low, high = percentile(ratios, 0.05), percentile(ratios, 0.95)
    value = statistics.median(ratios)
    holds: bool | None = None
    why = ""
    if must is not None:
        within = [_meets(each, must) for each in (low, high)]
        holds = within[0] if within[0] == within[1] else None
        why = "" if holds is not None else "nine of ten rounds lie on both sides of it"
    return Figure(
        figure_id, title, value, "ratio", sum(map(len, of)), low, high, must, goal, holds, why
    )


def measured(
    figure_id: str,
    title: str,
    values: Sequence[float],
    unit: str,
    *,
    must: str | None = None,
    goal: str | None = None,
) -> Figure:
    """The median of what was measured in rounds."""
    value = statistics.median(values)
    holds = None if must is None else _meets(value, must)
    return Figure(
        figure_id,
        title,
        value,
        unit,
        len(values),
        percentile(values, 0.05),
        percentile(values, 0.95),
        must,
        goal,
        holds,
    )


def count(
    figure_id: str,
    title: str,
    value: float,
    *,
    n: int,
    unit: str = "count",
    must: str | None = None,
    goal: str | None = None,
) -> Figure:
    """What was counted, and not measured."""
    holds = None if must is None else _meets(value, must)
    return Figure(figure_id, title, value, unit, n, None, None, must, goal, holds)


def _meets(value: float, bound: str) -> bool:
    if bound.startswith("<="):
        return value <= float(bound[2:])
    if bound.startswith(">="):
        return value >= float(bound[2:])
    return value == float(bound)
