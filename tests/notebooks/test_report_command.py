"""``workbench report`` on one run and on several, with notebooks that take one or all of them."""

import json
import shutil

import nbformat
import pytest
from typer.testing import CliRunner

from tests.conftest import GOLDEN
from workbench import browser
from workbench.cli import app
from workbench.errors import BrowserError, ParameterError, UsageError

ONE = 'run_dir: str = "x"  # a run\ntop: int = 3  # how many'
SEVERAL = "runs: list = []  # sealed runs\nnames: list[str] = []  # of what"


@pytest.fixture
def two_runs(runs_folder):
    return [shutil.copytree(GOLDEN, runs_folder / name) for name in ("first", "second")]


@pytest.fixture
def notebooks(own_notebook):
    """One that takes a run, and one that takes several; each shows what it was given."""
    own_notebook("one", parameters=ONE, **{"chart-x": "print(run_dir, top)"})
    own_notebook("several", parameters=SEVERAL, **{"chart-x": "print(runs, names)"})


def report(*words):
    done = CliRunner().invoke(app, ["report", *map(str, words)])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.stdout


def printed(path):
    cells = nbformat.read(path, as_version=4).cells
    return next(cell for cell in cells if cell.id == "chart-x").outputs[0].text.strip()


@pytest.mark.slow
def test_several_runs_have_a_page_each_and_one_of_all(two_runs, notebooks, tmp_path):
    """Parameters go to the notebooks that have them; the page of all lies with the last run."""
    words = ["--notebook", "one", "--notebook", "several", "-p", "top=5", "-p", "names=a,b"]

    told = json.loads(report("first", "second", "first", *words, "--json"))["reports"]

    folders = [run / "report" for run in two_runs]
    assert [report["report"] for report in told] == [
        str(folders[0] / "one.html"),
        str(folders[1] / "one.html"),
        str(folders[1] / "several.html"),
    ]
    assert [len(report["runs"]) for report in told] == [1, 1, 2]
    assert [report["verdict"] for report in told] == ["fail", "fail", ""]
    for folder, run in zip(folders, two_runs, strict=True):
        assert printed(folder / "one.ipynb") == f"{run} 5"
    assert printed(folders[1] / "several.ipynb") == f"{[str(run) for run in two_runs]} ['a', 'b']"
    page = (folders[1] / "several.html").read_text()
    assert page.count("<dt>Run</dt>") == 2
    assert "workbench report first second --notebook several" in page


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["-p", "tpo=5"], "one.ipynb, several.ipynb have no parameter 'tpo'; did you mean 'top'"),
        (["-p", "top=many"], "one.ipynb: top must be of type int, not 'many'"),
        (["-p", "top"], "'top' is not a parameter"),
        (["-p", "run_dir=x"], "run_dir is what the argument RUN says"),
        (["-p", "runs=x"], "runs is what the argument RUN says"),
        (["--notebook", "sveral"], "did you mean 'several'"),
    ],
)
def test_wrong_request_makes_nothing(two_runs, notebooks, words, told):
    """For none of the runs, of none of the notebooks."""
    with pytest.raises(ParameterError) as caught:
        report("first", "second", "--notebook", "one", "--notebook", "several", *words)

    assert told in str(caught.value)
    assert not any((run / "report").exists() for run in two_runs)


def test_pdf_without_a_browser_is_refused_first(two_runs, notebooks, monkeypatch):
    """Before the seconds that the notebooks take."""
    monkeypatch.setattr(browser, "find_chromium", lambda: None)

    with pytest.raises(BrowserError, match="no Chromium"):
        report("first", "--notebook", "one", "--pdf")

    assert not (two_runs[0] / "report").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--index", "--pdf"], "leave out --pdf"),
        (["--index", "a", "b"], "one folder of runs, not 2"),
        (["--index", "missing"], "missing is no folder"),
        (["--index", "s3://bucket/runs"], "folder of this machine"),
        (["--out", "s33://bucket"], "did you mean 's3'"),
    ],
)
def test_wrong_folder_or_option_is_refused(two_runs, words, told):
    with pytest.raises(UsageError) as caught:
        report(*words)

    assert told in str(caught.value)


@pytest.mark.slow
def test_copies_elsewhere_lie_as_the_runs_do(two_runs, notebooks, tmp_path):
    """So the index of the runs links to them."""
    elsewhere = tmp_path / "elsewhere"

    out = report("first", "--notebook", "one", "--out", elsewhere)
    report("--index", "--out", elsewhere)

    names = sorted(str(path.relative_to(elsewhere)) for path in elsewhere.rglob("*.*"))
    assert names == ["first/report/one.ipynb", "first/report/one.html", "index.html"]
    assert out.splitlines()[-1].endswith("elsewhere/first/report/one.html")
    assert 'href="first/report/one.html"' in (elsewhere / "index.html").read_text()
