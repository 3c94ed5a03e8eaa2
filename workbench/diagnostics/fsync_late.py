"""Fsync late: does the disk keep the promise of one second that everysec makes?"""

import pandas as pd

from workbench.analysis.persistence import aof_enabled
from workbench.analysis.windows import grown
from workbench.diagnostics.finding import Judgement, Remedy, fail, not_applicable, ok, rule, unknown
from workbench.runs.run import Run
from workbench.units import format_count, format_duration

__all__ = ["fsync_late"]

# Under everysec Redis holds a write back for 2 s while an fsync is under way, then writes it.
_PENDING_S_MAX = 2.0
_SAMPLES_S_MAX = 1 / 3


@rule(
    "fsync-late",
    title="Does the AOF reach the disk every second?",
    severity="warning",
    needs=("samples",),
    why="what was acknowledged since the last fsync is lost in a crash: the promise is one "
    "second, and it is not kept",
    remedy=Remedy(
        redis_conf="dir on a faster local disk; appendfsync everysec",
        compose="a named volume on a local disk",
        ecs="an EBS volume of provisioned IOPS on EC2; not EFS",
    ),
    source="INFO aof_delayed_fsync and aof_pending_bio_fsync; flushAppendOnlyFile in Redis 7.0.15, "
    "aof.c",
)
def fsync_late(run: Run) -> Judgement:
    """Fails when an fsync held up writes to the AOF for 2 s."""
    if aof_enabled(run.samples) is False:
        return not_applicable("the server keeps no AOF")
    policy = run.manifest.server.get("config", {}).get("appendfsync", "everysec")
    if policy != "everysec":
        return not_applicable(f"appendfsync is {policy}, which promises no second")
    delayed = grown(run.samples, "aof_delayed_fsync")
    if delayed is None:
        return unknown(
            "the server does not say whether an fsync was late",
            "ask its INFO for aof_delayed_fsync",
        )
    pending_s = _longest_pending_s(run.samples)
    evidence = {"writes held up": f"{delayed:,}", "longest fsync seen": _told(pending_s)}
    if delayed or pending_s > _PENDING_S_MAX:
        return fail(
            f"{format_count(delayed, 'write')} to the AOF waited 2 s for an fsync"
            if delayed
            else f"an fsync of the AOF took {format_duration(pending_s)} or more",
            evidence,
            "everysec loses more than a second of flow state here, and a write that has waited 2 s "
            "stops the server: use a local SSD, or gp3 with enough IOPS on EC2, not EFS; take "
            "other writers off the disk. If it happens in rewrites only, rewrite less often, or "
            "set no-appendfsync-on-rewrite yes and accept a loss of up to 30 s",
        )
    return ok("no fsync held up a write to the AOF", evidence)


def _longest_pending_s(samples: pd.DataFrame) -> float:
    """
    The longest time over which every sample showed an fsync that was not done; 0 if samples are
    further apart than a third of a second: once a second one would meet another fsync each time.
    """
    if not samples["elapsed_s"].diff().median() < _SAMPLES_S_MAX:
        return 0.0
    pending = samples["aof_pending_bio_fsync"].fillna(0) > 0
    runs = samples["elapsed_s"][pending].groupby((~pending).cumsum()[pending])
    return float((runs.max() - runs.min()).max()) if pending.any() else 0.0


def _told(pending_s: float) -> str:
    return format_duration(pending_s) if pending_s else "shorter than a sample"
