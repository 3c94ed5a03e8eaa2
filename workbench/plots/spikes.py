"""Spikes of latency, with what the server was busy with meanwhile."""

from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workbench.analysis.causes import KINDS, causes, covered_share
from workbench.analysis.spikes import (
    LATE,
    UNKNOWN,
    explained_share,
    labelled,
    sample_windows,
    spikes,
    threshold_us,
    turn_windows,
)
from workbench.plots.annotate import limit_line, no_data, plain_log
from workbench.plots.style import LOSS, REFERENCE, SECOND, STATE, TAIL, Chart, styled
from workbench.plots.timeline import headline, timeline
from workbench.runs.run import Run
from workbench.units import format_count, format_duration, format_share

__all__ = ["causes_of", "draw_causes", "draw_spikes", "figure_spikes", "spikes_of"]

_LABELS_MAX: Final = 5
_LEAST_MS: Final = 1e-3  # a logarithmic scale has no place for nothing
_COLOURS: Final = {"fault": LOSS, "restart": LOSS, "eviction burst": LOSS, "AOF rewrite": STATE}


def draw_spikes(
    ax: Axes, windows: pd.DataFrame, told: pd.DataFrame, *, title: str, each: str = "window"
) -> Axes:
    """
    The slow end of each window on a logarithmic scale, its spikes as dots with their causes.

    The five highest are named, as far as there is room; a dot that is filled has a cause.

    Args:
        ax: x is elapsed time, s, with its limits final.
        windows: as ``analysis.spikes`` makes them.
        told: its spikes with their causes, as ``analysis.spikes.labelled`` makes them.
        title: quantity and unit.
        each: what one window is, for an empty panel.
    """
    ax.set_title(title)
    limit_us = threshold_us(windows)
    if np.isnan(limit_us):
        no_data(ax, f"fewer than three {each}s")
        return ax
    middle_s = (windows["elapsed_s"] + windows["end_s"]) / 2
    values_ms = (windows["slow_us"] / 1000).clip(lower=_LEAST_MS)
    low = 0.7 * float(values_ms.min())
    high = 1.3 * max(float(values_ms.max()), limit_us / 1000)
    # Room above for the names of what stands out.
    high *= (high / low) ** 0.22 if len(told) else 1.0
    # No line where nothing was seen, as while the server was away.
    pause_s = windows["elapsed_s"] - windows["end_s"].shift()
    usual_s = float(middle_s.diff().median())
    ax.plot(*_broken(middle_s, values_ms, pause_s > 3 * usual_s), color=TAIL)
    ax.set_yscale("log")
    ax.set_ylim(low, high)
    plain_log(ax.yaxis, low, high)
    limit_line(ax, limit_us / 1000)
    ax.annotate(
        "spikes",
        (1, limit_us / 1000),
        xycoords=ax.get_yaxis_transform(),
        xytext=(7, 0),
        textcoords="offset points",
        va="center",
        color=REFERENCE,
        annotation_clip=False,
    )
    known = told["cause"] != UNKNOWN
    at_s, spike_ms = _middles(windows, told), (told["slow_us"] / 1000).clip(lower=_LEAST_MS)
    ax.plot(at_s[known], spike_ms[known], ls="", marker="o", ms=6, color=LOSS)
    ax.plot(at_s[~known], spike_ms[~known], ls="", marker="o", ms=6, mfc="white", color=LOSS)
    _name_highest(ax, at_s, told)
    return ax


def draw_causes(ax: Axes, found: pd.DataFrame) -> Axes:
    """
    What the server was seen to do, one row a kind.

    Args:
        ax: x is elapsed time, s, with its limits final.
        found: as ``analysis.causes.causes`` makes them.
    """
    ax.set_title("What the server was seen to do meanwhile")
    first_s, last_s = ax.get_xlim()
    seen = found[(found["end_s"] >= first_s) & (found["elapsed_s"] <= last_s)]
    kinds = [kind for kind in KINDS if (seen["kind"] == kind).any()]
    if not kinds:
        no_data(ax, "nothing that makes people wait was seen")
        return ax
    least_s = 0.004 * (last_s - first_s)
    for y, kind in enumerate(kinds):
        rows = seen[seen["kind"] == kind]
        lasted_s = (rows["end_s"] - rows["elapsed_s"]).clip(lower=least_s)
        spans = list(zip(rows["elapsed_s"], lasted_s, strict=True))
        ax.broken_barh(spans, (y - 0.3, 0.6), color=_COLOURS.get(kind, SECOND), lw=0)
    ax.set_yticks(range(len(kinds)), kinds)
    ax.set_ylim(len(kinds) - 0.4, -0.6)
    ax.grid(visible=False)
    return ax


@styled
def figure_spikes(run: Run) -> Chart:
    """When people waited longest, when the sampler did, and what the server did meanwhile."""
    found = causes_of(run)
    sides = _sides(run)
    rows = max(2, int(found["kind"].nunique()))
    figure = Figure(figsize=(9.0, 1.2 + 2.3 * len(sides) + 0.32 * rows))
    panels = list(
        figure.subplots(
            len(sides) + 1, 1, sharex=True, height_ratios=[2.0] * len(sides) + [0.35 * rows]
        )
    )
    headline(figure, run, _title(run, sides, found))
    timeline(run, panels)
    for ax, (_, title, each, windows) in zip(panels, sides, strict=False):
        draw_spikes(ax, windows, labelled(spikes(windows), found), title=title, each=each)
    draw_causes(panels[-1], found)
    return Chart(figure, _reading(run, sides, found))


def spikes_of(run: Run) -> pd.DataFrame:
    """
    The spikes of a run with their causes, as its table shows them: those of turns, and those of
    the sampler's own questions, the slowest first.
    """
    found = causes_of(run)
    tables = [labelled(spikes(windows), found).assign(of=of) for of, _, _, windows in _sides(run)]
    table = pd.concat(tables, ignore_index=True)
    return table.sort_values("slow_us", ascending=False, kind="stable", ignore_index=True)


def causes_of(run: Run) -> pd.DataFrame:
    """Whatever was seen in a run that can make people wait, as ``analysis.causes`` finds it."""
    return causes(run.events, run.samples, run.snapshots, start_unix_s=run.start_unix_s)


_Side = tuple[str, str, str, pd.DataFrame]


def _sides(run: Run) -> list[_Side]:
    """Who waited: the people, if they were ours, and the sampler."""
    sides: list[_Side] = []
    during = run.samples
    if run.loaded:
        windows = turn_windows(run.measured_turns)
        closed = run.manifest.experiment.get("closed_loop")
        title = f"p99 of each second's turns, ms{' (from the send)' if closed else ''}"
        sides.append(("turns", title, "second with turn", windows))
        during = during[during["elapsed_s"].between(0, run.measured_s)]
    title = "The server's reply to the sampler's INFO, ms"
    sides.append(("INFO", title, "sample", sample_windows(during)))
    return sides


def _title(run: Run, sides: list[_Side], found: pd.DataFrame) -> str:
    what = "turns" if run.loaded else "the server's replies"
    windows = sides[0][3]
    if np.isnan(threshold_us(windows)):
        return f"Too little was measured to tell spikes of {what}"
    told = labelled(spikes(windows), found)
    if told.empty:
        return f"No spike stands out among {what}"
    known = told[told["cause"] != UNKNOWN]
    if known.empty:
        return f"{format_count(len(told), 'spike')} of {what}, and nothing that explains any"
    often = known["cause"].value_counts()
    most = f"most often {often.index[0]}" if len(often) > 1 else often.index[0]
    if len(told) == 1:
        return f"One spike of {what} stands out: {often.index[0]}"
    return f"{len(known)} of {format_count(len(told), 'spike')} of {what} have a cause: {most}"


def _reading(run: Run, sides: list[_Side], found: pd.DataFrame) -> str:
    says, any_spike = [], False
    for of, _, _, windows in sides:
        limit_us = threshold_us(windows)
        if np.isnan(limit_us):
            says.append(f"Of {_OF[of]} there are too few.")
            continue
        told = labelled(spikes(windows), found)
        share = explained_share(told)
        if share is None:
            says.append(f"Of {_OF[of]} none took {format_duration(limit_us / 1e6)} or longer.")
            continue
        any_spike = True
        worst = told.iloc[int(told["slow_us"].argmax())]
        count = format_count(len(told), "spike")
        highest = f"{format_duration(worst['slow_us'] / 1e6)} at {worst['at_s']:.0f} s"
        says.append(
            f"Of {_OF[of]} {count} took {format_duration(limit_us / 1e6)} or longer; the cause "
            f"is known of {format_share(share)}. The highest, {highest}: {worst['cause']}."
        )
    first_s, last_s = (0.0, run.measured_s) if run.loaded else _span_s(run.samples)
    if any_spike and last_s > first_s:
        chance = format_share(covered_share(found, first_s, last_s))
        says.append(f"Something that can be a cause was seen {chance} of the time.")
    return " ".join(says)


_OF: Final = {"turns": "the turns", "INFO": "the sampler's questions"}


def _span_s(samples: pd.DataFrame) -> tuple[float, float]:
    if samples.empty:
        return 0.0, 0.0
    return float(samples["elapsed_s"].iloc[0]), float(samples["elapsed_s"].iloc[-1])


def _broken(x: pd.Series, y: pd.Series, breaks: pd.Series) -> tuple[pd.Series, pd.Series]:
    """The line with a gap before each break."""
    gaps = pd.Series(np.nan, index=x.index[breaks] - 0.5)
    return (
        pd.concat([x, x[breaks].set_axis(gaps.index)]).sort_index(),
        pd.concat([y, gaps]).sort_index(),
    )


def _middles(windows: pd.DataFrame, told: pd.DataFrame) -> pd.Series:
    ends_s = windows.drop_duplicates("elapsed_s").set_index("elapsed_s")["end_s"]
    return (told["at_s"] + told["at_s"].map(ends_s).astype(float)) / 2


def _name_highest(ax: Axes, at_s: pd.Series, told: pd.DataFrame) -> None:
    """Name the highest, and none whose name would run into another's: the table has them all."""
    first_s, last_s = ax.get_xlim()
    points_per_s = _width_pt(ax) / (last_s - first_s)
    taken: list[tuple[float, float]] = []
    for index in told["slow_us"].sort_values(ascending=False, kind="stable").index:
        cause = str(told["cause"][index])
        text = "late generator" if cause == LATE else cause
        width_pt = 5.6 * len(text)
        at_pt = (float(at_s[index]) - first_s) * points_per_s
        begin_pt = min(max(0.0, at_pt - width_pt / 2), max(0.0, _width_pt(ax) - width_pt))
        if any(begin_pt < end and begin_pt + width_pt > begin for begin, end in taken):
            continue
        taken.append((begin_pt, begin_pt + width_pt))
        ax.annotate(
            text,
            (first_s + (begin_pt + width_pt / 2) / points_per_s, told["slow_us"][index] / 1000),
            xytext=(0, 7),
            textcoords="offset points",
            ha="center",
            color=LOSS if cause != UNKNOWN else REFERENCE,
            fontsize="small",
        )
        if len(taken) == _LABELS_MAX:
            return


def _width_pt(ax: Axes) -> float:
    figure = ax.get_figure(root=True)
    assert figure is not None, "the axes belong to a figure"
    return 0.85 * figure.get_figwidth() * 72
