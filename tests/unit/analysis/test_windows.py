"""Counters become rates; a restart is a gap, not a negative rate."""

import math

import pandas as pd
import pytest

from tests.frames import samples
from workbench.analysis.windows import grown, growth, needed, rate_per_s
from workbench.errors import ColumnMissingError

RESTARTED = [(0.0, 10), (1.0, 30), (2.0, 5), (4.0, 25)]


def counted(points):
    return samples({"elapsed_s": at, "evicted_keys": keys} for at, keys in points)


def test_rate_is_growth_over_time_and_unknown_where_the_counter_fell():
    """20 in 1 s, a restart, 20 in 2 s."""
    rate = rate_per_s(counted(RESTARTED), "evicted_keys")

    assert rate.index.tolist() == [1.0, 2.0, 4.0]
    assert rate.iloc[0] == 20.0
    assert math.isnan(rate.iloc[1])
    assert rate.iloc[2] == 10.0


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([(0.0, 10), (1.0, 30), (2.0, 45)], 35),
        ([(0.0, 10), (1.0, 10)], 0),
        (RESTARTED, None),
        ([(0.0, 10)], None),
        ([], None),
    ],
    ids=["grew", "stood", "restarted", "one sample", "no sample"],
)
def test_growth_is_last_less_first_and_unknown_when_it_cannot_be_told(points, expected):
    """After a restart the difference would be wrong; of one sample there is none."""
    assert growth(counted(points), "evicted_keys") == expected


def test_growth_of_a_counter_that_the_server_does_not_give_is_unknown():
    """A managed server may leave a field out: that is not zero."""
    assert growth(counted([(0.0, None), (1.0, None)]), "evicted_keys") is None


def test_missing_columns_are_all_named():
    """The reader of the message need not come back for the second."""
    frame = pd.DataFrame({"elapsed_s": [0.0]})

    with pytest.raises(ColumnMissingError, match="no column keys, run_id"):
        needed(frame, "elapsed_s", "keys", "run_id")


def test_counter_is_seen_to_grow_on_both_sides_of_a_restart():
    """3 before it, 2 after; what it counted up to its first sample is not known."""
    polls = samples({"elapsed_s": at, "evicted_keys": n} for at, n in enumerate((5, 8, 1, 3)))

    assert grown(polls, "evicted_keys") == 5
    assert grown(polls.iloc[:1], "evicted_keys") is None
