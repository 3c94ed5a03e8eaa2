"""Latency over time."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from workbench.plots.annotate import end_labels, no_data
from workbench.plots.style import LOSS, MEDIAN, TAIL

__all__ = ["draw_latency"]

_LINES = (("p50", "p50", MEDIAN), ("p99", "p99", TAIL), ("p999", "p99.9", LOSS))


def draw_latency(ax: Axes, windows: pd.DataFrame) -> Axes:
    """
    Response percentiles of each window, on a logarithmic scale.

    Args:
        ax: x is elapsed time, s.
        windows: as ``analysis.latency.latency_by_window`` makes them, µs.
    """
    ax.set_title("Turn response, ms (client side, from the intended start)")
    lines = [line for line in _LINES if windows[line[0]].notna().any()]
    if not lines:
        no_data(ax, "too few turns a window")
        return ax
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(base=10))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    labels = []
    width_s = float(windows.index.to_series().diff().median()) if len(windows) > 1 else 1.0
    for column, name, colour in lines:
        values = windows[column].dropna() / 1000
        ax.plot(values.index + width_s / 2, values, color=colour)
        labels.append((float(values.iloc[-1]), name, colour))
    shown = pd.concat([windows[column].dropna() / 1000 for column, _, _ in lines])
    ax.set_ylim(0.7 * float(shown.min()), 1.6 * float(shown.max()))
    end_labels(ax, labels)
    return ax
