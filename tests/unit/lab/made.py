"""A cell's figures as they would be measured, without a server."""

from dataclasses import asdict

from workbench.lab.memory import Cell, Measured

__all__ = ["measured_of"]


def measured_of(cell: Cell, **changes: object) -> Measured:
    """It takes a tenth more than its cap, and is killed where the limit is below that."""
    peak = round(1.1 * cell.maxmemory_bytes)
    killed = cell.limit_bytes is not None and peak >= cell.limit_bytes
    found = {
        "keys": 1000,
        "used_memory_bytes": cell.maxmemory_bytes,
        "before_bytes": round(1.05 * cell.maxmemory_bytes),
        "peak_bytes": peak,
        "cow_bytes": None if killed else round(0.05 * cell.maxmemory_bytes),
        "aof_buffer_bytes": None if killed else 2560,
        "fork_s": 0.01,
        "rewrite_s": None if killed else 2.5,
        "written_per_s": cell.writes_per_s,
        "base_bytes": None if killed else 1_000_000,
        "killed": killed,
        "killed_in": "rewrite" if killed else "",
        "killed_process": "server" if killed else "",
        "limit_use_bytes_peak": cell.limit_bytes,
        "watched_by": "cgroup v1",
        "why_no_cgroup": "",
        "engine": "redis",
        "version": "7.0.15",
        "allocator": "jemalloc-5.3.0",
    }
    return Measured(**(asdict(cell) | found | changes))
