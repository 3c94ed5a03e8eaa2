"""
Replay: the conversations of a recorded run as a schedule, with the times between their turns.

What is replayed is what was sent: which conversation came when with which message. What becomes of
it is the new server's affair. But where the recorded server had lost a state, people had greeted
anew, and greet in the replay too; and after a turn without an answer its step came twice. So a run
that went well is the best one to replay. No locust in here.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from loadtests.arrivals import Schedule
from workbench.errors import UsageError
from workbench.flows.model import FLOWS, Flow, Step

__all__ = ["Recorded", "read_recorded"]

_APART_S = 1.0
"""Between the turns before a conversation's first recorded one, of which no time is known."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """
    What a run offered.

    Attributes:
        schedule: its conversations, by the numbers that they had.
        seed: of its callers.
        ttl_s: time to live of a write, s.
        warm_up_s, measure_s: length of its phases, s.
    """

    schedule: Schedule
    seed: int
    ttl_s: float
    warm_up_s: float
    measure_s: float


def read_recorded(where: str) -> Recorded:
    """
    What a sealed run offered.

    Args:
        where: its directory, its name, or ``latest``.

    Raises:
        RunError: there is none, or it cannot be read.
        UsageError: it had no load, or one that followed the server's answers.
    """
    from workbench.runs.run import open_run  # pandas takes its time

    run = open_run(where)
    experiment = run.manifest.experiment
    origins = run.events["unix_s"][run.events["label"] == "origin"]
    if not run.loaded or run.operations.empty or origins.empty:
        raise UsageError(f"{run.path} has no load that could be replayed")
    if experiment.get("closed_loop"):
        raise UsageError(
            f"{run.path} was a closed loop: its turns came when its server had answered, so they "
            "are no load for another"
        )
    table = run.operations
    # Delivered again by the plan, not because the server failed.
    planned = not experiment.get("redelivery_s")
    again = table[(table["delivery"] == 1) & planned].set_index(["conversation", "turn"])["unix_s"]
    turns = table[table["delivery"] == 0].sort_values(["conversation", "turn"], kind="stable")
    later_s = again.reindex(turns.set_index(["conversation", "turn"]).index).to_numpy()
    rows = zip(
        turns["conversation"].tolist(),
        turns["flow"].astype(str).tolist(),
        turns["step"].astype(str).tolist(),
        (turns["unix_s"] - float(origins.min())).tolist(),
        turns["turn"].tolist(),
        turns["age_s"].tolist(),
        (later_s - turns["unix_s"].to_numpy()).tolist(),
        strict=True,
    )
    ttl_s = float(experiment["ttl_s"])
    return Recorded(
        _schedule(list(rows), ttl_s),
        seed=run.manifest.seed,
        ttl_s=ttl_s,
        warm_up_s=float(experiment["warm_up_s"]),
        measure_s=float(experiment["measure_s"]),
    )


def _schedule(rows: Sequence[tuple[Any, ...]], ttl_s: float) -> Schedule:
    flows = tuple(FLOWS[name] for name in FLOWS)
    index = {flow.name: at for at, flow in enumerate(flows)}
    count = 1 + max(row[0] for row in rows)
    flow = np.zeros(count, dtype=int)
    scripts: list[list[Step]] = [[] for _ in range(count)]
    due_s: list[list[float]] = [[] for _ in range(count)]
    again_s: list[list[float]] = [[] for _ in range(count)]
    for number, name, step, at_s, turn, age_s, later_s in rows:
        of = flows[index[name]]
        if not scripts[number]:
            flow[number] = index[name]
            if turn > 0:  # it was under way at the start
                before = _before(of, step)
                last_s = at_s - (2 * ttl_s if math.isnan(age_s) else age_s)  # NaN: not known
                scripts[number] += before
                due_s[number] += [
                    min(last_s, -0.001) - _APART_S * back for back in reversed(range(len(before)))
                ]
                again_s[number] += [np.nan] * len(before)
        scripts[number].append(_step(of, step, scripts[number]))
        due_s[number].append(at_s)
        again_s[number].append(later_s)
    first = np.concatenate([[0], np.cumsum([len(script) for script in scripts])])
    return Schedule(
        flows,
        flow,
        [tuple(script) for script in scripts],
        first,
        np.array([at for times in due_s for at in times]),
        history_s=0.0,
        again_s=np.array([at for times in again_s for at in times]),
    )


def _step(flow: Flow, name: str, before: Sequence[Step]) -> Step:
    called = bool(before) and before[-1].name == f"{name} (api call)"
    try:
        return flow.step(name, answers=called)
    except KeyError:
        raise UsageError(
            f"the flow {flow.name} has no step {name!r} any more: replay the run with the version "
            "of the workbench that recorded it"
        ) from None


def _before(flow: Flow, name: str) -> list[Step]:
    """The straight way to a step: at least the greeting."""
    names = [step.name for step in flow.steps]
    base = name.partition(" (")[0]
    return list(flow.steps[: max(1, names.index(base) if base in names else 1)])
