"""The ready schedules: each is read by its own parser, and every command in them is there."""

import ast
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml

from tests.commands import ROOT
from tests.house.test_workflow import unfounded
from workbench.checkout import find_notebook
from workbench.cli import main as _main  # noqa: F401  (the commands are registered)
from workbench.reports.notebook import Notebook
from workbench.reports.render import DEFAULT_NOTEBOOKS
from workbench.runs.parameters import check_value

SCHEDULES = ROOT / "schedules"
TIME = re.compile(r"(\d+|\*) (\d+|\*) (\d+|\*) (\d+|\*) ([0-7]|\*)")


def is_time(words):
    """Whether five words are a time of cron, each number in its bounds."""
    found = TIME.fullmatch(words)
    highest = (59, 23, 31, 12, 7)
    return bool(found) and all(
        number == "*" or int(number) <= most
        for number, most in zip(found.groups(), highest, strict=True)
    )


def cron_line():
    (line,) = [
        line
        for line in (SCHEDULES / "report.cron").read_text().splitlines()
        if line and line[0] not in "#" and not re.match(r"\w+=", line)
    ]
    return line.split(maxsplit=5)


def workbench_commands(text):
    """As steps of a workflow, which another test knows how to hold against the commands."""
    parts = re.findall(r"\S*\.venv/bin/workbench[^\n&>]*", text)
    lines = "\n".join(".venv/bin/workbench" + part.split("bin/workbench")[1] for part in parts)
    return yaml.safe_dump({"jobs": {"x": {"steps": [{"run": lines}]}}}), len(parts)


@pytest.mark.parametrize(
    ("name", "count"),
    [("report.cron", 3), ("workbench-report.service", 3), ("github-report.yml", 2)],
)
def test_commands_of_a_schedule_are_there(name, count):
    """With their options: a renamed one would be found out at night."""
    text = (SCHEDULES / name).read_text()
    folded = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)
    if name.endswith(".yml"):
        assert unfounded(folded) == []
        folded = "\n".join(
            step.get("run", "") for step in yaml.safe_load(text)["jobs"]["report"]["steps"]
        )

    commands, found = workbench_commands(folded)

    assert found == count
    assert unfounded(commands) == []
    assert unfounded(commands.replace("report latest", "reprot latest")) != []


def test_time_of_the_crontab_is_one():
    """Five fields in their bounds, and a line that the shell can read."""
    *when, command = cron_line()

    assert is_time(" ".join(when))
    assert not is_time("61 3 * * *")
    assert "%" not in command  # for cron the end of the line
    assert subprocess.run(["sh", "-n", "-c", command], check=False).returncode == 0
    assert shlex.split(command)[:2] == ["cd", "$WORKBENCH"]


@pytest.mark.capability("crontab")
def test_crontab_takes_its_file():
    """By its own check, which installs nothing. Debian's has it; other crontabs do not."""
    done = subprocess.run(
        ["crontab", "-n", SCHEDULES / "report.cron"], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr


def test_workflow_is_of_the_form_that_github_reads(tmp_path):
    """By the schema of its workflows; a misspelt key is found out."""
    text = (SCHEDULES / "github-report.yml").read_text()
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(text.replace("runs-on:", "run-on:"))
    program = Path(sys.executable).with_name("check-jsonschema")
    command = [program, "--builtin-schema", "vendor.github-workflows"]

    codes = [
        subprocess.run([*command, path], capture_output=True, check=False).returncode
        for path in (SCHEDULES / "github-report.yml", wrong)
    ]

    assert codes == [0, 1]
    (schedule,) = yaml.safe_load(text)[True]["schedule"]  # YAML reads `on` as true
    assert is_time(schedule["cron"])


@pytest.mark.capability("systemd-analyze")
def test_systemd_takes_its_units(tmp_path):
    """By its own check, the checkout in the place that the unit names; and the time is one."""
    program = tmp_path / ".venv" / "bin" / "workbench"
    program.parent.mkdir(parents=True)
    shutil.copy("/bin/true", program)
    units = [tmp_path / f"workbench-report.{kind}" for kind in ("service", "timer")]
    for unit in units:
        text = (SCHEDULES / unit.name).read_text()
        unit.write_text(text.replace("/opt/redis-flow-workbench", str(tmp_path)))
    (when,) = re.findall(r"^OnCalendar=(.*)", units[1].read_text(), re.MULTILINE)

    def verified():
        command = ["systemd-analyze", "verify", *units]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return [line for line in done.stderr.splitlines() if str(tmp_path) in line]

    assert verified() == []
    assert subprocess.run(["systemd-analyze", "calendar", when], check=False).returncode == 0
    units[0].write_text(units[0].read_text().replace("Type=oneshot", "Type=twice"))
    assert verified()


def test_job_of_jupyter_scheduler_names_what_is_there():
    """The fields of its CreateJobDefinition (2.12), a notebook and parameters that it takes."""
    job = json.loads((SCHEDULES / "jupyter-scheduler.json").read_text())
    fields = {
        "name",
        "input_uri",
        "runtime_environment_name",
        "runtime_environment_parameters",
        "output_formats",
        "output_filename_template",
        "parameters",
        "tags",
        "compute_type",
        "schedule",
        "timezone",
    }

    notebook = Notebook(find_notebook(job["input_uri"]))

    assert job.keys() == fields
    assert is_time(job["schedule"])
    for name, value in job["parameters"].items():
        check_value(name, value, notebook.kinds[name])


def test_dag_of_airflow_executes_the_default_notebooks():
    """One PapermillOperator each, with the arguments that it has and parameters that they take."""
    tree = ast.parse((SCHEDULES / "airflow_report.py").read_text())
    assigned = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign)
    }
    (operator,) = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "PapermillOperator"
    ]
    given = {word.arg: word.value for word in operator.keywords}

    parameters = ast.literal_eval(given["parameters"])

    assert assigned["NOTEBOOKS"] == DEFAULT_NOTEBOOKS
    assert given.keys() == {
        *("task_id", "input_nb", "output_nb", "parameters", "kernel_name", "language_name")
    }
    for name in DEFAULT_NOTEBOOKS:
        assert parameters.keys() <= Notebook(find_notebook(name)).kinds.keys()


def test_every_schedule_is_described():
    """The page names each file, and no other."""
    page = (ROOT / "docs" / "how-to" / "schedule-reports.md").read_text()

    named = set(re.findall(r"schedules/([\w.-]+\w)", page))

    assert named == {path.name for path in SCHEDULES.iterdir() if path.is_file()}


def test_notebooks_named_by_schedules_name_a_kernel():
    """What executes them without us takes the kernel that they name."""
    for name in DEFAULT_NOTEBOOKS:
        kernel = nbformat.read(find_notebook(name), as_version=4).metadata.kernelspec
        assert kernel.name == "python3"
