"""How the AOF grows, and when the server will rewrite it by itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from workbench.analysis.persistence import base_made_anew
from workbench.analysis.windows import needed

__all__ = ["NextRewrite", "next_rewrite", "trigger_bytes"]

_SAMPLES_LEAST: Final = 3


@dataclass(frozen=True, slots=True)
class NextRewrite:
    """
    When the next automatic rewrite is due, if the load goes on as it is.

    Attributes:
        trigger_bytes: the size at which it begins; None if it is not known, or never does.
        rate_bytes_per_s: how fast the AOF grows under the measured load, since the latest rewrite,
            or before it where there are too few samples since; None if not known.
        due_s: when, elapsed s; None if it cannot be told.
        why: why it cannot; empty if it can.
    """

    trigger_bytes: int | None
    rate_bytes_per_s: float | None
    due_s: float | None
    why: str


def trigger_bytes(base_bytes: pd.Series, config: Mapping[str, str]) -> pd.Series | None:
    """
    The size beyond which the server rewrites its AOF, at each size of the base; None if never.

    Args:
        base_bytes: ``aof_base_size``.
        config: with ``auto-aof-rewrite-percentage`` and ``auto-aof-rewrite-min-size``.

    Source:
        Redis 7.0.15, server.c: the size is above the least size, and has grown by the percentage
        over the base, which counts as 1 byte where there is none.
    """
    percentage, least = _settings(config)
    if percentage is None or least is None or percentage == 0:
        return None
    grown = base_bytes.astype(float).clip(lower=1) * (1 + percentage / 100)
    return grown.clip(lower=float(least))


def next_rewrite(samples: pd.DataFrame, config: Mapping[str, str]) -> NextRewrite:
    """
    The next rewrite that the server will begin by itself, from how the AOF grew since the latest.

    What came before the measured phase is no part of it: a prefill writes far faster than people.

    Args:
        samples: columns ``elapsed_s`` (s, from the start of the measured phase),
            ``aof_current_size`` (bytes), ``aof_rewrite_in_progress``, and those for
            ``persistence.base_made_anew``.
        config: the server's settings, of the manifest or a snapshot.
    """
    frame = needed(
        samples,
        *("elapsed_s", "run_id", "aof_base_size", "aof_current_size", "aof_rewrite_in_progress"),
        *("aof_last_rewrite_time_sec", "loading"),
    ).dropna(subset=["aof_base_size", "aof_current_size"])
    frame = frame[frame["loading"] != 1]
    if frame.empty:
        kept = "the server was not sampled" if samples.empty else "the server keeps no AOF"
        return NextRewrite(None, None, None, kept)
    percentage, least = _settings(config)
    if percentage is None or least is None:
        return NextRewrite(None, None, None, "the settings of automatic rewrites are not known")
    if percentage == 0:
        return NextRewrite(None, None, None, "automatic rewrites are off")
    cycles = _cycles(frame)
    since = frame[cycles == cycles.iloc[-1]]
    limits = trigger_bytes(since["aof_base_size"], config)
    assert limits is not None, "there is a percentage"
    limit = int(limits.iloc[-1])
    last = since.iloc[-1]
    if last["aof_rewrite_in_progress"] == 1:
        return NextRewrite(limit, None, None, "a rewrite went on when the run ended")
    rate = _rate(since)
    if rate is None:
        # Right after a rewrite, how it grew before that one tells more than two samples.
        rate = _rate(frame[cycles == cycles.iloc[-1] - 1])
    if rate is None:
        return NextRewrite(limit, None, None, "too few samples under the load since a rewrite")
    if rate < 1:
        return NextRewrite(limit, rate, None, "the AOF does not grow")
    left = max(0.0, limit - float(last["aof_current_size"]))
    return NextRewrite(limit, rate, float(last["elapsed_s"]) + left / rate, "")


def _settings(config: Mapping[str, str]) -> tuple[int | None, int | None]:
    return tuple(
        int(config[name]) if str(config.get(name, "")).isdigit() else None
        for name in ("auto-aof-rewrite-percentage", "auto-aof-rewrite-min-size")
    )  # type: ignore[return-value]


def _cycles(frame: pd.DataFrame) -> pd.Series:
    """The number of each sample's cycle, which begins with a new base or a start of the server."""
    life = frame["run_id"].astype(str)
    return (base_made_anew(frame) | (life != life.shift())).cumsum()


def _rate(since: pd.DataFrame) -> float | None:
    """By all samples under load, not by two: the AOF grows in steps where it is fsynced."""
    since = since[since["elapsed_s"] >= 0]
    if len(since) < _SAMPLES_LEAST:
        return None
    times_s = since["elapsed_s"].to_numpy(dtype=float)
    sizes = since["aof_current_size"].to_numpy(dtype=float)
    if np.ptp(times_s) <= 0:
        return None
    return float(np.polyfit(times_s - times_s[0], sizes, 1)[0])
