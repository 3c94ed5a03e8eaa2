"""How much memory is safe: what is read of measurements, what is drawn, and what is judged."""

import json

import pytest

from tests.unit.analysis.measurements import LAW, cell, kept, law_of_redis, point
from workbench import checkout
from workbench.analysis import safe_size as sizing
from workbench.analysis.safe_size import COMMANDS, safe_size
from workbench.diagnostics.safe_size import judge_safe_size
from workbench.errors import RunError, UsageError
from workbench.plots.safe_size import figure_memory_grid, figure_predictions, figure_sessions
from workbench.units import MIB

GRID = [
    cell("documented formula, nobody writes", writes_per_s=0, peak_mib=349),
    cell("documented formula", writes_per_s=200, killed=True),
    cell("documented formula", writes_per_s=1000, killed=True),
    cell("a quarter left free", maxmemory_mib=268.8, writes_per_s=1000, peak_mib=305),
    cell("by rate", limit_mib=None, writes_per_s=1000, peak_mib=384),
    cell("by rate", limit_mib=None, writes_per_s=1000, peak_mib=380, engine="valkey"),
]
LOAD = {"writes_per_s": 1000.0, "value_bytes": 2600, "vcpu": 0.35}


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch, tmp_path, runs_folder):
    """Neither one's own measurements nor those that come with the workbench."""
    (tmp_path / "shipped").mkdir()
    for room in (checkout, sizing):
        monkeypatch.setattr(room, "measurements_dir", lambda: tmp_path / "shipped")


@pytest.fixture
def all_kept(runs_folder):
    """A grid, a law and twelve held-out points."""
    kept(runs_folder, "memory-grid", GRID)
    kept(runs_folder, "sizing-fit", [], law_of_redis())
    kept(runs_folder, "sizing", [point(1 + at / 100) for at in range(-6, 6)])


def judged(found):
    return {each.rule: each for each in judge_safe_size(found)}


def test_documented_formula_stands_out_as_killed(all_kept):
    """By its cap, and not by its label; where nobody writes it lives."""
    found = safe_size("716mb", **LOAD)
    told = judged(found)["documented-size-measured"]

    assert found.cells["documented"].tolist() == [True, True, True, False, False, False]
    assert told.verdict == "fail"
    assert "killed in 2 of 2 trials" in told.says


def test_grid_in_which_it_lived_passes(runs_folder):
    """The control of the test above."""
    kept(runs_folder, "memory-grid", [cell("documented formula", peak_mib=350)])

    told = judged(safe_size("716mb", **LOAD))["documented-size-measured"]

    assert told.verdict == "pass"


def test_law_advises_a_cap_whose_peak_stays_under_the_limit(all_kept):
    """And calls the documented one unsafe, with what each part takes."""
    found = safe_size("716mb", **LOAD)
    told = judged(found)["safe-size"]

    assert found.documented_bytes == 680 * MIB
    assert found.advice.peak.high_bytes <= 716 * MIB < found.documented.high_bytes
    assert found.cap_bytes == found.advice.maxmemory_bytes < 680 * MIB
    assert told.verdict == "fail"
    assert f"set maxmemory {found.cap_bytes // MIB}mb" in told.advice
    assert {"of it, copy-on-write", "a rewrite", "Valkey 9.1, libc"} <= set(told.evidence)


def test_documented_cap_passes_where_the_law_has_room_for_it(runs_folder):
    """The control: nobody writes, and nothing is held beside what is used."""
    calm = type(LAW)(
        **{**{name: getattr(LAW, name) for name in LAW.__dataclass_fields__}, "fragmentation": 0.0}
    )
    kept(runs_folder, "sizing-fit", [], law_of_redis(calm))

    calmest = {"writes_per_s": 0.0, "value_bytes": 2600, "length_spread": 0.0}
    told = judged(safe_size("2gb", **calmest))["safe-size"]

    assert told.verdict == "pass"
    assert told.advice == ""


def test_limit_under_which_no_cap_is_safe_says_so(runs_folder):
    """Instead of a size."""
    costly = type(LAW)(
        **{**{name: getattr(LAW, name) for name in LAW.__dataclass_fields__}, "program_bytes": 1e9}
    )
    kept(runs_folder, "sizing-fit", [], law_of_redis(costly))

    found = safe_size("64mb", **LOAD)

    assert found.advice is None
    assert "no maxmemory is safe" in judged(found)["safe-size"].advice


@pytest.mark.parametrize(
    ("ratios", "verdict"),
    [
        ([1.0] * 12, "pass"),
        ([1.0] * 11 + [1.2], "pass"),
        ([1.0] * 10 + [1.2, 0.8], "fail"),
        ([1.0] * 11, "unknown"),
        ([], "unknown"),
    ],
)
def test_law_holds_if_nine_of_ten_points_are_near(runs_folder, ratios, verdict):
    """Of twelve at least."""
    kept(runs_folder, "sizing", [point(ratio) for ratio in ratios])

    assert judged(safe_size("716mb", **LOAD))["predictions-hold"].verdict == verdict


def test_one_that_was_killed_at_the_advised_cap_is_one_too_many(runs_folder):
    """However near its last figure was; the sessions that were foretold are told beside it."""
    rows = [point(1.0)] * 11 + [point(1.0, killed=True)]
    kept(runs_folder, "sizing", rows, {"residents": [{"error": -0.01}, {"error": 0.004}]})

    told = judged(safe_size("716mb", **LOAD))["predictions-hold"]

    assert told.verdict == "fail"
    assert "1 killed at the maxmemory that was advised" in told.says
    assert told.evidence["sessions, farthest off"] == "1 %"


def test_without_any_measurement_it_says_what_makes_them():
    """Nothing is guessed, and nothing breaks; sessions are worked out under the documented cap."""
    found = safe_size("716mb", **LOAD)

    findings = judge_safe_size(found)
    charts = [figure_memory_grid(found), figure_predictions(found), figure_sessions(found)]

    assert findings.verdict == "unknown"
    assert found.missing == COMMANDS
    assert all(command in repr(found) for command in COMMANDS.values())
    assert COMMANDS["memory-grid"] in charts[0].words
    assert COMMANDS["sizing"] in charts[1].words
    assert "documented 680 MiB" in charts[2].title


def test_charts_say_what_they_show(all_kept):
    """Their titles are findings, and their words name what was killed."""
    found = safe_size("716mb", **LOAD)

    grid, predictions, sessions = (
        draw(found) for draw in (figure_memory_grid, figure_predictions, figure_sessions)
    )

    assert grid.title.startswith(
        "The documented formula was killed in 2 of 3 trials, from 200 writes/s on"
    )
    assert "documented formula: 2 of 2 killed" in grid.words
    assert "by rate, Valkey: 0 of 1 killed" in grid.words
    assert predictions.title == "12 of 12 predicted peaks are within ±10% of the measured"
    assert "Under the safe" in sessions.title
    assert all(chart.svg() for chart in (grid, predictions, sessions))


def test_file_that_is_named_goes_before_what_is_kept(all_kept, tmp_path):
    """And one that is not there is told."""
    (tmp_path / "other").mkdir()
    other = kept(tmp_path / "other", "memory-grid", GRID[:1])

    assert len(safe_size("716mb", grid=other, **LOAD).cells) == 1
    with pytest.raises(RunError, match=r"nowhere\.json cannot be read"):
        safe_size("716mb", grid="nowhere.json", **LOAD)
    with pytest.raises(RunError, match="is a measurement of memory-grid"):
        safe_size("716mb", fit=other, **LOAD)


def test_damaged_measurement_is_no_missing_one(all_kept, runs_folder):
    """It is refused, and not passed over."""
    path = runs_folder / "sizing-fit.json"
    path.write_text(json.dumps({"kind": "sizing-fit"}))

    with pytest.raises(RunError, match="is no measurement"):
        safe_size("716mb", **LOAD)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"limit": "716"}, "under 32mb; write it with its unit"),
        ({"writes_per_s": -1.0}, "writes_per_s is -1"),
        ({"value_bytes": 0}, "value_bytes is 0, and 1 is the least"),
        ({"vcpu": -0.5}, "vcpu is -0.5"),
        (
            {"engine": "redis, tcmalloc"},
            "no engine and allocator go by 'redis, tcmalloc'; did you mean 'redis jemalloc'",
        ),
    ],
)
def test_value_that_makes_no_sense_is_refused(changed, says):
    """With what would."""
    with pytest.raises(UsageError, match=says):
        safe_size(**{"limit": "716mb", **LOAD, **changed})
