"""Commands of the workbench as processes of their own, and what they started."""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from tests.waiting import wait_until

__all__ = [
    "PROGRAM",
    "ROOT",
    "children",
    "command_lines",
    "ended",
    "only_run",
    "processes_below",
    "under_load",
    "workbench",
]

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = Path(sys.executable).with_name("workbench")


def workbench(folder, *words, **environment):
    """Start a command, with its runs and its temporary files in the folder."""
    (folder / "tmp").mkdir(exist_ok=True)
    inherited = {k: v for k, v in os.environ.items() if k != "REDIS_STATE_URL"}
    return subprocess.Popen(
        [PROGRAM, *map(str, words)],
        cwd=ROOT,
        env={
            **inherited,
            "WORKBENCH_RUNS": str(folder / "runs"),
            "TMPDIR": str(folder / "tmp"),
            **environment,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def only_run(folder):
    """The one run directory below the folder."""
    found = list((folder / "runs").glob("[!.]*"))
    assert len(found) == 1, found
    return found[0]


def children(pid):
    """The processes that a process started, by what they are."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            stat = (path / "stat").read_text().rpartition(")")[2].split()
            words = (path / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if int(stat[1]) == pid and stat[0] != "Z":
            line = " ".join(words)
            for name, sign in (("server", "-server"), ("sampler", ".sampler"), ("load", "locust")):
                if sign in line:
                    found[name] = int(path.name)
    return found


def command_lines():
    """Of every process the command line, which anybody on the machine can read."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            found.append(path.read_bytes().decode(errors="replace").replace("\0", " "))
    return found


def ended(pid):
    """Whether the process is gone, or only waits to be counted by its parent."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state == "Z"


def processes_below(folder):
    """The processes that work below the folder, or were told of it."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            cwd = os.readlink(path / "cwd")  # noqa: PTH115  (may end in " (deleted)")
            line = (path / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
        except OSError:
            continue
        if (cwd.startswith(str(folder)) or str(folder) in line) and not ended(int(path.name)):
            found.append(f"{path.name} {line}")
    return found


def under_load(process, folder):
    """Wait until the conductor's three processes are at work and turns are being carried out."""
    wait_until(lambda: len(children(process.pid)) == 3, timeout_s=30, why="three processes")
    wait_until(
        lambda: list(folder.glob("runs/*/events/part-worker0-0001*")), timeout_s=30, why="a prefill"
    )
    return children(process.pid)
