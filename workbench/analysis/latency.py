"""Client-side latency: percentiles of raw operations, never of percentiles."""

import numpy as np
import pandas as pd

from workbench.analysis.windows import needed

__all__ = ["PERCENTILES", "latency_by_window", "percentiles_us"]

PERCENTILES = {"p50": 0.50, "p99": 0.99, "p999": 0.999}
"""Name and share of each percentile that is reported."""

_LEAST = {"p50": 2, "p99": 100, "p999": 1000}


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


def _percentile(values: pd.Series, name: str) -> float:
    if len(values) < _LEAST[name]:
        return float("nan")
    return float(np.quantile(values, PERCENTILES[name], method="inverted_cdf"))
