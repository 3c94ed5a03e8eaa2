"""``workbench compare`` as a person or a program meets it: what it prints, and its exit codes."""

import json
import shutil

import msgspec
import pytest
from typer.testing import CliRunner

from tests.conftest import GOLDEN
from workbench.cli import app
from workbench.errors import RunError, UsageError
from workbench.runs.manifest import read_manifest, write_manifest


@pytest.fixture
def two(runs_folder):
    """The golden run, and a copy of it on another host."""
    for name, cores in (("before", 2), ("after", 64)):
        path = shutil.copytree(GOLDEN, runs_folder / name)
        manifest = read_manifest(path)
        host = {**manifest.host, "cores": cores}
        write_manifest(path, msgspec.structs.replace(manifest, host=host))
    return runs_folder


def ask(*words):
    return CliRunner().invoke(app, ["compare", *words])


def test_too_little_is_exit_code_3_and_says_how_much_it_takes(two):
    """Eighteen seconds are not enough; --exit-zero is for looking."""
    told = ask("before", "after", "--accept-unlike")

    assert told.exit_code == 3
    assert "18 s are 3 blocks, and it takes 6" in told.stdout
    assert told.stdout.splitlines()[-1].startswith("UNKNOWN: response p50")
    assert ask("before", "after", "--accept-unlike", "--exit-zero").exit_code == 0


def test_unlike_runs_are_refused_unless_it_was_meant(two):
    """The main program makes exit code 2 of it."""
    refused = ask("before", "after")

    assert isinstance(refused.exception, RunError)
    assert "host.cores: 2 | 64" in str(refused.exception)
    assert ask("before", "after", "--varied", "host.cores").exit_code == 3


def test_json_is_one_object_with_every_figure(two):
    """What is not known is null."""
    told = json.loads(ask("before", "after", "--varied", "host.cores", "--json").stdout)

    assert told["verdict"] == "unknown"
    assert told["exit_code"] == 3
    assert {"figure", "baseline", "other", "change", "low", "high", "verdict", "why"} == set(
        told["figures"][0]
    )
    assert told["figures"][0]["low"] is None
    assert told["unlike"] == {"host.cores": ["2", "64"]}


def test_markdown_is_a_table(two):
    """For a pull request."""
    told = ask("before", "after", "--varied", "host.cores", "--markdown").stdout

    assert told.startswith("**UNKNOWN**")
    assert "| response p50 |" in told
    assert "Unlike in host.cores: 2 | 64." in told


def test_wrong_words_are_refused(two):
    """With the nearest right ones."""
    assert "did you mean 'before'" in str(ask("befor", "after").exception)
    nearest = ask("before", "after", "--varied", "host.core").exception
    assert isinstance(nearest, UsageError)
    assert "did you mean 'host.cores'" in str(nearest)
