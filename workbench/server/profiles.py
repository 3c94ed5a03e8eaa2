"""With which settings a server is started: the documented profiles, and the demonstration's."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import floor
from typing import Final

from workbench.errors import UsageError, nearest
from workbench.units import MIB

__all__ = ["DEFAULTS_OF_7_0", "INSTRUMENTS", "LIMIT_SHARE", "ServerProfile", "profile"]

LIMIT_SHARE: Final = 0.35
"""
The part of an ECS task's memory that is documented for its Redis, of which maxmemory is 95 %.

That it is the container's own limit is assumed: the documentation does not show one.
"""

TASK_MEMORY_MIB: Final = 2048
TASK_MEMORY_MIB_MIN: Final = 128

DEFAULTS_OF_7_0: Final[Mapping[str, str]] = {
    "lazyfree-lazy-eviction": "no",
    "lazyfree-lazy-expire": "no",
    "lazyfree-lazy-server-del": "no",
    "lazyfree-lazy-user-del": "no",
    "lazyfree-lazy-user-flush": "no",
    "replica-lazy-flush": "no",
    "repl-backlog-size": "1mb",
}
"""
Seven settings whose defaults Valkey changed. Set back, so that evictions and expiries free memory
in the main thread as they do on redis:7.0 (compared by CONFIG GET, Valkey 9.1.2, Redis 7.0.15).
"""


INSTRUMENTS: Final[Mapping[str, str]] = {
    "latency-monitor-threshold": "10",
    "latency-tracking": "yes",
}
"""
What a server of ours has set besides its profile, to tell what held it up: a timer around what is
slow anyway, and a histogram of each command. No server of anybody else is given them.
"""


@dataclass(frozen=True, slots=True)
class ServerProfile:
    """
    The settings that matter for flow state. Field names are redis.conf's, with units.

    Args:
        name: ``development``, ``production`` or ``demo``.
        maxmemory_bytes: the cap; keys are evicted to stay under it.
        auto_aof_rewrite_min_size_bytes: no rewrite of an AOF smaller than this.
        further: other directives, name and value, which have the last word.
    """

    name: str
    maxmemory_bytes: int
    maxmemory_policy: str = "allkeys-lru"
    appendonly: bool = True
    appendfsync: str = "everysec"
    save: str = ""
    auto_aof_rewrite_percentage: int = 100
    auto_aof_rewrite_min_size_bytes: int = 64 * MIB
    stop_writes_on_bgsave_error: bool = True
    further: tuple[tuple[str, str], ...] = ()

    def directives(self) -> dict[str, str]:
        """The profile as redis.conf directives."""
        return {
            "maxmemory": str(self.maxmemory_bytes),
            "maxmemory-policy": self.maxmemory_policy,
            "appendonly": _yes_no(self.appendonly),
            "appendfsync": self.appendfsync,
            "save": f'"{self.save}"',
            "auto-aof-rewrite-percentage": str(self.auto_aof_rewrite_percentage),
            "auto-aof-rewrite-min-size": str(self.auto_aof_rewrite_min_size_bytes),
            "stop-writes-on-bgsave-error": _yes_no(self.stop_writes_on_bgsave_error),
            **dict(self.further),
        }

    def capped(self, maxmemory_bytes: int) -> "ServerProfile":
        """The same profile with another cap; the rewrite's least size keeps its share of it."""
        share = self.auto_aof_rewrite_min_size_bytes / self.maxmemory_bytes
        return replace(
            self,
            maxmemory_bytes=maxmemory_bytes,
            auto_aof_rewrite_min_size_bytes=round(share * maxmemory_bytes),
        )


def profile(name: str, *, task_memory_mib: int | None = None) -> ServerProfile:
    """
    A profile by name.

    Args:
        name: ``development`` (the documented compose file), ``production`` (the documented ECS
            task: 95 % of 35 % of its memory), ``demo`` (development, capped at 20 MiB).
        task_memory_mib: memory of the ECS task, MiB; 2048 if None. For ``production`` alone.

    Raises:
        UsageError: no such profile, or one that has no task.
    """
    development = ServerProfile("development", maxmemory_bytes=512 * MIB)
    production = ServerProfile(
        "production",
        maxmemory_bytes=floor((task_memory_mib or TASK_MEMORY_MIB) * LIMIT_SHARE * 0.95) * MIB,
        stop_writes_on_bgsave_error=False,
    )
    known = {
        "development": development,
        "production": production,
        "demo": replace(development.capped(20 * MIB), name="demo"),
    }
    if name not in known:
        raise UsageError(f"there is no server profile {name!r}{nearest(name, known)}")
    if task_memory_mib is not None and name != "production":
        raise UsageError(
            f"the profile {name} has no task whose memory could be given; the cap is maxmemory, or "
            "choose the profile production"
        )
    if task_memory_mib is not None and task_memory_mib < TASK_MEMORY_MIB_MIN:
        raise UsageError(
            f"a task memory of {task_memory_mib} MiB is under {TASK_MEMORY_MIB_MIN}mb; write it "
            "with its unit, such as 2gb"
        )
    return known[name]


def _yes_no(value: bool) -> str:
    return "yes" if value else "no"
