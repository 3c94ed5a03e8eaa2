"""Ages at eviction: by the ledger to the moment, by the turns from when they were missed."""

import pandas as pd
import pytest

from tests.frames import keys, operations
from workbench.analysis.ages import ages_by_ledger, ages_by_turns

TRACED = pd.DataFrame(
    {
        "kind": ["evicted", "evicted", "expired", "evicted"],
        "age_s": [12.0, 320.0, 301.0, None],
        "ttl_left_s": [288.0, -20.0, -1.0, None],
    }
)


def test_ledger_tells_the_age_at_the_eviction_itself():
    """What expired is not among them; what is not known is counted apart."""
    ages = ages_by_ledger(TRACED)

    assert ages.age_s.tolist() == [12.0, 320.0]
    assert ages.ttl_left_s.tolist() == [288.0, -20.0]
    assert ages.exact
    assert ages.unknown == 1


def test_without_a_ledger_ages_are_those_of_turns_and_of_the_last_look():
    """Of a message that came twice, only the first tells; what was there tells nothing."""
    turns = operations(
        [
            {"elapsed_s": 1.0, "outcome": "evicted", "age_s": 20.0},
            {"elapsed_s": 1.1, "outcome": "evicted", "age_s": 20.1, "delivery": 1},
            {"elapsed_s": 2.0},
        ]
    )
    looked = keys([{"elapsed_s": 9.0, "state": "evicted", "age_s": 50.0}, {"elapsed_s": 9.0}])

    ages = ages_by_turns(turns, looked)

    assert ages.age_s.tolist() == [20.0, 50.0]
    assert ages.ttl_left_s.tolist() == [280.0, 250.0]
    assert not ages.exact


@pytest.mark.parametrize("exact", [True, False])
def test_nothing_evicted_has_no_ages(exact):
    """An empty series, which a chart can say so of."""
    ages = ages_by_ledger(TRACED[:0]) if exact else ages_by_turns(operations([]), keys([]))

    assert len(ages) == ages.unknown == 0
