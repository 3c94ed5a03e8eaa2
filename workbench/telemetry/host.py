"""What the host grants: cores, memory and its limit, kernel settings that forks depend on."""

import os
import platform
from pathlib import Path
from typing import Any

__all__ = ["describe_host", "memory_limit"]

_OWN_CGROUPS = Path("/proc/self/cgroup")
_CGROUP_V2 = Path("/sys/fs/cgroup")
_CGROUP_V1 = Path("/sys/fs/cgroup/memory")


def describe_host() -> dict[str, Any]:
    """
    The host, as far as it shows; what it does not show is None.

    Returns:
        ``cores``, ``cpu``, ``kernel``, ``ram_bytes``, ``memory_limit_bytes`` with its
        ``memory_limit_source`` (``cgroup v1``, ``cgroup v2`` or ``RAM``),
        ``overcommit_memory`` and ``transparent_hugepage``.
    """
    limit_bytes, source = memory_limit()
    return {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "cpu": _cpu_model(),
        "kernel": f"{platform.system()} {platform.release().partition('-')[0]}",
        "machine": platform.machine(),
        "ram_bytes": _ram_bytes(),
        "memory_limit_bytes": limit_bytes,
        "memory_limit_source": source,
        "overcommit_memory": _integer(Path("/proc/sys/vm/overcommit_memory")),
        "transparent_hugepage": _chosen(Path("/sys/kernel/mm/transparent_hugepage/enabled")),
    }


def memory_limit() -> tuple[int | None, str]:
    """
    The least memory limit that applies to this process, bytes, and where it comes from.

    A limit may stand on any cgroup between the process's own and the root; a container sees its
    own cgroup as the root. A limit above the RAM is none.
    """
    ram = _ram_bytes()
    found = [(ram, "RAM")] if ram else []
    for line in _text(_OWN_CGROUPS).splitlines():
        _, controllers, group = line.split(":", 2)
        if not controllers:
            found += _limits(_CGROUP_V2, group, "memory.max", "cgroup v2")
        elif "memory" in controllers.split(","):
            found += _limits(_CGROUP_V1, group, "memory.limit_in_bytes", "cgroup v1")
    return min(found, default=(None, "unknown"))


def _limits(root: Path, group: str, name: str, source: str) -> list[tuple[int, str]]:
    folder = root / group.lstrip("/")
    folders = [folder, *folder.parents][: len(Path(group).parts)]
    limits = [_integer(at / name) for at in {root, *folders}]
    return [(limit, source) for limit in limits if limit is not None]


def _ram_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None


def _cpu_model() -> str | None:
    for line in _text(Path("/proc/cpuinfo")).splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or None


def _chosen(path: Path) -> str | None:
    """The word in brackets: ``always [madvise] never``."""
    text = _text(path)
    return text.partition("[")[2].partition("]")[0] or None


def _integer(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isdigit() else None


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
