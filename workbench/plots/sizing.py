"""The law of the peak: predicted against measured, and its terms against the limit."""

from typing import Final

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workbench.analysis.sizing import Advice
from workbench.analysis.windows import needed
from workbench.plots.annotate import no_data
from workbench.plots.palette import GROUND, STEP
from workbench.plots.style import LOSS, REFERENCE, SECOND, STATE, Chart, styled
from workbench.runs.measurement import Measurement
from workbench.units import MIB, format_bytes, format_share

__all__ = ["draw_predicted", "draw_terms", "figure_sizing", "figure_sizing_terms"]

_WITHIN: Final = 0.1
_COLUMNS: Final = ("predicted_bytes", "peak_bytes", "killed")
_OVER_LINES: Final = {"facecolor": GROUND, "edgecolor": "none", "pad": 0.8}


def draw_predicted(ax: Axes, points: pd.DataFrame) -> Axes:
    """
    Peaks as the law foretold them, over those that were measured; what was killed is crossed.

    Args:
        ax: both axes are MiB.
        points: columns ``predicted_bytes``, ``peak_bytes`` and ``killed``.
    """
    ax.set_title("Predicted peak, MiB")
    ax.set_xlabel("measured peak, MiB")
    if points.empty:
        no_data(ax, "no point was held out")
        return ax
    frame = needed(points, *_COLUMNS)
    told, seen = frame["predicted_bytes"] / MIB, frame["peak_bytes"] / MIB
    killed = frame["killed"].astype(bool)
    most = 1.08 * float(max(told.max(), seen.max()))
    ends = [0.0, most]
    low, high = ([end * (1 + side * _WITHIN) for end in ends] for side in (-1, 1))
    ax.fill_between(ends, low, high, color=SECOND, alpha=0.22, lw=0)
    ax.plot(ends, ends, color=REFERENCE, lw=1, ls=(0, (5, 4)), zorder=1.5)
    ax.plot(seen[~killed], told[~killed], "o", color=STATE, ms=6, zorder=3)
    ax.plot(seen[killed], told[killed], "X", color=LOSS, ms=10, mec="white", zorder=4)
    ax.annotate(
        "±10 %",
        (most, most * (1 - _WITHIN)),
        xytext=(-8, -4),
        textcoords="offset points",
        ha="right",
        va="top",
        color=REFERENCE,
        fontsize="small",
    )
    ax.set_xlim(0, most)
    ax.set_ylim(0, most)
    return ax


def draw_terms(ax: Axes, advice: Advice) -> Axes:
    """
    The terms of the peak at the advised cap, each beginning where the one above it ends.

    Args:
        ax: y is one term below the other.
        advice: as ``analysis.sizing.advised`` gives it.
    """
    ax.set_title("Memory while a rewrite runs, MiB")
    terms = [term for term in advice.peak.terms if term.bytes > 0]
    limit, right = advice.limit_bytes / MIB, 1.2 * advice.limit_bytes / MIB
    at, row = 0.0, 0
    names = []
    for term in terms:
        length = term.bytes / MIB
        colour = LOSS if term.name == "copy_on_write" else STATE if term.counted else STEP
        ax.barh(row, length, left=at, height=0.66, color=colour)
        _size(ax, term.bytes, at + length, row)
        names.append(term.title)
        at, row = at + length, row + 1
    low, high = advice.peak.low_bytes / MIB, advice.peak.high_bytes / MIB
    ax.barh(row, at, height=0.66, color=STATE)
    ax.plot([low, high], [row, row], color=REFERENCE, lw=2, zorder=4)
    _size(ax, advice.peak.bytes, high, row)
    names.append("peak, 19 of 20 within the line")
    for name, x in (("maxmemory", advice.maxmemory_bytes / MIB), ("limit", limit)):
        ax.axvline(x, color=REFERENCE, lw=1, ls=(0, (5, 4)), zorder=3)
        row += 1
        ax.annotate(
            f"{name} {format_bytes(x * MIB)}",
            (x, row),
            xytext=(-5, 0),
            textcoords="offset points",
            ha="right",
            va="center",
            color=REFERENCE,
            fontsize="small",
            bbox=_OVER_LINES,
            zorder=4,
        )
    ax.set_xlim(0, right)
    ax.set_ylim(row + 0.6, -0.6)
    ax.set_yticks(range(len(names)), names)
    ax.grid(visible=False, axis="y")
    ax.grid(visible=True, axis="x")
    return ax


@styled
def figure_sizing(measured: Measurement) -> Chart:
    """
    How far the law is to be believed.

    Args:
        measured: of kind ``sizing``.
    """
    points = measured.frame
    figure = Figure(figsize=(6.4, 5.2))
    draw_predicted(figure.subplots(), points)
    if points.empty:
        figure.suptitle("The law was not held against any point", x=0.012, ha="left")
        return Chart(figure, "Nothing was held out.")
    lived = points[~points["killed"].astype(bool)]
    off = (lived["predicted_bytes"] / lived["peak_bytes"] - 1).abs()
    near, dead = int((off <= _WITHIN).sum()), len(points) - len(lived)
    figure.suptitle(
        f"{near} of {len(points)} peaks were foretold within 10 %; "
        f"{dead or 'none'} of the servers {'were' if dead != 1 else 'was'} killed",
        x=0.012,
        ha="left",
    )
    reading = f"Measured on {measured.where}."
    if len(lived):
        reading = (
            f"Half of the predicted peaks are off by {format_share(float(off.median()))} or less, "
            f"the furthest by {format_share(float(off.max()))}. {reading}"
        )
    return Chart(figure, reading)


@styled
def figure_sizing_terms(advice: Advice) -> Chart:
    """
    What the peak at the safe cap is made of, against the limit.

    Args:
        advice: as ``analysis.sizing.advised`` gives it.
    """
    peak = advice.peak
    figure = Figure(figsize=(9.0, 4.6))
    draw_terms(figure.subplots(), advice)
    share = format_share(advice.maxmemory_bytes / advice.limit_bytes)
    figure.suptitle(
        f"Of {format_bytes(advice.limit_bytes)}, {share} are safe as maxmemory: a rewrite "
        f"needs the rest",
        x=0.012,
        ha="left",
    )
    told = ", ".join(f"{term.title} {format_bytes(term.bytes)}" for term in peak.terms)
    return Chart(
        figure,
        f"The peak is expected at {format_bytes(peak.bytes)}, between "
        f"{format_bytes(peak.low_bytes)} and {format_bytes(peak.high_bytes)}: {told}.",
    )


def _size(ax: Axes, size: float, x: float, y: float) -> None:
    ax.annotate(
        format_bytes(size),
        (x, y),
        xytext=(5, 0),
        textcoords="offset points",
        va="center",
        color=REFERENCE,
        fontsize="small",
        bbox=_OVER_LINES,
        zorder=4,
    )
