"""What a server was seen to be busy with, and when: what may have made people wait."""

from collections.abc import Iterator, Sequence
from typing import Final

import pandas as pd

from workbench.analysis.persistence import rewrite_spans
from workbench.analysis.windows import needed, rate_per_s
from workbench.runs.snapshot import Snapshot

__all__ = ["KINDS", "causes", "covered_share", "forks"]

KINDS: Final = (
    "fault",
    "restart",
    "AOF rewrite",
    "fork",
    "slow fsync",
    "eviction burst",
    "slow command",
    "latency event",
    "clock step",
)
"""Kinds of cause, in the order in which they are shown."""

# So many times the run's own median of the times at which anything was evicted at all.
_BURST_RATIO: Final = 3.0
_BURST_KEYS_MIN: Final = 50
# A quicker one is no reason to wait: Redis 7.0.15 forks with 1 GiB in about 10 ms.
_FORK_US_MIN: Final = 2_000
# Clocks of whole seconds: SLOWLOG and LATENCY say in which second.
_WHOLE_S: Final = 1.0

_Cause = tuple[str, str, float, float, float]


def causes(
    events: pd.DataFrame,
    samples: pd.DataFrame,
    looks: Sequence[Snapshot] = (),
    *,
    start_unix_s: float = 0.0,
) -> pd.DataFrame:
    """
    Whatever the server, or somebody with it, was seen to do that could make people wait.

    Args:
        events: of the run.
        samples: of the run.
        looks: its snapshots, for SLOWLOG and the latency monitor.
        start_unix_s: from when ``elapsed_s`` counts.

    Returns:
        One row per cause, in the order of time: ``kind`` (one of KINDS), ``cause`` (in words),
        ``elapsed_s``, ``end_s``, and ``held_us``: for how long it held the server up, by the
        server's own clock or by who did it; NaN where that is not known.
    """
    found = [
        *_faults(events),
        *_restarts(samples),
        *_rewrites(events, samples),
        *_forks(events, samples),
        *_fsyncs(samples),
        *_bursts(samples),
        *_slow(looks, start_unix_s),
        *_noted(looks, start_unix_s),
    ]
    frame = pd.DataFrame(found, columns=["kind", "cause", "elapsed_s", "end_s", "held_us"])
    times = dict.fromkeys(("elapsed_s", "end_s", "held_us"), float)
    return frame.astype(times).sort_values("elapsed_s", kind="stable", ignore_index=True)


def covered_share(found: pd.DataFrame, first_s: float, last_s: float) -> float:
    """
    Which share of a time has a cause at all: so many of all spikes would meet one by chance.

    Args:
        found: as ``causes`` makes them.
        first_s: beginning of that time, elapsed s.
        last_s: its end.
    """
    covered_s, until_s = 0.0, first_s
    for start_s, end_s in zip(found["elapsed_s"], found["end_s"], strict=True):
        covered_s += max(0.0, min(end_s, last_s) - max(start_s, until_s))
        until_s = max(until_s, end_s)
    return covered_s / (last_s - first_s) if last_s > first_s else 0.0


def forks(samples: pd.DataFrame) -> pd.DataFrame:
    """
    The forks that INFO showed, whatever for; of several between two samples it tells the latest.

    Args:
        samples: columns ``elapsed_s`` (s), ``total_forks`` and ``latest_fork_usec`` (µs).

    Returns:
        One row per sample that showed a new one: ``after_s`` and ``elapsed_s`` (between which it
        was, s) and ``fork_us`` (µs).
    """
    frame = needed(samples, "elapsed_s", "total_forks", "latest_fork_usec")
    seen = pd.DataFrame(
        {
            "after_s": frame["elapsed_s"].shift(),
            "elapsed_s": frame["elapsed_s"],
            "fork_us": frame["latest_fork_usec"].astype(float),
        }
    )
    return seen[frame["total_forks"].astype(float).diff() > 0].reset_index(drop=True)


def _faults(events: pd.DataFrame) -> Iterator[_Cause]:
    for kind, name in (("fault", "fault"), ("clock_step", "clock step")):
        rows = events[events["kind"] == kind]
        for label, start_s, lasted_s in zip(
            rows["label"].astype(str), rows["elapsed_s"], rows["duration_s"], strict=True
        ):
            said = f"{label} (a fault)" if kind == "fault" else f"the clock was set by {label}"
            yield name, said, start_s, start_s + lasted_s, 1e6 * lasted_s


def _restarts(samples: pd.DataFrame) -> Iterator[_Cause]:
    frame = needed(samples, "elapsed_s", "run_id", "loading")
    ids = frame["run_id"].astype(str)
    anew = (ids != ids.shift()) & ids.shift().notna()
    before_s = frame["elapsed_s"].shift()
    loading = (frame["loading"].fillna(0) > 0) & before_s.notna()
    for start_s, end_s in zip(before_s[anew], frame["elapsed_s"][anew], strict=True):
        yield "restart", "a restart", start_s, end_s, float("nan")
    for start_s, end_s in zip(before_s[loading], frame["elapsed_s"][loading], strict=True):
        yield "restart", "loading its data", start_s, end_s, float("nan")


def _rewrites(events: pd.DataFrame, samples: pd.DataFrame) -> Iterator[_Cause]:
    spans = rewrite_spans(events, samples)
    for start_s, end_s in zip(spans["elapsed_s"], spans["end_s"], strict=True):
        yield "AOF rewrite", "an AOF rewrite", start_s, end_s, float("nan")


def _forks(events: pd.DataFrame, samples: pd.DataFrame) -> Iterator[_Cause]:
    starts_s = rewrite_spans(events, samples)["elapsed_s"]
    for after_s, seen_s, fork_us in forks(samples).itertuples(index=False):
        if not fork_us >= _FORK_US_MIN:
            continue
        # The server writes that a rewrite began when its fork is done.
        done_s = starts_s[starts_s.between(after_s, seen_s)]
        start_s, end_s = (
            (after_s, seen_s)
            if done_s.empty
            else (done_s.iloc[-1] - fork_us / 1e6, done_s.iloc[-1])
        )
        yield "fork", "a fork", start_s, end_s, fork_us


def _fsyncs(samples: pd.DataFrame) -> Iterator[_Cause]:
    frame = needed(samples, "elapsed_s", "aof_delayed_fsync", "aof_pending_bio_fsync")
    before_s = frame["elapsed_s"].shift()
    delayed = frame["aof_delayed_fsync"].astype(float).diff() > 0
    for start_s, end_s in zip(before_s[delayed], frame["elapsed_s"][delayed], strict=True):
        yield "slow fsync", "a write that waited for an fsync", start_s, end_s, float("nan")
    # One sample meets an fsync by chance, since there is one a second; two in a row do not.
    pending = frame["aof_pending_bio_fsync"].fillna(0) > 0
    for _, at_s in frame["elapsed_s"][pending].groupby((~pending).cumsum()[pending]):
        if len(at_s) > 1:
            yield "slow fsync", "a slow fsync", at_s.iloc[0], at_s.iloc[-1], float("nan")


def _bursts(samples: pd.DataFrame) -> Iterator[_Cause]:
    if len(samples) < 2:
        return
    rate = rate_per_s(samples, "evicted_keys")
    evicting = rate[rate > 0]
    lasted_s = pd.Series(samples["elapsed_s"].diff().to_numpy()[1:], index=rate.index)
    many = (rate > _BURST_RATIO * evicting.median()) & (rate * lasted_s >= _BURST_KEYS_MIN)
    for end_s in rate.index[many]:
        start_s = end_s - lasted_s[end_s]
        yield "eviction burst", "a burst of evictions", start_s, end_s, float("nan")


def _slow(looks: Sequence[Snapshot], start_unix_s: float) -> Iterator[_Cause]:
    entries = {(e.number, e.unix_s): e for look in looks for e in look.slowlog}
    for entry in entries.values():
        held_s = entry.duration_us / 1e6
        at_s = entry.unix_s - start_unix_s
        said = f"a slow {entry.command.upper()}"
        yield "slow command", said, at_s - held_s, at_s + _WHOLE_S, float(entry.duration_us)


def _noted(looks: Sequence[Snapshot], start_unix_s: float) -> Iterator[_Cause]:
    entries = {
        (name, event.unix_s): event for look in looks for name, event in look.latency.items()
    }
    for (name, unix_s), event in entries.items():
        at_s = unix_s - start_unix_s
        held_us = 1000.0 * event.latest_ms
        said = f"the latency event {name}"
        yield "latency event", said, at_s - held_us / 1e6, at_s + _WHOLE_S, held_us
