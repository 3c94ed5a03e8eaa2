"""``check --slo`` and ``run --slo`` as a person or a CI job meets them."""

import json
import re
from xml.etree import ElementTree

import pytest

from tests.commands import ROOT, only_run
from tests.frames import make_run
from workbench.cli.app import exit_code
from workbench.diagnostics.finding import RULES, Finding, Findings
from workbench.diagnostics.slo import TERMS, SloFindings

OURS = ROOT / "loadtests" / "slo.toml"

pytestmark = pytest.mark.whole_command


@pytest.fixture
def promised(tmp_path):
    """Write a file of objectives; its path."""

    def promised(text):
        path = tmp_path / "promised.toml"
        path.write_text(text)
        return path

    return promised


def rows(markdown):
    """The cells of the first table of a summary."""
    table = markdown.partition("| --- |")[2].partition("\n\n")[0]
    return [[cell.strip() for cell in line[2:-2].split(" | ")] for line in table.splitlines()[1:]]


def test_check_says_which_objective_broke_and_by_how_much(ask, tiny_run, tmp_path):
    """The golden run loses conversations: in words, as Markdown, as JUnit, and as data."""
    markdown, junit = tmp_path / "slo.md", tmp_path / "slo.xml"
    words = ["check", "tiny", "--slo", OURS, "--markdown", markdown, "--junit", junit]

    code, out, _ = ask(*words)
    again, told, _ = ask(*words, "--json")

    slo = json.loads(told)["slo"]
    table = rows(markdown.read_text())
    printed = [re.split(r"  +", line) for line in out.splitlines()]
    cases = ElementTree.parse(junit).getroot()
    assert code == again == json.loads(told)["exit_code"] == 1
    assert slo["verdict"] == json.loads(told)["verdict"] == "fail"
    assert [each["objective"] for each in slo["objectives"]] == [term.name for term in TERMS]
    assert [row[1] for row in table if row[0] == "fail"] == ["lost_state_share"]
    assert "points over" in next(row for row in table if row[0] == "fail")[-1]
    for row in table:
        assert [row[0].upper(), *filter(None, row[1:])] in printed
    assert int(cases.get("tests")) == 1 + len(TERMS) + len(list(RULES))
    assert json.loads((tiny_run.path / "findings.json").read_text())["slo"] == slo
    assert out.splitlines()[-3:] == [
        str(markdown),
        str(junit),
        str(tiny_run.path / "findings.json"),
    ]


def test_check_without_objectives_says_nothing_of_them(ask, tiny_run, tmp_path):
    """Its files are those of the rules."""
    junit = tmp_path / "slo.xml"

    code, out, _ = ask("check", "tiny", "--junit", junit)

    assert code == 1
    assert "objectives of" not in out
    assert int(ElementTree.parse(junit).getroot().get("tests")) == 1 + len(list(RULES))
    assert "slo" not in json.loads((tiny_run.path / "findings.json").read_text())


@pytest.mark.parametrize(
    ("command", "text", "told"),
    [
        ("check", "response_p98 = '1s'", "unknown key 'response_p98'; did you mean 'response_p99'"),
        ("check", "error_share = 'few'", "error_share is not a number: 'few'"),
        ("check", "response_p99 = 250", "response_p99 is 250, without a unit"),
        ("check", "", "sets no objective"),
        ("run", "lost_updates = -1", "lost_updates is -1, outside"),
        ("run", "[slo]\nerror_share = 0", "unknown table [slo]"),
    ],
)
def test_wrong_objectives_are_refused_before_anything_is_done(
    ask, tiny_run, tmp_path, promised, command, text, told
):
    """With the file, the key and the nearest right one; no run, no verdict."""
    before = (tiny_run.path / "findings.json").stat().st_mtime_ns

    code, _, err = ask(command, "--slo", promised(text), "--markdown", tmp_path / "slo.md")

    assert code == 2
    assert "promised.toml" in err
    assert told in err
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["tiny"]
    assert (tiny_run.path / "findings.json").stat().st_mtime_ns == before
    assert not (tmp_path / "slo.md").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["check", "--slo", "missing.toml"], "there is no file missing.toml"),
        (["check", "--markdown", "{0}/none/slo.md"], "cannot be written: No such file"),
        (["check", "--junit", "{0}/promised.toml/slo.xml"], "cannot be written: Not a directory"),
        (["check", "--markdown", "/dev/null"], "/dev/null is not a file"),
        (["run", "--junit", "{0}/runs"], "runs is not a file"),
        (["run", "--markdown", "{0}/slo", "--junit", "{0}/slo"], "--junit name the same file"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_file_that_cannot_be_written_is_refused_before_anything_is_done(
    ask, tiny_run, tmp_path, promised, words, told
):
    """A minute of load is not spent on a verdict that cannot be told."""
    promised("lost_updates = 0")

    code, _, err = ask(*(word.format(tmp_path) for word in words))

    assert code == 2
    assert told in err
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["tiny"]


def test_files_are_replaced_whole_and_nothing_else_is_left(ask, tiny_run, tmp_path):
    """Also through a link, as to the summary of a CI job."""
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "old.md").write_text("old\n" * 10_000)
    (folder / "slo.md").symlink_to("old.md")

    ask("check", "tiny", "--markdown", folder / "slo.md", "--junit", folder / "slo.xml")

    assert sorted(path.name for path in folder.iterdir()) == ["old.md", "slo.md", "slo.xml"]
    assert (folder / "slo.md").is_symlink()
    assert (folder / "old.md").read_text().startswith("## FAIL")


def made(folder, status, *, rules="pass", slo="pass", lost=False):
    found = Finding(
        rule="lost-updates" if lost else "turns-failed",
        title="?",
        severity="critical",
        verdict="fail" if lost else rules,
        says="",
    )
    return make_run(folder, status=status), Findings([found]), SloFindings("slo.toml", slo, ())


@pytest.mark.parametrize(
    ("status", "verdicts", "code"),
    [
        ("complete", {}, 0),
        ("complete", {"slo": "fail"}, 1),
        ("complete", {"rules": "fail"}, 1),
        ("complete", {"rules": "fail", "slo": "unknown"}, 1),
        ("complete", {"rules": "unknown"}, 0),
        ("complete", {"slo": "unknown"}, 3),
        ("invalid", {}, 3),
        ("invalid", {"slo": "fail"}, 3),
        ("invalid", {"lost": True}, 1),
        ("failed", {"slo": "fail"}, 4),
        ("interrupted", {}, 130),
    ],
)
def test_exit_code_is_that_of_the_table(tmp_path, status, verdicts, code):
    """An objective cannot be kept by a run whose figures do not hold."""
    assert exit_code(*made(tmp_path / "made", status, **verdicts)) == code


def test_exit_code_is_0_where_every_objective_is_kept(ask, tiny_run, promised):
    """The rules would still fail the golden run; an objective of its own does not."""
    text = "lost_updates = 0\nresponse_p99 = '1h'"

    code, out, _ = ask("check", "tiny", "--slo", promised(text))
    zero, _, _ = ask("check", "tiny", "--slo", promised(text), "--exit-zero")

    assert "objectives of" in out
    assert f"{promised(text)}: pass" in out
    assert (code, zero) == (1, 0)


def test_run_is_held_against_objectives(ask, tmp_path):
    """A short load on a private server: its verdict, its code and its files agree."""
    markdown, junit = tmp_path / "slo.md", tmp_path / "slo.xml"
    words = ["run", "steady", "--duration", "2s", "--rate", "100", "--no-report", "--json"]

    code, out, err = ask(*words, "--slo", OURS, "--markdown", markdown, "--junit", junit)

    told = json.loads(out)
    root = ElementTree.parse(junit).getroot()
    bad = int(root.get("failures")) + int(root.get("errors"))
    assert code == told["exit_code"], err
    assert (bad > 0) == (code != 0)
    assert rows(markdown.read_text())[0][1] == told["slo"]["objectives"][0]["objective"]
    assert (told["markdown"], told["junit"]) == (str(markdown), str(junit))
    assert json.loads((only_run(tmp_path) / "findings.json").read_text())["slo"] == told["slo"]
