"""Latency: over time, by what a turn waited for, and by groups of turns."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workbench.analysis import latency
from workbench.plots.annotate import end_labels, no_data, plain_log, row_note, shortened
from workbench.plots.clocks import draw_clocks
from workbench.plots.replies import figure_replies
from workbench.plots.style import LOSS, MEDIAN, REFERENCE, SECOND, STATE, TAIL, Chart, styled
from workbench.plots.timeline import headline, timeline
from workbench.runs.rows import Rows
from workbench.runs.run import Run
from workbench.units import format_count, format_duration, format_share

__all__ = [
    "draw_latency",
    "draw_latency_rows",
    "draw_parts",
    "figure_latency",
    "figure_latency_by_step",
]

_LINES = (("p50", "p50", MEDIAN), ("p99", "p99", TAIL), ("p999", "p99.9", LOSS))
_PARTS = {
    "service_us": ("service", STATE, "for its state"),
    "lag_us": ("lag", REFERENCE, "for the load generator"),
    "queue_us": ("queue", SECOND, "in the queue"),
}
# Steps of which one p99 is less than this times another are not told apart.
_ALIKE_RATIO = 1.5
# A clock that shows less shows nothing: a logarithm has no 0.
_LEAST_US = 1.0
_SINCE = "from the intended start"


def draw_latency(ax: Axes, windows: pd.DataFrame, *, since: str = _SINCE) -> Axes:
    """
    Response percentiles of each window, on a logarithmic scale.

    Args:
        ax: x is elapsed time, s.
        windows: as ``analysis.latency.latency_by_window`` makes them, µs.
        since: from when the response is counted; see ``Run.latency_since``.
    """
    ax.set_title(f"Turn response, ms (client side, {since})")
    lines = [line for line in _LINES if windows[line[0]].notna().any()]
    if not lines:
        no_data(ax, "too few turns a window")
        return ax
    labels = []
    width_s = _width_s(windows)
    for column, name, colour in lines:
        values = windows[column].dropna().clip(lower=_LEAST_US) / 1000
        ax.plot(values.index + width_s / 2, values, color=colour)
        labels.append((float(values.iloc[-1]), name, colour))
    shown = windows[[column for column, _, _ in lines]].clip(lower=_LEAST_US) / 1000
    low, high = 0.7 * float(np.nanmin(shown)), 1.6 * float(np.nanmax(shown))
    ax.set_yscale("log")
    ax.set_ylim(low, high)
    plain_log(ax.yaxis, low, high)
    end_labels(ax, labels)
    return ax


def draw_parts(ax: Axes, parts: pd.DataFrame, *, whose: str = "a turn") -> Axes:
    """
    What the response is made of in each window: the parts stacked, so that the top is their sum.

    A part that is nowhere more than a hundredth of the whole is drawn, and not named.

    Args:
        ax: x is elapsed time, s.
        parts: as ``analysis.latency.parts_by_window`` makes them, µs.
        whose: whose mean it is, for the title.
    """
    width_s = _width_s(parts)
    ax.set_title(f"Mean wait of {whose} and its parts, ms ({width_s:g} s windows)")
    if len(parts) < 2:
        no_data(ax, "too few turns a window")
        return ax
    middle_s = parts.index.to_numpy() + width_s / 2
    base = np.zeros(len(parts))
    labels = []
    for column, (name, colour, _) in _PARTS.items():
        top = base + parts[column].to_numpy(dtype=float) / 1000
        ax.fill_between(middle_s, base, top, color=colour, alpha=0.6, lw=0)
        if (parts[column] > 0.01 * parts.sum(axis="columns")).any():
            labels.append((float(base[-1] + top[-1]) / 2, name, colour))
        base = top
    ax.set_ylim(0, 1.1 * max(_LEAST_US / 1000, float(np.nanmax(base))))
    end_labels(ax, labels)
    return ax


def draw_latency_rows(ax: Axes, rows: pd.DataFrame, *, since: str = _SINCE) -> Axes:
    """
    Median and p99 of groups of turns, one group a row, on a logarithmic scale.

    Args:
        ax: y is one group below the other.
        rows: indexed by the group's name; columns ``turns``, ``p50`` and ``p99`` (µs).
        since: from when the response is counted; see ``Run.latency_since``.
    """
    ax.set_title(f"Turn response, ms (client side, {since})")
    told = rows[rows["p50"].notna()]
    if told.empty:
        no_data(ax, "too few turns")
        ax.set_xticks([])
        return ax
    at = list(range(len(rows)))
    shown = rows[["p50", "p99"]].clip(lower=_LEAST_US) / 1000
    low, high = float(np.nanmin(shown)), float(np.nanmax(shown))
    room = max(1.35, (high / low) ** 0.25)
    low, high = low / room, high * room
    ax.set_xscale("log")
    ax.set_xlim(low, high)
    plain_log(ax.xaxis, low, high)
    ax.grid(visible=False, axis="y")
    ax.grid(visible=True, axis="x")
    ax.hlines(at, shown["p50"], shown["p99"], color="#cccccc", lw=3, zorder=1)
    for column, colour, beside, ha in (("p50", MEDIAN, -8, "right"), ("p99", TAIL, 8, "left")):
        ax.plot(shown[column], at, ls="", marker="o", ms=7, color=colour)
        for y, value in zip(at, shown[column], strict=True):
            if not np.isnan(value):
                _say(ax, value, y, _figures(value), colour, beside, ha)
        for value in shown[column].dropna().iloc[:1]:
            _say(ax, value, -0.55, column, colour, beside, ha)
    for y, (p50, p99, turns) in enumerate(
        zip(shown["p50"], shown["p99"], rows["turns"], strict=True)
    ):
        if np.isnan(p99):
            x = low if np.isnan(p50) else p50
            _say(ax, x, y, "too few" if np.isnan(p50) else "p99: too few", REFERENCE, 8, "left")
        row_note(ax, y, format_count(int(turns), "turn"))
    ax.set_xlabel("logarithmic, ms")
    ax.set_ylim(len(rows) - 0.4, -0.95)
    ax.set_yticks(at, [shortened(str(name), 40) for name in rows.index])
    return ax


@styled
def figure_latency(run: Run) -> Chart:
    """
    What people wait for: the response over time, the p99 of its parts, and those of the slowest.

    Of a server that was only sampled: what its replies to the sampler tell.
    """
    if not run.loaded:
        return figure_replies(run)
    figure = Figure(figsize=(9.0, 7.6))
    panels = figure.subplots(3, 1, sharex=True, height_ratios=(1.3, 1, 1))
    above, middle, below = panels
    turns = run.turns
    window_s = latency.window_wide_enough_s(turns)
    headline(figure, run, _title(run))
    timeline(run, panels)
    draw_latency(
        above, latency.latency_by_window(turns, window_s=window_s), since=run.latency_since
    )
    clocks = {
        part: latency.latency_by_window(turns, window_s=window_s, column=part)["p99"]
        for part in latency.PARTS
    }
    draw_clocks(middle, pd.DataFrame(clocks))
    draw_parts(
        below,
        latency.parts_by_window(turns, window_s=window_s, only_slowest=True),
        whose="the slowest 1 %",
    )
    return Chart(figure, _reading(run))


@styled
def figure_latency_by_step(run: Run) -> Chart:
    """Who waits: median and p99 of each step of each flow."""
    steps = latency.latency_by_step(run.measured_turns)
    figure = Figure(figsize=(9.0, 1.5 + 0.42 * max(3, len(steps))))
    named = steps.set_index(steps["flow"] + " " + steps["step"].astype(str))
    draw_latency_rows(figure.subplots(), named, since=run.latency_since)
    told = named["p99"].dropna().sort_values() / 1e6
    title = "Too few turns of any step to tell what it waits for"
    if not run.loaded:
        title = "The server was only sampled: what turns wait for is not known"
    reading = "No step has the hundred turns that a p99 takes."
    if not told.empty:
        fast, slow = format_duration(told.iloc[0]), format_duration(told.iloc[-1])
        reading = f"The p99 is {fast} in {told.index[0]} and {slow} in {told.index[-1]}."
        between = slow if fast == slow else f"between {fast} and {slow}"
        title = f"All steps wait alike: their p99 is {between}"
        if told.iloc[-1] > _ALIKE_RATIO * told.iloc[0]:
            title = f"{told.index[-1]} waits longest: p99 {slow}, and {fast} in another step"
    figure.suptitle(title, x=0.012, ha="left")
    return Chart(figure, reading)


def _title(run: Run) -> str:
    turns = len(run.measured_turns)
    p99_s = latency.percentiles_us(run.measured_turns)["p99"] / 1e6
    if not turns:
        return "No turn was measured in this run"
    if np.isnan(p99_s):
        return f"Only {turns} turns were measured, too few to tell what people wait for"
    parts = latency.parts_us(latency.slowest(run.measured_turns))
    largest = max(parts, key=lambda part: parts[part])
    alone = parts[largest] > sum(parts.values()) / 2
    cause = f"mostly {_PARTS[largest][2]}" if alone else "for several reasons"
    return f"One turn in a hundred waits {format_duration(p99_s)} or longer, {cause}"


def _reading(run: Run) -> str:
    measured = run.measured_turns
    if not len(measured):
        return "There is nothing to tell of how long people wait."
    percentiles = latency.percentiles_us(measured)
    says = [f"Half of the turns waited {format_duration(percentiles['p50'] / 1e6)} or less."]
    says.append(f"The mean of all was {_shares(measured)}.")
    slowest = latency.slowest(measured)
    if len(slowest):
        says.append(f"That of the slowest 1 % was {_shares(slowest)}.")
    asked_us = run.samples.loc[run.samples["elapsed_s"].between(0, run.measured_s), "sample_us"]
    if not asked_us.empty:
        says.append(
            "Meanwhile the server answered another process's INFO in "
            f"{format_duration(float(asked_us.median()) / 1e6)} at the median and "
            f"{format_duration(float(asked_us.max()) / 1e6)} at most."
        )
    return " ".join(says)


def _shares(turns: Rows) -> str:
    """``2.3 ms: 65 % service, 35 % lag, 0 % queue``."""
    parts = latency.parts_us(turns)
    whole_us = sum(parts.values())
    shares = [
        f"{format_share(us / whole_us if whole_us else 0)} {_PARTS[part][0]}"
        for part, us in parts.items()
    ]
    return f"{format_duration(whole_us / 1e6)}: {', '.join(shares)}"


def _width_s(windows: pd.DataFrame) -> float:
    return float(windows.index.to_series().diff().min()) if len(windows) > 1 else 1.0


def _say(ax: Axes, x: float, y: float, text: str, colour: str, beside_pt: int, ha: str) -> None:
    ax.annotate(
        text,
        (x, y),
        xytext=(beside_pt, 0),
        textcoords="offset points",
        ha=ha,
        va="center",
        color=colour,
        fontsize="small",
    )


def _figures(value: float) -> str:
    """Three of them, or all of a large number."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
