"""LRU clock: were pauses long enough for a clock of whole seconds to tell old from new?"""

from workbench.diagnostics.finding import Judgement, fail, not_applicable, ok, rule
from workbench.runs.run import Run
from workbench.units import format_duration

__all__ = ["lru_clock"]

_TICK_S = 1.0
_TICKS_MIN = 10


@rule(
    "lru-clock",
    title="Are pauses long enough for Redis to tell old conversations from new ones?",
    severity="warning",
    needs=("operations", "samples"),
    source="LRU_CLOCK_RESOLUTION is 1,000 ms in Redis 7.0.15, server.h; that ten ticks are enough "
    "is an assumption",
)
def lru_clock(run: Run) -> Judgement:
    """Fails when what was evicted had been idle for less than ten ticks of the LRU clock."""
    factor = float(run.manifest.experiment.get("compression", 1.0))
    idle_s = run.operations["age_s"][run.operations["outcome"] == "evicted"]
    if factor == 1:
        return not_applicable("think times are as they are: nothing was compressed")
    if idle_s.empty:
        return not_applicable("no conversation was found evicted, so the clock decided nothing")
    median_s = float(idle_s.median())
    evidence = {
        "compression": f"{factor:g}",
        "median pause of those evicted": format_duration(median_s),
        "tick of the LRU clock": format_duration(_TICK_S),
    }
    if median_s < _TICKS_MIN * _TICK_S:
        return fail(
            f"think times were compressed {factor:g} times, and conversations were evicted after "
            f"{format_duration(median_s)}: a clock of whole seconds tells hardly which is older",
            evidence,
            "compress less: who is evicted, and after what pause, does not hold for real pauses",
        )
    return ok(
        f"conversations were evicted after {format_duration(median_s)}, many ticks of the clock",
        evidence,
    )
