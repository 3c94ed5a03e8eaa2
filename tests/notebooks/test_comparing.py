"""The notebooks of several runs: executed as they are, and as papermill's -p would have them."""

import papermill
import pytest

from tests.notebooks.test_form import COMPARERS, POLICIES
from workbench.diagnostics.finding import FINDINGS_MIME
from workbench.runs.listing import list_runs

SAYS = {
    "90-compare-runs": "the same run stands on both sides",
    "95-trend": "not enough runs: 1 run of tiny; it takes 5",
}


def execute(path, folder, **parameters):
    """The outputs of each cell, by its id."""
    done = papermill.execute_notebook(
        path,
        folder / path.name,
        parameters=parameters,
        kernel_name="python3",
        progress_bar=False,
        cwd=folder,
    )
    return {cell.id: cell.outputs for cell in done.cells if cell.cell_type == "code"}


@pytest.mark.slow
@pytest.mark.parametrize("path", COMPARERS, ids=lambda path: path.stem)
def test_notebook_opened_before_the_first_run_says_that_there_is_too_little(
    path, runs_folder, tmp_path
):
    """By its defaults, on the example: no error, a chart, and a verdict of unknown."""
    outputs = execute(path, tmp_path)
    told = outputs["verdict"][0].data[FINDINGS_MIME]

    assert told["verdict"] == "unknown"
    assert SAYS[path.stem] in told["findings"][0]["says"]
    assert "example" in str(outputs["run"][0].data) or path.stem == "95-trend"
    assert any("text/html" in output.data for output in outputs[f"chart-{CHARTS[path.stem]}"])


CHARTS = {"90-compare-runs": "differences", "95-trend": "trend"}


@pytest.mark.slow
def test_four_policies_on_the_same_turns(runs_folder, tmp_path):
    """By its defaults, only shorter: four runs, the same turns, and a refusal is no service."""
    outputs = execute(POLICIES, tmp_path, measure_s=4.0)
    findings = outputs["verdict"][0].data[FINDINGS_MIME]["findings"]
    by_rule = {found["rule"]: found for found in findings}

    assert by_rule["same-turns"]["verdict"] == "pass"
    assert len(list_runs()) == 4
    assert "noeviction" in outputs["chart-unserved"][0].data["text/plain"]
    assert "0 failed" in by_rule["fewest-unserved"]["evidence"]["allkeys-lru"]
    assert "0 lost their state" in by_rule["fewest-unserved"]["evidence"]["noeviction"]
