"""
What a test needs of the machine, by name; a pytest plugin that conftest takes in.

``@pytest.mark.capability("chromium")`` skips the test where there is no Chromium, and says so.
``pytest --require chromium`` refuses to start there, so that a skip cannot pass for a success.
"""

import os
import shutil
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from workbench.errors import nearest
from workbench.server import binary

__all__ = ["KNOWN", "available", "pytest_addoption", "pytest_configure", "pytest_runtest_setup"]


def _cgroup() -> bool:
    # cgroup v2 has one tree; v1 has a tree for each controller.
    trees = [Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")]
    return any((tree / "cgroup.procs").exists() and os.access(tree, os.W_OK) for tree in trees)


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
    "chromium": lambda: any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))),
    "compiler": lambda: sys.platform == "linux" and shutil.which("cc"),
    "docker": lambda: shutil.which("docker"),
    "embedded-server": binary.embedded_path,
    "mount": _mount,
    "procfs": lambda: Path("/proc/self/cwd").exists(),
    "redis-on-path": lambda: shutil.which("redis-server"),
    "root": lambda: hasattr(os, "geteuid") and os.geteuid() == 0,
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


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "capability(*names): skipped on a machine that lacks one; see --require"
    )
    missing = [name for name in config.getoption("--require") if not available(name)]
    if missing:
        raise pytest.UsageError(f"required, and missing on this machine: {', '.join(missing)}")


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("capability"):
        for name in marker.args:
            if not available(name):
                pytest.skip(f"this machine lacks the capability {name!r}")
