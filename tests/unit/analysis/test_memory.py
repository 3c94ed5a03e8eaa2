"""The parts of the memory add up, and what is not known is not guessed."""

import pytest

from tests.frames import events, samples
from workbench.analysis.memory import memory_parts
from workbench.analysis.persistence import memory_need

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


def test_buffers_of_replicas_of_another_moment_that_do_not_fit_are_not_told_apart():
    """At the peak the overhead was smaller than what the last look says of them."""
    seen = [{"elapsed_s": 0.0, "used_memory_overhead": MIB, "mem_aof_buffer": 0}]
    info = {"used_memory_startup": MIB // 2, "mem_clients_slaves": MIB}

    parts = memory_parts(samples(seen), events([]), info)

    assert parts.replica_buffers is None
    within = (parts.startup, parts.overhead, parts.client_buffers, parts.aof_buffer)
    assert sum(within) + parts.dataset == parts.used


def test_what_is_used_is_needed_though_it_is_not_resident():
    """It comes back from the swap; and the rule says the same as the chart."""
    seen = samples(
        {"elapsed_s": at_s, "used_memory": used * MIB, "used_memory_rss": resident * MIB}
        for at_s, used, resident in ((0.0, 100, 30), (1.0, 50, 60))
    )

    parts = memory_parts(seen, events([]), {})

    assert parts.needed == 100 * MIB == memory_need(events([]), seen).needed_bytes


def test_copy_that_was_not_seen_is_unknown_and_not_0():
    """A rewrite takes something."""
    assert memory_parts(samples(SEEN), events([]), INFO).copied is None


@pytest.mark.parametrize("lacking", ["used_memory_overhead", "used_memory_dataset"])
def test_overhead_and_dataset_tell_each_other(lacking):
    """INFO makes the one of the other."""
    parts = memory_parts(samples([{**SEEN[0], lacking: None}]), events([]), {})

    assert parts.dataset == 3 * MIB
    assert parts.overhead == MIB - 100_000 - 8


def test_nothing_is_counted_with_an_overhead_that_is_not_known():
    """Neither part of used_memory is told."""
    seen = [{**SEEN[0], "used_memory_overhead": None, "used_memory_dataset": None}]

    parts = memory_parts(samples(seen), events([]), {})

    assert (parts.overhead, parts.dataset) == (None, None)
