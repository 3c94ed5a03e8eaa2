"""Loss explained: do the turns without state agree with what the server says it evicted?"""

from workbench.analysis.loss import loss
from workbench.analysis.windows import growth
from workbench.diagnostics.finding import Judgement, fail, ok, rule, unknown
from workbench.runs.run import Run
from workbench.units import format_count

__all__ = ["loss_explained"]


@rule(
    "loss-explained",
    title="Is every turn without state explained?",
    severity="critical",
    needs=("operations", "samples"),
    source="INFO evicted_keys and run_id against the outcomes of all turns",
    holds_if_late=True,
)
def loss_explained(run: Run) -> Judgement:
    """Fails when more turns found their state gone before its time than the server evicted."""
    lost = loss(run.operations)
    evicted_keys = growth(run.samples, "evicted_keys")
    if evicted_keys is None or run.samples["run_id"].nunique() > 1:
        return unknown(
            "the server was restarted during the run, or was not sampled twice",
            "run it again; a restart loses what its AOF did not hold",
        )
    evidence = {
        "turns without state": f"{lost.evicted + lost.expired + lost.missing:,}",
        "evicted": f"{lost.evicted:,}",
        "expired": f"{lost.expired:,}",
        "unexplained": f"{lost.missing:,}",
        "evicted_keys": f"{evicted_keys:,}",
    }
    if lost.missing:
        return fail(
            f"{format_count(lost.missing, 'turn')} found no state, and neither eviction nor expiry "
            "explains it",
            evidence,
            "look for another writer or a FLUSHALL: compare cmdstat_del and cmdstat_flushall",
        )
    gone = f"{format_count(lost.evicted, 'turn')} found the conversation gone before its time"
    keys = format_count(evicted_keys, "key")
    if lost.evicted > evicted_keys:
        return fail(
            f"{gone}, and the server evicted only {keys}",
            evidence,
            "something else deletes conversations: compare cmdstat_del, or look for a second "
            "server behind the same name",
        )
    if not lost.evicted:
        return ok("no turn found the conversation gone before its time", evidence)
    return ok(f"{gone}, which the {keys} that the server evicted can explain", evidence)
