"""The index of a folder of runs."""

import re
import shutil

import pytest

from tests.conftest import GOLDEN
from workbench.diagnostics.finding import Finding, Findings, sentence, write_findings
from workbench.diagnostics.slo import Slo, judge
from workbench.errors import UsageError
from workbench.reports.index import write_index
from workbench.runs.run import Run


@pytest.fixture
def folder(tmp_path):
    """Two runs: an older one with a verdict and a page, and one that nobody judged."""
    shutil.copytree(GOLDEN, tmp_path / "a <b> run")
    shutil.copytree(GOLDEN, tmp_path / "b-run")
    (tmp_path / "b-run" / "findings.json").unlink()
    report = tmp_path / "a <b> run" / "report"
    report.mkdir()
    for name in ("report.html", "90-compare-runs.html", ".report.html.1"):
        (report / name).write_text("x")
    return tmp_path


def test_index_has_each_run_the_latest_first(folder):
    """Its verdict, its sentence, when and on what it was, and a link to its page."""
    text = write_index(folder).read_text()

    older = text[text.index("a &lt;b&gt; run") - 300 :]

    assert text.index("b-run") < text.index("a &lt;b&gt; run")
    assert '<span class="chip fail">fail</span>' in older
    assert "21.3 % of the turns" in older
    assert "2026-11-26 13:35 UTC · tiny · Redis 7.0.15 · complete" in older
    assert re.findall(r'href="([^"]+)"', text) == [
        "a%20%3Cb%3E%20run/report/report.html",
        "a%20%3Cb%3E%20run/report/90-compare-runs.html",
    ]


def test_run_that_nobody_judged_has_no_verdict(folder):
    """The index judges nothing, and guesses nothing."""
    text = write_index(folder).read_text()

    assert '<span class="chip not-judged">not judged</span>' in text
    assert "no report yet" in text


@pytest.mark.parametrize("content", ["", "[]", "null", '{"verdict": "pass"}', '{"findings": 3}'])
def test_damaged_findings_are_no_verdict(folder, content):
    """A file that says nothing is not taken for a pass."""
    (folder / "a <b> run" / "findings.json").write_text(content)

    assert '<span class="chip not-judged">2 not judged</span>' in write_index(folder).read_text()


def test_verdict_of_objectives_is_told_by_their_sentence(folder):
    """Where the rules hold, they are what the verdict rests on."""
    run = Run(folder / "b-run")
    found = Finding(rule="x", title="?", severity="critical", verdict="pass", says="all holds")
    slo = judge(run, Slo("slo.toml", response_p99_s=0.001))
    write_findings(run, Findings([found]), slo)

    text = write_index(folder).read_text()

    assert slo.verdict == "fail"
    assert sentence(slo.says) in text
    assert "all holds" not in text.lower()


def test_folder_without_runs_is_refused(tmp_path):
    with pytest.raises(UsageError, match="holds no run"):
        write_index(tmp_path)
    with pytest.raises(UsageError, match="is no folder"):
        write_index(tmp_path / "missing")

    assert list(tmp_path.iterdir()) == []
