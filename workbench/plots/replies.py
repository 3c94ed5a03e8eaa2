"""A server that was only sampled: how soon it replied to the sampler, and what it had to do."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workbench.analysis.windows import rate_per_s
from workbench.plots.annotate import no_data, plain_log
from workbench.plots.style import SECOND, STATE, Chart, styled
from workbench.plots.timeline import headline, timeline
from workbench.runs.run import Run
from workbench.units import format_duration, format_rate

__all__ = ["draw_commands_rate", "draw_replies", "figure_replies"]

_SAMPLES_MIN = 20


def draw_replies(ax: Axes, samples: pd.DataFrame) -> Axes:
    """
    How long the server took to reply to an INFO, the way included, on a logarithmic scale.

    Args:
        ax: x is elapsed time, s.
        samples: columns ``elapsed_s`` (s) and ``sample_us`` (µs).
    """
    ax.set_title("The server's reply to the sampler's INFO, ms")
    values = samples["sample_us"].dropna() / 1000
    values = values[values > 0]
    if values.empty:
        no_data(ax, "no sample")
        return ax
    ax.plot(samples.loc[values.index, "elapsed_s"], values, color=SECOND, marker=".", ms=4, lw=0.8)
    low, high = 0.7 * float(values.min()), 1.6 * float(values.max())
    ax.set_yscale("log")
    ax.set_ylim(low, high)
    plain_log(ax.yaxis, low, high)
    return ax


def draw_commands_rate(ax: Axes, samples: pd.DataFrame) -> Axes:
    """
    Commands that the server carried out, by the second.

    Args:
        ax: x is elapsed time, s.
        samples: columns ``elapsed_s`` (s) and ``total_commands_processed``.
    """
    ax.set_title("Commands, commands/s")
    rate = rate_per_s(samples, "total_commands_processed").dropna() if len(samples) > 1 else None
    if rate is None or rate.empty:
        no_data(ax, "fewer than two samples")
        return ax
    ax.step(rate.index, rate, where="pre", color=STATE)
    ax.set_ylim(0, 1.15 * max(1.0, float(rate.max())))
    return ax


@styled
def figure_replies(run: Run) -> Chart:
    """What shows of latency from outside, where the load is not ours."""
    samples = run.samples
    figure = Figure(figsize=(9.0, 5.2))
    panels = figure.subplots(2, 1, sharex=True)
    headline(figure, run, _title(samples["sample_us"].dropna()))
    timeline(run, panels)
    draw_replies(panels[0], samples)
    draw_commands_rate(panels[1], samples)
    return Chart(figure, _reading(samples))


def _title(asked_us: pd.Series) -> str:
    if asked_us.empty:
        return "The server was not sampled in this run"
    if len(asked_us) < _SAMPLES_MIN:
        return f"Too few replies were timed to tell much: {len(asked_us)}"
    slow = format_duration(float(asked_us.quantile(0.95, "higher")) / 1e6)
    return f"The server replies within {slow} to all but one in twenty of the sampler's questions"


def _reading(samples: pd.DataFrame) -> str:
    asked_us = samples["sample_us"].dropna()
    if asked_us.empty:
        return "There is nothing to tell of its replies."
    says = [
        f"Half of the replies came within {format_duration(float(asked_us.median()) / 1e6)}, the "
        f"slowest after {format_duration(float(asked_us.max()) / 1e6)}.",
    ]
    rate = rate_per_s(samples, "total_commands_processed") if len(samples) > 1 else pd.Series()
    if len(rate) and not np.isnan(mean := float(rate.mean())):
        says.append(f"It carried out {format_rate(mean)} commands on average.")
    says.append("What people waited for is not known: the load was not the workbench's.")
    return " ".join(says)
