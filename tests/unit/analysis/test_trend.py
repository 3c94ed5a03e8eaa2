"""The course of a figure over many runs: what is usual, and where it changed for good."""

import shutil
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest

from tests.conftest import GOLDEN
from workbench.analysis.comparison import FIGURES
from workbench.analysis.trend import Course, Trend, course, trend_of
from workbench.diagnostics.trend import judge_trend
from workbench.errors import UsageError
from workbench.plots.trend import figure_trend
from workbench.runs.manifest import read_manifest, write_manifest

P50 = FIGURES[0]
LOST = next(figure for figure in FIGURES if figure.name == "lost_state_share")
CALM = [1000.0, 1020.0, 990.0, 1010.0, 1005.0, 995.0, 1015.0]


def marks(values, figure=P50, tolerance=0.1):
    return list(course(values, figure, tolerance=tolerance)["mark"])


def trend(values, figure=P50):
    """As many runs with these values."""
    names = [f"r{at}" for at in range(len(values))]
    began_s = [1.7e9 + 86_400 * at for at in range(len(values))]
    table = course(values, figure, tolerance=0.1)
    table.insert(0, "run", names)
    table.insert(1, "began_unix_s", began_s)
    runs = tuple(
        SimpleNamespace(name=name, manifest=SimpleNamespace(started_unix_s=at_s))
        for name, at_s in zip(names, began_s, strict=True)
    )
    return Trend("made", runs, (Course(figure, table, 0.1),), (), ())


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
    assert list(table["mark"][-3:]) == ["worse", "worse", "usual"]


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


@pytest.mark.parametrize("times", [1.05, 1.09])
def test_what_grows_a_little_with_each_run_has_become_worse(times):
    """No run lies outside of what such runs make usual; all together they rise."""
    rising = trend([10_000 * times**run for run in range(12)])

    (found,) = judge_trend(rising)

    assert rising.courses[0].changes.empty
    assert found.verdict == "fail"
    assert "rises from run to run: from 10 ms to" in found.says
    assert "workbench compare r0 r11" in found.advice
    assert figure_trend(rising).title == "made has become worse: response p50"


def test_wandering_values_seldom_rise():
    """The control: of twelve runs that differ by a tenth by chance few series do."""
    random = np.random.default_rng(5)
    made = [trend(list(1000 * np.exp(0.1 * random.normal(size=12)))) for _ in range(60)]

    assert sum(each.courses[0].standing == "rising" for each in made) <= 4


def test_regression_that_is_over_is_no_failure():
    """Two slow runs, and six as before: better again, from the first of the six on."""
    over = trend([10_000.0] * 5 + [20_000.0] * 2 + [10_000.0] * 6)

    (found,) = judge_trend(over)

    assert list(over.courses[0].changes.index) == [5, 7]
    assert found.verdict == "pass"
    assert "better since r7" in found.says
    assert "no worse than it was" in figure_trend(over).title


def test_regression_that_is_over_in_part_is_a_failure_still():
    """From 10 to 20 and back to 14 ms only."""
    (found,) = judge_trend(trend([10_000.0] * 5 + [20_000.0] * 2 + [14_000.0] * 6))

    assert found.verdict == "fail"
    assert found.says.endswith("it is still worse than up to r4: 10 ms")


def test_second_regression_soon_after_the_first_is_not_usual():
    """From 20 to 80 ms before four runs tell what was usual at 20."""
    twice = trend([10_000.0] * 5 + [20_000.0] * 2 + [40_000.0, 80_000.0, 80_000.0])

    assert list(twice.courses[0].changes.index) == [5, 7]
    assert "80 ms, and 20 ms before" in judge_trend(twice).head.says


def test_two_odd_runs_are_no_level_to_be_held():
    """Two fast ones between runs as before do not make these worse for ever."""
    (found,) = judge_trend(trend([10_000.0] * 5 + [6_000.0] * 2 + [10_000.0] * 6))

    assert found.verdict == "pass"
    assert "it is no worse than it was before these" in found.says


def test_title_of_a_last_run_that_is_worse_alone_is_no_all_clear():
    """It says what the finding says: unknown."""
    alone = trend([10_000.0] * 5 + [20_000.0])

    assert judge_trend(alone).verdict == "unknown"
    assert figure_trend(alone).title == "The last run of made alone is worse: response p50"


def test_percentile_of_too_few_turns_has_no_trend(nights):
    """The p99.9 takes 10,000 turns, as in a comparison."""
    found = trend_of(figures=["response_us_p50", "response_us_p999"])
    told = judge_trend(found)

    assert [each.name for each in found.unknown] == ["response_us_p999"]
    assert told[-1].says == (
        "response p99.9 is not known in all 6 runs: it takes 10,000 turns in each"
    )
    assert "response p99.9 (it takes 10,000 turns)" in figure_trend(found).reading


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
