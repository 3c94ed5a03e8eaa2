"""Failed turns: which they are, and what they are a share of."""

import math

import pytest

from tests.frames import operations
from workbench.analysis.failure import FAILED, failed_share, outcomes, sent
from workbench.runs.schema import OUTCOMES

TURNS = [
    {"elapsed_s": 0.0},
    {"elapsed_s": 1.0, "outcome": "timeout"},
    {"elapsed_s": 2.0, "outcome": "evicted"},
    {"elapsed_s": 3.0, "outcome": "error"},
    {"elapsed_s": 4.0, "outcome": "unsent"},
]


def test_failed_turns_are_a_share_of_those_that_were_sent():
    """Two of four: the fifth was never sent."""
    assert failed_share(operations(TURNS)) == pytest.approx(0.5)
    assert len(sent(operations(TURNS))) == 4


def test_outcomes_are_counted_by_name():
    assert outcomes(operations(TURNS[:2])) == {"ok": 1, "timeout": 1}


def test_conversation_that_is_gone_is_no_failed_turn():
    """The server answered; that it had evicted the state is counted elsewhere."""
    assert failed_share(operations([TURNS[0], TURNS[2]])) == 0


def test_share_of_nothing_is_unknown():
    """Nothing was sent: that is not 0 %."""
    assert math.isnan(failed_share(operations([TURNS[-1]])))
    assert math.isnan(failed_share(operations([])))


def test_failed_outcomes_are_outcomes():
    """A name that no recorder writes would never be counted."""
    assert set(FAILED) < set(OUTCOMES)
