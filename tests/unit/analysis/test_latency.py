"""Percentiles by nearest rank, of raw turns; too few turns have none."""

import math

import numpy as np
import pandas as pd
import pytest

from tests.frames import operations
from workbench.analysis.latency import latency_by_window, percentiles_us
from workbench.errors import ColumnMissingError


def ranked(count):
    """1, 2, … µs, shuffled."""
    values = np.random.default_rng(1).permutation(np.arange(1, count + 1))
    return pd.DataFrame({"response_us": values.astype("float32"), "elapsed_s": 0.0})


@pytest.mark.parametrize(
    ("count", "name", "rank"),
    [
        (2, "p50", 1),
        (100, "p50", 50),
        (100, "p99", 99),
        (101, "p99", 100),
        (1000, "p99", 990),
        (1000, "p999", 999),
    ],
)
def test_percentile_is_the_value_at_the_nearest_rank(count, name, rank):
    """Of 100 turns, the p99 is the 99th, not the slowest."""
    assert percentiles_us(ranked(count))[name] == rank


@pytest.mark.parametrize(("count", "name"), [(1, "p50"), (99, "p99"), (999, "p999")])
def test_percentile_of_too_few_turns_is_unknown(count, name):
    """A p99 of 99 turns would be a guess."""
    assert math.isnan(percentiles_us(ranked(count))[name])


def test_each_window_stands_for_itself():
    """Two windows of 2 s, and a gap between them; the one before 0 begins at -2."""
    turns = operations(
        {"elapsed_s": at, "response_us": us}
        for at, us in [(-0.5, 7.0), (-1.5, 9.0), (2.0, 1.0), (3.9, 3.0), (2.5, 2.0)]
    )

    windows = latency_by_window(turns, window_s=2.0)

    assert windows.index.tolist() == [-2.0, 2.0]
    assert windows["p50"].tolist() == [7.0, 2.0]
    assert windows["count"].tolist() == [2, 3]
    assert windows["p99"].isna().all()


def test_other_clocks_can_be_asked_for():
    """The generator's own lateness is judged by the same percentiles."""
    turns = operations({"elapsed_s": 0.0, "lag_us": us} for us in (1.0, 2.0, 3.0))

    assert percentiles_us(turns, "lag_us")["p50"] == 2.0


def test_windows_of_no_turns_are_none():
    """An empty run has no windows, and still the columns."""
    windows = latency_by_window(operations([]))

    assert windows.empty
    assert list(windows.columns) == ["p50", "p99", "p999", "count"]


def test_missing_clock_is_named():
    """A table of another making is refused, not guessed at."""
    with pytest.raises(ColumnMissingError, match="response_us"):
        percentiles_us(pd.DataFrame({"elapsed_s": [0.0]}))
