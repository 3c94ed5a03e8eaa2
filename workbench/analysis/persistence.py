"""AOF rewrites, forks and what they take: spans, copy-on-write, the memory a server needs."""

from dataclasses import dataclass

import pandas as pd

from workbench.analysis.windows import growth, needed

__all__ = ["MemoryNeed", "memory_need", "rewrite_spans", "rewrites"]


def rewrites(samples: pd.DataFrame) -> int | None:
    """AOF rewrites that were finished during the samples; None if the server does not say."""
    return growth(samples, "aof_rewrites")


def rewrite_spans(events: pd.DataFrame, samples: pd.DataFrame) -> pd.DataFrame:
    """
    When AOF rewrites went on.

    From the server's own log where it was ours to read; else each change of ``aof_base_size``
    between two samples, which tells the end of a rewrite to one sampling interval and of its
    duration only whole seconds.

    Args:
        events: columns ``kind``, ``elapsed_s``, ``duration_s``, ``label``.
        samples: columns ``elapsed_s``, ``aof_base_size``, ``aof_last_rewrite_time_sec``.

    Returns:
        One row per rewrite: ``elapsed_s``, ``duration_s`` and ``source`` (``log`` or ``samples``).
    """
    logged = events[events["kind"] == "aof_rewrite"]
    if not logged.empty:
        return logged[["elapsed_s", "duration_s"]].assign(source="log").reset_index(drop=True)
    frame = needed(samples, "elapsed_s", "aof_base_size", "aof_last_rewrite_time_sec")
    changed = frame["aof_base_size"].diff().fillna(0) != 0
    ends = frame[changed]
    duration_s = ends["aof_last_rewrite_time_sec"].clip(lower=0).astype(float)
    return pd.DataFrame(
        {
            "elapsed_s": (ends["elapsed_s"] - duration_s).to_numpy(),
            "duration_s": duration_s.to_numpy(),
            "source": "samples",
        }
    )


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """
    What a server at its cap takes of the machine, bytes, from what one run saw.

    Attributes:
        rss_bytes: highest resident memory of the server.
        cow_bytes: most memory that a rewrite copied; 0 if none was finished.
        rewrites: finished rewrites that the copy was seen in.
        maxmemory_bytes: the cap.
    """

    rss_bytes: int
    cow_bytes: int
    rewrites: int
    maxmemory_bytes: int

    @property
    def needed_bytes(self) -> int:
        """Resident memory and the copy together."""
        return self.rss_bytes + self.cow_bytes

    @property
    def needed_ratio(self) -> float:
        """Needed ÷ maxmemory."""
        return self.needed_bytes / self.maxmemory_bytes


def memory_need(samples: pd.DataFrame) -> MemoryNeed | None:
    """
    The memory that a run's server needed; None without a cap or without samples.

    Source:
        ``used_memory_rss`` and ``aof_last_cow_size`` of INFO. ``current_cow_peak`` reads 0 for
        rewrites shorter than about 1 s, so it is not used.
    """
    frame = needed(samples, "used_memory_rss", "aof_last_cow_size", "maxmemory")
    if frame.empty or not frame["maxmemory"].iloc[-1] > 0:
        return None
    copied = frame["aof_last_cow_size"].max()
    return MemoryNeed(
        rss_bytes=int(frame["used_memory_rss"].max()),
        cow_bytes=0 if pd.isna(copied) else int(copied),
        rewrites=rewrites(frame) or 0,
        maxmemory_bytes=int(frame["maxmemory"].iloc[-1]),
    )
