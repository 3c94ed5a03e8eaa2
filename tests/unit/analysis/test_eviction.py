"""Evictions: when they began, and how fast they go."""

import pytest

from tests.frames import samples
from workbench.analysis.eviction import began_s, rate_keys_per_s


def evicting(*points):
    return samples({"elapsed_s": at, "evicted_keys": n} for at, n in points)


def test_first_eviction_is_the_first_sample_above_the_start():
    """A server that evicted before the run does not begin with it."""
    assert began_s(evicting((0.0, 50), (1.0, 50), (2.0, 60), (3.0, 90))) == 2.0


def test_no_eviction_never_began():
    """None, not 0: nothing began at 0."""
    assert began_s(evicting((0.0, 50), (1.0, 50))) is None


def test_rate_is_a_mean_over_the_window():
    """0, 40 and 80 keys/s at 0.5 s intervals: over 1.5 s the middle one is 40."""
    rate = rate_keys_per_s(evicting((0.0, 0), (0.5, 0), (1.0, 20), (1.5, 60)), window_s=1.5)

    assert rate.loc[1.0] == pytest.approx(40.0)
    assert rate.loc[0.5] == pytest.approx(20.0)
