"""Runs of which it is known how their turns were drawn: each second is like the one before it."""

from types import SimpleNamespace

import numpy as np
import pandas as pd

from tests.frames import events, samples
from workbench.runs.manifest import Manifest
from workbench.runs.rows import Rows

__all__ = ["simulated"]


def simulated(
    seed,
    *,
    seconds=120,
    per_s=50,
    alike=0.7,
    spread=0.25,
    times=1.0,
    lost=0.1,
    failed=0.0,
    drawn_by=1,
    **said,
):
    """
    A run whose response follows a level that wanders from second to second.

    Args:
        seed: of the drawing, and the run's name.
        seconds: length of the measured phase, s.
        per_s: turns a second.
        alike: correlation of one second's level with the next one's.
        spread: of the level, as a logarithm.
        times: by which all responses are multiplied.
        lost: share of the turns that lose their state, in a second of the middle level.
        failed: share of the turns that are refused.
        drawn_by: seed of the load, in the manifest.
        said: of the manifest, what differs.
    """
    random = np.random.default_rng(seed)
    steps = random.normal(size=seconds) * spread
    level = np.empty(seconds)
    level[0] = steps[0]
    for second in range(1, seconds):
        level[second] = alike * level[second - 1] + np.sqrt(1 - alike**2) * steps[second]
    at_s = np.sort(random.uniform(0, seconds, seconds * per_s))
    its = level[at_s.astype(int)]
    response_us = 1000 * times * np.exp(its + 0.4 * random.normal(size=len(at_s)))
    loses = random.uniform(size=len(at_s)) < 1 / (1 + (1 - lost) / lost * np.exp(-2 * its))
    outcome = np.where(loses, "evicted", "ok")
    outcome[random.uniform(size=len(at_s)) < failed] = "refused"
    frame = pd.DataFrame(
        {
            "elapsed_s": at_s,
            "response_us": response_us,
            "service_us": 0.9 * response_us,
            "operation": "update",
            "outcome": outcome,
            "conversation": np.arange(len(at_s)),
            "turn": 1,
            "delivery": 0,
        }
    )
    known = {
        "status": "complete",
        "experiment": {"name": "simulated"},
        "seed": drawn_by,
        "host": {"cores": 2},
        "server": {"engine": "redis", "version": "7.0.15", "config": {"hz": "10"}},
        **said,
    }
    return SimpleNamespace(
        name=str(seed),
        where=f"/runs/{seed}",
        measured_turns=Rows(frame),
        measured_s=float(seconds),
        samples=samples([]),
        events=events([]),
        manifest=Manifest(run_id=str(seed), **{"started_unix_s": 1_700_000_000.0 + seed, **known}),
        is_example=False,
        latency_since="from the intended start",
        frame=frame,
    )
