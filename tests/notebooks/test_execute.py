"""The notebooks are executed on the golden run, and become one page that stands by itself."""

import json
import re
import shutil
from html import unescape

import nbformat
import papermill
import pytest

from tests.conftest import GOLDEN
from tests.notebooks.test_form import READERS
from workbench.diagnostics.finding import FINDINGS_MIME, evaluate
from workbench.errors import ParameterError, ReportError, RunError
from workbench.reports.render import render
from workbench.runs.lock import hold
from workbench.runs.manifest import read_manifest, write_manifest
from workbench.runs.run import Run, open_run


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    """The page of all notebooks that read a run, and their executed copies, of the golden run."""
    run = Run(shutil.copytree(GOLDEN, tmp_path_factory.mktemp("rendered") / "tiny"))
    page = render(run, [path.stem for path in READERS])
    executed = [nbformat.read(page.parent / path.name, as_version=4) for path in READERS]
    return run, page, executed


def test_page_has_the_verdict_on_top(rendered):
    """Whoever opens the page sees the answer first: before any chart, in words."""
    run, page, _ = rendered
    text = page.read_text()
    findings = evaluate(run)

    says = findings[0].says
    first = text.index(says[1:])

    assert f">{findings.verdict}<" in text[:first]
    assert first < text.index("<img")


def test_page_loads_nothing_from_anywhere(rendered):
    """It is one file: no script, no style sheet, no picture, no address outside."""
    text = rendered[1].read_text()
    links = re.findall(r"(?:src|href)\s*=\s*[\"'](?!#|data:)([^\"']+)", text)

    assert "<script" not in text
    assert links == [path.name for path in READERS]
    assert not re.findall(r"url\((?!['\"]?#)[^)]*\)|@import", text)


def test_charts_have_words_for_those_who_cannot_see_them(rendered):
    """Each picture has a text that says what it shows: its title and its reading."""
    text = rendered[1].read_text()

    labels = re.findall(r'<img alt="([^"]+)"', text)

    assert labels
    assert len(labels) == text.count("<img")
    assert "No description" not in text
    assert all(len(label) > 30 for label in labels)


def test_every_finding_is_on_the_page(rendered):
    """The rules' questions and what they found."""
    run, page, _ = rendered
    text = unescape(page.read_text())

    # Of a rule that does not apply the name is enough.
    missing = [
        found.rule
        for found in evaluate(run)
        if (found.rule if found.verdict == "not applicable" else found.title) not in text
    ]

    assert missing == []


def test_page_is_light_enough_to_be_sent(rendered):
    """By mail: at most 5 MB, whatever it shows."""
    assert 100_000 < rendered[1].stat().st_size < 5_000_000


def test_each_notebook_is_a_section_under_its_question(rendered):
    """With its own answer on top, which leads to the finding; the contents lead to it."""
    _, page, executed = rendered
    text = page.read_text()

    for path, notebook in zip(READERS, executed, strict=True):
        question = notebook.cells[0].source.partition("\n")[0].removeprefix("# ")
        section = text.partition(f'<section id="{path.stem}">')[2].partition("</section>")[0]
        answers = re.findall(r'href="#rule-([\w-]+)"', section)
        assert f"<h2>{question}</h2>" in section
        assert f'<a href="#{path.stem}">{question}</a>' in text
        assert answers or "one-conversation" in section
        assert all(f'id="rule-{rule}"' in text for rule in answers)


def test_page_says_under_what_circumstances(rendered):
    """Engine and version, allocator, limits, host, seed and commit: no figure holds without."""
    run, page, _ = rendered
    told = unescape(page.read_text()).partition('id="circumstances"')[2]

    wanted = ["Redis 7.0.15", "jemalloc", "maxmemory 5 MiB, allkeys-lru", "2 cores", "seed 7"]

    assert [word for word in [*wanted, run.manifest.commit[:8]] if word not in told] == []


def test_rules_that_passed_are_folded(rendered):
    """A quick glance finds what failed; the others are there for those who look."""
    text = re.sub(r"<style>.*?</style>", "", rendered[1].read_text(), flags=re.DOTALL)

    before, _, after = text.partition('<details class="fold"><summary><h2>Rules that passed')

    assert 'id="rule-live-state-evicted"' in before
    assert 'id="rule-generator-validity"' in after


def test_verdict_cell_holds_the_findings_as_data(rendered):
    """What the notebook shows is what the rules say, readable by a program."""
    run, _, executed = rendered
    known = {found.rule: found for found in evaluate(run)}

    for notebook in executed:
        cell = next(cell for cell in notebook.cells if cell.id == "verdict")
        shown = cell.outputs[0].data[FINDINGS_MIME]["findings"]
        assert shown
        # What is said of one conversation is no rule's: see diagnostics.one_conversation.
        for found in (each for each in shown if each["rule"] != "one-conversation"):
            assert found["verdict"] == known[found["rule"]].verdict
            assert found["says"] == known[found["rule"]].says


def test_executed_copies_are_complete(rendered):
    """Every code cell was counted from one on, and none failed; nothing else is left there."""
    _, page, executed = rendered

    for notebook in executed:
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
        assert notebook.metadata.papermill.exception is None
        assert notebook.metadata.papermill.end_time
    names = {path.name for path in READERS}
    assert {path.name for path in page.parent.iterdir()} == {page.name} | names


@pytest.mark.slow  # each is executed above
@pytest.mark.parametrize(
    "path",
    READERS,
    ids=lambda path: path.stem,
)
def test_notebook_opened_before_the_first_run_shows_the_example(path, runs_folder, tmp_path):
    """From any folder, by its defaults; it says whose run that is, and leaves it as it was."""
    before = {file: file.stat().st_mtime_ns for file in GOLDEN.rglob("*")}

    executed = papermill.execute_notebook(
        path, tmp_path / path.name, kernel_name="python3", progress_bar=False, cwd=tmp_path
    )

    shown = next(cell for cell in executed.cells if cell.id == "run").outputs[0].data
    assert "not a run of yours" in shown["text/html"]
    assert before == {file: file.stat().st_mtime_ns for file in GOLDEN.rglob("*")}


def test_unknown_parameter_is_refused_with_the_nearest(tiny_run):
    """papermill itself only warns, and reports on the defaults."""
    with pytest.raises(ParameterError, match="have no parameter 'run_dri'; did you mean 'run_dir'"):
        render(tiny_run, parameters={"run_dri": "x"})

    assert not (tiny_run.path / "report").exists()


def test_unknown_notebook_is_refused_with_the_nearest(tiny_run):
    """A typing error is not a missing file."""
    with pytest.raises(ParameterError, match="'10-evicton'; did you mean '10-eviction'"):
        render(tiny_run, "10-evicton")


RUN_DIR = 'run_dir: str = "x"  # a run'


def test_wrong_type_of_a_parameter_is_refused(own_notebook, tiny_run):
    """A text where a number belongs would fail in the middle of the notebook."""
    own_notebook("typed", parameters=f"{RUN_DIR}\ntop: int = 3  # how many")

    with pytest.raises(ParameterError, match="top must be of type int, not 'many'"):
        render(tiny_run, "typed", parameters={"top": "many"})


def test_failed_notebook_is_no_report(own_notebook, tiny_run):
    """The message names the cell and the error, without its secrets; no page is left."""
    raises = "raise ValueError('at redis://:hunter2@127.0.0.1')"
    own_notebook("failing", parameters=RUN_DIR, boom=raises)

    with pytest.raises(
        ReportError, match=r"failing\.ipynb failed in cell boom: ValueError"
    ) as caught:
        render(tiny_run, "failing")

    assert "hunter2" not in str(caught.value)
    assert not (tiny_run.path / "report").exists()


def test_killed_notebook_is_no_report(own_notebook, tiny_run):
    """An execution whose kernel dies is told, and is not taken for a finished one."""
    own_notebook("dying", parameters=RUN_DIR, end="import os\nos.kill(os.getpid(), 9)")

    with pytest.raises(ReportError, match=r"dying\.ipynb failed"):
        render(tiny_run, "dying")

    assert not (tiny_run.path / "report").exists()


def test_notebook_that_stops_halfway_is_no_report(own_notebook, tiny_run):
    """papermill takes an exit for success: the cells after it were never executed."""
    own_notebook("leaving", parameters=RUN_DIR, end="raise SystemExit(0)", verdict="1")

    with pytest.raises(ReportError, match=r"not executed to its end: of its cells verdict were"):
        render(tiny_run, "leaving")

    assert not (tiny_run.path / "report").exists()


@pytest.mark.slow
def test_report_that_fails_leaves_the_one_of_before(own_notebook, tiny_run):
    """All of it: the page, and the copies that it links to."""
    own_notebook("fine", parameters=RUN_DIR, **{"chart-x": "print('first')"})
    own_notebook("failing", parameters=RUN_DIR, boom="1 / 0")
    page = render(tiny_run, "fine")
    before = {path: path.read_bytes() for path in page.parent.iterdir()}

    with pytest.raises(ReportError, match="ZeroDivisionError"):
        render(tiny_run, ["fine", "failing"])

    assert {path: path.read_bytes() for path in page.parent.iterdir()} == before


@pytest.mark.slow
def test_names_of_one_notebook_are_unknown_to_the_next(own_notebook, tiny_run):
    """They share a process, and each would work by itself."""
    own_notebook("first", parameters=RUN_DIR, **{"chart-x": "left_behind = 1"})
    own_notebook("second", parameters=RUN_DIR, **{"chart-x": "left_behind"})

    with pytest.raises(ReportError, match=r"second\.ipynb failed in cell chart-x: NameError"):
        render(tiny_run, ["first", "second"])


def test_secret_in_an_output_reaches_neither_copy_nor_page(own_notebook, tiny_run):
    """What a cell prints passes the redactor, in the executed copy too."""
    token = "eyJhbGciOiJIUzI1NiJ9.eyJtZW1iZXIiOiJ4In0.c2lnbmF0dXJl"
    prints = f"print('redis://:hunter2@127.0.0.1', '{token[:9]}' + '{token[9:]}')"
    own_notebook("telling", parameters=RUN_DIR, **{"chart-x": prints})

    page = render(tiny_run, "telling")

    for path in (page, page.with_name("telling.ipynb")):
        assert "@127.0.0.1" in path.read_text()
        assert "hunter2@" not in path.read_text().replace("redis://:hunter2@127.0.0.1', '", "")
        assert token not in path.read_text()


def test_run_that_is_still_going_on_is_refused(tiny_run):
    """Only a sealed run can be judged."""
    manifest = read_manifest(tiny_run.path)
    manifest.status = "running"
    write_manifest(tiny_run.path, manifest)

    with hold(tiny_run.path), pytest.raises(RunError, match="still running"):
        open_run("tiny")


@pytest.mark.slow
def test_page_is_the_same_for_the_same_run(tiny_run):
    """Nothing in it depends on when, or how often, it was made."""
    first = render(tiny_run, "10-eviction").read_text()

    second = render(tiny_run, "10-eviction").read_text()

    assert second == first


def test_golden_run_is_small_and_names_no_place():
    """It is committed: under 300 KiB, and no path of the machine that made it."""
    files = [path for path in GOLDEN.rglob("*") if path.is_file()]

    total = sum(path.stat().st_size for path in files)
    manifest = json.loads((GOLDEN / "manifest.json").read_text())

    assert total < 300 * 1024
    assert manifest["status"] == "complete"
    for name in ("manifest.json", "redis.conf", "logs/redis.log", "logs/locust.log"):
        assert not re.search(
            r"(?:^|[\s\"'=])/(?:root|home|work|tmp|usr)/", (GOLDEN / name).read_text()
        )
