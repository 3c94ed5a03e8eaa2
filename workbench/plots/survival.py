"""How long a conversation that is left alone stays: the share still there after a pause."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workbench.analysis.eviction import began_s
from workbench.analysis.ledger import reconciliation, traced
from workbench.analysis.survival import Survival, survival_by_ledger, survival_by_turns
from workbench.plots.annotate import no_data
from workbench.plots.style import REFERENCE, STATE, Chart, styled
from workbench.plots.timeline import headline
from workbench.runs.run import Run
from workbench.units import format_count, format_duration, format_share

__all__ = ["draw_survival", "figure_survival"]


def draw_survival(ax: Axes, survival: Survival) -> Axes:
    """
    The share of conversations that are still there, over the time since their last turn.

    Args:
        ax: x is the pause, s.
        survival: as ``analysis.survival`` makes it.
    """
    ax.set_title("Conversations still there, %")
    curve = survival.curve
    if len(curve) < 2:
        no_data(ax, "too few pauses")
        ax.set_xticks([])
        return ax
    # Steps of less than a pixel cannot be seen, and make a picture large.
    seen = (200 * curve["share"]).round()
    keep = (seen != seen.shift()) | (curve.index == curve.index[-1])
    shown = curve if not survival.exact else curve[keep]
    step = "post" if survival.exact else None
    style = "steps-post" if survival.exact else "default"
    ax.plot(shown["pause_s"], 100 * shown["share"], color=STATE, drawstyle=style)
    ax.fill_between(
        shown["pause_s"],
        100 * shown["low"],
        100 * shown["high"],
        step=step,  # type: ignore[arg-type]
        color=STATE,
        alpha=0.18,
        lw=0,
    )
    ax.set_xlim(0, float(curve["pause_s"].iloc[-1]))
    ax.set_ylim(0, 104)
    ax.set_yticks([0, 25, 50, 75, 100])
    half_s = survival.pause_s_at(0.5)
    if half_s is not None:
        ax.plot([half_s, half_s], [0, 50], color=REFERENCE, lw=1, ls=(0, (5, 4)))
        leftwards = half_s > 0.6 * ax.get_xlim()[1]
        ax.annotate(
            f"half of them gone: {format_duration(half_s)}",
            (half_s, 50),
            xytext=(-8 if leftwards else 8, -12 if leftwards else 8),
            textcoords="offset points",
            ha="right" if leftwards else "left",
            color=REFERENCE,
            fontsize="small",
        )
    return ax


@styled
def figure_survival(run: Run) -> Chart:
    """How long people may pause: the share of conversations that eviction leaves them."""
    began = began_s(run.samples) if not run.samples.empty else None
    survival, why = _survival(run, began)
    figure = Figure(figsize=(9.0, 3.7))
    headline(figure, run, _title(survival, began))
    ax = figure.subplots()
    draw_survival(ax, survival)
    how = "by the ledger" if survival.exact else "by the turns"
    ax.set_xlabel(f"time since the conversation's last turn, s ({how}; band: 95 % interval)")
    return Chart(figure, _reading(survival, why))


def _survival(run: Run, began: float | None) -> tuple[Survival, str]:
    """The curve by the ledger if there is a whole one, else by the turns; and why the latter."""
    since_s = 0.0 if began is None else began
    measured = run.measured_turns
    if not len(run.eviction_rows):
        return survival_by_turns(measured, run.key_rows, since_s=since_s), "the run kept no ledger"
    missed = reconciliation(run.eviction_windows).difference
    if missed > 0:
        why = f"the ledger missed {format_count(missed, 'key')}"
        return survival_by_turns(measured, run.key_rows, since_s=since_s), why
    events = traced(run.eviction_rows, run.turns, run.key_rows)
    return survival_by_ledger(events, measured, run.key_rows, since_s=since_s), ""


def _title(survival: Survival, began: float | None) -> str:
    curve = survival.curve
    if not survival.evicted:
        if began is None:
            return "Nothing was evicted, however long the pause"
        alive = " before its time to live was over" if survival.expired else ""
        return f"No conversation is known to be evicted{alive}, however long the pause"
    if len(curve) < 2:
        return "Too few pauses to tell how long a conversation stays"
    half_s = survival.pause_s_at(0.5)
    if half_s is not None:
        return f"Half of the conversations are gone after a pause of {format_duration(half_s)}"
    end = curve.iloc[-1]
    if survival.expired:
        # At its end they may all be gone, but not by eviction.
        return (
            f"Up to a pause of {format_duration(float(end['pause_s']))}, "
            f"eviction leaves {format_share(float(end['share']))} of the conversations"
        )
    return (
        f"After a pause of {format_duration(float(end['pause_s']))}, "
        f"{format_share(float(end['share']))} of the conversations are still there"
    )


def _reading(survival: Survival, why: str) -> str:
    said = (
        f"{format_count(survival.evicted, 'pause')} ended in an eviction, "
        f"{survival.present:,} with the conversation there."
    )
    says = [said]
    if survival.expired:
        says.append(
            f"{survival.expired:,} outlived the time to live, and count as there until its end."
        )
    first_s = survival.pause_s_at(0.99)
    if len(survival.curve) > 1:
        says.append(
            "At least 99 % are there after every pause seen."
            if first_s is None
            else f"The first hundredth is gone after {format_duration(first_s)}."
        )
    if why:
        says.append(
            f"Since {why}, when a conversation went is known only from the turn that found it so."
        )
    says.append("Pauses that began before evictions did are left out.")
    return " ".join(says)
