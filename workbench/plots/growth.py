"""How the AOF grows, and when its next rewrite is due."""

from collections.abc import Mapping
from typing import Final

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workbench.analysis.growth import NextRewrite, next_rewrite, trigger_bytes
from workbench.analysis.persistence import base_made_anew
from workbench.plots.annotate import end_labels, no_data, size_unit
from workbench.plots.style import LOSS, REFERENCE, SECOND, STATE, Chart, styled
from workbench.plots.timeline import headline, timeline
from workbench.runs.run import Run
from workbench.units import format_bytes, format_count, format_duration

__all__ = ["draw_aof_growth", "figure_aof_growth"]

# A rewrite due later than this many times the run's length is told in words alone.
_IN_SIGHT: Final = 0.6


def draw_aof_growth(
    ax: Axes, samples: pd.DataFrame, config: Mapping[str, str], forecast: NextRewrite
) -> Axes:
    """
    The AOF, the size at which the server rewrites it, and how it is going to reach that.

    What it must outgrow is its size when its last rewrite ended; that of its base file, if the
    server was started since.

    Args:
        ax: x is elapsed time, s; it is widened to hold the next rewrite if that is near.
        samples: columns ``elapsed_s`` (s), ``aof_base_size`` and ``aof_current_size`` (bytes).
        config: the server's settings.
        forecast: as ``analysis.growth.next_rewrite`` makes it.
    """
    frame = samples.dropna(subset=["aof_base_size", "aof_current_size"])
    unit, unit_bytes = size_unit(float(frame["aof_current_size"].max()))
    ax.set_title(f"Size of the AOF, {unit}")
    if frame.empty:
        no_data(ax, "no sample" if samples.empty else "the server keeps no AOF")
        return ax
    times_s = frame["elapsed_s"]
    sizes = {
        "AOF": (frame["aof_current_size"] / unit_bytes, STATE),
        "when last rewritten": (frame["aof_base_size"] / unit_bytes, SECOND),
    }
    labels = []
    for name, (size, colour) in sizes.items():
        ax.plot(times_s, size, color=colour)
        labels.append((float(size.iloc[-1]), name, colour))
    most = float((frame["aof_current_size"] / unit_bytes).max())
    limits = trigger_bytes(frame["aof_base_size"], config)
    if limits is not None and float(limits.iloc[-1]) / unit_bytes <= 3 * max(most, 0.1):
        shown = limits / unit_bytes
        ax.plot(times_s, shown, color=REFERENCE, lw=1, ls=(0, (5, 4)), drawstyle="steps-post")
        labels.append((float(shown.iloc[-1]), "rewrite due", REFERENCE))
        most = max(most, float(shown.max()))
    last_s = float(times_s.iloc[-1])
    span_s = last_s - float(times_s.iloc[0])
    due_s = forecast.due_s
    if due_s is not None and forecast.trigger_bytes and due_s - last_s <= _IN_SIGHT * span_s:
        limit = forecast.trigger_bytes / unit_bytes
        last = float(frame["aof_current_size"].iloc[-1]) / unit_bytes
        low_s, high_s = ax.get_xlim()
        ax.set_xlim(low_s, max(high_s, due_s + 0.03 * span_s))
        ax.plot([last_s, due_s], [last, limit], color=LOSS, ls=(0, (1, 1.6)))
        ax.plot([due_s], [limit], color=LOSS, marker="o", ms=5)
        ax.plot([last_s, due_s], [limit, limit], color=REFERENCE, lw=1, ls=(0, (5, 4)))
        ax.annotate(
            f"next at {format_duration(due_s)}",
            (due_s, limit),
            xytext=(0, 8),
            textcoords="offset points",
            ha="right",
            color=LOSS,
            fontsize="small",
        )
        most = max(most, limit)
    ax.set_ylim(0, 1.18 * max(most, 0.1))
    end_labels(ax, labels)
    return ax


@styled
def figure_aof_growth(run: Run) -> Chart:
    """How fast the AOF grows, and when the server will rewrite it, if the load goes on."""
    config = _config(run)
    loaded = run.samples
    if run.measured_s:
        # What the server does after the load says nothing of how fast it grows under it.
        loaded = loaded[loaded["elapsed_s"] <= run.measured_s]
    forecast = next_rewrite(loaded, config)
    figure = Figure(figsize=(9.0, 3.7))
    ax = figure.subplots()
    headline(figure, run, _title(forecast))
    timeline(run, [ax])
    draw_aof_growth(ax, loaded, config, forecast)
    return Chart(figure, _reading(loaded, config, forecast))


def _config(run: Run) -> Mapping[str, str]:
    for look in reversed(run.snapshots):
        if "auto-aof-rewrite-percentage" in look.config:
            return look.config
    config: Mapping[str, str] = run.manifest.server.get("config") or {}
    return config


def _title(forecast: NextRewrite) -> str:
    if forecast.due_s is not None and forecast.rate_bytes_per_s:
        rate = format_bytes(forecast.rate_bytes_per_s)
        due = format_duration(forecast.due_s)
        return f"The AOF grows by {rate}/s: its next rewrite is due at {due}"
    return f"When the next rewrite is due cannot be told: {forecast.why}"


def _reading(samples: pd.DataFrame, config: Mapping[str, str], forecast: NextRewrite) -> str:
    says = []
    if forecast.trigger_bytes is not None:
        percentage = config.get("auto-aof-rewrite-percentage", "unknown")
        least = format_bytes(float(config.get("auto-aof-rewrite-min-size", "nan")))
        says.append(
            f"The server rewrites it beyond {format_bytes(forecast.trigger_bytes)}: "
            f"{percentage} % over its size when it was last rewritten, and {least} at least."
        )
    if forecast.due_s is not None:
        last_s = float(samples["elapsed_s"].iloc[-1])
        left = format_duration(max(0.0, forecast.due_s - last_s))
        says.append(f"That is {left} after the load's last sample, if the load goes on as it was.")
    else:
        says.append(f"No forecast: {forecast.why}.")
    rewrites = int(base_made_anew(samples).sum())
    if rewrites:
        before = int(base_made_anew(samples[samples["elapsed_s"] < 0]).sum())
        early = f", {before:,} of them before the measured load" if before else ""
        says.append(f"{format_count(rewrites, 'rewrite')} ended in the samples{early}.")
    return " ".join(says)
