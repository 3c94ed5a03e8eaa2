"""The curve of what is still there is right where the truth is known."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tests.frames import keys, operations
from workbench.analysis.survival import (
    AT_RISK_LEAST,
    survival_by_ledger,
    survival_by_turns,
)

LIVES_S = np.random.default_rng(11).exponential(20.0, 4000)
PAUSES_S = np.random.default_rng(12).uniform(0.0, 60.0, 4000)
NONE = keys([])


def turns(pauses_s, there):
    return operations(
        [
            {"elapsed_s": 1000.0, "age_s": pause, "outcome": "ok" if found else "evicted"}
            for pause, found in zip(pauses_s, there, strict=True)
        ]
    )


def traced(ages_s, ttl_s=300.0):
    return pd.DataFrame(
        {
            "kind": "evicted",
            "elapsed_s": 1000.0,
            "age_s": ages_s,
            "ttl_left_s": ttl_s - np.asarray(ages_s, dtype=float),
            "conversation": 1 + np.arange(len(ages_s)),
        }
    )


def off_by(survival):
    """How far the curve is from the truth, at most, where lives are exponential."""
    curve = survival.curve
    return float((curve["share"] - np.exp(-curve["pause_s"] / 20.0)).abs().max())


def test_turns_alone_give_the_curve_that_is_true():
    """Each tells only whether its conversation was there; Kaplan and Meier's would be far off."""
    there = LIVES_S > PAUSES_S

    found = survival_by_turns(turns(PAUSES_S, there), NONE, since_s=0.0)

    data = stats.CensoredData(uncensored=PAUSES_S[~there], right=PAUSES_S[there])
    wrong = stats.ecdf(data).sf
    assert off_by(found) < 0.12
    assert np.abs(wrong.probabilities - np.exp(-wrong.quantiles / 20.0)).max() > 0.25
    assert found.pause_s_at(0.5) == pytest.approx(20 * np.log(2), rel=0.15)


def test_ledger_gives_the_same_curve_more_sharply():
    """It knows when each went, and so a pause that was longer than the life is no longer unsure."""
    there = LIVES_S > PAUSES_S

    found = survival_by_ledger(traced(LIVES_S[~there]), turns(PAUSES_S, there), NONE, since_s=0.0)

    assert off_by(found) < 0.05
    assert found.exact
    assert found.evicted == (~there).sum()
    assert found.present == there.sum()


@pytest.mark.parametrize("by_ledger", [True, False])
def test_curve_begins_whole_falls_and_lies_within_its_interval(by_ledger):
    """And no point rests on fewer than twenty."""
    there = LIVES_S > PAUSES_S
    seen = turns(PAUSES_S, there)

    found = (
        survival_by_ledger(traced(LIVES_S[~there]), seen, NONE, since_s=0.0)
        if by_ledger
        else survival_by_turns(seen, NONE, since_s=0.0)
    )

    curve = found.curve
    assert (curve["pause_s"].iloc[0], curve["share"].iloc[0]) == (0.0, 1.0)
    assert curve["share"].is_monotonic_decreasing
    assert ((curve["low"] <= curve["share"]) & (curve["share"] <= curve["high"])).all()
    assert curve["at_risk"].min() >= AT_RISK_LEAST
    assert not curve.isna().any().any()


def test_conversations_looked_for_at_the_end_count_as_well():
    """Nobody wrote again, and still they tell."""
    looked = keys(
        [{"elapsed_s": 1000.0, "age_s": 10.0}] * 30
        + [{"elapsed_s": 1000.0, "age_s": 50.0, "state": "evicted"}] * 30
        + [{"elapsed_s": 1000.0, "age_s": 50.0, "state": "unread"}] * 30
    )

    found = survival_by_turns(operations([]), looked, since_s=0.0)

    assert (found.present, found.evicted) == (30, 30)
    assert 10.0 < found.pause_s_at(0.5) <= 50.0


def test_pause_that_began_before_evictions_is_left_out():
    """For a part of it nothing could have ended it."""
    seen = turns([10.0] * 30 + [900.0] * 30, [True] * 60)

    assert survival_by_turns(seen, NONE, since_s=500.0).present == 30


def test_further_delivery_and_turn_without_an_answer_tell_nothing():
    """Only a turn that looked and was the first to look."""
    seen = operations(
        [
            {"elapsed_s": 1000.0, "delivery": 1},
            {"elapsed_s": 1000.0, "outcome": "timeout"},
            {"elapsed_s": 1000.0, "outcome": "expired"},
            {"elapsed_s": 1000.0, "operation": "write"},
        ]
    )

    found = survival_by_turns(seen, NONE, since_s=0.0)

    assert found.present == found.evicted == 0


@pytest.mark.parametrize("count", [0, 1, AT_RISK_LEAST - 1])
def test_too_few_pauses_have_no_curve(count):
    """By either way."""
    seen = turns([1.0] * count, [False] * count)

    assert survival_by_turns(seen, NONE, since_s=0.0).curve.empty
    assert survival_by_ledger(traced([1.0] * count), turns([], []), NONE, since_s=0.0).curve.empty


def test_nothing_evicted_stays_whole():
    """The turns say so; the ledger has nothing to estimate from."""
    seen = turns([1.0, 2.0] * 30, [True] * 60)

    assert set(survival_by_turns(seen, NONE, since_s=0.0).curve["share"]) == {1.0}
    assert survival_by_ledger(traced([]), seen, NONE, since_s=0.0).curve.empty


SHORT = {"ttl_s": 10.0, "age_s": 12.0}


@pytest.mark.parametrize("by_turns", [True, False])
def test_conversation_that_expired_was_there_for_its_time_to_live(by_turns):
    """A hundred were evicted after 5 s and 900 lived 10 s: nine in ten are left after 5 s."""
    row = {"elapsed_s": 1000.0, **SHORT}
    expired = [{**row, "conversation": 1000 + number} for number in range(900)]
    seen = operations([{**each, "outcome": "expired"} for each in expired] if by_turns else [])
    looked = keys([] if by_turns else [{**each, "state": "expired"} for each in expired])

    found = survival_by_ledger(traced([5.0] * 100, ttl_s=10.0), seen, looked, since_s=0.0)

    assert found.curve["share"].tolist() == pytest.approx([1.0, 0.9, 0.9])
    assert found.curve["pause_s"].tolist() == [0.0, 5.0, 10.0]
    assert (found.evicted, found.present, found.expired) == (100, 0, 900)


def test_evicted_conversation_that_is_found_expired_counts_once():
    """Whoever comes after its time to live finds it so, but the ledger knows when it went."""
    events = traced([5.0] * 100, ttl_s=10.0).assign(elapsed_s=995.0)
    found_so = [
        {"elapsed_s": 1000.0, "age_s": 10.0, "ttl_s": 10.0, "state": "expired"}
        | {"conversation": number}
        for number in events["conversation"]
    ]

    found = survival_by_ledger(events, operations([]), keys(found_so), since_s=0.0)

    assert (found.evicted, found.expired) == (100, 0)


def test_eviction_after_the_time_to_live_takes_nothing_from_anybody():
    """Fifty went at 5 s; as many after 15 s, when their 10 s were over."""
    events = traced([5.0] * 50 + [15.0] * 50, ttl_s=10.0)

    found = survival_by_ledger(events, operations([]), NONE, since_s=0.0)

    assert found.curve["share"].tolist() == pytest.approx([1.0, 0.5, 0.5])
    assert found.curve["pause_s"].max() == 10.0
    assert (found.evicted, found.expired) == (50, 50)
