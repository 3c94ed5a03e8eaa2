"""Client-side latency: percentiles of raw operations, never of percentiles."""

import numpy as np
import pandas as pd

from workbench.analysis.windows import needed

__all__ = [
    "LEAST",
    "PARTS",
    "PERCENTILES",
    "latency_by_rewrite",
    "latency_by_step",
    "latency_by_window",
    "parts_by_window",
    "parts_us",
    "percentiles_us",
    "slowest",
    "window_wide_enough_s",
]

PERCENTILES = {"p50": 0.50, "p99": 0.99, "p999": 0.999}
"""Name and share of each percentile that is reported."""

PARTS = ("service_us", "lag_us", "queue_us")
"""What a response is the sum of, turn by turn: the clocks that the generator keeps."""

LEAST = {"p50": 2, "p99": 100, "p999": 1000}
"""Operations that each percentile needs; it is not known of fewer."""


def percentiles_us(operations: pd.DataFrame, column: str = "response_us") -> dict[str, float]:
    """
    Nearest-rank percentiles of one clock over all operations, µs; NaN where there are too few.

    Source:
        Percentiles are taken over raw operations: those of windows or workers cannot be averaged
        (Tene, "How NOT to Measure Latency").
    """
    values = needed(operations, column)[column]
    return {name: _percentile(values, name) for name in PERCENTILES}


def latency_by_window(
    operations: pd.DataFrame, *, window_s: float = 1.0, column: str = "response_us"
) -> pd.DataFrame:
    """
    Latency percentiles of each window.

    A window with fewer than 100 operations has no p99, one with fewer than 1000 no p99.9: the
    cell is NaN, not a guess.

    Args:
        operations: columns ``elapsed_s`` (s) and the clock.
        window_s: width of a window, s.
        column: which clock, µs.

    Returns:
        One row per window, indexed by its start (s); columns ``p50 p99 p999`` in µs and ``count``.
    """
    frame = needed(operations, "elapsed_s", column)
    start_s = (frame["elapsed_s"] // window_s * window_s).rename("elapsed_s")
    groups = frame[column].groupby(start_s)
    table = pd.DataFrame({name: groups.agg(_percentile, name) for name in PERCENTILES})
    table["count"] = groups.size()
    return table


def window_wide_enough_s(operations: pd.DataFrame) -> float:
    """The narrowest of 1, 2 and 5 s of which most windows have a p99.9; 1 s if none has."""
    due_s = needed(operations, "elapsed_s")["elapsed_s"]
    for window_s in (1.0, 2.0, 5.0):
        counts = (due_s // window_s).value_counts()
        if counts.median() >= LEAST["p999"]:
            return window_s
    return 1.0


def latency_by_step(operations: pd.DataFrame) -> pd.DataFrame:
    """
    Response percentiles of each step.

    Args:
        operations: columns ``flow``, ``step``, ``turn`` and ``response_us`` (µs).

    Returns:
        One row per flow and step, by flow and in the order of its turns; columns ``flow``,
        ``step``, ``turns``, ``p50``, ``p99`` in µs, NaN where there are too few turns.
    """
    frame = needed(operations, "flow", "step", "turn", "response_us")
    groups = frame.groupby(["flow", "step"], observed=True)
    table = pd.DataFrame(
        {
            "turns": groups.size(),
            **{name: groups["response_us"].agg(_percentile, name) for name in ("p50", "p99")},
            "position": groups["turn"].median(),
        }
    ).reset_index()
    table["flow"] = table["flow"].astype(str)
    table = table.sort_values(["flow", "position"], kind="stable", ignore_index=True)
    return table[["flow", "step", "turns", "p50", "p99"]]


def latency_by_rewrite(operations: pd.DataFrame, spans: pd.DataFrame) -> pd.DataFrame:
    """
    Response percentiles of the turns that were due during an AOF rewrite, and of all others.

    A turn belongs where it was due. Were it put where it ended, or wherever it overlaps, slow
    turns would fall into rewrites only because they last longer.

    Args:
        operations: columns ``elapsed_s`` (s) and ``response_us`` (µs).
        spans: columns ``elapsed_s`` and ``duration_s`` (s), as ``persistence.rewrite_spans``.

    Returns:
        Two rows, ``during a rewrite`` and ``at other times``; columns ``turns``, ``p50`` and
        ``p99`` in µs, NaN where there are too few turns.
    """
    frame = needed(operations, "elapsed_s", "response_us")
    during = pd.Series(data=False, index=frame.index)
    for start_s, duration_s in zip(spans["elapsed_s"], spans["duration_s"], strict=True):
        during |= frame["elapsed_s"].between(start_s, start_s + duration_s, inclusive="left")
    sides = {"during a rewrite": frame[during], "at other times": frame[~during]}
    rows = {
        name: {"turns": len(side), **{p: percentiles_us(side)[p] for p in ("p50", "p99")}}
        for name, side in sides.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index").astype({"turns": int})


def slowest(operations: pd.DataFrame) -> pd.DataFrame:
    """The slowest 1 % of turns: those that took the p99 or longer; none of fewer than 100."""
    least_us = percentiles_us(operations)["p99"]
    return operations[operations["response_us"] >= least_us]


def parts_us(operations: pd.DataFrame) -> dict[str, float]:
    """Mean of each part of the response, µs: these add up to its mean; percentiles would not."""
    frame = needed(operations, *PARTS)
    return {part: float(frame[part].mean()) for part in PARTS}


def parts_by_window(
    operations: pd.DataFrame, *, window_s: float = 1.0, only_slowest: bool = False
) -> pd.DataFrame:
    """
    Mean of each part of the response in each window.

    Args:
        operations: columns ``elapsed_s`` (s), ``response_us`` and the parts (µs).
        window_s: width of a window, s.
        only_slowest: of each window only its slowest 1 %; a window of fewer than 100 turns has
            none, and is left out.

    Returns:
        One row per window, indexed by its start (s); columns ``service_us lag_us queue_us``.
    """
    frame = needed(operations, "elapsed_s", "response_us", *PARTS)
    start_s = (frame["elapsed_s"] // window_s * window_s).rename("elapsed_s")
    if only_slowest:
        least_us = frame["response_us"].groupby(start_s).transform(_percentile, "p99")
        frame = frame[frame["response_us"] >= least_us]
    return frame[list(PARTS)].groupby(start_s.loc[frame.index]).mean()


def _percentile(values: pd.Series, name: str) -> float:
    if len(values) < LEAST[name]:
        return float("nan")
    return float(np.quantile(values, PERCENTILES[name], method="inverted_cdf"))
