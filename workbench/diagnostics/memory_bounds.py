"""Memory bounds: is there a cap, is it far enough from the limit, and is the server within it?"""

import numpy as np

from workbench.diagnostics.finding import Judgement, Remedy, fail, not_applicable, ok, rule, unknown
from workbench.diagnostics.limits import (
    AOF_BUFFER_BYTES_MAX,
    COW_SHARE_MAX,
    EXCEEDED_MS_PER_S_MAX,
    FULL_SHARE,
    LARGE_BYTES,
    TIME_TO_FULL_S_MIN,
)
from workbench.diagnostics.look import Look
from workbench.runs.run import Run
from workbench.units import format_bytes, format_duration, format_share

__all__ = [
    "MORE_MEMORY",
    "aof_buffer",
    "cap_near_limit",
    "cow_headroom",
    "no_maxmemory",
    "oom_killed",
    "over_cap",
    "time_to_full",
]

_FRAGMENTATION_UNSEEN = 1.1
_COW_UNSEEN_SHARE = 0.25
_FULL_SHARE = 0.8
_TREND_S_MIN = 30.0


MORE_MEMORY = Remedy(
    redis_conf="maxmemory higher than now, and at most 0.7 of the container's memory",
    compose="mem_limit at 1.45 × the new maxmemory, and --maxmemory higher than now",
    ecs="memory of the container at 1.45 × the new maxmemory, and --maxmemory higher than now",
)
"""Where more conversations have to fit; a directive would have to know how many."""


@rule(
    "no-maxmemory",
    title="Does the server have a memory cap?",
    severity="critical",
    needs=("snapshots",),
    why="without a cap the server grows until the kernel kills it, and every conversation waits "
    "until it has loaded again",
    remedy=Remedy(
        redis_conf="maxmemory at 0.7 of the container's memory, above what is used now; and a "
        "maxmemory-policy, since noeviction refuses writes there",
        compose="the same as flags, and mem_limit at 1.45 × maxmemory",
        ecs="the same as flags, and memory of the container at 1.45 × maxmemory",
    ),
    source="INFO maxmemory; Redis administration",
)
def no_maxmemory(run: Run) -> Judgement:
    """Fails when maxmemory is 0."""
    cap = Look(run).number("maxmemory")
    evidence = {"maxmemory": format_bytes(cap) if cap else "0, which is none"}
    if not cap:
        return fail(
            "the server has no maxmemory",
            evidence,
            "set one, at 0.7 of its container's memory or less",
        )
    return ok(f"the cap is {format_bytes(cap)}", evidence)


@rule(
    "cap-near-limit",
    title="Does the cap leave the container room for fragmentation and a rewrite?",
    severity="critical",
    needs=("snapshots",),
    holds_if_late=False,  # with less load there is less of it
    why="a server at its cap needs more than the cap: its container is killed in a rewrite, "
    "and all "
    "conversations wait until it has loaded again",
    remedy=Remedy(
        redis_conf="maxmemory at 0.7 of the container's memory or less",
        compose="mem_limit at 1.45 × maxmemory or more",
        ecs="0.70 instead of 0.95 in the formula of maxmemory, or memory of the container higher",
    ),
    source="INFO maxmemory, mem_fragmentation_ratio, aof_last_cow_size, mem_clients_normal, "
    "mem_aof_buffer against the container's limit; until a rewrite at 0.8 of the cap was seen, its "
    "copy is taken as 0.25 of the cap, and fragmentation under 64 MiB as 1.1",
)
def cap_near_limit(run: Run) -> Judgement:
    """Fails when cap, fragmentation, a rewrite's copy and buffers exceed the container's limit."""
    look = Look(run)
    cap = look.number("maxmemory")
    if not cap:
        return not_applicable("the server has no maxmemory: see no-maxmemory")
    limit = look.limit_bytes()
    used = look.number("used_memory")
    large = used >= LARGE_BYTES
    fragmentation = (
        max(1.0, look.number("mem_fragmentation_ratio")) if large else _FRAGMENTATION_UNSEEN
    )
    seen = max(float(shot.info.get("aof_last_cow_size") or 0) for shot in run.snapshots)
    # What a rewrite of a server that was not full copied says little of one at its cap.
    told = bool(seen) and used >= _FULL_SHARE * cap
    copied = (seen if told else max(seen, _COW_UNSEEN_SHARE * cap)) if look.persistent else 0.0
    buffers = max(float(shot.info.get("mem_clients_normal") or 0) for shot in run.snapshots)
    pending = float(look.last.info.get("mem_aof_buffer") or 0)
    needed = cap * fragmentation + copied + buffers + pending
    evidence = {
        "maxmemory": format_bytes(cap),
        "fragmentation": f"{fragmentation:.2f}" + ("" if large else ", assumed"),
        "copied by a rewrite": format_bytes(copied) + ("" if told else ", assumed"),
        "buffers of clients": format_bytes(buffers),
        "needed": format_bytes(needed),
        "limit": format_bytes(limit),
    }
    if needed > limit:
        return fail(
            f"a server at its cap of {format_bytes(cap)} needs {format_bytes(needed)}, and its "
            f"limit is {format_bytes(limit)}",
            evidence,
            f"lower maxmemory to {format_bytes(limit * cap / needed)} or less, or raise the limit",
        )
    return ok(
        f"a server at its cap of {format_bytes(cap)} needs {format_bytes(needed)} of "
        f"{format_bytes(limit)}",
        evidence,
    )


@rule(
    "cow-headroom",
    title="Did the latest rewrite leave memory to spare?",
    severity="warning",
    needs=("snapshots",),
    holds_if_late=False,  # with less load there is less of it
    why="the next rewrite meets a busier hour, copies more, and the container is killed",
    remedy=Remedy(
        redis_conf="maxmemory lower; BGREWRITEAOF by cron at a quiet hour",
        compose="mem_limit higher",
        ecs="memory of the container higher",
    ),
    source="INFO aof_last_cow_size against the limit less used_memory_rss; half is an assumption. "
    "current_cow_peak is not used: it stays 0 in rewrites of under a second",
)
def cow_headroom(run: Run) -> Judgement:
    """Fails when a rewrite's copy took over half the room between resident memory and limit."""
    look = Look(run)
    copied = look.number("aof_last_cow_size")
    if not copied:
        return not_applicable("the server has not rewritten its AOF yet")
    room = look.limit_bytes() - look.number("used_memory_rss")
    evidence = {"copied on write": format_bytes(copied), "room": format_bytes(max(0.0, room))}
    if copied > COW_SHARE_MAX * room:
        return fail(
            f"the latest rewrite copied {format_bytes(copied)}, and "
            f"{format_bytes(max(0.0, room))} are left to the limit",
            evidence,
            "lower maxmemory, or have rewrites in quiet hours",
        )
    return ok(
        f"the latest rewrite copied {format_bytes(copied)} of {format_bytes(room)} that are left",
        evidence,
    )


@rule(
    "oom-killed",
    title="Has the kernel killed nothing in the server's container?",
    severity="critical",
    needs=("snapshots",),
    why="a server that is killed writes no line of it to its log: conversations wait while "
    "it loads",
    remedy=Remedy(
        redis_conf="maxmemory lower",
        compose="mem_limit higher",
        ecs="memory of the container higher",
    ),
    source="oom_kill of memory.events (cgroup v2) or memory.oom_control (v1), since the container "
    "started; of one that was replaced docker inspect (OOMKilled) and ECS (exit code 137) tell",
)
def oom_killed(run: Run) -> Judgement:
    """Fails when the kernel killed a process in the server's cgroup for want of memory."""
    look = Look(run)
    if not str(look.host("memory_limit_source")).startswith("cgroup"):
        return not_applicable("no container limits the server's memory")
    kills = look.host("oom_kills")
    evidence = {"processes killed": str(kills)}
    if kills:
        return fail(
            f"the kernel killed {kills} processes in the server's container for want of memory",
            evidence,
            "lower maxmemory, or raise the limit: see cap-near-limit",
        )
    return ok("the kernel killed nothing since this container started", evidence)


@rule(
    "aof-buffer",
    title="Does the disk take the AOF as fast as it is written?",
    severity="warning",
    needs=("snapshots",),
    holds_if_late=False,  # with less load there is less of it
    why="what waits for the disk is memory that the cap does not count, and is lost in a crash",
    remedy=Remedy(
        redis_conf="none: a faster disk under dir; appendfsync everysec, not always",
        compose="a named volume on a local disk",
        ecs="an EBS volume of provisioned IOPS on EC2; not EFS",
    ),
    source="INFO mem_aof_buffer and aof_buffer_length; freeMemoryGetNotCountedMemory in Redis "
    "7.0.15, evict.c; 16 MiB is an assumption",
)
def aof_buffer(run: Run) -> Judgement:
    """Fails when 16 MiB or more of the AOF wait in memory."""
    look = Look(run)
    look.require_aof()
    waiting = max(look.number("mem_aof_buffer"), float(look.last.info.get("aof_buffer_length", 0)))
    evidence = {"waiting": format_bytes(waiting)}
    if waiting >= AOF_BUFFER_BYTES_MAX:
        return fail(
            f"{format_bytes(waiting)} of the AOF wait in memory for the disk",
            evidence,
            "a faster disk under dir, or fewer and smaller writes",
        )
    return ok(f"{format_bytes(waiting)} of the AOF wait in memory", evidence)


@rule(
    "over-cap",
    title="Does eviction keep the server within its cap?",
    severity="warning",
    needs=("snapshots",),
    holds_if_late=False,  # with less load there is less of it
    why="while eviction cannot keep pace every write waits for it, and memory grows past the cap",
    remedy=Remedy.directives("maxmemory-eviction-tenacity 20"),
    source="INFO current_eviction_exceeded_time and total_eviction_exceeded_time; 10 ms a "
    "second is "
    "an assumption",
)
def over_cap(run: Run) -> Judgement:
    """Fails when the server is over its cap, or was for over 10 ms in each second."""
    look = Look(run)
    if look.value("maxmemory_policy") == "noeviction":
        return not_applicable("nothing is evicted: see refuses-when-full")
    now_ms = look.number("current_eviction_exceeded_time")
    ms_per_s = look.rate("total_eviction_exceeded_time")
    evidence = {"over the cap now": f"{now_ms:.0f} ms", "in each second": f"{ms_per_s:.1f} ms"}
    if now_ms > 1000 or ms_per_s > EXCEEDED_MS_PER_S_MAX:
        return fail(
            "eviction does not keep pace with writes",
            evidence,
            "more memory; else more tenacity: 20 lets an eviction take 2 ms at a time",
        )
    return ok("eviction keeps pace with writes", evidence)


@rule(
    "time-to-full",
    title="Is the cap more than a day away?",
    severity="warning",
    needs=("snapshots",),
    why="when the cap is reached, the first conversations are evicted",
    remedy=MORE_MEMORY,
    source="the slopes of used_memory between samples (Theil and Sen), from the 10th to the 90th "
    "percentile; 24 h is an assumption",
)
def time_to_full(run: Run) -> Judgement:
    """Fails when used_memory reaches maxmemory within a day at the growth seen."""
    look = Look(run)
    look.only_sampled("the load is an experiment's, which is made to fill the cap")
    cap, used = look.number("maxmemory"), look.number("used_memory")
    if not cap:
        return not_applicable("the server has no maxmemory: see no-maxmemory")
    if used >= FULL_SHARE * cap:
        return not_applicable("the server is at its cap already: see evictions")
    samples = run.samples[["elapsed_s", "used_memory"]].dropna()
    if samples.empty or float(np.ptp(samples["elapsed_s"])) < _TREND_S_MIN:
        return unknown(
            "too short a time to see memory grow", "look for half a minute or more, by --for 60s"
        )
    low, middle, high = _slopes(samples.to_numpy())
    evidence = {
        "used": f"{format_bytes(used)} ({format_share(used / cap)} of the cap)",
        "growth": f"{middle:,.0f} B/s ({low:,.0f} to {high:,.0f})",
    }
    if low <= 0:
        return ok("memory does not grow for sure", evidence)
    left_s, soonest_s, latest_s = ((cap - used) / each for each in (middle, high, low))
    between = f"{format_duration(soonest_s)} to {format_duration(latest_s)}"
    evidence["full in"] = f"{format_duration(left_s)} ({between})"
    if left_s > (expiring_s := _first_expiries_s(look)) > 0:
        return unknown(
            "the server was started so lately that its first keys are still to expire: until then "
            "memory only grows",
            f"look again in {format_duration(expiring_s)}",
            evidence,
        )
    if left_s < TIME_TO_FULL_S_MIN:
        return fail(
            f"if it goes on like this the cap is reached in {format_duration(left_s)} ({between})",
            evidence,
            "raise the cap, or shorten the time to live, before the first conversation is evicted",
        )
    return ok(f"at this growth the cap is reached in {format_duration(left_s)}", evidence)


def _first_expiries_s(look: Look) -> float:
    """How long until keys of a server that began lately expire, s; 0 if it has run for longer."""
    uptime_s = float(look.last.info.get("uptime_in_seconds") or 0)
    # avg_ttl is what is left of the time to live: half of it where keys come evenly.
    left_s = max(
        (
            float(values.get("avg_ttl", 0)) / 1000
            for name, values in look.last.info.items()
            if name.startswith("db") and isinstance(values, dict) and values.get("expires")
        ),
        default=0.0,
    )
    return left_s if uptime_s < 4 * left_s else 0.0


def _slopes(points: np.ndarray) -> tuple[float, float, float]:
    """The 10th percentile, median and 90th of the slopes between points at least 5 apart."""
    some = points[:: max(1, len(points) // 200)]
    first, second = np.triu_indices(len(some), k=min(5, len(some) - 1))
    by_s = some[second, 0] - some[first, 0]
    slopes = (some[second, 1] - some[first, 1])[by_s > 0] / by_s[by_s > 0]
    low, middle, high = np.percentile(slopes, [10, 50, 90])
    return float(low), float(middle), float(high)
