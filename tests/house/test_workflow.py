"""The workflow that is ready for CI asks for nothing that is not here."""

import re
import shlex

import pytest
import typer
import yaml

from tests.commands import ROOT
from workbench.cli import app
from workbench.diagnostics.slo import read_slo
from workbench.experiments.spec import read_experiment

WORKFLOW = ROOT / ".github" / "workflows" / "load.yml"
TEXT = WORKFLOW.read_text()
OF_THE_RUNNER = {"cat"}
"""Programs that every machine has; each other command must be one of ours."""


def steps(text):
    """Of every job, in their order."""
    jobs = yaml.safe_load(text)["jobs"].values()
    return [step for job in jobs for step in job["steps"]]


def commands(text):
    """The words of every command that a step runs; what is tested or redirected is left out."""
    lines = [line for step in steps(text) for line in step.get("run", "").splitlines()]
    parts = [part for line in lines for part in re.split(r";|&&|\|", line)]
    words = [shlex.split(part.partition(">>")[0]) for part in parts]
    words = [each[1:] if each[:1] == ["then"] else each for each in words]
    return [each for each in words if each and each[0] not in {"if", "fi"}]


def unfounded(text):
    """What a command asks for and is not there, a few words each."""
    targets = re.findall(r"^([a-z./-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    group = typer.main.get_group(app)
    found = []
    for program, *words in commands(text):
        if program == "make":
            found += [f"make {word}" for word in words if word not in targets]
        elif program == ".venv/bin/workbench":
            try:
                group.commands[words[0]].make_context(words[0], words[1:])
            except Exception as error:  # noqa: BLE001  (it is told as what is not there)
                found.append(f"workbench {words[0]}: {error}")
        elif program not in OF_THE_RUNNER:
            found.append(program)
    return found


def test_every_command_is_there():
    """Targets of the Makefile, commands and options of ours."""
    assert [each[0] for each in commands(TEXT)] == ["make", ".venv/bin/workbench", "cat"]
    assert unfounded(TEXT) == []


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("make .venv/.ready", "make setup", "make setup"),
        ("workbench run", "workbench rnu", "workbench rnu: 'rnu'"),
        ("--junit", "--jnuit", "workbench run: No such option: --jnuit"),
        ("cat slo.md", "jq slo.md", "jq"),
    ],
)
def test_command_that_is_not_there_would_be_found(old, new, found):
    """The control of the test above."""
    assert old in TEXT
    assert any(each.startswith(found) for each in unfounded(TEXT.replace(old, new)))


def test_experiment_and_objectives_are_there():
    """It runs what can be kept, against the objectives that come with the load."""
    _, (_, run, experiment, *options), _ = commands(TEXT)
    given = dict(zip(options[::2], options[1::2], strict=True))

    assert run == "run"
    assert read_experiment(experiment).name != "demo"
    assert read_slo(ROOT / given["--slo"])


def test_files_of_the_verdict_are_shown_and_kept_whatever_it_is():
    """The Markdown in the summary; the run, the Markdown and the JUnit file as an artifact."""
    _, (_, _, _, *options), (_, shown) = commands(TEXT)
    given = dict(zip(options[::2], options[1::2], strict=True))
    after = steps(TEXT)[-2:]

    assert shown == given["--markdown"]
    assert "$GITHUB_STEP_SUMMARY" in after[0]["run"]
    assert after[1]["uses"].startswith("actions/upload-artifact@")
    assert after[1]["with"]["path"].split() == ["runs/", given["--markdown"], given["--junit"]]
    assert [step["if"] for step in after] == ["always()", "always()"]


def test_it_checks_out_and_sets_up_a_python_that_is_new_enough():
    """And may do no more than read."""
    parsed = yaml.safe_load(TEXT)
    used = {step["uses"].partition("@")[0]: step for step in steps(TEXT) if "uses" in step}

    major, minor = used["actions/setup-python"]["with"]["python-version"].split(".")
    assert "actions/checkout" in used
    assert (int(major), int(minor)) >= (3, 11)
    assert parsed["permissions"] == {"contents": "read"}


def test_page_shows_the_commands_of_the_workflow():
    """Whoever has another CI system copies them from there."""
    page = (ROOT / "docs" / "how-to" / "run-in-ci.md").read_text()

    for words in commands(TEXT)[:2]:
        assert " ".join(words) in page
