"""The notebook of lost updates starts a server, compares, and leaves nothing running."""

import nbformat
import papermill
import pytest

from tests.notebooks.test_form import LOST_UPDATES
from workbench.diagnostics.finding import FINDINGS_MIME
from workbench.errors import ParameterError
from workbench.reports.render import render


@pytest.mark.slow
def test_notebook_finds_the_losses_and_none_of_ours(tmp_path):
    """Two numbers of writers, a short while each: a table, two charts and a verdict."""
    done = papermill.execute_notebook(
        LOST_UPDATES,
        tmp_path / LOST_UPDATES.name,
        parameters={"seconds": 0.4, "writers": [1, 4]},
        kernel_name="python3",
        progress_bar=False,
        cwd=tmp_path,
    )
    outputs = {cell.id: cell.outputs for cell in done.cells if cell.cell_type == "code"}
    finding = outputs["verdict"][0].data[FINDINGS_MIME]["findings"][0]

    assert finding["verdict"] == "pass"
    assert "documented pattern loses" in outputs["chart-lost"][0].data["text/plain"]
    assert "text/html" in outputs["chart-cost"][0].data
    assert nbformat.read(LOST_UPDATES, as_version=4).cells[0].id == "question"


def test_notebook_is_no_report(tiny_run):
    """It measures; asked to report on a run, it would show something else."""
    with pytest.raises(ParameterError, match="takes no run_dir"):
        render(tiny_run, "40-lost-updates")
