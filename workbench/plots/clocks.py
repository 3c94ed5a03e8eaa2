"""The clocks of a turn over time: how long its slowest waited for each part of the response."""

import pandas as pd
from matplotlib.axes import Axes

from workbench.plots.annotate import end_labels, no_data, plain_log
from workbench.plots.style import REFERENCE, SECOND, STATE

__all__ = ["draw_clocks"]

_CLOCKS = {
    "service_us": ("service", STATE, "solid"),
    "queue_us": ("queue", SECOND, (0, (5, 2))),
    "lag_us": ("lag", REFERENCE, (0, (1, 1.2))),
}


def draw_clocks(ax: Axes, clocks: pd.DataFrame) -> Axes:
    """
    The p99 of each part of the response, on a logarithmic scale; what is nothing is not drawn.

    Args:
        ax: x is elapsed time, s.
        clocks: columns ``service_us``, ``queue_us`` and ``lag_us``, p99 in µs, indexed by the
            start of their window (s).
    """
    width_s = float(clocks.index.to_series().diff().min()) if len(clocks) > 1 else 1.0
    ax.set_title(f"p99 of each part of the wait, ms ({width_s:g} s windows)")
    shown, labels = [], []
    for column, (name, colour, dash) in _CLOCKS.items():
        values = clocks[column][clocks[column] > 0] / 1000
        if values.empty:
            continue
        line = values.reindex(clocks.index)
        ax.plot(line.index + width_s / 2, line, color=colour, ls=dash)
        labels.append((float(values.iloc[-1]), name, colour))
        shown.append(values)
    if not shown:
        no_data(ax, "too few turns a window")
        return ax
    every = pd.concat(shown)
    low, high = 0.7 * float(every.min()), 1.6 * float(every.max())
    ax.set_yscale("log")
    ax.set_ylim(low, high)
    plain_log(ax.yaxis, low, high)
    end_labels(ax, labels)
    return ax
