"""A tally says what the rows say; and several say together what one would have said."""

import numpy as np
import pytest

from loadtests.tally import CLOCKS, Tally
from workbench.runs.schema import TABLES

COLUMNS = [column.name for column in TABLES["operations"].columns]
CALM = {"outcome": "ok", "operation": "update"}


def rows(count, seed, **values):
    """Turns whose clocks are drawn from a long-tailed distribution, µs."""
    drawn = np.random.default_rng(seed).lognormal(7, 1.5, (count, len(CLOCKS)))
    return [
        tuple(({**CALM, **values} | dict(zip(CLOCKS, map(float, clocks), strict=True))).get(name, 0)
              for name in COLUMNS)
        for clocks in drawn
    ]  # fmt: skip


def tallied(turns):
    tally = Tally()
    tally.fold(turns)
    return tally


@pytest.mark.parametrize(("name", "rank"), [("p50", 0.5), ("p99", 0.99), ("p999", 0.999)])
def test_percentiles_are_those_of_the_rows(name, rank):
    """To the three digits that the histogram keeps: nearest rank on 5,000 turns."""
    turns = rows(5_000, seed=1)
    exact = np.sort([row[COLUMNS.index("response_us")] for row in turns])

    found = tallied(turns).percentile_us("response_us", name)

    assert found == pytest.approx(exact[int(np.ceil(rank * len(exact))) - 1], rel=2e-3)


def test_percentile_of_too_few_turns_is_unknown():
    """99 turns have no p99."""
    assert np.isnan(tallied(rows(99, seed=1)).percentile_us("response_us", "p99"))
    assert tallied(rows(100, seed=1)).percentile_us("response_us", "p99") > 0


def test_merged_tally_is_the_tally_of_all():
    """Sum of the parts: every percentile and count, though they went through messages."""
    parts = [rows(3_000, seed=2), rows(50, seed=3, outcome="evicted"), rows(700, seed=4)]
    whole = tallied([row for part in parts for row in part])

    sent = [Tally.of_message(tallied(part).as_message()) for part in parts]
    merged = Tally.merged(sent)

    assert merged.outcomes == whole.outcomes
    assert (merged.turns, merged.processes) == (3_750, 3)
    for clock in CLOCKS:
        for name in ("p50", "p99", "p999"):
            assert merged.percentile_us(clock, name) == whole.percentile_us(clock, name)


def test_merged_percentile_is_not_the_mean_of_percentiles():
    """One slow process of two: the mean of both p99 is nobody's."""
    slow, fast = Tally(), Tally()
    slow.fold([(*row[:5], 1e6, *row[6:]) for row in rows(200, seed=5)])
    fast.fold([(*row[:5], 1e3, *row[6:]) for row in rows(20_000, seed=6)])

    merged = Tally.merged([slow, fast]).percentile_us("response_us", "p99")

    assert merged == pytest.approx(1e3, rel=1e-3)


def test_cpu_of_a_merged_tally_is_that_of_the_busiest():
    """And seconds without a slot are counted over all."""
    busy, idle = Tally(), Tally()
    for _ in range(4):
        busy.add_second(0.9, starved=True)
        idle.add_second(0.1, starved=False)

    merged = Tally.merged([busy, idle])

    assert merged.cpu_share == pytest.approx(0.9)
    assert merged.starved_share == 0.5


def test_what_was_found_at_the_end_is_merged_too():
    """Each process looked for its own; they asked the same server, so its count is not added."""
    parts = [Tally(), Tally()]
    for evicted_keys, part in zip((7, 9), parts, strict=True):
        part.keys.update({"present": 3, "evicted": 4})
        part.updates.update({"kept": 3})
        part.evicted_turns, part.evicted_keys, part.expired_keys = 2, evicted_keys, 1

    merged = Tally.merged(Tally.of_message(part.as_message()) for part in parts)

    assert merged.keys == {"present": 6, "evicted": 8}
    assert merged.updates == {"kept": 6}
    assert (merged.evicted_turns, merged.evicted_keys, merged.expired_keys) == (4, 9, 1)


def test_unsent_turns_are_due_and_not_delivered():
    """Two of a hundred never went out."""
    tally = tallied([*rows(98, seed=7), *rows(2, seed=8, outcome="unsent")])

    assert tally.delivered_share == pytest.approx(0.98)
    assert Tally().delivered_share == 0.0


def test_overdue_turns_are_not_delivered():
    """While the load goes on they stand beside the others; of several processes they add up."""
    calm, late = tallied(rows(60, seed=1)), tallied(rows(30, seed=2))
    late.overdue = 10

    whole = Tally.merged([calm, Tally.of_message(late.as_message())])

    assert (whole.turns, whole.overdue) == (90, 10)
    assert whole.delivered_share == pytest.approx(0.9)


def test_lost_turns_are_told_by_cause():
    """Only those that needed a state and found none; a timeout is no loss."""
    turns = [*rows(5, seed=1), *rows(3, seed=2, outcome="evicted")]
    turns += [*rows(2, seed=3, outcome="expired"), *rows(1, seed=4, outcome="timeout")]

    assert tallied(turns).lost == {"evicted": 3, "expired": 2}
