"""Evictions over time, and who loses a conversation: the share lost by the pause before a turn."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workbench.analysis import eviction, latency, loss, persistence
from workbench.analysis.whose import whose
from workbench.plots.annotate import no_data, outline, size_unit
from workbench.plots.latency import draw_latency
from workbench.plots.memory import draw_memory
from workbench.plots.style import LOSS, REFERENCE, Chart, styled
from workbench.plots.timeline import headline, timeline
from workbench.runs.run import Run
from workbench.units import format_bytes, format_count, format_duration, format_share

__all__ = [
    "draw_evictions",
    "draw_loss_by_pause",
    "evicted_of",
    "figure_eviction",
    "figure_loss_by_pause",
]


def draw_evictions(ax: Axes, samples: pd.DataFrame, *, window_s: float = 1.0) -> Axes:
    """
    Keys evicted per second, as a running mean.

    Args:
        ax: x is elapsed time, s.
        samples: columns ``elapsed_s`` (s) and ``evicted_keys``.
        window_s: width of the mean, s.
    """
    ax.set_title(f"Evictions, keys/s ({format_duration(window_s)} mean)")
    if len(samples) < 2:
        no_data(ax, "fewer than two samples")
        return ax
    rate = eviction.rate_keys_per_s(samples, window_s=window_s)
    if rate.isna().all():
        no_data(ax, "the server does not say")
        return ax
    highest = float(np.nanmax(rate))
    rate = outline(rate)
    ax.plot(rate.index, rate, color=LOSS)
    ax.fill_between(rate.index, 0, rate, color=LOSS, alpha=0.12, lw=0)
    ax.set_ylim(0, 1.15 * max(1.0, highest))
    return ax


def draw_loss_by_pause(ax: Axes, classes: pd.DataFrame) -> Axes:
    """
    The share of turns that found their conversation evicted, by the pause before the turn.

    Args:
        ax: x is one class of pause after the other.
        classes: as ``analysis.loss.loss_by_pause`` makes them.
    """
    ax.set_title("Follow-up turns that found their conversation evicted, %")
    known = classes[classes["turns"] > 0].reset_index(drop=True)
    if known.empty:
        no_data(ax, "no turn went on with a conversation")
        return ax
    share = 100 * known["evicted_share"]
    ax.bar(known.index, share.fillna(0), width=0.86, color=LOSS)
    for at, (value, turns) in enumerate(zip(share, known["turns"], strict=True)):
        text = "too few" if np.isnan(value) else f"{value:.0f}"
        ax.annotate(
            text,
            (at, 0 if np.isnan(value) else value),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            color=REFERENCE if np.isnan(value) else LOSS,
            fontsize="small",
        )
        ax.annotate(
            f"{turns:,}",
            (at, 0),
            xytext=(0, -32),
            textcoords="offset points",
            ha="center",
            color=REFERENCE,
            fontsize="small",
            annotation_clip=False,
        )
    ax.set_xticks(
        known.index,
        [f"{a:g}–{b:g}" for a, b in zip(known["from_s"], known["to_s"], strict=True)],
    )
    ax.set_xlim(-0.6, len(known) - 0.4)
    ax.set_ylim(0, 112)
    ax.set_yticks([0, 25, 50, 75, 100])
    ax.set_xlabel(
        "pause since the conversation's last write, s; below: turns in the class", labelpad=22
    )
    return ax


@styled
def figure_eviction(run: Run) -> Chart:
    """Cause above, effect below: memory at its cap, evictions, turn latency, rewrites shaded."""
    figure = Figure(figsize=(9.0, 7.6))
    above, middle, below = figure.subplots(3, 1, sharex=True, height_ratios=(1, 1, 1.15))
    samples = run.samples
    headline(figure, run, _title(run))
    timeline(run, (above, middle, below))
    draw_memory(above, samples)
    draw_evictions(middle, samples)
    turns = run.turns
    windows = latency.latency_by_window(turns, window_s=latency.windows_in_sight_s(turns)[0])
    draw_latency(below, windows, since=run.latency_since)
    _mark_cap(above, samples)
    return Chart(figure, _reading(run))


@styled
def figure_loss_by_pause(run: Run) -> Chart:
    """Who is evicted: the longer the pause between two messages, the likelier the loss."""
    turns = loss.at_cap(run.measured_turns, run.samples)
    classes = loss.loss_by_pause(turns)
    figure = Figure(figsize=(9.0, 3.7))
    draw_loss_by_pause(figure.subplots(), classes)
    told = classes.dropna(subset=["evicted_share"])
    lossy_s = loss.lossy_pause_s(classes)
    safe = told[(told["evicted_share"] < 0.01).cummin()]
    if told.empty:
        title = "No turn went on with a conversation in this run"
    elif not told["evicted"].any():
        title = "Nobody is seen to lose a conversation, however long the pause"
    elif lossy_s is None:
        title = "No length of pause loses more than half of its conversations"
    else:
        title = f"Most who pause {lossy_s:g} s or longer lose their conversation"
    figure.suptitle(title, x=0.012, ha="left")
    reading = "No length of pause is free of losses."
    if told.empty:
        reading = "Too few turns went on with a conversation to tell."
    elif not safe.empty:
        reading = (
            f"Pauses under {safe['to_s'].iloc[-1]:g} s lose less than 1 % of them to eviction."
        )
    return Chart(figure, reading)


def evicted_of(run: Run) -> pd.DataFrame:
    """Whose conversations were evicted; by prefix of their keys where the load was not ours."""
    by = "flow" if run.loaded else "prefix"
    return whose(run.eviction_rows, run.turns, run.key_rows, by=by)


def _title(run: Run) -> str:
    lost = loss.loss(loss.at_cap(run.measured_turns, run.samples))
    if run.samples.empty or not lost.turns:
        return "No turn went on with a conversation in this run"
    cap_bytes = float(run.samples["maxmemory"].iloc[-1])
    at_the_cap = f"At the {format_bytes(cap_bytes)} cap" if cap_bytes else "Without a cap"
    share = lost.evicted_share
    assert share is not None, "there were turns"
    if not lost.evicted and eviction.began_s(run.samples) is None:
        if not cap_bytes:
            return "Without a cap nothing is evicted"
        return f"Memory stays under the {format_bytes(cap_bytes)} cap, and nothing is evicted"
    if not lost.evicted:
        return f"{at_the_cap}, no follow-up turn found its conversation evicted"
    lost_share = format_share(share)
    return f"{at_the_cap}, {lost_share} of follow-up turns found their conversation evicted"


def _reading(run: Run) -> str:
    start_s = eviction.began_s(run.samples)
    when = "Nothing is evicted" if start_s is None else f"Evictions begin at {start_s:.0f} s"
    p99 = latency.percentiles_us(run.measured_turns)["p99"] / 1e6
    closed = run.manifest.experiment.get("closed_loop")
    since = f" ({run.latency_since})" if closed else ""
    rewrites = len(persistence.finished_rewrites(run.events, run.samples))
    rewritten = f"{format_count(rewrites, 'AOF rewrite')} under the measured load"
    return f"{when}; {rewritten}; response p99 {format_duration(p99)}{since}."


def _mark_cap(ax: Axes, samples: pd.DataFrame) -> None:
    start_s = eviction.began_s(samples)
    if start_s is None:
        return
    at_cap = samples[samples["elapsed_s"] >= start_s].iloc[0]
    if pd.isna(at_cap["used_memory"]):
        return
    highest = max(float(samples["maxmemory"].max()), float(samples["used_memory"].max()))
    _, unit_bytes = size_unit(highest)
    ax.annotate(
        "first eviction",
        (start_s, at_cap["used_memory"] / unit_bytes),
        xytext=(14, -26),
        textcoords="offset points",
        color=REFERENCE,
        fontsize="small",
        arrowprops={"arrowstyle": "-", "color": REFERENCE, "lw": 0.8},
    )
