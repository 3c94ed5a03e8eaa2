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

__all__ = [
    "START_UNIX_S",
    "events",
    "eviction_windows",
    "evictions",
    "generator",
    "keys",
    "make_run",
    "operations",
    "samples",
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
