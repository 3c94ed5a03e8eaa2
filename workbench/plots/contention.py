"""Several writers of one conversation: what each way of updating loses, tries and takes."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, PercentFormatter

from workbench.plots.annotate import end_labels, no_data
from workbench.plots.style import LOSS, REFERENCE, SECOND, STATE, TAIL, Chart, styled
from workbench.units import format_duration, format_share

__all__ = ["draw_by_writers", "figure_contention", "figure_lost_updates"]

_COLOURS = {
    "function": STATE,
    "watch": SECOND,
    "origin": LOSS,
    "read within WATCH": REFERENCE,
    "Lock": TAIL,
}
# Some of the colours are about as light as another.
_DASHES = {"origin": (0, (6, 2)), "read within WATCH": (0, (2, 2)), "Lock": (0, (6, 2, 1, 2))}
_NAMES = {"function": "ours", "watch": "ours, by WATCH", "origin": "documented pattern"}


def draw_by_writers(ax: Axes, table: pd.DataFrame, column: str, title: str) -> Axes:
    """
    One line a pattern, over the number of writers.

    Args:
        ax: x is the number of processes that write, logarithmic.
        table: as ``benches.contention.contention_table`` makes it.
        column: of the table.
        title: quantity and unit.
    """
    ax.set_title(title)
    if table.empty:
        no_data(ax, "nothing was measured")
        return ax
    labels = []
    for pattern, rows in table.groupby("pattern", sort=False):
        by_writers = rows.groupby("writers")[column].median()
        colour = _COLOURS.get(str(pattern), REFERENCE)
        dash = _DASHES.get(str(pattern), "-")
        ax.plot(by_writers.index, by_writers, color=colour, ls=dash, marker="o", markersize=4)
        name = _NAMES.get(str(pattern), str(pattern))
        labels.append((float(by_writers.iloc[-1]), name, colour))
    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_locator(FixedLocator(sorted(table["writers"].unique())))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
    ax.set_xlabel("processes that write to one conversation")
    end_labels(ax, labels)
    return ax


@styled
def figure_lost_updates(table: pd.DataFrame) -> Chart:
    """The share of acknowledged updates that the conversation does not have in the end."""
    figure = Figure(figsize=(9.0, 3.4))
    ax = figure.subplots()
    ax.set_ylim(0, 1)
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    draw_by_writers(ax, table, "lost_share", "Lost of what was acknowledged, share")
    worst = table.sort_values("lost_share").iloc[-1]
    kept = [str(name) for name, rows in table.groupby("pattern") if not rows["lost_share"].any()]
    most = int(table["writers"].max())
    title = f"No update was lost, with up to {most} writers"
    if worst["lost_share"] > 0:
        title = (
            f"With {worst['writers']} writers the {_NAMES.get(worst['pattern'], worst['pattern'])} "
            f"loses {format_share(worst['lost_share'])} of what it said is done"
        )
    figure.suptitle(title, x=0.012, ha="left")
    named = ", ".join(_NAMES.get(name, name) for name in kept) or "none of them"
    total = int(table["acknowledged"].sum())
    return Chart(figure, f"{total:,} updates were acknowledged in all. Nothing lost: {named}.")


@styled
def figure_contention(table: pd.DataFrame) -> Chart:
    """What not losing costs: tries, and the time of the slowest updates."""
    figure = Figure(figsize=(9.0, 5.6))
    tries, times = figure.subplots(2, 1, sharex=True)
    most = float(table["attempts_per_update"].max())
    tries.set_ylim(0, 1.12 * most)
    draw_by_writers(tries, table, "attempts_per_update", "Tries of an update, mean")
    tries.set_xlabel("")
    table = table.assign(update_ms_p99=table["update_us_p99"] / 1000)
    times.set_yscale("log")
    lowest, highest = table["update_ms_p99"].min(), table["update_ms_p99"].max()
    times.set_ylim(0.7 * lowest, 1.6 * highest)
    times.yaxis.set_major_formatter(lambda y, _: f"{y:g}")
    times.yaxis.set_minor_locator(NullLocator())
    draw_by_writers(times, table, "update_ms_p99", "p99 of an update, ms, with all its tries")
    at_most = table[table["writers"] == table["writers"].max()].set_index("pattern")
    rates = at_most["rate_per_s"].groupby(level=0).median()
    figure.suptitle(
        f"At {int(table['writers'].max())} writers "
        f"{_NAMES.get(str(rates.idxmax()), str(rates.idxmax()))} keeps the most updates a second",
        x=0.012,
        ha="left",
    )
    says = [
        f"{_NAMES.get(str(name), str(name))}: {rate:,.0f} kept a second, p99 "
        f"{format_duration(float(at_most['update_us_p99'].groupby(level=0).median()[name]) / 1e6)}"
        for name, rate in rates.items()
    ]
    return Chart(figure, "; ".join(says) + ".")
