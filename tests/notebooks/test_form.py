"""Every notebook has the same form, so that a reader knows where to look."""

import ast
import re
from pathlib import Path

import nbformat
import papermill
import pytest

from workbench.runs.parameters import known_kind

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("*.ipynb"))
TOUR = next(path for path in NOTEBOOKS if path.stem == "00-tour")
LOST_UPDATES = next(path for path in NOTEBOOKS if path.stem == "40-lost-updates")
POLICIES = next(path for path in NOTEBOOKS if path.stem == "85-policy-comparison")
MAKERS = {TOUR, LOST_UPDATES, POLICIES}
COMPARERS = [path for path in NOTEBOOKS if path.stem in {"90-compare-runs", "95-trend"}]
SIZING = next(path for path in NOTEBOOKS if path.stem == "50-memory-sizing")
READERS = [path for path in NOTEBOOKS if path not in {*MAKERS, *COMPARERS, SIZING}]
READING_ROOMS = {"runs", "analysis", "diagnostics", "plots"}
# The tour makes the run that it reads; lost-updates measures, and reads none.
STARTING_ROOMS = {"experiments", "live", "server", "state", "units"}

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
each_reader = pytest.mark.parametrize("path", READERS, ids=lambda path: path.stem)


def cells(path):
    return nbformat.read(path, as_version=4).cells


def code(path):
    return [cell for cell in cells(path) if cell.cell_type == "code"]


def test_there_are_notebooks():
    """The tests below would pass on an empty folder."""
    assert {"10-eviction", "20-latency", "30-aof-rewrite"} <= {path.stem for path in NOTEBOOKS}


@pytest.mark.parametrize(
    "path", [*READERS, *COMPARERS, LOST_UPDATES, POLICIES, SIZING], ids=lambda path: path.stem
)
def test_cells_stand_in_the_form_s_order(path):
    """question, parameters, setup, run, then chart and reading in pairs, then verdict."""
    names = [cell.id for cell in cells(path)]

    between = names[4:-1]
    pairs = list(zip(between[::2], between[1::2], strict=True))

    assert names[:4] == ["question", "parameters", "setup", "run"]
    assert names[-1] == "verdict"
    assert pairs
    for chart, reading in pairs:
        assert chart.startswith("chart-")
        assert reading == chart.replace("chart-", "reading-", 1)


@each_reader
def test_notebook_shows_the_run_or_the_example(path):
    """It opens before the first run too, and its run cell says whose run it shows."""
    sources = {cell.id: cell.source for cell in code(path)}

    assert "run = open_run_or_example(run_dir)" in sources["setup"]
    assert sources["run"] == "run"


def test_tour_announces_each_step_in_words():
    """question, parameters, setup, then words and step in pairs, the verdict last."""
    found = cells(TOUR)
    names = [cell.id for cell in found]

    pairs = list(zip(found[3::2], found[4::2], strict=True))

    assert names[:3] == ["question", "parameters", "setup"]
    assert names[-1] == "verdict"
    assert pairs
    for words, step in pairs:
        assert (words.cell_type, step.cell_type) == ("markdown", "code")
        assert words.id == f"why-{step.id}"


@each_notebook
def test_nothing_that_was_executed_is_committed(path):
    """Outputs and counts belong to a run, not to the repository."""
    assert not any(cell.outputs or cell.execution_count for cell in code(path))


@each_notebook
def test_parameters_are_typed_and_explained(path):
    """``papermill --help-notebook`` lists each with its type and a comment."""
    tagged = [cell for cell in cells(path) if "parameters" in cell.metadata.get("tags", [])]
    assigned = {
        node.target.id if isinstance(node, ast.AnnAssign) else node.targets[0].id
        for node in ast.parse(tagged[0].source).body
    }

    listed = papermill.inspect_notebook(str(path))

    assert [cell.id for cell in tagged] == ["parameters"]
    assert set(listed) == assigned
    assert ("run_dir" in listed) == (path in READERS)
    assert ("runs" in listed) == (path in {*COMPARERS, POLICIES})
    for parameter in listed.values():
        assert parameter["inferred_type_name"] not in {"", "None"}
        assert parameter["help"]


@each_notebook
def test_types_of_parameters_can_be_checked(path):
    """And the notebook does so itself: ``papermill`` by hand takes whatever it is given."""
    setup = next(cell for cell in code(path) if cell.id == "setup")

    kinds = [
        about["inferred_type_name"] for about in papermill.inspect_notebook(str(path)).values()
    ]

    assert [kind for kind in kinds if not known_kind(kind)] == []
    assert "\n\ncheck_parameters(globals())" in setup.source


@each_notebook
def test_cells_call_the_package_and_hold_no_logic(path):
    """A def, a class or a loop in a notebook is a function that has not moved house yet."""
    logic = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.For, ast.While, ast.Lambda)

    found = [
        f"{cell.id}: {type(node).__name__}"
        for cell in code(path)
        for node in ast.walk(ast.parse(cell.source))
        if isinstance(node, logic)
    ]

    assert found == []


def rooms(path):
    """The rooms of the house that a notebook imports from."""
    imports = [
        node
        for cell in code(path)
        for node in ast.walk(ast.parse(cell.source))
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert imports
    assert all(isinstance(node, ast.ImportFrom) for node in imports)
    modules = [(node.module or "").split(".") for node in imports]
    assert {module[0] for module in modules} == {"workbench"}
    return {module[1] for module in modules}


@pytest.mark.parametrize("path", [*READERS, *COMPARERS, SIZING], ids=lambda path: path.stem)
def test_notebook_reads_runs_and_starts_nothing(path):
    """It imports from the rooms that read a run, and from nowhere else."""
    assert rooms(path) <= READING_ROOMS


def test_tour_may_start_something():
    """It imports from the rooms that start servers and load too, and from no other package."""
    assert rooms(TOUR) <= READING_ROOMS | STARTING_ROOMS
    assert {"experiments", "live", "server", "state"} <= rooms(TOUR)


def test_lost_updates_starts_what_it_compares():
    """It measures, and reads no run."""
    assert rooms(LOST_UPDATES) == {"benches", "plots", "runs"}


def test_policies_makes_the_runs_that_it_compares():
    """It starts servers and load by way of one noun, and reads what they left."""
    assert rooms(POLICIES) <= READING_ROOMS | {"experiments"}
    assert "experiments" in rooms(POLICIES)


@each_notebook
def test_prose_holds_no_figure(path):
    """A number in the text would be wrong for the next run."""
    prose = [cell.source for cell in cells(path) if cell.cell_type == "markdown"]

    assert prose
    assert not any(re.search(r"\d", text) for text in prose)
