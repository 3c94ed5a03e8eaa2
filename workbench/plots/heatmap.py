"""Latency as a map over time: where most turns are, and where the few slow ones are."""

from typing import Final, cast

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.figure import Figure

from workbench.analysis.heatmap import CLASSES_PER_DECADE, latency_cells, window_for_cells_s
from workbench.analysis.persistence import rewrite_spans
from workbench.plots.annotate import no_data, plain_log
from workbench.plots.style import Chart, styled
from workbench.plots.timeline import headline, timeline
from workbench.runs.run import Run
from workbench.units import format_count, format_duration, format_share

__all__ = ["draw_latency_heatmap", "figure_latency_heatmap"]

_SINCE: Final = "from the intended start"
_LONG_RATIO: Final = 10.0  # as many classes as there are in a decade
# Its darkest quarter is left out: a cell of one turn is to be seen on a dark page too.
_MAP: Final = ListedColormap(colormaps["cividis"](np.linspace(0.25, 1.0, 256)))


def draw_latency_heatmap(
    ax: Axes, cells: pd.DataFrame, *, window_s: float, since: str = _SINCE
) -> Axes:
    """
    Turns by window of time and class of latency: the more, the lighter the cell.

    The mesh is the only one among ``ax.collections``, for a colour bar.

    Args:
        ax: x is elapsed time, s; y becomes logarithmic, ms.
        cells: as ``analysis.heatmap.latency_cells`` makes them.
        window_s: width of their windows, s.
        since: from when the response is counted; see ``Run.latency_since``.
    """
    ax.set_title(f"Turn response, ms (client side, {since})")
    if cells.empty:
        no_data(ax, "no turn")
        return ax
    column = np.rint((cells["from_s"] - cells["from_s"].min()) / window_s).astype(int)
    classes = cells["class"].to_numpy()
    lowest = int(classes.min())
    grid = np.full((int(classes.max()) - lowest + 1, int(column.max()) + 1), np.nan)
    grid[classes - lowest, column] = cells["turns"]
    edges_s = float(cells["from_s"].min()) + window_s * np.arange(grid.shape[1] + 1)
    edges_ms = 10 ** ((lowest + np.arange(grid.shape[0] + 1)) / CLASSES_PER_DECADE) / 1000
    most = max(2.0, float(np.nanmax(grid)))
    ax.pcolormesh(
        edges_s,
        edges_ms,
        np.ma.masked_invalid(grid),
        norm=LogNorm(1, most),
        cmap=_MAP,
        rasterized=True,
    )
    ax.set_yscale("log")
    low, high = edges_ms[0] / 1.15, edges_ms[-1] * 1.15
    # A decade at least, so that a band that is narrow looks narrow.
    room = max(1.0, (10 * low / high) ** 0.5)
    low, high = low / room, high * room
    ax.set_ylim(low, high)
    plain_log(ax.yaxis, low, high)
    return ax


@styled
def figure_latency_heatmap(run: Run) -> Chart:
    """Every turn, by when it was due and how long it waited; rewrites and faults behind."""
    turns = run.turns
    window_s = window_for_cells_s(turns)
    cells = latency_cells(turns, window_s=window_s)
    figure = Figure(figsize=(9.0, 4.4))
    ax = figure.subplots()
    headline(figure, run, _title(run, cells))
    timeline(run, [ax])
    draw_latency_heatmap(ax, cells, window_s=window_s, since=run.latency_since)
    for mesh in ax.collections:
        if isinstance(mesh, QuadMesh):
            _key(figure, ax, mesh, f"turns in {window_s:g} s")
    return Chart(figure, _reading(run, cells, window_s))


def _key(figure: Figure, ax: Axes, mesh: QuadMesh, label: str) -> None:
    """What the colours stand for, at the right."""
    bar = figure.colorbar(mesh, ax=ax, pad=0.015, aspect=28, label=label)
    plain_log(bar.ax.yaxis, 1, float(cast(LogNorm, mesh.norm).vmax or 1))
    bar.outline.set_visible(False)
    assert bar.solids is not None, "a mesh has colours"
    bar.solids.set_rasterized(True)
    bar.solids.set_edgecolor("face")


def _long(cells: pd.DataFrame) -> tuple[pd.DataFrame, float]:
    """The cells of turns that waited ten times the usual or longer, and the usual, us."""
    by_class = cells.groupby("class")["turns"].sum()
    usual = int(by_class.index[(by_class.cumsum() >= by_class.sum() / 2).to_numpy()][0])
    usual_us = float(cells.loc[cells["class"] == usual, "from_us"].iloc[0])
    return cells[cells["class"] >= usual + CLASSES_PER_DECADE], usual_us


def _title(run: Run, cells: pd.DataFrame) -> str:
    cells = cells[(cells["from_s"] >= 0) & (cells["from_s"] < run.measured_s)]
    if cells.empty:
        return "No turn was measured in this run"
    long, usual_us = _long(cells)
    limit = format_duration(_LONG_RATIO * usual_us / 1e6)
    if long.empty:
        return f"No turn waited {limit}, ten times the usual, or longer"
    share = long["turns"].sum() / cells["turns"].sum()
    windows = long["from_s"].nunique() / cells["from_s"].nunique()
    return (
        f"{format_share(float(share))} of turns waited {limit} or longer, "
        f"in {format_share(float(windows))} of the time"
    )


def _reading(run: Run, cells: pd.DataFrame, window_s: float) -> str:
    cells = cells[(cells["from_s"] >= 0) & (cells["from_s"] < run.measured_s)]
    if cells.empty:
        return "There is nothing to tell of how long people wait."
    long, usual_us = _long(cells)
    worst = cells.sort_values("to_us", kind="stable").iloc[-1]
    says = [
        f"{format_count(int(cells['turns'].sum()), 'measured turn')}; the usual wait is about "
        f"{format_duration(usual_us / 1e6)}.",
        f"The longest was between {format_duration(worst['from_us'] / 1e6)} and "
        f"{format_duration(worst['to_us'] / 1e6)}, at {worst['from_s']:.0f} s.",
    ]
    spans = rewrite_spans(run.events, run.samples)
    if not long.empty and not spans.empty:
        touched = pd.Series(data=False, index=long.index)
        for start, end in zip(spans["elapsed_s"], spans["end_s"], strict=True):
            touched |= (long["from_s"] <= end) & (long["from_s"] + window_s > start)
        share = float(long.loc[touched, "turns"].sum() / long["turns"].sum())
        says.append(f"{format_share(share)} of the long waits lie in windows with a rewrite.")
    return " ".join(says)
