"""Who is at work in a folder."""

import subprocess
import sys

import pytest

from tests.waiting import wait_until
from workbench.errors import RunError
from workbench.runs.lock import hold, is_held


def test_one_process_at_a_time_is_at_work(tmp_path):
    """The second is told which folder it may not touch."""
    with hold(tmp_path):
        assert is_held(tmp_path)
        with pytest.raises(RunError, match=f"{tmp_path} is still being written"), hold(tmp_path):
            pass

    assert not is_held(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_lock_of_a_killed_process_is_free(tmp_path):
    """SIGKILL leaves no lock behind that somebody would have to remove."""
    code = (
        "import sys, time; from pathlib import Path; from workbench.runs.lock import hold\n"
        "with hold(Path(sys.argv[1])): time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, tmp_path])
    wait_until(lambda: is_held(tmp_path), why="the lock")

    process.kill()
    process.wait()

    assert not is_held(tmp_path)
