"""What a histogram of times tells is what the times themselves tell, to a thousandth."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.histogram import Histogram

times = st.lists(st.floats(0, 1e11), min_size=1, max_size=200)


def of(times_us):
    histogram = Histogram()
    histogram.record(times_us)
    return histogram


@given(times_us=times, percent=st.floats(0.1, 100))
def test_percentile_is_that_of_the_times(times_us, percent):
    """By nearest rank; to half a µs below 2,048 µs, to a thousandth above."""
    rank = max(1, int(np.ceil(percent * len(times_us) / 100 - 1e-9)))
    exact = np.sort(np.rint(times_us))[rank - 1]

    found = of(times_us).percentile_us(percent)

    assert found == pytest.approx(exact, rel=1e-3, abs=0.5)


@given(ours=times, theirs=times)
def test_merged_is_as_if_one_had_counted_all(ours, theirs):
    """Also after a journey to another process."""
    merged = Histogram.of_message(of(ours).as_message())
    merged.add(of(theirs))

    assert merged.as_message() == of([*ours, *theirs]).as_message()
    assert merged.count == len(ours) + len(theirs)


@given(value=st.integers(0, 2**42 - 1))
def test_cells_are_narrow_everywhere(value):
    """From the first µs to the last, over every doubling."""
    assert of([value]).percentile_us(50) == pytest.approx(value, rel=1e-3, abs=0)


def test_percentile_of_nothing_is_unknown():
    """And a clock that went backwards counts as 0."""
    assert np.isnan(Histogram().percentile_us(50))
    assert of([-3.0]).percentile_us(50) == 0
