"""Evicted early: what does the ledger say of the time that evicted conversations had left?"""

from workbench.analysis.ledger import ledger, reconciliation, traced
from workbench.diagnostics.finding import Judgement, Remedy, fail, not_applicable, ok, rule, unknown
from workbench.runs.run import Run
from workbench.units import format_count, format_duration, format_share

__all__ = ["evicted_early"]

_EARLY_SHARE_MAX = 0.01


@rule(
    "evicted-early",
    title="Were evicted conversations over?",
    severity="critical",
    needs=("samples",),
    why="a conversation that is evicted with time left is one that somebody may still come back to",
    remedy=Remedy(
        redis_conf="maxmemory higher than now, and at most 0.7 of the container's memory; or a "
        "shorter time to live in the service",
        compose="mem_limit at 1.45 × the new maxmemory, and --maxmemory higher than now",
        ecs="memory of the container at 1.45 × the new maxmemory, and --maxmemory higher than now",
    ),
    source="keyspace events of each evicted key, with the time that its last write gave it, as the "
    "generator knows it; 1 % is an assumption",
    # What was evicted was evicted, whenever it was written.
    holds_if_late=True,
)
def evicted_early(run: Run) -> Judgement:
    """Fails when over 1 % of the keys that the ledger saw evicted had time to live left."""
    if not run.manifest.experiment.get("ledger"):
        return not_applicable("the run kept no ledger of evictions: workbench run --ledger")
    seen = reconciliation(run.eviction_windows)
    found = ledger(traced(run.eviction_rows, run.turns, run.key_rows))
    evidence = {
        "evicted": f"{found.evicted:,}",
        "of these with time left": f"{found.before_ttl:,} of {found.known:,} known",
        "conversations that were live": f"{found.live:,}",
        "complete windows": f"{seen.complete:,} of {seen.windows:,}",
    }
    if not seen.windows:
        return unknown("the ledger has no window", "run it again, to its end", evidence)
    if found.ttl_left_s:
        evidence["time left, median"] = format_duration(found.ttl_left_s["p50"])
    if not found.evicted and seen.complete == seen.windows:
        return ok("the ledger saw nothing evicted", evidence)
    share = found.before_ttl_share
    if share is None:
        return unknown(
            "of no evicted key the last write is known",
            "only the workbench's own load tells it: workbench run --ledger",
            evidence,
        )
    if share > _EARLY_SHARE_MAX:
        return fail(
            f"{format_share(share)} of {format_count(found.known, 'evicted key')} had time to live "
            "left",
            evidence,
            "raise maxmemory, or cut the time to live to what people need",
        )
    return ok(f"{format_share(share)} of the evicted keys had time to live left", evidence)
