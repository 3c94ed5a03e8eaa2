"""Memory headroom: does the server, its fragmentation and a rewrite's copy fit the limit?"""

from workbench.analysis.persistence import MemoryNeed, memory_need
from workbench.diagnostics.finding import Judgement, Remedy, fail, ok, rule, unknown
from workbench.runs.run import Run
from workbench.units import MIB, format_bytes

__all__ = ["memory_headroom"]

_SCALABLE_BYTES = 64 * MIB
_FILLED_SHARE = 0.95


@rule(
    "memory-headroom",
    title="Does the server fit its memory limit while it rewrites the AOF?",
    severity="critical",
    needs=("samples",),
    why="when a rewrite needs more than the limit the kernel kills the server, and every "
    "conversation waits for it to load",
    remedy=Remedy(
        redis_conf="maxmemory at 0.7 of the limit or less",
        compose="mem_limit at 1.45 × maxmemory or more",
        ecs="memory of the container at 1.45 × maxmemory or more",
    ),
    source="INFO used_memory_rss and aof_last_cow_size against the cgroup's or the host's limit",
)
def memory_headroom(run: Run) -> Judgement:
    """Fails when resident memory plus the copy seen in a rewrite exceed the memory limit."""
    need = memory_need(run.events, run.samples)
    if need is None:
        return unknown(
            "the server has no maxmemory",
            "set one; without it the server grows until the kernel kills it",
        )
    ours = run.host_seen or run.manifest.host.get("memory_limit_source") == "given"
    limit_bytes = run.manifest.host.get("memory_limit_bytes") if ours else None
    evidence = {
        "maxmemory": format_bytes(need.maxmemory_bytes),
        "highest resident memory": format_bytes(need.rss_bytes),
        **_swapped(need),
        "copied on write by a rewrite": format_bytes(need.cow_bytes)
        if need.rewrites
        else "not seen in this run",
        "needed": format_bytes(need.needed_bytes),
    }
    if not need.rewrites:
        return unknown(
            "no AOF rewrite was finished under the measured load, so its copy was not seen",
            "lengthen the run until the AOF has doubled",
            evidence,
        )
    if run.samples["used_memory"].max() < _FILLED_SHARE * need.maxmemory_bytes:
        return unknown(
            "the cap was not filled, so what a full server needs was not seen",
            "lengthen the run or lower the cap",
            evidence,
        )
    if not ours:
        return unknown(
            "the server's host is not this one, and may have a memory limit of its own",
            "compare what it needed with the limit of its container",
            evidence,
        )
    if not limit_bytes:
        return unknown(
            "the host shows no memory limit",
            "run it where the limit can be read: Linux, cgroup v1 or v2",
            evidence,
        )
    source = run.manifest.host.get("memory_limit_source", "limit")
    evidence["limit"] = f"{format_bytes(limit_bytes)} ({source})"
    safe = format_bytes(limit_bytes / need.needed_ratio)
    if need.needed_bytes > limit_bytes:
        return fail(
            f"the server needed {format_bytes(need.needed_bytes)} of {format_bytes(limit_bytes)}",
            evidence,
            f"lower maxmemory to {safe} or less, or raise the limit: the kernel kills it otherwise",
        )
    return ok(
        f"with a cap of {format_bytes(need.maxmemory_bytes)} the server needed "
        f"{format_bytes(need.needed_bytes)}, and {format_bytes(limit_bytes)} are available",
        evidence,
        _advice(need),
    )


def _swapped(need: MemoryNeed) -> dict[str, str]:
    if need.held_bytes == need.rss_bytes:
        return {}
    return {"used, though not all of it was resident": format_bytes(need.held_bytes)}


def _advice(need: MemoryNeed) -> str:
    if need.maxmemory_bytes < _SCALABLE_BYTES:
        return (
            "do not scale this up: a server's own 10 MiB weigh most at so small a cap; run it at "
            f"{format_bytes(_SCALABLE_BYTES)} or more to learn what share a container must leave"
        )
    return (
        f"give a container of its own {need.needed_ratio:.2f} × maxmemory or more at this rate of "
        "writes"
    )
