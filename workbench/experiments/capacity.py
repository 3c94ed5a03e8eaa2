"""
Capacity: the highest rate that meets the objectives, found by steps, each of them a run.

The search knows nothing of runs: it is given a function from a rate to a step. Rates are doubled
until a step does not meet the objectives, then halved in between, by the geometric mean.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

import msgspec

from workbench.analysis.latency import LEAST
from workbench.analysis.validity import DELIVERED_SHARE_MIN, Validity
from workbench.diagnostics.finding import evaluate, generator_validity, write_findings
from workbench.diagnostics.slo import TERMS, Objective, Slo, SloFindings, judge
from workbench.errors import RunError, UsageError, WorkbenchError
from workbench.experiments.runner import carry_out
from workbench.experiments.spec import KEYS, Experiment
from workbench.runs.run import Run
from workbench.state import redact

__all__ = ["Capacity", "Step", "Verdict", "blamed", "check_bounds", "judged", "search", "stepper"]

Verdict = Literal["met", "not met", "unknown"]
"""Of a step: the objectives were met, one was broken, or that cannot be told."""

Ended = Literal["found", "highest met", "lowest not met", "unknown", "failed", "interrupted"]
"""Of a search: why it ended."""

_RATE: Final = next(key for key in KEYS if key.field == "turns_per_s")
_RESOLUTION_MIN: Final = 0.02  # rates are tried to three digits
_RESOLUTION_MAX: Final = 1.0
_NARROW: Final = 0.25
# Turns come in conversations, so their number spreads about twice as wide as a Poisson's would.
_TURNS_TO_SPARE: Final = 1.25
_SHOWN: Final = ("response_p99", "delivered_share", "lost_state_share")


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """
    What one rate gave.

    Attributes:
        turns_per_s: the rate.
        verdict: by the objectives.
        limits: the objectives that were broken, the one that was broken most first.
        why: in words, what was broken by how much, or why it cannot be told; empty if it was met.
        narrow: a second try may well end otherwise: what was broken was so by a quarter of its
            bound at most, or the load was late, as a neighbour on the machine can make it.
        response_us_p99: µs, from the intended start; None if it is not known.
        delivered_share: of the turns due; None if it is not known.
        lost_state_share: of the turns that needed a state; None if it is not known.
        run: name of the run directory.
    """

    turns_per_s: float
    verdict: Verdict
    limits: tuple[str, ...] = ()
    why: str = ""
    narrow: bool = False
    response_us_p99: float | None = None
    delivered_share: float | None = None
    lost_state_share: float | None = None
    run: str = ""


class Capacity(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a search found, also if it did not come to its end.

    Attributes:
        ended: why; ``found`` if both sides are known and near enough.
        met: the highest step that met the objectives; None if none did.
        not_met: the lowest step that did not; None if all did.
        why: it did not come to its end, in words; empty if it did.
        steps: every step in the order of time.
    """

    ended: Ended
    met: Step | None = None
    not_met: Step | None = None
    why: str = ""
    steps: tuple[Step, ...] = ()

    @property
    def says(self) -> str:
        """The answer in one sentence."""
        parts = []
        if self.met:
            parts.append(f"met at {_rate(self.met)}")
        if self.not_met:
            parts.append(f"not met at {_rate(self.not_met)}: {self.not_met.why}")
        if self.ended == "highest met":
            parts.append("the highest that was asked for: raise --to")
        if self.ended == "lowest not met":
            parts.append("that is the lowest that was asked for: lower --from")
        if self.why:
            parts.append(self.why)
        return "; ".join(parts) if self.ended != "found" else ", ".join(parts)


Attempt = Callable[[float], Step]
"""Tries one rate, turns/s."""


def check_bounds(lowest: float, highest: float, resolution: float) -> None:
    """
    Refuse bounds between which nothing can be searched.

    Raises:
        UsageError: one makes no sense; the message names its option.
    """
    for option, rate in (("--from", lowest), ("--to", highest)):
        if not _RATE.least <= rate <= _RATE.most:  # also a rate that is no number
            raise UsageError(
                f"{option} is {rate:g}, outside {_RATE.least:g} to {_RATE.most:g} turns/s"
            )
    if lowest > highest:
        raise UsageError(f"--from {lowest:g} is above --to {highest:g}")
    if not _RESOLUTION_MIN <= resolution <= _RESOLUTION_MAX:
        raise UsageError(
            f"--resolution is {resolution:g}, outside {_RESOLUTION_MIN:g} to {_RESOLUTION_MAX:g}: "
            "it is how far apart the two rates may be, as a share of the lower one"
        )


def search(
    attempt: Attempt,
    *,
    lowest: float,
    highest: float,
    resolution: float,
    say: Callable[[Step], None] = lambda _: None,
) -> Capacity:
    """
    The highest rate that meets the objectives, between two neighbours.

    Rates are doubled from the lowest until one does not meet them, then the geometric mean of the
    two sides is tried until they are near enough. That takes for granted that what is met at a rate
    is met below it.

    A narrow step is tried once more: one stall of the machine in a phase of some seconds is enough
    for it. If the second try can be told, it counts, else the first. A step of which nothing can be
    told even then ends the search: what comes above it could be told no better.

    Args:
        attempt: tries one rate; KeyboardInterrupt and errors in it end the search.
        lowest: turns/s, to begin with; it and the next two are checked by ``check_bounds``.
        highest: turns/s, beyond which nothing is tried.
        resolution: of the answer: by which share of the lower rate the other may lie above it.
        say: told of every step when it ends.

    Returns:
        what is known, however it ended.

    Raises:
        WorkbenchError: the first attempt could not be made at all.
    """
    steps: list[Step] = []
    met: Step | None = None
    not_met: Step | None = None
    ended: Ended = "found"
    why = ""

    def tried(rate: float) -> Step:
        step = attempt(rate)
        steps.append(step)
        say(step)
        return step

    try:
        while (rate := _next_rate(met, not_met, lowest, highest, resolution)) is not None:
            step = tried(rate)
            if step.narrow and step.verdict != "met":
                again = tried(rate)
                step = again if again.verdict != "unknown" else step
            if step.verdict == "unknown":
                ended, why = "unknown", f"at {_rate(step)} it cannot be told: {step.why}"
                break
            if step.verdict == "met":
                met = step
            else:
                not_met = step
    except KeyboardInterrupt:
        ended, why = "interrupted", "interrupted before its end"
    except WorkbenchError as error:
        if not steps:
            raise
        ended, why = "failed", f"it broke off: {redact(str(error))}"
    if ended == "found" and not_met is None:
        ended = "highest met"
    if ended == "found" and met is None:
        ended = "lowest not met"
    return Capacity(ended=ended, met=met, not_met=not_met, why=why, steps=tuple(steps))


def stepper(
    experiment: Experiment,
    slo: Slo,
    out: Path,
    *,
    url: str | None = None,
    i_own: str = "",
    engine: str | None = None,
    say: Callable[[str], None],
    progress: Callable[[str], None],
) -> Attempt:
    """
    What tries a rate: a run of the experiment, sealed, and judged by the objectives.

    Rules are looked at too, and written beside the run as ``workbench run`` does, but only
    objectives decide. The measured phase is the experiment's, and longer where the rate is so low
    that an objective could not be told by its turns.

    Args:
        experiment: what is carried out, with another rate each time.
        slo: the objectives.
        out: the folder in which the run directories are made.
        url: a server to load instead of a private one for each step.
        i_own: its ``host:port``, from somebody who answers for it.
        engine: which one to start; whatever is found if None.
        say: told what server is started, once.
        progress: told how far it is.

    Returns:
        a function from the rate, turns/s, to the step; it raises KeyboardInterrupt when the run was
        interrupted, and what ``carry_out`` raises.

    Raises:
        UsageError: the experiment has no rate.
    """
    if experiment.closed_loop:
        raise UsageError(
            f"{experiment.name} is a closed loop, in which turns_per_s has no say: "
            "no rate can be searched for"
        )
    told: set[str] = set()

    def say_once(text: str) -> None:
        words = text.partition(", on redis://")[0]  # each private server has another port
        if words not in told:
            told.add(words)
            say(words)

    def attempt(rate: float) -> Step:
        least_s = _TURNS_TO_SPARE * _turns_needed(slo) / rate
        chosen = experiment.with_overrides(
            turns_per_s=rate, measure_s=max(experiment.measure_s, math.ceil(least_s))
        )
        run_dir = carry_out(
            chosen, out, url=url, i_own=i_own, engine=engine, say=say_once, progress=progress
        )
        run = Run(run_dir)
        if run.manifest.status == "interrupted":
            raise KeyboardInterrupt
        found = judge(run, slo)
        write_findings(run, evaluate(run), found)
        return judged(run, rate, found)

    return attempt


def judged(run: Run, rate: float, found: SloFindings) -> Step:
    """
    The step that a sealed run is.

    A run that is not valid is unknown, whatever its objectives: what it offered was not the rate.
    But where turns were left over although the generator was in time, it is the server that did not
    carry them out, and the objectives are not met.

    Args:
        run: one rate's.
        rate: it, turns/s.
        found: what became of the objectives.
    """
    validity = generator_validity(run)
    verdict, limits, why, narrow = _verdict(run, validity, found)
    shown = {name: _measured(run, name) for name in _SHOWN}
    p99_s = shown["response_p99"]
    return Step(
        turns_per_s=rate,
        verdict=verdict,
        limits=limits,
        why=why,
        narrow=narrow,
        response_us_p99=None if p99_s is None else 1e6 * p99_s,
        delivered_share=shown["delivered_share"],
        lost_state_share=shown["lost_state_share"],
        run=run.path.name,
    )


def _verdict(
    run: Run, validity: Validity, found: SloFindings
) -> tuple[Verdict, tuple[str, ...], str, bool]:
    if run.manifest.status != "complete":
        if len(validity.reasons) == 1 and validity.delivered_share < DELIVERED_SHARE_MIN:
            return "not met", ("delivered_share",), validity.reasons[0].partition(";")[0], False
        # The other half of a reason says what to do with a run by itself.
        reasons = [reason.partition(";")[0] for reason in validity.reasons]
        why = "; ".join(reasons) or run.manifest.why or run.manifest.status
        return "unknown", (), f"{blamed(validity)}{why}", True
    if found.verdict == "pass":
        return "met", (), "", False
    if found.verdict == "unknown":
        return "unknown", (), found.says, False
    broken = sorted((each for each in found.objectives if each.verdict == "fail"), key=_excess)
    broken.reverse()
    why = "; ".join(f"{each.objective} is {each.measured}, {each.bound}" for each in broken)
    narrow = all(_excess(each) <= _NARROW for each in broken)
    return "not met", tuple(each.objective for each in broken), why, narrow


def blamed(validity: Validity) -> str:
    """Who was the limit where a run is not valid, as far as its reasons say it."""
    ours = ("the generator was late", "turns waited for a free slot", "the load used")
    late = any(reason.startswith(ours) for reason in validity.reasons)
    return "the generator, not the server, was the limit: " if late else ""


def _excess(objective: Objective) -> float:
    """By which share of its bound it was broken; endless where nothing is allowed."""
    over = objective.broken_by_value or 0.0
    return over / objective.bound_value if objective.bound_value else math.inf


def _measured(run: Run, name: str) -> float | None:
    term = next(term for term in TERMS if term.name == name)
    try:
        value = term.measure(run).value
    except RunError:
        return None
    return value if math.isfinite(value) else None


def _turns_needed(slo: Slo) -> int:
    """How many turns the objectives take, so that each can be told."""
    needed = 100
    for name, least in LEAST.items():
        if getattr(slo, f"response_{name}_s") is not None:
            needed = max(needed, least)
    return needed


def _next_rate(
    met: Step | None, not_met: Step | None, lowest: float, highest: float, resolution: float
) -> float | None:
    """The rate to be tried next; None if there is nothing left to try."""
    if not_met is None:
        if met is None:
            return lowest
        return min(2 * met.turns_per_s, highest) if met.turns_per_s < highest else None
    if met is None or not_met.turns_per_s <= (1 + resolution) * met.turns_per_s:
        return None
    return float(f"{math.sqrt(met.turns_per_s * not_met.turns_per_s):.3g}")


def _rate(step: Step) -> str:
    return f"{step.turns_per_s:,g} turns/s"
