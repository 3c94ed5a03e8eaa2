"""
Scene: a private server made as somebody else's would be, to be made ill or left well.

It has no instruments of ours, listens on the loopback alone, and whatever is done to it is over
with its scene: no mount, no process, no setting of the machine stays behind.
"""

import ctypes
import fcntl
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, replace
from functools import cache
from itertools import cycle
from pathlib import Path
from random import Random
from typing import Any, Final
from urllib.parse import urlsplit

from redis import Redis
from redis.exceptions import RedisError

from workbench.errors import WorkbenchError
from workbench.server.binary import ServerBinary
from workbench.server.process import PrivateServer
from workbench.server.profiles import ServerProfile, profile
from workbench.telemetry.onlooker import onlooker

__all__ = ["Scene", "SceneError", "UnavailableError"]

TTL_S: Final = 300
"""The documented time to live."""

_CHUNK: Final = 500
_ENDED_S: Final = 10.0
_WAIT_S: Final = 10.0
_CLONE_NEWNET: Final = 0x40000000
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1

# In chunks too small to be slow, so that the making of a fault is no fault of its own.
_FILL: Final = (
    "for i = ARGV[1], ARGV[2] do "
    "local ttl = tonumber(ARGV[4]) "
    "if ttl > 0 then redis.call('SET', ARGV[6] .. i, string.rep('x', ARGV[3]), 'PX', "
    "ttl - math.random(0, ARGV[5])) "
    "else redis.call('SET', ARGV[6] .. i, string.rep('x', ARGV[3])) end end"
)

# A disk that is full or slow, and a kernel that refuses a fork or takes its time for one, as long
# as a file of that name lies in the server's folder.
_SHIM: Final = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static int is_there(const char *name) { return access(name, F_OK) == 0; }

static volatile int syncing = 0;

int fdatasync(int file) {
    syncing = 1;
    for (int tenths = 0; tenths < 26 && is_there("slow-disk"); tenths++) usleep(100000);
    syncing = 0;
    return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(file);
}

ssize_t write(int file, const void *data, size_t size) {
    struct stat found;
    if (fstat(file, &found) == 0 && S_ISREG(found.st_mode)) {
        // As file systems do: a write waits for the fsync that is under way.
        while (syncing && is_there("slow-disk")) usleep(1000);
        if (is_there("full-disk")) { errno = ENOSPC; return -1; }
    }
    return ((ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write"))(file, data, size);
}

pid_t fork(void) {
    if (is_there("no-fork")) { errno = ENOMEM; return -1; }
    if (is_there("slow-fork")) usleep(200000);
    return ((pid_t (*)(void))dlsym(RTLD_NEXT, "fork"))();
}
"""


class UnavailableError(WorkbenchError):
    """This machine lacks what a case is made with; the message says what."""


class SceneError(WorkbenchError):
    """A case could not be made although nothing was lacking."""


@dataclass(frozen=True, slots=True)
class _Profile(ServerProfile):
    """A profile with further lines in its redis.conf."""

    more: tuple[tuple[str, str], ...] = ()

    def directives(self) -> dict[str, str]:
        return {**ServerProfile.directives(self), **dict(self.more)}


class _Server(PrivateServer):
    """A server that is there as soon as it tells of itself, also while it loads."""

    def client(self) -> Redis:
        return onlooker(self.url, timeout_s=5.0)


class Scene:
    """
    One case's server, clients and traffic; all of it ends with the scene.

    Args:
        folder: of its own.
        binary: the engine.
        monitor_ms: ``latency-monitor-threshold``; 0 is off, the default of every server.
        over: once set, nothing waits any longer.

    Attributes:
        url: of the server that is looked at, with the user who looks.
        owner_url: the same with a user who may do all; empty if ``url`` has one.
        asked: what else is known of the server, as ``workbench doctor`` is told.
        look_s: how long the look lasts at least, s.
    """

    def __init__(
        self,
        folder: Path,
        binary: ServerBinary,
        *,
        monitor_ms: int = 0,
        over: threading.Event | None = None,
    ) -> None:
        self.folder = folder
        self.binary = binary
        self.url = ""
        self.owner_url = ""
        self.asked: dict[str, Any] = {}
        self.look_s = 2.0
        self._monitor_ms = monitor_ms
        self._over = over or threading.Event()
        self._ended = threading.Event()
        self._stack = ExitStack()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> "Scene":
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(timeout=_ENDED_S)
        self._stack.close()

    def start(
        self,
        chosen: ServerProfile | None = None,
        *,
        shim: bool = False,
        name: str = "server",
        more: dict[str, str] | None = None,
        **changes: Any,
    ) -> PrivateServer:
        """
        Start a server, and have it looked at if it is the first.

        Args:
            chosen: its profile; the demonstration's of 20 MiB if None.
            shim: whether its disk and its forks obey files in its folder.
            name: of its folder.
            more: further directives.
            changes: of the profile.

        Raises:
            UnavailableError: there is no compiler for the shim.
        """
        binary = self.binary
        if shim:
            libraries = f"{_shim(_compiler())} {binary.preload}".strip()
            binary = replace(binary, preload=libraries)
        lines = {"latency-monitor-threshold": str(self._monitor_ms), **(more or {})}
        base = replace(chosen or profile("demo"), **changes)
        values = {each: getattr(base, each) for each in ServerProfile.__dataclass_fields__}
        server = _Server(
            _Profile(**values, more=tuple(lines.items())), self.folder / name, binary=binary
        )
        self._stack.enter_context(server)
        self.url = self.url or server.url
        return server

    def replica(self, of: PrivateServer) -> PrivateServer:
        """Start a replica, and wait until it is in step."""
        primary = f"127.0.0.1 {of.url.rpartition(':')[2]}"
        base = replace(of.profile, name="replica")
        values = {each: getattr(base, each) for each in ServerProfile.__dataclass_fields__}
        started = self.start(ServerProfile(**values), name="replica", more={"replicaof": primary})
        client = self.client(started.url)
        self.wait_until(
            lambda: client.info("replication")["master_link_status"] == "up", "a replica in step"
        )
        return started

    def client(self, url: str = "", **settings: Any) -> Redis:
        """A client that ends with the scene."""
        made = onlooker(url or self.url, timeout_s=10.0, **settings)
        return self._stack.enter_context(closing(made))

    def socket(self, *, small: bool = False) -> socket.socket:
        """A bare connection to the server; ``small`` takes as little as the kernel lets it."""
        made = self._stack.enter_context(socket.socket())
        if small:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        parts = urlsplit(self.url)
        made.connect((parts.hostname, parts.port))
        return made

    def fill(
        self,
        keys: int,
        *,
        value_bytes: int = 1000,
        ttl_s: float | None = TTL_S,
        spread_s: float = 120.0,
        first: int = 1,
        prefix: str = "channel:",
    ) -> None:
        """
        So many conversations.

        Args:
            keys: how many.
            value_bytes: of each.
            ttl_s: time to live, less up to ``spread_s`` at random, s; none if None.
            spread_s: see there.
            first: number of the first.
            prefix: of their names.
        """
        ttl_ms = 0 if ttl_s is None else round(1000 * ttl_s)
        spread_ms = min(round(1000 * spread_s), max(0, ttl_ms - 1))
        client = self.client()
        for begin in range(first, first + keys, 50 * _CHUNK):
            with client.pipeline(transaction=False) as pipe:
                end = min(begin + 50 * _CHUNK, first + keys)
                for number in range(begin, end, _CHUNK):
                    last = min(number + _CHUNK, end) - 1
                    pipe.eval(_FILL, 0, number, last, value_bytes, ttl_ms, spread_ms, prefix)
                pipe.execute()

    def traffic(self, keys: int, *, per_s: float = 300.0, clients: int = 8) -> None:
        """
        Turns of conversations until the scene ends: each reads one and writes it again.

        Args:
            keys: among how many, numbered from 1.
            per_s: commands a second, about.
            clients: connections, used in turn.
        """
        connected = [self.client(max_connections=1) for _ in range(clients)]
        random, turn = Random(1), cycle(connected)

        def step() -> None:
            client, name = next(turn), f"channel:{random.randint(1, keys)}"
            client.get(name)  # workbench: raw
            client.set(name, "x" * 1000, ex=TTL_S - random.randint(0, 120))  # workbench: raw

        for each in connected:  # connects
            with suppress(RedisError):
                each.get("channel:1")  # workbench: raw
        self.repeat(step, every_s=2 / per_s)

    def repeat(self, step: Callable[[], object], *, every_s: float) -> None:
        """Do it in a thread until the scene ends; what the server refuses is not minded."""

        def run() -> None:
            due_s = time.monotonic()
            while not self._ended.is_set() and not self._over.is_set():
                with suppress(RedisError, OSError):
                    step()
                due_s = max(due_s + every_s, time.monotonic() - 0.05)
                self._ended.wait(max(0.0, due_s - time.monotonic()))

        thread = threading.Thread(target=run, daemon=True)
        self._threads.append(thread)
        thread.start()

    def ask_for_password(self) -> None:
        """Have the server ask for a password from now on; whoever looks has it."""
        self.client().config_set("requirepass", "of-the-scene")
        self.url = self.url.replace("redis://", "redis://:of-the-scene@")

    def at_end(self, step: Callable[[], object]) -> None:
        """Do it when the scene ends, before the servers that were started so far do."""
        self._stack.callback(step)

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        if self._over.wait(seconds):
            raise SceneError("the bench was ended")

    def wait_until(
        self, condition: Callable[[], object], why: str, *, within_s: float = _WAIT_S
    ) -> None:
        """
        Look again and again until it holds.

        Raises:
            SceneError: it did not within the time.
        """
        deadline_s = time.monotonic() + within_s
        while not condition():
            if time.monotonic() > deadline_s:
                raise SceneError(f"not within {within_s:g} s: {why}")
            self.wait(0.02)

    def network_of_its_own(self) -> None:
        """
        Put this thread, and what it starts, into a network that reaches nothing but itself.

        Raises:
            UnavailableError: it may not: that takes Linux and CAP_SYS_ADMIN.
        """
        if sys.platform != "linux":
            raise UnavailableError("a network of its own takes Linux")
        library = ctypes.CDLL(None, use_errno=True)
        if library.unshare(_CLONE_NEWNET):
            why = os.strerror(ctypes.get_errno())
            raise UnavailableError(f"a network of its own takes root: unshare says {why}")
        with socket.socket() as any_socket:
            name = struct.pack("16sh", b"lo", 0)
            flags = struct.unpack("16sh", fcntl.ioctl(any_socket, _SIOCGIFFLAGS, name))[1]
            fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh", b"lo", flags | _IFF_UP))


def _compiler() -> str:
    found = shutil.which("cc") or shutil.which("gcc")
    if sys.platform != "linux" or found is None:
        raise UnavailableError("a disk that fails is made by a C compiler, on Linux: no cc on PATH")
    return found


@cache
def _shim(compiler: str) -> Path:
    """The library, compiled once a process; its folder goes with the process."""
    import atexit
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="workbench-shim-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    source, library = folder / "shim.c", folder / "shim.so"
    source.write_text(_SHIM)
    command = [compiler, "-O1", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        raise UnavailableError(f"{compiler} does not compile here: {error}") from None
    return library
