"""The truth of a stall, by hand, and what its figure says."""

import pandas as pd
import pytest

from workbench.benches.load import figure_of_stalls
from workbench.benches.stalls import Stalled

STALLS = ((5.0, 6.0), (9.0, 10.0))


def stalled(*, seen_us=lambda truth_us: truth_us, lag_us=100.0):
    """A load of 100 turns/s on a server that stood still; ``seen_us`` is what was reported."""
    due_s = [n / 100 for n in range(1200)]
    turns = pd.DataFrame({"elapsed_s": due_s, "outcome": "ok", "lag_us": lag_us})
    seconds = pd.DataFrame(
        {
            "elapsed_s": [n + 1.0 for n in range(12)],
            "cpu_share": 0.1,
            "turns_completed": 100,
            "turns_waiting": 0,
            "worker": 0,
        }
    )
    truth_us = Stalled(turns, seconds, STALLS).truth_us()
    turns["response_us"] = seen_us(truth_us).clip(min=1000.0)
    turns["service_us"] = turns["response_us"] - lag_us
    return Stalled(turns, seconds, STALLS)


def test_truth_is_the_rest_of_the_stall_and_the_backlog():
    """Of 100 turns that cost 1 ms each; who came first in the stall waited its whole second."""
    truth_us = stalled().truth_us()

    assert (truth_us > 0).sum() == 200
    assert truth_us[499] == truth_us[600] == 0
    assert truth_us[500] == pytest.approx(1e6 + 1e3 * (100 + 0) / 2)
    assert truth_us[599] == pytest.approx(1e4 + 1e3 * (100 + 99) / 2)


def slower(factor):
    return stalled(seen_us=lambda truth_us: factor * truth_us)


def test_figure_of_a_true_p99_holds():
    """In percent, the middle of the rounds, over the turns of all."""
    figure = figure_of_stalls([slower(1.5), slower(1.0), slower(1.02)], waiting=0.5)

    assert figure.value == pytest.approx(2)
    assert (figure.unit, figure.n, figure.must, figure.goal) == ("%", 3600, "<=10", "<=3")
    assert figure.holds is True
    assert "median of 3" in figure.title


def test_figure_of_a_load_that_leaves_the_stalls_out_does_not_hold():
    """As one that counts from the send: it tells a fraction of what people waited."""
    figure = figure_of_stalls([slower(0.01)], waiting=0.5)

    assert figure.value > 90
    assert figure.holds is False


def test_figure_of_a_late_generator_cannot_be_told():
    """It may be the generator that people are said to have waited for."""
    late = stalled(seen_us=lambda truth_us: truth_us + 5e5, lag_us=4e5)

    figure = figure_of_stalls([late], waiting=0.5)

    assert figure.value > 10
    assert figure.holds is None
    assert "the generator was late" in figure.why


def test_figure_of_a_busy_machine_cannot_be_told():
    """The backlog was worked off more slowly than by the generator's own time."""
    figure = figure_of_stalls([slower(1.2)], waiting=4.0)

    assert (figure.value, figure.holds) == (pytest.approx(20), None)
    assert "4.0 processes a core" in figure.why
    assert figure_of_stalls([slower(1.0)], waiting=4.0).holds is True
