"""A run and the list of runs show themselves, in a terminal and in a notebook."""

from pathlib import Path

import pytest
from IPython.core.formatters import DisplayFormatter

from tests.frames import make_run
from workbench.runs.facts import html_table, run_facts
from workbench.runs.listing import list_runs
from workbench.runs.manifest import write_manifest
from workbench.runs.run import Run

OLDER, LATEST = "2026-11-23T080000Z-made", "2026-11-23T090000Z-made"


@pytest.fixture
def two_runs(runs_folder):
    make_run(runs_folder / OLDER)
    make_run(runs_folder / LATEST, status="failed")
    return list_runs()


def shown(value):
    """What a notebook is given to show, by type."""
    return DisplayFormatter().format(value)[0]


def test_run_shows_its_circumstances(tiny_run):
    """Server, load, host: as a table in a notebook, in a line elsewhere."""
    data = shown(tiny_run)

    assert all(value in data["text/html"] for value in run_facts(tiny_run).values())
    assert data["text/plain"] == f"<Run {tiny_run.manifest.run_id}: complete, Redis 7.0.15>"


def test_closed_loop_is_told_with_the_load(tiny_run):
    """Its users follow the server; a rate was asked of nobody."""
    assert "120 turns/s, open loop" in run_facts(tiny_run)["Load"]

    tiny_run.manifest.experiment["closed_loop"] = True

    assert "20 users, closed loop" in run_facts(tiny_run)["Load"]


def test_run_that_ended_badly_shows_why(tmp_path):
    """The status alone would send the reader to the manifest."""
    run = make_run(tmp_path, status="failed")
    run.manifest.why = "the server died"
    write_manifest(tmp_path, run.manifest)

    assert "the server died" in Run(tmp_path)._repr_html_()


@pytest.mark.parametrize("host", [{}, {"memory_limit_bytes": None}], ids=["nothing", "no limit"])
def test_facts_say_what_the_host_did_not_show(tmp_path, host):
    """Unknown is not zero."""
    assert "memory limit unknown" in run_facts(make_run(tmp_path, host=host))["Host"]


def test_runs_show_themselves_as_a_table(two_runs):
    """Name, time, experiment, status and server of each, the latest last."""
    data = shown(two_runs)

    rows = data["text/html"].split("<tr>")
    assert OLDER in rows[-2]
    assert LATEST in rows[-1]
    assert ">failed<" in rows[-1]
    assert "2023-11-14 22:13 UTC" in data["text/plain"]
    assert data["text/plain"].count("\n") == 1


def test_no_runs_say_how_to_make_one(runs_folder):
    """An empty table would say nothing."""
    for text in shown(list_runs()).values():
        assert "make one with: workbench run" in text


def test_entry_serves_as_a_path(two_runs):
    """Who has a list of runs can open one of them."""
    assert Path(two_runs[-1]) == two_runs[-1].path
    assert Run(two_runs[-1].path).manifest.status == two_runs[-1].status


def test_text_that_looks_like_a_tag_is_shown_and_not_obeyed(tmp_path):
    """The manifest of a run from elsewhere is no page of ours."""
    run = make_run(tmp_path)
    run.manifest.server = {"engine": "redis", "version": "<script>alert(1)</script>"}

    assert "<script" not in run._repr_html_()
    assert "&lt;script&gt;" in run._repr_html_()
    assert html_table([["<b>"]], head=["<i>"]).count("&lt;") == 2
