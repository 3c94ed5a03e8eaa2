"""Turns failed: did the server refuse turns, or leave them without an answer?"""

from workbench.analysis.failure import FAILED, outcomes, sent
from workbench.diagnostics.finding import Judgement, Remedy, fail, ok, rule
from workbench.runs.run import Run
from workbench.units import format_count, format_share

__all__ = ["turns_failed"]

_SHARE_MAX = 0.001


@rule(
    "turns-failed",
    title="Was every turn carried out that was sent?",
    severity="critical",
    needs=("operations",),
    why="a turn that is refused or times out is a message without an answer",
    remedy=Remedy(
        redis_conf="timeout 0, maxclients above all pools together; see which outcome it was",
        compose="depends_on with condition: service_healthy",
        ecs="healthCheck on the Redis container and dependsOn: HEALTHY",
    ),
    source="outcomes of all turns; the limit is an assumption",
    holds_if_late=True,
)
def turns_failed(run: Run) -> Judgement:
    """Fails when more than one turn in a thousand was refused, timed out, or went wrong."""
    counts = outcomes(sent(run.turns))
    turns = sum(counts.values())
    failed = {name: counts[name] for name in FAILED if name in counts}
    evidence = {"turns sent": f"{turns:,}"}
    evidence |= {name: f"{count:,}" for name, count in failed.items()}
    total = sum(failed.values())
    if not total:
        return ok("no turn was refused, timed out or went wrong", evidence)
    share = format_share(total / turns)
    if total <= _SHARE_MAX * turns:
        return ok(f"{format_count(total, 'turn')} ({share}) failed", evidence)
    return fail(
        f"{share} of the turns failed",
        evidence,
        "see logs/locust.log and logs/redis.log: a full store that evicts nothing, a failed disk, "
        "or a server that does not answer",
    )
