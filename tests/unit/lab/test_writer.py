"""The sessions that are written, and the reckoning of how many were."""

import json
import re

import pytest

from workbench.errors import UsageError
from workbench.lab.memory import Cell
from workbench.lab.sessions import Sessions
from workbench.lab.writer import Plan, Written, _Numbers


@pytest.mark.parametrize("length", [64, 1024, 200_000])
def test_every_session_is_json_of_the_length_asked_for(length):
    """So that each takes the same room in the server."""
    sessions = Sessions(length, seed=3)

    for number in (0, 1, 255, 256, 999_999_999):
        words = re.split(rb"\r\n", sessions.write(number))
        assert words[4] == f"channel:wb-{number:09d}".encode()
        assert int(words[3][1:]) == len(words[4])
        assert len(words[6]) == int(words[5][1:]) == length
        assert set(json.loads(words[6])) == {"data"}


def test_lengths_lie_around_the_average_and_change_from_turn_to_turn():
    """As a conversation's do; on average they are what was asked for."""
    sessions = Sessions(1024, seed=3, spread=0.5)

    lengths = [len(sessions.write(number)) for number in range(256)]
    equal = len(Sessions(1024, seed=3).write(0))

    assert sum(lengths) / len(lengths) == pytest.approx(equal, abs=2)
    assert max(lengths) - min(lengths) == pytest.approx(1024, abs=10)
    assert len({len(sessions.write(7, turn)) for turn in range(20)}) > 10


def test_same_seed_writes_the_same_and_another_does_not():
    assert Sessions(100, seed=3).write(5) == Sessions(100, seed=3).write(5)
    assert Sessions(100, seed=3).write(5) != Sessions(100, seed=4).write(5)


@pytest.mark.parametrize(("hot_share", "least", "most"), [(0.1, 0.08, 0.12), (0.9, 0.88, 0.92)])
def test_a_tenth_of_the_sessions_takes_its_share(hot_share, least, most):
    """A share of 0.1 is uniform; all numbers are of sessions that are there."""
    plan = Plan(port=0, per_s=1, value_bytes=64, keys=1000, hot_share=hot_share)
    numbers = _Numbers(plan)

    drawn = [numbers.draw() for _ in range(10_000)]

    assert least < sum(number % 10 == 0 for number in drawn) / len(drawn) < most
    assert 0 <= min(drawn) <= max(drawn) < 1000
    assert len(set(drawn)) > 950 or hot_share > 0.1


def test_new_sessions_have_the_numbers_after_those_that_are_there():
    plan = Plan(port=0, per_s=1, value_bytes=64, keys=1000, new_keys=True)
    numbers = _Numbers(plan)

    assert [numbers.draw() for _ in range(3)] == [1000, 1001, 1002]


def test_rate_is_reckoned_between_two_moments():
    """Between two notes it is taken to be even; before the first and after the last too."""
    written = Written(at_s=[10.0, 11.0, 12.0], acknowledged=[0, 100, 400])

    assert written.per_s(10.0, 12.0) == 200
    assert written.per_s(10.5, 11.5) == 200
    assert written.per_s(12.0, 13.0) == 0
    assert Written().per_s(1.0, 2.0) == 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"maxmemory_bytes": 340}, "maxmemory is 340 B, outside 4 MiB"),
        ({"limit_bytes": 0}, "limit is 0 B"),
        ({"writes_per_s": float("nan")}, "writes_per_s is nan"),
        ({"hot_share": 1.5}, "hot_share is 1.5, outside 0 to 1"),
        ({"length_spread": 1}, "length_spread is 1, outside 0 to 0.9"),
        ({"cpu_share": 0}, "vcpu is 0, outside 0.01"),
        ({"value_bytes": 8}, "value_bytes is 8 B, outside 64 B to 1 MiB"),
    ],
)
def test_cell_that_makes_no_sense_is_refused(change, says):
    with pytest.raises(UsageError, match=says):
        Cell(**({"maxmemory_bytes": 8 * 1024 * 1024} | change))
