"""What keys cost, against what used_memory grew by on real servers."""

import numpy as np
import pytest

from workbench.analysis.key_sizes import KeySizes, allocated_bytes
from workbench.errors import UsageError

# used_memory of 16,384 keys with names of 22 bytes, less the tables, by key: Redis 7.0.15 with
# jemalloc 5.3.0 and Valkey 9.1.2 with the same jemalloc preloaded (2026-11-26).
LENGTHS = (10, 44, 60, 100, 300, 1000, 2600, 5000)
MEASURED = {
    ("redis", False): (96, 128, 144, 192, 400, 1104, 3152, 5200),
    ("redis", True): (128, 160, 176, 224, 432, 1136, 3184, 5232),
    ("valkey", False): (48, 96, 112, 160, 368, 1072, 3120, 5168),
    ("valkey", True): (64, 96, 112, 176, 384, 1088, 3136, 5184),
}


@pytest.mark.parametrize(("engine", "volatile"), MEASURED)
def test_key_costs_what_it_was_measured_to(engine, volatile):
    """To the byte, for values that are embedded and those that are not."""
    sizes = KeySizes.of(engine, "jemalloc-5.3.0", 22)

    cost = sizes.key_bytes(np.array(LENGTHS), volatile=np.full(len(LENGTHS), volatile))

    assert tuple(cost) == MEASURED[engine, volatile]


def test_preloaded_allocator_is_the_one_that_counts():
    """Valkey was built with libc and runs with jemalloc."""
    preloaded = KeySizes.of("valkey", "libc", 22, preload="libjemalloc.so.2")

    assert preloaded == KeySizes.of("valkey", "jemalloc-5.3.0", 22)


@pytest.mark.parametrize(
    ("allocator", "asked", "given"),
    [
        ("jemalloc-5.3.0", (1, 9, 24, 129, 2049, 2561, 16385), (8, 16, 32, 160, 2560, 3072, 20480)),
        ("jemalloc-5.2.1", (9, 17, 24, 57, 65, 129), (16, 24, 24, 64, 80, 160)),
        ("libc", (1, 24, 25, 40, 2606), (24, 24, 40, 40, 2616)),
    ],
)
def test_allocators_give_what_their_classes_say(allocator, asked, given):
    """Four classes a doubling in jemalloc; glibc keeps 8 of every 16 bytes at least."""
    assert tuple(allocated_bytes(np.array(asked), allocator)) == given


def test_scale_of_the_samples_is_taken_into_account():
    """A server whose keys cost a tenth more than they should."""
    sizes = KeySizes.of("redis", "jemalloc-5.3.0", 22).scaled(1.1)

    assert sizes.key_bytes(np.array([2600]), volatile=np.array([True]))[0] == round(1.1 * 3184)


def test_engine_that_is_not_known_is_refused():
    """Nobody guesses how another engine lays its keys out."""
    with pytest.raises(UsageError, match="did you mean 'redis'"):
        KeySizes.of("redi", "libc", 22)
