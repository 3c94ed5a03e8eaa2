"""How much memory is safe: the grid of trials, the law held against it, and who fits."""

import math
from typing import Final

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, PercentFormatter

from workbench.analysis.safe_size import COMMANDS, WITHIN, SafeSize
from workbench.analysis.sessions import Fit
from workbench.plots.annotate import end_labels, limit_line, no_data, plain, row_note
from workbench.plots.style import LOSS, REFERENCE, SERIES, STATE, Chart, styled
from workbench.units import MIB, format_bytes, format_share

__all__ = [
    "draw_peaks",
    "draw_predictions",
    "draw_sessions",
    "figure_memory_grid",
    "figure_predictions",
    "figure_sessions",
    "not_measured",
]

_DASHES: Final = ("-", (0, (6, 2)), (0, (2, 2)), (0, (6, 2, 1, 2)), (0, (1, 1)))
_DOCUMENTED: Final = "documented formula"
_QUIET: Final = 100  # writes/s up to which the axis is even, so that 0 is on it


def draw_peaks(ax: Axes, cells: pd.DataFrame, ratio: str, title: str) -> Axes:
    """
    Peak memory of a rewrite by the writes meanwhile; what was killed is crossed out.

    Args:
        ax: x is writes a second.
        cells: as ``SafeSize.cells``; the column ``label`` says what belongs together.
        ratio: ``limit_ratio`` or ``cap_ratio``.
        title: quantity and unit.
    """
    ax.set_title(title)
    rows = cells.dropna(subset=[ratio])
    if rows.empty:
        no_data(ax, "no trial of this kind")
        return ax
    labels = []
    ax.set_xscale("symlog", linthresh=_QUIET)
    ax.set_xlim(-0.15 * _QUIET, 1.6 * max(_QUIET, float(rows["writes_per_s"].max())))
    ax.set_ylim(0, 1.15 * max(1.0, float(rows[ratio].max())))
    for at, (label, group) in enumerate(rows.groupby("label", sort=False)):
        documented = bool(group["documented"].any())
        colour = LOSS if documented else _COLOURS[at % len(_COLOURS)]
        by_rate = group.groupby("writes_per_s")[ratio].max()
        width = 2.4 if documented else 1.4
        dash = _DASHES[at % len(_DASHES)]
        ax.plot(by_rate.index, by_rate, color=colour, lw=width, ls=dash, zorder=2)
        lived = group[~group["killed"]]
        ax.plot(lived["writes_per_s"], lived[ratio], "o", color=colour, ms=5, zorder=3)
        killed = group[group["killed"]]
        ax.plot(
            *(killed["writes_per_s"], killed[ratio]),
            marker="X",
            ls="",
            color=LOSS,
            mec="white",
            ms=11,
            zorder=4,
        )
        labels.append((float(by_rate.iloc[-1]), str(label), colour))
    limit_line(ax, 1.0)
    rates = sorted(rows["writes_per_s"].unique())
    ax.xaxis.set_major_locator(FixedLocator(rates))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(lambda x, _: plain(x))
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.set_xlabel("sessions written a second, while the rewrite runs")
    end_labels(ax, labels)
    return ax


_COLOURS: Final = tuple(each for each in SERIES if each != LOSS)


def draw_predictions(ax: Axes, points: pd.DataFrame) -> Axes:
    """
    What the law foretold of points that it was not fitted to, by what was measured.

    Args:
        ax: x is the measured peak, MiB.
        points: as ``SafeSize.points``.
    """
    ax.set_title("predicted peak ÷ measured peak")
    if points.empty:
        no_data(ax, f"not tried yet: {COMMANDS['sizing']}")
        return ax
    measured = points["measured_bytes"] / MIB
    ax.axhspan(1 - WITHIN, 1 + WITHIN, color=STATE, alpha=0.12, lw=0)
    limit_line(ax, 1.0)
    off = ~points["near"]
    ax.plot(measured[~off], points["ratio"][~off], "o", color=STATE, ms=6)
    ax.plot(measured[off], points["ratio"][off], "X", color=LOSS, ms=9)
    far = max(0.2, 1.2 * float((points["ratio"] - 1).abs().max()))
    ax.set_ylim(1 - far, 1 + far)
    ax.set_xscale("log", base=2)
    low, high = 0.8 * float(measured.min()), 1.25 * float(measured.max())
    ax.set_xlim(low, high)
    powers = range(math.ceil(math.log2(low)), math.floor(math.log2(high)) + 1)
    ax.xaxis.set_major_locator(FixedLocator([2.0**power for power in powers]))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(lambda x, _: plain(x))
    ax.set_xlabel("measured peak, MiB")
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    return ax


def draw_sessions(ax: Axes, fits: list[Fit]) -> Axes:
    """
    How many sessions there are under a cap, by engine and allocator.

    Args:
        ax: y is one engine below the other.
        fits: one each.
    """
    ax.set_title("sessions under that maxmemory")
    at = range(len(fits))
    most = max((fit.sessions for fit in fits), default=0)
    ax.barh(at, [fit.sessions for fit in fits], color=STATE, height=0.55)
    for y, fit in enumerate(fits):
        row_note(ax, y, f"{fit.sessions:,}, {fit.bytes_per_session:,.0f} B each")
    ax.set_xlim(0, 1.05 * max(1, most))
    ax.xaxis.set_major_formatter(lambda x, _: plain(x))
    ax.set_ylim(len(fits) - 0.5, -0.5)
    ax.set_yticks(at, [fit.layout.name for fit in fits])
    ax.grid(visible=False, axis="y")
    ax.grid(visible=True, axis="x")
    return ax


@styled
def figure_memory_grid(found: SafeSize) -> Chart:
    """What rewrites took of a limit, and of maxmemory where there was none."""
    cells = found.cells
    if cells.empty:
        return not_measured("memory-grid", "No grid of trials has been measured here")
    limited = cells[cells["limit_ratio"].notna()]
    limited = limited.assign(label=limited["label"].mask(limited["documented"], _DOCUMENTED))
    free = cells[cells["limit_ratio"].isna()]
    # What was tried at one rate alone is no line: it is told in the words.
    free = free[free.groupby("label")["writes_per_s"].transform("nunique") > 1]
    kinds = [
        (rows, ratio, title)
        for rows, ratio, title in (
            (limited, "limit_ratio", "peak of server and rewrite, share of the limit"),
            (free, "cap_ratio", "without a limit: share of maxmemory"),
        )
        if len(rows)
    ]
    figure = Figure(figsize=(9.0, 0.8 + 3.0 * len(kinds)))
    panels = figure.subplots(len(kinds), 1, squeeze=False)[:, 0]
    for ax, (rows, ratio, title) in zip(panels, kinds, strict=True):
        draw_peaks(ax, rows, ratio, title)
    for ax in panels[:-1]:
        ax.set_xlabel("")
    figure.suptitle(_grid_title(cells), x=0.012, ha="left")
    return Chart(figure, _grid_reading(cells))


def _grid_title(cells: pd.DataFrame) -> str:
    documented = cells[cells["documented"]]
    if documented.empty:
        return f"{int(cells['killed'].sum())} of {len(cells)} trials were killed"
    dead = documented[documented["killed"]]
    if dead.empty:
        return f"The documented formula outlived {len(documented)} of {len(documented)} rewrites"
    least = float(dead["writes_per_s"].min())
    return (
        f"The documented formula was killed in {len(dead)} of {len(documented)} trials, "
        f"from {least:,.0f} writes/s on"
    )


def _grid_reading(cells: pd.DataFrame) -> str:
    said = []
    for label, rows in cells.groupby("label", sort=False):
        ratio, of = ("limit_ratio", "the limit")
        if rows["limit_ratio"].isna().all():
            ratio, of = ("cap_ratio", "maxmemory")
        lived = rows[~rows["killed"]]
        killed = f"{int(rows['killed'].sum())} of {len(rows)} killed"
        highest = f"peak {format_share(float(lived[ratio].max()))} of {of}" if len(lived) else ""
        said.append(f"{label}: {', '.join(filter(None, [killed, highest]))}")
    watched = ", ".join(sorted({str(each) for each in cells.get("watched_by", [])}))
    return f"{'; '.join(said)}. Watched by {watched or 'what is not told'}."


@styled
def figure_predictions(found: SafeSize) -> Chart:
    """How far the law is to be believed."""
    points = found.points
    if points.empty:
        return not_measured("sizing", "The law has not been tried on points it has not seen")
    figure = Figure(figsize=(9.0, 3.2))
    draw_predictions(figure.subplots(), points)
    off = (points["ratio"] - 1).abs()
    near = int(points["near"].sum())
    figure.suptitle(
        f"{near} of {len(points)} predicted peaks are within ±{WITHIN:.0%} of the measured",
        x=0.012,
        ha="left",
    )
    reading = (
        f"Predicted by measured, between {format_share(float(points['ratio'].min()))} and "
        f"{format_share(float(points['ratio'].max()))}; half of them off by "
        f"{format_share(float(off.median()))} or less."
    )
    return Chart(figure, reading)


@styled
def figure_sessions(found: SafeSize) -> Chart:
    """Who fits under the cap that is safe; under the documented one where none is known."""
    fits = found.fits
    figure = Figure(figsize=(9.0, 1.4 + 0.45 * len(fits)))
    draw_sessions(figure.subplots(), fits)
    best, least = (pick(fits, key=lambda fit: fit.sessions) for pick in (max, min))
    which = "the safe" if found.advice else "the documented"
    figure.suptitle(
        f"Under {which} {format_bytes(found.cap_bytes)} fit {least.sessions:,} to "
        f"{best.sessions:,} sessions of {found.demand.value_bytes:,.0f} B",
        x=0.012,
        ha="left",
    )
    told = [f"{fit.layout.name} {fit.sessions:,}" for fit in fits]
    return Chart(figure, f"{'; '.join(told)}. Worked out from how each lays a session out.")


def not_measured(kind: str, title: str) -> Chart:
    """A chart that says what would make it."""
    figure = Figure(figsize=(9.0, 2.0))
    ax = figure.subplots()
    no_data(ax, f"measure it: {COMMANDS[kind]}")
    ax.set_xticks([])
    figure.suptitle(title, x=0.012, ha="left", color=REFERENCE)
    return Chart(figure, f"It is made by: {COMMANDS[kind]}.")
