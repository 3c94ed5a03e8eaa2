"""A whole experiment, by its command: how it ends, what it leaves, and what it must not leave."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.commands import children, command_lines, ended, only_run, under_load, workbench
from tests.waiting import wait_until
from workbench.runs.manifest import read_manifest
from workbench.runs.run import Run

CANARY = "CANARY-7f3a/sw0rd@end"

pytestmark = pytest.mark.whole_command


def short(*words):
    """A small experiment: a few turns a second for some seconds."""
    return ["run", "demo", "--rate", 60, "--maxmemory", "4mb", *words]


@pytest.fixture(autouse=True)
def _engine(server_binary, monkeypatch):
    monkeypatch.setenv("WORKBENCH_REDIS_SERVER", str(server_binary.path))


@pytest.fixture(scope="module")
def finished(server_binary, tmp_path_factory):
    """An experiment that ran to its end, and what it printed."""
    folder = tmp_path_factory.mktemp("finished")
    program = str(server_binary.path)
    process = workbench(folder, *short("--duration", "4s"), WORKBENCH_REDIS_SERVER=program)
    out, err = process.communicate(timeout=90)
    return folder, process.returncode, out, err


def test_last_two_lines_are_the_run_and_its_report(finished):
    """A script takes them from there; nothing is said on stderr when that is no terminal."""
    folder, code, out, err = finished

    run, report = map(Path, out.splitlines()[-2:])

    assert code in {0, 1, 3}, err
    assert err == ""
    assert run == only_run(folder)
    assert report == run / "report" / "report.html"
    assert report.stat().st_size > 10_000


def test_first_line_says_which_server(finished, server_binary):
    """Engine, version and allocator: no figure holds without them."""
    _, _, out, _ = finished

    first = out.splitlines()[0]

    assert first.startswith(f"{server_binary.label}, as named, on ")
    assert "redis://127.0.0.1:" in first


def test_sealed_run_has_all_its_parts(finished):
    """Every table has rows, the phases follow each other, and the settings are on record."""
    run = Run(only_run(finished[0]))
    manifest = run.manifest

    assert manifest.status in {"complete", "invalid"}
    assert [p.name for p in manifest.phases] == ["prefill", "warm-up", "measure", "cool-down"]
    assert manifest.rows == {name: len(getattr(run, name)) for name in manifest.rows}
    assert {name for name, rows in manifest.rows.items() if not rows} == {
        "evictions",
        "eviction_windows",
    }
    assert manifest.server["config"]["maxmemory-policy"] == "allkeys-lru"
    assert "maxmemory 4194304" in (run.path / "redis.conf").read_text()


def test_experiment_leaves_nothing_but_its_run(finished):
    """No data of the server, no temporary file, no half-written one."""
    folder, *_ = finished
    run = only_run(folder)

    assert not (run / "server").exists()
    assert list((folder / "tmp").iterdir()) == []
    assert list(run.rglob(".*")) == []


def test_findings_are_written_beside_the_run(finished):
    """findings.json holds what was printed."""
    folder, _, out, _ = finished

    content = json.loads((only_run(folder) / "findings.json").read_text())

    assert len(content["findings"]) >= 5
    for found in content["findings"]:
        assert found["rule"] in " ".join(out.split())


def test_killed_conductor_leaves_no_process(tmp_path):
    """SIGKILL asks nobody: server, sampler and load end, and what was recorded is readable."""
    process = workbench(tmp_path, *short("--duration", "30s"))
    helpers = under_load(process, tmp_path)
    run_dir = only_run(tmp_path)
    for table in ("samples", "operations"):
        wait_until(lambda t=table: list(run_dir.glob(f"{t}/part-*")), timeout_s=15, why=table)

    process.kill()
    process.communicate()

    wait_until(lambda: all(map(ended, helpers.values())), timeout_s=5, why=f"end of {helpers}")
    assert read_manifest(run_dir).status == "running"
    assert (run_dir / "server").exists()
    sealed = workbench(tmp_path, "seal", run_dir.name)
    _, err = sealed.communicate(timeout=30)
    run = Run(run_dir)
    assert sealed.returncode == 0, err
    assert run.manifest.status == "failed"
    assert run.manifest.phase("warm-up")
    assert len(run.samples) == run.manifest.rows["samples"] > 0
    assert not (run_dir / "server").exists()


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(signal.SIGINT, id="Ctrl-C"),
        pytest.param(signal.SIGTERM, id="SIGTERM", marks=pytest.mark.slow),
    ],
)
def test_interrupted_experiment_is_sealed_and_reported(tmp_path, number):
    """What was recorded until then is kept, judged and shown; nothing of it passes."""
    process = workbench(tmp_path, *short("--duration", "30s"))
    helpers = under_load(process, tmp_path)

    process.send_signal(number)
    out, err = process.communicate(timeout=60)

    run = Run(only_run(tmp_path))
    assert process.returncode == 130, err
    assert run.manifest.status == "interrupted"
    assert len(run.samples) > 0
    assert Path(out.splitlines()[-1]).is_file()
    assert "PASS" not in out
    assert all(map(ended, helpers.values()))


@pytest.mark.parametrize(
    "victim",
    [
        "server",
        pytest.param("sampler", marks=pytest.mark.slow),
        pytest.param("load", marks=pytest.mark.slow),
    ],
)
def test_experiment_fails_when_a_process_of_it_dies(tmp_path, victim):
    """The message says which, with the end of its log; the others end, and the run is sealed."""
    process = workbench(tmp_path, *short("--duration", "30s"))
    helpers = under_load(process, tmp_path)

    os.kill(helpers[victim], signal.SIGKILL)
    _, err = process.communicate(timeout=60)

    run = Run(only_run(tmp_path))
    assert process.returncode == 4
    assert f"the {victim}" in err
    assert "its log ends:" in err
    assert str(run.path) in err
    assert run.manifest.status == "failed"
    assert f"the {victim}" in run.manifest.why
    assert not run.events.empty
    assert all(map(ended, helpers.values()))


def test_refused_target_leaves_no_run(tmp_path, start_server):
    """Exit code 2 before anything is made."""
    server = start_server()
    with server.client() as client:
        client.set("somebody", "else")

    process = workbench(tmp_path, "run", "demo", "--url", server.url)
    _, err = process.communicate(timeout=60)

    assert process.returncode == 2
    assert "does not carry the workbench's mark" in err
    assert not (tmp_path / "runs").exists()


def test_canary_secret_reaches_no_output(tmp_path, start_server):
    """A password in the URL is used, and is found in no file and no line; nor is a token."""
    server = start_server(maxmemory_bytes=4 * 1024 * 1024)
    with server.client() as client:
        client.config_set("requirepass", CANARY)
    escaped = CANARY.replace("/", "%2F").replace("@", "%40")
    url = server.url.replace("redis://", f"redis://:{escaped}@")

    process = workbench(tmp_path, "run", "--rate", 60, "--duration", "2s", "--url", url)
    while process.poll() is None and len(children(process.pid)) < 2:
        pass
    told = command_lines()
    out, err = process.communicate(timeout=90)

    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    texts = {str(path): path.read_bytes() for path in files}
    texts |= {"stdout": out.encode(), "stderr": err.encode()}
    secrets = [CANARY.encode(), escaped.encode(), b"eyJhbGciOi"]
    assert process.returncode in {0, 1, 3}, err
    assert len(files) > 10
    assert [name for name, text in texts.items() if any(s in text for s in secrets)] == []
    helpers = [line for line in told if "sampler" in line or "locust" in line]
    assert helpers
    assert not any(escaped in line for line in helpers)


def test_wrong_password_is_not_repeated(tmp_path, start_server):
    """The message for a login that failed holds no password."""
    server = start_server()
    with server.client() as client:
        client.config_set("requirepass", "right")

    url = server.url.replace("redis://", "redis://:CANARY-wrong@")
    process = workbench(tmp_path, "run", "demo", "--url", url)
    out, err = process.communicate(timeout=60)

    assert process.returncode == 4
    assert "CANARY" not in out + err


def test_temporary_folder_is_the_one_watched(tmp_path):
    """The control of the test above: a temporary file of the command would be seen there."""
    (tmp_path / "tmp").mkdir()
    words = [sys.executable, "-c", "import tempfile; print(tempfile.gettempdir())"]

    told = subprocess.run(
        words,
        env={**os.environ, "TMPDIR": str(tmp_path / "tmp")},
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert told.strip() == str(tmp_path / "tmp") != tempfile.gettempdir()
