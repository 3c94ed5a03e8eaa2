"""The chart of what another size would do: curves, the measured point, and runs without either."""

import re

import pytest
from matplotlib.figure import Figure

from tests.conftest import GOLDEN
from tests.unit.plots.crowding import crowded
from tests.unit.plots.odd_runs import ODD
from workbench.analysis.whatif import Point
from workbench.plots.whatif import draw_what_if, figure_what_if
from workbench.runs.run import Run
from workbench.units import MIB


def point(size_mib, evicted=0.2, **more):
    calm = {
        "policy": "allkeys-lru",
        "samples": 5,
        "ttl_s": 300.0,
        "renewal": "write",
        "expired_share": 0.0,
        "refused_share": 0.0,
        "keys": 1000,
        "exact_share": evicted,
        "own": False,
    }
    fields = {**calm, "maxmemory_bytes": size_mib * MIB, "evicted_share": evicted, **more}
    return Point(**fields)


def words(ax):
    return [text.get_text() for text in ax.texts]


def test_measured_point_lies_on_the_curve(golden):
    """The golden run's: what was measured and what is simulated differ by less than a line."""
    chart = golden(figure_what_if)

    (ax,) = chart.figure.axes
    curve, exact, measured = ax.lines
    (at,), (share,) = measured.get_data()
    on_curve = dict(zip(*curve.get_data(), strict=True))
    assert on_curve[at] == pytest.approx(share, abs=1.0)
    assert exact.get_linewidth() < curve.get_linewidth()
    assert {"exact LRU", "allkeys-lru", "measured: 19.8"} <= set(words(ax))
    assert re.fullmatch(r"From [\d.]+ MiB on, under 1 % of turns would lose .*", chart.title)
    assert "Measured at the run's own 5 MiB: 19.8 %, simulated" in chart.reading
    assert crowded(chart.figure) == []


def test_curves_are_named_by_what_they_differ_in():
    """The run's own first; exact LRU would be one line too many."""
    points = [point(size, evicted=1 / size) for size in (4, 2, 8)]
    points += [point(size, evicted=2 / size, policy="allkeys-lfu", own=True) for size in (4, 8)]
    points += [point(size, 0.1, policy="allkeys-lfu", samples=10) for size in (4, 8)]
    ax = draw_what_if(Figure().subplots(), points)

    assert words(ax) == [
        "allkeys-lfu, 5 samples",
        "allkeys-lfu, 10 samples",
        "allkeys-lru, 5 samples",
    ]
    assert [line.get_xdata().tolist() for line in ax.lines] == [[4, 8], [4, 8], [2, 4, 8]]


@pytest.mark.parametrize(
    ("points", "title"),
    [
        ([point(4, 0.3), point(8, 0.2)], "Even with 8 MiB, 20 % of turns lose their state"),
        ([point(4, 0.0), point(8, 0.0)], "4 MiB would have been enough"),
        ([point(4, 0.3), point(8, 0.001)], "From 8 MiB on, under 1 %"),
        ([point(4, 0.0, refused_share=0.4)], "With 4 MiB, 40 % of turns are refused"),
        ([point(4, float("nan"))], "No turn went on with a conversation"),
    ],
)
def test_title_is_the_finding(points, title):
    """Whatever it is."""
    chart = figure_what_if(Run(GOLDEN), points=points)

    assert chart.title.startswith(title)


@pytest.mark.slow
@pytest.mark.parametrize("odd", ODD)
def test_run_that_cannot_be_asked_is_drawn_and_says_why(odd, tmp_path):
    """A chart of nothing says so, and no figure is a nan."""
    chart = figure_what_if(ODD[odd](tmp_path / "odd"))

    said = f"{chart.title} {chart.reading}"
    assert chart.title
    assert "nan" not in said.split()
    assert crowded(chart.figure) == []
