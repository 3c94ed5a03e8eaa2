"""Which conversation is chosen, and what is known of its life."""

import pytest

from tests.frames import events, evictions, operations, samples
from workbench.analysis.causes import causes
from workbench.analysis.conversation import (
    beside_causes,
    chosen,
    evicted_at_s,
    life,
    time_left,
    turns_of,
)
from workbench.errors import ParameterError


def turns(*rows):
    """Turns of several conversations: (number, outcome) each, a second apart."""
    return operations(
        [
            {"elapsed_s": float(at), "conversation": number, "outcome": outcome, "turn": at}
            for at, (number, outcome) in enumerate(rows)
        ]
    )


@pytest.mark.parametrize(
    ("rows", "number"),
    [
        ([(1, "ok"), (1, "ok"), (1, "ok"), (2, "evicted")], 2),
        ([(1, "ok"), (1, "ok"), (2, "expired")], 2),
        ([(1, "expired"), (1, "ok"), (2, "evicted")], 2),
        ([(1, "evicted"), (2, "evicted"), (2, "ok")], 2),
        ([(1, "ok"), (2, "ok"), (2, "ok")], 2),
        ([(7, "ok"), (2, "ok")], 2),
    ],
    ids=["lost", "expired", "lost early", "lost and long", "long", "first of equals"],
)
def test_one_that_lost_its_state_is_chosen_else_the_longest(rows, number):
    """One that was lost before its time comes before one that expired."""
    assert chosen(turns(*rows)) == number


def test_a_number_is_taken_as_it_is():
    """If the run has such a conversation."""
    assert chosen(turns((3, "ok"), (5, "evicted")), 3) == 3


def test_a_conversation_that_is_not_there_is_refused_with_the_nearest():
    """The numbers of a run are not those of the keys."""
    with pytest.raises(ParameterError, match="no turn of conversation 4; the nearest are 3, 5, 9"):
        chosen(turns((3, "ok"), (5, "ok"), (9, "ok"), (90, "ok")), 4)


@pytest.mark.parametrize("wanted", ["12", 1.5, None, True])
def test_what_is_no_whole_number_is_refused(wanted):
    """papermill injects what it is given."""
    with pytest.raises(ParameterError, match="conversation must be a whole number"):
        chosen(turns((1, "ok")), wanted)


def test_a_run_without_turns_has_none_to_choose():
    """Unless one is asked for by its number."""
    assert chosen(operations([])) is None
    assert turns_of(operations([]), None).empty
    with pytest.raises(ParameterError, match="the run has no turns"):
        chosen(operations([]), 3)


def test_its_turns_come_in_the_order_in_which_they_were_due():
    """And no other conversation's."""
    rows = [
        {"elapsed_s": 9.0, "conversation": 1, "step": "amount"},
        {"elapsed_s": 2.0, "conversation": 1, "step": "menu"},
        {"elapsed_s": 5.0, "conversation": 2},
    ]

    assert turns_of(operations(rows), 1)["step"].tolist() == ["menu", "amount"]


def test_its_life_ends_with_its_last_answer():
    """Not when that was due."""
    rows = [{"elapsed_s": 1.0}, {"elapsed_s": 4.0, "response_us": 2e6}]

    assert life(operations(rows)) == (1.0, 6.0)


def test_time_to_live_runs_out_from_each_write_and_is_set_anew_by_the_next():
    """A write of an answered turn counts from its answer."""
    rows = [
        {"elapsed_s": 0.0, "ttl_s": 10.0, "age_s": None, "response_us": 0.0},
        {"elapsed_s": 4.0, "ttl_s": 10.0, "response_us": 1e6},
    ]

    line = time_left(operations(rows), until_s=8.0)

    assert line.to_numpy().tolist() == [[0, 10], [5, 5], [5, 10], [8, 7]]


def test_time_to_live_before_the_run_is_known_from_the_first_age():
    """The turn found a conversation that had been written 6 s before."""
    rows = [{"elapsed_s": 2.0, "ttl_s": 10.0, "age_s": 6.0, "value_bytes": 0, "outcome": "evicted"}]

    line = time_left(operations(rows), until_s=3.0)

    assert line.to_numpy().tolist() == [[-4, 10], [3, 3]]


def test_time_to_live_that_is_over_stays_at_nothing():
    """Until somebody writes again."""
    rows = [{"elapsed_s": 0.0, "ttl_s": 10.0, "age_s": None, "response_us": 0.0}]

    line = time_left(operations(rows), until_s=30.0)

    assert line.to_numpy().tolist() == [[0, 10], [10, 0], [30, 0]]


def test_a_conversation_that_was_never_written_has_no_time_to_live():
    """Its first turn failed, and it had no state before."""
    rows = [{"elapsed_s": 0.0, "age_s": None, "value_bytes": 0, "outcome": "timeout"}]

    assert time_left(operations(rows), until_s=5.0).empty


def test_evictions_are_its_own():
    """Neither another's, nor its expiry, nor keys that are no conversation."""
    rows = [
        {"elapsed_s": 3.0, "conversation": 1},
        {"elapsed_s": 4.0, "conversation": 1, "kind": "expired"},
        {"elapsed_s": 5.0, "conversation": 2},
        {"elapsed_s": 6.0, "conversation": None},
    ]

    assert evicted_at_s(evictions(rows), 1) == [3.0]
    assert evicted_at_s(evictions(rows), None) == []
    assert evicted_at_s(evictions([]), 1) == []


def test_a_turn_has_beside_it_what_went_on_until_its_answer():
    """And nothing where nothing did."""
    spans = events([{"elapsed_s": 4.5, "duration_s": 1.0, "kind": "fault", "label": "freeze"}])
    rows = [{"elapsed_s": 1.0}, {"elapsed_s": 4.0, "response_us": 2e6}]

    told = beside_causes(operations(rows), causes(spans, samples([])))

    assert told["meanwhile"].tolist() == ["", "freeze (a fault)"]
