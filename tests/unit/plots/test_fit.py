"""Words on every chart can be read, also where the run is odd."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from tests.unit.plots.crowding import crowded
from tests.unit.plots.odd_runs import ODD
from tests.unit.plots.test_charts import FIGURES
from workbench.plots.annotate import end_labels, outline, shortened
from workbench.plots.fit import spread
from workbench.plots.percentiles import figure_percentiles
from workbench.plots.style import Chart, styled


@pytest.fixture(scope="module")
def odd_runs(tmp_path_factory):
    """Each made once, when it is asked for."""
    made = {}

    def run(name):
        if name not in made:
            made[name] = ODD[name](tmp_path_factory.mktemp("odd") / "run")
        return made[name]

    return run


@styled
def chart(*, title="A finding", panel="Memory, MiB", labels=()):
    figure = Figure(figsize=(9.0, 3.0))
    figure.suptitle(title, x=0.012, ha="left")
    ax = figure.subplots()
    ax.set_title(panel)
    ax.set_title("shaded: AOF rewrite", loc="right")
    ax.plot([0, 1], [0, 1])
    end_labels(ax, labels)
    return Chart(figure, "A reading.")


@pytest.mark.parametrize("make", FIGURES)
def test_no_word_of_the_golden_run_is_cut_off_or_lies_on_another(golden, make):
    """What most people see."""
    assert crowded(golden(make).figure) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("make", FIGURES)
def test_no_word_is_cut_off_or_lies_on_another(odd_runs, make, name):
    """And none is a nan, whatever the run."""
    drawn = make(odd_runs(name))

    assert crowded(drawn.figure) == []
    assert "nan" not in f"{drawn.title} {drawn.reading}"


def test_percentiles_of_many_runs_with_long_names_can_be_read(odd_runs):
    """Twelve lines that end at one height, each named."""
    drawn = figure_percentiles(*[odd_runs("flat")] * 12)

    assert crowded(drawn.figure) == []
    assert len(drawn.figure.axes[0].texts) == 12


def test_title_that_is_too_long_is_broken_and_stays_one_sentence():
    """Two lines on paper, one in the words for those who cannot see it."""
    sentence = (
        "At the 24 MiB cap, one in four of all follow-up turns found that its conversation had "
        "been evicted before it came"
    )
    drawn = chart(title=sentence, panel="What it takes to say the quantity and its unit " * 3)

    assert crowded(drawn.figure) == []
    assert drawn.title == sentence
    assert "\n" in drawn.figure.get_suptitle()


def test_word_that_is_wider_than_the_figure_shrinks():
    """There is no place to break it."""
    assert crowded(chart(title="W" * 70).figure) == []


def test_labels_that_moved_onto_each_other_and_titles_cut_off_are_found():
    """What these tests look for is found where it is."""
    good = chart(labels=[(0.2, "low", "black"), (0.9, "high", "black")])
    assert crowded(good.figure) == []
    low, high = good.figure.axes[0].texts

    high.xy = low.xy
    good.figure.suptitle("A title that was set when the figure was laid out " * 3)

    assert sorted(problem.split(" ")[-3:] for problem in crowded(good.figure)) == [
        ["is", "cut", "off"],
        ["lies", "on", "'high'"],
    ]


@pytest.mark.parametrize("count", [1, 5, 12, 30])
def test_names_of_lines_that_end_together_stay_on_the_figure(count):
    """The more there are, the smaller they are."""
    drawn = chart(labels=[(1.0, f"line {n}", "black") for n in range(count)])

    assert crowded(drawn.figure) == []


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(-0.5, 1.5), min_size=1, max_size=12))
def test_spread_keeps_order_bounds_and_gaps(wanted):
    """Whatever was wanted."""
    placed = spread(wanted, 0.05, 0.0, 1.0)

    pairs = sorted(zip(wanted, placed, strict=True))
    heights = [at for _, at in pairs]
    assert all(-1e-9 <= at <= 1 + 1e-9 for at in placed)
    assert all(above - below > 0.05 - 1e-9 for below, above in pairwise(heights))


def test_spread_leaves_alone_what_does_not_touch():
    """Only what would touch is moved, and shared out around its middle."""
    assert spread([0.1, 0.5, 0.9], 0.05, 0, 1) == [0.1, 0.5, 0.9]
    assert spread([0.5, 0.5], 0.1, 0, 1) == pytest.approx([0.45, 0.55])


def test_name_is_shortened_in_its_middle():
    """Names of one family differ at their ends."""
    assert shortened("short", 10) == "short"
    assert shortened("2026-11-26T133537Z-demo-f630", 12) == "2026-…o-f630"


@pytest.mark.parametrize("count", [1, 2000, 2001, 90_001])
def test_outline_keeps_peaks_and_is_short(count):
    """A line of ten hours looks the same, and is no picture of 10 MB."""
    line = pd.Series(np.random.default_rng(5).normal(size=count), index=np.arange(count) / 5)
    line.iloc[count // 2] = 99.0

    short = outline(line)

    assert len(short) <= 2000
    assert short.max() == 99.0
    assert short.min() == line.min()
    assert short.index.is_monotonic_increasing


def test_outline_leaves_a_gap_in_a_short_line():
    """What is not known is not drawn over."""
    line = pd.Series([1.0, None, 3.0])

    assert outline(line).isna().tolist() == [False, True, False]
