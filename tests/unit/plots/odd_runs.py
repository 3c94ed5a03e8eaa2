"""Runs that are hard to draw: flat, empty, huge, long, crowded; each is a run directory."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.frames import make_run, snapshot
from workbench.runs.run import Run

__all__ = ["ODD"]

MIB = 1024**2
GIB = 1024 * MIB
LONG = "a_flow_whose_name_is_far_longer_than_anybody_would_want_it_to_be_on_a_chart"
REWRITE = {"kind": "aof_rewrite", "label": "ok"}


def _at(lasts_s: float, count: int) -> list[float]:
    return [lasts_s * n / count for n in range(count)]


def flat(path: Path) -> Run:
    """Every line ends where every other does, at the cap, with rewrites and faults all along."""
    seen = [
        {
            "elapsed_s": at,
            "used_memory": 5 * MIB,
            "used_memory_rss": 5 * MIB,
            "aof_base_size": MIB,
            "aof_current_size": MIB,
            "aof_last_cow_size": 5 * MIB,
            "evicted_keys": 10 * n,
        }
        for n, at in enumerate(_at(10, 50))
    ]
    turns = [{"elapsed_s": at, "queue_us": 0.0} for at in _at(10, 2500)]
    acts = [
        {"elapsed_s": at, "duration_s": 0.4, "kind": "fault", "label": f"squeeze memory {at:.0f}"}
        for at in _at(10, 14)
    ]
    acts += [{"elapsed_s": at, "duration_s": 0.3, **REWRITE} for at in _at(10, 20)]
    return make_run(path, status="interrupted", samples=seen, operations=turns, events=acts)


def nothing(path: Path) -> Run:
    """All is 0."""
    fields = ("used_memory", "used_memory_rss", "maxmemory", "aof_base_size", "aof_current_size")
    more = ("used_memory_dataset", "used_memory_overhead", "mem_clients_normal")
    seen = [{"elapsed_s": at, **dict.fromkeys((*fields, *more), 0)} for at in _at(10, 20)]
    clocks = dict.fromkeys(("response_us", "queue_us", "lag_us", "service_us", "age_s"), 0.0)
    return make_run(
        path,
        samples=seen,
        operations=[{"elapsed_s": at, **clocks} for at in _at(10, 2500)],
        keys=[{"elapsed_s": 11.0, "age_s": 0.0}] * 30,
    )


def one_of_each(path: Path) -> Run:
    """One sample, one turn, one key, one rewrite that still went on."""
    return make_run(
        path,
        samples=[{"elapsed_s": 1.0, "evicted_keys": 1}],
        operations=[{"elapsed_s": 1.0, "outcome": "evicted"}],
        keys=[{"elapsed_s": 11.0, "state": "evicted"}],
        evictions=[{"elapsed_s": 1.0}],
        events=[{"elapsed_s": 0.5, "duration_s": 9.5, "kind": "aof_rewrite", "label": "open"}],
    )


def untold(path: Path) -> Run:
    """A server that tells nothing but how much it uses, and turns that know nothing of before."""
    none = dict.fromkeys(
        (
            *("aof_base_size", "aof_current_size", "aof_last_cow_size", "aof_enabled"),
            *("used_memory_rss", "used_memory_overhead", "used_memory_dataset"),
            *("mem_clients_normal", "evicted_keys", "latest_fork_usec", "aof_rewrite_in_progress"),
        )
    )
    return make_run(
        path,
        samples=[{"elapsed_s": at, **none} for at in _at(10, 20)],
        operations=[{"elapsed_s": at, "age_s": None} for at in _at(10, 300)],
        evictions=[{"elapsed_s": 1.0, "conversation": None}] * 9,
    )


def ten_hours(path: Path) -> Run:
    """With a rewrite every ten minutes, and waits from a microsecond to an hour."""
    lasts_s = 36_000.0
    waits_us = 10 ** np.random.default_rng(3).uniform(0, 9.5, 3000)
    seen = [
        {
            "elapsed_s": at,
            "used_memory": int(90 * GIB + 10 * GIB * (n % 9)),
            "used_memory_rss": 150 * GIB,
            "used_memory_dataset": 80 * GIB,
            "used_memory_overhead": 20 * GIB,
            "maxmemory": 170 * GIB,
            "evicted_keys": 10**9 * n,
            "aof_base_size": 100 * GIB + 7 * (n // 5),
            "aof_current_size": 100 * GIB + 20 * GIB * (n % 5),
            "aof_last_cow_size": 99 * GIB,
        }
        for n, at in enumerate(_at(lasts_s, 300))
    ]
    turns = [
        {
            "elapsed_s": at,
            "response_us": wait,
            "service_us": wait,
            "age_s": float(at % 9000),
            "ttl_s": 86_400.0,
            "outcome": "ok" if n % 3 else "evicted",
            "conversation": n,
        }
        for n, (at, wait) in enumerate(zip(_at(lasts_s, 3000), waits_us, strict=True))
    ]
    acts = [{"elapsed_s": at, "duration_s": 90.0, **REWRITE} for at in _at(lasts_s, 60)]
    host = {"memory_limit_bytes": 260 * GIB, "memory_limit_source": "cgroup v2"}
    looks = [snapshot(0.0, info={"used_memory_startup": 900_000})]
    return make_run(
        path,
        measured_s=lasts_s,
        samples=seen,
        operations=turns,
        events=acts,
        host=host,
        snapshots=looks,
    )


def long_names(path: Path) -> Run:
    """Twelve workers, thirty steps with long names, a limit at the cap, a forecast at the edge."""
    turns = [
        {
            "elapsed_s": at,
            "flow": f"{LONG}_{n % 3}",
            "step": f"and_so_is_its_step_{n % 30}",
            "turn": n % 30,
            "worker": n % 12,
            "response_us": 1000.0 + n % 30,
        }
        for n, at in enumerate(_at(10, 6000))
    ]
    seen = [
        {
            "elapsed_s": at,
            "aof_base_size": 40 * MIB,
            "aof_current_size": 40 * MIB + n * MIB,
            "used_memory_rss": 5 * MIB,
            "used_memory": 5 * MIB,
        }
        for n, at in enumerate(_at(10, 38))
    ]
    return make_run(
        path / LONG,
        samples=seen,
        operations=turns,
        events=[{"elapsed_s": 5.0, "duration_s": 9.0, "kind": "fault", "label": LONG}],
        host={"memory_limit_bytes": 5 * MIB, "memory_limit_source": "cgroup v2"},
        snapshots=[snapshot(0.0)],
        status="failed",
    )


ODD: dict[str, Callable[[Path], Run]] = {
    "flat": flat,
    "nothing": nothing,
    "one of each": one_of_each,
    "untold": untold,
    "ten hours": ten_hours,
    "long names": long_names,
}
"""By name."""
