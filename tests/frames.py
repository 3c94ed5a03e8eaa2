"""Hand-made frames and run directories: a test names what matters to it, the rest is calm."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from workbench.runs.manifest import Manifest, Phase, write_manifest
from workbench.runs.recorder import TableWriter
from workbench.runs.run import Run
from workbench.runs.schema import TABLES
from workbench.runs.snapshot import Clients, Host, Snapshot, write_snapshots

__all__ = [
    "CALM_CONFIG",
    "CALM_HOST",
    "CALM_INFO",
    "START_UNIX_S",
    "events",
    "eviction_windows",
    "evictions",
    "generator",
    "keys",
    "make_run",
    "operations",
    "samples",
    "snapshot",
]

START_UNIX_S = 1_700_000_000.0
"""Start of the measured phase of every hand-made run."""

Rows = Iterable[Mapping[str, Any]]

_CALM: dict[str, dict[str, Any]] = {
    "operations": {
        "flow": "offer_secured",
        "step": "amount",
        "operation": "update",
        "outcome": "ok",
        "response_us": 1000.0,
        "queue_us": 0.0,
        "lag_us": 100.0,
        "service_us": 900.0,
        "attempts": 1,
        "value_bytes": 2500,
        "age_s": 8.0,
        "ttl_s": 300.0,
        "conversation": 0,
        "turn": 2,
        "delivery": 0,
        "worker": 0,
    },
    "keys": {
        "conversation": 0,
        "age_s": 8.0,
        "ttl_s": 300.0,
        "state": "present",
        "update": "kept",
        "worker": 0,
    },
    "samples": {
        "sample_lag_s": 0.0,
        "sample_us": 200.0,
        "keys": 1000,
        "expires": 1000,
        "errorstat_MISCONF": 0,
        "run_id": "first",
        "aof_last_bgrewrite_status": "ok",
        "aof_last_write_status": "ok",
        "used_memory": 4 * 1024**2,
        "used_memory_rss": 6 * 1024**2,
        "maxmemory": 5 * 1024**2,
        "evicted_keys": 0,
        "expired_keys": 0,
        "latest_fork_usec": 500,
        "loading": 0,
        "connected_clients": 2,
        "mem_clients_normal": 100_000,
        "used_memory_peak": 4 * 1024**2,
        "used_memory_dataset": 3 * 1024**2,
        "used_memory_overhead": 1024**2,
        "aof_enabled": 1,
        "aof_delayed_fsync": 0,
        "aof_pending_bio_fsync": 0,
        "aof_rewrites": 0,
        "aof_rewrites_consecutive_failures": 0,
        "aof_rewrite_in_progress": 0,
        "aof_last_rewrite_time_sec": 0,
        "aof_current_size": 1000,
        "aof_base_size": 500,
        "aof_last_cow_size": 0,
    },
    "evictions": {"kind": "evicted", "database": 0, "prefix": "channel", "conversation": 0},
    "eviction_windows": {
        "window_s": 1.0,
        "evicted_seen": 0,
        "expired_seen": 0,
        "evicted_keys": 0,
        "expired_keys": 0,
        "complete": True,
        "why": "",
    },
    "events": {"duration_s": 0.0, "kind": "phase", "label": "", "detail": ""},
    "generator": {
        "cpu_share": 0.1,
        "turns_due": 100,
        "turns_completed": 100,
        "turns_waiting": 0,
        "slots_busy": 2,
        "worker": 0,
    },
}


MIB = 1024**2

CALM_INFO: dict[str, Any] = {
    "redis_version": "7.2.5",
    "run_id": "first",
    "role": "master",
    "connected_slaves": 0,
    "loading": 0,
    "used_memory": 4 * MIB,
    "used_memory_peak": 4 * MIB,
    "used_memory_rss": 6 * MIB,
    "used_memory_overhead": MIB,
    "used_memory_dataset_perc": "75.00%",
    "used_memory_vm_total": 65_536,
    "maxmemory": 5 * MIB,
    "maxmemory_policy": "allkeys-lru",
    "mem_allocator": "jemalloc-5.3.0",
    "mem_fragmentation_ratio": 1.1,
    "mem_fragmentation_bytes": MIB,
    "allocator_frag_ratio": 1.02,
    "allocator_frag_bytes": 1000,
    "mem_clients_normal": 100_000,
    "mem_aof_buffer": 8,
    "mem_total_replication_buffers": 0,
    "repl_backlog_size": MIB,
    "master_repl_offset": 0,
    "number_of_cached_scripts": 0,
    "connected_clients": 2,
    "blocked_clients": 0,
    "maxclients": 10_000,
    "rejected_connections": 0,
    "evicted_clients": 0,
    "evicted_keys": 0,
    "expired_keys": 0,
    "expired_stale_perc": 0.5,
    "expired_time_cap_reached_count": 0,
    "current_eviction_exceeded_time": 0,
    "total_eviction_exceeded_time": 0,
    "keyspace_hits": 1000,
    "keyspace_misses": 100,
    "total_commands_processed": 10_000,
    "total_connections_received": 10,
    "total_error_replies": 0,
    "latest_fork_usec": 500,
    "rdb_last_bgsave_status": "ok",
    "aof_enabled": 1,
    "aof_rewrites": 0,
    "aof_rewrite_in_progress": 0,
    "aof_last_rewrite_time_sec": 0,
    "aof_last_cow_size": MIB // 4,
    "aof_current_size": 1000,
    "aof_base_size": 500,
    "aof_buffer_length": 0,
    "used_cpu_user_main_thread": 1.0,
    "used_cpu_sys_main_thread": 1.0,
    "pubsub_channels": 0,
    "pubsub_patterns": 0,
    "db0": {"keys": 1000, "expires": 1000},
    "cmdstat_get": {"calls": 10_000},
    "latency_percentiles_usec_get": {"p50": 1.0, "p99": 3.0, "p99.9": 20.0},
}
"""INFO of a server with which all is well."""

CALM_CONFIG = {
    "save": "",
    "appendonly": "yes",
    "bind": "127.0.0.1",
    "protected-mode": "yes",
    "maxmemory-policy": "allkeys-lru",
    "appendfsync": "everysec",
    "no-appendfsync-on-rewrite": "no",
    "auto-aof-rewrite-percentage": "100",
    "auto-aof-rewrite-min-size": str(64 * MIB),
    "client-output-buffer-limit": "normal 33554432 8388608 60",
    "maxmemory-clients": "5%",
    "timeout": "0",
    "hz": "10",
    "dynamic-hz": "yes",
    "disable-thp": "yes",
    "tcp-backlog": "511",
    "oom-score-adj": "relative",
    "lazyfree-lazy-eviction": "yes",
    "latency-monitor-threshold": "10",
    "slowlog-log-slower-than": "10000",
    "notify-keyspace-events": "",
    "stop-writes-on-bgsave-error": "yes",
}
"""Its settings."""

CALM_HOST: dict[str, Any] = {
    "memory_limit_bytes": 100 * MIB,
    "memory_limit_source": "cgroup v2",
    "rss_bytes": 6 * MIB,
    "swap_bytes": 0,
    "anon_huge_bytes": 0,
    "oom_score_adj": 0,
    "oom_kills": 0,
    "somaxconn": 4096,
    "transparent_hugepage": "madvise",
    "overcommit_memory": 1,
    "available_bytes": 90 * MIB,
    "filesystem": "ext4",
    "disk_free_bytes": 50 * MIB,
}
"""Its host."""


def snapshot(
    elapsed_s: float,
    *,
    info: Mapping[str, Any] | None = None,
    config: Mapping[str, str] | None = None,
    host: Mapping[str, Any] | None = CALM_HOST,
    without: Iterable[str] = (),
    **others: Any,
) -> Snapshot:
    """
    A look at a server with which all is well but for what is named.

    Args:
        elapsed_s: when, from the start of the measured phase.
        info, config, host: what differs; a host of None does not show.
        without: fields of INFO and settings that the server does not have.
        others: fields of the snapshot itself.
    """
    fields = {**CALM_INFO, **(info or {})}
    settings = {**CALM_CONFIG, **(config or {})}
    for name in without:
        fields.pop(name, None)
        settings.pop(name, None)
    return Snapshot(
        unix_s=START_UNIX_S + elapsed_s,
        info=fields,
        config=settings,
        host=None if host is None else Host(**{**CALM_HOST, **host}),
        **{
            "clients": Clients(count=2, idle_over_1h=0, output_bytes_max=0, subscribers=0),
            "default_user": "+@read +@write",
            "password_set": True,
            **others,
        },
    )


def operations(rows: Rows) -> pd.DataFrame:
    """Turns at ``elapsed_s``."""
    return _frame("operations", rows)


def samples(rows: Rows) -> pd.DataFrame:
    """INFO samples at ``elapsed_s``."""
    return _frame("samples", rows)


def events(rows: Rows) -> pd.DataFrame:
    """Events at ``elapsed_s``."""
    return _frame("events", rows)


def evictions(rows: Rows) -> pd.DataFrame:
    """Keys that the server took away at ``elapsed_s``."""
    return _frame("evictions", rows)


def eviction_windows(rows: Rows) -> pd.DataFrame:
    """Windows of a ledger that end at ``elapsed_s``."""
    return _frame("eviction_windows", rows)


def keys(rows: Rows) -> pd.DataFrame:
    """Conversations that were looked for at ``elapsed_s``."""
    return _frame("keys", rows)


def generator(rows: Rows) -> pd.DataFrame:
    """Seconds of the load that end at ``elapsed_s``."""
    return _frame("generator", rows)


def make_run(
    path: Path,
    *,
    measured_s: float | None = 10.0,
    status: str = "complete",
    host: Mapping[str, Any] | None = None,
    ours: bool = True,
    config: Mapping[str, str] | None = None,
    experiment: Mapping[str, Any] | None = None,
    snapshots: Iterable[Snapshot] = (),
    log: str | None = None,
    **tables: Rows,
) -> Run:
    """
    A run directory of these rows; a table that is not named has none.

    Args:
        path: where it is made.
        measured_s: length of the measured phase, s; None if the run did not come to it.
        status: of the manifest.
        host: of the manifest.
        ours: the server was a private one.
        config: its settings, of the manifest.
        experiment: of the manifest, what differs from a calm one's.
        snapshots: whole looks at the server; none if none is given.
        log: the server's; None if the run has none.
        tables: rows by table, each with its ``elapsed_s``.
    """
    path.mkdir(parents=True, exist_ok=True)
    phases = []
    if measured_s is not None:
        phases.append(Phase("measure", START_UNIX_S, START_UNIX_S + measured_s))
    manifest = Manifest(
        run_id=path.name,
        status=status,
        experiment={
            "name": "made",
            "scenario": "steady",
            "turns_per_s": 100.0,
            **(experiment or {}),
        },
        seed=1,
        started_unix_s=START_UNIX_S - 2.0,
        host=dict(host or {}),
        server={"ours": ours, "config": dict(config or {})},
        phases=phases,
    )
    write_manifest(path, manifest)
    if log is not None:
        (path / "logs").mkdir(exist_ok=True)
        (path / "logs" / "redis.log").write_text(log)
    if looks := list(snapshots):
        write_snapshots(path, looks)
    for name, rows in tables.items():
        writer = TableWriter(path, name, "made")
        for row in _filled(name, rows):
            writer.append([row.get(column.name) for column in TABLES[name].columns])
        writer.flush()
    return Run(path)


def _filled(table: str, rows: Rows) -> list[dict[str, Any]]:
    filled = []
    for row in rows:
        known = {column.name for column in TABLES[table].columns} | {"elapsed_s"}
        assert set(row) <= known, f"{table} has no column {set(row) - known}"
        filled.append({**_CALM[table], "unix_s": START_UNIX_S + row["elapsed_s"], **row})
    return filled


def _frame(table: str, rows: Rows) -> pd.DataFrame:
    filled = _filled(table, rows)
    frame = pa.Table.from_pylist(filled, schema=TABLES[table].arrow).to_pandas()
    frame.insert(1, "elapsed_s", pd.Series([row["elapsed_s"] for row in filled], dtype=float))
    return frame
