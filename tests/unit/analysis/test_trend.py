"""The course of a figure over many runs: what is usual, and where it changed for good."""

import shutil

import msgspec
import numpy as np
import pytest

from tests.conftest import GOLDEN
from workbench.analysis.comparison import FIGURES
from workbench.analysis.trend import course, trend_of
from workbench.diagnostics.trend import judge_trend
from workbench.errors import UsageError
from workbench.plots.trend import figure_trend
from workbench.runs.manifest import read_manifest, write_manifest

P50 = FIGURES[0]
LOST = next(figure for figure in FIGURES if figure.name == "lost_state_share")
CALM = [1000.0, 1020.0, 990.0, 1010.0, 1005.0, 995.0, 1015.0]


def marks(values, figure=P50, tolerance=0.1):
    return list(course(values, figure, tolerance=tolerance)["mark"])


@pytest.fixture
def nights(runs_folder):
    """Six nights of the golden run; one can be changed."""
    for night in range(6):
        change(shutil.copytree(GOLDEN, runs_folder / f"night-{night}"), night=night)
    return runs_folder


def change(path, *, night=None, status=None, cores=None):
    manifest = read_manifest(path)
    if night is not None:
        manifest.started_unix_s += 86_400 * night
    if cores:
        manifest.host = {**manifest.host, "cores": cores}
    write_manifest(path, msgspec.structs.replace(manifest, status=status or manifest.status))


def test_two_in_a_row_are_a_change_from_the_first_of_them_on():
    """The stretch before keeps its own median."""
    table = course([*CALM, 1400.0, 1420.0, 1410.0], P50, tolerance=0.1)

    assert list(table["stretch"]) == [0] * 7 + [1] * 3
    assert list(table["mark"][-3:]) == ["worse", "worse", "first ones"]


def test_one_alone_is_no_change_and_does_not_widen_what_is_usual():
    """The next ones are held against the calm ones."""
    table = course([*CALM, 3000.0, 1000.0, 1300.0], P50, tolerance=0.1)

    assert table["stretch"].max() == 0
    assert list(table["mark"][-3:]) == ["worse", "usual", "worse"]


def test_change_for_the_better_is_one_too():
    """Less is better."""
    assert marks([*CALM, 700.0, 710.0])[-2:] == ["better", "better"]


def test_once_worse_and_once_better_is_no_change():
    """Two in a row on one side are needed."""
    table = course([*CALM, 1400.0, 700.0, 1400.0], P50, tolerance=0.1)

    assert table["stretch"].max() == 0


def test_within_the_tolerance_nothing_is_called_worse():
    """However calm it was: five percent are not worth a message."""
    assert marks([1000.0] * 6 + [1050.0] * 2)[-2:] == ["usual", "usual"]


def test_share_of_none_is_left_only_beyond_a_tenth_of_a_percent():
    """One turn of a few thousand is no change."""
    assert marks([0.0] * 5 + [0.0005, 0.02], LOST)[-2:] == ["usual", "worse"]


def test_wandering_values_are_seldom_a_change():
    """Thirty runs that differ by a tenth by chance: few series of a hundred have one."""
    random = np.random.default_rng(5)

    found = [
        course(list(1000 * np.exp(0.1 * random.normal(size=30))), P50, tolerance=0.1)["stretch"]
        for _ in range(100)
    ]

    assert sum(stretch.max() > 0 for stretch in found) <= 20


def test_change_of_a_third_is_found_where_runs_differ_little():
    """The control: the same rule finds it."""
    random = np.random.default_rng(5)
    values = 1000 * np.exp(0.03 * random.normal(size=(50, 20)))
    values[:, 15:] *= 1.33

    found = [course(list(each), P50, tolerance=0.1)["stretch"] for each in values]

    assert sum(stretch.iloc[-1] == 1 for stretch in found) >= 45


def test_nights_alike_are_no_worse(nights):
    """A finding a figure that weighs, and a chart."""
    trend = trend_of()
    findings = judge_trend(trend)

    assert len(trend.runs) == 6
    assert findings.verdict == "pass"
    assert "no worse than it was, over 6 runs" in figure_trend(trend).title


def test_last_run_alone_is_unknown_and_a_second_one_fails(nights, monkeypatch):
    """With the two runs between which to look, as a command."""
    trend = trend_of(figures=["response_us_p50"])
    (seen,) = trend.courses
    values = [*CALM[:4], 1400.0, 1420.0]

    def judged(until):
        told = seen.table[["run", "began_unix_s"]].iloc[:until]
        table = course(values[:until], P50, tolerance=0.1)
        object.__setattr__(seen, "table", told.join(table))
        return judge_trend(trend)

    alone, both = judged(5), judged(6)

    assert alone.verdict == "unknown"
    assert "the last run alone is worse, by 3" in alone.head.says
    assert both.verdict == "fail"
    assert "workbench compare night-3 night-4" in both.head.advice
    assert figure_trend(trend).title == "tiny has become worse: response p50"


def test_unlike_and_unsound_runs_are_left_out_and_named(nights):
    """Another host, and one whose load was late; too few are left."""
    change(nights / "night-2", cores=64)
    change(nights / "night-3", status="invalid")

    trend = trend_of()

    assert dict(trend.left_out) == {
        "night-2": "unlike: host.cores 64, not 2",
        "night-3": "invalid: ",
    }
    assert len(trend.runs) == 4
    assert judge_trend(trend).verdict == "unknown"
    assert "not enough runs: 4 runs of tiny, and 2 runs left out" in judge_trend(trend).head.says
    assert len(trend_of(varied=["host.cores"]).runs) == 5


def test_one_run_is_not_enough(tiny_run):
    """Which is an answer, with what to do."""
    found = judge_trend(trend_of())

    assert found.verdict == "unknown"
    assert found.head.says == "not enough runs: 1 run of tiny; it takes 5"


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"figures": ["response_p99"]}, "did you mean 'response_us_p99'"),
        ({"figures": 3}, "figures is 3, and not a list"),
        ({"varied": "version, verson"}, "did you mean 'version'"),
        ({"varied": ["verson"]}, "did you mean 'version'"),
        ({"tolerance": 5}, "tolerance is 5"),
        ({"tolerance": "much"}, "tolerance is 'much'"),
        ({"runs": 3}, "runs is 3, and not a list"),
    ],
)
def test_wrong_words_are_refused_with_the_nearest(tiny_run, asked, says):
    """Before anything is read for long."""
    with pytest.raises(UsageError, match=says):
        trend_of(asked.pop("runs", ()), **asked)
