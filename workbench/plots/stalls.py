"""What persistence stops the server with: forks, and fsyncs that a write has to wait for."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from workbench.analysis.causes import forks
from workbench.analysis.persistence import aof_enabled
from workbench.analysis.windows import grown
from workbench.plots.annotate import no_data
from workbench.plots.style import LOSS, STATE, Chart, styled
from workbench.plots.timeline import headline, timeline
from workbench.runs.run import Run
from workbench.units import format_count, format_duration, format_share

__all__ = ["draw_forks", "draw_fsyncs", "figure_stalls"]


def draw_forks(ax: Axes, samples: pd.DataFrame) -> Axes:
    """
    How long each fork stopped the server that INFO showed.

    Args:
        ax: x is elapsed time, s.
        samples: columns ``elapsed_s`` (s), ``total_forks`` and ``latest_fork_usec`` (µs).
    """
    ax.set_title("Forks: how long each stopped the server, ms")
    seen = forks(samples)
    seen = seen[seen["fork_us"] > 0]
    if seen.empty:
        no_data(ax, "no sample" if samples.empty else "none was seen")
        return ax
    values_ms = seen["fork_us"] / 1000
    ax.vlines(seen["elapsed_s"], 0, values_ms, color=LOSS, lw=1.2)
    ax.plot(seen["elapsed_s"], values_ms, ls="", marker="o", ms=5, color=LOSS)
    ax.set_ylim(0, 1.2 * float(values_ms.max()))
    return ax


def draw_fsyncs(ax: Axes, samples: pd.DataFrame) -> Axes:
    """
    Fsyncs that were under way or waiting at each sample, and writes that one held up for 2 s.

    Args:
        ax: x is elapsed time, s.
        samples: columns ``elapsed_s`` (s), ``aof_pending_bio_fsync`` and ``aof_delayed_fsync``.
    """
    ax.set_title("Fsyncs of the AOF under way or waiting, at each sample")
    pending = samples["aof_pending_bio_fsync"].astype(float)
    if pending.dropna().empty:
        no_data(ax, "no sample" if samples.empty else "the server does not say")
        return ax
    held = samples["aof_delayed_fsync"].astype(float).diff() > 0
    if not (pending > 0).any() and not held.any():
        no_data(ax, "no sample met one")
        return ax
    ax.vlines(samples["elapsed_s"], 0, pending, color=STATE, lw=1.4)
    most = max(1.0, float(pending.max()))
    if held.any():
        ax.plot(
            samples["elapsed_s"][held],
            [1.15 * most] * int(held.sum()),
            ls="",
            marker="v",
            color=LOSS,
        )
        ax.annotate(
            "held up a write",
            (float(samples["elapsed_s"][held].iloc[0]), 1.15 * most),
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
            color=LOSS,
            fontsize="small",
        )
    ax.set_ylim(0, 1.35 * most)
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    return ax


@styled
def figure_stalls(run: Run) -> Chart:
    """Forks and fsyncs over time, with the rewrites that most of them belong to."""
    figure = Figure(figsize=(9.0, 4.8))
    panels = figure.subplots(2, 1, sharex=True)
    headline(figure, run, _title(run.samples))
    timeline(run, panels)
    draw_forks(panels[0], run.samples)
    draw_fsyncs(panels[1], run.samples)
    return Chart(figure, _reading(run.samples))


def _title(samples: pd.DataFrame) -> str:
    if samples.empty:
        return "The server was not sampled in this run"
    seen = forks(samples)
    held = grown(samples, "aof_delayed_fsync")
    longest = float(seen["fork_us"].max()) / 1e6
    told = "No fork was seen" if seen.empty else f"The longest fork took {format_duration(longest)}"
    if held:
        return f"{told}; {format_count(held, 'write')} waited for an fsync"
    return f"{told}; no write is known to have waited for an fsync"


def _reading(samples: pd.DataFrame) -> str:
    if samples.empty:
        return "There is nothing to tell of forks and fsyncs."
    says = []
    seen = forks(samples)
    if len(seen):
        says.append(
            f"{format_count(len(seen), 'fork')} showed, half of them "
            f"{format_duration(float(seen['fork_us'].median()) / 1e6)} or shorter; of several "
            "between two samples INFO tells the latest."
        )
    if aof_enabled(samples) is False:
        return " ".join([*says, "The server keeps no AOF, so there is nothing to fsync."])
    held = grown(samples, "aof_delayed_fsync")
    pending = samples["aof_pending_bio_fsync"].dropna()
    if held is None or pending.empty:
        says.append("Whether an fsync was late is not known.")
    else:
        share = format_share(float((pending > 0).mean()))
        writes = f"{format_count(held, 'write')} had" if held else "no write is known to have had"
        says.append(f"{share} of the samples met an fsync that was not done; {writes} to wait.")
    return " ".join(says)
