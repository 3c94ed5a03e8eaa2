"""Client against server: what a turn's work takes seen from outside, and what the server takes."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workbench.analysis import latency
from workbench.analysis.commands import command_latency
from workbench.plots.annotate import end_labels, no_data, plain_log, row_note
from workbench.plots.style import LOSS, MEDIAN, REFERENCE, TAIL, Chart, styled
from workbench.plots.timeline import headline, timeline
from workbench.runs.run import Run
from workbench.units import format_count, format_duration

__all__ = ["draw_commands", "draw_service", "figure_sides"]


def draw_service(ax: Axes, windows: pd.DataFrame, samples: pd.DataFrame) -> Axes:
    """
    The state manager's work on a turn, and the server's reply to another process meanwhile.

    Args:
        ax: x is elapsed time, s.
        windows: of ``service_us``, as ``analysis.latency.latency_by_window`` makes them.
        samples: columns ``elapsed_s`` (s) and ``sample_us`` (µs).
    """
    ax.set_title("From outside, ms: work on a turn, reply to an INFO")
    lines = [("work p50", "p50", MEDIAN), ("work p99", "p99", TAIL)]
    shown, labels = [], []
    width_s = float(windows.index.to_series().diff().min()) if len(windows) > 1 else 1.0
    for name, column, colour in lines:
        values = windows[column].dropna() / 1000
        if values.empty:
            continue
        ax.plot(values.index + width_s / 2, values, color=colour)
        labels.append((float(values.iloc[-1]), name, colour))
        shown.append(values)
    asked = samples["sample_us"].dropna() / 1000
    if len(asked):
        at_s = samples.loc[asked.index, "elapsed_s"]
        ax.plot(at_s, asked, ls="", marker=".", ms=3.5, color=REFERENCE)
        labels.append((float(asked.median()), "INFO", REFERENCE))
        shown.append(asked)
    if not shown:
        no_data(ax, "neither turns nor samples")
        return ax
    every = pd.concat(shown)
    every = every[every > 0]
    low, high = 0.7 * float(every.min()), 1.6 * float(every.max())
    ax.set_yscale("log")
    ax.set_ylim(low, high)
    plain_log(ax.yaxis, low, high)
    end_labels(ax, labels)
    return ax


def draw_commands(ax: Axes, commands: pd.DataFrame) -> Axes:
    """
    The server's own percentiles of each command, one a row, on a logarithmic scale.

    Args:
        ax: y is one command below the other.
        commands: as ``analysis.commands.command_latency`` makes them, µs.
    """
    ax.set_title("Within the server, µs: each command, by the server's own count")
    if commands.empty:
        no_data(ax, "the server's own figures tell of no command")
        ax.set_xticks([])
        return ax
    at = np.arange(len(commands))
    told = commands[["mean", "p50", "p99", "p999"]]
    values = told.to_numpy(dtype=float)
    values = values[np.isfinite(values) & (values > 0)]
    low, high = 0.6 * float(values.min()), 1.8 * float(values.max())
    ax.set_xscale("log")
    ax.set_xlim(low, high)
    plain_log(ax.xaxis, low, high)
    ax.grid(visible=True, axis="x")
    if told["p50"].isna().all():  # an older server counts calls and time alone
        ax.plot(told["mean"], at, ls="", marker="D", ms=6, color=REFERENCE)
        _head(ax, float(told["mean"].iloc[0]), "mean", REFERENCE, "center")
    else:
        ax.hlines(at, told["p50"], told["p999"], color=REFERENCE, lw=1, alpha=0.5)
        for column, name, colour, marker, ha in (
            ("p50", "p50", MEDIAN, "o", "right"),
            ("p99", "p99", TAIL, "s", "center"),
            ("p999", "p99.9", LOSS, "D", "left"),
        ):
            ax.plot(told[column], at, ls="", marker=marker, ms=6, color=colour)
            for value in told[column].dropna().iloc[:1]:
                _head(ax, float(value), name, colour, ha)
    for y, calls in enumerate(commands["calls"]):
        row_note(ax, y, format_count(int(calls), "call"))
    ax.set_yticks(at, commands["command"])
    ax.set_ylim(len(commands) - 0.4, -1.45)
    return ax


@styled
def figure_sides(run: Run) -> Chart:
    """Whether what people wait for is spent in the server, or on the way to it."""
    commands = command_latency(run.snapshots)
    figure = Figure(figsize=(9.0, 4.2 + 0.34 * max(3, len(commands))))
    above, below = figure.subplots(2, 1, height_ratios=(2.5, 0.34 * max(3, len(commands)) + 0.6))
    headline(figure, run, _title(run, commands))
    timeline(run, [above])
    windows = latency.latency_by_window(run.turns, column="service_us")
    draw_service(above, windows, run.samples)
    draw_commands(below, commands)
    return Chart(figure, _reading(run, commands))


def _title(run: Run, commands: pd.DataFrame) -> str:
    within_us = _within_us(commands)
    if not run.loaded:
        if commands.empty:
            return "The server was only sampled, and its own figures tell of no command"
        return f"A command takes the server {format_duration(within_us / 1e6)} on average"
    outside_us = latency.percentiles_us(run.measured_turns, "service_us")["p50"]
    if np.isnan(outside_us):
        return "Too few turns were measured to set against the server's own figures"
    outside = format_duration(outside_us / 1e6)
    if commands.empty:
        return (
            f"Half of the turns take {outside} of work; how much of it is the server's is not known"
        )
    return (
        f"Half of the turns take {outside} of work; a command takes the server "
        f"{format_duration(within_us / 1e6)}"
    )


def _reading(run: Run, commands: pd.DataFrame) -> str:
    says = []
    outside = latency.percentiles_us(run.measured_turns, "service_us")
    if not np.isnan(outside["p99"]):
        says.append(f"Seen from outside, the p99 of a turn's work is {_us(outside['p99'])}.")
    asked_us = run.samples["sample_us"].dropna()
    if len(asked_us):
        says.append(
            f"An INFO is answered in {_us(float(asked_us.median()))} at the median and "
            f"{_us(float(asked_us.max()))} at most."
        )
    if commands.empty:
        says.append("The server's own figures tell of no command in this run, or were not asked.")
        return " ".join(says)
    often = commands[commands["calls"] >= latency.LEAST["p99"]]
    slowest = often.dropna(subset=["p99"]).sort_values("p99", kind="stable").tail(1)
    if commands["p99"].isna().all():
        says.append("This server counts calls and their time, and no percentiles.")
    for command, p99_us in zip(slowest["command"], slowest["p99"], strict=True):
        says.append(
            f"Within the server the slowest p99 is that of {command}, {_us(float(p99_us))}, since "
            "it was started."
        )
    says.append(
        "The way to the server, and the wait before a command, are in the upper panel only."
    )
    return " ".join(says)


def _within_us(commands: pd.DataFrame) -> float:
    calls = commands["calls"].sum()
    return float((commands["mean"] * commands["calls"]).sum() / calls) if calls else float("nan")


def _us(value_us: float) -> str:
    return format_duration(value_us / 1e6)


def _head(ax: Axes, x: float, text: str, colour: str, ha: str) -> None:
    # The one in the middle stands higher: the three may lie close together.
    y = -1.05 if ha == "center" else -0.5
    ax.annotate(text, (x, y), ha=ha, va="center", color=colour, fontsize="small")
