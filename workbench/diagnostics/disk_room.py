"""Disk room: can an AOF rewrite put its new file beside the old ones?"""

from workbench.analysis.persistence import aof_enabled
from workbench.diagnostics.finding import Judgement, Remedy, fail, not_applicable, ok, rule, unknown
from workbench.runs.run import Run
from workbench.units import format_bytes

__all__ = ["disk_room"]

_NEW_BASE_RATIO = 1.2


@rule(
    "disk-room",
    title="Does the disk hold the AOF and its rewrite at once?",
    severity="critical",
    needs=("samples",),
    why="a rewrite that finds no room fails, and then the next write to the AOF fails too: every "
    "conversation stands still",
    remedy=Remedy(
        redis_conf="none; dir on a larger disk, or a lower maxmemory",
        compose="a volume of 3 × maxmemory at /data",
        ecs='on Fargate "ephemeralStorage": {"sizeInGiB": 40}; on EC2 a larger EBS volume',
    ),
    source="free bytes of the folder before the run; INFO aof_current_size and "
    "used_memory_dataset; that a new base takes up to 1.2 of the data is an assumption",
)
def disk_room(run: Run) -> Judgement:
    """Fails when a new base beside the AOF that is there exceeds what is free on the disk."""
    if aof_enabled(run.samples) is False:
        return not_applicable("the server keeps no AOF")
    seen = run.host_seen
    free = run.manifest.host.get("disk_free_bytes") if seen else None
    if free is None:
        return unknown(
            "the free room of the disk does not show"
            if seen
            else "the server's host is not this one, and its disk does not show",
            "compare df of its dir with the size of the AOF",
        )
    largest = float(run.samples["aof_current_size"].max())
    # Valkey 9.1.2 was seen to tell a dataset larger than its memory.
    data = float(run.samples[["used_memory_dataset", "used_memory"]].min(axis=1).max())
    # Before a run its own AOF was not on the disk yet; of a server that is there it was.
    ours = run.manifest.server.get("ours", True)
    held = largest if ours else 0.0
    needed = held + _NEW_BASE_RATIO * data
    if not needed > 0:
        return unknown(
            "the server does not tell the size of its AOF or of its data",
            "ask its INFO for aof_current_size and used_memory_dataset",
        )
    evidence = {
        "largest AOF": format_bytes(largest),
        "most data": format_bytes(data),
        "needed": format_bytes(needed),
        "free before the run" if ours else "free": format_bytes(free),
    }
    what = "the AOF and its rewrite need" if ours else "a rewrite of the AOF needs"
    says = f"{what} {format_bytes(needed)}, and {format_bytes(free)} were free"
    if needed > free:
        return fail(
            says,
            evidence,
            "give the disk more room: when a rewrite fills it, the server refuses every write; a "
            "larger volume on EC2 or in compose, a larger ephemeralStorage on Fargate",
        )
    return ok(says, evidence)
