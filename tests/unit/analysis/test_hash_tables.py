"""The tables of a simulated server: order, neighbours, growth."""

from array import array
from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.analysis.hash_tables import hash_table
from workbench.analysis.key_sizes import KeySizes

ROOM = 1e9
ENGINES = ("redis", "valkey")


def table(engine, *, hashes=None, keys=4000, seed=1):
    random = Random(seed)
    drawn = array("I", random.randbytes(4 * keys)) if hashes is None else array("I", hashes)
    return hash_table(KeySizes.of(engine, "libc", 20).table, drawn, random)


def filled(engine, count, **more):
    made = table(engine, **more)
    for key in range(count):
        made.insert(key, ROOM)
    return made


@pytest.mark.parametrize("engine", ENGINES)
@given(turns=st.lists(st.tuples(st.booleans(), st.integers(0, 60)), max_size=300))
@settings(max_examples=60, deadline=None)
def test_table_holds_what_was_put_in_and_not_taken_out(engine, turns):
    """Whatever comes and goes; its memory is that of its buckets and their children."""
    made, held = table(engine), set()
    for comes, key in turns:
        if comes and key not in held:
            made.insert(key, ROOM)
            held.add(key)
        elif not comes and key in held:
            made.remove(key)
            held.discard(key)

    assert made.keys == len(held)
    assert set(made._all()) == held
    assert set(made.sample(5)) <= held
    assert (made.any() in held) == bool(held)
    assert made.table_bytes >= made._shape.bucket_bytes * made._count


@pytest.mark.parametrize("engine", ENGINES)
def test_sample_is_of_neighbours(engine):
    """What is drawn together once is drawn together again; each key is drawn sooner or later."""
    made = filled(engine, 700)

    samples = [made.sample(5) for _ in range(6000)]

    assert {len(each) for each in samples} == {5}
    drawn = [frozenset(each) for each in samples]
    seen = Counter(key for each in drawn for key in each)
    assert len(seen) > 690
    again = Counter(drawn)
    assert again.most_common(1)[0][1] >= 3  # of 10^12 sets of five, had they been independent


def test_redis_draws_the_newest_of_a_bucket_first():
    """A list hangs from the bucket, and a new key is put before the others."""
    made = filled("redis", 3, hashes=[8, 8, 8])

    assert made.sample(2) == [2, 1]


def test_valkey_gives_the_place_of_a_key_that_went_to_the_next():
    """So that keys that come and go are drawn before those that stay."""
    made = filled("valkey", 7, hashes=[0] * 9)

    made.remove(2)
    made.insert(7, ROOM)

    assert made._all() == [0, 1, 7, 3, 4, 5, 6]


def test_valkey_hangs_a_bucket_from_a_full_one_and_takes_it_away_again():
    """The eighth key of a bucket takes 64 bytes more, until it goes."""
    made = filled("valkey", 20, hashes=[8 * n for n in range(20)])
    full = filled("valkey", 27, hashes=[0] * 8 + [1] * 19)
    before = full.table_bytes

    assert made.table_bytes == 64 * (4 + 3)
    assert full.remove(7) == 64
    assert full.table_bytes == before - 64
    assert full._all()[:7] == [0, 1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("engine", "full", "bytes_more"), [("redis", 64, 1024), ("valkey", 56, 1024)]
)
def test_table_doubles_when_it_is_full(engine, full, bytes_more):
    """The old one is there until its keys have moved."""
    made = filled(engine, full)
    while made.rehash():
        pass
    before = made.table_bytes - 64 * made._children * (engine == "valkey")

    made.insert(full, ROOM)
    freed = made.rehash()

    grown = made.table_bytes - 64 * made._children * (engine == "valkey")
    assert grown == bytes_more
    assert freed == before


@pytest.mark.parametrize(("engine", "full"), [("redis", 64), ("valkey", 56)])
def test_table_does_not_grow_over_the_cap_until_it_must(engine, full):
    """Redis and Valkey let a table be 1.618 times full before they evict keys for a larger one."""
    made = filled(engine, full)
    while made.rehash():
        pass
    buckets = made._count

    for key in range(full, int(1.6 * full)):
        made.insert(key, 0.0)
    assert made._count == buckets
    for key in range(int(1.6 * full), int(1.7 * full)):
        made.insert(key, 0.0)
    assert made._count == 2 * buckets


def test_table_of_few_keys_gets_smaller():
    """Under a tenth of its places."""
    made = filled("redis", 1000)
    while made.rehash():
        pass

    for key in range(950):
        made.remove(key)
    made.shrink()

    assert made._count == 64
    assert sorted(made._all()) == list(range(950, 1000))
