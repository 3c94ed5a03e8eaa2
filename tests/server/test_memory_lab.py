"""Memory limits for real: a server within one, and what a rewrite takes of it."""

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.commands import ROOT, ended, workbench
from tests.waiting import wait_until
from workbench.lab.memory import Cell, measure
from workbench.lab.watch import ByCgroup, ByProcessTree
from workbench.runs.measurement import read_measurement
from workbench.server.limits import limited
from workbench.server.process import PrivateServer
from workbench.server.profiles import profile
from workbench.units import MIB

needs_cgroup = pytest.mark.capability("cgroup")

# 16 MiB of data take 18 before the fork, and 19.5 with the rewrite of a file that nobody writes to.
GENEROUS = Cell(maxmemory_bytes=16 * MIB, limit_bytes=64 * MIB, writes_per_s=2000)
TIGHT = replace(GENEROUS, limit_bytes=round(20.5 * MIB), writes_per_s=20_000)

CRASHED = """
import os, sys
from workbench.server.limits import limited
with limited(memory_bytes=64 << 20) as cgroup:
    print(cgroup.memory, flush=True)
    sys.stdin.read()
"""


@needs_cgroup
def test_server_begins_in_its_cgroup_and_both_are_gone_in_the_end(server_binary, tmp_path):
    """All of its memory is charged there: a Redis that holds nothing takes over 1 MiB."""
    with limited(memory_bytes=64 * MIB, cpu_share=0.5) as cgroup:
        entering = cgroup.entering()
        with PrivateServer(
            profile("demo"), tmp_path, binary=server_binary, entering=entering
        ) as server:
            of_process = Path(f"/proc/{server.pid}/cgroup").read_text()
            anonymous = cgroup.anonymous_bytes()
            folders = list(cgroup.folders)

    assert all(folder.name in of_process for folder in folders)
    assert MIB < anonymous < 20 * MIB
    assert cgroup.oom_kills() == 0
    assert not any(folder.exists() for folder in folders)


@needs_cgroup
def test_cgroup_ends_what_is_left_in_it():
    """A process that outlives the server, as a child that is rewriting."""
    with limited(memory_bytes=64 * MIB) as cgroup:
        left = subprocess.Popen(["sleep", "60"], preexec_fn=cgroup.entering())  # noqa: PLW1509

    left.wait(timeout=5)
    assert left.returncode == -9
    assert not cgroup.memory.exists()


@needs_cgroup
def test_cgroup_of_one_who_was_killed_is_removed_by_the_next():
    """SIGKILL lets nobody tidy up; a cgroup of a living process stays."""
    crashed, living = (
        subprocess.Popen(
            [sys.executable, "-c", CRASHED],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    )
    try:
        leftover, theirs = (Path(each.stdout.readline().strip()) for each in (crashed, living))
        crashed.kill()
        crashed.wait()
        assert leftover.exists()

        with limited(memory_bytes=64 * MIB):
            assert not leftover.exists()
            assert theirs.exists()
    finally:
        living.communicate("")
    assert not theirs.exists()


@needs_cgroup
def test_server_that_does_not_get_into_its_cgroup_is_told_of(server_binary, tmp_path):
    def refused():
        raise PermissionError

    with pytest.raises(Exception, match="could not be started where it was to be: its cgroup"):
        PrivateServer(profile("demo"), tmp_path, binary=server_binary, entering=refused).start()


@needs_cgroup
def test_process_tree_tells_what_the_cgroup_counts(server_binary, tmp_path):
    """Pages that server and child share count once; those that only the child has are added."""
    unasked = replace(profile("demo"), auto_aof_rewrite_percentage=0)
    with limited() as cgroup:
        server = PrivateServer(unasked, tmp_path, binary=server_binary, entering=cgroup.entering())
        with server, server.client() as client:
            pipe = client.pipeline(transaction=False)
            for number in range(8000):
                pipe.set(f"channel:{number}", "x" * 1000)
            pipe.execute()
            client.config_set("rdb-key-save-delay", 1000)  # µs: the child lives for seconds
            client.bgrewriteaof()
            tree, kernel = ByProcessTree(server.pid), ByCgroup(server.pid, cgroup)
            wait_until(lambda: tree.child() is not None, why="a child")
            before = tree.anonymous_bytes()
            for number in range(8000):
                pipe.set(f"channel:{number}", "y" * 1000)
            pipe.execute()
            told, counted = tree.anonymous_bytes(), kernel.anonymous_bytes()
            alive = tree.child() is not None

    assert alive
    assert told > before + 4 * MIB  # the control: what was copied is seen
    assert told == pytest.approx(counted, rel=0.03)


@needs_cgroup
def test_tight_limit_kills_in_the_rewrite_and_a_generous_one_does_not(server_binary, tmp_path):
    """The same server, at the same cap; the kernel counts the kill, and the server ended by it."""
    tight = measure(TIGHT, binary=server_binary, folder=tmp_path)
    generous = measure(GENEROUS, binary=server_binary, folder=tmp_path)

    assert (tight.killed, tight.killed_in, tight.over_limit) == (True, "rewrite", True)
    assert tight.rewrite_s is None
    assert 16 * MIB < tight.peak_bytes < TIGHT.limit_bytes
    assert (generous.killed, generous.killed_in, generous.over_limit) == (False, "", False)
    assert generous.watched_by.startswith("cgroup v")
    assert generous.keys > 8000
    assert 16 * MIB < generous.before_bytes < generous.peak_bytes < 64 * MIB
    assert generous.cow_bytes > 0
    assert generous.base_bytes > 2 * MIB
    assert generous.fork_s > 0
    assert generous.rewrite_s > 0
    assert generous.written_per_s > 0
    assert (generous.engine, generous.version) == (server_binary.engine, server_binary.version)
    assert list(tmp_path.iterdir()) == []


@needs_cgroup
@pytest.mark.whole_command
def test_limit_that_the_fill_does_not_fit_in_is_told_as_such(server_binary, tmp_path):
    """The limit is there from the start, as a container's is."""
    found = measure(replace(TIGHT, limit_bytes=12 * MIB), binary=server_binary, folder=tmp_path)

    assert (found.killed, found.killed_in, found.killed_process) == (True, "fill", "server")
    assert found.before_bytes is None
    assert 0 < found.peak_bytes < 12 * MIB


@pytest.mark.slow
def test_sessions_of_many_lengths_leave_gaps_between_them(server_binary, tmp_path):
    """The same server with sessions that are all alike takes less for the same cap."""
    alike = Cell(maxmemory_bytes=64 * MIB, writes_per_s=0)
    mixed = replace(alike, length_spread=0.5)

    before = [
        measure(cell, binary=server_binary, folder=tmp_path).before_bytes for cell in (alike, mixed)
    ]

    assert before[1] > 1.005 * before[0]


@pytest.mark.capability("procfs")
@pytest.mark.whole_command
def test_without_a_cgroup_the_peak_is_held_against_the_limit(server_binary, tmp_path):
    """Nothing is killed, and the row says so."""
    found = measure(TIGHT, binary=server_binary, folder=tmp_path, cgroups=False)

    assert (found.killed, found.over_limit) == (False, True)
    assert found.watched_by == "the process tree"
    assert found.why_no_cgroup
    assert found.peak_bytes > TIGHT.limit_bytes


def test_one_cell_is_told_to_people_and_to_programs(ask):
    words = ("lab", "memory", "--maxmemory", "5mb", "--writes-per-s", "500", "--seed", "3")

    code, out, err = ask(*words, "--json")

    told = json.loads(out)
    assert code == 0, err
    assert (told["maxmemory_bytes"], told["limit_bytes"], told["seed"]) == (5 * MIB, None, 3)
    assert told["killed"] is False
    assert told["peak_bytes"] > 5 * MIB


def test_grid_is_written_told_and_judged(ask, tmp_path):
    """An expectation that does not hold makes 1; the paths of what was made come last."""
    grid = tmp_path / "mine.toml"
    grid.write_text(
        '[[cells]]\nlabel = "roomy"\nmaxmemory = "4mb"\nlimit = "1gb"\nwrites_per_s = 100\n'
        'expected = "killed"\n'
    )
    page = tmp_path / "page.md"

    code, out, err = ask("lab", "memory", "--grid", grid, "--markdown", page)

    made = read_measurement(tmp_path / "runs" / "memory-grid-mine.json", "memory-grid")
    assert code == 1, err
    assert "NOT AS EXPECTED" in out
    assert out.splitlines()[-2].endswith("memory-grid-mine.json")
    assert out.splitlines()[-1].endswith("page.md")
    assert made.rows[0]["held"] is False
    assert "**not killed**" in page.read_text()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--quick", "--grid", "memory"], "--quick is the grid memory-quick"),
        (["--quick", "--vcpu", "0.3"], "--vcpu is for one cell"),
        (["--resume"], "--resume is for a grid"),
        (["--grid", "memroy"], "did you mean 'memory'"),
        (["--maxmemory", "340"], "under 1mb; write it with its unit"),
        (["--vcpu", "0"], "vcpu is 0, outside"),
        (["--maxmemory", "900gb"], "may take 2250 GiB while it is rewritten"),
        (["--grid", "memory", "--out", "/nowhere/grid.json"], "a folder that is there"),
    ],
)
def test_what_makes_no_sense_starts_nothing(ask, words, says):
    code, out, err = ask("lab", "memory", *words)

    assert code == 2
    assert says in err
    assert out == ""


def test_grid_that_broke_off_is_not_overwritten_unasked(ask, tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "memory-grid-quick.part.json").write_text("{}")

    code, _, err = ask("lab", "memory", "--quick")

    assert code == 2
    assert "go on with it by --resume, or delete it" in err


@pytest.mark.slow
@needs_cgroup
def test_quick_grid_holds_what_it_expects(ask):
    code, out, err = ask("lab", "memory", "--quick")

    assert code == 0, out + err


@pytest.mark.slow
@needs_cgroup
def test_documented_production_task_is_killed_by_one_rewrite(ask):
    """340 MiB in 358.4 MiB, at 1000 writes a second; at 200 it depends on the machine."""
    code, out, err = ask("lab", "memory", "--writes-per-s", "1000", "--json")

    told = json.loads(out)
    assert code == 0, err
    assert told["maxmemory_bytes"] == 340 * MIB
    assert told["killed_in"] == "rewrite"


@pytest.mark.slow
def test_writer_reaches_twenty_thousand_a_second(server_binary, tmp_path):
    """What it did not reach would be told; so it is asked for nine tenths, on a busy machine."""
    found = measure(replace(GENEROUS, limit_bytes=None, writes_per_s=20_000), folder=tmp_path)

    assert found.written_per_s > 18_000


@pytest.mark.slow
@needs_cgroup
@pytest.mark.parametrize("name", ["SIGINT", "SIGKILL"])
def test_command_that_is_ended_leaves_no_server(tmp_path, name):
    """Neither server nor writer; after SIGKILL the cgroup alone, until the next one comes."""
    process = workbench(tmp_path, "lab", "memory", "--maxmemory", "128mb")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    wait_until(lambda: len(children.read_text().split()) == 2, timeout_s=20, why="both at work")
    pids = [int(pid) for pid in children.read_text().split()]
    process.send_signal(signal.Signals[name])
    process.communicate(timeout=20)

    assert process.returncode == (130 if name == "SIGINT" else -9)
    wait_until(lambda: all(ended(pid) for pid in pids), why="both have ended")
