"""Memory shape: what the server's memory is made of, besides conversations."""

from workbench.diagnostics.finding import Judgement, Remedy, fail, not_applicable, ok, rule
from workbench.diagnostics.limits import (
    CACHED_SCRIPTS_MAX,
    FRAGMENTATION_RATIO_MAX,
    LARGE_BYTES,
    OVERHEAD_SHARE_MAX,
)
from workbench.diagnostics.look import Look
from workbench.runs.run import Run
from workbench.units import MIB, format_bytes, format_share

__all__ = ["fragmentation", "impossible_memory", "memory_overhead", "memory_peak", "script_cache"]

_BYTES_MIN = 10 * MIB
_ALLOCATOR_RATIO_MAX = 1.1
_PEAK_RATIO_MAX = 1.5


@rule(
    "fragmentation",
    title="Is resident memory about what is used?",
    severity="warning",
    needs=("snapshots",),
    why="the container's limit counts resident memory: it is killed although the cap was kept",
    remedy=Remedy(
        redis_conf="activedefrag yes, where the build takes it; MEMORY PURGE and a restart "
        "where not",
        compose="restart the service in a quiet hour",
        ecs="a new deployment of the service, in a quiet hour",
    ),
    source="INFO mem_fragmentation_ratio and _bytes, allocator_frag_ratio and _bytes where the "
    "allocator is jemalloc; limits of MEMORY DOCTOR",
)
def fragmentation(run: Run) -> Judgement:
    """Fails when resident memory is over 1.4 of what is used, or the allocator wastes a tenth."""
    look = Look(run)
    if look.number("used_memory") < LARGE_BYTES:
        return not_applicable("under 64 MiB fragmentation says nothing")
    ratio, wasted = look.number("mem_fragmentation_ratio"), look.number("mem_fragmentation_bytes")
    evidence = {"resident ÷ used": f"{ratio:.2f} ({format_bytes(wasted)})"}
    of_allocator = ""
    if str(look.value("mem_allocator")).startswith("jemalloc"):
        within = look.number("allocator_frag_ratio")
        spread = look.number("allocator_frag_bytes")
        evidence["within the allocator"] = f"{within:.2f} ({format_bytes(spread)})"
        if within > _ALLOCATOR_RATIO_MAX and spread > _BYTES_MIN:
            of_allocator = f"the allocator holds {format_bytes(spread)} in half-used pages"
    if ratio > FRAGMENTATION_RATIO_MAX and wasted > _BYTES_MIN:
        return fail(
            f"the process holds {ratio:.2f} times the memory that it uses",
            evidence,
            "MEMORY PURGE first; activedefrag only where CONFIG SET takes it; else restart it",
        )
    if of_allocator:
        return fail(
            of_allocator, evidence, "a restart returns it; values of similar size prevent it"
        )
    return ok(f"the process holds {ratio:.2f} times the memory that it uses", evidence)


@rule(
    "memory-peak",
    title="Is the server near its highest memory?",
    severity="info",
    needs=("snapshots",),
    why="resident memory may stay at its peak: a container that is made smaller on what is used "
    "now is "
    "killed",
    remedy=Remedy(
        redis_conf="none: restart the server before its container is made smaller",
        compose="restart the service before a lower mem_limit",
        ecs="a new task before a lower memory",
    ),
    source="INFO used_memory_peak over used_memory; MEMORY DOCTOR",
)
def memory_peak(run: Run) -> Judgement:
    """Fails when 1.5 times as much memory was used once, and is still resident."""
    look = Look(run)
    peak, used = look.number("used_memory_peak"), look.number("used_memory")
    if peak < LARGE_BYTES:
        return not_applicable("it never used 64 MiB")
    resident = look.number("used_memory_rss")
    evidence = {
        "at most": format_bytes(peak),
        "now": format_bytes(used),
        "resident": format_bytes(resident),
    }
    if peak > _PEAK_RATIO_MAX * used and resident > _PEAK_RATIO_MAX * used:
        return fail(
            f"{format_bytes(peak)} were used once, {format_bytes(used)} are now, and "
            f"{format_bytes(resident)} are resident",
            evidence,
            "restart it before its container is made smaller",
        )
    return ok("it uses about as much as it ever did", evidence)


@rule(
    "memory-overhead",
    title="Is the memory mostly conversations?",
    severity="warning",
    needs=("snapshots",),
    why="memory that is tables and buffers holds no conversation",
    remedy=Remedy(
        redis_conf="none: fewer and larger keys; maxmemory-clients 5% if it is clients that "
        "take it",
        compose="as in redis.conf",
        ecs="as in redis.conf",
    ),
    source="INFO used_memory_overhead over used_memory; 0.4 is an assumption",
)
def memory_overhead(run: Run) -> Judgement:
    """Fails when over 0.4 of 64 MiB or more is no data."""
    look = Look(run)
    used, overhead = look.number("used_memory"), look.number("used_memory_overhead")
    if used < LARGE_BYTES:
        return not_applicable("under 64 MiB a server's own memory weighs most")
    if overhead > used:
        return not_applicable("what the server says of it is impossible: see impossible-memory")
    share = overhead / used
    evidence = {"no data": f"{format_bytes(overhead)} ({format_share(share)})"}
    if share > OVERHEAD_SHARE_MAX:
        return fail(
            f"{format_share(share)} of the memory are tables and buffers",
            evidence,
            "fewer and larger keys; fewer clients, and limits on their buffers",
        )
    return ok(f"{format_share(share)} of the memory are tables and buffers", evidence)


@rule(
    "impossible-memory",
    title="Can what the server says of its memory be true?",
    severity="info",
    needs=("snapshots",),
    why="a chart or an alert on a figure that cannot be true misleads",
    remedy=Remedy(
        redis_conf="none: do not chart used_memory_overhead or used_memory_dataset of this server",
        compose="none",
        ecs="none",
    ),
    source="INFO used_memory_overhead and used_memory_dataset_perc; Valkey 9.1.2 was seen to count "
    "what clients share once for each",
)
def impossible_memory(run: Run) -> Judgement:
    """Fails when more memory is overhead than is used, or over 100 % of it is data."""
    look = Look(run)
    used, overhead = look.number("used_memory"), look.number("used_memory_overhead")
    percent = float(str(look.value("used_memory_dataset_perc")).rstrip("%"))
    evidence = {
        "used": format_bytes(used),
        "overhead": format_bytes(overhead),
        "used_memory_dataset_perc": f"{percent:.2f} %",
    }
    if overhead > used or not 0 <= percent <= 100.5:
        return fail(
            "the server says that more memory is overhead than it uses",
            evidence,
            "leave these fields out; used_memory itself is right",
        )
    return ok("overhead and data add up", evidence)


@rule(
    "script-cache",
    title="Are scripts few, and used again?",
    severity="warning",
    needs=("snapshots",),
    why="each text of a script that differs is kept for good, in memory of conversations",
    remedy=Remedy(
        redis_conf="none: SCRIPT FLUSH once; send values as KEYS and ARGV, or use a Function",
        compose="as in redis.conf",
        ecs="as in redis.conf",
    ),
    source="INFO number_of_cached_scripts and used_memory_vm_total; MEMORY DOCTOR",
)
def script_cache(run: Run) -> Judgement:
    """Fails when over 1,000 scripts are cached."""
    look = Look(run)
    cached = int(look.number("number_of_cached_scripts"))
    evidence = {
        "cached scripts": f"{cached:,}",
        "memory of scripts": format_bytes(look.number("used_memory_vm_total")),
    }
    if cached > CACHED_SCRIPTS_MAX:
        return fail(
            f"{cached:,} scripts are cached: texts are put together for each call",
            evidence,
            "one script with KEYS and ARGV, or a Function",
        )
    return ok(f"{cached:,} scripts are cached", evidence)
