"""An experiment in a kernel: interrupted it is sealed, and with the kernel all of it ends."""

import os
import signal
from pathlib import Path

import pytest
from jupyter_client.manager import start_new_kernel

from tests.commands import children, only_run, under_load
from tests.waiting import wait_until
from workbench.runs.manifest import read_manifest

pytestmark = [pytest.mark.slow, pytest.mark.capability("redis-on-path")]

DRIVES = """
from workbench.experiments.spec import read_experiment
from workbench.live import run_experiment
experiment = read_experiment("demo").with_overrides(measure_s=60.0, turns_per_s=60.0)
run_dir = run_experiment(experiment)
"""


class Kernel:
    """A kernel as JupyterLab starts it, with widgets; ``pid`` as tests of commands have it."""

    def __init__(self, folder):
        environment = {
            **os.environ,
            "WORKBENCH_RUNS": str(folder / "runs"),
            "IPYTHONDIR": str(folder / "ipython"),
            "JPY_SESSION_NAME": "a.ipynb",
        }
        self.manager, self.client = start_new_kernel(env=environment, cwd=str(folder))
        self.pid = self.manager.provisioner.pid


@pytest.fixture
def kernel(tmp_path):
    started = Kernel(tmp_path)
    yield started
    started.client.stop_channels()
    started.manager.shutdown_kernel(now=True)


def test_interrupted_experiment_is_sealed_and_leaves_nothing_running(kernel, tmp_path):
    """By the button that interrupts the kernel; the cell ends, and the kernel goes on."""
    asked = kernel.client.execute(DRIVES)
    under_load(kernel, tmp_path)
    kernel.manager.interrupt_kernel()

    reply = kernel.client.get_shell_msg(timeout=60)
    while reply["parent_header"].get("msg_id") != asked:
        reply = kernel.client.get_shell_msg(timeout=60)

    assert reply["content"]["status"] == "ok"
    assert read_manifest(only_run(tmp_path)).status == "interrupted"
    assert children(kernel.pid) == {}
    assert kernel.manager.is_alive()


def test_killed_kernel_takes_server_sampler_and_load_with_it(kernel, tmp_path):
    """By SIGKILL, which nobody can catch; the control is that they ran before."""
    kernel.client.execute(DRIVES)
    started = under_load(kernel, tmp_path)
    os.kill(kernel.pid, signal.SIGKILL)

    assert len(started) == 3
    wait_until(
        lambda: not any(Path(f"/proc/{pid}/exe").exists() for pid in started.values()),
        timeout_s=20,
        why="none of the three is left",
    )
