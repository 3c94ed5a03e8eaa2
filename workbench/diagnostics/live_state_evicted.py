"""Live state evicted: did the memory cap drop conversations that were still in use?"""

from workbench.analysis.eviction import began_s
from workbench.analysis.loss import at_cap, loss, loss_by_pause, lossy_pause_s
from workbench.analysis.windows import growth
from workbench.diagnostics.finding import Judgement, Remedy, fail, ok, rule, unknown
from workbench.runs.run import Run
from workbench.units import format_bytes, format_count, format_duration, format_share

__all__ = ["live_state_evicted"]


@rule(
    "live-state-evicted",
    title="Does anyone lose a conversation before its time to live is over?",
    severity="critical",
    needs=("operations", "samples"),
    why="a person whose conversation is evicted has to begin again, in the middle of a payment",
    remedy=Remedy(
        redis_conf="maxmemory higher; else a shorter time to live in the service",
        compose="mem_limit and --maxmemory higher",
        ecs="memory of the container and --maxmemory higher, or fewer conversations for each Redis",
    ),
    source="age and TTL of each turn's own conversation, as the generator knows them",
)
def live_state_evicted(run: Run) -> Judgement:
    """Fails when a turn found its conversation gone although its TTL had not run out."""
    turns = at_cap(run.measured_turns, run.samples)
    lost = loss(turns)
    if lost.turns < 100:
        few = f"only {format_count(lost.turns, 'turn')}" if lost.turns else "no turn"
        return unknown(
            f"{few} went on with a conversation in the measured phase, or since evictions began",
            "lengthen the measured phase, or raise the rate",
        )
    cap = format_bytes(float(run.samples["maxmemory"].iloc[-1]))
    share = format_share(lost.evicted / lost.turns)
    evidence = {
        "turns that needed their conversation": f"{lost.turns:,}",
        "evicted": f"{lost.evicted:,}",
    }
    start_s = began_s(run.samples)
    if not lost.evicted and start_s is None:
        peak = format_bytes(float(run.samples["used_memory"].max()))
        return unknown(
            f"nothing was evicted: {peak} were used at most, and the cap is {cap}",
            "lengthen the run or lower the cap, to learn what happens when it is reached",
            evidence,
        )
    if lost.evicted > (growth(run.samples, "evicted_keys") or 0):
        return unknown(
            f"{format_count(lost.evicted, 'turn')} found the conversation gone before its time, "
            "and the server did not evict so many",
            "see loss-explained",
            evidence,
        )
    if not lost.evicted:
        return ok(f"at the {cap} cap no turn found its conversation evicted", evidence)
    lossy_s = lossy_pause_s(loss_by_pause(turns))
    evidence |= {
        "first eviction": f"at {start_s:.0f} s" if start_s is not None else "not sampled",
        "median pause before the loss": format_duration(lost.pause_s_p50),
        "median time to live left": format_duration(lost.ttl_left_s_p50),
    }
    evidence["most are lost"] = (
        "after no length of pause" if lossy_s is None else f"after pauses of {lossy_s:g} s or more"
    )
    most = "" if lossy_s is None else f"; after pauses of {lossy_s:g} s or more most did"
    return fail(
        f"at the {cap} cap {share} of the turns that needed their conversation since the first "
        f"eviction found it evicted{most}",
        evidence,
        "raise maxmemory until a conversation stays longer than people pause, or cut the time to "
        "live so that finished conversations expire before live ones are evicted",
    )
