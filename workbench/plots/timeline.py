"""What every figure over time shares: its title, one time axis, rewrites, faults, the start."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workbench.analysis.persistence import rewrite_spans
from workbench.plots.annotate import hatch_spans, moment, name_shade, shade_spans
from workbench.runs.run import Run

__all__ = ["headline", "timeline"]

_FAULTS_NAMED = 5


def headline(figure: Figure, run: Run, finding: str) -> None:
    """The figure's title: the finding, and that the run was cut short where it was."""
    status = run.manifest.status
    cut = f" ({status})" if status in {"interrupted", "failed", "invalid"} else ""
    figure.suptitle(finding + cut, x=0.012, ha="left")


def timeline(run: Run, panels: Sequence[Axes]) -> None:
    """Give the panels, from the top down, the run's time, rewrites, faults and measured start."""
    first_s, last_s = _span_s(run)
    width_least = 0.004 * (last_s - first_s)
    rewrites = rewrite_spans(run.events, run.samples)
    faults = run.events[run.events["kind"] == "fault"]
    measured = run.measured_s > 0
    for ax in panels:
        ax.set_xlim(first_s, last_s)
        for spans, mark in ((rewrites, shade_spans), (faults, hatch_spans)):
            each = zip(spans["elapsed_s"], spans["duration_s"], strict=True)
            mark(ax, each, width_least=width_least)
        if measured:
            moment(ax, 0.0)
    if not rewrites.empty:
        name_shade(panels[0], "shaded: AOF rewrite")
    # Below, where there is room for all of them.
    done = [
        f"{name} at {at_s:.0f} s"
        for name, at_s in zip(faults["label"].astype(str), faults["elapsed_s"], strict=True)
    ]
    if len(done) > _FAULTS_NAMED:
        done[_FAULTS_NAMED - 1 :] = [f"and {len(done) - _FAULTS_NAMED + 1} more"]
    hatched = f"; hatched: {', '.join(done)}" if done else ""
    panels[-1].set_xlabel(f"elapsed, s{'; measured from 0 on' if measured else ''}{hatched}")


def _span_s(run: Run) -> tuple[float, float]:
    if run.samples.empty:
        return 0.0, max(1.0, run.measured_s)
    first, last = float(run.samples["elapsed_s"].iloc[0]), float(run.samples["elapsed_s"].iloc[-1])
    return min(first, 0.0), max(last, run.measured_s)
