"""When to try again, and when to stop."""

import pytest

from workbench.state import retry as retries_module
from workbench.state.retry import RetryPolicy


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is set."""

    class Clock:
        now_s = 100.0

        def monotonic(self):
            return self.now_s

    stopped = Clock()
    monkeypatch.setattr(retries_module, "time", stopped)
    return stopped


@pytest.fixture
def longest_waits(monkeypatch):
    """Each wait is drawn as long as its cap allows."""
    monkeypatch.setattr(retries_module.random, "uniform", lambda shortest, longest: longest)


def test_cap_of_the_wait_doubles_up_to_the_largest(clock, longest_waits):
    """Writers who meet again and again wait longer, but never longer than the cap."""
    retries = RetryPolicy(conflict_pause_s=(0.001, 0.01)).start()

    waits = [retries.after_conflict() for _ in range(6)]

    assert waits == pytest.approx([0.002, 0.004, 0.008, 0.01, 0.01, 0.01])


def test_wait_is_drawn_from_zero_to_the_cap(clock, monkeypatch):
    """Full jitter: two who met once are spread over the whole of the wait."""
    drawn = []
    monkeypatch.setattr(
        retries_module.random, "uniform", lambda *ends: drawn.append(ends) or ends[0]
    )

    wait_s = RetryPolicy(conflict_pause_s=(0.5, 1.0)).start().after_conflict()

    assert drawn == [(0, 1.0)]
    assert wait_s == 0


def test_deadline_ends_it_and_not_a_count(clock):
    """A hundred tries are fine while there is time; none is when it is over."""
    retries = RetryPolicy(conflict_deadline_s=2.0).start()

    waits = [retries.after_conflict() for _ in range(100)]
    clock.now_s += 2.1

    assert None not in waits
    assert retries.after_conflict() is None


def test_wait_that_would_end_after_the_deadline_is_not_begun(clock, longest_waits):
    """A caller is not kept waiting for a try that may no longer be made."""
    retries = RetryPolicy(conflict_deadline_s=1.0, conflict_pause_s=(0.5, 0.5)).start()
    clock.now_s += 0.6

    assert retries.after_conflict() is None


def test_races_and_failures_have_deadlines_of_their_own(clock):
    """When there is no time left for races, there may still be some for the store to come back."""
    retries = RetryPolicy(conflict_deadline_s=1.0, transport_deadline_s=9.0).start()
    clock.now_s += 2.0

    assert retries.after_conflict() is None
    assert retries.after_failure() is not None


def test_attempts_count_the_tries_that_were_made(clock):
    """The first try counts, a try that is refused does not."""
    retries = RetryPolicy(conflict_deadline_s=1.0).start()
    retries.after_conflict()
    retries.after_conflict()
    clock.now_s += 2.0
    retries.after_conflict()

    assert retries.attempts == 3
    assert retries.elapsed_s == pytest.approx(2.0)
