"""The tour starts a server, drives it and reads the run; and leaves nothing running."""

from pathlib import Path

import papermill
import pytest

from tests.notebooks.test_form import TOUR
from tests.waiting import wait_until
from workbench.diagnostics.finding import FINDINGS_MIME
from workbench.errors import ParameterError
from workbench.reports.render import render
from workbench.runs.listing import list_runs

SHORT = {"measure_s": 2.0, "turns_per_s": 60.0, "maxmemory": "5mb"}


@pytest.fixture
def toured(runs_folder, tmp_path):
    """The tour, executed on a short run of its own."""
    return papermill.execute_notebook(
        TOUR,
        tmp_path / TOUR.name,
        parameters=SHORT,
        kernel_name="python3",
        progress_bar=False,
        cwd=tmp_path,
    )


def outputs(notebook, name):
    return next(cell for cell in notebook.cells if cell.id == name).outputs


def processes_of(folder):
    """The processes that work in this folder, or were told to keep their runs in it."""
    mark = f"WORKBENCH_RUNS={folder}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            told = mark in (process / "environ").read_bytes().split(b"\0")
            # A server writes its title over its environment.
            if told or (process / "cwd").readlink().is_relative_to(folder):
                found.append((process / "comm").read_text().strip())
        except OSError:
            continue
    return found


@pytest.mark.slow  # in JupyterLab it is tried by test_browser
def test_tour_makes_a_run_and_judges_it(toured, runs_folder):
    """One sealed run, its chart and its findings; every process and the scratch server are gone."""
    (run,) = list_runs()

    state = outputs(toured, "state")[0].data["text/plain"]
    shown = {kind for output in outputs(toured, "chart") for kind in output.data}
    findings = outputs(toured, "verdict")[0].data[FINDINGS_MIME]["findings"]

    assert run.status in {"complete", "invalid"}
    assert "'delivered again': 'duplicate'" in state
    assert "text/html" in shown
    assert len(findings) > 3
    assert [path.name for path in runs_folder.iterdir()] == [run.name]
    wait_until(lambda: not processes_of(runs_folder), why=f"none of {processes_of(runs_folder)}")


def test_tour_is_no_report(tiny_run):
    """It makes a run; asked to report on one, it would start a server and show another."""
    with pytest.raises(ParameterError, match="00-tour takes no run_dir, so it does not report"):
        render(tiny_run, "00-tour")

    assert not (tiny_run.path / "report").exists()
