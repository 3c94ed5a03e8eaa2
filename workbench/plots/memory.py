"""Memory against its cap."""

import pandas as pd
from matplotlib.axes import Axes

from workbench.plots.annotate import (
    end_labels,
    limit_line,
    limit_steps,
    no_data,
    outline,
    size_unit,
)
from workbench.plots.style import REFERENCE, STATE

__all__ = ["draw_memory"]


def draw_memory(ax: Axes, samples: pd.DataFrame) -> Axes:
    """
    ``used_memory`` over time, with ``maxmemory`` as a dashed line.

    Args:
        ax: x is elapsed time, s.
        samples: columns ``elapsed_s`` (s), ``used_memory`` and ``maxmemory`` (bytes).
    """
    cap_bytes = 0.0 if samples.empty else float(samples["maxmemory"].fillna(0).iloc[-1])
    unit, unit_bytes = size_unit(max(cap_bytes, float(samples["used_memory"].max())))
    ax.set_title(f"Memory, {unit}")
    if samples["used_memory"].isna().all():
        no_data(ax, "no sample" if samples.empty else "the server does not say")
        return ax
    used = samples["used_memory"] / unit_bytes
    cap = cap_bytes / unit_bytes
    shown = outline(used.set_axis(samples["elapsed_s"]))
    ax.plot(shown.index, shown, color=STATE)
    caps = samples["maxmemory"].fillna(0) / unit_bytes
    ax.set_ylim(0, 1.12 * max(float(caps.max()), float(used.max()), 0.1))
    labels = [(float(used.dropna().iloc[-1]), "used_memory", STATE)]
    if caps.nunique() > 1:  # it was changed meanwhile
        limit_steps(ax, samples["elapsed_s"], caps)
    elif cap:
        limit_line(ax, cap)
    if cap:
        labels.append((cap, "maxmemory", REFERENCE))
    end_labels(ax, labels)
    return ax
