"""The accesses of a run: what is taken from its turns, and what was there before them."""

import numpy as np
import pytest

from tests.frames import START_UNIX_S, keys, operations
from workbench.analysis.accesses import accesses_of
from workbench.errors import ColumnMissingError, RunError

BEGINS = {"operation": "write", "value_bytes": 2400, "age_s": None, "turn": 0}
GONE = {"outcome": "evicted", "value_bytes": 0}


def made(*turns, looked=(), measured_s=100.0):
    return accesses_of(
        operations(turns), keys(looked), start_unix_s=START_UNIX_S, measured_s=measured_s
    )


def test_turn_touches_its_conversation_when_it_is_sent():
    """After it has waited, and after the generator's own lateness."""
    found = made(
        {"elapsed_s": 1.0, "conversation": 7, "queue_us": 2e6, "lag_us": 5e5, **BEGINS},
        {"elapsed_s": 3.0, "conversation": 9, "queue_us": 0.0, "lag_us": 0.0, **BEGINS},
    )

    assert found.origin_unix_s == pytest.approx(START_UNIX_S + 3.0)
    assert found.at_s.tolist() == pytest.approx([0.0, 0.5], abs=1e-5)
    assert found.key.tolist() == [1, 0]
    assert found.keys == 2


def test_conversation_that_goes_on_was_there_before():
    """As old as its first turn says; so was one that was only looked for at the end."""
    found = made(
        {"elapsed_s": 1.0, "conversation": 7, "age_s": 20.0, "lag_us": 0.0},
        {"elapsed_s": 2.0, "conversation": 8, **BEGINS},
        looked=[
            {"elapsed_s": 50.0, "conversation": 8, "age_s": 48.0},
            {"elapsed_s": 50.0, "conversation": 500, "age_s": 90.0},
        ],
    )

    assert found.held_s.tolist() == pytest.approx([-41.0, -20.0], abs=1e-3)
    assert found.held_key.tolist() == [2, 0]
    assert found.held_ttl_s.tolist() == [300.0, 300.0]
    assert found.held_bytes.tolist() == [2400, 2500]  # who did not come back had only greeted


def test_length_of_what_a_turn_would_have_written_is_that_of_the_turn_before():
    """A turn that found nothing wrote nothing; in another world it would have."""
    found = made(
        {"elapsed_s": 1.0, **BEGINS},
        {"elapsed_s": 2.0, "value_bytes": 2600},
        {"elapsed_s": 3.0, **GONE},
        {"elapsed_s": 4.0, "conversation": 1, "age_s": 40.0, **GONE},
    )

    assert found.value_bytes.tolist() == [2400, 2600, 2600, 2500]
    assert found.fresh_bytes.tolist() == [2400, 2400, 2400, 2400]


def test_turn_that_was_not_sent_or_not_answered_is_left_out():
    """Whether it touched the key is not known; a duplicate only reads, and does not count."""
    found = made(
        {"elapsed_s": -1.0, **BEGINS},
        {"elapsed_s": 2.0, "outcome": "timeout"},
        {"elapsed_s": 3.0, "outcome": "unsent"},
        {"elapsed_s": 4.0, "outcome": "duplicate"},
        {"elapsed_s": 5.0},
        {"elapsed_s": 200.0},
    )

    assert found.writes.tolist() == [True, False, True, True]
    assert found.counted.tolist() == [False, False, True, False]


def test_accesses_come_in_parts_that_are_whole():
    """No more of them are objects at once than some ten thousands."""
    found = made(*({"elapsed_s": n / 100, "conversation": n, **BEGINS} for n in range(100)))

    assert [len(found.at_s[part]) for part in found.parts()] == [100]
    assert np.all(np.diff(found.at_s) >= 0)


def test_run_without_turns_is_refused():
    """Nothing could be simulated."""
    with pytest.raises(RunError, match="no turns"):
        made({"elapsed_s": 1.0, "outcome": "unsent"})
    with pytest.raises(ColumnMissingError, match="queue_us"):
        accesses_of(
            operations([{"elapsed_s": 1.0, **BEGINS}]).drop(columns="queue_us"),
            keys([]),
            start_unix_s=START_UNIX_S,
            measured_s=1.0,
        )
