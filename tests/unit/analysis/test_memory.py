"""The parts of the memory add up, and what is not known is not guessed."""

import pytest

from tests.frames import events, samples
from workbench.analysis.memory import memory_parts

MIB = 1024**2
INFO = {
    "used_memory_startup": MIB // 2,
    "mem_clients_slaves": 1000,
    "mem_replication_backlog": 2000,
}
SEEN = [
    {"elapsed_s": 0.0, "used_memory_rss": 5 * MIB, "mem_aof_buffer": 8},
    {"elapsed_s": 1.0, "used_memory_rss": 9 * MIB, "mem_aof_buffer": 512},
    {"elapsed_s": 2.0, "used_memory_rss": 7 * MIB, "mem_aof_buffer": 8},
]


def test_parts_are_those_of_the_moment_with_the_most_resident_memory():
    """And they add up to used_memory, and with what is beyond it to what is resident."""
    parts = memory_parts(samples(SEEN), events([]), INFO)

    assert parts.at_s == 1.0
    assert parts.aof_buffer == 512
    assert parts.replica_buffers == 3000
    within = (parts.startup, parts.overhead, parts.client_buffers, parts.aof_buffer)
    assert sum(within) + parts.replica_buffers + parts.dataset == parts.used == 4 * MIB
    assert parts.used + parts.fragmentation == parts.resident == parts.needed == 9 * MIB


def test_what_a_rewrite_copied_is_needed_on_top():
    """The most that one of the measured load did."""
    seen = [*SEEN, {"elapsed_s": 3.0, "aof_base_size": 900, "aof_last_cow_size": 3 * MIB}]

    parts = memory_parts(samples(seen), events([]), INFO)

    assert parts.copied == 3 * MIB
    assert parts.needed == 12 * MIB


@pytest.mark.parametrize("lacking", ["used_memory_startup", "mem_clients_slaves"])
def test_part_that_is_not_told_is_unknown_and_stays_in_the_overhead(lacking):
    """Nothing is lost from the sum."""
    less = {name: size for name, size in INFO.items() if name != lacking}
    if lacking == "mem_clients_slaves":
        less = {"used_memory_startup": MIB // 2}

    parts = memory_parts(samples(SEEN), events([]), less)

    assert (parts.startup is None) == (lacking == "used_memory_startup")
    assert (parts.replica_buffers is None) == (lacking == "mem_clients_slaves")
    whole = (parts.startup, parts.overhead, parts.client_buffers, parts.aof_buffer, parts.dataset)
    assert sum(part or 0 for part in (*whole, parts.replica_buffers)) == parts.used


def test_fragmentation_is_below_0_where_less_is_resident_than_used():
    """As in a server that was swapped out."""
    seen = [{"elapsed_s": 0.0, "used_memory": 4 * MIB, "used_memory_rss": 3 * MIB}]

    assert memory_parts(samples(seen), events([]), {}).fragmentation == -MIB


def test_no_cap_is_none_and_not_0():
    """maxmemory 0 means that there is no limit."""
    seen = [{"elapsed_s": 0.0, "maxmemory": 0}]

    assert memory_parts(samples(seen), events([]), {}).cap is None


@pytest.mark.parametrize("seen", [[], [{"elapsed_s": 0.0, "used_memory_rss": None}]])
def test_without_a_sample_that_tells_there_are_no_parts(seen):
    """None, not zeros."""
    assert memory_parts(samples(seen), events([]), INFO) is None
