"""The whole curve of percentiles, as far out as the turns carry it."""

from typing import Final

import numpy as np
import pandas as pd

from workbench.analysis.windows import Turns, needed_rows

__all__ = ["BEYOND_LEAST", "ONE_IN_MOST", "percentile_curve"]

BEYOND_LEAST: Final = 5
"""Turns that must be as slow as a percentile or slower, for it to be on the curve."""

ONE_IN_MOST: Final = 10_000
"""How far out a curve goes at most: one turn in so many, which is p99.99."""

_POINTS_PER_DECADE: Final = 16


def percentile_curve(turns: Turns, column: str = "response_us") -> pd.DataFrame:
    """
    Nearest-rank percentiles from the median on, at equal steps of "one turn in so many".

    The curve ends where fewer than ``BEYOND_LEAST`` turns are that slow: what lies beyond is the
    luck of one run.

    Args:
        turns: with the clock.
        column: which clock, µs.

    Returns:
        One row per point, outwards: ``one_in`` (2 is the median, 100 the p99), ``share`` (0.5,
        0.99), ``value_us`` and ``beyond`` (turns as slow or slower). No row of too few turns.
    """
    rows = needed_rows(turns, column)
    (found,) = rows.ask(f"select count({column}) as turns from rows").to_dict("records")
    count = int(found["turns"])
    most = min(ONE_IN_MOST, count / BEYOND_LEAST)
    if most < 2:
        return pd.DataFrame({name: [] for name in ("one_in", "share", "value_us", "beyond")})
    one_in = _steps(most)
    share = 1 - 1 / one_in
    rank = np.ceil(share * count - 1e-9).astype(int)
    # One question for all of them, each in the middle of its rank: a share that is rounded in the
    # text may be that of the next. They are ours, so that they may stand there.
    wanted = ", ".join(f"{value:.12g}" for value in (rank - 0.5) / count)
    (values,) = rows.ask(f"select quantile_disc({column}, [{wanted}]) as us from rows")["us"]
    return pd.DataFrame(
        {
            "one_in": one_in,
            "share": share,
            "value_us": np.asarray(values, dtype=float),
            "beyond": count - rank + 1,
        }
    )


def _steps(most: float) -> np.ndarray:
    """From 2 to the most, with the round ones among them."""
    decades = np.log10(most) - np.log10(2)
    even = np.geomspace(2, most, max(2, round(decades * _POINTS_PER_DECADE)))
    round_ones = [n for n in (10.0, 20.0, 100.0, 1000.0, 10_000.0) if 2 < n <= most]
    return np.unique(np.round(np.concatenate([even, round_ones]), 6))
