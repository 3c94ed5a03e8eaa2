"""Charts of comparisons: the title is what was found, and nothing is told by colour alone."""

import pytest

from tests.unit.analysis.simulated import simulated
from workbench.analysis.comparison import compare
from workbench.plots.comparison import figure_curves, figure_differences


@pytest.fixture(scope="module")
def slower():
    """The other side is half as slow again."""
    return compare([simulated(0, alike=0.0)], [simulated(1, alike=0.0, times=1.5)])


def texts(ax):
    return [text.get_text() for text in ax.texts]


def test_title_names_what_is_worse(slower):
    """And the verdict stands beside each bar, in words."""
    chart = figure_differences(slower)
    relative, points = chart.figure.axes

    assert chart.title.startswith("Worse than the baseline: response p50, response p99")
    assert texts(relative)[:2] == ["worse", "worse"]
    assert "%" in relative.get_title(loc="left")
    assert "points" in points.get_title(loc="left")


def test_zero_is_in_the_middle(slower):
    """Better lies to the left of it as far as worse to the right."""
    for ax in figure_differences(slower).figure.axes:
        left, right = ax.get_xlim()
        assert left == -right
        assert ax.get_xscale() == "linear"


def test_change_of_many_times_is_drawn_in_times():
    """In percent a hundredfold would push all others together."""
    found = compare([simulated(0)], [simulated(1, times=100.0)])
    ax = figure_differences(found).figure.axes[0]

    assert ax.get_xscale() == "log"
    assert "times" in ax.get_title(loc="left")
    assert found["response_us_p50"].told.startswith("×")


def test_what_has_no_bounds_says_so():
    """An empty mark, and the words."""
    chart = figure_differences(compare([simulated(0, seconds=15)], [simulated(1, seconds=15)]))

    assert set(texts(chart.figure.axes[0])) == {"no bounds"}
    assert chart.title == "Nothing that weighs could be told apart"


def test_curves_are_named_at_their_ends(slower):
    """The baseline is dashed as well as grey; the title is the furthest both reach."""
    chart = figure_curves(slower)
    (ax,) = chart.figure.axes

    assert texts(ax) == ["baseline", "1"]
    assert chart.title.startswith("One turn in 100 waits")
    assert [line.get_linestyle() for line in ax.lines] == ["--", "-"]


def test_same_run_twice_is_said_on_both_charts(tiny_run):
    """There is nothing to see, and no error."""
    found = compare([tiny_run], [tiny_run])

    titles = {figure_curves(found).title, figure_differences(found).title}

    assert titles == {"The same run stands on both sides"}


def test_too_few_turns_for_a_curve_are_said():
    """Fewer than twenty."""
    few = compare([simulated(0, seconds=15, per_s=1)], [simulated(1, seconds=15, per_s=1)])

    assert "Too few turns" in figure_curves(few).title
