"""Samples of the memory, and what a server's own words stand for where nothing else is shown."""

import time

import pytest

from tests.waiting import wait_until
from workbench.lab.watch import ByInfo, ByProcessTree, Sampled, watch


class Scripted:
    """Tells what it is told to: sizes, then the last of them for ever."""

    label = "a script"

    def __init__(self, *sizes):
        self.sizes = list(sizes)
        self.alive = True

    def anonymous_bytes(self):
        return self.sizes.pop(0) if len(self.sizes) > 1 else self.sizes[0]

    def child(self):
        return 7 if self.alive else None


def test_highest_and_usual_are_those_from_a_moment_on():
    """A peak of before the fork is none of the rewrite's."""
    script = Scripted(900, 100, 100)
    with Sampled(script) as sampled:
        wait_until(lambda: len(sampled.at_s) > 3, why="four samples")
        later_s = time.monotonic()
        script.sizes = [300, 200]
        wait_until(lambda: sampled.highest(later_s) == 300, why="the second peak")

    assert sampled.highest() == 900
    assert sampled.highest(later_s) == 300
    assert sampled.usual(time.monotonic()) == 0


def test_child_lives_from_when_it_was_first_seen_to_when_it_was_last():
    script = Scripted(100)
    with Sampled(script) as sampled:
        wait_until(lambda: sampled.child_s, why="a child")
        script.alive = False
        gone_s = time.monotonic()
        wait_until(lambda: sampled.at_s[-1] > gone_s + 0.05, why="samples without one")

    assert sampled.child_s[0] <= sampled.child_s[1] < gone_s + 0.05


def test_server_that_is_gone_is_no_sample_of_nothing():
    """The last size of one that was killed is not pulled down by zeros."""
    with Sampled(Scripted(500, 0)) as sampled:
        time.sleep(0.03)

    assert sampled.anonymous_bytes == [500]


def test_info_tells_resident_memory_and_what_the_last_child_left_copied():
    """While it lives its copies are unknown; the figure of an earlier one is not taken for them."""
    by_info = ByInfo()
    told = {"used_memory_rss": 1000, "aof_last_cow_size": 300}

    by_info.note(told | {"aof_rewrite_in_progress": 1})
    during = by_info.anonymous_bytes(), by_info.child() is not None
    by_info.note(told | {"aof_rewrite_in_progress": 0})

    assert during == (1000, True)
    assert (by_info.anonymous_bytes(), by_info.child()) == (1300, None)


@pytest.mark.capability("procfs")
def test_process_that_has_ended_takes_nothing():
    assert ByProcessTree(2**22 + 1).anonymous_bytes() == 0
    assert isinstance(watch(2**22 + 1, None), ByInfo)
