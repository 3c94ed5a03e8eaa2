"""Counters to rates, and columns that must be there."""

import numpy as np
import pandas as pd

from workbench.errors import ColumnMissingError
from workbench.runs.rows import Rows

__all__ = ["Turns", "grown", "growth", "needed", "needed_rows", "rate_per_s"]

Turns = Rows | pd.DataFrame
"""Turns of a run as ``Run.turns`` gives them; or a frame of them, for tests and by hand."""


def needed_rows(turns: Turns, *columns: str) -> Rows:
    """
    The turns to ask of, if they have these columns.

    Raises:
        ColumnMissingError: they have not; the message names what is missing.
    """
    missing = [column for column in columns if column not in turns]
    if missing:
        raise ColumnMissingError(f"the table has no column {', '.join(missing)}")
    return turns if isinstance(turns, Rows) else Rows(turns)


def needed(frame: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """
    The frame, if it has these columns.

    Raises:
        ColumnMissingError: it has not; the message names what is missing.
    """
    missing = [column for column in columns if column not in frame]
    if missing:
        raise ColumnMissingError(f"the table has no column {', '.join(missing)}")
    return frame


def rate_per_s(samples: pd.DataFrame, counter: str) -> pd.Series:
    """
    How fast a counter of INFO grows, per second, at each sample but the first.

    Args:
        samples: columns ``elapsed_s`` and the counter.
        counter: a column that only grows while the server lives.

    Returns:
        the rate since the sample before, indexed by ``elapsed_s``; NaN where the counter fell,
        which it does when the server was restarted.
    """
    frame = needed(samples, "elapsed_s", counter)
    values = frame[counter].to_numpy(dtype=float)
    times_s = frame["elapsed_s"].to_numpy()
    grown = np.diff(values)
    rates = np.where(grown >= 0, grown, np.nan) / np.diff(times_s)
    return pd.Series(rates, index=pd.Index(times_s[1:], name="elapsed_s"), name=counter)


def growth(samples: pd.DataFrame, counter: str) -> int | None:
    """How much a counter grew over the samples; None without two of them, or after a restart."""
    values = needed(samples, counter)[counter].dropna()
    if len(values) < 2 or (values.diff() < 0).any():
        return None
    return int(values.iloc[-1] - values.iloc[0])


def grown(samples: pd.DataFrame, counter: str) -> int | None:
    """How much a counter was seen to grow, restarts or not; None if the server does not say."""
    values = needed(samples, counter)[counter].dropna().astype(float)
    return None if len(values) < 2 else int(values.diff().clip(lower=0).sum())
