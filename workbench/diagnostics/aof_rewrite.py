"""AOF rewrite: do rewrites succeed, and what do the fork and the rewriting take?"""

from workbench.analysis.persistence import rewrite_spans, rewrites
from workbench.diagnostics.finding import Judgement, fail, not_applicable, ok, rule, unknown
from workbench.runs.run import Run
from workbench.units import format_bytes, format_duration, format_share

__all__ = ["aof_rewrite"]

_FORK_US_MAX = 100_000
_TIME_SHARE_MAX = 0.2


@rule(
    "aof-rewrite",
    title="What do AOF rewrites and their forks take?",
    severity="warning",
    needs=("samples",),
    source="INFO persistence, latest_fork_usec, and the server's log; limits are assumptions",
    holds_if_late=True,
)
def aof_rewrite(run: Run) -> Judgement:
    """Fails when a rewrite failed, a fork took over 100 ms, or rewriting took over a fifth."""
    samples = run.samples
    if samples["aof_current_size"].isna().all():
        return not_applicable("the server keeps no AOF")
    failed = bool((samples["aof_last_bgrewrite_status"].astype(str) == "err").any())
    count = rewrites(samples)
    if not count and not failed:
        return unknown(
            "no AOF rewrite was finished in the run",
            "lengthen the run until the AOF has doubled",
        )
    spans = rewrite_spans(run.events, samples)
    seconds = float(samples["elapsed_s"].iloc[-1] - samples["elapsed_s"].iloc[0])
    share = float(spans["duration_s"].sum()) / seconds
    fork_us = float(samples["latest_fork_usec"].max())
    evidence = {
        "rewrites": "unknown" if count is None else str(count),
        "longest": format_duration(float(spans["duration_s"].max())),
        "share of the time": format_share(share),
        "slowest fork": format_duration(fork_us / 1e6),
        "most copied on write": format_bytes(float(samples["aof_last_cow_size"].max())),
    }
    if failed:
        return fail(
            "an AOF rewrite failed",
            evidence,
            "see logs/redis.log: a full disk or a refused fork; until one succeeds the AOF grows",
        )
    if fork_us > _FORK_US_MAX:
        return fail(
            f"a fork stopped the server for {format_duration(fork_us / 1e6)}",
            evidence,
            "less memory per server, fewer rewrites (a higher auto-aof-rewrite-min-size), or a "
            "host that forks faster",
        )
    if share > _TIME_SHARE_MAX:
        return fail(
            f"the server was rewriting its AOF {format_share(share)} of the time",
            evidence,
            "raise auto-aof-rewrite-min-size to about maxmemory, or the percentage to 200",
        )
    return ok(
        f"{count} rewrites took {format_duration(float(spans['duration_s'].max()))} or less each, "
        f"their forks {format_duration(fork_us / 1e6)} or less",
        evidence,
    )
