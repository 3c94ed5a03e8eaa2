"""
A memory limit and a share of a core for a server of ours, by a cgroup of its own.

What the limit counts is more than what a server calls its memory: anonymous memory, which is the
data and its copies, page tables, and the page cache of the files that it reads and writes. Of
these the kernel drops the cache first; only when nothing is left that it can drop does it kill. So
the limit is held against anonymous memory, and the cgroup's own highest use, which counts the
cache, stands at the limit as soon as an append-only file has been written.

The server begins inside: what a process had before it was put into a cgroup stays charged to the
one that it came from.
"""

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Final

from workbench.errors import LimitError

__all__ = ["CPU_SHARE_MIN", "Cgroup", "limited"]

CPU_SHARE_MIN: Final = 0.01
"""The least share of a core: the kernel grants 1 ms of each 100 ms at least."""

_PERIOD_US: Final = 100_000  # the kernel's default, and a container's
_NAME: Final = re.compile(r"workbench-(\d+)-(\d+)-\d+")
_REMOVE_S: Final = 5.0
_NUMBERS = count()

_ANONYMOUS: Final = {1: ("memory.stat", "total_rss"), 2: ("memory.stat", "anon")}
_KILLS: Final = {1: "memory.oom_control", 2: "memory.events"}
_PEAK: Final = {1: "memory.max_usage_in_bytes", 2: "memory.peak"}


@dataclass(slots=True)
class Cgroup:
    """
    A cgroup of our own: of v1 one in each controller's tree, of v2 a single one.

    Attributes:
        version: of the memory controller, 1 or 2.
        memory: the folder of its memory controller.
        folders: all of its folders, in which a process has to be put.
    """

    version: int
    memory: Path
    folders: list[Path] = field(default_factory=list)

    @property
    def label(self) -> str:
        """For people: ``cgroup v1``."""
        return f"cgroup v{self.version}"

    def entering(self) -> Callable[[], None]:
        """What a new process calls before it becomes a server, to be in this cgroup."""
        paths = [os.fspath(folder / "cgroup.procs") for folder in self.folders]

        def enter() -> None:
            for path in paths:
                descriptor = os.open(path, os.O_WRONLY)
                os.write(descriptor, b"0")  # whoever writes it
                os.close(descriptor)

        return enter

    def anonymous_bytes(self) -> int:
        """
        Anonymous memory of all its processes, B; a page that two of them share counts once.

        Page cache is no part of it. 0 once all have ended.
        """
        name, entry = _ANONYMOUS[self.version]
        return _entry(self.memory / name, entry) or 0

    def oom_kills(self) -> int:
        """How many of its processes the kernel killed for want of memory."""
        return _entry(self.memory / _KILLS[self.version], "oom_kill") or 0

    def use_bytes_peak(self) -> int | None:
        """The highest of what the limit counts, page cache and all, B; None on an old kernel."""
        text = _text(self.memory / _PEAK[self.version]).strip()
        return int(text) if text.isdigit() else None


@contextmanager
def limited(
    *, memory_bytes: int | None = None, cpu_share: float | None = None, root: Path = Path("/")
) -> Iterator[Cgroup]:
    """
    A cgroup of our own for a server, removed in the end with whatever still runs in it.

    One that an earlier process left behind, since it was killed, is removed first.

    Args:
        memory_bytes: its limit, B, swap included; None for none, to be measured alone.
        cpu_share: of one core, as of a task of 0.35 vCPU; None for all of them.
        root: of the file system.

    Raises:
        LimitError: there is no cgroup to be had; the message says why.
    """
    needed = ["memory"] if cpu_share is None else ["memory", "cpu"]
    name = f"workbench-{os.getpid()}-{_started(os.getpid(), root)}-{next(_NUMBERS)}"
    trees = {controller: _tree(controller, root) for controller in needed}
    version = trees["memory"].version
    with _undone() as undo:
        made: dict[Path, Path] = {}
        for tree in trees.values():
            if tree.own not in made:
                controllers = [each for each, of in trees.items() if of.own == tree.own]
                made[tree.own] = _made(tree, controllers, name, root, undo)
        cgroup = Cgroup(version, made[trees["memory"].own], list(made.values()))
        if memory_bytes is not None:
            _limit_memory(cgroup, memory_bytes)
        if cpu_share is not None:
            cpu = trees["cpu"]
            _limit_cpu(made[cpu.own], cpu.version, cpu_share)
        yield cgroup


@dataclass(frozen=True, slots=True)
class _Tree:
    """The tree of cgroups that a controller is in: its version, its top, and our own cgroup."""

    version: int
    top: Path
    own: Path


@contextmanager
def _undone() -> Iterator[list[Callable[[], None]]]:
    """What is to be undone in the end, the last first, each whatever came of the others."""
    undo: list[Callable[[], None]] = []
    try:
        yield undo
    finally:
        failed = []
        for step in reversed(undo):
            try:
                step()
            except LimitError as error:
                failed.append(error)
        if failed:
            raise failed[0]


def _tree(controller: str, root: Path) -> _Tree:
    """Where the controller's tree is mounted, and our own cgroup in it."""
    own: dict[str, str] = {}
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, names, path = line.split(":", 2)
        own |= dict.fromkeys(names.split(","), path)
    # 35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
    for line in _text(root / "proc/self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split()[:3]
        mounted, point = before.split()[3:5]
        top = root / point.lstrip("/")
        if kind == "cgroup" and controller in options.split(",") and controller in own:
            return _Tree(1, top, top / _below(own[controller], mounted))
        if kind == "cgroup2" and "" in own:
            found = top / _below(own[""], mounted)
            if controller in _text(found / "cgroup.controllers").split():
                return _Tree(2, top, found)
    raise LimitError(
        f"this process is in no cgroup that has a {controller} controller, so nothing can be "
        "limited here; it takes Linux, with cgroup v1 or v2"
    )


def _below(path: str, mounted: str) -> str:
    """A cgroup's path from the point where its tree, or a part of it, is mounted."""
    return os.path.relpath(path, mounted) if path.startswith(mounted) else path.lstrip("/")


def _made(
    tree: _Tree, controllers: list[str], name: str, root: Path, undo: list[Callable[[], None]]
) -> Path:
    """A new cgroup below our own; of v2 below the nearest one that hands the controllers down."""
    parent = tree.own if tree.version == 1 else _handing_down(tree, controllers, undo)
    _sweep(parent, root)
    folder = parent / name
    try:
        folder.mkdir()
    except OSError as error:
        raise LimitError(f"no cgroup can be made in {parent}: {_why(error)}") from None
    undo.append(lambda: _remove(folder))
    return folder


def _handing_down(tree: _Tree, controllers: list[str], undo: list[Callable[[], None]]) -> Path:
    # Of v2, only a cgroup without processes of its own, or the very first, may have others below
    # it that are limited. So it is mostly the one above ours, as systemd makes them.
    folder = tree.own
    while True:
        handed = _text(folder / "cgroup.subtree_control").split()
        if all(controller in handed for controller in controllers):
            return folder
        if folder == tree.top:
            break
        folder = folder.parent
    missing = [each for each in controllers if each not in _text(_control(tree.own)).split()]
    try:
        _control(tree.own).write_text(" ".join(f"+{each}" for each in missing))
    except OSError as error:
        raise LimitError(
            f"neither {tree.own} nor a cgroup above it hands down the controllers "
            f"{' and '.join(controllers)}, and it cannot be made to: {_why(error)}; run it as "
            "root outside a container, or by: systemd-run --scope"
        ) from None
    undo.append(lambda: _take_back(tree.own, missing))
    return tree.own


def _control(folder: Path) -> Path:
    return folder / "cgroup.subtree_control"


def _take_back(folder: Path, controllers: list[str]) -> None:
    with suppress(OSError):  # another of ours may be below it
        _control(folder).write_text(" ".join(f"-{each}" for each in controllers))


def _limit_memory(cgroup: Cgroup, memory_bytes: int) -> None:
    if cgroup.version == 1:
        _set(cgroup.memory / "memory.limit_in_bytes", str(memory_bytes))
        # Memory and swap together; it is missing where the kernel does not account for swap.
        _set(cgroup.memory / "memory.memsw.limit_in_bytes", str(memory_bytes), optional=True)
    else:
        _set(cgroup.memory / "memory.max", str(memory_bytes))
        _set(cgroup.memory / "memory.swap.max", "0", optional=True)


def _limit_cpu(folder: Path, version: int, share: float) -> None:
    quota_us = round(share * _PERIOD_US)
    if version == 1:
        _set(folder / "cpu.cfs_period_us", str(_PERIOD_US))
        _set(folder / "cpu.cfs_quota_us", str(quota_us))
    else:
        _set(folder / "cpu.max", f"{quota_us} {_PERIOD_US}")


def _set(path: Path, value: str, *, optional: bool = False) -> None:
    if optional and not path.exists():
        return
    try:
        path.write_text(value)
    except OSError as error:
        raise LimitError(f"{path} does not take {value}: {_why(error)}") from None


def _sweep(parent: Path, root: Path) -> None:
    """Remove what processes of ours left behind that were killed."""
    for folder in parent.glob("workbench-*"):
        match = _NAME.fullmatch(folder.name)
        if match and _started(int(match[1]), root) != int(match[2]):
            with suppress(LimitError):  # another process may be about to do the same
                _remove(folder)


def _remove(folder: Path) -> None:
    """Kill what still runs in a cgroup that we made, and remove it."""
    deadline = time.monotonic() + _REMOVE_S
    while folder.exists():
        for pid in _text(folder / "cgroup.procs").split():
            # One of another namespace is shown as 0, and to kill 0 is to kill ourselves.
            if int(pid) not in {0, os.getpid()}:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(int(pid), signal.SIGKILL)
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError as error:
            if time.monotonic() > deadline:
                raise LimitError(
                    f"{folder} could not be removed: {_why(error)}; it is ours, and an empty one: "
                    f"rmdir {folder}"
                ) from None
            time.sleep(0.01)


def _started(pid: int, root: Path) -> int | None:
    """When a process started, in the kernel's ticks; None if there is none, or it has ended."""
    fields = _text(root / f"proc/{pid}/stat").rpartition(")")[2].split()
    return int(fields[19]) if len(fields) > 19 and fields[0] not in "ZX" else None


def _entry(path: Path, name: str) -> int | None:
    for line in _text(path).splitlines():
        entry, _, value = line.partition(" ")
        if entry == name:
            return int(value)
    return None


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _why(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
