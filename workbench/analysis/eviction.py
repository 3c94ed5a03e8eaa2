"""What the server evicted: since when, and how fast."""

import pandas as pd

from workbench.analysis.windows import needed, rate_per_s

__all__ = ["began_s", "rate_keys_per_s"]


def rate_keys_per_s(samples: pd.DataFrame, *, window_s: float = 1.0) -> pd.Series:
    """
    Keys evicted per second, as a running mean over a window.

    Args:
        samples: columns ``elapsed_s`` (s) and ``evicted_keys``.
        window_s: width of the window, s.

    Returns:
        the rate, indexed by ``elapsed_s``.
    """
    rate = rate_per_s(samples, "evicted_keys")
    interval_s = float(rate.index.to_series().diff().median())
    wide = max(1, round(window_s / interval_s)) if interval_s > 0 else 1
    return rate.rolling(wide, min_periods=1, center=True).mean()


def began_s(samples: pd.DataFrame) -> float | None:
    """When the first eviction showed, elapsed s; None if there was none."""
    frame = needed(samples, "elapsed_s", "evicted_keys")
    evicting = frame[frame["evicted_keys"] > frame["evicted_keys"].min()]
    return None if evicting.empty else float(evicting["elapsed_s"].iloc[0])
