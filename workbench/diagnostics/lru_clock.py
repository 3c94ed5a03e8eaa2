"""LRU clock: were pauses long enough for a clock of whole seconds to tell old from new?"""

from workbench.analysis.loss import evicted_pause_s
from workbench.diagnostics.finding import Judgement, fail, not_applicable, ok, rule
from workbench.runs.run import Run
from workbench.units import format_duration

__all__ = ["lru_clock"]

_TICK_S = 1.0
_TICKS_MIN = 10
_SHORT_SHARE = 0.1


@rule(
    "lru-clock",
    title="Are pauses long enough for Redis to tell old conversations from new ones?",
    severity="warning",
    needs=("operations", "samples"),
    why="what an experiment says of who is evicted would not hold for people's real pauses",
    remedy=None,
    source="LRU_CLOCK_RESOLUTION is 1,000 ms in Redis 7.0.15, server.h; that ten ticks are enough "
    "is an assumption",
)
def lru_clock(run: Run) -> Judgement:
    """Fails when one in ten that were found evicted had paused for under ten ticks of the clock."""
    factor = float(run.manifest.experiment.get("compression", 1.0))
    policy = str(run.manifest.server.get("config", {}).get("maxmemory-policy", ""))
    if factor == 1:
        return not_applicable("think times were not compressed")
    if policy and not policy.endswith("-lru"):
        return not_applicable(f"the policy {policy} does not go by that clock")
    # When it was evicted is not known, only that it was before the turn: so the short ones decide.
    short_s = evicted_pause_s(run.turns, _SHORT_SHARE)
    if short_s is None:
        return not_applicable("no conversation was found evicted, so the clock decided nothing")
    evidence = {
        "compression": f"{factor:g}",
        "one in ten found evicted after": format_duration(short_s),
        "tick of the LRU clock": format_duration(_TICK_S),
    }
    if short_s < _TICKS_MIN * _TICK_S:
        return fail(
            f"think times were compressed {factor:g} times, and one in ten conversations was found "
            f"evicted after {format_duration(short_s)} or less: a clock of whole seconds hardly "
            "tells which is older",
            evidence,
            "compress less: who is evicted, and after what pause, does not hold for real pauses",
        )
    return ok(
        f"nine in ten conversations were found evicted after {format_duration(short_s)} or more",
        evidence,
    )
