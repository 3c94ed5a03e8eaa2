"""One figure over the runs of an experiment, what is usual for it, and where it changed."""

from datetime import UTC, datetime

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from workbench.analysis.trend import RUNS_LEAST, Course, Trend
from workbench.plots.annotate import moment, no_data
from workbench.plots.style import LOSS, REFERENCE, SECOND, SHADE, STATE, Chart, styled
from workbench.units import format_count

__all__ = ["draw_course", "figure_trend"]

_LOOK = {
    "worse": (LOSS, "^"),
    "better": (SECOND, "v"),
    "usual": (STATE, "o"),
    "first ones": (REFERENCE, "o"),
}
_SAID = {
    "rising": "rising from run to run",
    "still worse": "still worse than it was",
    "last alone": "worse in this run alone",
}
_TICKS = 8


def draw_course(ax: Axes, course: Course) -> Axes:
    """
    A figure run by run; triangles lie outside what is usual, which is shaded.

    Args:
        ax: x is the runs in the order of time, one beside the other.
        course: as ``analysis.trend.trend_of`` makes it.
    """
    figure, table = course.figure, course.table
    scale = {"latency": 1000.0, "share": 0.01, "rate": 1.0}[figure.kind]
    unit = {"latency": "ms", "share": "%", "rate": "1/s"}[figure.kind]
    ax.set_title(f"{figure.title}, {unit}")
    at = range(len(table))
    shown = table[["value", "low", "high"]] / scale
    ax.fill_between(at, shown["low"].clip(lower=0), shown["high"], color=SHADE, lw=0, step="mid")
    ax.plot(at, shown["value"], color=REFERENCE, lw=0.8)
    for x, (value, mark) in enumerate(zip(shown["value"], table["mark"], strict=True)):
        colour, marker = _LOOK[mark]
        ax.plot(x, value, color=colour, marker=marker, ms=7 if marker != "o" else 5, ls="")
    top = max(float(shown["value"].max()), float(shown["high"].fillna(0).max()))
    ax.set_ylim(0, 1.2 * (top or 1.0))
    ax.set_xlim(-0.5, len(table) - 0.5)
    for row in course.changes.index:
        moment(ax, row - 0.5)
        right = row > 0.7 * len(table)
        ax.annotate(
            f"{table['mark'][row]} from here",
            (row - 0.5, 1),
            xycoords=ax.get_xaxis_transform(),
            xytext=(-5 if right else 5, -4),
            textcoords="offset points",
            ha="right" if right else "left",
            va="top",
            fontsize="small",
            color=_LOOK[table["mark"][row]][0],
        )
    return ax


@styled
def figure_trend(trend: Trend) -> Chart:
    """Each figure over the runs, the latest on the right."""
    # Where nothing ever was there is nothing to see; the reading tells of it.
    shown = [each for each in trend.courses if each.table["value"].any()]
    count = max(1, len(shown))
    figure = Figure(figsize=(9.0, 1.2 + 1.9 * count))
    panels = figure.subplots(count, 1, sharex=True, squeeze=False)[:, 0]
    if not shown:
        no_data(panels[0], "no figure is known in all runs, or all are 0")
        panels[0].set_xticks([])
    for ax, course in zip(panels, shown, strict=False):
        draw_course(ax, course)
    if shown:
        every = max(1, -(-len(trend.runs) // _TICKS))
        at = list(range(0, len(trend.runs), every))
        dates = [datetime.fromtimestamp(trend.runs[x].manifest.started_unix_s, UTC) for x in at]
        panels[-1].xaxis.set_major_locator(FixedLocator(at))
        panels[-1].xaxis.set_minor_locator(NullLocator())
        panels[-1].set_xticks(at, [f"{date:%d %b}\n{date:%H:%M}" for date in dates])
        panels[-1].set_xlabel(
            "runs in the order of time (UTC); shaded: what is usual, by the runs before"
        )
    figure.suptitle(_title(trend), x=0.012, ha="left")
    return Chart(figure, _reading(trend))


def _title(trend: Trend) -> str:
    runs = format_count(len(trend.runs), "run")
    if len(trend.runs) < RUNS_LEAST:
        return f"{runs} of {trend.experiment}: not enough to tell a trend"
    if not trend.courses:
        return f"{runs} of {trend.experiment}: no figure is known in all of them"
    standing = {
        each.figure.title: each.standing for each in trend.courses if each.standing != "no worse"
    }
    if worse := [title for title, how in standing.items() if how != "last alone"]:
        return f"{trend.experiment} has become worse: {', '.join(worse)}"
    if standing:
        return f"The last run of {trend.experiment} alone is worse: {', '.join(standing)}"
    return f"{trend.experiment} is no worse than it was, over {runs}"


def _reading(trend: Trend) -> str:
    told = []
    for each in trend.courses:
        last = each.table.iloc[-1]
        changes = [f"{row['mark']} from {row['run']} on" for _, row in each.changes.iterrows()]
        if said := _SAID.get(each.standing):
            changes.append(said)
        told.append(
            f"{each.figure.title}: {each.figure.told(last['value'])} in the last run"
            + (f", {', '.join(changes)}" if changes else ", no change")
        )
    left = format_count(len(trend.left_out), "run")
    without = f" Left out: {left}, named in the table." if trend.left_out else ""
    unknown = ", ".join(
        each.title + (f" (it takes {each.turns_least:,} turns)" if each.turns_least else "")
        for each in trend.unknown
    )
    lacking = f" Not known in all runs: {unknown}." if unknown else ""
    return f"{'; '.join(told) or 'No figure'}.{without}{lacking}"
