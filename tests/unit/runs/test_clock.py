"""The run's clock does not follow the wall clock."""

import time

import pytest

from workbench.runs.clock import Clock


def test_clock_goes_on_when_the_wall_clock_is_moved(monkeypatch):
    """An hour forward on the wall is no hour in the run; how far it was moved is known."""
    clock = Clock()
    before_s = clock.unix_s()
    wall = time.time

    monkeypatch.setattr(time, "time", lambda: wall() + 3600)

    assert 0 <= clock.unix_s() - before_s < 60
    assert clock.step_s() == pytest.approx(3600, abs=1)


def test_two_processes_with_one_offset_agree():
    """The offset is all that has to be handed on."""
    first = Clock()

    second = Clock(first.offset_s)

    assert second.unix_s() == pytest.approx(first.unix_s(), abs=1)
    assert second.unix_s() == pytest.approx(time.time(), abs=1)
