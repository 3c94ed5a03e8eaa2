"""Set-up as a newcomer meets it: nothing but Python and make, and the lock."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.capabilities import uv

ROOT = Path(__file__).resolve().parents[2]
COMPILERS = ["cc", "gcc", "clang", "c++", "g++", "clang++", "rustc", "cargo"]

pytestmark = pytest.mark.slow


@pytest.mark.capability("uv")
@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13", "3.14"])
def test_every_locked_package_is_there_without_compiling(tmp_path, python, machine):
    """For each Python on Linux with glibc 2.28 or newer all is to be had built."""
    words = [uv(), "pip", "install", "--dry-run", "--only-binary", ":all:", "--no-deps"]
    words += ["--require-hashes", "--requirement", "requirements.lock", "--target", tmp_path]
    words += ["--python-version", python, "--python-platform", f"{machine}-manylinux_2_28"]

    told = subprocess.run(
        words,
        cwd=ROOT,
        env={**os.environ, "UV_CACHE_DIR": str(ROOT / ".cache/uv")},
        capture_output=True,
        text=True,
        check=False,
    )

    assert told.returncode == 0, told.stderr
    assert "Would install" in told.stderr


def test_fresh_checkout_sets_itself_up_inside_itself_without_a_compiler(tmp_path):
    """With an empty home and compilers that fail, set-up ends well and leaves the home empty."""
    leave = shutil.ignore_patterns(".git", ".venv", ".cache", ".*_cache", "runs", "__pycache__")
    checkout = shutil.copytree(ROOT, tmp_path / "checkout", ignore=leave)
    home, tools = tmp_path / "home", tmp_path / "tools"
    home.mkdir()
    tools.mkdir()
    for name in COMPILERS:
        (tools / name).symlink_to(shutil.which("false"))
    path = f"{tools}{os.pathsep}{os.environ['PATH']}"

    # Nothing of a make or an environment that these tests themselves run in.
    mine = {"MAKEFLAGS", "MFLAGS", "MAKELEVEL", "VIRTUAL_ENV", "UV_CACHE_DIR"}
    env = {name: value for name, value in os.environ.items() if name not in mine}

    done = subprocess.run(
        ["make", ".venv/.ready"],
        cwd=checkout,
        env={**env, "PATH": path, "HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert list(home.iterdir()) == []
    workbench = [checkout / ".venv" / "bin" / "workbench", "--help"]
    assert subprocess.run(workbench, capture_output=True, check=False).returncode == 0
