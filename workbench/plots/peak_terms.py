"""What the peak of a rewrite is made of, each part beginning where the one before ends."""

from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workbench.analysis.safe_size import SafeSize
from workbench.analysis.sizing import Advice
from workbench.plots.palette import GROUND, STEP
from workbench.plots.safe_size import not_measured
from workbench.plots.style import LOSS, REFERENCE, STATE, Chart, styled
from workbench.units import MIB, format_bytes, format_share

__all__ = ["draw_terms", "figure_peak_terms"]

_OVER_LINES: Final = {"facecolor": GROUND, "edgecolor": "none", "pad": 0.8}


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
def figure_peak_terms(found: SafeSize) -> Chart:
    """The parts of the peak at the safe cap, against the limit."""
    if found.advice is None:
        return not_measured("sizing-fit", f"No maxmemory is known to be safe: {found.why}")
    advice = found.advice
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
