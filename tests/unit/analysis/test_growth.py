"""The next rewrite is due where Redis itself would begin it."""

import pandas as pd
import pytest

from tests.frames import samples
from workbench.analysis.growth import next_rewrite, trigger_bytes

CONFIG = {"auto-aof-rewrite-percentage": "100", "auto-aof-rewrite-min-size": "1000"}


def grown(*sizes, base=2000, **others):
    return [
        {"elapsed_s": float(at), "aof_base_size": base, "aof_current_size": size, **others}
        for at, size in enumerate(sizes)
    ]


def test_next_rewrite_is_due_when_the_growth_reaches_the_percentage():
    """From 2,000 B to twice that, by 100 B/s from 2,300 B on: 17 s later."""
    told = next_rewrite(samples(grown(2000, 2100, 2200, 2300)), CONFIG)

    assert told.trigger_bytes == 4000
    assert told.rate_bytes_per_s == pytest.approx(100)
    assert told.due_s == pytest.approx(20.0)


@pytest.mark.parametrize(
    ("base", "config", "trigger"),
    [
        (2000, {}, 4000),
        (2000, {"auto-aof-rewrite-percentage": "50"}, 3000),
        (100, {}, 1000),
        (0, {}, 1000),
        (2000, {"auto-aof-rewrite-min-size": "9000"}, 9000),
    ],
)
def test_size_that_begins_a_rewrite_is_the_percentage_and_the_least_size(base, config, trigger):
    """Both must be passed."""
    told = trigger_bytes(pd.Series([base]), {**CONFIG, **config})

    assert told.tolist() == [trigger]


def test_only_the_growth_since_the_latest_rewrite_counts():
    """Before it the AOF grew ten times as fast."""
    before = grown(2000, 3000, 4000)
    after = [
        {**row, "elapsed_s": row["elapsed_s"] + 3} for row in grown(2200, 2300, 2400, base=2100)
    ]

    told = next_rewrite(samples(before + after), CONFIG)

    assert told.rate_bytes_per_s == pytest.approx(100)


def test_right_after_a_rewrite_the_growth_before_it_tells():
    """Two samples are no rate."""
    after = [{"elapsed_s": 3.0, "aof_base_size": 2100, "aof_current_size": 2100}]

    told = next_rewrite(samples(grown(2000, 3000, 4000) + after), CONFIG)

    assert told.rate_bytes_per_s == pytest.approx(1000)
    assert told.due_s == pytest.approx(3 + 2.1)


def test_growth_before_the_measured_load_is_not_its_rate():
    """A prefill writes a hundred times as fast, and there was no rewrite since."""
    seen = grown(2000, 12_000, 22_000, 22_100, 22_200, 22_300, base=20_000)
    told = next_rewrite(samples({**row, "elapsed_s": row["elapsed_s"] - 2} for row in seen), CONFIG)

    assert told.rate_bytes_per_s == pytest.approx(100)
    assert told.due_s == pytest.approx(3 + 177)


def test_prefill_alone_tells_no_rate():
    """What people write is not known from it."""
    seen = [{**row, "elapsed_s": row["elapsed_s"] - 3} for row in grown(2000, 2100, 2200, 2300)]

    told = next_rewrite(samples(seen), CONFIG)

    assert (told.rate_bytes_per_s, told.due_s) == (None, None)
    assert "too few samples under the load" in told.why


def test_restart_is_no_growth_of_what_came_before():
    """The samples in which the server reads its data are no cycle of their own."""
    read = [
        {"elapsed_s": 3.0 + 0.1 * number, "aof_base_size": 0, "aof_current_size": 700 * number}
        | {"loading": 1, "run_id": "second", "aof_last_rewrite_time_sec": -1}
        for number in range(3)
    ]
    after = [
        {"elapsed_s": 4.0, "aof_base_size": 2000, "aof_current_size": 2300, "run_id": "second"}
        | {"aof_last_rewrite_time_sec": -1}
    ]

    told = next_rewrite(samples(grown(2000, 2100, 2200) + read + after), CONFIG)

    assert told.rate_bytes_per_s == pytest.approx(100)


def test_overdue_rewrite_is_due_now():
    """Not in the past."""
    told = next_rewrite(samples(grown(3000, 4000, 5000)), CONFIG)

    assert told.due_s == 2.0


@pytest.mark.parametrize(
    ("seen", "config", "why"),
    [
        ([], CONFIG, "the server was not sampled"),
        (grown(None, base=None), CONFIG, "the server keeps no AOF"),
        (grown(1, 2, 3), {}, "the settings of automatic rewrites are not known"),
        (grown(1, 2, 3), {**CONFIG, "auto-aof-rewrite-percentage": "0"}, "rewrites are off"),
        (grown(2000), CONFIG, "too few samples"),
        (grown(2000, 2000, 2000), CONFIG, "the AOF does not grow"),
        (grown(2000, 2100, 2200, aof_rewrite_in_progress=1), CONFIG, "a rewrite went on"),
    ],
)
def test_what_cannot_be_told_says_why(seen, config, why):
    """No time is given then."""
    told = next_rewrite(samples(seen), config)

    assert told.due_s is None
    assert why in told.why
