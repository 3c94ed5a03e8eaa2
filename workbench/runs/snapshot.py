"""
A snapshot: one whole look at a server, as a run keeps it.

A run has one from its start and one from its end, in ``snapshots.json``. What a server does not
tell is absent, and never 0; what its user may not ask is named in ``refused``. No value of a key
is in it, no argument of a command, and no credential.
"""

from pathlib import Path
from typing import Any, Final

import msgspec

from workbench.errors import RunError
from workbench.runs.files import write_json

__all__ = [
    "SNAPSHOTS",
    "Clients",
    "Host",
    "KeysOfPrefix",
    "LatencyEvent",
    "SlowCommand",
    "Snapshot",
    "read_snapshots",
    "write_snapshots",
]

SNAPSHOTS: Final = "snapshots.json"


class LatencyEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One line of LATENCY LATEST: when the event was last seen, and how long it took, ms."""

    unix_s: int
    latest_ms: int
    max_ms: int


class SlowCommand(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of SLOWLOG: its number, when, how long, and the command's name alone."""

    number: int
    unix_s: int
    duration_us: int
    command: str


class Clients(msgspec.Struct, frozen=True, kw_only=True):
    """
    CLIENT LIST in a few figures; no addresses, no names.

    Attributes:
        count: connections, replicas and our own left out.
        idle_over_1h: of these, without a command for an hour and no subscriber.
        output_bytes_max: the largest output buffer, B.
        subscribers: connections that subscribe.
    """

    count: int
    idle_over_1h: int
    output_bytes_max: int
    subscribers: int


class KeysOfPrefix(msgspec.Struct, frozen=True, kw_only=True):
    """
    The sampled keys of one prefix, the part of a name before its first ``:``.

    Attributes:
        keys: how many were looked at.
        without_ttl: of these, without a time to live.
        bytes_p50, bytes_max: memory of a key with its value, B; None if not told.
        ttl_s_p50: of those that have one, s.
        expiring_in_one_s_share: the largest share of those with a time to live that expires
            within one and the same second.
        idle_s_p10, idle_s_p50, idle_s_p90: since the key was last used, s; None under LFU.
    """

    keys: int
    without_ttl: int
    bytes_p50: int | None = None
    bytes_max: int | None = None
    ttl_s_p50: float | None = None
    expiring_in_one_s_share: float | None = None
    idle_s_p10: float | None = None
    idle_s_p50: float | None = None
    idle_s_p90: float | None = None


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """
    What the server's own host shows of it; a field that does not show is None.

    Attributes:
        memory_limit_bytes: of the server's cgroup, or the RAM, B: see ``memory_limit_source``.
        rss_bytes, swap_bytes, anon_huge_bytes: of the server's process, B.
        oom_score_adj: of the process.
        oom_kills: processes that the kernel killed in its cgroup for want of memory.
        cpu_limit_cores: of the server's cgroup, in cores; None too where there is no limit.
        somaxconn: ``net.core.somaxconn``.
        transparent_hugepage: the chosen word of ``enabled``.
        overcommit_memory: ``vm.overcommit_memory``.
        available_bytes: MemAvailable, B.
        filesystem, disk_free_bytes: of the folder that the data lies in.
    """

    memory_limit_bytes: int | None = None
    memory_limit_source: str | None = None
    rss_bytes: int | None = None
    swap_bytes: int | None = None
    anon_huge_bytes: int | None = None
    oom_score_adj: int | None = None
    oom_kills: int | None = None
    cpu_limit_cores: float | None = None
    somaxconn: int | None = None
    transparent_hugepage: str | None = None
    overcommit_memory: int | None = None
    available_bytes: int | None = None
    filesystem: str | None = None
    disk_free_bytes: int | None = None


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """
    One look at a server.

    Attributes:
        unix_s: when.
        info: INFO everything, by Redis's own names; ``cmdstat_…`` and the like are mappings.
        config: CONFIG GET, paths and secrets left out.
        latency: LATENCY LATEST by event.
        slowlog: the newest entries of SLOWLOG.
        clients: of CLIENT LIST; None where that may not be asked.
        default_user: the rules of the ACL's default user, passwords left out; ``off`` if it is;
            None if not told.
        password_set: whether the default user has a password, or is off; None if not told.
        keys: sampled keys by prefix; None where none were asked for.
        host: None where the server's host is not this one.
        refused: what may not be asked, and in which words that was refused.
    """

    unix_s: float
    info: dict[str, Any] = {}
    config: dict[str, str] = {}
    latency: dict[str, LatencyEvent] = {}
    slowlog: list[SlowCommand] = []
    clients: Clients | None = None
    default_user: str | None = None
    password_set: bool | None = None
    keys: dict[str, KeysOfPrefix] | None = None
    host: Host | None = None
    refused: dict[str, str] = {}


def write_snapshots(run_dir: Path, snapshots: list[Snapshot]) -> None:
    """Write them whole or not at all."""
    write_json(run_dir / SNAPSHOTS, snapshots)


def read_snapshots(run_dir: Path) -> list[Snapshot]:
    """
    The snapshots of a run, in the order of time; empty if it has none.

    Raises:
        RunError: the file is damaged.
    """
    path = run_dir / SNAPSHOTS
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[Snapshot])
    except FileNotFoundError:
        return []
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RunError(f"{path} cannot be read: {error}") from None
