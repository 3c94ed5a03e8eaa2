"""Age at eviction beside the time to live that was left."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from workbench.analysis.ages import Ages, ages_by_ledger, ages_by_turns
from workbench.analysis.ledger import reconciliation, traced
from workbench.plots.annotate import no_data
from workbench.plots.style import LOSS, REFERENCE, Chart, styled
from workbench.plots.timeline import headline
from workbench.runs.run import Run
from workbench.units import format_count, format_duration, format_share

__all__ = ["draw_ages", "figure_ages_at_eviction"]

_CLASSES = 30


def draw_ages(ax: Axes, values_s: pd.Series, title: str) -> Axes:
    """
    How many conversations, by an age or a time that was left; the median is named.

    The one in two hundred at each end stand in the outermost classes, so that a few that lie far
    out do not press the others together.

    Args:
        ax: x is the age or time, s; what is below 0 is drawn in grey.
        values_s: of each conversation, s.
        title: quantity and unit.
    """
    ax.set_title(title)
    if values_s.empty:
        no_data(ax, "no eviction that is known")
        ax.set_xticks([])
        return ax
    low, high = (float(values_s.quantile(share)) for share in (0.005, 0.995))
    # From 0 on, unless all lie together far from it.
    low = 0.0 if 0 < low < 0.5 * high else low
    edges = np.linspace(low, max(high, low + 0.01), _CLASSES + 1)
    counts, _ = np.histogram(values_s.clip(edges[0], edges[-1]), edges)
    colours = [LOSS if end > 0 else REFERENCE for end in edges[1:]]
    ax.bar(edges[:-1], counts, width=np.diff(edges), align="edge", color=colours, lw=0)
    median_s = float(values_s.median())
    most = max(1, int(counts.max()))
    ax.set_ylim(0, 1.22 * most)
    ax.set_xlim(edges[0], edges[-1])
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.plot([median_s, median_s], [0, 1.1 * most], color=REFERENCE, lw=1, ls=(0, (5, 4)))
    leftwards = median_s > low + 0.55 * (edges[-1] - low)
    ax.annotate(
        f"half: {format_duration(median_s)}",
        (median_s, 1.1 * most),
        xytext=(-5 if leftwards else 5, 0),
        textcoords="offset points",
        ha="right" if leftwards else "left",
        va="center",
        color=REFERENCE,
        fontsize="small",
    )
    return ax


@styled
def figure_ages_at_eviction(run: Run) -> Chart:
    """Who is evicted: how long it had been left alone, and what was left of its time to live."""
    ages = _ages(run)
    figure = Figure(figsize=(9.0, 3.4))
    headline(figure, run, _title(ages))
    left, right = figure.subplots(1, 2, sharey=True)
    when = "at its eviction" if ages.exact else "when found evicted"
    draw_ages(left, ages.age_s, f"Age of a conversation {when}, s")
    draw_ages(right, ages.ttl_left_s, "Time to live that it had left, s")
    left.set_ylabel("conversations")
    missed = _missed(run)
    figure.supxlabel(
        f"since the last write; from the ledger of evictions{', which missed some' * bool(missed)}"
        if ages.exact
        else "since the last write; the run kept no ledger: they went before they were found gone",
        fontsize="small",
        color=REFERENCE,
    )
    return Chart(figure, " ".join([_reading(ages), *missed]))


def _ages(run: Run) -> Ages:
    if not len(run.eviction_rows):
        return ages_by_turns(run.turns, run.key_rows)
    return ages_by_ledger(traced(run.eviction_rows, run.turns, run.key_rows))


def _missed(run: Run) -> list[str]:
    """What the ledger did not see, as a sentence; none if it saw all that the server counted."""
    if not len(run.eviction_rows):
        return []
    seen = reconciliation(run.eviction_windows)
    missed = seen.evicted_keys - seen.evicted_seen
    if missed <= 0:
        return []
    return [
        f"The ledger missed {missed:,} of the {format_count(seen.evicted_keys, 'key')} that the "
        "server evicted: their ages are not known, and may be others."
    ]


def _title(ages: Ages) -> str:
    if not len(ages):
        return "No conversation is known to have been evicted in this run"
    age = format_duration(float(ages.age_s.median()))
    left_s = float(ages.ttl_left_s.median())
    left = f"with {format_duration(left_s)} to live" if left_s > 0 else "its time to live over"
    if ages.exact:
        return f"The evicted conversation had been left alone for {age}, {left} (medians)"
    return f"A conversation found evicted had been left alone for {age}, {left} (medians)"


def _reading(ages: Ages) -> str:
    if not len(ages):
        lost = format_count(ages.unknown, "evicted key")
        return (
            f"The last write of {lost} is not known." if ages.unknown else "There is none to show."
        )
    early = float((ages.ttl_left_s > 0).mean())
    says = [
        f"{format_share(early)} of {format_count(len(ages), 'conversation')} had time to live "
        "left.",
        f"The youngest was {format_duration(float(ages.age_s.min()))} old.",
    ]
    if not ages.exact:
        says.append(
            "The run kept no ledger, so the ages are those at which a turn or the last look found "
            "the conversation gone: it went before that."
        )
    if ages.unknown:
        says.append(
            f"Of {format_count(ages.unknown, 'further evicted key')} the last write is not known."
        )
    return " ".join(says)
