"""Two sides of a comparison: their percentile curves, and how far each figure moved."""

import math
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from workbench.analysis.comparison import Comparison, Difference, Side
from workbench.plots.annotate import end_labels, no_data
from workbench.plots.style import LOSS, REFERENCE, SECOND, STATE, Chart, styled
from workbench.units import format_duration

__all__ = ["draw_curves", "draw_differences", "figure_curves", "figure_differences"]

_COLOURS: Final = {"worse": LOSS, "better": SECOND, "no worse": STATE, "unknown": REFERENCE}
_ROUND: Final = {2: "p50", 10: "p90", 100: "p99", 1000: "p99.9", 10_000: "p99.99"}
_BEYOND: Final = 10
_TIMES_MOST: Final = 1000.0
_CURVES: Final = ((REFERENCE, (0, (5, 3))), (STATE, "-"))


def draw_curves(ax: Axes, sides: Sequence[Side]) -> Axes:
    """
    How long the slowest turn of so many waits, one line a side; both axes are logarithmic.

    A line ends where fewer than ten turns would bear it.

    Args:
        ax: x is one turn in so many.
        sides: the baseline first, which is dashed.
    """
    ax.set_title("Turn response, ms (client side)")
    known = [
        (side, mark) for side, mark in zip(sides, _CURVES, strict=True) if side.whole.count >= 20
    ]
    if not known:
        no_data(ax, "too few turns")
        ax.set_xticks([])
        return ax
    labels, lowest, highest = [], math.inf, 0.0
    most = max(side.whole.count for side, _ in known) / _BEYOND
    for side, (colour, dash) in known:
        reach = max(2.0, side.whole.count / _BEYOND)
        one_in = np.geomspace(2, reach, 60)
        curve = np.array([_response_ms(side, each) for each in one_in])
        ax.plot(one_in, curve, color=colour, ls=dash)
        name = "baseline" if side is sides[0] else _short(side.name)
        labels.append((float(curve[-1]), name, colour))
        lowest, highest = min(lowest, curve.min()), max(highest, curve.max())
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlim(2, most)
    ax.set_ylim(0.8 * lowest, 1.3 * highest)
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    ax.yaxis.set_minor_locator(NullLocator())
    at = [each for each in _ROUND if each <= most] or [2]
    ax.xaxis.set_major_locator(FixedLocator(at))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xticks(at, [f"{_ROUND[each]}\n1 in {each:,}" for each in at])
    ax.set_xlabel("the slowest turn of so many, logarithmic")
    end_labels(ax, labels)
    return ax


def _response_ms(side: Side, one_in: float) -> float:
    weights = np.ones((1, len(side.whole)))
    return float(side.whole.quantile_us("response_us", 1 - 1 / one_in, weights)[0]) / 1000


def draw_differences(ax: Axes, differences: Sequence[Difference], *, title: str) -> Axes:
    """
    The change of each figure with its bounds: left of 0 is better, right of it worse.

    Args:
        ax: y is one figure below the other.
        differences: those that are known, of one unit.
        title: quantity and unit.
    """
    ends = [value for each in differences for value in (each.change, each.low, each.high)]
    widest = max([abs(end) for end in ends if math.isfinite(end)] or [0.01]) or 0.01
    relative = all(_relative(each) for each in differences)
    at = _times if relative and widest > 1 else _percent
    ax.set_title(title)
    ax.axvline(at(0), color=REFERENCE, lw=1)
    ax.grid(visible=False, axis="y")
    ax.grid(visible=True, axis="x")
    for y, each in enumerate(differences):
        colour = _COLOURS[each.verdict]
        bounded = math.isfinite(each.low)
        if bounded:
            ax.hlines(y, at(each.low), at(each.high), color=colour, lw=3, alpha=0.45)
        face = colour if bounded else "none"
        ax.plot(at(each.change), y, marker="o", ms=7, mec=colour, mfc=face, ls="")
        ax.annotate(
            each.verdict if bounded else "no bounds",
            (1, y),
            xycoords=ax.get_yaxis_transform(),
            xytext=(7, 0),
            textcoords="offset points",
            va="center",
            color=colour,
            annotation_clip=False,
        )
    if at is _times:
        far = min(_TIMES_MOST, max(1 + widest, *(1 / max(1 + end, 1e-9) for end in ends))) * 1.2
        ax.set_xscale("log")
        ax.set_xlim(1 / far, far)
        ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"×{x:g}"))
        ax.xaxis.set_minor_locator(NullLocator())
    else:
        ax.set_xlim(-115 * widest, 115 * widest)
    ax.set_ylim(len(differences) - 0.5, -0.5)
    ax.set_yticks(range(len(differences)), [each.figure.title for each in differences])
    return ax


def _percent(change: float) -> float:
    return 100 * change


def _times(change: float) -> float:
    return min(max(1 + change, 1 / _TIMES_MOST), _TIMES_MOST)


@styled
def figure_curves(comparison: Comparison) -> Chart:
    """How long people wait on either side, from the median to the slowest."""
    figure = Figure(figsize=(9.0, 4.0))
    ax = figure.subplots()
    sides = comparison.baseline, comparison.other
    draw_curves(ax, sides)
    few = min(side.whole.count for side in sides)
    common = [each for each in _ROUND if each <= few / _BEYOND]
    if not common:
        figure.suptitle(
            "Too few turns were measured to compare how long one waits", x=0.012, ha="left"
        )
        return Chart(figure, f"{few:,} turns on the side that has fewer; it takes 20.")
    far = common[-1]
    if comparison.twice:
        figure.suptitle("The same run stands on both sides", x=0.012, ha="left")
        return Chart(figure, "Name two runs to see how their curves differ.")
    waits = [_response_ms(side, far) / 1000 for side in sides]
    which = "Half of the turns wait" if far == 2 else f"One turn in {far:,} waits"
    figure.suptitle(
        f"{which} {format_duration(waits[1])} or longer, and {format_duration(waits[0])} before",
        x=0.012,
        ha="left",
    )
    told = [
        f"{side.name}: "
        + ", ".join(
            f"{_ROUND[each]} {format_duration(_response_ms(side, each) / 1000)}" for each in common
        )
        for side in sides
    ]
    return Chart(figure, "; ".join(told) + ". The baseline is dashed.")


@styled
def figure_differences(comparison: Comparison) -> Chart:
    """By how much each figure changed, and between which bounds."""
    known = [each for each in comparison.differences if math.isfinite(each.change)]
    moved = [each.change for each in known if _relative(each)]
    moved += [each.high for each in known if _relative(each) and math.isfinite(each.high)]
    unit = "times, logarithmic" if max(map(abs, moved), default=0) > 1 else "%"
    groups = [
        (
            f"Change against the baseline, {unit} (left: better, right: worse)",
            _of(known, _relative),
        ),
        (
            "Change against the baseline, percentage points (left: better, right: worse)",
            _of(known, lambda each: not _relative(each)),
        ),
    ]
    groups = [(title, group) for title, group in groups if group] or [groups[0]]
    heights = [max(1, len(group)) + 0.6 for _, group in groups]
    figure = Figure(figsize=(9.0, 0.9 + 0.38 * sum(heights)))
    panels = figure.subplots(len(groups), 1, squeeze=False, height_ratios=heights)[:, 0]
    for ax, (title, group) in zip(panels, groups, strict=True):
        if group:
            draw_differences(ax, group, title=title)
        else:
            ax.set_title(title)
            no_data(ax, "nothing that could be compared")
            ax.set_xticks([])
    figure.suptitle(_title(comparison), x=0.012, ha="left")
    says = [f"{each.figure.title} {each.told}: {each.verdict}" for each in known]
    missing = [each.figure.title for each in comparison.differences if each not in known]
    without = f" Not known: {', '.join(missing)}." if missing else ""
    return Chart(figure, f"{'; '.join(says) or 'Nothing'}.{without}")


def _relative(each: Difference) -> bool:
    return each.figure.kind != "share"


def _of(known: Sequence[Difference], chosen: Callable[[Difference], bool]) -> list[Difference]:
    return [each for each in known if chosen(each)]


def _title(comparison: Comparison) -> str:
    if comparison.twice:
        return "The same run stands on both sides"
    weighing = [each for each in comparison.differences if each.figure.weighs]
    by_verdict = {
        verdict: [each.figure.title for each in weighing if each.verdict == verdict]
        for verdict in _COLOURS
    }
    if worse := by_verdict["worse"]:
        return f"Worse than the baseline: {', '.join(worse)}"
    unknown = by_verdict["unknown"]
    if len(unknown) == len(weighing):
        return "Nothing that weighs could be told apart"
    if better := by_verdict["better"]:
        return f"Better than the baseline: {', '.join(better)}"
    return (
        f"Not known to be worse; not told: {', '.join(unknown)}" if unknown else "Nothing is worse"
    )


def _short(name: str) -> str:
    return name if len(name) <= 26 else f"{name[:12]}…{name[-13:]}"
