"""What the host grants: cores, memory and its limit, disk, kernel settings that forks depend on."""

import ipaddress
import os
import platform
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.runs.snapshot import Host

__all__ = [
    "container_limit_bytes",
    "describe_host",
    "disk_free_bytes",
    "filesystem",
    "host_of_server",
    "memory_limit",
    "process_of_server",
]

_OWN_CGROUPS = Path("/proc/self/cgroup")
_CGROUP_V2 = Path("/sys/fs/cgroup")
_CGROUP_V1 = Path("/sys/fs/cgroup/memory")
_CGROUP_V1_CPU = Path("/sys/fs/cgroup/cpu")
_MEMINFO = Path("/proc/meminfo")
_MOUNTS = Path("/proc/self/mountinfo")


def describe_host(folder: Path) -> dict[str, Any]:
    """
    The host, as far as it shows; what it does not show is None.

    Args:
        folder: where the server's data will lie.

    Returns:
        ``cores``, ``cpu``, ``kernel``, ``ram_bytes``, ``swap_total_bytes``, ``available_bytes`` (of
        RAM, at this moment),
        ``memory_limit_bytes`` with its ``memory_limit_source`` (``cgroup v1``, ``cgroup v2`` or
        ``RAM``), ``overcommit_memory``, ``transparent_hugepage``; of the folder's disk, its
        ``filesystem`` and ``disk_free_bytes``.
    """
    limit_bytes, source = memory_limit()
    return {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "cpu": _cpu_model(),
        "kernel": f"{platform.system()} {platform.release().partition('-')[0]}",
        "machine": platform.machine(),
        "ram_bytes": _ram_bytes(),
        "swap_total_bytes": _meminfo_bytes("SwapTotal"),
        "available_bytes": _available_bytes(),
        "memory_limit_bytes": limit_bytes,
        "memory_limit_source": source,
        "overcommit_memory": _integer(Path("/proc/sys/vm/overcommit_memory")),
        "transparent_hugepage": _chosen(Path("/sys/kernel/mm/transparent_hugepage/enabled")),
        "filesystem": filesystem(folder),
        "disk_free_bytes": disk_free_bytes(folder),
    }


def filesystem(folder: Path) -> str | None:
    """The type of the file system that a folder lies on, as in ``ext4``; None if none shows."""
    # 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw
    found = []
    for line in _text(_MOUNTS).splitlines():
        before, _, after = line.partition(" - ")
        point = Path(
            re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), before.split()[4])
        )
        if folder.resolve().is_relative_to(point):
            found.append((len(point.parts), after.split()[0]))
    # Of two mounts on one point the later hides the earlier.
    return max(reversed(found), key=lambda mount: mount[0])[1] if found else None


def host_of_server(pool: Any, info: Mapping[str, Any], folder: str) -> Host | None:
    """
    What this host shows of the server's process; None if the server is not seen to run here.

    Args:
        pool: connection pool of the client.
        info: the server's INFO.
        folder: its ``dir``, as CONFIG GET says; empty if it does not.
    """
    process = process_of_server(pool, info)
    if process is None:
        return None
    limit_bytes, source = memory_limit(process / "cgroup")
    status = _kib_lines(process / "status")
    huge = _kib_lines(process / "smaps_rollup").get("AnonHugePages")
    score = _text(process / "oom_score_adj").strip()
    at = Path(folder) if folder and Path(folder).is_dir() else None
    return Host(
        memory_limit_bytes=limit_bytes,
        memory_limit_source=source,
        rss_bytes=status.get("VmRSS"),
        swap_bytes=status.get("VmSwap"),
        anon_huge_bytes=huge,
        oom_score_adj=int(score) if score.lstrip("-").isdigit() else None,
        oom_kills=_oom_kills(process / "cgroup"),
        cpu_limit_cores=_cpu_limit_cores(process / "cgroup"),
        somaxconn=_integer(Path("/proc/sys/net/core/somaxconn")),
        transparent_hugepage=_chosen(Path("/sys/kernel/mm/transparent_hugepage/enabled")),
        overcommit_memory=_integer(Path("/proc/sys/vm/overcommit_memory")),
        available_bytes=_available_bytes(),
        filesystem=filesystem(at) if at else None,
        disk_free_bytes=disk_free_bytes(at) if at else None,
    )


def process_of_server(pool: Any, info: Mapping[str, Any]) -> Path | None:
    """
    The server's folder in /proc; None if the server is not seen to run here.

    It is seen where the connection goes to this machine, and the process that the server says it
    is bears a server's title with the server's port: in a container it names a process of its own.

    Args:
        pool: connection pool of the client.
        info: the server's INFO.
    """
    address = str(pool.connection_kwargs.get("host", "localhost"))
    pid = info.get("process_id")
    if not _loopback(address) or not isinstance(pid, int):
        return None
    process = Path(f"/proc/{pid}")
    title = _text(process / "cmdline").replace("\0", " ")
    if "-server" not in title or f":{info.get('tcp_port')}" not in title:
        return None
    return process


def memory_limit(cgroups: Path | None = None) -> tuple[int | None, str]:
    """
    The least memory limit that applies to a process, bytes, and where it comes from.

    A limit may stand on any cgroup between the process's own and the root; a container sees its
    own cgroup as the root. A limit above the RAM is none.

    Args:
        cgroups: the process's ``cgroup`` in /proc; this process's own if not given.
    """
    ram = _ram_bytes()
    found = [(ram, "RAM")] if ram else []
    for line in _text(cgroups or _OWN_CGROUPS).splitlines():
        _, controllers, group = line.split(":", 2)
        if not controllers:
            found += _limits(_CGROUP_V2, group, "memory.max", "cgroup v2")
        elif "memory" in controllers.split(","):
            found += _limits(_CGROUP_V1, group, "memory.limit_in_bytes", "cgroup v1")
    return min(found, default=(None, "unknown"))


def container_limit_bytes(process: Path) -> int | None:
    """
    The memory limit of a process's container, B; None if none shows.

    The RAM is none: what else runs on the machine takes of it too.

    Args:
        process: its folder in /proc.
    """
    limit_bytes, source = memory_limit(process / "cgroup")
    return limit_bytes if source.startswith("cgroup") else None


def _limits(root: Path, group: str, name: str, source: str) -> list[tuple[int, str]]:
    folder = root / group.lstrip("/")
    folders = [folder, *folder.parents][: len(Path(group).parts)]
    limits = [_integer(at / name) for at in {root, *folders}]
    return [(limit, source) for limit in limits if limit is not None]


def _oom_kills(cgroups: Path) -> int | None:
    for line in _text(cgroups).splitlines():
        _, controllers, group = line.split(":", 2)
        if not controllers:
            at = _CGROUP_V2 / group.lstrip("/") / "memory.events"
        elif "memory" in controllers.split(","):
            at = _CGROUP_V1 / group.lstrip("/") / "memory.oom_control"
        else:
            continue
        match = re.search(r"^oom_kill (\d+)$", _text(at), re.MULTILINE)
        if match:
            return int(match[1])
    return None


def _cpu_limit_cores(cgroups: Path) -> float | None:
    """The least share of cores that a cgroup of the process may take; None if none is limited."""
    found = []
    for line in _text(cgroups).splitlines():
        _, controllers, group = line.split(":", 2)
        at = Path(group.lstrip("/"))
        for below in (at, *at.parents):
            if not controllers:
                quota, _, period = _text(_CGROUP_V2 / below / "cpu.max").strip().partition(" ")
            elif "cpu" in controllers.split(","):
                folder = _CGROUP_V1_CPU / below
                quota = _text(folder / "cpu.cfs_quota_us").strip()
                period = _text(folder / "cpu.cfs_period_us").strip()
            else:
                break
            if quota.isdigit() and period.isdigit():
                found.append(int(quota) / int(period))
    return min(found, default=None)


def _kib_lines(path: Path) -> dict[str, int]:
    """The lines of a file of /proc that are in kB, in bytes."""
    return {
        name: 1024 * int(kib)
        for name, kib in re.findall(r"^(\w+):\s+(\d+) kB$", _text(path), re.MULTILINE)
    }


def _loopback(address: str) -> bool:
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _ram_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None


def _available_bytes() -> int | None:
    return _meminfo_bytes("MemAvailable")


def _meminfo_bytes(name: str) -> int | None:
    match = re.search(rf"^{name}:\s+(\d+) kB", _text(_MEMINFO), re.MULTILINE)
    return 1024 * int(match[1]) if match else None


def disk_free_bytes(folder: Path) -> int | None:
    """What is free on the disk that a folder lies on, B; None if it does not show."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
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
