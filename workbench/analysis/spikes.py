"""
Spikes of latency, and what the server was busy with meanwhile.

A window is a spike if its slow end stands out against the run's own: it is three times the median
of all windows or more, and 5 ms over it at least. Its slow end is the p99 by nearest rank, which
in a window of under a hundred is the slowest one. Neighbours are one spike.
"""

from collections.abc import Hashable, Mapping
from typing import Any, Final

import numpy as np
import pandas as pd

from workbench.analysis.windows import Turns, needed, needed_rows

__all__ = [
    "LATE",
    "UNKNOWN",
    "explained_share",
    "labelled",
    "sample_windows",
    "spikes",
    "threshold_us",
    "turn_windows",
]

UNKNOWN: Final = "unknown"
"""The cause of a spike during which nothing was seen."""

LATE: Final = "a late load generator"
"""The cause of a spike that the load itself made."""

_RATIO: Final = 3.0
# The floor keeps a calm run calm: timers of a shared machine are late by some milliseconds.
_FLOOR_US: Final = 5_000.0
_WINDOWS_MIN: Final = 3
_HALF: Final = 0.5
_TENTH: Final = 0.1


def turn_windows(turns: Turns, *, window_s: float = 1.0) -> pd.DataFrame:
    """
    The slow end of each window of turns, by when they were due.

    Args:
        turns: columns ``elapsed_s`` (s), ``response_us`` and ``lag_us`` (µs).
        window_s: width of a window, s.

    Returns:
        One row per window: ``elapsed_s``, ``end_s`` (s), ``slow_us`` (µs), ``due_s``: when the
        turn was due that waited so long, and ``late_share``: which part of the wait of its slowest
        turns was the generator's own lateness.
    """
    rows = needed_rows(turns, "elapsed_s", "response_us", "lag_us")
    at = "floor(elapsed_s / $window_s) * $window_s"
    return rows.ask(
        f"select of_s as elapsed_s, of_s + $window_s as end_s, slow_us, "
        "min(elapsed_s) filter (response_us <= slow_us) as due_s, "
        "coalesce(sum(lag_us::double) / nullif(sum(response_us::double), 0), 0) as late_share "
        f"from rows join (select {at} as of_s, quantile_disc(response_us, 0.99)::double as slow_us "
        f"from rows group by of_s) on of_s = {at} where response_us >= slow_us "
        "group by of_s, slow_us order by of_s",
        window_s=window_s,
    ).astype(float)


def sample_windows(samples: pd.DataFrame) -> pd.DataFrame:
    """
    The sampler's own round trips, each from its question to the server's reply.

    Returns:
        As of ``turn_windows``; nothing of it is a load's lateness.
    """
    frame = needed(samples, "elapsed_s", "sample_us")
    slow_us = frame["sample_us"].astype(float)
    return pd.DataFrame(
        {
            "elapsed_s": frame["elapsed_s"] - slow_us / 1e6,
            "end_s": frame["elapsed_s"],
            "slow_us": slow_us,
            "due_s": frame["elapsed_s"] - slow_us / 1e6,
            "late_share": 0.0,
        }
    ).reset_index(drop=True)


def threshold_us(windows: pd.DataFrame) -> float:
    """From where on a window is a spike, µs; NaN of fewer than three windows."""
    if len(windows) < _WINDOWS_MIN:
        return float("nan")
    median_us = float(windows["slow_us"].median())
    return max(_RATIO * median_us, median_us + _FLOOR_US)


def spikes(windows: pd.DataFrame) -> pd.DataFrame:
    """
    The windows that stand out, neighbours as one.

    Args:
        windows: as ``turn_windows`` or ``sample_windows`` makes them.

    Returns:
        One row per spike: ``elapsed_s``, ``end_s``, ``at_s`` (start of its worst window), and
        that window's ``slow_us``, ``due_s`` and ``late_share``.
    """
    high = windows["slow_us"] >= threshold_us(windows)
    found = windows[high]
    # One that begins where the one before it ends, be there nothing but rounding between.
    group = (~high).cumsum()[high]
    worst = found.loc[found.groupby(group)["slow_us"].idxmax().to_list()]
    return pd.DataFrame(
        {
            "elapsed_s": found.groupby(group)["elapsed_s"].min().to_numpy(),
            "end_s": found.groupby(group)["end_s"].max().to_numpy(),
            "at_s": worst["elapsed_s"].to_numpy(),
            "slow_us": worst["slow_us"].to_numpy(),
            "due_s": worst["due_s"].to_numpy(),
            "late_share": worst["late_share"].to_numpy(),
        }
    )


def labelled(found: pd.DataFrame, causes: pd.DataFrame) -> pd.DataFrame:
    """
    Each spike with its cause; ``unknown`` where nothing was seen.

    The wait is that of its worst window: from when the turn was due that bears its ``slow_us``
    until that was answered. What was over by then, or came later, is no cause, however near.

    It is the load generator's where half of the wait or more was its own lateness. Else it is what
    is known to have held the server up for half of the wait or more, and went on during it; else
    what went on for the longest part of the wait, the nearest of several, if that is a tenth of it
    at least, and it is not known to have held the server up for less than a tenth of the wait. No
    more, since waits outlast their cause: a pool of 4 works off a freeze of 0.5 s in 2 s.

    Args:
        found: as ``spikes`` makes them.
        causes: as ``causes.causes`` makes them.

    Returns:
        ``found`` with ``kind`` and ``cause``.
    """
    told = [_cause(spike, causes) for spike in found.to_dict("records")]
    return found.assign(
        kind=pd.Series([kind for kind, _ in told], index=found.index, dtype=object),
        cause=pd.Series([cause for _, cause in told], index=found.index, dtype=object),
    )


def explained_share(told: pd.DataFrame) -> float | None:
    """Spikes of which the cause is known, of all; None if there is none."""
    return None if told.empty else float((told["cause"] != UNKNOWN).mean())


def _cause(spike: Mapping[Hashable, Any], causes: pd.DataFrame) -> tuple[str, str]:
    if spike["late_share"] >= _HALF:
        return LATE, LATE
    wait_s = spike["slow_us"] / 1e6
    first_s, last_s = spike["due_s"], spike["due_s"] + wait_s
    near = causes[(causes["elapsed_s"] <= last_s) & (causes["end_s"] >= first_s)]
    overlap_s = np.minimum(near["end_s"], last_s) - np.maximum(near["elapsed_s"], first_s)
    holds = near["held_us"] >= _HALF * spike["slow_us"]
    trifles = near["held_us"] < _TENTH * spike["slow_us"]
    among = holds if holds.any() else ~trifles & (overlap_s >= _TENTH * wait_s)
    if not among.any():
        return UNKNOWN, UNKNOWN
    away_s = (near["elapsed_s"] - first_s).abs()
    order = pd.DataFrame({"overlap_s": -overlap_s, "away_s": away_s})[among]
    best = near.loc[order.sort_values(["overlap_s", "away_s"], kind="stable").index[0]]
    return str(best["kind"]), str(best["cause"])
