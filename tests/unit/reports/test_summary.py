"""The verdict as Markdown: what the tables say, and nothing that anybody should not read."""

import re

from tests.frames import make_run
from workbench.diagnostics.finding import Finding, Findings
from workbench.diagnostics.slo import Slo, judge
from workbench.reports.summary import summary

TURNS = [{"elapsed_s": 0.05 * number, "outcome": "ok"} for number in range(200)]
POLLS = [{"elapsed_s": at / 2} for at in range(21)]
SECONDS = [{"elapsed_s": float(at)} for at in range(1, 11)]
CALM = {"operations": TURNS, "samples": POLLS, "generator": SECONDS}


def cells(text):
    """The rows of every table, without their heads."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    rows = [tuple(cell.strip() for cell in line[1:-1].split("|")) for line in lines]
    ends = [at for at, row in enumerate(rows) if set(row) == {"---"}]
    return [row for at, row in enumerate(rows) if at not in ends and at + 1 not in ends]


def found(verdict="pass", says="all is well", rule="lost-updates"):
    return Findings(
        [Finding(rule=rule, title="?", severity="critical", verdict=verdict, says=says)]
    )


def test_summary_says_what_the_tables_say(tmp_path):
    """The gravest verdict on top; each objective and each rule is a row."""
    run = make_run(tmp_path, **CALM)
    slo = judge(run, Slo("slo.toml", response_p99_s=0.0005, lost_updates=0))

    text = summary(run, found(), slo)

    assert text.startswith("## FAIL · made\n")
    assert "### Objectives of slo.toml: fail\n" in text
    assert cells(text)[:2] == slo.rows()
    assert cells(text)[2] == ("pass", "lost-updates", "All is well.")


def test_summary_without_objectives_is_that_of_the_rules(tmp_path):
    """No table that is empty."""
    text = summary(make_run(tmp_path, **CALM), found("unknown"))

    assert text.startswith("## UNKNOWN · made\n")
    assert "Objectives" not in text
    assert cells(text)[0][0] == "unknown"


def test_run_whose_figures_do_not_hold_says_why(tmp_path):
    """In one line, whatever the reason looks like."""
    run = make_run(tmp_path, **CALM, status="failed")
    run.manifest.why = "the load died; its log ends:\n  line\n\n## PASS"

    text = summary(run, found())

    assert "The run is failed: the load died; its log ends: line ## PASS.\n" in text
    assert len(re.findall("^## ", text, re.MULTILINE)) == 1


def test_no_text_ends_a_cell_or_is_a_tag_or_holds_a_secret(tmp_path):
    """What a log said may stand in a finding."""
    run = make_run(tmp_path, **CALM)
    run.manifest.experiment["question"] = "<script>alert(1)</script> password=hunter2"
    says = "<img src=x>| redis://:hunter2@host\nchannel:263771234567"

    text = summary(run, found(says=says))

    assert "<img" not in text
    assert "<script" not in text
    assert "hunter2" not in text
    assert "263771234567" not in text
    assert cells(text)[0] == (
        "pass",
        "lost-updates",
        "&lt;img src=x&gt;&#124; redis://[redacted]@host channel:[redacted]",
    )
