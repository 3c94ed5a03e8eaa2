"""Figures: what they say, and when they hold."""

import pytest

from workbench.benches.figure import Report, count, ratio

STEADY = [[1.0, 1.0, 1.0]] * 20


@pytest.mark.parametrize(
    ("of", "holds"),
    [
        ([[1.2] * 3] * 20, True),
        ([[1.5] * 3] * 20, False),
        ([[1.2] * 3] * 10 + [[1.5] * 3] * 10, None),
    ],
    ids=["below", "above", "on both sides"],
)
def test_ratio_holds_if_nine_of_ten_rounds_do(of, holds):
    """One that lies on both sides of its bound cannot be told, and says so."""
    figure = ratio("r", "a ratio", of, STEADY, must="<=1.35")

    assert figure.holds is holds
    assert bool(figure.why) == (holds is None)
    assert figure.low <= figure.value <= figure.high
    assert figure.n == 60


@pytest.mark.parametrize(
    ("value", "must", "holds"),
    [(0, "0", True), (1, "0", False), (4, ">=4", True), (3, ">=4", False), (2, None, None)],
)
def test_count_is_held_against_its_bound(value, must, holds):
    """A count is never in doubt."""
    assert count("c", "a count", value, n=1, must=must).holds is holds


def test_report_fails_by_a_figure_that_does_not_hold():
    """One that cannot be told, or has no bound, does not fail it."""
    told = count("a", "", 1, n=1, must="0")
    reported = count("b", "", 1, n=1)
    doubtful = ratio("c", "", [[1.2]] * 10 + [[1.5]] * 10, [[1.0]] * 20, must="<=1.35")

    assert not Report("state", False, [reported, doubtful], "redis").failed
    assert Report("state", False, [reported, told], "redis").failed
    assert Report("state", False, [told], "redis").as_dict()["figures"][0]["holds"] is False
