"""Lost turns: counted by cause, by pause and by step."""

import math

import pytest

from tests.frames import keys, operations, samples
from workbench.analysis.loss import (
    at_cap,
    evicted_pause_s,
    key_states,
    loss,
    loss_by_pause,
    loss_by_step,
    lossy_pause_s,
    run_out,
)

GREETING = {"elapsed_s": 0.0, "operation": "write", "step": "greeting", "turn": 0}
TURNS = [
    GREETING,
    {"elapsed_s": 1.0, "outcome": "ok", "age_s": 4.0},
    {"elapsed_s": 2.0, "outcome": "evicted", "age_s": 20.0},
    {"elapsed_s": 3.0, "outcome": "evicted", "age_s": 40.0},
    {"elapsed_s": 4.0, "outcome": "expired", "age_s": 301.0},
    {"elapsed_s": 5.0, "outcome": "missing", "age_s": None},
    {"elapsed_s": 5.0, "outcome": "restarted", "age_s": 9.0},
    {"elapsed_s": 5.0, "outcome": "deleted", "age_s": 9.0},
    {"elapsed_s": 6.0, "outcome": "timeout", "age_s": 5.0},
    {"elapsed_s": 7.0, "outcome": "unsent", "age_s": None},
]


def test_each_cause_is_counted_among_the_turns_that_needed_a_state():
    """A greeting needs none, and a turn without an answer found nothing out."""
    found = loss(operations(TURNS))

    assert (found.turns, found.evicted, found.expired, found.missing) == (7, 2, 1, 1)
    assert (found.restarted, found.deleted, found.gone) == (1, 1, 6)
    assert found.evicted_share == pytest.approx(2 / 7)


def test_pauses_and_time_left_are_those_of_the_evicted():
    """Pauses of 20 and 40 s at a time to live of 300 s."""
    found = loss(operations(TURNS))

    assert (found.pause_s_p50, found.pause_s_least, found.ttl_left_s_p50) == (30.0, 20.0, 270.0)


def test_state_is_lost_early_unless_its_time_was_over():
    """Whatever took it; the one that expired went when it should."""
    assert loss(operations(TURNS)).early == 5


def test_share_of_no_turns_is_unknown():
    """Nobody who asked, nobody who lost: that is not 0 %."""
    found = loss(operations([GREETING]))

    assert found.evicted_share is None
    assert math.isnan(found.pause_s_p50)


def test_only_turns_since_the_first_eviction_count_at_the_cap():
    """Before the cap nobody loses anything, however long that lasts."""
    points = [(0.0, 5), (2.5, 6), (5.0, 9)]
    evicting = samples({"elapsed_s": at, "evicted_keys": keys} for at, keys in points)

    turns = at_cap(operations(TURNS), evicting).frame()
    assert turns["elapsed_s"].tolist() == [3, 4, 5, 5, 5, 6, 7]


@pytest.mark.parametrize("points", [[], [(0.0, 5), (5.0, 5)]], ids=["no sample", "no eviction"])
def test_all_turns_count_when_nothing_was_evicted(points):
    """A server that never came to its cap is judged by the whole phase."""
    calm = samples({"elapsed_s": at, "evicted_keys": keys} for at, keys in points)

    assert len(at_cap(operations(TURNS), calm)) == len(TURNS)


def test_pause_is_classed_from_its_lower_edge_on():
    """20 turns at exactly 10 s belong to 10-20; a class of fewer than 20 turns has no share."""
    turns = [{"elapsed_s": 0.0, "age_s": 10.0, "outcome": "evicted"}] * 5
    turns += [{"elapsed_s": 0.0, "age_s": 10.0}] * 15
    turns += [{"elapsed_s": 0.0, "age_s": 9.9, "outcome": "evicted"}] * 19

    classes = loss_by_pause(operations(turns), edges_s=(0.0, 10.0, 20.0, 30.0))

    assert classes["turns"].tolist() == [19, 20, 0]
    assert classes["evicted"].tolist() == [19, 5, 0]
    assert classes["evicted_share"].isna().tolist() == [True, False, True]
    assert classes["evicted_share"].iloc[1] == 0.25


def test_classes_of_no_turns_are_empty_ones():
    """The classes are there, with nobody in them."""
    classes = loss_by_pause(operations([]), edges_s=(0.0, 10.0, 20.0))

    assert classes["turns"].tolist() == [0, 0]


@pytest.mark.parametrize(
    ("evicted_of_20", "from_s"),
    [
        ((0, 4, 12, 18), 20.0),
        ((0, 12, 9, 18), 10.0),  # the middle one lost under half by chance
        ((12, 1, 2, 14), 30.0),  # the first one lost most by chance
        ((0, 4, 9, 20), 30.0),  # not from where the heavy end makes up for it
        ((0, 4, 18, None), 20.0),  # the longest pauses are too few to tell
        ((0, 1, 2, 9), None),
        ((None, None, None, None), None),
    ],
)
def test_most_are_lost_from_a_pause_on_if_it_and_all_longer_ones_lose_most(evicted_of_20, from_s):
    """A sentence that says "or longer" must hold for those that are longer."""
    turns = []
    for number, evicted in enumerate(evicted_of_20):
        pause = {"elapsed_s": 0.0, "age_s": 10.0 * number}
        turns += [pause] * (20 - evicted) if evicted is not None else [pause]
        turns += [{**pause, "outcome": "evicted"}] * (evicted or 0)

    classes = loss_by_pause(operations(turns), edges_s=(0.0, 10.0, 20.0, 30.0, 40.0))

    assert lossy_pause_s(classes) == from_s


def test_steps_come_in_the_order_of_the_conversation():
    """Menu before amount, whichever was recorded first; the greeting needs no state."""
    turns = [
        GREETING,
        {"elapsed_s": 1.0, "step": "amount", "turn": 2, "outcome": "evicted"},
        {"elapsed_s": 2.0, "step": "amount", "turn": 2},
        {"elapsed_s": 3.0, "step": "menu", "turn": 1},
    ]

    table = loss_by_step(operations(turns))

    assert table["step"].tolist() == ["menu", "amount"]
    assert table["turns"].tolist() == [1, 2]
    assert table["evicted_share"].tolist() == [0.0, 0.5]


def test_steps_of_no_turns_are_none():
    """The table keeps its columns, so that it can be shown."""
    table = loss_by_step(operations([GREETING]))

    assert table.empty
    assert "evicted_share" in table


def test_loss_that_several_deliveries_find_is_counted_once():
    """By the first that found it: also where the first delivery got no answer."""
    rows = [
        {"conversation": 1, "turn": 4, "outcome": "evicted"},
        {"conversation": 1, "turn": 4, "outcome": "evicted", "delivery": 1},
        {"conversation": 2, "turn": 1, "outcome": "timeout"},
        {"conversation": 2, "turn": 1, "outcome": "restarted", "delivery": 1},
        {"conversation": 2, "turn": 1, "outcome": "restarted", "delivery": 2},
        {"conversation": 3, "turn": 2, "outcome": "ok"},
        {"conversation": 3, "turn": 2, "outcome": "duplicate", "delivery": 1},
    ]

    found = loss(operations([{"elapsed_s": float(at), **row} for at, row in enumerate(rows)]))

    assert (found.evicted, found.restarted, found.gone, found.turns) == (1, 1, 2, 3)


def test_pause_of_the_evicted_is_told_by_share():
    """Half of two that paused 20 and 40 s paused 30 s at most; nobody's pause is not 0 s."""
    assert evicted_pause_s(operations(TURNS), 0.5) == 30.0
    assert evicted_pause_s(operations([GREETING]), 0.5) is None


def test_state_that_had_run_out_before_the_start_was_never_written():
    """At 4 s, and 301 s after its write, a time to live of 300 s had run out at 3 s."""
    turns = operations(TURNS)

    assert run_out(turns, start_s=2.9) == 1
    assert run_out(turns, start_s=3.1) == 0


def test_states_of_keys_are_counted_by_name():
    """One that none was found in is 0, and no gap."""
    found = key_states(keys({"elapsed_s": 9.0, "state": state} for state in ("evicted", "present")))

    assert {state: count for state, count in found.items() if count} == {"evicted": 1, "present": 1}
    assert found["expired"] == 0
