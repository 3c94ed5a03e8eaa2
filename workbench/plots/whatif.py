"""What another size would do: the share of turns that lose their state, over maxmemory."""

import math
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workbench.analysis.loss import Loss
from workbench.analysis.whatif import Point, WhatIf, what_if
from workbench.errors import RunError, UsageError
from workbench.plots.annotate import end_labels, no_data, plain, size_unit
from workbench.plots.style import LOSS, REFERENCE, SERIES, Chart, styled
from workbench.plots.timeline import headline
from workbench.runs.run import Run
from workbench.units import format_bytes, format_duration, format_share

__all__ = ["draw_what_if", "figure_what_if"]

_LINES_MOST: Final = 5
_ACCESSES_MOST: Final = 400_000
_SHARE_FEW: Final = 0.01


def draw_what_if(
    ax: Axes, points: Iterable[Point], *, measured: tuple[float, float] | None = None
) -> Axes:
    """
    The share of turns that would find their state gone, over the size; a line a set of settings.

    Args:
        ax: x is maxmemory.
        points: as ``analysis.whatif`` makes them; sizes in any order.
        measured: what the run itself had: its maxmemory, B, and its share; none if None.
    """
    ax.set_title("Turns that find their state gone, %")
    curves = _curves(points)
    if not curves:
        no_data(ax, "nothing was asked about")
        ax.set_xticks([])
        return ax
    largest = max(point.maxmemory_bytes for curve in curves for point in curve)
    unit, unit_bytes = size_unit(largest)
    named: list[tuple[float, str, str]] = []
    for curve, colour in zip(curves, SERIES, strict=False):
        x = [point.maxmemory_bytes / unit_bytes for point in curve]
        gone = [100 * _gone(point) for point in curve]
        ax.plot(x, gone, color=colour, marker="o", ms=3.5)
        named.append((gone[-1], _name(curve[0], curves), colour))
    if len(curves) == 1:
        exact = [100 * (point.exact_share + point.expired_share) for point in curves[0]]
        ax.plot(x, exact, color=REFERENCE, lw=0.9, ls=(0, (1, 2)))
        named.append((exact[-1], "exact LRU", REFERENCE))
    if measured is not None:
        at, share = measured[0] / unit_bytes, 100 * measured[1]
        ax.plot([at], [share], marker="D", ms=7, mfc="none", mec=LOSS, mew=1.6, ls="none", zorder=4)
        ax.annotate(
            f"measured: {share:.3g}",
            (at, share),
            xytext=(9, 7),
            textcoords="offset points",
            color=LOSS,
            fontsize="small",
        )
    low, high = ax.get_xlim()
    ax.set_xlim(max(0.0, low), high)
    ax.set_ylim(0, max(1.0, 1.12 * ax.get_ylim()[1]))
    end_labels(ax, named)
    ax.xaxis.set_major_formatter(lambda value, _: plain(value))
    ax.set_xlabel(f"maxmemory, {unit}")
    return ax


@styled
def figure_what_if(
    run: Run, found: WhatIf | None = None, points: Sequence[Point] | None = None
) -> Chart:
    """
    What another size would do to the turns of a run, with what was measured on the curve.

    Args:
        run: with turns.
        found: the run, ready to be asked; made if None.
        points: of it; a ladder of sizes round the run's own if None.
    """
    figure = Figure(figsize=(9.0, 3.7))
    try:
        found = what_if(run) if found is None else found
    except (RunError, UsageError) as error:
        headline(figure, run, "What another size would do cannot be told of this run")
        no_data(draw_what_if(figure.subplots(), []), "")
        return Chart(figure, f"{str(error)[:1].upper()}{str(error)[1:]}.")
    if points is None:
        if len(found.accesses) > _ACCESSES_MOST:
            headline(figure, run, "Too many turns to simulate while a chart is drawn")
            draw_what_if(figure.subplots(), [])
            return Chart(figure, f"Ask for it with: workbench whatif {run.name} --chart FILE.")
        points = [found.point(size) for size in found.sizes_bytes]
    share = _measured_share(found.measured)
    headline(figure, run, _title(points, found))
    measured = None if share is None else (float(found.maxmemory_bytes), share)
    draw_what_if(figure.subplots(), points, measured=measured)
    return Chart(figure, _reading(points, found, share))


def _curves(points: Iterable[Point]) -> list[list[Point]]:
    ordered = sorted(points, key=lambda point: (*map(str, point.settings), point.maxmemory_bytes))
    curves = [list(curve) for _, curve in groupby(ordered, key=lambda point: point.settings)]
    # The run's own first, since it is what the others are held against.
    curves.sort(key=lambda curve: not any(point.own for point in curve))
    return curves[:_LINES_MOST]


def _name(point: Point, curves: Sequence[Sequence[Point]]) -> str:
    """In what a curve differs from the others."""
    firsts = [curve[0] for curve in curves]
    parts = []
    if len({each.policy for each in firsts}) > 1 or len(firsts) == 1:
        parts.append(point.policy)
    if len({each.samples for each in firsts}) > 1:
        parts.append(f"{point.samples} samples")
    if len({each.ttl_s for each in firsts}) > 1:
        parts.append(f"TTL {format_duration(point.ttl_s)}")
    if len({each.renewal for each in firsts}) > 1:
        parts.append(f"from {point.renewal}")
    return ", ".join(parts)


def _gone(point: Point) -> float:
    """Turns without what they came for: to refuse a write is no better than to evict."""
    return point.evicted_share + point.expired_share + point.refused_share


def _measured_share(measured: Loss) -> float | None:
    if not measured.turns:
        return None
    return (measured.evicted + measured.expired) / measured.turns


def _title(points: Sequence[Point], found: WhatIf) -> str:
    curve = next(iter(_curves(points)), [])
    gone = [point for point in curve if not math.isnan(_gone(point))]
    if not gone:
        return "No turn went on with a conversation in this run"
    enough = next((point for point in gone if point.evicted_share < _SHARE_FEW), None)
    if all(point.evicted_share < _SHARE_FEW for point in gone):
        if gone[0].refused_share >= _SHARE_FEW:
            share = format_share(gone[0].refused_share)
            return f"With {format_bytes(gone[0].maxmemory_bytes)}, {share} of turns are refused"
        least = format_bytes(gone[0].maxmemory_bytes)
        return f"{least} would have been enough: under 1 % of turns lose their state to eviction"
    if enough is not None:
        size = format_bytes(enough.maxmemory_bytes)
        return f"From {size} on, under 1 % of turns would lose their state to eviction"
    last = gone[-1]
    share = format_share(last.evicted_share)
    return f"Even with {format_bytes(last.maxmemory_bytes)}, {share} of turns lose their state"


def _reading(points: Sequence[Point], found: WhatIf, share: float | None) -> str:
    says = []
    own = next((point for point in points if point.own), None)
    if share is not None:
        at = f"at the run's own {format_bytes(found.maxmemory_bytes)}"
        said = f"Measured {at}: {format_share(share)}"
        if own is not None:
            said += f", simulated {format_share(own.evicted_share + own.expired_share)}"
        says.append(f"{said}.")
    says.append(
        "Points are simulated from the run's own turns: keys are drawn, pooled and evicted as the "
        "server does it."
    )
    says += [f"{each[:1].upper()}{each[1:]}." for each in found.cautions]
    return " ".join(says)
