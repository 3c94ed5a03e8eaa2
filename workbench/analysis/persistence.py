"""AOF rewrites, forks and what they take: spans, copy-on-write, the memory a server needs."""

from dataclasses import dataclass

import pandas as pd

from workbench.analysis.windows import needed

__all__ = [
    "MemoryNeed",
    "aof_enabled",
    "base_made_anew",
    "failed_rewrites",
    "finished_rewrites",
    "memory_need",
    "rewrite_spans",
    "rewrite_time_share",
    "since_first_rewrite",
]


def aof_enabled(samples: pd.DataFrame) -> bool | None:
    """Whether the server keeps an AOF, at the last sample; None if it does not say."""
    said = needed(samples, "aof_enabled")["aof_enabled"].dropna()
    return None if said.empty else bool(said.iloc[-1])


def base_made_anew(samples: pd.DataFrame) -> pd.Series:
    """
    Which samples are the first that show the ``aof_base_size`` of a rewrite.

    A server that was started shows another size as well: 0 while it reads its data, then that of
    the base file. No rewrite has ended then, of which ``aof_last_rewrite_time_sec`` is -1. From 0
    the size grows by the first rewrite of a new server, too.

    Args:
        samples: columns ``run_id``, ``aof_base_size``, ``aof_last_rewrite_time_sec``, ``loading``.
    """
    frame = needed(samples, "run_id", "aof_base_size", "aof_last_rewrite_time_sec", "loading")
    sizes = frame["aof_base_size"].astype(float)
    life = frame["run_id"].astype(str)
    lasted_s = frame["aof_last_rewrite_time_sec"].astype(float)
    told = (lasted_s >= 0) | (lasted_s.isna() & (sizes.shift() > 0))
    loaded = (frame["loading"] == 1) | (frame["loading"].shift() == 1)
    return (sizes.diff().fillna(0) != 0) & (life == life.shift()) & told & ~loaded


def rewrite_spans(events: pd.DataFrame, samples: pd.DataFrame) -> pd.DataFrame:
    """
    When AOF rewrites went on, finished or not.

    From the server's own log where it was ours to read; else each change of ``aof_base_size``
    between two samples, which tells the end of a rewrite to one sampling interval, and its
    duration by a clock of whole seconds: it may be 1 s more or less.

    Args:
        events: columns ``kind``, ``elapsed_s``, ``duration_s``, ``label``.
        samples: columns ``elapsed_s``, and those for ``base_made_anew``.

    Returns:
        One row per rewrite: ``elapsed_s``, ``end_s``, ``duration_s``, ``unsure_s`` (how much the
        duration may be off), ``outcome`` (``ok``, ``err`` or ``open``) and ``source`` (``log`` or
        ``samples``).
    """
    logged = events[events["kind"] == "aof_rewrite"].reset_index(drop=True)
    if not logged.empty:
        return logged[["elapsed_s"]].assign(
            end_s=logged["elapsed_s"] + logged["duration_s"],
            duration_s=logged["duration_s"],
            unsure_s=0.0,
            outcome=logged["label"].astype(str),
            source="log",
        )
    frame = needed(samples, "elapsed_s", "aof_last_rewrite_time_sec")
    ends = frame[base_made_anew(samples)].reset_index(drop=True)
    duration_s = ends["aof_last_rewrite_time_sec"].clip(lower=0).astype(float)
    return pd.DataFrame(
        {
            "elapsed_s": ends["elapsed_s"] - duration_s,
            "end_s": ends["elapsed_s"],
            "duration_s": duration_s,
            "unsure_s": 1.0,
            "outcome": "ok",
            "source": "samples",
        }
    )


def finished_rewrites(events: pd.DataFrame, samples: pd.DataFrame) -> pd.DataFrame:
    """
    The rewrites, as of ``rewrite_spans``, that ended well under the measured load.

    Those that had ended before the measured phase began were brought about by the prefill. INFO's
    ``aof_rewrites`` is not used: it counts a rewrite when it starts.
    """
    spans = rewrite_spans(events, samples)
    return spans[(spans["outcome"] == "ok") & (spans["end_s"] >= 0)]


def rewrite_time_share(finished: pd.DataFrame, samples: pd.DataFrame) -> tuple[float, float]:
    """
    Between which shares of the measured time rewrites took; the same where a log tells.

    Args:
        finished: as ``finished_rewrites`` has them.
        samples: column ``elapsed_s``.
    """
    began_s = finished["elapsed_s"].clip(lower=0)
    lasted_s = (finished["end_s"] - began_s).clip(lower=0)
    least_s = (lasted_s - finished["unsure_s"]).clip(lower=0).sum()
    most_s = (lasted_s + finished["unsure_s"]).sum()
    measured_s = max(1.0, float(samples["elapsed_s"].iloc[-1]), float(finished["end_s"].max()))
    return min(1.0, least_s / measured_s), min(1.0, most_s / measured_s)


def since_first_rewrite(events: pd.DataFrame, samples: pd.DataFrame) -> pd.DataFrame:
    """
    The samples since the first finished rewrite of the measured load; none if there was none.

    Only from then on do INFO's fields of the latest fork and rewrite tell of this load.
    """
    ends_s = finished_rewrites(events, samples)["end_s"]
    return samples.iloc[:0] if ends_s.empty else samples[samples["elapsed_s"] >= ends_s.min()]


def failed_rewrites(events: pd.DataFrame, samples: pd.DataFrame) -> int:
    """
    How many rewrites failed under the measured load.

    The log, the server's count of failures in a row and its status each miss some: the most that
    one of them tells is taken. A refused fork is not in the count (Redis 7.0.15, aof.c).

    Args:
        events: as for ``rewrite_spans``.
        samples: columns ``elapsed_s``, ``aof_last_bgrewrite_status``,
            ``aof_rewrites_consecutive_failures``, and those for ``rewrite_spans``.
    """
    spans = rewrite_spans(events, samples)
    logged = int(((spans["outcome"] == "err") & (spans["end_s"] >= 0)).sum())
    during = (samples["elapsed_s"] >= 0).to_numpy()
    frame = needed(samples, "aof_rewrites_consecutive_failures", "aof_last_bgrewrite_status")
    counted = frame["aof_rewrites_consecutive_failures"].astype(float).diff().clip(lower=0)
    bad = frame["aof_last_bgrewrite_status"] == "err"
    turned = bad.astype(int).diff() > 0
    return max(logged, int(counted[during].sum()), int(turned[during].sum()))


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """
    What a server at its cap takes of the machine, bytes, from what one run saw.

    Attributes:
        rss_bytes: highest resident memory of the server.
        held_bytes: the most that was resident, or was used where less was resident than used: what
            was swapped out comes back.
        cow_bytes: most memory that a rewrite of the measured load copied; 0 if none was seen.
        rewrites: finished rewrites that the copy was seen of.
        maxmemory_bytes: the cap.
    """

    rss_bytes: int
    held_bytes: int
    cow_bytes: int
    rewrites: int
    maxmemory_bytes: int

    @property
    def needed_bytes(self) -> int:
        """What is held and the copy together."""
        return self.held_bytes + self.cow_bytes

    @property
    def needed_ratio(self) -> float:
        """Needed ÷ maxmemory."""
        return self.needed_bytes / self.maxmemory_bytes


def memory_need(events: pd.DataFrame, samples: pd.DataFrame) -> MemoryNeed | None:
    """
    The memory that a run's server needed; None without a cap or without samples.

    Args:
        events: as for ``rewrite_spans``.
        samples: also with columns ``used_memory``, ``used_memory_rss``, ``aof_last_cow_size``,
            ``maxmemory``.

    Source:
        ``used_memory_rss`` and ``aof_last_cow_size`` of INFO. ``current_cow_peak`` reads 0 for
        rewrites shorter than about 1 s, so it is not used.
    """
    frame = needed(samples, "used_memory", "used_memory_rss", "aof_last_cow_size", "maxmemory")
    if frame.empty or not frame["maxmemory"].iloc[-1] > 0:
        return None
    copied = since_first_rewrite(events, frame)["aof_last_cow_size"].max()
    return MemoryNeed(
        rss_bytes=int(frame["used_memory_rss"].max()),
        held_bytes=int(frame[["used_memory", "used_memory_rss"]].max().max()),
        cow_bytes=0 if pd.isna(copied) else int(copied),
        rewrites=0 if pd.isna(copied) else len(finished_rewrites(events, frame)),
        maxmemory_bytes=int(frame["maxmemory"].iloc[-1]),
    )
