"""Bench, and its figures: a value, how sure it is, and what it was to be."""

import math
import os
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from workbench.registry import Registry

if TYPE_CHECKING:
    from workbench.server.process import PrivateServer

__all__ = [
    "BENCHES",
    "Bench",
    "Figure",
    "Report",
    "count",
    "not_measured",
    "of_rounds",
    "ratio",
    "ratio_of_rounds",
]


@dataclass(frozen=True, slots=True)
class Figure:
    """
    One number.

    Attributes:
        id: for programs.
        title: for people.
        value: in ``unit``; None if it could not be measured, and ``why`` says why.
        low, high: between which nine of ten rounds lie; None of what is counted.
        must, goal: as in ``<=1.35``; None if it is only reported.
        holds: whether ``must`` is met; None if it cannot be told, and ``why`` says why.
        n: how many times the thing was done.
    """

    id: str
    title: str
    value: float | None
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
        noisy: the same command, measured twice, differed by more than 5 %; where verdicts are
            counted, one of them changed when the same was done again.
        server: what it was measured on.
        details: what else programs are told, by name.
        table: the same for people; empty if there is none.
    """

    bench: str
    noisy: bool
    figures: Sequence[Figure]
    server: str
    details: Mapping[str, Any] = field(default_factory=dict)
    table: str = ""

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
            **self.details,
        }

    @property
    def failed(self) -> bool:
        """Whether any figure that had to hold does not."""
        return any(figure.holds is False for figure in self.figures)


class Measure(Protocol):
    """What measures, on a private server that is empty."""

    def __call__(
        self, server: "PrivateServer", *, quick: bool, say: Callable[[str], None] = ...
    ) -> Report:
        """Quickly with fewer rounds; ``say`` is told what is measured next."""


@dataclass(frozen=True, slots=True)
class Bench:
    """
    One bench.

    Attributes:
        measure: it.
        takes: how long, if not quick: ``about ten minutes``.
        page: makes a page of documentation of what a report tells programs; None if there is none.
    """

    measure: Measure
    takes: str
    page: Callable[[Mapping[str, Any]], str] | None = None


BENCHES: "Final[Registry[Bench]]" = Registry("bench", "workbench.benches")
"""Every bench by name."""


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
    return ratio_of_rounds(figure_id, title, ratios, n=sum(map(len, of)), must=must, goal=goal)


def ratio_of_rounds(
    figure_id: str,
    title: str,
    ratios: Sequence[float],
    *,
    n: int | None = None,
    must: str | None = None,
    goal: str | None = None,
) -> Figure:
    """The median of what each round gave; ``must`` holds if it does for nine of ten rounds."""
    low, high = _percentile(ratios, 0.05), _percentile(ratios, 0.95)
    holds: bool | None = None
    why = ""
    if must is not None:
        within = [_meets(each, must) for each in (low, high)]
        holds = within[0] if within[0] == within[1] else None
        why = "" if holds is not None else "nine of ten rounds lie on both sides of it"
    return Figure(
        figure_id,
        title,
        statistics.median(ratios),
        "ratio",
        len(ratios) if n is None else n,
        low,
        high,
        must,
        goal,
        holds,
        why,
    )


def of_rounds(figure_id: str, title: str, values: Sequence[float], *, unit: str) -> Figure:
    """The median of what each round gave, which has no bound."""
    low, high = _percentile(values, 0.05), _percentile(values, 0.95)
    return Figure(figure_id, title, statistics.median(values), unit, len(values), low, high)


def not_measured(figure_id: str, title: str, why: str, unit: str) -> Figure:
    """What could not be measured here."""
    return Figure(figure_id, title, None, unit, 0, why=why)


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


def _percentile(values: Sequence[float], share: float) -> float:
    """The nearest rank."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
