"""However a report ends: what is not finished is not taken for one, and nothing is left."""

import signal

import pytest

from tests.commands import processes_below, workbench
from tests.waiting import wait_until

pytestmark = pytest.mark.slow

SCRATCH = "report/.unfinished/*"
MOMENTS = ["", "/kernel.json", "/10-eviction.ipynb", "/20-latency.ipynb", "/30-aof-rewrite.ipynb"]


def ended_at(moment, run, folder, how):
    """A report that was ended when a file was there: its exit code."""
    before = set(run.path.glob(SCRATCH))
    process = workbench(folder, "report", "tiny")
    wait_until(
        lambda: set(run.path.glob(f"{SCRATCH}{moment}")) - before or process.poll() is not None,
        timeout_s=60,
        why=f"the report comes to {moment or 'its folder'}",
    )
    process.send_signal(how)
    process.communicate(timeout=60)
    wait_until(lambda: not processes_below(run.path), timeout_s=20, why="its processes are gone")
    return process.returncode


def visible(run):
    return sorted(path.name for path in run.path.glob("report/[!.]*"))


def test_killed_report_is_none_and_the_next_clears_up(tiny_run, tmp_path):
    """At each of several moments; its Python process goes with it."""
    for moment in MOMENTS:
        assert ended_at(moment, tiny_run, tmp_path, signal.SIGKILL) == -signal.SIGKILL
        assert visible(tiny_run) == []
    assert list(tiny_run.path.glob(SCRATCH)) != []

    process = workbench(tmp_path, "report", "tiny")
    out, err = process.communicate(timeout=90)

    assert process.returncode == 0, err
    assert out.endswith("report/report.html\n")
    assert len(visible(tiny_run)) == 4
    assert list(tiny_run.path.glob("report/.*")) == []


@pytest.mark.parametrize("moment", MOMENTS[1:])
def test_interrupted_report_leaves_nothing(tiny_run, tmp_path, moment):
    """Ctrl-C is exit code 130, as everywhere."""
    before = set(tiny_run.path.iterdir())

    assert ended_at(moment, tiny_run, tmp_path, signal.SIGINT) == 130
    assert set(tiny_run.path.iterdir()) == before
