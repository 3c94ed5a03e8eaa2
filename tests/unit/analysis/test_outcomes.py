"""Outcomes over time, tries, and what people were told in the end."""

import math

import pytest

from tests.frames import operations
from workbench.analysis.failure import FAILED
from workbench.analysis.outcomes import (
    ANSWERS,
    AT_ONCE_US,
    GONE,
    answers,
    failures_by_window,
    outcomes_by_window,
    tries,
)
from workbench.runs.schema import OUTCOMES


def test_every_outcome_has_its_place():
    """A new one is carried out, gone, failed or not sent; or this test asks which."""
    assert {"ok", "duplicate", "unsent", *GONE, *FAILED} == set(OUTCOMES)


def test_outcomes_are_counted_by_the_second():
    """A window of two seconds with three turns has one and a half a second."""
    turns = operations(
        [
            {"elapsed_s": 0.0},
            {"elapsed_s": 0.5, "outcome": "duplicate", "delivery": 1},
            {"elapsed_s": 1.9, "outcome": "evicted"},
            {"elapsed_s": 4.0, "outcome": "timeout"},
            {"elapsed_s": 4.1, "attempts": 3},
        ]
    )

    table = outcomes_by_window(turns, window_s=2.0)

    assert table.index.tolist() == [0.0, 4.0]
    assert table["due"].tolist() == [1.5, 1.0]
    assert table["ok"].tolist() == [1.0, 0.5]
    assert table["gone"].tolist() == [0.5, 0.0]
    assert table["timeout"].tolist() == [0.0, 0.5]
    assert table["again"].tolist() == [0.5, 0.0]
    assert table["retried"].tolist() == [0.0, 0.5]


def test_a_failure_within_the_limit_is_one_at_once():
    """As with an open breaker; the others waited for the server."""
    turns = operations(
        [
            {"elapsed_s": 0.1, "outcome": "timeout", "service_us": 100.0},
            {"elapsed_s": 0.2, "outcome": "timeout", "service_us": AT_ONCE_US},
            {"elapsed_s": 0.3, "outcome": "ok", "service_us": 100.0},
        ]
    )

    (row,) = failures_by_window(turns).to_dict("records")

    assert (row["at_once"], row["waited"]) == (1.0, 1.0)


def test_a_refusal_is_none_of_a_breaker_however_quick():
    """A full server answers that it is full; a breaker opens when nobody answers."""
    turns = operations(
        [
            {"elapsed_s": 0.1, "outcome": "refused", "service_us": 300.0},
            {"elapsed_s": 0.2, "outcome": "timeout", "service_us": 100.0},
        ]
    )

    (row,) = failures_by_window(turns).to_dict("records")

    assert (row["at_once"], row["waited"], row["refused"]) == (1.0, 0.0, 1.0)
    assert row["service_us_p50"] == 100.0


def test_no_failure_has_no_window():
    """The control: turns that were carried out, or whose conversation was gone."""
    turns = operations([{"elapsed_s": 0.1}, {"elapsed_s": 0.2, "outcome": "evicted"}])

    assert failures_by_window(turns).empty


def test_tries_are_told_by_their_number_and_too_few_have_no_percentile():
    """A hundred for a p99, two for a median; a turn without a write is in none."""
    turns = operations(
        [
            *[{"elapsed_s": 1.0, "response_us": float(n)} for n in range(1, 101)],
            {"elapsed_s": 1.0, "attempts": 2, "response_us": 9000.0},
            {"elapsed_s": 1.0, "attempts": 0, "outcome": "evicted"},
        ]
    )

    table = tries(turns).set_index("tries")

    assert table["turns"].to_dict() == {1: 100, 2: 1}
    assert (table["p50"][1], table["p99"][1]) == (50.0, 99.0)
    assert math.isnan(table["p50"][2])
    assert math.isnan(table["p99"][2])


@pytest.mark.parametrize(
    ("deliveries", "answer"),
    [
        (["ok"], "their answer"),
        (["ok", "duplicate"], "their answer"),
        (["duplicate"], "their answer"),
        (["timeout", "ok"], "their answer, after another delivery"),
        (["timeout", "duplicate"], "their answer, after another delivery"),
        (["evicted"], "to begin again"),
        (["timeout", "evicted"], "to begin again"),
        (["timeout", "timeout"], "an error"),
        (["unsent"], "nothing yet"),
    ],
)
def test_a_message_has_one_answer_whatever_its_deliveries(deliveries, answer):
    """What counts to a person is what the last of them brought."""
    turns = operations(
        [
            {"elapsed_s": float(number), "outcome": outcome, "delivery": number}
            for number, outcome in enumerate(deliveries)
        ]
    )

    (row,) = answers(turns).to_dict("records")

    assert (row["answer"], row["messages"], row["share"]) == (answer, 1, 1.0)


def test_answers_come_in_one_order_with_their_shares():
    """However many of each there are."""
    turns = operations(
        [
            {"elapsed_s": 1.0, "conversation": 1, "outcome": "timeout"},
            {"elapsed_s": 1.0, "conversation": 2, "outcome": "timeout"},
            {"elapsed_s": 1.0, "conversation": 3, "outcome": "evicted"},
            {"elapsed_s": 1.0, "conversation": 4},
        ]
    )

    table = answers(turns)

    assert table["answer"].tolist() == [each for each in ANSWERS if each in set(table["answer"])]
    assert table["share"].tolist() == [0.25, 0.25, 0.5]


def test_no_message_has_no_answer():
    """An empty run."""
    assert answers(operations([])).empty
    assert outcomes_by_window(operations([])).empty
    assert tries(operations([])).empty
