"""The notebook of safe sizes reads measurements: those that it is given, or none at all."""

import papermill
import pytest

from tests.notebooks.test_form import SIZING
from tests.unit.analysis.measurements import cell, kept, law_of_redis, point
from workbench.diagnostics.finding import FINDINGS_MIME
from workbench.errors import ParameterError
from workbench.reports.render import render


def execute(folder, **parameters):
    """The outputs of each cell, by its id."""
    done = papermill.execute_notebook(
        SIZING,
        folder / SIZING.name,
        parameters=parameters,
        kernel_name="python3",
        progress_bar=False,
        cwd=folder,
    )
    return {cell.id: cell.outputs for cell in done.cells if cell.cell_type == "code"}


@pytest.mark.slow
def test_notebook_ends_with_the_finding_and_the_advised_size(runs_folder, tmp_path):
    """Of a grid, a law and points that are given as files."""
    files = {
        "grid": kept(tmp_path, "memory-grid", [cell("documented formula", killed=True)]),
        "fit": kept(tmp_path, "sizing-fit", [], law_of_redis()),
        "predictions": kept(tmp_path, "sizing", [point(1.02)] * 12),
    }

    outputs = execute(tmp_path, **{name: str(path) for name, path in files.items()})
    told = outputs["verdict"][0].data[FINDINGS_MIME]

    assert told["verdict"] == "fail"
    assert told["findings"][0]["rule"] == "safe-size"
    assert "set maxmemory" in told["findings"][0]["advice"]
    assert "killed by a rewrite" in outputs["chart-grid"][0].data["text/plain"]


@pytest.mark.slow
def test_notebook_opened_with_its_defaults_runs_to_its_end(runs_folder, tmp_path):
    """With what comes with the workbench, whatever that is; nothing is started."""
    outputs = execute(tmp_path)

    assert len(outputs["verdict"][0].data[FINDINGS_MIME]["findings"]) == 3
    assert all("text/html" in outputs[f"chart-{name}"][0].data for name in ("grid", "sessions"))


def test_notebook_is_no_report(tiny_run):
    """It reads measurements, and no run."""
    with pytest.raises(ParameterError, match="takes no run_dir"):
        render(tiny_run, "50-memory-sizing")
