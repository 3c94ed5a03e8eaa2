"""Snapshot save: did the latest snapshot succeed, and are writes refused if it did not?"""

from workbench.diagnostics.finding import Judgement, Remedy, fail, ok, rule
from workbench.diagnostics.look import Look
from workbench.runs.run import Run

__all__ = ["snapshot_save"]


@rule(
    "snapshot-save",
    title="Do snapshots succeed?",
    severity="critical",
    needs=("snapshots",),
    why="a restart brings back the snapshot before the failure; and with save points the server "
    "refuses every write until one succeeds: every conversation stands still",
    remedy=Remedy(
        redis_conf="none: room on the disk under dir, and memory for the fork; then BGSAVE",
        compose="a larger volume at /data; healthcheck: redis-cli -e ping",
        ecs='on Fargate "ephemeralStorage": {"sizeInGiB": 40}; on EC2 a larger volume; '
        "healthCheck by redis-cli -e ping",
    ),
    source="INFO rdb_last_bgsave_status, CONFIG save and stop-writes-on-bgsave-error; "
    "writeCommandsDeniedByDiskError in Redis 7.0.15, server.c",
)
def snapshot_save(run: Run) -> Judgement:
    """Fails when the latest snapshot failed, by a save point, for a backup or for a replica."""
    look = Look(run)
    status = str(look.value("rdb_last_bgsave_status"))
    config = look.last.config
    save, stops = config.get("save"), config.get("stop-writes-on-bgsave-error")
    evidence = {
        "latest snapshot": status,
        "save": "unknown" if save is None else save or '""',
        "stop-writes-on-bgsave-error": stops or "unknown",
    }
    if status == "err":
        refuses = bool(save) and stops == "yes"
        return fail(
            "the latest snapshot failed"
            + (", and every write is refused until one succeeds" if refuses else ""),
            evidence,
            "see the server's log for a full disk or a refused fork; mend it, then BGSAVE",
        )
    return ok("no snapshot was seen to fail", evidence)
