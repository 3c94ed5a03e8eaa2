"""What a server's memory is made of, from its start to what a rewrite takes on top."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from workbench.analysis.persistence import since_first_rewrite
from workbench.analysis.windows import needed

__all__ = ["MemoryParts", "memory_parts"]


@dataclass(frozen=True, slots=True)
class MemoryParts:
    """
    The parts of a server's memory at one moment, bytes; what is not known is None.

    Attributes:
        at_s: the moment, elapsed s: when resident memory was at its highest.
        startup: what the empty server takes.
        client_buffers, aof_buffer, replica_buffers: parts of ``used_memory_overhead``.
        overhead: the rest of it, as the tables of keys; with every part of it that is not known.
        dataset: keys and values.
        used: ``used_memory``, the sum of the six.
        fragmentation: resident memory beyond ``used_memory``: gaps, free pages that are kept, the
            program itself. Below 0 if less is resident than is used.
        resident: ``used_memory_rss``.
        copied: what a rewrite of the measured load copied on write at most; 0 if none was seen to.
        cap: ``maxmemory``; None if there is none.
    """

    at_s: float
    startup: int | None
    client_buffers: int | None
    aof_buffer: int | None
    replica_buffers: int | None
    overhead: int | None
    dataset: int | None
    used: int
    fragmentation: int
    resident: int
    copied: int
    cap: int | None

    @property
    def needed(self) -> int:
        """What is resident, and the copy on top of it."""
        return self.resident + self.copied


def memory_parts(
    samples: pd.DataFrame, events: pd.DataFrame, info: Mapping[str, Any]
) -> MemoryParts | None:
    """
    The parts of the memory when resident memory was at its highest.

    Args:
        samples: columns ``elapsed_s`` (s), ``used_memory``, its parts, ``used_memory_rss``,
            ``aof_last_cow_size`` and ``maxmemory`` (bytes).
        events: as for ``persistence.rewrite_spans``.
        info: INFO of a snapshot, for what the samples do not have: ``used_memory_startup`` and the
            buffers of replicas; may be empty.

    Returns:
        the parts; None if no sample tells used and resident memory.

    Source:
        INFO memory: ``used_memory`` is overhead and dataset; the overhead counts startup, buffers
        of clients and replicas, the AOF's buffer and the tables of keys (Redis 7.0.15, object.c).
    """
    frame = needed(
        samples,
        *("elapsed_s", "used_memory", "used_memory_rss", "used_memory_overhead"),
        *("used_memory_dataset", "mem_clients_normal", "mem_aof_buffer", "maxmemory"),
        "aof_last_cow_size",
    )
    told = frame.dropna(subset=["used_memory", "used_memory_rss"])
    if told.empty:
        return None
    # Of several that stand as high, the one that used the most.
    at = told.sort_values(["used_memory_rss", "used_memory"], kind="stable").iloc[-1]
    within = {
        "startup": _bytes(info.get("used_memory_startup")),
        "client_buffers": _bytes(at["mem_clients_normal"]),
        "aof_buffer": _bytes(at["mem_aof_buffer"]),
        "replica_buffers": _sum(info, "mem_clients_slaves", "mem_replication_backlog"),
    }
    overhead = _bytes(at["used_memory_overhead"])
    rest = None if overhead is None else overhead - sum(part or 0 for part in within.values())
    used, resident = int(at["used_memory"]), int(at["used_memory_rss"])
    copied = _bytes(since_first_rewrite(events, samples)["aof_last_cow_size"].max())
    return MemoryParts(
        at_s=float(at["elapsed_s"]),
        **within,
        overhead=None if rest is None else max(0, rest),
        dataset=_bytes(at["used_memory_dataset"]),
        used=used,
        fragmentation=resident - used,
        resident=resident,
        copied=copied or 0,
        cap=_bytes(at["maxmemory"]) or None,
    )


def _bytes(value: Any) -> int | None:
    return None if value is None or pd.isna(value) else int(value)


def _sum(info: Mapping[str, Any], *names: str) -> int | None:
    known = [int(info[name]) for name in names if name in info]
    return sum(known) if known else None
