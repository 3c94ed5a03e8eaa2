"""What AOF rewrites cost: the file's size, the memory they copy, the latency meanwhile."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workbench.analysis import latency, persistence
from workbench.plots.annotate import end_labels, no_data, outline, size_unit
from workbench.plots.latency import draw_latency, draw_latency_rows
from workbench.plots.style import LOSS, SECOND, STATE, Chart, styled
from workbench.plots.timeline import headline, timeline
from workbench.runs.run import Run
from workbench.units import format_bytes, format_count, format_duration, format_share

__all__ = ["draw_aof_size", "draw_resident", "figure_aof", "figure_latency_by_rewrite"]


def draw_aof_size(ax: Axes, samples: pd.DataFrame) -> Axes:
    """
    The AOF's size when its last rewrite ended, and what was appended since.

    That is not the size of its base file: what was written during the rewrite is in it.

    Args:
        ax: x is elapsed time, s.
        samples: columns ``elapsed_s`` (s), ``aof_base_size`` and ``aof_current_size`` (bytes).
    """
    appended = samples["aof_current_size"] - samples["aof_base_size"]
    return _draw_sizes(
        ax,
        samples["elapsed_s"],
        (
            ("when last rewritten", samples["aof_base_size"], STATE),
            ("since then", appended, SECOND),
        ),
        title="Size of the AOF",
        empty="no sample" if samples.empty else "the server keeps no AOF",
    )


def draw_resident(ax: Axes, samples: pd.DataFrame) -> Axes:
    """
    Resident memory, and how much the latest rewrite copied on write.

    Args:
        ax: x is elapsed time, s.
        samples: columns ``elapsed_s`` (s), ``used_memory_rss`` and ``aof_last_cow_size`` (bytes).
    """
    copied = samples["aof_last_cow_size"].where(samples["aof_last_cow_size"] > 0)
    return _draw_sizes(
        ax,
        samples["elapsed_s"],
        (("resident", samples["used_memory_rss"], STATE), ("copied", copied, LOSS)),
        title="Resident memory, and what the latest rewrite copied on write",
        empty="no sample" if samples.empty else "the server does not say",
    )


@styled
def figure_aof(run: Run) -> Chart:
    """Cause above, effect below: the AOF's size, the server's memory, turn latency."""
    figure = Figure(figsize=(9.0, 7.6))
    panels = figure.subplots(3, 1, sharex=True)
    headline(figure, run, _title(run))
    timeline(run, panels)
    draw_aof_size(panels[0], run.samples)
    draw_resident(panels[1], run.samples)
    turns = run.turns
    windows = latency.latency_by_window(turns, window_s=latency.windows_in_sight_s(turns)[0])
    draw_latency(panels[2], windows, since=run.latency_since)
    return Chart(figure, _reading(run))


@styled
def figure_latency_by_rewrite(run: Run) -> Chart:
    """What a rewrite does to people: median and p99 of turns due during one, and of the others."""
    spans = persistence.rewrite_spans(run.events, run.samples)
    sides = latency.latency_by_rewrite(run.measured_turns, spans)
    figure = Figure(figsize=(9.0, 2.6))
    draw_latency_rows(figure.subplots(), sides, since=run.latency_since)
    (during, others), (during_s, others_s) = sides["turns"], sides["p99"] / 1e6
    title = "Too few turns came during AOF rewrites to tell what they cost"
    if why := _none(run):
        title = why
    elif not np.isnan(during_s) and not np.isnan(others_s):
        title = (
            f"During AOF rewrites the p99 is {format_duration(during_s)}, "
            f"and {format_duration(others_s)} at other times"
        )
    headline(figure, run, title)
    says = [f"{during:,} turns were due during a rewrite, {others:,} at other times."]
    if not np.isnan(during_s):
        beyond = during - np.ceil(0.99 * during) + 1
        says.append(f"The p99 during rewrites rests on the slowest {beyond:.0f} of them.")
    return Chart(figure, " ".join([*says, *_coarse(spans)]))


def _draw_sizes(
    ax: Axes,
    elapsed_s: pd.Series,
    lines: tuple[tuple[str, pd.Series, str], ...],
    *,
    title: str,
    empty: str,
) -> Axes:
    known = [line for line in lines if line[1].notna().any()]
    most_bytes = max((float(size_bytes.max()) for _, size_bytes, _ in known), default=0.0)
    unit, unit_bytes = size_unit(most_bytes)
    ax.set_title(f"{title}, {unit}")
    if not known:
        no_data(ax, empty)
        return ax
    labels = []
    for name, size_bytes, colour in known:
        size = (size_bytes / unit_bytes).astype(float)
        shown = outline(size.set_axis(elapsed_s))
        ax.plot(shown.index, shown, color=colour)
        labels.append((float(size.dropna().iloc[-1]), name, colour))
    ax.set_ylim(0, 1.12 * max(most_bytes / unit_bytes, 0.1))
    end_labels(ax, labels)
    return ax


def _none(run: Run) -> str:
    """Why there is no rewrite to look at; empty if there is one."""
    if run.samples.empty:
        return "The server was not sampled in this run"
    if run.samples["aof_current_size"].isna().all():
        return "The server keeps no AOF, so there is nothing to rewrite"
    if persistence.rewrite_spans(run.events, run.samples).empty:
        return "No AOF rewrite was seen in this run"
    return ""


def _title(run: Run) -> str:
    if why := _none(run):
        return why
    finished = persistence.finished_rewrites(run.events, run.samples)
    if finished.empty:
        return f"No AOF rewrite was finished{_under(run)}"
    count = f"{format_count(len(finished), 'AOF rewrite')}{_under(run)}"
    took = []
    if _exact(finished):
        share, _ = persistence.rewrite_time_share(finished, run.samples)
        took.append(f"took {format_share(share)} of the time")
    copied = float(_since(run)["aof_last_cow_size"].max())
    if copied > 0:
        took.append(f"copied {format_bytes(copied)} at most")
    return f"{count} {' and '.join(took)}" if took else f"{count}, and what they took is not known"


def _reading(run: Run) -> str:
    samples = run.samples
    if why := _none(run):
        return f"{why}."
    spans = persistence.rewrite_spans(run.events, samples)
    finished = persistence.finished_rewrites(run.events, samples)
    says = [f"The AOF was {format_bytes(float(samples['aof_current_size'].max()))} at its largest."]
    if not finished.empty and _exact(finished):
        says.append(f"The longest rewrite took {format_duration(finished['duration_s'].max())}.")
    fork_us = float(_since(run)["latest_fork_usec"].max())
    if fork_us > 0:
        says.append(f"The slowest fork stopped the server for {format_duration(fork_us / 1e6)}.")
    before = int((spans["end_s"] < 0).sum())
    if before:
        says.append(
            f"{format_count(before, 'rewrite')} before the measured load, of what the prefill "
            "wrote, are not counted."
        )
    other = len(spans) - before - len(finished)
    if other:
        says.append(f"{format_count(other, 'rewrite')} failed or had not ended.")
    return " ".join([*says, *_coarse(spans)])


def _under(run: Run) -> str:
    return " under the measured load" if run.measured_s else ""


def _since(run: Run) -> pd.DataFrame:
    """The samples that tell of the measured load's own rewrites and forks."""
    return persistence.since_first_rewrite(run.events, run.samples)


def _exact(spans: pd.DataFrame) -> bool:
    return bool((spans["source"] == "log").all())


def _coarse(spans: pd.DataFrame) -> list[str]:
    if spans.empty or _exact(spans):
        return []
    return [
        "The rewrites are those that INFO shows: their ends are known to one sampling interval and "
        "their durations to whole seconds, so turns near them may stand on the wrong side, and a "
        "rewrite of under a second has none."
    ]
