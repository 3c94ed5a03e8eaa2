"""How long a load lasts, whichever option says so."""

from argparse import Namespace

import pytest

from loadtests.options import settle_phases
from workbench.errors import UsageError


def settled(**options):
    unsaid = {"run_time": None, "measure_s": None, "warm_up_s": 2.0, "replay": None}
    unsaid |= {"closed_loop": False, "prefill_share": 0.0}
    made = Namespace(**unsaid | options)
    settle_phases(made)
    return made


def test_run_time_is_warm_up_and_measured_phase_together():
    """And Locust, which would cut off the open turns at its end, does not see it."""
    options = settled(run_time=30)

    assert (options.measure_s, options.run_time) == (28.0, None)


@pytest.mark.parametrize(("measure_s", "expected"), [(None, 30.0), (7.0, 7.0)])
def test_measured_phase_is_as_asked_for_or_30_s(measure_s, expected):
    """Without Locust's option ours counts."""
    assert settled(measure_s=measure_s).measure_s == expected


@pytest.mark.parametrize("options", [{"run_time": 2}, {"run_time": 30, "measure_s": 3.0}])
def test_contradictions_are_refused(options):
    """Nothing left to measure, or two lengths."""
    with pytest.raises(UsageError):
        settled(**options)
