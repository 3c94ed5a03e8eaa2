"""
Rivals: what other tools say of the same server, in their own names for it.

The two doctors are asked; the published rules of RedisInsight and of the common Prometheus rules
for redis_exporter are evaluated on the same snapshots. A rule that has to hold for minutes is taken
to hold for as long as it takes.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from redis import Redis
from redis.exceptions import RedisError

from workbench.benches.cases import INSIGHT, LATENCY, MEMORY, PROMETHEUS
from workbench.runs.snapshot import Snapshot

__all__ = ["doctors", "published"]

_MEMORY_ISSUE: Final = re.compile(r"^\s*\* ([^:\n]+):", re.MULTILINE)
_LATENCY_EVENT: Final = re.compile(r"^\s*\d+\. ([\w-]+):", re.MULTILINE)


def doctors(client: Redis) -> dict[str, frozenset[str]]:
    """What MEMORY DOCTOR and LATENCY DOCTOR complain of."""
    found = {}
    for name, pattern in ((MEMORY, _MEMORY_ISSUE), (LATENCY, _LATENCY_EVENT)):
        try:
            reply: Any = client.execute_command(*name.split())  # type: ignore[no-untyped-call]
        except RedisError:
            reply = ""  # it refuses to be asked, and so it names nothing
        found[name] = frozenset(pattern.findall(str(reply)))
    return found


def published(first: Snapshot, last: Snapshot) -> dict[str, frozenset[str]]:
    """Which published rules fire on two looks at a server."""
    return {
        INSIGHT: frozenset(name for name, fires in _INSIGHT.items() if fires(last)),
        PROMETHEUS: frozenset(name for name, fires in _PROMETHEUS.items() if fires(first, last)),
    }


def _databases(shot: Snapshot) -> list[Mapping[str, Any]]:
    return [
        values for name, values in shot.info.items() if name.startswith("db") and name[2:].isdigit()
    ]


def _largest_bytes(shot: Snapshot) -> int:
    return max((of.bytes_max or 0 for of in (shot.keys or {}).values()), default=0)


def _release(shot: Snapshot) -> tuple[int, ...]:
    return tuple(int(part) for part in str(shot.info["redis_version"]).split(".")[:2])


# 8 of its 22, of July 2025. The others look at hashes, sets, lists, sorted sets, JSON and search
# indexes, of which flow state has none.
_INSIGHT: Final[Mapping[str, Callable[[Snapshot], bool]]] = {
    "luaScript": lambda shot: int(shot.info.get("number_of_cached_scripts", 0)) > 10,
    "bigStrings": lambda shot: _largest_bytes(shot) > 100_000,
    "bigAmountOfConnectedClients": lambda shot: int(shot.info["connected_clients"]) > 100,
    "useSmallerKeys": lambda shot: sum(each["keys"] for each in _databases(shot)) > 1_000_000,
    "avoidLogicalDatabases": lambda shot: len(_databases(shot)) > 1,
    # Ten of under 200 B: for sure where half of twenty or more are.
    "combineSmallStringsToHashes": lambda shot: any(
        of.keys >= 20 and (of.bytes_p50 or 200) < 200 for of in (shot.keys or {}).values()
    ),
    "setPassword": lambda shot: shot.password_set is False,
    "redisVersion": lambda shot: _release(shot) < (7, 3),
}


def _grew(first: Snapshot, last: Snapshot, name: str) -> float:
    """As ``increase`` does: a counter that begins again after a restart has grown from 0."""
    before, now = float(first.info.get(name, 0)), float(last.info.get(name, 0))
    return now - before if now >= before else now


def _share(part: float, whole: float) -> float:
    return part / whole if whole else float("inf")  # as PromQL divides


_PROMETHEUS: Final[Mapping[str, Callable[[Snapshot, Snapshot], bool]]] = {
    "RedisDown": lambda _, last: not last.info,
    # Of a replica the primary would be asked as well.
    "RedisMissingMaster": lambda _, last: (
        last.info["role"] != "master" and last.info.get("master_link_status") != "up"
    ),
    # Three that look at several servers at once, or at more than two looks: one server is given.
    "RedisTooManyMasters": lambda *_: False,
    "RedisDisconnectedSlaves": lambda _, last: 1 - last.info["connected_slaves"] - 1 > 1,
    "RedisClusterFlapping": lambda *_: False,
    "RedisReplicationBroken": lambda first, last: (
        last.info["connected_slaves"] < first.info["connected_slaves"]
    ),
    "RedisMissingBackup": lambda _, last: (
        last.unix_s - float(last.info.get("rdb_last_save_time", 0)) > 86_400
    ),
    "RedisOutOfSystemMemory": lambda _, last: (
        _share(last.info["used_memory"], last.info.get("total_system_memory", 0)) > 0.9
    ),
    "RedisOutOfConfiguredMaxmemory": lambda _, last: (
        _share(last.info["used_memory"], last.info["maxmemory"]) > 0.9
    ),
    "RedisTooManyConnections": lambda _, last: (
        _share(last.info["connected_clients"], last.info["maxclients"]) > 0.9
    ),
    "RedisNotEnoughConnections": lambda _, last: last.info["connected_clients"] < 5,
    "RedisRejectedConnections": lambda first, last: _grew(first, last, "rejected_connections") > 0,
}
