"""The simulated server: cases that can be followed by hand, and what holds of all."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from workbench.analysis.accesses import Accesses
from workbench.analysis.key_sizes import KeySizes
from workbench.analysis.simulator import EXACT_LRU, POLICIES, RENEWALS, Settings, simulate
from workbench.benches.workloads import WORKLOADS
from workbench.errors import UsageError

SIZES = KeySizes.of("redis", "jemalloc-5.3.0", 20)


def accesses(*turns, ttl_s=math.inf, **more):
    """Of pairs of time and key; a session that is gone is written anew."""
    at_s, key = zip(*turns, strict=True)
    return Accesses.of(at_s, key, ttl_s=ttl_s, **{"rewrites": True, **more})


def outcome(made, policy="allkeys-lru", *, keys_max=3, samples=16, **more):
    """With room for so many keys, all of which are compared."""
    settings = Settings(sizes=SIZES, keys_max=keys_max, policy=policy, samples=samples, **more)
    return simulate(made, settings)


def test_least_recently_used_key_goes():
    """Of four keys that come a minute apart, the one that nobody asked for again."""
    comes = [(0, 0), (60, 1), (120, 2), (180, 0), (181, 2), (240, 3)]

    kept = outcome(accesses(*comes, (300, 0), (301, 2), (302, 3)))
    gone = outcome(accesses(*comes, (300, 1)))

    assert (kept.evicted, gone.evicted) == (0, 1)
    assert kept.evicted_keys == 1


def test_least_frequently_used_key_goes():
    """The one that was asked for once, although it was the latest to be asked for."""
    often = [(n, key) for n in range(40) for key in (0, 1)]
    comes = [*often, (41, 2), (42, 3)]

    assert outcome(accesses(*comes, (43, 2)), "allkeys-lfu").evicted == 1
    assert outcome(accesses(*comes, (43, 0), (43, 1)), "allkeys-lfu").evicted == 0


def test_frequency_fades_by_the_minute():
    """What was asked for often an hour ago goes before what was asked for twice just now."""
    often = [(n / 10, 0) for n in range(100)]
    comes = [*often, (3600, 1), (3601, 1), (3602, 2), (3603, 2), (3604, 3), (3605, 0)]

    assert outcome(accesses(*comes), "allkeys-lfu").evicted == 1
    assert outcome(accesses(*comes), "allkeys-lfu", lfu_decay_min=0).evicted == 0


def test_key_that_expires_first_goes():
    """Whether it was used or not."""
    ttl_s = [900, 500, 900, 500, 900]
    made = accesses(
        (0, 0), (1, 1), (2, 2), (3, 1), (4, 3), (5, 1), (6, 0), ttl_s=[*ttl_s, 500, 900]
    )

    found = outcome(made, "volatile-ttl")

    assert (found.evicted, found.evicted_keys) == (1, 2)


@pytest.mark.parametrize("policy", [each for each in POLICIES if each.startswith("volatile")])
def test_key_without_a_time_to_live_stays(policy):
    """Under a volatile policy the others go, however old it is."""
    ttl_s = [math.inf] + [900.0] * 60 + [math.inf]
    made = accesses((0, 0), *((n, n) for n in range(1, 61)), (61, 0), ttl_s=ttl_s)

    found = outcome(made, policy)

    assert (found.evicted, found.evicted_keys, found.keys) == (0, 58, 3)


@pytest.mark.parametrize("policy", ["volatile-lru", "volatile-random", "volatile-ttl"])
def test_write_is_refused_where_nothing_may_be_evicted(policy):
    """No key has a time to live."""
    found = outcome(accesses(*((n, n) for n in range(10))), policy)

    assert (found.refused, found.keys, found.evicted_keys) == (6, 4, 0)


def test_noeviction_refuses_writes_and_loses_nothing():
    """Who has a state keeps it."""
    made = accesses(*((n, n) for n in range(10)), *((10 + n, n) for n in range(10)))

    found = outcome(made, "noeviction")

    assert found.evicted == found.expired == found.evicted_keys == 0
    assert found.refused == 6 + 10  # who was refused once is refused again; so are changes
    assert found.turns == 20


def test_state_that_ran_out_is_told_from_one_that_was_evicted():
    """By the time to live, whatever took the key away."""
    full = [(n, n) for n in range(1, 9)]
    made = accesses((0, 0), *full, (9, 0), (50, 8), (2000, 8), ttl_s=1000.0)

    found = outcome(made)

    assert (found.evicted, found.expired, found.needing) == (1, 1, 3)


def test_turn_that_lost_its_state_is_the_last_or_the_next_begins_anew():
    """As the load does it, or as a session does."""
    comes = [(0, 0), *((n, n) for n in range(1, 9)), (10, 0), (11, 0), (12, 0)]

    at_once = outcome(accesses(*comes))
    next_one = outcome(accesses(*comes, rewrites=False))

    assert (at_once.evicted, at_once.needing) == (1, 3)
    assert (next_one.evicted, next_one.needing) == (1, 2)


@pytest.mark.parametrize(("renewal", "expired"), [("creation", 1), ("write", 1), ("touch", 0)])
def test_time_to_live_runs_from_what_renews_it(renewal, expired):
    """A key that is read every 6 s and lives for 10."""
    reads = accesses((0, 0), (6, 0), (12, 0), ttl_s=10.0, writes=False)

    assert outcome(reads, renewal=renewal).expired == expired


def test_write_renews_the_time_to_live_but_not_if_it_is_fixed():
    """A key that is written every 6 s and lives for 10."""
    writes = accesses((0, 0), (6, 0), (12, 0), ttl_s=10.0)

    assert [outcome(writes, renewal=each).expired for each in RENEWALS] == [1, 0, 0]


def test_time_to_live_that_is_asked_about_goes_first():
    """Before what the accesses say."""
    made = accesses((0, 0), (60, 0), ttl_s=30.0)

    assert outcome(made).expired == 1
    assert outcome(made, ttl_s=90.0).expired == 0


@pytest.mark.parametrize("engine", ["redis", "valkey"])
def test_server_takes_away_what_has_run_out_before_anybody_asks(engine):
    """Ten times a second it looks, again while more than a tenth of what it sees has run out."""
    turns = [(n / 1000, n) for n in range(2000)] + [(20.0, 5000)]
    made = accesses(*turns, ttl_s=[5.0] * 2000 + [math.inf])

    found = simulate(made, Settings(sizes=KeySizes.of(engine, "libc", 20)))

    assert found.expired_keys > 1900
    assert found.keys < 100


def test_keys_of_the_same_second_look_equally_old():
    """The clock has whole seconds: which of them goes is chance, and not the oldest."""
    turns = [(0.001 * n, n) for n in range(40)] + [(0.5 + 0.001 * n, n) for n in range(100, 130)]
    asked = [(0.8, n) for n in range(40)]
    made = accesses(*turns, *asked)

    coarse = outcome(made, keys_max=40, samples=5)
    exact = outcome(made, EXACT_LRU, keys_max=40)

    assert exact.evicted == 40  # each that is written anew takes the next one's place
    assert coarse.evicted < 40


def test_what_was_there_before_the_first_access_is_as_old_as_it_was():
    """The oldest goes first; what had run out is not there."""
    made = accesses((0, 3), (1, 0), (2, 1))
    held = replace(
        made,
        held_key=np.array([2, 1, 0, 4], np.int32),
        held_s=np.array([-900.0, -600.0, -300.0, -10.0]),
        held_bytes=np.full(4, 1000, np.int32),
        held_ttl_s=np.array([500, 5000, 5000, 5000], np.float32),
        keys=5,
    )

    found = outcome(held, keys_max=3)

    assert (found.evicted, found.evicted_keys) == (1, 1)


def test_larger_values_and_their_tables_take_memory():
    """What is used is what keys and tables cost."""
    made = accesses(*((n / 10, n) for n in range(100)), value_bytes=2600, ttl_s=1000.0)

    found = simulate(made, Settings(sizes=SIZES, capacity_bytes=200_000))

    assert found.used_bytes <= 200_000
    assert found.keys == pytest.approx(200_000 / (3184 + 2 * 8 * 64 / 62), abs=2)


@pytest.mark.parametrize("policy", [*POLICIES, EXACT_LRU])
@pytest.mark.parametrize("engine", ["redis", "valkey"])
def test_same_seed_has_the_same_outcome_and_memory_is_kept(policy, engine):
    """Every policy on every engine: nothing is above its capacity, counts fit together."""
    made = WORKLOADS["mix"](4000, 3)
    sizes = KeySizes.of(engine, "jemalloc-5.3.0", 20)
    settings = Settings(sizes=sizes, policy=policy, capacity_bytes=400_000)

    one, same = (simulate(made, settings, seed=5) for _ in range(2))

    assert one == same
    assert one.used_bytes <= 403_000  # the last write may stand above it
    assert one.evicted + one.expired <= one.needing <= one.turns
    if policy in {"allkeys-lru", "allkeys-lfu", "allkeys-random", "volatile-ttl"}:
        assert simulate(made, settings, seed=6) != one


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-lfu", "volatile-ttl", "allkeys-random"])
def test_more_memory_never_loses_much_more(policy):
    """It may by chance, but not by more than that."""
    made = WORKLOADS["sessions"](6000, 3)

    shares = [
        simulate(made, Settings(sizes=SIZES, policy=policy, capacity_bytes=capacity)).evicted_share
        for capacity in (200_000, 300_000, 450_000, 700_000, 1_000_000)
    ]

    assert all(more <= less + 0.01 for less, more in pairwise(shares))
    assert shares[0] > shares[-1] + 0.1


def test_wrong_simulator_is_told_apart_from_the_right_one():
    """The control of the bench: exact LRU, or another number of samples, is off by more."""
    made = WORKLOADS["sessions"](20_000, 3)
    right = Settings(sizes=SIZES, policy="volatile-lru", capacity_bytes=900_000)

    true, again = (simulate(made, right, seed=seed).evicted_share for seed in (1, 2))
    exact = simulate(made, replace(right, policy=EXACT_LRU)).evicted_share
    one_sample = simulate(made, replace(right, samples=1)).evicted_share

    assert abs(again - true) < 0.005
    assert abs(exact - true) > 0.01
    assert abs(one_sample - true) > 0.01


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"policy": "allkeys-lur"}, "did you mean 'allkeys-lru'"),
        ({"renewal": "wirte"}, "did you mean 'write'"),
        ({"samples": 0}, "at least one key"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong, said):
    """By name, with what was meant."""
    with pytest.raises(UsageError, match=said):
        Settings(sizes=SIZES, **wrong)
