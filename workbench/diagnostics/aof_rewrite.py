"""
AOF rewrite: do rewrites succeed, and what do the fork and the rewriting take?

Only rewrites that the measured load brought about are judged: those of the prefill write another
load's data.
"""

import math

import pandas as pd

from workbench.analysis.persistence import (
    aof_enabled,
    failed_rewrites,
    finished_rewrites,
    rewrite_time_share,
    since_first_rewrite,
)
from workbench.diagnostics.finding import Judgement, Remedy, fail, not_applicable, ok, rule, unknown
from workbench.runs.run import Run
from workbench.units import format_bytes, format_count, format_duration, format_share

__all__ = ["aof_rewrite"]

_FORK_US_MAX = 100_000
_TIME_SHARE_MAX = 0.2


@rule(
    "aof-rewrite",
    title="Do AOF rewrites succeed, and what do they and their forks take?",
    severity="warning",
    needs=("samples",),
    why="a failing rewrite lets the AOF grow until the disk is full, and a slow fork stops "
    "every conversation at once",
    remedy=Remedy(
        redis_conf="auto-aof-rewrite-min-size about maxmemory, auto-aof-rewrite-percentage "
        "100 to 200",
        compose="command: redis-server … --auto-aof-rewrite-min-size 512mb",
        ecs='command: ["redis-server", …, "--auto-aof-rewrite-min-size", "512mb"]; '
        "ephemeralStorage of 21 GiB or more where 3 × maxmemory is more than the default 20",
    ),
    source="INFO persistence, latest_fork_usec, and the server's log; limits are assumptions",
)
def aof_rewrite(run: Run) -> Judgement:
    """Fails when a rewrite failed, a fork took over 100 ms, or rewriting took over a fifth."""
    if aof_enabled(run.samples) is False:
        return not_applicable("the server keeps no AOF")
    status = run.samples["aof_last_bgrewrite_status"].dropna()
    failed = failed_rewrites(run.events, run.samples)
    if failed or (not status.empty and status.iloc[-1] == "err"):
        return _failure(run, failed)
    finished = finished_rewrites(run.events, run.samples)
    if finished.empty:
        return unknown(
            "no AOF rewrite was finished under the measured load",
            "lengthen the run until the AOF has doubled; a server that does not say when it "
            "rewrites cannot be judged",
        )
    least, most = rewrite_time_share(finished, run.samples)
    since = since_first_rewrite(run.events, run.samples)
    fork_us = float(since["latest_fork_usec"].max())
    longest = _longest(finished)
    evidence = {
        "rewrites": str(len(finished)),
        "longest": longest,
        "share of the time": _between(least, most),
        "slowest fork": format_duration(fork_us / 1e6),
        "most copied on write": format_bytes(float(since["aof_last_cow_size"].max())),
    }
    if fork_us > _FORK_US_MAX:
        return fail(
            f"a fork stopped the server for {format_duration(fork_us / 1e6)}",
            evidence,
            "less memory per server, fewer rewrites (a higher auto-aof-rewrite-min-size), or a "
            "host that forks faster",
        )
    if least > _TIME_SHARE_MAX:
        return fail(
            f"the server was rewriting its AOF {_between(least, most)} of the time",
            evidence,
            "raise auto-aof-rewrite-min-size to about maxmemory, or the percentage to 200",
        )
    if most > _TIME_SHARE_MAX:
        return unknown(
            f"the server was rewriting its AOF {_between(least, most)} of the time: its INFO "
            "counts whole seconds",
            "lengthen the run, or let the workbench start the server, whose log it can then read",
            evidence,
        )
    if math.isnan(fork_us):
        return unknown(
            "the server does not say how long its forks took",
            "see latest_fork_usec of INFO",
            evidence,
        )
    return ok(
        f"{format_count(len(finished), 'rewrite')} under the measured load took {longest} or less "
        f"each, and a fork stopped the server for {format_duration(fork_us / 1e6)} at most",
        evidence,
    )


def _failure(run: Run, failed: int) -> Judgement:
    in_a_row = run.samples["aof_rewrites_consecutive_failures"].max()
    evidence = {
        "failed": str(failed),
        "in a row, at most": "unknown" if pd.isna(in_a_row) else str(int(in_a_row)),
        "AOF at the end": format_bytes(float(run.samples["aof_current_size"].iloc[-1])),
    }
    return fail(
        f"{format_count(failed, 'AOF rewrite')} failed"
        if failed
        else "the latest AOF rewrite failed before the measured load, and none has succeeded since",
        evidence,
        "see the server's log for a full disk or a refused fork: until a rewrite succeeds the AOF "
        "only grows, and after three failures in a row the server waits 1 minute, then 2, 4, up to "
        "60 before it tries again; mend the cause, then BGREWRITEAOF",
    )


def _longest(finished: pd.DataFrame) -> str:
    return format_duration(float((finished["duration_s"] + finished["unsure_s"]).max()))


def _between(least: float, most: float) -> str:
    if least == most:
        return format_share(least)
    if not least:
        return f"at most {format_share(most)}"
    return f"{format_share(least)} to {format_share(most)}"
