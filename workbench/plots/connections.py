"""Connections to the server, the pool that turns share, and what happens while nobody answers."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workbench.analysis import latency, outcomes
from workbench.analysis.connections import new_per_s, recoveries, slots
from workbench.analysis.windows import grown, rate_per_s
from workbench.plots.annotate import end_labels, limit_line, no_data, plain_log
from workbench.plots.style import LOSS, REFERENCE, SECOND, STATE, TAIL, Chart, styled
from workbench.plots.timeline import headline, timeline
from workbench.runs.run import Run
from workbench.units import format_count, format_duration, format_rate, format_share

__all__ = [
    "draw_connections",
    "draw_failures",
    "draw_queue",
    "draw_rejected",
    "draw_slots",
    "figure_breaker",
    "figure_connections",
    "figure_pool",
]

_NEAR = 4.0
_WAITS: tuple[tuple[str, str, str, Any], ...] = (
    ("slot", "queue", SECOND, (0, (5, 2))),
    ("work", "work", TAIL, "solid"),
)


def draw_connections(ax: Axes, samples: pd.DataFrame, *, maxclients: float | None = None) -> Axes:
    """
    Connections to the server, with ``maxclients`` as a dashed line where it is near.

    Args:
        ax: x is elapsed time, s.
        samples: columns ``elapsed_s`` (s) and ``connected_clients``.
        maxclients: the server's limit; None if it is not known.
    """
    ax.set_title("Connections to the server")
    values = samples["connected_clients"].astype(float)
    if values.dropna().empty:
        no_data(ax, "no sample")
        return ax
    most = float(values.max())
    ax.step(samples["elapsed_s"], values, where="post", color=STATE)
    labels = [(float(values.dropna().iloc[-1]), "connected", STATE)]
    if maxclients and maxclients <= _NEAR * most:
        limit_line(ax, maxclients)
        labels.append((maxclients, "maxclients", REFERENCE))
        most = max(most, maxclients)
    ax.set_ylim(0, 1.15 * max(1.0, most))
    end_labels(ax, labels)
    return ax


def draw_rejected(ax: Axes, samples: pd.DataFrame) -> Axes:
    """
    Connections that the server refused, by the second.

    Args:
        ax: x is elapsed time, s.
        samples: columns ``elapsed_s`` (s) and ``rejected_connections``.
    """
    ax.set_title("Connections that were refused, connections/s")
    if len(samples) < 2:
        no_data(ax, "fewer than two samples")
        return ax
    rate = rate_per_s(samples, "rejected_connections").fillna(0)
    if not rate.any():
        no_data(ax, "none")
        return ax
    ax.fill_between(rate.index, 0, rate, step="pre", color=LOSS, alpha=0.4, lw=0)
    ax.step(rate.index, rate, where="pre", color=LOSS)
    ax.set_ylim(0, 1.15 * float(rate.max()))
    return ax


def draw_slots(ax: Axes, seconds: pd.DataFrame, *, pool: int = 0) -> Axes:
    """
    Turns at work and turns that waited for a free slot, most at once in each second.

    Args:
        ax: x is elapsed time, s.
        seconds: as ``analysis.connections.slots`` makes them.
        pool: connections that turns share; 0 if each slot has its own.
    """
    ax.set_title("Turns at once, most in each second")
    if seconds.empty:
        no_data(ax, "no load of ours")
        return ax
    lines: list[tuple[str, pd.Series, str, Any]] = [("at work", seconds["busy"], STATE, "solid")]
    if seconds["waiting"].any():
        lines.append(("waiting for a slot", seconds["waiting"], LOSS, (0, (4, 2))))
    most = max(1.0, float(seconds.to_numpy().max()))
    labels = []
    for name, values, colour, dash in lines:
        ax.step(values.index, values, where="pre", color=colour, ls=dash)
        labels.append((float(values.iloc[-1]), name, colour))
    if pool and pool <= _NEAR * most:
        limit_line(ax, pool)
        labels.append((pool, f"pool of {pool}", REFERENCE))
        most = max(most, pool)
    ax.set_ylim(0, 1.15 * most)
    end_labels(ax, labels)
    return ax


def draw_queue(ax: Axes, windows: pd.DataFrame) -> Axes:
    """
    The wait before a turn's work began, and that work, with the wait for the pool in it.

    Args:
        ax: x is elapsed time, s.
        windows: columns ``queue`` and ``work``, p99 in µs, indexed by their start (s).
    """
    ax.set_title("p99 of each second, ms: wait for a slot, and work with the wait for the pool")
    lines = [
        (name, windows[column] / 1000, colour, dash)
        for name, column, colour, dash in _WAITS
        if (windows[column] > 0).any()
    ]
    if not lines:
        no_data(ax, "too few turns a window")
        return ax
    labels, shown = [], []
    for name, values, colour, dash in lines:
        known = values[values > 0]
        line = values.where(values > 0)  # a wait of nothing has no place on this scale
        ax.plot(line.index + 0.5, line, color=colour, ls=dash, marker=".", ms=4)
        labels.append((float(known.iloc[-1]), name, colour))
        shown.append(known)
    every = pd.concat(shown)
    low, high = 0.7 * float(every.min()), 1.6 * float(every.max())
    ax.set_yscale("log")
    ax.set_ylim(low, high)
    plain_log(ax.yaxis, low, high)
    end_labels(ax, labels)
    return ax


def draw_failures(ax: Axes, windows: pd.DataFrame) -> Axes:
    """
    Failed turns: those that failed at once, as with an open breaker, on top of those that waited.

    Those that the server refused are not drawn: a refusal is an answer.

    Args:
        ax: x is elapsed time, s.
        windows: as ``analysis.outcomes.failures_by_window`` makes them.
    """
    ax.set_title("Turns that failed without a refusal, turns/s: after a wait, and at once")
    if not windows[["waited", "at_once"]].to_numpy().any():
        no_data(ax, "none")
        return ax
    at_s = windows.index.to_numpy(dtype=float) + 0.5
    waited, at_once = windows["waited"].to_numpy(), windows["at_once"].to_numpy()
    ax.bar(at_s, waited, width=0.9, color=LOSS)
    ax.bar(at_s, at_once, bottom=waited, width=0.9, color=SECOND, hatch="//", edgecolor="white")
    most = float((waited + at_once).max())
    ax.set_ylim(0, 1.2 * most)
    labels = [
        (height, name, colour)
        for height, name, colour, any_of in (
            (0.25 * most, "after a wait", LOSS, waited.any()),
            (0.75 * most, "at once", SECOND, at_once.any()),
        )
        if any_of
    ]
    end_labels(ax, labels)
    return ax


@styled
def figure_connections(run: Run) -> Chart:
    """Who is connected, who was refused, and how many turns were at work at once."""
    figure = Figure(figsize=(9.0, 6.6))
    panels = figure.subplots(3, 1, sharex=True, height_ratios=(1.2, 0.8, 1.2))
    headline(figure, run, _title(run))
    timeline(run, panels)
    draw_connections(panels[0], _loaded(run), maxclients=_maxclients(run))
    draw_rejected(panels[1], _loaded(run))
    draw_slots(panels[2], slots(run.generator), pool=_pool(run))
    return Chart(figure, _reading(run))


@styled
def figure_pool(run: Run) -> Chart:
    """What waiting for a slot or a connection costs."""
    work = latency.latency_by_window(run.turns, column="service_us")
    queue = latency.latency_by_window(run.turns, column="queue_us")
    windows = pd.DataFrame({"queue": queue["p99"], "work": work["p99"]})
    figure = Figure(figsize=(9.0, 3.4))
    ax = figure.subplots()
    headline(figure, run, _title_of_pool(run))
    timeline(run, [ax])
    draw_queue(ax, windows)
    return Chart(figure, _reading_of_pool(run))


@styled
def figure_breaker(run: Run) -> Chart:
    """While nobody answers: whether callers fail at once, and how soon they are served again."""
    windows = outcomes.failures_by_window(run.turns)
    figure = Figure(figsize=(9.0, 3.4))
    ax = figure.subplots()
    headline(figure, run, _title_of_breaker(run, windows))
    timeline(run, [ax])
    draw_failures(ax, windows)
    return Chart(figure, _reading_of_breaker(run, windows))


def _loaded(run: Run) -> pd.DataFrame:
    """The samples up to the end of the load: that its connections are closed then says nothing."""
    samples = run.samples
    return samples[samples["elapsed_s"] <= run.measured_s] if run.measured_s else samples


def _pool(run: Run) -> int:
    return int(run.manifest.experiment.get("pool") or 0)


def _maxclients(run: Run) -> float | None:
    for look in reversed(run.snapshots):
        if "maxclients" in look.info:
            return float(look.info["maxclients"])
    return None


def _title(run: Run) -> str:
    samples = run.samples
    known = samples["connected_clients"].dropna()
    if known.empty:
        return "The server was not sampled in this run"
    refused = grown(samples, "rejected_connections")
    most = format_count(int(known.max()), "connection")
    if refused:
        return f"{format_count(refused, 'connection')} were refused, with {most} at most"
    if refused is None:
        return f"{most} at most; whether any was refused is not known"
    return f"{most} at most, and none was refused"


def _reading(run: Run) -> str:
    known = run.samples["connected_clients"].dropna()
    says = []
    if known.empty:
        says.append("How many were connected is not known.")
    else:
        says.append(f"At the median {known.median():.0f} were connected.")
        if limit := _maxclients(run):
            share = format_share(float(known.max()) / limit)
            says.append(f"maxclients is {limit:,.0f}, of which {share} were taken at most.")
    rate = new_per_s(run.snapshots)
    says.append(
        "How many connections were made is not known: that takes two looks at one life of the "
        "server."
        if rate is None
        else f"{format_rate(rate)} were made on average, all that looked at the server included."
    )
    seconds = slots(run.generator)
    if not seconds.empty:
        pool = _pool(run)
        shared = f", which shared {format_count(pool, 'connection')}" if pool else ""
        says.append(f"{int(seconds['busy'].max()):,} turns were at work at once at most{shared}.")
    return " ".join(says)


def _title_of_pool(run: Run) -> str:
    if not run.loaded:
        return "The server was only sampled: whether clients waited for their pool is not known"
    queue_us = latency.percentiles_us(run.measured_turns, "queue_us")["p99"]
    if np.isnan(queue_us):
        return "Too few turns were measured to tell whether they waited for a connection"
    seconds, pool = slots(run.generator), _pool(run)
    over = float((seconds["busy"] > pool).mean()) if pool and len(seconds) else 0.0
    if over:
        return f"In {format_share(over)} of the seconds more turns were at work than the pool holds"
    if len(seconds) and seconds["waiting"].any():
        share = format_share(float((seconds["waiting"] > 0).mean()))
        return f"In {share} of the seconds turns waited for a free slot"
    return "No turn waited for a free slot"


def _reading_of_pool(run: Run) -> str:
    measured = run.measured_turns
    queue = latency.percentiles_us(measured, "queue_us")
    if np.isnan(queue["p99"]):
        return "There is nothing to tell of waiting."
    work = latency.percentiles_us(measured, "service_us")
    says = [
        f"The wait before the work, for a slot or for the turn before it, has a p99 of "
        f"{format_duration(queue['p99'] / 1e6)}; the work itself "
        f"{format_duration(work['p99'] / 1e6)}."
    ]
    if pool := _pool(run):
        says.append(
            f"The turns share {format_count(pool, 'connection')}; the wait for one is part of the "
            "work."
        )
    else:
        says.append(
            "Each slot has a connection of its own, so that the wait for a slot is the wait."
        )
    return " ".join(says)


def _title_of_breaker(run: Run, windows: pd.DataFrame) -> str:
    if not run.loaded:
        return "The server was only sampled: how its clients fail is not known"
    if windows.empty:
        return "No turn failed, so no breaker was put to the test"
    at_once, waited = float(windows["at_once"].sum()), float(windows["waited"].sum())
    if not at_once + waited:
        return "Turns were only refused: the server answered, and no breaker was put to the test"
    share = at_once / (at_once + waited)
    whose = "that failed and were not refused" if windows["refused"].any() else "that failed"
    if not at_once:
        return f"No turn {whose.replace('were', 'was')} did so at once: each waited first"
    return f"{format_share(share)} of the turns {whose} did so at once, without a wait"


def _reading_of_breaker(run: Run, windows: pd.DataFrame) -> str:
    limit = format_duration(outcomes.AT_ONCE_US / 1e6)
    says = []
    if not windows.empty:
        at_once, waited = int(windows["at_once"].sum()), int(windows["waited"].sum())
        if at_once or waited:
            says.append(
                f"{format_count(at_once, 'turn')} failed within {limit} of work, as while the "
                f"breaker is open; {waited:,} after a longer wait."
            )
        if refused := int(windows["refused"].sum()):
            says.append(
                f"The server refused {format_count(refused, 'turn')}, which is an answer: no "
                "breaker opens for that."
            )
    for fault in recoveries(run.turns, run.events).to_dict("records"):
        away = f"{fault['cause']} at {fault['elapsed_s']:.0f} s"
        says.append(
            f"After {away} no turn was carried out again."
            if np.isnan(fault["after_s"])
            else f"After {away} turns were carried out again {format_duration(fault['after_s'])} "
            "later than the server could answer."
        )
    return " ".join(says) or "Nothing kept the server from answering in this run."
