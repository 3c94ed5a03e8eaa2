"""The ledger: ages and times left from the run's own turns, and windows that do not add up."""

import pytest

from tests.frames import eviction_windows, evictions, keys, operations
from workbench.analysis.ledger import (
    NO_FLOW,
    NO_PREFIX,
    ledger,
    ledger_by,
    lost_by_flow,
    reconciliation,
    traced,
)

OPERATIONS = operations(
    [
        # Written at 1 s and evicted at 11 s; its next turn comes at 20 s, and finds it gone.
        {"elapsed_s": 1.0, "operation": "write", "conversation": 1, "age_s": None},
        {
            "elapsed_s": 20.0,
            "conversation": 1,
            "outcome": "evicted",
            "age_s": 19.0,
            "value_bytes": 0,
        },
        # Written 5 s before the start, and told of by its first turn in the run.
        {
            "elapsed_s": 15.0,
            "conversation": 2,
            "flow": "login",
            "outcome": "evicted",
            "age_s": 20.0,
            "value_bytes": 0,
        },
        # Evicted after its last turn.
        {"elapsed_s": 2.0, "conversation": 3, "flow": "login", "ttl_s": 5.0},
        # Evicted, and begun anew: that turn did not go on with it.
        {"elapsed_s": 3.0, "conversation": 4, "operation": "write", "age_s": None},
        {"elapsed_s": 30.0, "conversation": 4, "operation": "write", "age_s": None},
    ]
)
KEYS = keys([{"elapsed_s": 40.0, "conversation": 9, "age_s": 50.0, "state": "evicted"}])
EVENTS = evictions(
    [
        {"elapsed_s": 11.0, "conversation": 1},
        {"elapsed_s": 10.0, "conversation": 2},
        {"elapsed_s": 12.0, "conversation": 3},
        {"elapsed_s": 13.0, "conversation": 4},
        {"elapsed_s": 14.0, "conversation": 9},
        {"elapsed_s": 15.0, "conversation": None, "prefix": "other"},
        {"elapsed_s": 16.0, "conversation": None, "prefix": "", "kind": "expired"},
    ]
)


@pytest.fixture
def told():
    return traced(EVENTS, OPERATIONS, KEYS).frame()


def test_age_is_since_the_last_write_that_a_turn_or_the_last_look_tells_of(told):
    """Of 1 by its own write, of 2 by the turn that found it gone, of 9 by the look at the end."""
    ages_s = told.dropna(subset=["conversation"]).set_index("conversation")["age_s"]

    assert ages_s.round(1).to_dict() == {2: 15.0, 1: 10.0, 3: 10.0, 4: 10.0, 9: 24.0}


def test_many_events_are_traced_some_at_a_time(told, monkeypatch):
    """Where all at once would not fit into memory; what is found is the same."""
    monkeypatch.setattr("workbench.analysis.ledger._EVENTS_AT_ONCE", 2)

    assert traced(EVENTS, OPERATIONS, KEYS).frame().equals(told)


def test_age_of_a_key_that_is_not_the_loads_is_unknown(told):
    """Who wrote it, and when, nobody here knows."""
    foreign = told[told["conversation"].isna()]

    assert foreign["age_s"].isna().all()
    assert foreign["ttl_left_s"].isna().all()
    assert not foreign["awaited"].any()
    assert set(foreign["flow"]) == {NO_FLOW}


def test_conversation_is_awaited_if_its_next_turn_was_to_go_on_with_it(told):
    """Not if none came, and not if the person began anew."""
    awaited = told.dropna(subset=["conversation"]).set_index("conversation")["awaited"]

    assert awaited.to_dict() == {2: True, 1: True, 3: False, 4: False, 9: False}


def test_sum_counts_what_is_known_and_leaves_out_what_is_not(told):
    """Six were evicted, of five the age is known, of these one had outlived its 5 s."""
    whole = ledger(told)

    assert (whole.evicted, whole.expired, whole.known, whole.before_ttl) == (6, 1, 5, 4)
    assert (whole.awaited, whole.live) == (2, 4)
    assert whole.before_ttl_share == pytest.approx(0.8)
    assert whole.age_s["p50"] == pytest.approx(10.0, abs=0.1)


def test_ledger_of_foreign_keys_alone_has_no_share_and_no_age():
    """Unknown is not 0 %."""
    foreign = evictions([{"elapsed_s": 1.0, "conversation": None}])

    whole = ledger(traced(foreign, OPERATIONS.iloc[:0], KEYS.iloc[:0]))

    assert (whole.evicted, whole.known) == (1, 0)
    assert whole.before_ttl_share is None
    assert whole.age_s is None


def test_parts_are_told_by_flow_and_by_prefix_the_largest_first(told):
    """The sums of the parts are the whole."""
    by_flow, by_prefix = ledger_by(told, "flow"), ledger_by(told, "prefix")

    assert {name: part.evicted for name, part in by_flow.items()} == {
        NO_FLOW: 2,
        "login": 2,
        "offer_secured": 2,
    }
    assert list(by_prefix) == ["channel", "other", NO_PREFIX]
    assert sum(part.evicted for part in by_prefix.values()) == 6


def test_windows_that_do_not_add_up_are_counted_with_their_reason():
    """A restart has no difference: what was counted before it is gone."""
    windows = eviction_windows(
        [
            {"elapsed_s": 1.0, "evicted_seen": 10, "evicted_keys": 10},
            {
                "elapsed_s": 2.0,
                "evicted_seen": 5,
                "evicted_keys": 8,
                "complete": False,
                "why": "missed",
            },
            {
                "elapsed_s": 3.0,
                "evicted_seen": 7,
                "evicted_keys": None,
                "expired_keys": None,
                "complete": False,
                "why": "restarted",
            },
        ]
    )

    told = reconciliation(windows)

    assert (told.windows, told.complete, told.difference) == (3, 1, 3)
    assert told.why == {"missed": 1, "restarted": 1}
    assert told.complete_share == pytest.approx(1 / 3)


def test_windows_that_add_up_leave_no_difference():
    """The control; and of no window at all the share is unknown."""
    good = eviction_windows([{"elapsed_s": 1.0, "evicted_seen": 3, "evicted_keys": 3}])

    assert reconciliation(good).complete_share == 1.0
    assert reconciliation(good).difference == 0
    assert reconciliation(good.iloc[:0]).complete_share is None


def test_run_without_a_ledger_tells_what_turns_and_the_last_look_found_gone():
    """By flow; of one that had no turn the flow is not known."""
    found = lost_by_flow(OPERATIONS, KEYS).set_index("flow")

    assert found["by_turns"].to_dict() == {"login": 1, "offer_secured": 1, NO_FLOW: 0}
    assert found["at_the_end"].to_dict() == {"login": 0, "offer_secured": 0, NO_FLOW: 1}
