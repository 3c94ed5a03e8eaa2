"""Lost updates: was every write that the server acknowledged there afterwards?"""

from workbench.analysis.documents import updates
from workbench.diagnostics.finding import Judgement, Remedy, fail, ok, rule, unknown
from workbench.runs.run import Run

__all__ = ["lost_updates"]

_ADVICE = (
    "find the writer that does not read, change and write in one transaction, or the restart after "
    "which the server came back with older data"
)


@rule(
    "lost-updates",
    title="Do atomic updates hold: was every acknowledged turn there afterwards?",
    severity="critical",
    needs=("operations",),
    why="an answer that a person gave, and that was acknowledged, is gone",
    remedy=Remedy(
        redis_conf="none: read, change and write in one transaction, as workbench.state does",
        compose="as in redis.conf",
        ecs="as in redis.conf",
    ),
    source="each turn looks for the one acknowledged before it in the document it was written on; "
    "at the end the last one is looked for in every document that is there",
    holds_if_late=True,
)
def lost_updates(run: Run) -> Judgement:
    """Fails when a document lacked an acknowledged turn, at the next turn or in the end."""
    found = updates(run.turns, run.key_rows)
    lost, audited = found.lost, found.looked_at
    lost_last, looked_at = found.lost_last, found.looked_at_last
    evidence = {
        "turns looked at": f"{audited:,}",
        "documents looked at in the end": f"{looked_at:,}",
        "updates lost": f"{lost + lost_last:,}",
    }
    if lost:
        return fail(
            f"{lost:,} of {audited:,} turns were written on a document "
            "that lacked the acknowledged turn before them",
            evidence,
            _ADVICE,
        )
    if lost_last:
        return fail(
            f"{lost_last:,} of {looked_at:,} documents lacked their last acknowledged turn in the "
            "end",
            evidence,
            _ADVICE,
        )
    if not audited and not looked_at:
        return unknown(
            "no turn went on with a conversation that it could be looked for in",
            "lengthen the run, or raise the cap",
            evidence,
        )
    in_the_end = f", and all of {looked_at:,} documents held the last one" if looked_at else ""
    return ok(
        f"all of {audited:,} turns that went on with a conversation found the "
        f"acknowledged turn before them{in_the_end}",
        evidence,
    )
