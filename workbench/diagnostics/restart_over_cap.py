"""Restart over cap: does a restarted server load more than its cap, and evict it afterwards?"""

import pandas as pd

from workbench.diagnostics.finding import Judgement, Remedy, fail, not_applicable, ok, rule, unknown
from workbench.runs.run import Run
from workbench.units import format_bytes, format_count

__all__ = ["restart_over_cap"]

# A server that was full before takes a little more or less after it has loaded the same keys.
_OVER_RATIO = 1.05


@rule(
    "restart-over-cap",
    title="Does the data still fit the cap after a restart?",
    severity="critical",
    needs=("samples",),
    why="after a restart over the cap conversations are evicted at once, or the container is "
    "killed while it loads",
    remedy=Remedy(
        redis_conf="maxmemory no lower than what is held; lower it by CONFIG SET first, then "
        "BGREWRITEAOF",
        compose="--maxmemory as before until the AOF is rewritten",
        ecs="the task's memory as before until the AOF is rewritten",
    ),
    source="INFO run_id, loading, used_memory_peak and maxmemory; isSafeToPerformEvictions in "
    "Redis 7.0.15, evict.c; the limit of 5 % is an assumption",
)
def restart_over_cap(run: Run) -> Judgement:
    """Fails when a server that was restarted loaded over 5 % more than its maxmemory."""
    lives = _loaded(run.samples)
    if not lives:
        return not_applicable("the server was not restarted in the run")
    caps = [float(life["maxmemory"].iloc[0]) for life in lives]
    if not any(caps):
        return not_applicable("the server has no maxmemory")
    # What it held most until its first sample after the loading was what it had loaded.
    peaks = [float(_first_at_work(life)["used_memory_peak"]) for life in lives]
    if any(map(pd.isna, [*caps, *peaks])):
        return unknown(
            "the server was restarted, and does not tell its cap or what it loaded",
            "ask its INFO for maxmemory and used_memory_peak",
        )
    over = [peak / cap if cap else 0.0 for peak, cap in zip(peaks, caps, strict=True)]
    worst = over.index(max(over))
    evicted = int(lives[worst]["evicted_keys"].fillna(0).max())
    evidence = {
        "restarts": str(len(lives)),
        "most used until it was loaded": format_bytes(peaks[worst]),
        "maxmemory": format_bytes(caps[worst]),
        "evicted since that restart": f"{evicted:,}",
    }
    if over[worst] > _OVER_RATIO:
        return fail(
            f"a restarted server loaded {format_bytes(peaks[worst])} although its cap is "
            f"{format_bytes(caps[worst])}, and has evicted {format_count(evicted, 'key')} since",
            evidence,
            "loading does not heed maxmemory: a smaller container is killed while it loads, else "
            "conversations are evicted at once. Lower maxmemory step by step by CONFIG SET on the "
            "running server, let the AOF be rewritten, and only then write the smaller cap into "
            "redis.conf, compose or the task definition on ECS",
        )
    if lives[worst]["loading"].iloc[-1] == 1:
        return unknown("the server was still loading when the run ended", "lengthen the run")
    return ok("what the server loaded after a restart fits its cap", evidence)


def _loaded(samples: pd.DataFrame) -> list[pd.DataFrame]:
    """The lives of the server that began in the run: each from its first sample on."""
    groups = [life for _, life in samples.groupby("run_id", sort=False, observed=True)]
    return [life for number, life in enumerate(groups) if number or life["loading"].iloc[0] == 1]


def _first_at_work(life: pd.DataFrame) -> pd.Series:
    at_work = life[life["loading"].fillna(0) == 0]
    return life.iloc[-1] if at_work.empty else at_work.iloc[0]
