"""What the host grants, in either form of cgroups, on faked trees."""

from pathlib import Path

import pytest

from workbench.telemetry import host
from workbench.telemetry.host import container_limit_bytes, describe_host, filesystem, memory_limit

GIB = 1024**3
RAM = 16 * GIB
UNLIMITED_V1 = 9_223_372_036_854_771_712


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A machine of 16 GiB whose cgroup files lie in the test's own folder."""
    monkeypatch.setattr(host, "_ram_bytes", lambda: RAM)
    monkeypatch.setattr(host, "_OWN_CGROUPS", tmp_path / "own")
    monkeypatch.setattr(host, "_CGROUP_V2", tmp_path / "v2")
    monkeypatch.setattr(host, "_CGROUP_V1", tmp_path / "v1")
    monkeypatch.setattr(host, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(host, "_MOUNTS", tmp_path / "mountinfo")
    return tmp_path


def write(path: Path, text: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text}\n")


def test_limit_of_cgroup_v2_counts(tree):
    """The one tree that a modern host has."""
    write(tree / "own", "0::/task/redis")
    write(tree / "v2/task/redis/memory.max", 2 * GIB)

    assert memory_limit() == (2 * GIB, "cgroup v2")


def test_ram_is_no_limit_of_a_container(tree):
    """What else runs on the machine takes of it too."""
    write(tree / "process/cgroup", "0::/task/redis")
    before = container_limit_bytes(tree / "process")
    write(tree / "v2/task/redis/memory.max", 2 * GIB)

    assert before is None
    assert container_limit_bytes(tree / "process") == 2 * GIB


def test_limit_of_cgroup_v1_counts(tree):
    """The memory controller has a tree of its own; the others say nothing of memory."""
    write(tree / "own", "12:cpu,cpuacct:/a\n9:memory:/task\n0::/")
    write(tree / "v1/task/memory.limit_in_bytes", GIB)
    write(tree / "v1/a/memory.limit_in_bytes", GIB // 8)

    assert memory_limit() == (GIB, "cgroup v1")


def test_tighter_limit_of_an_outer_group_counts(tree):
    """A limit may stand on any group between the process's own and the root."""
    write(tree / "own", "0::/task/redis")
    write(tree / "v2/task/redis/memory.max", "max")
    write(tree / "v2/task/memory.max", 3 * GIB)

    assert memory_limit() == (3 * GIB, "cgroup v2")


def test_container_sees_its_own_limit_at_the_root(tree):
    """Inside a container the path of the group may be that of the host, and lead nowhere."""
    write(tree / "own", "0::/../system.slice/docker-1234")
    write(tree / "v2/memory.max", GIB)

    assert memory_limit() == (GIB, "cgroup v2")


@pytest.mark.parametrize(
    ("own", "path", "limit"),
    [
        ("0::/", "v2/memory.max", "max"),
        ("9:memory:/", "v1/memory.limit_in_bytes", UNLIMITED_V1),
        ("0::/", "v2/memory.max", 64 * GIB),
    ],
    ids=["v2 max", "v1 unlimited", "above the RAM"],
)
def test_limit_that_limits_nothing_leaves_the_ram(tree, own, path, limit):
    """What is more than there is, is none."""
    write(tree / "own", own)
    write(tree / path, limit)

    assert memory_limit() == (RAM, "RAM")


def test_host_that_shows_nothing_has_no_known_limit(tree, monkeypatch):
    """Unknown is said to be unknown, not taken for endless."""
    monkeypatch.setattr(host, "_ram_bytes", lambda: None)

    assert memory_limit() == (None, "unknown")


def test_description_names_limit_and_source(tree):
    """The manifest keeps what verdicts on memory rest on."""
    write(tree / "own", "0::/")
    write(tree / "v2/memory.max", GIB)

    described = describe_host(tree)

    assert (described["memory_limit_bytes"], described["memory_limit_source"]) == (GIB, "cgroup v2")
    assert described["ram_bytes"] == RAM


def test_memory_that_is_free_to_take_counts_in_bytes(tree):
    """MemAvailable, not MemFree: the kernel gives back its caches when it is asked."""
    write(tree / "meminfo", "MemTotal: 9 kB\nMemFree: 1 kB\nMemAvailable:   4 kB")

    assert describe_host(tree)["available_bytes"] == 4096


def test_filesystem_is_that_of_the_nearest_mount(tree):
    """A share inside a disk inside the root; of two on one point the later hides the earlier."""
    data = tree / "a disk" / "share"
    data.mkdir(parents=True)
    disk = str(tree / "a disk").replace(" ", r"\040")
    write(
        tree / "mountinfo",
        f"1 0 8:0 / / rw - overlay overlay rw\n2 1 8:1 / {disk} rw shared:1 - ext4 /dev/b rw\n"
        f"3 2 8:2 / {disk} rw - xfs /dev/c rw\n4 3 0:9 / {disk}/share rw - nfs4 efs:/ rw",
    )

    found = [filesystem(folder) for folder in (tree, tree / "a disk", data, data / "later")]

    assert found == ["overlay", "xfs", "nfs4", "nfs4"]


def test_host_that_shows_no_memory_and_no_mounts_has_none_known(tree):
    """As on macOS."""
    described = describe_host(tree)

    assert (described["available_bytes"], described["filesystem"]) == (None, None)
    assert described["disk_free_bytes"] > 0
    assert describe_host(tree / "missing")["disk_free_bytes"] is None


CPU_LIMITS = {
    "v2": ("0::/task/redis", {"v2/task/redis/cpu.max": "25000 100000"}, 0.25),
    "v2, of an outer group": (
        "0::/task/redis",
        {"v2/task/redis/cpu.max": "max 100000", "v2/task/cpu.max": "50000 100000"},
        0.5,
    ),
    "v1": (
        "3:cpu,cpuacct:/task",
        {"cpu/task/cpu.cfs_quota_us": 35_000, "cpu/task/cpu.cfs_period_us": 100_000},
        0.35,
    ),
    "v1, none": (
        "3:cpu,cpuacct:/task",
        {"cpu/task/cpu.cfs_quota_us": -1, "cpu/task/cpu.cfs_period_us": 100_000},
        None,
    ),
    "none at all": ("0::/", {}, None),
}


@pytest.mark.parametrize("case", CPU_LIMITS)
def test_share_of_a_core_is_read_from_either_form(tree, monkeypatch, case):
    """In cores, as the server's one thread may use them."""
    own, files, cores = CPU_LIMITS[case]
    monkeypatch.setattr(host, "_CGROUP_V1_CPU", tree / "cpu")
    write(tree / "own", own)
    for path, text in files.items():
        write(tree / path, text)

    assert host._cpu_limit_cores(tree / "own") == cores


@pytest.mark.parametrize(
    ("own", "path", "text", "kills"),
    [
        ("0::/task", "v2/task/memory.events", "low 0\noom 3\noom_kill 2", 2),
        ("9:memory:/task", "v1/task/memory.oom_control", "under_oom 0\noom_kill 1", 1),
        ("9:memory:/task", "v1/task/memory.oom_control", "under_oom 0", None),  # before 4.13
        ("3:cpu:/task", "v1/task/memory.oom_control", "oom_kill 1", None),
    ],
)
def test_kills_for_want_of_memory_are_counted_in_either_form(tree, own, path, text, kills):
    """What the kernel did leaves no line in the server's log."""
    write(tree / "own", own)
    write(tree / path, text)

    assert host._oom_kills(tree / "own") == kills
