"""
AOF disk: does the AOF lie where an fsync means something?

A network's file system answers an fsync over the network, and memory keeps nothing. A container's
own layer is a local disk to the server, and passes: what becomes of it later is told as advice.
"""

from workbench.analysis.persistence import aof_enabled
from workbench.diagnostics.finding import Judgement, Remedy, fail, not_applicable, ok, rule, unknown
from workbench.runs.run import Run

__all__ = ["aof_disk"]

_LOCAL = frozenset(
    {"apfs", "bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "jfs", "overlay", "xfs", "zfs"}
)
_REMOTE = frozenset(
    {"9p", "afs", "ceph", "cifs", "fuse.glusterfs", "fuse.sshfs", "glusterfs", "lustre", "nfs"}
    | {"nfs4", "smb3", "vboxsf", "virtiofs"}
)
_MEMORY = frozenset({"ramfs", "tmpfs"})

_ELSEWHERE = (
    "on EC2 use an EBS volume; in compose a named volume; on Fargate the task's own disk goes with "
    "the task and EFS is a network's: measure its fsync first, or accept the loss"
)


@rule(
    "aof-disk",
    title="Does the AOF lie on a local disk?",
    severity="warning",
    needs=("samples",),
    why="a restart brings back only what the AOF kept: on a file system of memory or of a "
    "network conversations of seconds or of all time are gone",
    remedy=Remedy(
        redis_conf="dir on a local disk, such as /data on ext4 or xfs",
        compose="volumes: [redis-state:/data], a named volume and no tmpfs",
        ecs="on EC2 an EBS volume under dir; on Fargate the disk goes with the task: accept "
        "the loss, or use ElastiCache",
    ),
    source="file system of the private server's folder, by mountinfo; Redis latency guide",
    holds_if_late=True,
)
def aof_disk(run: Run) -> Judgement:
    """Fails when the AOF lies on a network's file system, or in memory."""
    if aof_enabled(run.samples) is False:
        return not_applicable("the server keeps no AOF")
    if not run.host_seen:
        return unknown(
            "the server's host is not this one, and where its AOF lies does not show",
            "look at its dir on its host: df -T",
        )
    kind = run.manifest.host.get("filesystem")
    evidence = {"file system": kind or "unknown"}
    if kind in _REMOTE:
        return fail(
            f"the AOF lies on {kind}: each fsync goes over a network or to another system",
            evidence,
            f"make runs on a local disk by --out, for figures that hold; {_ELSEWHERE}",
        )
    if kind in _MEMORY:
        return fail(
            f"the AOF lies on {kind}, which is memory: an fsync costs nothing and keeps nothing",
            evidence,
            f"make runs on a disk by --out, for figures that hold; {_ELSEWHERE}",
        )
    if kind not in _LOCAL:
        return unknown(
            f"whether {kind} is a local disk is not known"
            if kind
            else "the host does not show on which file system the AOF lies",
            "make the run on ext4 or xfs, by --out",
            evidence,
        )
    return ok(
        f"the AOF lies on {kind}, a local disk, and its costs are those of one",
        evidence,
        _ELSEWHERE,
    )
