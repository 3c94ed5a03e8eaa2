"""Lost updates: was every write that the server acknowledged there at the next turn?"""

from workbench.diagnostics.finding import Judgement, fail, ok, rule, unknown
from workbench.runs.run import Run

__all__ = ["lost_updates"]


@rule(
    "lost-updates",
    title="Do atomic updates hold: was every acknowledged turn there at the next one?",
    severity="critical",
    needs=("operations",),
    source="each turn looks for the one acknowledged before it in the document it was written on",
    holds_if_late=True,
)
def lost_updates(run: Run) -> Judgement:
    """Fails when a turn was written on a document that lacked the acknowledged turn before it."""
    outcomes = run.operations["outcome"].astype(str)
    lost = int((outcomes == "lost_update").sum())
    audited = int((run.operations["age_s"].notna() & outcomes.isin(["ok", "lost_update"])).sum())
    evidence = {"turns looked at": f"{audited:,}", "updates lost": f"{lost:,}"}
    if lost:
        return fail(
            f"{lost:,} of {audited:,} turns were written on a document "
            "that lacked the acknowledged turn before them",
            evidence,
            "find the writer that does not read, change and write in one transaction, or the "
            "restart after which the server came back with older data",
        )
    if not audited:
        return unknown(
            "no turn went on with a conversation that it could be looked for in",
            "lengthen the run, or raise the cap",
            evidence,
        )
    return ok(
        f"all of {audited:,} turns that went on with a conversation found the "
        "acknowledged turn before them",
        evidence,
    )
