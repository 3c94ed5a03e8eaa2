"""Percentiles by nearest rank, of raw turns; too few turns have none."""

import math

import numpy as np
import pandas as pd
import pytest

from tests.frames import events, operations, samples
from workbench.analysis.latency import (
    latency_by_rewrite,
    latency_by_step,
    latency_by_window,
    parts_by_window,
    parts_us,
    percentiles_us,
    slowest,
    window_wide_enough_s,
)
from workbench.analysis.persistence import rewrite_spans
from workbench.errors import ColumnMissingError


def ranked(count):
    """1, 2, … µs, shuffled."""
    values = np.random.default_rng(1).permutation(np.arange(1, count + 1))
    return pd.DataFrame({"response_us": values.astype("float32"), "elapsed_s": 0.0})


@pytest.mark.parametrize(
    ("count", "name", "rank"),
    [
        (2, "p50", 1),
        (100, "p50", 50),
        (100, "p99", 99),
        (101, "p99", 100),
        (1000, "p99", 990),
        (1000, "p999", 999),
    ],
)
def test_percentile_is_the_value_at_the_nearest_rank(count, name, rank):
    """Of 100 turns, the p99 is the 99th, not the slowest."""
    assert percentiles_us(ranked(count))[name] == rank


@pytest.mark.parametrize(("count", "name"), [(1, "p50"), (99, "p99"), (999, "p999")])
def test_percentile_of_too_few_turns_is_unknown(count, name):
    """A p99 of 99 turns would be a guess."""
    assert math.isnan(percentiles_us(ranked(count))[name])


def test_each_window_stands_for_itself():
    """Two windows of 2 s, and a gap between them; the one before 0 begins at -2."""
    turns = operations(
        {"elapsed_s": at, "response_us": us}
        for at, us in [(-0.5, 7.0), (-1.5, 9.0), (2.0, 1.0), (3.9, 3.0), (2.5, 2.0)]
    )

    windows = latency_by_window(turns, window_s=2.0)

    assert windows.index.tolist() == [-2.0, 2.0]
    assert windows["p50"].tolist() == [7.0, 2.0]
    assert windows["count"].tolist() == [2, 3]
    assert windows["p99"].isna().all()


def test_other_clocks_can_be_asked_for():
    """The generator's own lateness is judged by the same percentiles."""
    turns = operations({"elapsed_s": 0.0, "lag_us": us} for us in (1.0, 2.0, 3.0))

    assert percentiles_us(turns, "lag_us")["p50"] == 2.0


def test_windows_of_no_turns_are_none():
    """An empty run has no windows, and still the columns."""
    windows = latency_by_window(operations([]))

    assert windows.empty
    assert list(windows.columns) == ["p50", "p99", "p999", "count"]


def test_missing_clock_is_named():
    """A table of another making is refused, not guessed at."""
    with pytest.raises(ColumnMissingError, match="response_us"):
        percentiles_us(pd.DataFrame({"elapsed_s": [0.0]}))


@pytest.mark.parametrize(
    ("turns_per_s", "window_s"), [(1000, 1.0), (500, 2.0), (200, 5.0), (9, 1.0)]
)
def test_window_is_as_wide_as_a_p999_needs(turns_per_s, window_s):
    """A thousand turns a window; where even 5 s hold too few, there is no p99.9 to wait for."""
    due_s = np.arange(0, 10, 1 / turns_per_s)

    assert window_wide_enough_s(pd.DataFrame({"elapsed_s": due_s})) == window_s


def test_steps_stand_by_flow_in_the_order_of_their_turns():
    """A person reads them as they are walked through; too few turns have no p99."""
    turns = operations(
        {"elapsed_s": 0.0, "flow": flow, "step": step, "turn": turn, "response_us": us}
        for flow, step, turn, us in [
            ("offer", "confirm", 4, 8.0),
            ("offer", "menu", 1, 1.0),
            ("offer", "menu", 1, 3.0),
            ("login", "greeting", 0, 5.0),
        ]
    )

    steps = latency_by_step(turns)

    assert steps["flow"].tolist() == ["login", "offer", "offer"]
    assert steps["step"].tolist() == ["greeting", "menu", "confirm"]
    assert steps["turns"].tolist() == [1, 2, 1]
    assert steps["p50"].iloc[1] == 1.0
    assert steps["p99"].isna().all()


def test_steps_of_no_turns_are_none():
    """An empty run has no steps, and still the columns."""
    steps = latency_by_step(operations([]))

    assert steps.empty
    assert list(steps.columns) == ["flow", "step", "turns", "p50", "p99"]


def test_slowest_are_those_at_the_p99_or_above():
    """Of 200 turns the 198th to the last; of 99 none, since they have no p99."""
    assert sorted(slowest(ranked(200)).frame()["response_us"]) == [198, 199, 200]
    assert len(slowest(ranked(99))) == 0


def test_parts_add_up_to_the_mean_response():
    """Which is why they are means."""
    turns = operations(
        {"elapsed_s": 0.0, "response_us": s + g + q, "service_us": s, "lag_us": g, "queue_us": q}
        for s, g, q in [(1.0, 2.0, 3.0), (5.0, 0.0, 1.0)]
    )

    assert parts_us(turns) == {"service_us": 3.0, "lag_us": 1.0, "queue_us": 2.0}
    assert sum(parts_us(turns).values()) == turns["response_us"].mean()


def test_parts_of_the_slowest_are_those_of_each_window():
    """A slow second does not hide what the slow turns of a fast one waited for."""
    rows = [{"elapsed_s": 0.5, "response_us": 10.0, "service_us": 10.0, "lag_us": 0.0}] * 99
    rows += [{"elapsed_s": 0.6, "response_us": 90.0, "service_us": 9.0, "lag_us": 81.0}] * 2
    rows += [{"elapsed_s": 1.5, "response_us": 500.0, "service_us": 500.0, "lag_us": 0.0}] * 3

    every = parts_by_window(operations(rows))
    tail = parts_by_window(operations(rows), only_slowest=True)

    assert every.index.tolist() == [0.0, 1.0]
    assert tail.index.tolist() == [0.0]
    assert tail.loc[0.0].tolist() == [9.0, 81.0, 0.0]


def spans(*from_to_s):
    return pd.DataFrame(
        [(start, stop - start) for start, stop in from_to_s],
        columns=["elapsed_s", "duration_s"],
    )


def test_turn_belongs_where_it_was_due():
    """One due before a rewrite that ends in it is outside; one due on its last stroke is too."""
    turns = operations(
        {"elapsed_s": at, "response_us": us}
        for at, us in [(0.9, 5e6), (1.0, 10.0), (1.9, 20.0), (2.0, 1.0), (5.0, 2.0), (6.0, 30.0)]
    )

    sides = latency_by_rewrite(turns, spans((1.0, 2.0), (5.5, 7.0)))

    assert sides["turns"].to_dict() == {"during a rewrite": 3, "at other times": 3}
    assert sides["p50"].tolist() == [20.0, 2.0]
    assert sides["p99"].isna().all()


def test_overlapping_rewrites_count_a_turn_once():
    """Spans of a log that was cut may overlap."""
    turns = operations({"elapsed_s": at} for at in (1.0, 2.5, 4.0))

    sides = latency_by_rewrite(turns, spans((0.0, 3.0), (2.0, 3.0)))

    assert sides["turns"].tolist() == [2, 1]


@pytest.mark.parametrize("rows", [[], [{"elapsed_s": 1.0}]])
def test_without_rewrites_every_turn_is_outside(rows):
    """Two rows all the same: none during, and what that means is the reader's matter."""
    none = rewrite_spans(events([]), samples([]))

    sides = latency_by_rewrite(operations(rows), none)

    assert sides["turns"].tolist() == [0, len(rows)]
    assert sides["p50"].isna().all()
