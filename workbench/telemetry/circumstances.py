"""Under which circumstances something was measured: versions, commit, host, engines."""

import platform
import subprocess
import time
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from workbench import __version__
from workbench.checkout import loadtests_dir
from workbench.runs.measurement import Measurement
from workbench.telemetry.host import describe_host

__all__ = ["commit_of_checkout", "measurement", "versions"]

_LIBRARIES: Final = ("redis", "hiredis", "locust", "gevent", "pandas", "pyarrow", "msgspec")


def measurement(
    kind: str,
    rows: list[dict[str, Any]],
    *,
    command: str,
    seed: int,
    engines: Iterable[Any],
    folder: Path,
) -> Measurement:
    """
    The rows as a measurement of this machine, made now.

    Args:
        kind: what was measured.
        rows: the table; names carry their units.
        command: what makes it again.
        seed: of what was drawn.
        engines: the server programs, each a ``ServerBinary``.
        folder: where the servers' data lay.
    """
    told = ("engine", "version", "allocator", "preload")
    return Measurement(
        kind=kind,
        command=command,
        seed=seed,
        made_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        versions=versions(),
        commit=commit_of_checkout()[0],
        host=describe_host(folder),
        engines=[{name: getattr(each, name) for name in told} for each in engines],
        rows=rows,
    )


def versions() -> dict[str, str]:
    """Of the workbench, Python and the libraries that matter."""
    ours = {"workbench": __version__, "python": platform.python_version()}
    return ours | {name: version(name) for name in _LIBRARIES}


def commit_of_checkout() -> tuple[str, bool]:
    """The commit, and whether there is something uncommitted; empty where it is no checkout."""

    def git(*words: str) -> str:
        reply = subprocess.run(
            ["git", *words],  # noqa: S607
            cwd=loadtests_dir().parent,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
        return reply.stdout.strip()

    try:
        return git("rev-parse", "HEAD"), bool(git("status", "--porcelain"))
    except (OSError, subprocess.SubprocessError):
        return "", False
