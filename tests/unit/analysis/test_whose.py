"""Whose conversations were evicted, as far as the run knows."""

import math

from tests.frames import evictions, keys, operations
from workbench.analysis.whose import whose

TURNS = [
    {"elapsed_s": 0.0, "conversation": 1, "flow": "login", "age_s": None, "operation": "write"},
    {
        "elapsed_s": 9.0,
        "conversation": 1,
        "flow": "login",
        "outcome": "evicted",
        "age_s": 9.0,
        "value_bytes": 0,
    },
]


def test_by_the_ledger_a_flow_has_what_was_evicted_and_how_old():
    """Awaited, since a turn went on with it."""
    taken = evictions([{"elapsed_s": 4.001, "conversation": 1}])

    (row,) = whose(taken, operations(TURNS), keys([])).to_dict("records")

    assert (row["flow"], row["evicted"], row["live"]) == ("login", 1, 1)
    assert 3.9 < row["age p50"] < 4.1


def test_by_prefix_where_the_load_was_not_ours():
    """Nothing is known of age and time to live."""
    taken = evictions([{"elapsed_s": 4.0, "conversation": None, "prefix": "cart"}])

    (row,) = whose(taken, operations([]), keys([]), by="prefix").to_dict("records")

    assert (row["prefix"], row["evicted"]) == ("cart", 1)
    assert math.isnan(row["age p50"])


def test_without_a_ledger_it_is_what_turns_and_the_last_look_found():
    """Which is less, and later."""
    looked = keys([{"elapsed_s": 20.0, "conversation": 1, "state": "evicted", "age_s": 20.0}])

    (row,) = whose(evictions([]), operations(TURNS), looked).to_dict("records")

    assert (row["flow"], row["found by turns"], row["found at the end"]) == ("login", 1, 1)


def test_nothing_evicted_is_an_empty_table():
    """The control."""
    assert whose(evictions([]), operations(TURNS[:1]), keys([])).empty
