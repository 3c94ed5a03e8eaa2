"""
What if: the turns of a run on a server of another size, policy or time to live, by simulation.

The run says when turns came and how long what they wrote was; its samples say what the server takes
besides keys. What becomes of the turns is simulated, and beside the run's own settings stands what
was measured.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pandas as pd

from workbench.analysis.accesses import Accesses, accesses_of
from workbench.analysis.key_sizes import KeySizes
from workbench.analysis.loss import Loss, loss
from workbench.analysis.simulator import EXACT_LRU, Outcome, Settings, simulate
from workbench.errors import RunError, UsageError
from workbench.flows.model import Caller
from workbench.runs.run import Run
from workbench.units import MIB, format_bytes

__all__ = ["LADDER", "Point", "WhatIf", "fixed_part", "what_if"]

LADDER: Final = (0.5, 0.65, 0.8, 0.9, 1.0, 1.15, 1.35, 1.6, 2.0, 3.0)
"""Sizes that are asked about if none is given, of the run's own ``maxmemory``."""

_NAME_BYTES: Final = len(f"channel:{Caller.identifier_of(0)}")
_DRAWS_MOST: Final = 5
_ACCESSES_A_POINT: Final = 200_000
_SAMPLES_LEAST: Final = 8
_SPREAD_LEAST: Final = 2.0
_SCALES: Final = (0.8, 1.25)
_VERSIONS: Final = {"redis": "7.0", "valkey": "9.1"}
"""Of which it is known to the byte how they lay keys out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """
    What would become of the run's turns under some settings.

    Attributes:
        maxmemory_bytes, policy, samples, ttl_s, renewal: the settings; ``ttl_s`` is the run's if it
            was not asked for.
        evicted_share, expired_share: of the turns that needed a state, those that would find it
            gone, by cause.
        refused_share: of all turns, those whose write would be refused.
        keys: that would be there, by the median since the first eviction; else at the end.
        exact_share: evicted by a server that always evicts the least recently used key.
        own: these are the run's own settings.
    """

    maxmemory_bytes: int
    policy: str
    samples: int
    ttl_s: float
    renewal: str
    evicted_share: float
    expired_share: float
    refused_share: float
    keys: int
    exact_share: float
    own: bool

    @property
    def settings(self) -> tuple[str, int, float, str]:
        """All of them but the size, by which points are one curve."""
        return self.policy, self.samples, self.ttl_s, self.renewal


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatIf:
    """
    A run, ready to be asked.

    Attributes:
        accesses: of the run.
        settings: of its server; the capacity is what keys had there.
        maxmemory_bytes: the cap that its server had.
        fixed_bytes: what counted for eviction on it besides keys and their tables.
        ttl_s: time to live of a write.
        measured: what became of the turns there.
        calibrated: for people: how the sizes of keys were come by.
        cautions: for people: what of the run the simulation leaves out.
    """

    accesses: Accesses
    settings: Settings
    maxmemory_bytes: int
    fixed_bytes: float
    ttl_s: float
    measured: Loss
    calibrated: str
    cautions: Sequence[str] = ()

    @property
    def sizes_bytes(self) -> tuple[int, ...]:
        """A ladder of sizes round the run's own, in steps of a MiB or a hundredth of it."""
        step = MIB if self.maxmemory_bytes >= 32 * MIB else MIB // 16
        rounded = {
            max(step, round(factor * self.maxmemory_bytes / step) * step) for factor in LADDER
        }
        least = 1.1 * self.fixed_bytes
        return tuple(sorted(size for size in rounded | {self.maxmemory_bytes} if size >= least))

    def with_settings(self, maxmemory_bytes: int, **changes: Any) -> Settings:
        """
        The run's settings with another size, and with what else is not None.

        Raises:
            UsageError: nothing is left for keys, or a setting makes no sense.
        """
        capacity_bytes = maxmemory_bytes - self.fixed_bytes
        if capacity_bytes <= 0:
            raise UsageError(
                f"in {format_bytes(maxmemory_bytes)} there is no room for any key: the server of "
                f"the run takes {format_bytes(self.fixed_bytes)} without one; name a larger "
                "--maxmemory"
            )
        given = {name: value for name, value in changes.items() if value is not None}
        return replace(self.settings, capacity_bytes=capacity_bytes, **given)

    def point(
        self,
        maxmemory_bytes: int,
        *,
        policy: str | None = None,
        samples: int | None = None,
        ttl_s: float | None = None,
        renewal: str | None = None,
        seed: int = 0,
    ) -> Point:
        """
        What would become of the turns.

        A short run is simulated several times, since the server draws at random; the shares are
        the mean.

        Args:
            maxmemory_bytes: the cap.
            policy: of eviction; the run's own if None, as for what follows.
            samples: keys that are drawn for an eviction.
            ttl_s: time to live of every write.
            renewal: from when it runs; from the write if None.
            seed: of what the server draws.
        """
        settings = self.with_settings(
            maxmemory_bytes, policy=policy, samples=samples, ttl_s=ttl_s, renewal=renewal
        )
        draws = max(1, min(_DRAWS_MOST, _ACCESSES_A_POINT // max(1, len(self.accesses))))
        outcomes = [
            simulate(self.accesses, settings, seed=seed + 1000 * draw) for draw in range(draws)
        ]
        exact = simulate(self.accesses, replace(settings, policy=EXACT_LRU), seed=seed)
        return Point(
            maxmemory_bytes=maxmemory_bytes,
            policy=settings.policy,
            samples=settings.samples,
            ttl_s=self.ttl_s if settings.ttl_s is None else settings.ttl_s,
            renewal=settings.renewal,
            evicted_share=_mean(each.evicted_share for each in outcomes),
            expired_share=_mean(each.expired_share for each in outcomes),
            refused_share=_mean(each.refused_share for each in outcomes),
            keys=round(_mean(_keys(each) for each in outcomes)),
            exact_share=exact.evicted_share,
            own=replace(settings, ttl_s=None) == self.settings
            and settings.ttl_s in {None, self.ttl_s},
        )


def what_if(run: Run) -> WhatIf:
    """
    A run, ready to be asked.

    Raises:
        RunError: it has no turns, no cap, or its turns were on several servers.
        UsageError: how its server lays keys out is not known.
    """
    experiment, server = run.manifest.experiment, run.manifest.server
    if not run.loaded or not len(run.turns):
        raise RunError(
            f"{run.name} has no turns of the workbench's load, from which it would be known when "
            "conversations were asked for; make a run with: workbench run"
        )
    if int(experiment.get("tasks", 1)) > 1:
        raise RunError(
            f"the turns of {run.name} went to {experiment['tasks']} servers by turns, and one is "
            "simulated: name a run of one server"
        )
    maxmemory_bytes = _maxmemory(run)
    accesses = accesses_of(
        run.turns,
        run.key_rows,
        start_unix_s=run.start_unix_s,
        measured_s=run.measured_s,
        touches=_touches(run),
    )
    config: Mapping[str, str] = server.get("config") or {}
    info = _info(run)
    engine = str(server.get("engine") or info.get("server_name") or "redis")
    sizes = KeySizes.of(
        engine,
        str(server.get("allocator") or info.get("mem_allocator") or "jemalloc"),
        _NAME_BYTES,
        preload=str(server.get("preload", "")),
    )
    settings = Settings(
        sizes=sizes,
        policy=config.get("maxmemory-policy", "allkeys-lru"),
        samples=int(config.get("maxmemory-samples", 5)),
        lfu_log_factor=int(config.get("lfu-log-factor", 10)),
        lfu_decay_min=int(config.get("lfu-decay-time", 1)),
    )
    fixed_bytes, scale, calibrated = fixed_part(
        run.samples, accesses, settings, maxmemory_bytes, empty_bytes=_empty_bytes(run)
    )
    return WhatIf(
        accesses=accesses,
        settings=replace(
            settings,
            sizes=sizes.scaled(scale),
            capacity_bytes=max(1.0, maxmemory_bytes - fixed_bytes),
        ),
        maxmemory_bytes=maxmemory_bytes,
        fixed_bytes=fixed_bytes,
        ttl_s=float(np.median(accesses.ttl_s)),
        measured=loss(run.measured_turns),
        calibrated=calibrated,
        cautions=_cautions(run, engine, str(server.get("version") or _version(info))),
    )


def fixed_part(
    samples: pd.DataFrame,
    accesses: Accesses,
    settings: Settings,
    maxmemory_bytes: int,
    *,
    empty_bytes: float,
) -> tuple[float, float, str]:
    """
    What the server takes besides keys, and whether keys cost what they should.

    At each sample, keys are taken to cost what those of a simulation cost at that time, one with
    another. What is left of what counts for eviction is the fixed part. Where the number of keys
    changes enough to tell, the slope says what keys cost in truth, of what they should; and where
    less is left than an empty server takes, the empty server says it.

    Args:
        samples: columns ``unix_s``, ``keys``, ``used_memory``, ``mem_not_counted_for_evict``.
        accesses: of the run.
        settings: of its server; the capacity is not needed.
        maxmemory_bytes: its cap.
        empty_bytes: what counted for eviction when it had no keys.

    Returns:
        the fixed part, B; by what the cost of keys is multiplied; both in words.

    Raises:
        RunError: no sample tells of keys while the load went on.
    """
    at_s = samples["unix_s"].to_numpy(dtype=float) - accesses.origin_unix_s
    lasted_s = float(accesses.at_s[-1])
    kept = samples[(at_s > 0) & (at_s <= lasted_s) & (samples["keys"] > 0)]
    used = kept["used_memory"] - kept["mem_not_counted_for_evict"].fillna(0)
    kept = kept[used.notna()]
    if kept.empty:
        raise RunError(
            "no sample of the run tells of the server's memory while it was loaded, so that it is "
            "not known what it takes besides keys"
        )
    look_at_s = kept["unix_s"].to_numpy(dtype=float) - accesses.origin_unix_s
    guess = 0.9 * maxmemory_bytes
    seen = simulate(accesses, replace(settings, capacity_bytes=guess), look_at_s=look_at_s).used_at
    by_key = np.array([used_bytes / max(1, keys) for _, keys, used_bytes in seen])
    keys = kept["keys"].to_numpy(dtype=float)[: len(by_key)]
    counted = used.loc[kept.index].to_numpy(dtype=float)[: len(by_key)]
    if not len(by_key):
        raise RunError("no sample of the run lies between its first turn and its last")
    model = by_key * keys
    scale, how = 1.0, "keys cost what they are known to on this engine and allocator"
    if len(keys) >= _SAMPLES_LEAST and keys.max() >= _SPREAD_LEAST * keys.min():
        slope = float(np.polyfit(model, counted, 1)[0])
        if _SCALES[0] <= slope <= _SCALES[1]:
            scale = slope
            how = f"by {len(keys):,} samples keys cost {slope:.3f} of what is expected"
    late = keys >= np.median(keys)
    fixed_bytes = float(np.median((counted - scale * model)[late]))
    if fixed_bytes < empty_bytes:
        fixed_bytes = empty_bytes
        scale = float(np.median(((counted - fixed_bytes) / model)[late]))
        how = f"by the server without keys, keys cost {scale:.3f} of what is expected"
    return fixed_bytes, scale, f"{how}; {format_bytes(fixed_bytes)} go to all else"


def _empty_bytes(run: Run) -> float:
    """What counted for eviction on the server without keys, as far as the run tells."""
    samples = run.samples
    empty = samples[samples["keys"] == 0]
    used = (empty["used_memory"] - empty["mem_not_counted_for_evict"].fillna(0)).dropna()
    if len(used):
        return float(used.min())
    return float(_info(run).get("used_memory_startup") or 0)


def _maxmemory(run: Run) -> int:
    caps = run.samples["maxmemory"].dropna() if not run.samples.empty else pd.Series(dtype=float)
    cap = int(caps.iloc[-1]) if len(caps) else 0
    if cap <= 0:
        raise RunError(
            f"the server of {run.name} had no maxmemory: nothing is evicted there, and there is no "
            "measured point to begin from"
        )
    return cap


def _touches(run: Run) -> int:
    """How often a turn touches its conversation: by the server's count of reads that found it."""
    samples = run.samples.dropna(subset=["keyspace_hits"])
    if len(samples) < 2:
        return 3
    within = samples[samples["elapsed_s"].between(0, run.measured_s)]["keyspace_hits"]
    hits = float(within.iloc[-1] - within.iloc[0]) if len(within) else 0.0
    found = run.measured_turns.ask(
        "select count(*) as count from rows where operation = 'update' and outcome = 'ok'"
    )
    turns = int(found["count"].iloc[0])
    return 1 + max(1, round(hits / turns)) if turns and hits > 0 else 3


def _info(run: Run) -> Mapping[str, Any]:
    """What INFO said of the server at the start; empty if it was not asked."""
    return next((each.info for each in run.snapshots), {})


def _version(info: Mapping[str, Any]) -> str:
    return str(info.get("valkey_version") or info.get("redis_version") or "")


def _cautions(run: Run, engine: str, version: str) -> tuple[str, ...]:
    counted = run.measured_turns.ask(
        "select count(*) filter (outcome = 'restarted') as restarted, "
        "count(*) filter (outcome in ('timeout', 'error', 'unsent')) as unanswered from rows"
    )
    (row,) = counted.to_dict("records")
    found = []
    if version and not version.startswith(_VERSIONS[engine]):
        found.append(
            f"its server was {engine.capitalize()} {version}, and keys are laid out as in "
            f"{engine.capitalize()} {_VERSIONS[engine]}; the samples correct what they cost"
        )
    if run.manifest.experiment.get("closed_loop"):
        found.append(
            "the load was a closed loop: its turns came when this server had answered, and another "
            "would have had others"
        )
    if row["restarted"]:
        found.append(f"the server was restarted, which cost {row['restarted']:,} turns their state")
    if row["unanswered"]:
        found.append(f"{row['unanswered']:,} turns without an answer are left out")
    return tuple(found)


def _keys(outcome: Outcome) -> float:
    return outcome.keys if math.isnan(outcome.keys_p50) else outcome.keys_p50


def _mean(values: Iterable[float]) -> float:
    return float(np.mean([*values]))
