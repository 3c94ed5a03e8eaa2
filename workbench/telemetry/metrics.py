"""
The metrics: what a monitoring system is told of a server, by one name and unit each.

A metric reads one look at the server, and nothing else. What the server does not tell yields no
figure, and never 0. Pure: no server, no exporter. ``export.py`` takes the looks.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from workbench.runs.snapshot import KeysOfPrefix

__all__ = [
    "METRICS",
    "NAMESPACE",
    "PREFIX",
    "Kind",
    "Metric",
    "Reading",
    "Sample",
    "cloudwatch_name",
    "samples",
]

PREFIX: Final = "redis_flow_"
"""How every name begins."""

NAMESPACE: Final = "RedisFlow"
"""Under which the figures stand in CloudWatch, unless another is asked for."""

Kind = Literal["gauge", "counter"]

_IMPOSSIBLE: Final = 2.0**63  # an unsigned counter that went below 0 is nearly 2^64
_ERROR_NAME: Final = re.compile(r"[A-Z][A-Z0-9_]{0,39}")
_ERRORS_MAX: Final = 20
# INFO names only errors that came up. These are told from the start, so that the first one shows
# as an increase: the alerts ask for them.
_ERRORS_ALWAYS: Final = ("MISCONF", "OOM")
_QUANTILES: Final = {"p50": "0.5", "p99": "0.99", "p99.9": "0.999"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """
    One look at a server, as metrics read it.

    Attributes:
        info: INFO everything; None if it did not answer.
        config: CONFIG GET of a few settings; empty if it may not be asked.
        limit_bytes: memory of the server's container, as given or seen; None if neither.
        disk_free_bytes: on the disk of the AOF; None unless it is this machine's.
        keys: sampled keys by prefix; None where none were asked for.
        duration_s: how long the look took, s.
        unsent: sets of figures that could not be sent up to now, by this exporter.
    """

    info: Mapping[str, Any] | None
    config: Mapping[str, str] = field(default_factory=dict)
    limit_bytes: int | None = None
    disk_free_bytes: int | None = None
    keys: Mapping[str, KeysOfPrefix] | None = None
    duration_s: float | None = None
    unsent: int | None = None

    def number(self, name: str) -> float | None:
        """A field of INFO, if it is a number, and one that can be true."""
        return _possible((self.info or {}).get(name))

    def word(self, name: str) -> str | None:
        """A field of INFO, if it is there."""
        value = (self.info or {}).get(name)
        return None if value is None else str(value)

    def family(self, prefix: str) -> dict[str, Mapping[str, Any]]:
        """The fields of INFO that begin so, and have members: ``cmdstat_get`` as ``get``."""
        return {
            name.removeprefix(prefix): value
            for name, value in (self.info or {}).items()
            if name.startswith(prefix) and isinstance(value, Mapping)
        }

    def databases(self) -> dict[str, Mapping[str, Any]]:
        """Of each database that holds keys, its line of INFO."""
        return {name: of for name, of in self.family("db").items() if name.isdigit()}


@dataclass(frozen=True, slots=True)
class Sample:
    """One figure: of which metric, of which labels (in the metric's order), how much."""

    metric: "Metric"
    labels: tuple[str, ...]
    value: float


Figures = Iterator[tuple[tuple[str, ...], float | None]]


@dataclass(frozen=True, slots=True)
class Metric:
    """
    One metric.

    Attributes:
        name: as Prometheus has it, with its unit; a counter ends with ``_total``.
        kind: ``gauge``, or ``counter``: it only grows until the server is restarted.
        means: what it is, in a line.
        read: its figures in a look, each with its labels; None is no figure.
        labels: names of labels.
    """

    name: str
    kind: Kind
    means: str
    read: Callable[[Reading], Figures]
    labels: tuple[str, ...] = ()

    @property
    def of_exporter(self) -> bool:
        """Whether it is of the exporter, and begins again when that does."""
        return self.name.startswith(f"{PREFIX}export_")


def samples(reading: Reading) -> Iterator[Sample]:
    """Every figure of a look, in the order of ``METRICS``."""
    for metric in METRICS.values():
        for labels, value in metric.read(reading):
            if value is not None and math.isfinite(value):
                yield Sample(metric, labels, value)


def cloudwatch_name(name: str) -> tuple[str, str]:
    """
    A metric's name and unit as CloudWatch has them: units are no part of a name there.

    ``redis_flow_memory_rss_bytes`` is ``MemoryRss`` in ``Bytes``, ``…_evicted_keys_total`` is
    ``EvictedKeys`` in ``Count``.
    """
    words = name.removeprefix(PREFIX).removesuffix("_total")
    unit = "Count" if name.endswith("_total") else "None"
    for suffix, its_unit in (("_bytes", "Bytes"), ("_seconds", "Seconds")):
        if words.endswith(suffix):
            words, unit = words.removesuffix(suffix), its_unit
    return "".join(word.capitalize() for word in words.split("_")), unit


def _possible(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and abs(value) < _IMPOSSIBLE else None


def _one(read: Callable[[Reading], float | None]) -> Callable[[Reading], Figures]:
    def figures(reading: Reading) -> Figures:
        yield (), read(reading)

    return figures


def _field(name: str, *, scale: float = 1.0, unless: float | None = None) -> Callable[..., Figures]:
    """A field of INFO, in the metric's unit; one value may mean that there is none."""

    def read(reading: Reading) -> float | None:
        value = reading.number(name)
        return None if value is None or value == unless else value * scale

    return _one(read)


def _ok(name: str) -> Callable[[Reading], Figures]:
    def read(reading: Reading) -> float | None:
        word = reading.word(name)
        return None if word is None else float(word == "ok")

    return _one(read)


def _ratio(part: float | None, whole: float | None) -> float | None:
    return None if part is None or not whole else part / whole


def _up(reading: Reading) -> float | None:
    return float(reading.info is not None)


def _server_info(reading: Reading) -> Figures:
    if reading.info is not None:
        info = reading.info
        engine = info.get("server_name", "redis")
        version = info.get("valkey_version", info.get("redis_version", "unknown"))
        policy = info.get("maxmemory_policy", "unknown")
        fsync = reading.config.get("appendfsync", "unknown")
        yield (*map(str, (engine, version, policy, fsync, info.get("role", "unknown"))),), 1.0


def _started(reading: Reading) -> float | None:
    now_us, up_s = reading.number("server_time_usec"), reading.number("uptime_in_seconds")
    return None if now_us is None or up_s is None else now_us // 1_000_000 - up_s


def _resident_share(reading: Reading) -> float | None:
    return _ratio(reading.number("used_memory_rss"), reading.limit_bytes)


def _headroom(reading: Reading) -> float | None:
    resident = reading.number("used_memory_rss")
    return (
        None if reading.limit_bytes is None or resident is None else reading.limit_bytes - resident
    )


def _counted(reading: Reading) -> float | None:
    """What is held against maxmemory: the AOF's and replicas' buffers are not."""
    used = reading.number("used_memory")
    return None if used is None else used - (reading.number("mem_not_counted_for_evict") or 0.0)


def _cap_share(reading: Reading) -> float | None:
    return _ratio(_counted(reading), reading.number("maxmemory"))


def _share_until_refusal(reading: Reading) -> float | None:
    policy = reading.word("maxmemory_policy") or ""
    expiring = sum(int(of.get("expires", 0)) for of in reading.databases().values())
    refuses = policy == "noeviction" or (policy.startswith("volatile-") and not expiring)
    return _cap_share(reading) if refuses else None


def _clients_share(reading: Reading) -> float | None:
    return _ratio(reading.number("mem_clients_normal"), reading.number("maxmemory"))


def _copied(reading: Reading) -> float | None:
    return reading.number("aof_last_cow_size") or None  # 0 until the first rewrite


def _copied_share(reading: Reading) -> float | None:
    copied, room = _copied(reading), _headroom(reading)
    # Where no room is left a copy takes all of it, and more.
    return None if copied is None or room is None else copied / max(room, 1.0)


def _fork(reading: Reading) -> float | None:
    duration_us = reading.number("latest_fork_usec")
    return duration_us / 1e6 if duration_us else None


def _copying(name: str) -> Callable[[Reading], Figures]:
    """INFO of a child that copies; told only while there is one."""

    def read(reading: Reading) -> float | None:
        children = ("aof_rewrite_in_progress", "rdb_bgsave_in_progress")
        return reading.number(name) if any(reading.number(child) for child in children) else None

    return _one(read)


def _errors(reading: Reading) -> Figures:
    if reading.number("total_error_replies") is None:
        return  # it keeps no such statistics, so that a missing line says nothing
    counts = {
        name: _possible(of.get("count")) or 0.0 for name, of in reading.family("errorstat_").items()
    }
    named = dict.fromkeys(_ERRORS_ALWAYS, 0.0)
    # A script may answer by errors of any name.
    often = sorted(counts, key=lambda name: -counts[name])
    for name in often:
        if name in named or (len(named) < _ERRORS_MAX and _ERROR_NAME.fullmatch(name)):
            named[name] = counts[name]
    others = [count for name, count in counts.items() if name not in named]
    if others:
        named["other"] = sum(others)
    yield from (((name,), count) for name, count in named.items())


def _of_commands(member: str, scale: float = 1.0) -> Callable[[Reading], Figures]:
    def read(reading: Reading) -> Figures:
        for command, of in reading.family("cmdstat_").items():
            value = _possible(of.get(member))
            yield (command,), None if value is None else value * scale

    return read


def _latency(reading: Reading) -> Figures:
    for command, of in reading.family("latency_percentiles_usec_").items():
        for name, quantile in _QUANTILES.items():
            value = _possible(of.get(name))
            yield (command, quantile), None if value is None else value / 1e6


def _of_databases(member: str) -> Callable[[Reading], Figures]:
    def read(reading: Reading) -> Figures:
        for name, of in reading.databases().items():
            yield (name,), _possible(of.get(member))

    return read


def _idle(reading: Reading) -> Figures:
    """Of the prefix with the most keys, as the rule age-at-eviction takes them."""
    known = [of for of in (reading.keys or {}).values() if of.idle_s_p90 is not None]
    if known:
        most = max(known, key=lambda of: of.keys)
        yield ("0.5",), most.idle_s_p50
        yield ("0.9",), most.idle_s_p90


def _sampled(member: str) -> Callable[[Reading], Figures]:
    def read(reading: Reading) -> float | None:
        return (
            None
            if reading.keys is None
            else sum(getattr(of, member) for of in reading.keys.values())
        )

    return _one(read)


def _cpu(mode: str) -> Callable[[Reading], Figures]:
    return _field(f"used_cpu_{mode}_main_thread")


def _metric(
    name: str, means: str, read: Callable[[Reading], Figures], labels: tuple[str, ...] = ()
) -> Metric:
    kind: Kind = "counter" if name.endswith("_total") else "gauge"
    return Metric(f"{PREFIX}{name}", kind, means, read, labels)


_MEMORY: Final = {
    "used": "used_memory",
    "rss": "used_memory_rss",
    "peak": "used_memory_peak",
    "startup": "used_memory_startup",
    "overhead": "used_memory_overhead",
    "dataset": "used_memory_dataset",
    "clients": "mem_clients_normal",
    "replication": "mem_total_replication_buffers",
    "aof_buffer": "mem_aof_buffer",
    "not_counted": "mem_not_counted_for_evict",
}

_ALL: Final = (
    # Is it there?
    _metric("up", "Whether the server answered.", _one(_up)),
    _metric(
        "scrape_duration_seconds",
        "How long the look took.",
        _one(lambda reading: reading.duration_s),
    ),
    _metric(
        "server_info",
        "1, with what the server is.",
        _server_info,
        ("engine", "version", "maxmemory_policy", "appendfsync", "role"),
    ),
    _metric("uptime_seconds", "Since the server's start.", _field("uptime_in_seconds")),
    _metric("start_time_seconds", "When the server started, Unix time.", _one(_started)),
    _metric("loading", "Whether it is loading its data.", _field("loading")),
    _metric(
        "loading_eta_seconds", "Until it has loaded; while it loads.", _field("loading_eta_seconds")
    ),
    _metric("connected_replicas", "Replicas.", _field("connected_slaves")),
    # Memory
    *(_metric(f"memory_{name}_bytes", f"INFO {of}.", _field(of)) for name, of in _MEMORY.items()),
    _metric(
        "memory_max_bytes", "maxmemory; absent if there is none.", _field("maxmemory", unless=0)
    ),
    _metric(
        "memory_limit_bytes",
        "Memory of the server's container, as given or seen.",
        _one(lambda reading: reading.limit_bytes),
    ),
    _metric("memory_headroom_bytes", "Container's limit less resident memory.", _one(_headroom)),
    _metric(
        "memory_limit_ratio", "Resident memory over the container's limit.", _one(_resident_share)
    ),
    _metric("memory_cap_ratio", "What counts for eviction over maxmemory.", _one(_cap_share)),
    _metric(
        "memory_until_refusal_ratio",
        "The same, only where a full server refuses writes.",
        _one(_share_until_refusal),
    ),
    _metric("memory_clients_ratio", "Buffers of clients over maxmemory.", _one(_clients_share)),
    _metric(
        "memory_fragmentation_ratio",
        "Resident over used memory.",
        _field("mem_fragmentation_ratio"),
    ),
    _metric(
        "disk_free_bytes",
        "Free on the AOF's disk; on the server's own host only.",
        _one(lambda reading: reading.disk_free_bytes),
    ),
    # Eviction and expiry
    _metric("evicted_keys_total", "Keys evicted.", _field("evicted_keys")),
    _metric("expired_keys_total", "Keys expired.", _field("expired_keys")),
    _metric("evicted_clients_total", "Clients cut off for memory.", _field("evicted_clients")),
    _metric(
        "eviction_exceeded_seconds_total",
        "Time over the cap that eviction could not make good.",
        _field("total_eviction_exceeded_time", scale=1e-3),
    ),
    _metric(
        "expired_stale_ratio",
        "Of keys looked at by the expiry cycle that had expired.",
        _field("expired_stale_perc", scale=0.01),
    ),
    _metric("keyspace_hits_total", "Reads that found a key.", _field("keyspace_hits")),
    _metric("keyspace_misses_total", "Reads that found none.", _field("keyspace_misses")),
    _metric("keys", "Keys of a database.", _of_databases("keys"), ("db",)),
    _metric(
        "keys_expiring",
        "Keys of a database with a time to live.",
        _of_databases("expires"),
        ("db",),
    ),
    _metric(
        "key_idle_seconds",
        "Since sampled keys were last used: about the age at eviction under an LRU policy.",
        _idle,
        ("quantile",),
    ),
    _metric("sampled_keys", "Keys that were looked at.", _sampled("keys")),
    _metric(
        "sampled_keys_without_ttl", "Of these, without a time to live.", _sampled("without_ttl")
    ),
    # AOF, forks
    _metric("aof_enabled", "Whether there is an AOF.", _field("aof_enabled")),
    _metric("aof_size_bytes", "The AOF.", _field("aof_current_size")),
    _metric("aof_base_size_bytes", "The AOF at its latest rewrite.", _field("aof_base_size")),
    _metric("aof_buffer_bytes", "Of the AOF, not written yet.", _field("aof_buffer_length")),
    _metric(
        "aof_last_write_ok",
        "Whether the last write to the AOF succeeded.",
        _ok("aof_last_write_status"),
    ),
    _metric(
        "aof_last_rewrite_ok",
        "Whether the last rewrite succeeded.",
        _ok("aof_last_bgrewrite_status"),
    ),
    _metric(
        "aof_rewrite_in_progress",
        "Whether the AOF is being rewritten.",
        _field("aof_rewrite_in_progress"),
    ),
    _metric("aof_rewrite_scheduled", "Whether a rewrite waits.", _field("aof_rewrite_scheduled")),
    _metric("aof_rewrites_total", "Rewrites begun.", _field("aof_rewrites")),
    _metric(
        "aof_rewrite_consecutive_failures",
        "Rewrites that failed one after another.",
        _field("aof_rewrites_consecutive_failures"),
    ),
    _metric(
        "aof_rewrite_last_duration_seconds",
        "Of the latest rewrite; absent before the first.",
        _field("aof_last_rewrite_time_sec", unless=-1),
    ),
    _metric(
        "aof_rewrite_current_duration_seconds",
        "Of the rewrite under way.",
        _field("aof_current_rewrite_time_sec", unless=-1),
    ),
    _metric(
        "aof_delayed_fsyncs_total",
        "Writes that waited 2 s for an fsync.",
        _field("aof_delayed_fsync"),
    ),
    _metric("aof_pending_fsyncs", "Fsyncs under way.", _field("aof_pending_bio_fsync")),
    _metric(
        "cow_last_bytes",
        "Copied on write in the latest rewrite; absent before the first.",
        _one(_copied),
    ),
    _metric(
        "cow_current_bytes",
        "Copied on write up to now; while a child works.",
        _copying("current_cow_size"),
    ),
    _metric(
        "cow_current_peak_bytes",
        "The most of it; stays 0 in children of under a second.",
        _copying("current_cow_peak"),
    ),
    _metric(
        "cow_headroom_ratio",
        "The latest rewrite's copy over the room to the limit.",
        _one(_copied_share),
    ),
    _metric("forks_total", "Forks.", _field("total_forks")),
    _metric(
        "fork_last_duration_seconds", "Of the latest fork; absent before the first.", _one(_fork)
    ),
    _metric(
        "rdb_bgsave_in_progress",
        "Whether a snapshot is being written.",
        _field("rdb_bgsave_in_progress"),
    ),
    _metric(
        "rdb_last_save_ok", "Whether the last snapshot succeeded.", _ok("rdb_last_bgsave_status")
    ),
    # Clients
    _metric("connected_clients", "Clients.", _field("connected_clients")),
    _metric("max_clients", "maxclients.", _field("maxclients")),
    _metric(
        "clients_ratio",
        "Clients over maxclients.",
        _one(
            lambda reading: _ratio(
                reading.number("connected_clients"), reading.number("maxclients")
            )
        ),
    ),
    _metric("blocked_clients", "Clients that wait within the server.", _field("blocked_clients")),
    _metric("connections_received_total", "Connections.", _field("total_connections_received")),
    _metric(
        "connections_rejected_total",
        "Connections refused at maxclients.",
        _field("rejected_connections"),
    ),
    # Commands, errors, latency
    _metric("commands_processed_total", "Commands.", _field("total_commands_processed")),
    _metric("error_replies_total", "Commands answered by an error.", _field("total_error_replies")),
    _metric("errors_total", "The same by the error's first word.", _errors, ("error",)),
    _metric("commands_total", "Calls of a command.", _of_commands("calls"), ("command",)),
    _metric(
        "commands_failed_total", "Calls that failed.", _of_commands("failed_calls"), ("command",)
    ),
    _metric(
        "commands_rejected_total",
        "Calls that were refused before they began.",
        _of_commands("rejected_calls"),
        ("command",),
    ),
    _metric(
        "commands_duration_seconds_total",
        "Time within the server.",
        _of_commands("usec", 1e-6),
        ("command",),
    ),
    _metric(
        "command_latency_seconds",
        "Within the server, since its start or CONFIG RESETSTAT.",
        _latency,
        ("command", "quantile"),
    ),
    _metric("cpu_user_main_thread_seconds_total", "Main thread, user.", _cpu("user")),
    _metric("cpu_system_main_thread_seconds_total", "Main thread, system.", _cpu("sys")),
    _metric("net_input_bytes_total", "Received.", _field("total_net_input_bytes")),
    _metric("net_output_bytes_total", "Sent.", _field("total_net_output_bytes")),
    # The exporter itself
    _metric(
        "export_unsent_total",
        "Sets of figures that this exporter could not send.",
        _one(lambda reading: reading.unsent),
    ),
)

METRICS: Final[Mapping[str, Metric]] = {each.name: each for each in _ALL}
"""Every metric by its name."""
