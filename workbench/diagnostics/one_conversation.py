"""One conversation: did it keep its state, and was each of its turns carried out?"""

from workbench.analysis.conversation import EARLY, chosen, evicted_at_s, found_at_end, turns_of
from workbench.analysis.failure import FAILED
from workbench.analysis.outcomes import GONE
from workbench.diagnostics.finding import Finding, Findings, Verdict
from workbench.runs.run import Run
from workbench.units import format_count, format_duration

__all__ = ["judge_conversation"]


def judge_conversation(run: Run, wanted: int = -1) -> Findings:
    """
    What a person would say of one conversation; no rule, since it is one of many.

    Args:
        run: sealed.
        wanted: number of the conversation; -1 for whichever, see ``analysis.conversation.chosen``.

    Raises:
        ParameterError: there is no such conversation.
    """
    conversation = chosen(run.turns, wanted)
    turns = turns_of(run.turns, conversation)
    gone = turns[turns["outcome"].isin(GONE)]
    early = gone[gone["outcome"] != "expired"]
    failed = turns[turns["outcome"].isin(FAILED)]
    taken_s = evicted_at_s(run.eviction_rows, conversation)
    state, update = found_at_end(run.key_rows, conversation)
    evidence = {"conversation": str(conversation), "turns": f"{len(turns):,}"}
    verdict: Verdict = "pass"
    says = f"conversation {conversation} kept its state, and each of its turns was carried out"
    advice = ""
    if turns.empty:
        verdict, evidence = "unknown", {}
        says = "the run has no turns, so there is no conversation to look at"
        advice = "make a run of your own: workbench run"
    elif len(early):
        first = early.iloc[0]
        verdict = "fail"
        says = (
            f"conversation {conversation} lacked the turn before it at {first['step']}"
            if first["outcome"] == "lost_update"
            else f"conversation {conversation} was there no more at {first['step']}: "
            f"{first['outcome']}"
        )
        evidence |= {
            "found at": f"{first['elapsed_s']:.1f} s",
            "pause before it": format_duration(float(first["age_s"])),
            "time to live left": format_duration(float(first["ttl_s"] - first["age_s"])),
        }
        advice = "10-eviction tells how many are lost like it, and after which pause"
    elif update == "lost":
        verdict = "fail"
        says = f"the last acknowledged turn of conversation {conversation} was not in it at the end"
        advice = "lost-updates tells how many are lost like it"
    elif len(failed):
        verdict = "fail"
        says = f"{format_count(len(failed), 'turn')} of conversation {conversation} failed"
        evidence |= {"first": f"{failed.iloc[0]['outcome']} at {failed.iloc[0]['step']}"}
        advice = "60-errors-and-retries tells how many fail like it, and when"
    elif (turns["outcome"] == "unsent").any():
        verdict = "unknown"
        says = f"a turn of conversation {conversation} was not sent before the end of the run"
        advice = "see generator-validity: the load was late, or the run was too short"
    elif len(gone):
        says = f"conversation {conversation} was found gone when its time to live was over"
    elif taken_s or state in EARLY:
        verdict = "unknown"
        how = "evicted" if taken_s else f"gone at the end of the run, {state}"
        says = f"conversation {conversation} was {how}, and nobody came back to it in the run"
        advice = "lengthen the run, to learn whether somebody does"
    if taken_s:
        evidence |= {"evicted, by the ledger": f"{taken_s[0]:.1f} s"}
    if state:
        evidence |= {"at the end of the run": f"{state}, last update {update}" if update else state}
    finding = Finding(
        rule="one-conversation",
        title="Did this conversation keep its state, and was each of its turns carried out?",
        severity="critical",
        verdict=verdict,
        says=says,
        evidence=evidence,
        advice=advice,
        source="the outcomes of its turns, the look for it at the end of the run, and the ledger "
        "of evictions if the run kept one",
    )
    return Findings([finding])
