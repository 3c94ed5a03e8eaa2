"""
The anonymous memory of a server and of the child that it forks, together.

After a fork both share all pages; a write of the server copies the page first, and the old one is
the child's alone from then on. So what both take is all that the server has mapped, and the pages
that only the child has. A cgroup counts that by itself. Held against each other during a rewrite of
64 MiB, the two agreed to 0.1 MiB at each of seven looks (Redis 7.0.15, Linux 6.18, 2026-11-26).
"""

import os
import re
import threading
import time
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Final, Protocol

from workbench.server.limits import Cgroup

__all__ = ["ByCgroup", "ByInfo", "ByProcessTree", "Sampled", "Watch", "watch"]

SAMPLE_S: Final = 0.005
"""From one sample to the next, s; longer where a look takes long."""

_SHARE_MAX: Final = 0.2  # of a core, that looking may take
_PRIVATE: Final = re.compile(r"^Private_Dirty:\s+(\d+) kB$", re.MULTILINE)


class Watch(Protocol):
    """What tells the memory; ``label`` says for people by what."""

    label: str

    def anonymous_bytes(self) -> int:
        """Of server and child together, B."""
        ...

    def child(self) -> int | None:
        """The process id of the child that is alive; None if there is none."""
        ...


class ByProcessTree:
    """
    By what Linux shows of each process.

    To tell what only the child has, the kernel walks its pages: 1.3 ms for 64 MiB. The server is
    not held up by that.
    """

    label = "the process tree"

    def __init__(self, pid: int) -> None:
        self._process = Path(f"/proc/{pid}")
        self._children = self._process / "task" / str(pid) / "children"

    @property
    def usable(self) -> bool:
        """Whether this machine shows it: Linux, with a kernel that names children."""
        return self._children.exists() and (self._process / "smaps_rollup").exists()

    def anonymous_bytes(self) -> int:
        """What the server has mapped, and the pages that only the child has."""
        found = _anonymous_bytes(self._process)
        if (child := self.child()) is not None:
            match = _PRIVATE.search(_text(Path(f"/proc/{child}/smaps_rollup")))
            found += 1024 * int(match[1]) if match else 0
        return found

    def child(self) -> int | None:
        """The first child that still has memory: one that has ended waits to be counted."""
        for pid in _text(self._children).split():
            if _anonymous_bytes(Path("/proc") / pid):
                return int(pid)
        return None


class ByCgroup(ByProcessTree):
    """By the cgroup that both are in."""

    def __init__(self, pid: int, cgroup: Cgroup) -> None:
        super().__init__(pid)
        self._cgroup = cgroup
        self.label = cgroup.label

    def anonymous_bytes(self) -> int:
        """As the kernel counts it."""
        return self._cgroup.anonymous_bytes()


class ByInfo:
    """
    By what the server says of itself, where the system shows nothing.

    The last copy-on-write is told when the child has ended, so ``note`` is to be called after that.
    """

    label = "INFO"

    def __init__(self) -> None:
        self._resident_bytes = 0
        self._child: int | None = None

    def note(self, info: dict[str, int]) -> None:
        """Take over an INFO of the sections memory and persistence."""
        copied = info["aof_last_cow_size"] if not info["aof_rewrite_in_progress"] else 0
        self._resident_bytes = info["used_memory_rss"] + copied
        self._child = 1 if info["aof_rewrite_in_progress"] else None

    def anonymous_bytes(self) -> int:
        """The server's resident memory, and what was copied in the last rewrite."""
        return self._resident_bytes

    def child(self) -> int | None:
        """Not its number, which INFO does not tell, but whether there is one."""
        return self._child


class Sampled:
    """
    Samples of the memory, taken by a thread of its own until it is left.

    Attributes:
        at_s: of each sample, by the monotonic clock, s.
        anonymous_bytes: in each.
        child_s: when the first child was first and last seen alive, s; None if there was none.
    """

    def __init__(self, watch: Watch) -> None:
        self.at_s: list[float] = []
        self.anonymous_bytes: list[int] = []
        self.child_s: tuple[float, float] | None = None
        self._watch = watch
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> "Sampled":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def highest(self, from_s: float = 0.0) -> int:
        """The most that was seen from a moment on, B; 0 if nothing was."""
        return max(self._since(from_s), default=0)

    def usual(self, from_s: float) -> int:
        """The median from a moment on, B; 0 if nothing was seen."""
        seen = self._since(from_s)
        return round(median(seen)) if seen else 0

    def _since(self, from_s: float) -> list[int]:
        pairs = zip(list(self.at_s), list(self.anonymous_bytes), strict=False)
        return [found for at_s, found in pairs if at_s >= from_s]

    def _sample(self) -> None:
        while not self._over.is_set():
            begun_s = time.monotonic()
            found = self._watch.anonymous_bytes()
            now_s = time.monotonic()
            if found:
                self.at_s.append(now_s)
                self.anonymous_bytes.append(found)
            if self._watch.child() is not None:
                self.child_s = (self.child_s[0] if self.child_s else begun_s, time.monotonic())
            took_s = time.monotonic() - begun_s
            self._over.wait(max(SAMPLE_S - took_s, took_s * (1 / _SHARE_MAX - 1)))


def watch(pid: int, cgroup: Cgroup | None) -> Watch:
    """The best that this machine has for a server's process."""
    if cgroup is not None:
        return ByCgroup(pid, cgroup)
    tree = ByProcessTree(pid)
    return tree if tree.usable else ByInfo()


def _anonymous_bytes(process: Path) -> int:
    fields = _text(process / "statm").split()
    return os.sysconf("SC_PAGE_SIZE") * (int(fields[1]) - int(fields[2])) if fields else 0


def _text(path: Path) -> str:
    with suppress(OSError):
        return path.read_text()
    return ""
