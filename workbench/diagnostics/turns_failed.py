"""Turns failed: did the server refuse turns, or leave them without an answer?"""

from workbench.diagnostics.finding import Judgement, fail, ok, rule
from workbench.runs.run import Run
from workbench.units import format_count, format_share

__all__ = ["turns_failed"]

_FAILED = ("refused", "timeout", "conflict", "duplicate", "error")
_SHARE_MAX = 0.001


@rule(
    "turns-failed",
    title="Was every turn carried out that was sent?",
    severity="critical",
    needs=("operations",),
    source="outcomes of all turns; the limit is an assumption",
    holds_if_late=True,
)
def turns_failed(run: Run) -> Judgement:
    """Fails when more than one turn in a thousand was refused, timed out, or went wrong."""
    sent = run.operations[run.operations["outcome"] != "unsent"]
    counts = sent["outcome"].value_counts()
    failed = {name: int(counts.get(name, 0)) for name in _FAILED if counts.get(name, 0)}
    evidence = {"turns sent": f"{len(sent):,}"}
    evidence |= {name: f"{count:,}" for name, count in failed.items()}
    total = sum(failed.values())
    if not total:
        return ok("no turn was refused, timed out or went wrong", evidence)
    share = format_share(total / len(sent))
    if total <= _SHARE_MAX * len(sent):
        return ok(f"{format_count(total, 'turn')} ({share}) failed", evidence)
    return fail(
        f"{share} of the turns failed",
        evidence,
        "see logs/locust.log and logs/redis.log: a full store that evicts nothing, a failed disk, "
        "or a server that does not answer",
    )
