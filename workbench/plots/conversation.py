"""One conversation: its turns, the time it had left, and what the server did meanwhile."""

from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workbench.analysis.conversation import (
    EARLY,
    beside_causes,
    chosen,
    evicted_at_s,
    found_at_end,
    life,
    time_left,
    turns_of,
)
from workbench.analysis.failure import FAILED
from workbench.analysis.outcomes import GONE
from workbench.plots.annotate import no_data, plain_log
from workbench.plots.evictions import draw_evictions
from workbench.plots.memory import draw_memory
from workbench.plots.spikes import causes_of
from workbench.plots.style import LOSS, REFERENCE, STATE, TAIL, Chart, styled
from workbench.plots.timeline import headline, timeline
from workbench.runs.run import Run
from workbench.units import format_count, format_duration

__all__ = ["conversation_rows", "draw_time_left", "draw_turns_of_one", "figure_conversation"]

# What became of a turn: its mark and colour; what is not carried out is named besides.
_MARKS: Final = {
    "ok": ("o", STATE),
    "again": ("s", REFERENCE),
    "gone": ("X", LOSS),
    "failed": ("^", TAIL),
    "unsent": ("v", REFERENCE),
}
_ROWS: Final = 3
_LEAST_MS: Final = 1e-3  # a logarithmic scale has no place for nothing
_MARGIN: Final = 0.06
_MARGIN_S_MIN: Final = 0.5


def draw_turns_of_one(ax: Axes, turns: pd.DataFrame) -> Axes:
    """
    The turns of one conversation: when due, how long the person waited, what became of each.

    Args:
        ax: x is elapsed time, s, with its limits final.
        turns: as ``analysis.conversation.turns_of`` makes them.
    """
    ax.set_title("Wait for each answer, ms")
    if turns.empty:
        no_data(ax, "no turn")
        return ax
    waits_ms = (turns["response_us"].astype(float) / 1000).clip(lower=_LEAST_MS)
    low, high = 0.5 * float(waits_ms.min()), float(waits_ms.max())
    high *= max(3.0, (high / low) ** 0.6)  # room above for the names of the steps
    ax.set_yscale("log")
    ax.set_ylim(low, high)
    plain_log(ax.yaxis, low, high)
    groups = turns["outcome"].map(_group)
    for name, (mark, colour) in _MARKS.items():
        of = groups == name
        if of.any():
            ax.plot(turns["elapsed_s"][of], waits_ms[of], ls="", marker=mark, ms=8, color=colour)
    _name_steps(ax, turns, waits_ms, groups)
    return ax


def draw_time_left(ax: Axes, left: pd.DataFrame, taken_s: list[float]) -> Axes:
    """
    The time to live that a conversation had left, and when it was evicted.

    Args:
        ax: x is elapsed time, s.
        left: as ``analysis.conversation.time_left`` makes it.
        taken_s: when the ledger saw its key evicted, elapsed s.
    """
    ax.set_title("Time to live that it had left, s")
    if left.empty:
        no_data(ax, "no write of it is known")
        return ax
    ax.plot(left["elapsed_s"], left["left_s"], color=STATE, lw=1, ls=(0, (1, 2)))
    kept = left.copy()
    for at_s in taken_s:  # from then on until the next write there was nothing to run out
        after = kept["elapsed_s"][kept["elapsed_s"] > at_s]
        end_s = float(after.min()) if len(after) else at_s
        left_s = float(np.interp(at_s, left["elapsed_s"], left["left_s"]))
        kept.loc[kept["elapsed_s"].between(at_s, end_s) & (kept["left_s"] < left_s), "left_s"] = (
            np.nan
        )
        kept.loc[len(kept)] = [at_s, left_s]
        kept = kept.sort_values("elapsed_s", kind="stable", ignore_index=True)
    ax.plot(kept["elapsed_s"], kept["left_s"], color=STATE)
    most = max(1.0, float(left["left_s"].max()))
    ax.set_ylim(0, 1.2 * most)
    for at_s in taken_s:
        ax.axvline(at_s, color=LOSS, lw=1.6, ls=(0, (4, 2)))
        ax.annotate(
            "evicted",
            (at_s, 0.08 * most),
            xytext=(5, 0),
            textcoords="offset points",
            color=LOSS,
            fontsize="small",
        )
    return ax


@styled
def figure_conversation(run: Run, wanted: int = -1) -> Chart:
    """
    One channel's life against what the server did meanwhile.

    Args:
        run: sealed.
        wanted: number of the conversation; -1 for whichever, see ``analysis.conversation.chosen``.

    Raises:
        ParameterError: there is no such conversation.
    """
    conversation = chosen(run.turns, wanted)
    turns = turns_of(run.turns, conversation)
    figure = Figure(figsize=(9.0, 7.2))
    panels = list(figure.subplots(3, 1, sharex=True, height_ratios=(1.25, 0.9, 0.9)))
    taken_s = evicted_at_s(run.eviction_rows, conversation)
    at_end = found_at_end(run.key_rows, conversation)
    headline(figure, run, _title(conversation, turns, taken_s, at_end))
    timeline(run, panels)
    if len(turns):
        first_s, last_s = life(turns)
        margin_s = max(_MARGIN_S_MIN, _MARGIN * (last_s - first_s))
        for ax in panels:
            ax.set_xlim(first_s - margin_s, last_s + margin_s)
        left = time_left(turns, until_s=last_s + margin_s)
    else:
        left = pd.DataFrame(columns=["elapsed_s", "left_s"])
    draw_turns_of_one(panels[0], turns)
    draw_time_left(panels[1], left, taken_s)
    samples = _near(run.samples, panels[2])
    if len(samples) > 1 and samples["evicted_keys"].diff().gt(0).any():
        draw_evictions(panels[2], samples)
    else:
        draw_memory(panels[2], samples)
    return Chart(figure, _reading(turns, taken_s, at_end))


def conversation_rows(run: Run, wanted: int = -1) -> pd.DataFrame:
    """The turns of one conversation with what the server did meanwhile, as its table shows them."""
    return beside_causes(turns_of(run.turns, chosen(run.turns, wanted)), causes_of(run))


def _group(outcome: str) -> str:
    if outcome in GONE:
        return "gone"
    if outcome in FAILED:
        return "failed"
    return {"duplicate": "again"}.get(outcome, outcome)


def _near(samples: pd.DataFrame, ax: Axes) -> pd.DataFrame:
    first_s, last_s = ax.get_xlim()
    near = samples["elapsed_s"].between(first_s, last_s)
    # One on each side, so that a short life is not drawn on nothing.
    return samples[near | near.shift(-1, fill_value=False) | near.shift(1, fill_value=False)]


def _name_steps(ax: Axes, turns: pd.DataFrame, waits_ms: pd.Series, groups: pd.Series) -> None:
    """Name each turn above, in one of three rows; one that finds no room has its line alone."""
    first_s, last_s = ax.get_xlim()
    figure = ax.get_figure(root=True)
    assert figure is not None, "the axes belong to a figure"
    points_per_s = 0.85 * figure.get_figwidth() * 72 / (last_s - first_s)
    free_pt = [-np.inf] * _ROWS  # where the names in each row end
    told = zip(turns["elapsed_s"], waits_ms, turns["step"], turns["outcome"], groups, strict=True)
    for at_s, wait_ms, step, outcome, group in told:
        text = step if group == "ok" else f"{step}: {str(outcome).replace('_', ' ')}"
        width_pt = 5.8 * len(text) + 8
        at_pt = (at_s - first_s) * points_per_s
        # Near the right edge to the left of its line, so that it stays within the chart.
        leftwards = at_pt + width_pt > (last_s - first_s) * points_per_s
        begin_pt = at_pt - width_pt if leftwards else at_pt
        row = next((n for n, end in enumerate(free_pt) if begin_pt > end), None)
        colour = REFERENCE if group == "ok" else _MARKS[group][1]
        above = 0.95 - 0.11 * (row or 0)
        top_ms = ax.transData.inverted().transform(ax.transAxes.transform((0, above)))[1]
        ax.vlines(at_s, wait_ms, top_ms, color=colour, lw=0.8, alpha=0.5)
        if row is None:
            continue
        free_pt[row] = begin_pt + width_pt
        ax.annotate(
            text,
            (at_s, above),
            xycoords=ax.get_xaxis_transform(),
            xytext=(-3 if leftwards else 3, 0),
            textcoords="offset points",
            ha="right" if leftwards else "left",
            va="center",
            color=colour,
            fontsize="small",
        )


def _title(
    conversation: int | None, turns: pd.DataFrame, taken_s: list[float], at_end: tuple[str, str]
) -> str:
    if turns.empty:
        return "There is no conversation of ours in this run"
    gone = turns[turns["outcome"].isin(GONE)]
    failed = turns[turns["outcome"].isin(FAILED)]
    name = f"Conversation {conversation}"
    if len(gone):
        first = gone.iloc[0]
        cause = (
            "lost an update" if first["outcome"] == "lost_update" else f"found {first['outcome']}"
        )
        told = f"was {cause}" if cause.startswith("found") else cause
        after = (
            ""
            if np.isnan(first["age_s"])
            else f" after a pause of {format_duration(first['age_s'])}"
        )
        return f"{name} {told} at {first['step']}{after}"
    state, update = at_end
    if update == "lost":
        return f"{name} was without its last acknowledged turn at the end of the run"
    if taken_s:
        return f"{name} was evicted at {taken_s[0]:.0f} s, and nobody came back to it"
    if state in EARLY:
        return f"{name} was gone at the end of the run ({state}), and nobody came back to it"
    if len(failed):
        return f"{name} kept its state; {format_count(len(failed), 'turn')} of it failed"
    unsent = int((turns["outcome"] == "unsent").sum())
    kept = f"{name} kept its state through {format_count(len(turns) - unsent, 'turn')}"
    return f"{kept}; {unsent:,} more came due and were not sent" if unsent else kept


def _reading(turns: pd.DataFrame, taken_s: list[float], at_end: tuple[str, str]) -> str:
    if turns.empty:
        return "A run that was only sampled has no turns; a run of one's own has: workbench run."
    first_s, last_s = life(turns)
    says = [
        f"{format_count(len(turns), 'turn')} from {first_s:.1f} s to {last_s:.1f} s.",
        f"The longest wait was {format_duration(float(turns['response_us'].max()) / 1e6)}, at "
        f"{turns['step'].iloc[int(turns['response_us'].argmax())]}.",
    ]
    pauses_s = turns["age_s"].dropna()
    if len(pauses_s):
        says.append(f"The longest pause was {format_duration(float(pauses_s.max()))}.")
    if taken_s:
        says.append(f"The ledger saw it evicted at {', '.join(f'{s:.1f} s' for s in taken_s)}.")
    gone = turns[turns["outcome"].isin(GONE) & turns["age_s"].notna()]
    if len(gone):
        left_s = float((gone["ttl_s"] - gone["age_s"]).iloc[0])
        says.append(
            f"It had {format_duration(left_s)} to live when it was found gone."
            if left_s > 0
            else "Its time to live was over when it was found gone."
        )
    state, update = at_end
    if state == "unread":
        says.append("It was not looked for at the end of the run.")
    elif state:
        last = f", its last update {update}" if update else ""
        says.append(f"At the end of the run it was found {state}{last}.")
    return " ".join(says)
