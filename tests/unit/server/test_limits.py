"""Limits by cgroup, on made trees: what is written where, what is read, and what is removed."""

import os
import shutil
from pathlib import Path

import pytest

from workbench.errors import LimitError
from workbench.server.limits import limited

MIB = 1024 * 1024
FILES = {
    "memory": {"memory.limit_in_bytes": "", "memory.memsw.limit_in_bytes": "", "cgroup.procs": ""},
    "cpu": {"cpu.cfs_quota_us": "-1", "cpu.cfs_period_us": "100000", "cgroup.procs": ""},
    "unified": {"memory.max": "max", "memory.swap.max": "max", "cpu.max": "", "cgroup.procs": ""},
}


class Tree:
    """A root with /proc and /sys/fs/cgroup as a kernel shows them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.groups = root / "sys/fs/cgroup"
        self.process(os.getpid(), started=777)

    def process(self, pid: int, *, started: int, state: str = "S") -> None:
        folder = self.root / f"proc/{pid}"
        folder.mkdir(parents=True)
        fields = [state, *["0"] * 18, str(started)]
        (folder / "stat").write_text(f"{pid} (a name) b) {' '.join(fields)} 0\n")

    def mounts(self, *lines: str) -> None:
        told = (f"3{n} 1 0:2{n} {line}\n" for n, line in enumerate(lines))
        (self.root / "proc/self").mkdir(parents=True, exist_ok=True)
        (self.root / "proc/self/mountinfo").write_text("".join(told))

    def own(self, *lines: str) -> None:
        (self.root / "proc/self").mkdir(parents=True, exist_ok=True)
        (self.root / "proc/self/cgroup").write_text("".join(f"{line}\n" for line in lines))

    def made(self) -> list[Path]:
        return sorted(self.groups.rglob("workbench-*"))


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """As a kernel, it fills a new cgroup with files, and removes one with them."""
    made = Tree(tmp_path)
    mkdir, rmdir = Path.mkdir, Path.rmdir

    def fill(folder, *args, **kwargs):
        mkdir(folder, *args, **kwargs)
        if folder.name.startswith("workbench-"):
            kind = folder.relative_to(made.groups).parts[0]
            for name, text in FILES[kind].items():
                (folder / name).write_text(text)

    def remove(folder):
        if folder.is_relative_to(made.groups):
            shutil.rmtree(folder)
        else:
            rmdir(folder)

    monkeypatch.setattr(Path, "mkdir", fill)
    monkeypatch.setattr(Path, "rmdir", remove)
    return made


@pytest.fixture
def v1(tree):
    """The memory controller in a group of ours, that of the core at the top."""
    tree.mounts(
        "/ /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory",
        "/ /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct",
        "/ /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw",
    )
    tree.own("4:memory:/jobs/one", "1:cpu,cpuacct:/", "0::/")
    (tree.groups / "memory/jobs/one").mkdir(parents=True)
    (tree.groups / "cpu").mkdir()
    (tree.groups / "unified").mkdir()
    return tree


@pytest.fixture
def v2(tree):
    """A scope as systemd makes it: the slice above hands the controllers down."""
    tree.mounts("/ /sys/fs/cgroup/unified rw,nosuid - cgroup2 cgroup2 rw,nsdelegate")
    tree.own("0::/user.slice/a.scope")
    scope = tree.groups / "unified/user.slice/a.scope"
    scope.mkdir(parents=True)
    (scope / "cgroup.controllers").write_text("cpu memory pids\n")
    (scope / "cgroup.subtree_control").write_text("")
    (scope.parent / "cgroup.subtree_control").write_text("cpu memory\n")
    return tree


def test_v1_limits_stand_in_each_controllers_tree(v1):
    """Swap is no way out: memory and swap together have the same limit."""
    with limited(memory_bytes=64 * MIB, cpu_share=0.35, root=v1.root) as cgroup:
        cpu, memory = v1.made()
        texts = {path.name: path.read_text() for at in (cpu, memory) for path in at.iterdir()}

    assert cgroup.label == "cgroup v1"
    assert memory.parent == v1.groups / "memory/jobs/one"
    assert cpu.parent == v1.groups / "cpu"
    assert texts["memory.limit_in_bytes"] == str(64 * MIB)
    assert texts["memory.memsw.limit_in_bytes"] == str(64 * MIB)
    assert texts["cpu.cfs_quota_us"] == "35000"
    assert v1.made() == []


def test_v1_without_accounting_of_swap_is_limited_too(v1, monkeypatch):
    monkeypatch.delitem(FILES["memory"], "memory.memsw.limit_in_bytes")

    with limited(memory_bytes=64 * MIB, root=v1.root) as cgroup:
        names = {path.name for path in cgroup.memory.iterdir()}

    assert "memory.memsw.limit_in_bytes" not in names


def test_v2_limits_stand_in_one_cgroup_beside_our_own(v2):
    """Ours has processes, so of v2 none below it may be limited; that above it hands down."""
    with limited(memory_bytes=64 * MIB, cpu_share=0.35, root=v2.root) as cgroup:
        (made,) = v2.made()
        texts = {path.name: path.read_text() for path in made.iterdir()}

    assert cgroup.label == "cgroup v2"
    assert made.parent == v2.groups / "unified/user.slice"
    assert texts["memory.max"] == str(64 * MIB)
    assert texts["memory.swap.max"] == "0"
    assert texts["cpu.max"] == "35000 100000"
    assert v2.made() == []


def test_v2_first_cgroup_is_made_to_hand_down_and_put_back(v2):
    """The very first may have processes and limited cgroups below it."""
    v2.own("0::/")
    top = v2.groups / "unified"
    (top / "cgroup.controllers").write_text("cpu memory\n")
    control = top / "cgroup.subtree_control"

    with limited(memory_bytes=64 * MIB, root=v2.root):
        (made,) = v2.made()
        asked = control.read_text()

    assert made.parent == top
    assert asked == "+memory"
    assert control.read_text() == "-memory"


def test_v2_that_hands_nothing_down_is_told(v2):
    """As in a container: its cgroup is the first that it sees, and has processes."""
    v2.own("0::/")
    top = v2.groups / "unified"
    (top / "cgroup.controllers").write_text("memory\n")
    (top / "cgroup.subtree_control").mkdir()  # it takes no writing

    with (
        pytest.raises(LimitError, match=r"hands down .* memory, .*systemd-run --scope"),
        limited(memory_bytes=64 * MIB, root=v2.root),
    ):
        pytest.fail("there is no limit")
    assert v2.made() == []


def test_container_that_sees_a_part_of_the_tree_is_found_in_it(v1):
    """The paths of /proc/self/cgroup are the host's, and the mount is the container's own."""
    v1.mounts("/jobs/one /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory")

    with limited(memory_bytes=64 * MIB, root=v1.root):
        (made,) = v1.made()

    assert made.parent == v1.groups / "memory"


@pytest.mark.parametrize(
    "lines", [(), ("0::/",), ("4:memory:/jobs/one",)], ids=["no Linux", "no v1", "no mount"]
)
def test_without_a_controller_the_reason_is_told(tree, lines):
    tree.own(*lines)

    with (
        pytest.raises(LimitError, match="no cgroup that has a memory controller"),
        limited(memory_bytes=64 * MIB, root=tree.root),
    ):
        pytest.fail("there is no limit")


def test_tree_that_may_not_be_written_to_is_named(v1, monkeypatch):
    def refuse(folder, *_args, **_kwargs):
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(Path, "mkdir", refuse)

    with (
        pytest.raises(LimitError, match=r"can be made in .*memory/jobs/one: permission denied"),
        limited(memory_bytes=64 * MIB, root=v1.root),
    ):
        pytest.fail("there is no limit")


def test_what_cannot_be_limited_leaves_nothing_behind(v1):
    """The controller of the core is missing: the cgroup of the memory is removed again."""
    shutil.rmtree(v1.groups / "cpu")

    with pytest.raises(LimitError), limited(memory_bytes=MIB, cpu_share=0.5, root=v1.root):
        pytest.fail("there is no limit")
    assert v1.made() == []


def test_failure_meanwhile_removes_the_cgroup(v1):
    with (
        pytest.raises(ZeroDivisionError),
        limited(memory_bytes=64 * MIB, root=v1.root),
    ):
        raise ZeroDivisionError
    assert v1.made() == []


def test_leftovers_of_ended_processes_alone_are_removed(v1):
    """Of a living one nothing is, nor what another made; a process id may be another's by now."""
    v1.process(40, started=900)
    v1.process(41, started=901)
    v1.process(42, started=902, state="Z")
    names = ["workbench-39-1-0", "workbench-40-900-3", "workbench-41-5-0", "workbench-42-902-0"]
    names += ["workbench-none", "docker-39-1-0"]
    for name in names:
        (v1.groups / "memory/jobs/one" / name).mkdir()

    with limited(memory_bytes=64 * MIB, root=v1.root) as cgroup:
        left = {path.name for path in (v1.groups / "memory/jobs/one").iterdir()}

    assert left == {"workbench-40-900-3", "workbench-none", "docker-39-1-0", cgroup.memory.name}


def test_figures_are_those_of_anonymous_memory(v1, v2):
    """Page cache is in neither; of v1 the total is read, which counts once what ended."""
    told = {
        "memory.stat": "cache 900\nrss 1\ntotal_cache 900\ntotal_rss 77\ntotal_rss_huge 5\n",
        "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
        "memory.max_usage_in_bytes": "977\n",
    }
    v1.own("4:memory:/jobs/one")
    v1.mounts("/ /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory")
    with limited(root=v1.root) as cgroup:
        for name, text in told.items():
            (cgroup.memory / name).write_text(text)
        seen = cgroup.anonymous_bytes(), cgroup.oom_kills(), cgroup.use_bytes_peak()

    assert seen == (77, 2, 977)


def test_figures_of_v2_are_the_same_by_other_names(v2):
    with limited(root=v2.root) as cgroup:
        (cgroup.memory / "memory.stat").write_text("anon 77\nfile 900\nanon_thp 5\n")
        (cgroup.memory / "memory.events").write_text("low 0\noom 3\noom_kill 2\n")
        seen = cgroup.anonymous_bytes(), cgroup.oom_kills(), cgroup.use_bytes_peak()

    assert seen == (77, 2, None)  # memory.peak came with Linux 5.19


def test_process_enters_every_folder(v1):
    """It writes 0, by which the kernel knows the writer."""
    with limited(cpu_share=0.5, root=v1.root) as cgroup:
        cgroup.entering()()
        entered = [(folder / "cgroup.procs").read_text() for folder in v1.made()]
        for folder in v1.made():
            (folder / "cgroup.procs").write_text("")

    assert entered == ["0", "0"]
