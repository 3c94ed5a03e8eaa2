"""Memory against its cap."""

import pandas as pd
from matplotlib.axes import Axes

from workbench.plots.annotate import end_labels, limit_line, no_data
from workbench.plots.style import REFERENCE, STATE
from workbench.units import MIB

__all__ = ["draw_memory"]


def draw_memory(ax: Axes, samples: pd.DataFrame) -> Axes:
    """
    ``used_memory`` over time, with ``maxmemory`` as a dashed line.

    Args:
        ax: x is elapsed time, s.
        samples: columns ``elapsed_s`` (s), ``used_memory`` and ``maxmemory`` (bytes).
    """
    ax.set_title("Memory, MiB")
    if samples.empty:
        no_data(ax, "no sample")
        return ax
    used = samples["used_memory"] / MIB
    cap = float(samples["maxmemory"].iloc[-1]) / MIB
    ax.plot(samples["elapsed_s"], used, color=STATE)
    ax.set_ylim(0, 1.12 * max(cap, float(used.max())))
    labels = [(float(used.iloc[-1]), "used_memory", STATE)]
    if cap:
        limit_line(ax, cap)
        labels.append((cap, "maxmemory", REFERENCE))
    end_labels(ax, labels)
    return ax
