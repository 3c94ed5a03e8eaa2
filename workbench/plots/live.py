"""What a server is doing now: memory, evictions, and its AOF or the turns of a run that goes on."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workbench.analysis import latency, persistence
from workbench.analysis.eviction import rate_keys_per_s
from workbench.plots.aof import draw_aof_size
from workbench.plots.evictions import draw_evictions
from workbench.plots.latency import draw_latency
from workbench.plots.memory import draw_memory
from workbench.plots.style import Chart, styled
from workbench.plots.timeline import timeline
from workbench.runs.run import Run
from workbench.units import format_bytes, format_count, format_duration, format_rate, format_share

__all__ = ["figure_live"]

_NOW_S = 5.0
_WIDTH_S_LEAST = 2.0
# Fixed, unlike in a report: finding a layout costs as much as all the drawing, and would move the
# panels from one picture to the next.
_EDGES = {"left": 0.055, "right": 0.865, "bottom": 0.075, "top": 0.885, "hspace": 0.33}


@styled
def figure_live(run: Run, turns: pd.DataFrame | None = None) -> Chart:
    """
    The last look and the minute before it, in the same panels as a report's.

    Args:
        run: what is being seen; its window is drawn whole.
        turns: columns ``elapsed_s`` (s, on the run's clock) and ``response_us``, where a load of
            ours tells them; else the third panel is the AOF.
    """
    figure = Figure(figsize=(9.0, 7.6))
    figure.set_layout_engine("none")
    panels = figure.subplots(3, 1, sharex=True, gridspec_kw=_EDGES)
    samples = run.samples
    figure.suptitle(_title(samples), x=0.012, y=0.975, ha="left")
    timeline(run, panels)
    first_s, last_s = _window_s(samples)
    for ax in panels:
        ax.set_xlim(first_s, max(last_s, first_s + _WIDTH_S_LEAST))
    draw_memory(panels[0], samples)
    draw_evictions(panels[1], samples)
    _draw_third(panels[2], samples, turns)
    return Chart(figure, _reading(run))


def _draw_third(ax: Axes, samples: pd.DataFrame, turns: pd.DataFrame | None) -> None:
    if turns is None:
        draw_aof_size(ax, samples)
        return
    first_s, last_s = _window_s(samples)
    shown = turns[(turns["elapsed_s"] >= first_s) & (turns["elapsed_s"] <= last_s)]
    draw_latency(ax, latency.latency_by_window(shown))


def _window_s(samples: pd.DataFrame) -> tuple[float, float]:
    if samples.empty:
        return 0.0, 0.0
    return float(samples["elapsed_s"].iloc[0]), float(samples["elapsed_s"].iloc[-1])


def _title(samples: pd.DataFrame) -> str:
    if samples.empty:
        return "The server was not seen yet"
    used, cap = float(samples["used_memory"].iloc[-1]), float(samples["maxmemory"].iloc[-1])
    evicted = _evicted_per_s(samples)
    if not cap:
        return f"Memory is at {format_bytes(used)}, and has no cap"
    share = format_share(used / cap)
    if evicted is None:
        return f"Memory is at {share} of the {format_bytes(cap)} cap; evictions are not known yet"
    if evicted:
        return f"At the {format_bytes(cap)} cap, keys are evicted at {format_rate(evicted)}"
    return f"Memory is at {share} of the {format_bytes(cap)} cap, and nothing is evicted"


def _evicted_per_s(samples: pd.DataFrame) -> float | None:
    """Of the last seconds, or since the look before; None if it is not known."""
    late = int((samples["elapsed_s"] >= samples["elapsed_s"].iloc[-1] - _NOW_S).sum())
    now = samples.iloc[-max(2, late) :]
    if len(now) < 2:
        return None
    rates = rate_keys_per_s(now).dropna()
    return None if rates.empty else float(rates.mean())


def _reading(run: Run) -> str:
    samples = run.samples
    if samples.empty:
        return "No look was taken yet."
    first_s, last_s = _window_s(samples)
    rewrites = len(persistence.rewrite_spans(run.events, samples))
    now = samples.iloc[-1]
    return (
        f"{format_count(len(samples), 'look')} in {format_duration(max(last_s - first_s, 0.001))}: "
        f"{format_bytes(float(now['used_memory']))} used, "
        f"{format_count(rewrites, 'AOF rewrite')} seen."
    )
