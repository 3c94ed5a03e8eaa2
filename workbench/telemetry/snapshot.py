"""
One whole look at a server, read-only: INFO, CONFIG GET, LATENCY, SLOWLOG, CLIENT LIST, ACL.

Every command it sends is in ``COMMANDS``, and a user who may send these and no other is enough. A
command that is refused is put on record, and the look goes on. Keys are only looked at on request,
by SCAN in bounded slices: nothing that is asked takes longer the more keys there are.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from typing import Any, Final, TypeVar

from redis import Redis
from redis.exceptions import (
    BusyLoadingError,
    ConnectionError,
    RedisError,
    ResponseError,
    TimeoutError,
)

from workbench.runs.snapshot import Clients, KeysOfPrefix, LatencyEvent, SlowCommand, Snapshot
from workbench.state import redact
from workbench.telemetry.host import host_of_server

__all__ = ["ACL_LINE", "ACL_LINE_KEYS", "COMMANDS", "sampled_keys", "settings", "take_snapshot"]

COMMANDS: Final = (
    "ping",
    "info",
    "config|get",
    "latency|latest",
    "slowlog|get",
    "client|list",
    "acl|getuser",
)
"""Every command of a look."""

KEY_COMMANDS: Final = ("scan", "pttl", "memory|usage", "object|idletime")
"""What a look sends besides when keys are asked for."""

ACL_LINE: Final = f"ACL SETUSER watcher on >changeme {' '.join(f'+{each}' for each in COMMANDS)}"
"""The least that a user must be allowed."""

ACL_LINE_KEYS: Final = f"{ACL_LINE} %R~* {' '.join(f'+{each}' for each in KEY_COMMANDS)}"
"""The same, where keys are looked at as well."""

# CONFIG GET answers these with paths of the machine or with secrets; the rest goes on record.
UNRECORDED: Final = frozenset(
    {"dir", "logfile", "pidfile", "aclfile", "unixsocket", "requirepass", "masterauth"}
    | {"masteruser", "primaryuser", "primaryauth"}
    | {"tls-key-file-pass", "tls-client-key-file-pass"}
    | {"tls-cert-file", "tls-key-file", "tls-client-cert-file", "tls-client-key-file"}
    | {"tls-ca-cert-file", "tls-ca-cert-dir", "tls-dh-params-file"}
)
_PATHS_OF_INFO: Final = frozenset({"executable", "config_file"})
_SLOWLOG_ENTRIES: Final = 32
_SCAN_COUNT: Final = 200
_HOUR_S: Final = 3600

_T = TypeVar("_T")


def take_snapshot(
    client: Redis,
    *,
    keys: int = 0,
    unix_s: float | None = None,
    refused_before: Mapping[str, str] | None = None,
) -> Snapshot:
    """
    Look at the server.

    Args:
        client: of the server.
        keys: how many keys to look at, at most; 0 for none.
        unix_s: the time of the look; by the wall clock if None.
        refused_before: what was refused at the look before. It is not asked again, since each
            refusal is an error in the server's own count.

    Raises:
        RedisError: the server does not answer, or not even to INFO.
    """
    refused: dict[str, str] = {}
    known = refused_before or {}

    def asked(name: str, ask: Callable[[], _T]) -> _T | None:
        if name in known:
            refused[name] = known[name]
            return None
        try:
            return ask()
        except (ConnectionError, TimeoutError) as error:
            if not isinstance(error, BusyLoadingError):  # which is an answer
                raise
            refused[name] = str(error)[:200]
            return None
        except (ResponseError, RedisError) as error:
            refused[name] = redact(str(error))[:200]
            return None

    info: dict[str, Any] = client.info("everything")
    found = asked("config|get", lambda: client.config_get("*")) or {}
    default = asked("acl|getuser", lambda: client.acl_getuser("default")) or {}
    return Snapshot(
        unix_s=time.time() if unix_s is None else unix_s,
        info={name: value for name, value in info.items() if name not in _PATHS_OF_INFO},
        config=_recorded(found),
        latency=asked("latency|latest", lambda: _latency(client)) or {},
        slowlog=asked("slowlog|get", lambda: _slowlog(client)) or [],
        clients=asked("client|list", lambda: _clients(client, info)),
        default_user=_rules(default) if default else None,
        password_set=_closed(default) if default else None,
        keys=asked("scan", lambda: sampled_keys(client, keys)) if keys else None,
        host=host_of_server(client.connection_pool, info, str(found.get("dir") or "")),
        refused=refused,
    )


def settings(client: Redis) -> dict[str, str]:
    """CONFIG GET, paths and secrets left out; empty where the server does not answer it."""
    try:
        return _recorded(client.config_get("*"))
    except ResponseError:  # a managed server does not answer CONFIG
        return {}


def _recorded(found: Mapping[Any, Any]) -> dict[str, str]:
    return {str(k): str(v) for k, v in sorted(found.items()) if k and k not in UNRECORDED}


def _latency(client: Redis) -> dict[str, LatencyEvent]:
    # Valkey adds two columns: the sum of all, and how many.
    return {
        str(row[0]): LatencyEvent(unix_s=int(row[1]), latest_ms=int(row[2]), max_ms=int(row[3]))
        for row in client.latency_latest()
    }


def _slowlog(client: Redis) -> list[SlowCommand]:
    found = []
    for entry in client.slowlog_get(_SLOWLOG_ENTRIES):
        words = entry["command"]
        text = words.decode(errors="replace") if isinstance(words, bytes) else str(words)
        found.append(
            SlowCommand(
                number=int(entry["id"]),
                unix_s=int(entry["start_time"]),
                duration_us=int(entry["duration"]),
                # The arguments hold conversations and tokens.
                command=text.partition(" ")[0][:40].upper(),
            )
        )
    return found


def _clients(client: Redis, info: Mapping[str, Any]) -> Clients | None:
    if int(info.get("connected_clients", 0)) > 10_000:
        return None  # the list is made in one go, and the server does nothing else meanwhile
    lines = [line for line in client.client_list() if not set(line.get("flags", "")) & set("SMO")]
    subscribing = [line for line in lines if "P" in line.get("flags", "")]
    idle = [line for line in lines if int(line["idle"]) > _HOUR_S and line not in subscribing]
    return Clients(
        count=max(0, len(lines) - 1),
        idle_over_1h=len(idle),
        output_bytes_max=max((int(line.get("omem", 0)) for line in lines), default=0),
        subscribers=len(subscribing),
    )


def _rules(user: Mapping[str, Any]) -> str:
    if "off" in {str(flag) for flag in user.get("flags", [])}:
        return "off"
    words = [user.get("categories", []), user.get("commands", [])]
    return " ".join(str(each) for part in words for each in part)


def _closed(user: Mapping[str, Any]) -> bool:
    flags = {str(flag) for flag in user.get("flags", [])}
    return "off" in flags or not (user.get("enabled", True) and "nopass" in flags)


def sampled_keys(client: Redis, count: int) -> dict[str, KeysOfPrefix]:
    """
    So many keys at most, by SCAN in slices, in figures by prefix.

    Raises:
        RedisError: the user may not, or the server does not answer.
    """
    found: dict[str, list[tuple[int, int | None, int | None]]] = {}
    names = _names(client)
    left = count
    while left > 0 and (some := list(islice(names, min(_SCAN_COUNT, left)))):
        left -= len(some)
        pipe: Any = client.pipeline(transaction=False)
        for name in some:
            pipe.pttl(name).memory_usage(name, samples=5).object("idletime", name)
        replies = pipe.execute(raise_on_error=False)
        for number, name in enumerate(some):
            ttl_ms, size, idle = replies[3 * number : 3 * number + 3]
            if isinstance(ttl_ms, Exception):
                raise ttl_ms
            if ttl_ms == -2:
                continue  # it went meanwhile
            text = name.decode(errors="replace")
            prefix = redact(text.partition(":")[0])[:40] if ":" in text else "(no prefix)"
            row = (ttl_ms, _whole(size), _whole(idle))
            found.setdefault(prefix, []).append(row)
    return {prefix: _of_prefix(rows) for prefix, rows in sorted(found.items())}


def _names(client: Redis) -> Iterator[bytes]:
    cursor = 0
    while True:
        # A foreign key may be no UTF-8.
        ask: Any = client.execute_command
        reply = ask("SCAN", cursor, "COUNT", _SCAN_COUNT, NEVER_DECODE=True)
        cursor = int(reply[0])
        yield from reply[1]
        if not cursor:
            return


def _whole(value: Any) -> int | None:
    with suppress(TypeError, ValueError):
        return int(value)
    return None


def _of_prefix(rows: list[tuple[int, int | None, int | None]]) -> KeysOfPrefix:
    ttls_ms = sorted(row[0] for row in rows if row[0] >= 0)
    sizes = sorted(row[1] for row in rows if row[1] is not None)
    idle = sorted(float(row[2]) for row in rows if row[2] is not None)
    return KeysOfPrefix(
        keys=len(rows),
        without_ttl=len(rows) - len(ttls_ms),
        bytes_p50=_quantile(sizes, 0.5),
        bytes_max=sizes[-1] if sizes else None,
        ttl_s_p50=_quantile([each / 1000 for each in ttls_ms], 0.5),
        expiring_in_one_s_share=_most_within_1s(ttls_ms) / len(ttls_ms) if ttls_ms else None,
        idle_s_p10=_quantile(idle, 0.1),
        idle_s_p50=_quantile(idle, 0.5),
        idle_s_p90=_quantile(idle, 0.9),
    )


def _most_within_1s(ttls_ms: list[int]) -> int:
    most = first = 0
    for last, at_ms in enumerate(ttls_ms):
        while at_ms - ttls_ms[first] > 1000:
            first += 1
        most = max(most, last - first + 1)
    return most


_N = TypeVar("_N", int, float)


def _quantile(ordered: list[_N], share: float) -> _N | None:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None
