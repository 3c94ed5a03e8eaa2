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
        at_s: the moment, elapsed s: when most was held.
        startup: what the empty server takes.
        client_buffers, aof_buffer, replica_buffers: parts of ``used_memory_overhead``.
        overhead: the rest of it, as the tables of keys; with every part of it that is not known.
        dataset: keys and values.
        used: ``used_memory``, the sum of the six if overhead and dataset are known.
        fragmentation: resident memory beyond ``used_memory``: gaps, free pages that are kept, the
            program itself. Below 0 if less is resident than is used, as after swapping.
        resident: ``used_memory_rss``.
        copied: what a rewrite of the measured load copied on write at most; None if none was seen.
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
    copied: int | None
    cap: int | None

    @property
    def held(self) -> int:
        """What is resident, or what is used if that is more: it may come back from the swap."""
        return max(self.resident, self.used)

    @property
    def needed(self) -> int:
        """What is held, and the copy on top of it as far as one was seen."""
        return self.held + (self.copied or 0)


def memory_parts(
    samples: pd.DataFrame, events: pd.DataFrame, info: Mapping[str, Any]
) -> MemoryParts | None:
    """
    The parts of the memory when most was held: was resident, or used where that is more.

    Args:
        samples: columns ``elapsed_s`` (s), ``used_memory``, its parts, ``used_memory_rss``,
            ``aof_last_cow_size`` and ``maxmemory`` (bytes).
        events: as for ``persistence.rewrite_spans``.
        info: INFO of a snapshot, for what the samples do not have: ``used_memory_startup`` and the
            buffers of replicas; may be empty. It is of another moment: where buffers of replicas
            do not fit the overhead they are not known.

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
    held = told.assign(held=told[["used_memory_rss", "used_memory"]].max(axis=1))
    at = held.sort_values(["held", "used_memory"], kind="stable").iloc[-1]
    within = {
        "startup": _bytes(info.get("used_memory_startup")),
        "client_buffers": _bytes(at["mem_clients_normal"]),
        "aof_buffer": _bytes(at["mem_aof_buffer"]),
        "replica_buffers": _sum(info, "mem_clients_slaves", "mem_replication_backlog"),
    }
    used, resident = int(at["used_memory"]), int(at["used_memory_rss"])
    overhead, dataset = _bytes(at["used_memory_overhead"]), _bytes(at["used_memory_dataset"])
    if overhead is None and dataset is not None:
        overhead = used - dataset
    rest = None if overhead is None else overhead - sum(part or 0 for part in within.values())
    if within["replica_buffers"] and (rest is None or rest < 0):
        rest = None if rest is None else rest + within["replica_buffers"]
        within["replica_buffers"] = None
    if dataset is None and overhead is not None:
        dataset = used - overhead
    return MemoryParts(
        at_s=float(at["elapsed_s"]),
        **within,
        overhead=None if rest is None else max(0, rest),
        dataset=dataset,
        used=used,
        fragmentation=resident - used,
        resident=resident,
        copied=_bytes(since_first_rewrite(events, samples)["aof_last_cow_size"].max()),
        cap=_bytes(at["maxmemory"]) or None,
    )


def _bytes(value: Any) -> int | None:
    return None if value is None or pd.isna(value) else int(value)


def _sum(info: Mapping[str, Any], *names: str) -> int | None:
    known = [int(info[name]) for name in names if name in info]
    return sum(known) if known else None
