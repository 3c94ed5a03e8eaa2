"""The curve agrees with the percentiles that are reported, and ends where turns run out."""

import numpy as np
import pytest

from tests.frames import operations
from workbench.analysis.latency import percentiles_us
from workbench.analysis.percentiles import BEYOND_LEAST, percentile_curve


def turns(values_us):
    return operations([{"elapsed_s": 0.0, "response_us": float(value)} for value in values_us])


def test_curve_goes_through_the_percentiles_that_are_reported():
    """One nearest rank, wherever it is asked for."""
    frame = turns(np.random.default_rng(7).lognormal(7, 1, 6000))

    curve = percentile_curve(frame).set_index("one_in")["value_us"]

    told = percentiles_us(frame)
    assert [curve[2], curve[100], curve[1000]] == [told["p50"], told["p99"], told["p999"]]


def test_curve_only_rises():
    """Outwards waits are longer."""
    curve = percentile_curve(turns(np.random.default_rng(7).lognormal(7, 1, 500)))

    assert curve["one_in"].is_monotonic_increasing
    assert curve["value_us"].is_monotonic_increasing


def test_curve_ends_where_too_few_turns_would_bear_it():
    """Of a thousand turns it ends at one in two hundred."""
    curve = percentile_curve(turns(range(1000)))

    assert curve["one_in"].iloc[-1] == 1000 / BEYOND_LEAST
    assert curve["beyond"].min() >= BEYOND_LEAST
    assert (curve["beyond"] == 1000 - curve["value_us"]).all()


def test_every_point_has_the_rank_that_it_is_told_for():
    """Also where the share is no round number: of 35 turns one in seven waits as the 30th does."""
    for count in (11, 13, 35, 49, 68):
        curve = percentile_curve(turns(range(1, count + 1)))

        assert (curve["value_us"] + curve["beyond"] == count + 1).all(), count


@pytest.mark.parametrize("count", [0, 1, 2 * BEYOND_LEAST - 1])
def test_too_few_turns_have_no_curve(count):
    """No row, and no guess."""
    assert percentile_curve(turns(range(count))).empty


def test_turns_that_all_wait_alike_have_a_level_curve():
    """Nothing divides by their spread."""
    assert set(percentile_curve(turns([900.0] * 50))["value_us"]) == {900.0}
