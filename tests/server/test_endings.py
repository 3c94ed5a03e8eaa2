"""Every way a run can end: killed early, on a full disk, beside another, under a moved clock."""

import os
import signal
import subprocess
from contextlib import contextmanager, suppress

import pytest

from tests.commands import children, ended, only_run, processes_below, under_load, workbench
from tests.waiting import wait_until
from workbench.runs.manifest import read_manifest
from workbench.runs.run import Run
from workbench.runs.schema import TABLES

SHORT = ["run", "demo", "--rate", 60, "--maxmemory", "4mb", "--no-report"]

pytestmark = pytest.mark.whole_command


@pytest.fixture(autouse=True)
def _engine(server_binary, monkeypatch):
    monkeypatch.setenv("WORKBENCH_REDIS_SERVER", str(server_binary.path))


def starting(process, folder):
    """The server is there, and the load is not at work yet."""
    wait_until(lambda: list(folder.glob("runs/*/server")), timeout_s=30, why="a run directory")
    wait_until(lambda: "server" in children(process.pid), timeout_s=30, why="a server")


def prefilling(process, folder):
    """The load writes the conversations that are under way at its start."""
    wait_until(lambda: "load" in children(process.pid), timeout_s=30, why="a load")


@pytest.mark.parametrize(
    "phase",
    [
        pytest.param(starting, id="starting"),
        pytest.param(prefilling, id="prefilling", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize(
    "victim",
    [
        "conductor",
        "server",
        pytest.param("sampler", marks=pytest.mark.slow),
        pytest.param("load", marks=pytest.mark.slow),
    ],
)
def test_run_of_which_a_process_is_killed_early_leaves_nothing_running(tmp_path, victim, phase):
    """Its directory can be read as failed, or is sealed so; nothing else is left of it."""
    process = workbench(tmp_path, *SHORT, "--duration", "20s")
    phase(process, tmp_path)
    if victim != "conductor":
        wait_until(lambda: victim in children(process.pid), timeout_s=30, why=victim)
    pid = process.pid if victim == "conductor" else children(process.pid)[victim]

    os.kill(pid, signal.SIGKILL)
    _, err = process.communicate(timeout=60)

    wait_until(lambda: not processes_below(tmp_path), why=f"end of {processes_below(tmp_path)}")
    run_dir = only_run(tmp_path)
    if victim == "conductor":
        _, err = workbench(tmp_path, "seal", run_dir.name).communicate(timeout=30)
    else:
        assert process.returncode == 4, err
        why = read_manifest(run_dir).why
        assert f"the {victim}" in why or "ended with -9" in why
    assert read_manifest(run_dir).status == "failed", err
    assert set(Run(run_dir).manifest.rows) == set(TABLES)
    assert list(run_dir.rglob(".*")) == []
    assert not (run_dir / "server").exists()
    assert list((tmp_path / "tmp").iterdir()) == []


def test_interrupt_before_anything_is_recorded_leaves_a_sealed_run(tmp_path):
    """Ctrl-C while the server starts: exit code 130, and no process."""
    process = workbench(tmp_path, *SHORT)
    starting(process, tmp_path)

    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)

    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert read_manifest(only_run(tmp_path)).status == "interrupted"
    assert processes_below(tmp_path) == []


@pytest.mark.slow
def test_interrupt_while_the_report_is_written_keeps_the_run(tmp_path):
    """The run is sealed by then; the message says how to get the report."""
    process = workbench(tmp_path, *SHORT[:-1], "--duration", "1s")
    wait_until(lambda: list(tmp_path.glob("runs/*/report")), timeout_s=60, why="a report begun")

    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)

    run_dir = only_run(tmp_path)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert f"workbench report {run_dir.name}" in out
    assert read_manifest(run_dir).status in {"complete", "invalid"}
    assert list(run_dir.glob("report/*.html")) == []
    wait_until(lambda: not processes_below(tmp_path), why="end of the notebook's process")


@contextmanager
def small_disk(folder, *, mebibytes):
    """A file system of a few MiB."""
    folder.mkdir()
    size = f"size={mebibytes}m"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "none", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def _fill(disk):
    with (disk / "filler").open("wb", buffering=0) as filler, suppress(OSError):
        while True:
            filler.write(bytes(4096))


@pytest.mark.capability("root", "mount")
def test_run_on_a_disk_that_fills_up_fails_and_can_be_read(tmp_path):
    """What was recorded before is whole; nothing half-written is left, and nothing running."""
    with small_disk(tmp_path / "disk", mebibytes=4) as disk:
        (disk / "runs").mkdir()
        process = workbench(tmp_path, *SHORT, "--duration", "30s", WORKBENCH_RUNS=disk / "runs")
        under_load(process, disk)
        run_dir = only_run(disk)
        wait_until(lambda: list(run_dir.glob("operations/part-*")), timeout_s=30, why="a part")

        _fill(disk)
        _, err = process.communicate(timeout=60)

        run = Run(run_dir)
        assert process.returncode == 4, err
        assert "Traceback" not in err
        assert run.manifest.status == "failed"
        assert "no space is left on the disk" in run.manifest.why
        assert run.manifest.rows["operations"] == len(run.operations) > 0
        assert list(run_dir.rglob(".*")) == []
        assert processes_below(disk) == []


@pytest.mark.slow
def test_two_runs_at_once_do_not_meet(tmp_path):
    """Each has its own server, its own directory, and all of its own turns."""
    both = [workbench(tmp_path, *SHORT, "--duration", "3s", "--seed", seed) for seed in (1, 2)]
    errors = [process.communicate(timeout=90)[1] for process in both]

    runs = [Run(path) for path in sorted((tmp_path / "runs").iterdir())]
    assert [process.returncode in {0, 1, 3} for process in both] == [True, True], errors
    assert sorted(run.manifest.seed for run in runs) == [1, 2]
    assert len({run.manifest.server["url"] for run in runs}) == 2
    for run in runs:
        assert set(run.operations["outcome"].astype(str)) <= {"ok", "evicted"}
        assert run.manifest.status in {"complete", "invalid"}


STEPPED = """
import time
wall, start = time.time, time.monotonic()
time.time = lambda: wall() + ({step} if time.monotonic() - start > 5 else 0)
"""


@pytest.mark.parametrize(
    ("step_s", "moved"),
    [
        pytest.param(3600, True, id="forward", marks=pytest.mark.slow),
        pytest.param(-3600, True, id="back", marks=pytest.mark.slow),
        pytest.param(0, False, id="not at all", marks=pytest.mark.slow),
    ],
)
def test_run_during_which_the_clock_is_stepped_is_invalid(tmp_path, step_s, moved):
    """Its own times are not disturbed: no turn and no sample is an hour away from the others."""
    (tmp_path / "sitecustomize.py").write_text(STEPPED.format(step=step_s))
    words = [*SHORT, "--duration", "6s"]

    process = workbench(tmp_path, *words, PYTHONPATH=str(tmp_path))
    _, err = process.communicate(timeout=90)

    run = Run(only_run(tmp_path))
    times_s = [*run.operations["elapsed_s"], *run.samples["elapsed_s"], *run.events["elapsed_s"]]
    told = "the machine's clock was moved" in run.manifest.why
    assert process.returncode in {0, 1, 3}, err
    assert max(times_s) - min(times_s) < 60
    assert told == moved
    assert ("clock_step" in set(run.events["kind"].astype(str))) == moved


@pytest.mark.slow
def test_conversations_of_a_killed_run_were_all_on_record_until_shortly_before(tmp_path):
    """What is lost is what was not written yet: some seconds, not the run."""
    process = workbench(tmp_path, *SHORT, "--duration", "30s")
    helpers = under_load(process, tmp_path)
    run_dir = only_run(tmp_path)
    wait_until(lambda: list(run_dir.glob("operations/part-*")), timeout_s=30, why="a part")

    process.kill()
    process.communicate()

    wait_until(lambda: all(map(ended, helpers.values())), why="end of the helpers")
    workbench(tmp_path, "seal", run_dir.name).communicate(timeout=30)
    run = Run(run_dir)
    assert len(run.operations) > 100
    assert run.measured_s > 1
