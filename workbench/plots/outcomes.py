"""What became of turns over time, what retries cost, and what went wrong by its pattern."""

from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workbench.analysis import failure, outcomes
from workbench.analysis.patterns import by_outcome
from workbench.analysis.run_errors import errors_of
from workbench.plots.annotate import end_labels, no_data, plain_log, row_note
from workbench.plots.style import LOSS, MEDIAN, REFERENCE, SECOND, STATE, TAIL, Chart, styled
from workbench.plots.timeline import headline, timeline
from workbench.runs.run import Run
from workbench.units import format_count, format_duration, format_share

__all__ = [
    "draw_gone_wrong",
    "draw_patterns",
    "draw_repeated",
    "draw_tries",
    "draw_turns",
    "figure_outcomes",
    "figure_patterns",
    "figure_tries",
]

_WRONG: Final = {
    "timeout": (LOSS, "solid"),
    "refused": (TAIL, (0, (6, 2))),
    "error": (REFERENCE, (0, (1, 1))),
    "conflict": (SECOND, (0, (4, 1, 1, 1))),
    "gone": (STATE, (0, (3, 2))),
    "lost_update": (LOSS, (0, (1, 2))),
}
_NAMES: Final = {"gone": "state gone", "lost_update": "update lost"}
_PATTERNS_MAX: Final = 10
_LEAST_MS: Final = 1e-3  # a logarithmic scale has no place for nothing
_CHARACTERS: Final = 58


def draw_turns(ax: Axes, windows: pd.DataFrame, *, window_s: float = 1.0) -> Axes:
    """
    Turns that came due, and those that were carried out.

    Args:
        ax: x is elapsed time, s.
        windows: as ``analysis.outcomes.outcomes_by_window`` makes them.
        window_s: their width, s; it cannot be told from turns that are seldom.
    """
    ax.set_title("Turns, turns/s")
    lines = (("due", "due", REFERENCE, (0, (5, 3))), ("ok", "carried out", STATE, "solid"))
    return _draw_rates(ax, windows, lines, window_s)


def draw_gone_wrong(ax: Axes, windows: pd.DataFrame, *, window_s: float = 1.0) -> Axes:
    """Turns that were not carried out, by what became of them; see ``draw_turns``."""
    ax.set_title("Turns that were not carried out, turns/s")
    lines = tuple(
        (name, _NAMES.get(name, name), colour, dash)
        for name, (colour, dash) in _WRONG.items()
        if name in windows and windows[name].any()
    )
    if len(windows) and not lines:
        no_data(ax, "none")
        return ax
    return _draw_rates(ax, windows, lines, window_s)


def draw_repeated(ax: Axes, windows: pd.DataFrame, *, window_s: float = 1.0) -> Axes:
    """Turns that were delivered again, or written in more than one try; see ``draw_turns``."""
    ax.set_title("Work that was done over, turns/s")
    lines = tuple(
        line
        for line in (
            ("again", "delivered again", SECOND, "solid"),
            ("retried", "several tries", LOSS, (0, (4, 2))),
        )
        if line[0] in windows and windows[line[0]].any()
    )
    if len(windows) and not lines:
        no_data(ax, "no turn was delivered again, none took more than one try")
        return ax
    return _draw_rates(ax, windows, lines, window_s)


def draw_tries(ax: Axes, tries: pd.DataFrame) -> Axes:
    """
    The response of turns by how many tries their write took.

    Args:
        ax: y is one number of tries below the other, x logarithmic, ms.
        tries: as ``analysis.outcomes.tries`` makes them.
    """
    ax.set_title("Turn response by the tries that its write took, ms")
    told = tries[tries["p50"].notna()]
    if told.empty:
        no_data(ax, "no write was made")
        ax.set_xticks([])
        return ax
    values = told[["p50", "p99"]].to_numpy(dtype=float)
    values = np.maximum(values[np.isfinite(values)] / 1000, _LEAST_MS)
    low, high = 0.6 * float(values.min()), 1.8 * float(values.max())
    at = np.arange(len(tries))
    ax.set_xscale("log")
    ax.set_xlim(low, high)
    plain_log(ax.xaxis, low, high)
    ax.grid(visible=False, axis="y")
    ax.grid(visible=True, axis="x")
    ax.hlines(at, tries["p50"] / 1000, tries["p99"] / 1000, color=REFERENCE, lw=1, alpha=0.5)
    for column, colour, marker, ha in (("p50", MEDIAN, "o", "right"), ("p99", TAIL, "s", "left")):
        values_ms = (tries[column] / 1000).clip(lower=_LEAST_MS)
        ax.plot(values_ms, at, ls="", marker=marker, ms=7, color=colour)
        first = values_ms.dropna().iloc[:1]
        for value in first:
            ax.annotate(column, (value, -0.55), ha=ha, va="center", color=colour, fontsize="small")
    for y, (p99, turns) in enumerate(zip(tries["p99"], tries["turns"], strict=True)):
        few = ", too few for a p99" if np.isnan(p99) else ""
        row_note(ax, y, f"{format_count(int(turns), 'turn')}{few}")
    ax.set_yticks(
        at, [f"{number} {'try' if number == 1 else 'tries'}" for number in tries["tries"]]
    )
    ax.set_ylim(len(tries) - 0.4, -0.95)
    ax.set_xlabel("logarithmic, ms")
    return ax


def draw_patterns(ax: Axes, patterns: pd.DataFrame) -> Axes:
    """
    How often each pattern of errors was seen, the most frequent first.

    Args:
        ax: y is one pattern below the other, x logarithmic.
        patterns: as ``analysis.patterns.by_outcome`` makes them.
    """
    ax.set_title("Errors by pattern, times seen")
    shown = patterns.head(_PATTERNS_MAX)
    if shown.empty:
        no_data(ax, "no log, no turn and no reply tells of an error")
        ax.set_xticks([])
        return ax
    at = np.arange(len(shown))
    judged = shown["rule"].astype(str) != ""
    colours = [LOSS if rule else REFERENCE for rule in judged]
    ax.barh(at, shown["count"], left=0.5, height=0.7, color=colours)
    ax.set_xscale("log")
    high = 8 * float(shown["count"].max())
    ax.set_xlim(0.5, high)
    plain_log(ax.xaxis, 0.5, high)
    for y, count in enumerate(shown["count"]):
        ax.annotate(
            f"{count:,}",
            (count + 0.5, y),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            color=REFERENCE,
            fontsize="small",
        )
    names = [_short(f"{s}: {t}") for s, t in zip(shown["source"], shown["template"], strict=True)]
    ax.set_yticks(at, names, fontsize="small")
    ax.set_ylim(len(shown) - 0.4, -0.6)
    ax.grid(visible=False, axis="y")
    ax.grid(visible=True, axis="x")
    ax.set_xlabel("times seen, logarithmic; vermilion: a rule judges it")
    return ax


@styled
def figure_outcomes(run: Run) -> Chart:
    """What came, what was carried out, what was not, and what was done over."""
    windows = outcomes.outcomes_by_window(run.turns)
    figure = Figure(figsize=(9.0, 7.0))
    panels = figure.subplots(3, 1, sharex=True)
    headline(figure, run, _title(run))
    timeline(run, panels)
    draw_turns(panels[0], windows)
    draw_gone_wrong(panels[1], windows)
    draw_repeated(panels[2], windows)
    return Chart(figure, _reading(run))


@styled
def figure_tries(run: Run) -> Chart:
    """What a write costs that does not succeed at once."""
    tries = outcomes.tries(run.measured_turns)
    figure = Figure(figsize=(9.0, 1.9 + 0.42 * max(2, len(tries))))
    draw_tries(figure.subplots(), tries)
    more = tries[tries["tries"] > 1]
    writes, again = int(tries["turns"].sum()), int(more["turns"].sum())
    headline(figure, run, _title_of_tries(run, tries))
    if not writes:
        return Chart(figure, "There is nothing to tell of tries.")
    extra = int(((more["tries"] - 1) * more["turns"]).sum())
    says = [f"Each of {format_count(writes, 'write')} took one try."]
    if extra:
        further = "try" if extra == 1 else "tries"
        says = [
            f"{format_count(again, 'write')} of {writes:,} took {extra:,} further {further} in all."
        ]
    first, later = _service_us(tries, 1), _service_us(tries, 2)
    if not np.isnan(first) and not np.isnan(later):
        says.append(
            f"Half of those with one try took {format_duration(first / 1e6)} of work or less, with "
            f"two {format_duration(later / 1e6)}."
        )
    says.append("Turns that failed in the end are not among them: a failed turn counts no tries.")
    return Chart(figure, " ".join(says))


@styled
def figure_patterns(run: Run) -> Chart:
    """What went wrong, by pattern."""
    patterns = by_outcome(errors_of(run))
    figure = Figure(figsize=(9.0, 1.7 + 0.33 * max(3, min(_PATTERNS_MAX, len(patterns)))))
    draw_patterns(figure.subplots(), patterns)
    if patterns.empty:
        headline(figure, run, "Nothing that went wrong is on record")
        return Chart(
            figure, "Neither a log nor a turn nor a reply of the server tells of an error."
        )
    first = patterns.iloc[0]
    headline(figure, run, _short(f"What went wrong most often: {first['template']}", 74))
    unjudged = patterns[patterns["rule"].astype(str) == ""]
    says = [
        f"{format_count(len(patterns), 'pattern')}, seen {_times(patterns['count'])}.",
        "Each has a rule that judges it."
        if unjudged.empty
        else f"No rule judges {format_count(len(unjudged), 'pattern')} of them.",
    ]
    if (left := len(patterns) - _PATTERNS_MAX) > 0:
        says.append(f"{format_count(left, 'rarer one')} are left out of the chart.")
    return Chart(figure, " ".join(says))


def _draw_rates(
    ax: Axes,
    windows: pd.DataFrame,
    lines: tuple[tuple[str, str, str, object], ...],
    window_s: float,
) -> Axes:
    if windows.empty:
        no_data(ax, "no turn")
        return ax
    first_s, last_s = windows.index[[0, -1]]
    # A window without a turn is none of the table's, and has none of each.
    starts_s = first_s + window_s * np.arange(round((last_s - first_s) / window_s) + 1)
    labels, most = [], 1.0
    for column, name, colour, dash in lines:
        values = (
            windows[column].reindex(starts_s, method="nearest", tolerance=window_s / 2).fillna(0)
        )
        edges_s = [*starts_s, last_s + window_s]
        ax.stairs(values, edges_s, baseline=None, color=colour, ls=dash, lw=1.6)
        labels.append((float(values.iloc[-1]), name, colour))
        most = max(most, float(values.max()))
    ax.set_ylim(0, 1.12 * most)
    end_labels(ax, labels)
    return ax


def _title(run: Run) -> str:
    if not run.loaded:
        return "The server was only sampled: no turns of ours were on it"
    turns = run.turns
    counts = failure.outcomes(turns)
    unsent = counts.pop("unsent", 0)
    sent = sum(counts.values())
    if not sent:
        return "No turn was sent in this run"
    failed = {name: counts.get(name, 0) for name in failure.FAILED}
    lost = counts.get("lost_update", 0)
    gone = sum(counts.get(name, 0) for name in outcomes.GONE) - lost
    of = "of those sent" if unsent else "of the turns"
    if any(failed.values()):
        share = format_share(sum(failed.values()) / sent)
        return f"{share} {of} failed, most by {max(failed, key=failed.__getitem__)}"
    if gone:
        return f"No turn failed; {format_share(gone / sent)} found their conversation gone"
    if lost:
        return f"No turn failed; {format_share(lost / sent)} missed an update that was acknowledged"
    if unsent:
        share = format_share(unsent / (sent + unsent))
        return f"{share} of the turns were not sent; each of the {sent:,} others was carried out"
    return f"Every one of {sent:,} turns was carried out"


def _reading(run: Run) -> str:
    windows = outcomes.outcomes_by_window(run.turns)
    if windows.empty:
        return "There are no outcomes to tell of."
    totals = windows.sum().round().astype(int)  # windows of one second
    says = [f"Of {format_count(int(totals['due']), 'turn')} {totals['ok']:,} were carried out."]
    says += [f"{said}: {totals[name]:,}." for name, said in _SAYS.items() if totals[name]]
    says.append(
        f"{format_count(int(totals['again']), 'turn')} came by a further delivery, "
        f"{totals['retried']:,} took more than one try."
    )
    failing = windows[list(failure.FAILED)].sum(axis="columns")
    if failing.any():
        first_s, last_s = failing[failing > 0].index[[0, -1]]
        says.append(f"The first failed at {first_s:.0f} s, the last at {last_s:.0f} s.")
    return " ".join(says)


_SAYS: Final = {
    "refused": "Refused by the server",
    "timeout": "Without an answer in time",
    "conflict": "Lost every race against other writers",
    "error": "Failed in another way",
    "gone": "Found their conversation gone",
    "lost_update": "Missed an update that was acknowledged",
    "unsent": "Due, and not sent before the end",
}


def _title_of_tries(run: Run, tries: pd.DataFrame) -> str:
    if tries.empty:
        return "No write was made in the measured phase" if run.loaded else _title(run)
    writes = int(tries["turns"].sum())
    again = int(tries["turns"][tries["tries"] > 1].sum())
    if not again:
        return "Every write succeeded at its first try"
    return f"{format_share(again / writes)} of the writes took more than one try"


def _service_us(tries: pd.DataFrame, number: int) -> float:
    found = tries.loc[tries["tries"] == number, "service_us_p50"]
    return float(found.iloc[0]) if len(found) else float("nan")


def _times(counts: pd.Series) -> str:
    return format_count(int(counts.sum()), "time")


def _short(text: str, most: int = _CHARACTERS) -> str:
    text = text.replace("$", "")  # between two of them a figure would set a formula
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"
