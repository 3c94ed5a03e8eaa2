"""Words and marks on charts: names at the ends of lines, shaded spans, limits, moments."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from matplotlib.transforms import IdentityTransform

from workbench.plots.fit import EndLabel, spread
from workbench.plots.style import REFERENCE, SHADE
from workbench.units import MIB

__all__ = [
    "end_labels",
    "hatch_spans",
    "limit_line",
    "limit_steps",
    "moment",
    "name_shade",
    "no_data",
    "outline",
    "plain",
    "plain_log",
    "row_note",
    "shade_spans",
    "shortened",
    "size_unit",
]


def end_labels(ax: Axes, labels: Sequence[tuple[float, str, str]], *, gap_pt: float = 13) -> None:
    """
    Name lines at their right end, in their colour; labels that would touch are pushed apart.

    A ``Chart`` does it once more by what the labels measure, when it is laid out.

    Args:
        ax: with its limits final, since the pushing apart counts points on paper.
        labels: ``(y, text, colour)`` of each line's end.
        gap_pt: least distance of two labels' middles, points.
    """
    figure = ax.get_figure(root=True)
    assert figure is not None, "the axes belong to a figure"
    height_pt = ax.get_position().height * figure.get_figheight() * 72
    to_axes = ax.transData + ax.transAxes.inverted()
    wanted = [float(to_axes.transform((ax.get_xlim()[1], y))[1]) for y, _, _ in labels]
    for (y, text, colour), at in zip(labels, spread(wanted, gap_pt / height_pt, 0, 1), strict=True):
        label = EndLabel(text, y, color=colour)
        label.xy = (1, at)
        # As ``ax.annotate`` does: of the data's own transform the layout would not see it at first.
        label.set_transform(IdentityTransform())
        ax.add_artist(label)


def shade_spans(ax: Axes, spans: Iterable[tuple[float, float]], *, width_least: float) -> None:
    """
    Shade spans of time behind the data.

    Args:
        ax: with time on x.
        spans: start and length of each, in the unit of x.
        width_least: a shorter span is drawn this wide, so that it can be seen.
    """
    for start, length in spans:
        ax.axvspan(start, start + max(length, width_least), color=SHADE, lw=0, zorder=0)


def hatch_spans(ax: Axes, spans: Iterable[tuple[float, float]], *, width_least: float) -> None:
    """Hatch spans of time behind the data; see ``shade_spans``."""
    for start, length in spans:
        ax.axvspan(
            start,
            start + max(length, width_least),
            facecolor="none",
            edgecolor=REFERENCE,
            alpha=0.35,
            hatch="////",
            lw=0,
            zorder=0,
        )


def name_shade(ax: Axes, text: str) -> None:
    """Say once what is shaded: above the axes, at the right, where no line can run through it."""
    ax.set_title(text, loc="right", color=REFERENCE, fontsize="small", fontweight="normal")


def limit_line(ax: Axes, y: float) -> None:
    """A limit: thin, dashed, grey."""
    ax.axhline(y, color=REFERENCE, lw=1, ls=(0, (5, 4)), zorder=1.5)


def limit_steps(ax: Axes, x: pd.Series, y: pd.Series) -> None:
    """A limit that was changed: a line of steps, drawn as ``limit_line`` is; none where it is 0."""
    steps = y.where(y > 0)
    ax.step(x, steps, where="post", color=REFERENCE, lw=1, ls=(0, (5, 4)), zorder=1.5)


def row_note(ax: Axes, y: float, text: str) -> None:
    """What a row of a chart rests on: small and grey, to the right of its axes."""
    ax.annotate(
        text,
        (1, y),
        xycoords=ax.get_yaxis_transform(),
        xytext=(7, 0),
        textcoords="offset points",
        va="center",
        color=REFERENCE,
        fontsize="small",
        annotation_clip=False,
    )


def moment(ax: Axes, x: float) -> None:
    """A moment that counts: a thin upright line."""
    ax.axvline(x, color=REFERENCE, lw=0.8, zorder=1)


def no_data(ax: Axes, text: str) -> None:
    """Say in an empty panel why it is empty."""
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", color=REFERENCE)
    ax.set_yticks([])


def plain_log(axis: Axis, low: float, high: float) -> None:
    """
    Plain numbers, not powers; between the tens as well where there are few of them.

    Args:
        axis: logarithmic.
        low: its lower limit.
        high: its upper limit.
    """
    if high < 4 * low:
        axis.set_major_locator(MaxNLocator(5))
    else:
        axis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5) if high < 100 * low else (1,)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: plain(value)))


def outline(line: pd.Series, *, most: int = 2000) -> pd.Series:
    """
    A line of fewer points that looks the same: the lowest and the highest of each short stretch.

    Args:
        line: indexed by x, in its order.
        most: points; a line that has no more is left as it is.
    """
    known = line.dropna()
    if len(known) <= most:
        return line
    stretch = np.arange(len(known)) * (most // 2) // len(known)
    by_stretch = known.reset_index(drop=True).groupby(stretch)
    kept = np.union1d(by_stretch.idxmin(), by_stretch.idxmax())
    return known.iloc[kept]


def plain(value: float) -> str:
    """A number without a power in it: ``0.001``, ``12,000``."""
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:g}"


def size_unit(most_bytes: float) -> tuple[str, float]:
    """The unit for a chart of sizes up to this one, and how many bytes it is."""
    return ("GiB", 1024 * MIB) if most_bytes >= 10 * 1024 * MIB else ("MiB", MIB)


def shortened(name: str, most: int) -> str:
    """A name of at most so many letters: its middle gives way, since names differ at both ends."""
    if len(name) <= most:
        return name
    head = (most - 1) // 2
    return f"{name[:head]}…{name[len(name) - (most - 1 - head) :]}"
