"""Sizes: sessions counted on real servers, restarts, and the whole command."""

import json
from dataclasses import asdict, replace

import pytest

from tests.conftest import GOLDEN
from tests.unit.analysis.made_cells import TRUTH, made, measurement
from workbench.analysis.safe_size import safe_size
from workbench.analysis.sessions import sessions_that_fit
from workbench.lab.calibrate import layout_for
from workbench.lab.resident import (
    KEY_BYTES,
    resident_sessions,
    restart,
    sampled_session_bytes,
)
from workbench.runs.measurement import write_measurement

MIB = 1024**2
ASKED = ("--limit", "716mb", "--writes-per-s", "1000", "--value-bytes", "2600", "--vcpu", "0.35")


@pytest.mark.parametrize("preloaded", [True, False])
def test_as_many_sessions_stay_as_are_worked_out(server_binary, tmp_path, preloaded):
    """At a cap of 12 MiB, with either allocator; within 3 %."""
    if not preloaded and not server_binary.preload:
        pytest.skip("it has one allocator here")
    binary = server_binary if preloaded else replace(server_binary, preload="")

    counted = resident_sessions(12 * MIB, value_bytes=2600, folder=tmp_path, binary=binary)
    fit = sessions_that_fit(layout_for(binary), 12 * MIB, value_bytes=2600, key_bytes=KEY_BYTES)

    assert counted.written > counted.sessions
    assert fit.sessions == pytest.approx(counted.sessions, rel=0.03)


def test_live_sample_agrees_with_what_is_worked_out(server_binary, tmp_path):
    """So it can stand in where an engine's layout is not known."""
    sampled = sampled_session_bytes(value_bytes=1000, folder=tmp_path, binary=server_binary)
    fit = sessions_that_fit(
        layout_for(server_binary), 12 * MIB, value_bytes=1000, key_bytes=KEY_BYTES
    )

    assert sampled == pytest.approx(fit.bytes_per_session, rel=0.02)


def test_restart_has_what_was_there(server_binary, tmp_path):
    """And tells how long it read, and what it held."""
    found = restart(8 * MIB, value_bytes=1000, folder=tmp_path, binary=server_binary)

    assert found.loaded_memory_bytes == pytest.approx(found.used_memory_bytes, rel=0.1)
    assert found.load_s > 0
    assert found.base_bytes > MIB
    assert found.rss_bytes_peak is None or found.rss_bytes_peak > 4 * MIB


@pytest.fixture
def law(tmp_path):
    """A law of one's own, among the runs."""
    told = {"engine": "redis", "version": "7.0.15", "allocator": "jemalloc"}
    kept = replace(TRUTH, cells=24, ranges={"maxmemory_bytes": (48 * MIB, 256 * MIB)})
    kept = replace(kept, growth_error=(-0.2, 0.3), before_error=(-0.02, 0.03))
    return write_measurement(
        measurement([{**told, "law": asdict(kept), "within_tenth_share": 0.95}]),
        tmp_path / "runs" / "sizing-fit.json",
    )


def test_answer_names_each_term_and_the_law(ask, law):
    """For programs, and for people."""
    code, printed, _ = ask("size", *ASKED, "--json")
    told = json.loads(printed)
    _, text, _ = ask("size", *ASKED)

    assert code == 0
    assert told["maxmemory_bytes"] < told["maxmemory_even_bytes"] < 716 * MIB
    assert sum(term["bytes"] for term in told["terms"]) == told["peak_bytes"]
    assert told["peak_high_bytes"] <= told["limit_bytes"]
    assert told["documented"]["killed"] in ("surely", "more likely than not")
    assert told["law"]["shipped"] is False
    assert len(told["sessions"]) == 3
    for word in ("copy-on-write", "= maxmemory", "your own", "outside of what was measured"):
        assert word in text


def test_run_gives_what_is_not_given(ask, law):
    """Each with where it is from; an option goes first."""
    code, printed, _ = ask("size", "--limit", "64mb", "--from", GOLDEN, "--ttl", "10m", "--json")
    told = json.loads(printed)

    assert code == 0
    assert told["sources"]["value_bytes"].startswith("the run tiny: the last document of")
    assert told["sources"]["ttl_s"] == "given"
    assert told["sources"]["fragmentation"].startswith("the law")
    assert 20 < told["demand"]["writes_per_s"] < 200
    assert told["growth"]["sessions_per_s"] > 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "--limit is missing"),
        (("--limit", "716mb"), "--writes-per-s is missing"),
        (("--limit", "716"), "write it with its unit"),
        ((*ASKED, "--vcpu", "35"), "a quarter of a core is 0.25"),
        ((*ASKED, "--engine", "rediss"), "did you mean"),
        ((*ASKED, "--from", "nosuchrun"), "there is no run"),
        ((*ASKED, "--hot-share", "90"), "an even one is 0.1"),
        ((*ASKED, "--out", "x.json"), "add --calibrate"),
        (("--limit", "5mb", *ASKED[2:], "--clients", "900"), "no maxmemory is safe"),
    ],
    ids=lambda each: " ".join(each[-2:]) if isinstance(each, tuple) else "",
)
def test_what_makes_no_sense_is_refused(ask, law, words, said):
    """With what is wrong and what to do; nothing is started."""
    code, printed, complaint = ask("size", *words)

    assert code == 2
    assert said in complaint
    assert "Traceback" not in complaint
    assert not printed


def test_without_a_law_the_command_that_makes_one_is_named(ask, monkeypatch, tmp_path):
    """Neither one's own nor one that came with the workbench."""
    monkeypatch.setattr("workbench.runs.measurement.measurements_dir", lambda: tmp_path / "none")

    code, _, complaint = ask("size", *ASKED)

    assert code == 2
    assert "workbench size --calibrate" in complaint


def test_made_cells_have_the_columns_of_real_ones():
    """So that the unit tests' law is fitted to what the laboratory measures."""
    from workbench.analysis.sizing import COLUMNS

    assert set(COLUMNS) <= set(made(number=10).columns)


@pytest.mark.slow
def test_calibration_on_this_machine_is_kept_and_used(ask, tmp_path):
    """A few small cells."""
    words = ("--calibrate", "--engine", "redis", "--cells", "10", "--largest", "24mb")
    code, printed, complaint = ask("size", *words, *ASKED)

    assert code == 0, complaint
    assert "law fitted to 10 trials" in printed
    assert printed.rstrip().endswith("sizing-fit.json")
    assert (tmp_path / "runs" / "sizing-fit.json").exists()


def test_notebook_and_command_say_the_same(ask):
    """Of the same load, with what neither was told left to the same defaults."""
    _, told, _ = ask("size", *ASKED, "--json")

    found = safe_size("716mb", writes_per_s=1000, value_bytes=2600, vcpu=0.35)

    assert json.loads(told)["maxmemory_bytes"] == found.advice.maxmemory_bytes
    assert [each["sessions"] for each in json.loads(told)["sessions"]] == [
        fit.sessions for fit in found.fits
    ]
