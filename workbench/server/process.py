"""A private server: on a free port of the loopback, stopped cleanly, gone with its parent."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

from redis import Redis
from redis.exceptions import RedisError

from workbench.errors import ServerError, ServerNotReadyError
from workbench.server.binary import ServerBinary, find_binary
from workbench.server.profiles import DEFAULTS_OF_7_0, INSTRUMENTS, ServerProfile
from workbench.state import connect

__all__ = ["PrivateServer", "die_with_parent", "free_port", "newer", "stamp", "tail"]

_PR_SET_PDEATHSIG: Final = 1
_READY_S: Final = 10.0
_STAMP: Final = "engine"


def die_with_parent() -> Callable[[], None] | None:
    """
    A ``preexec_fn`` that has the kernel kill the child when its parent ends, however it ends.

    Linux only; elsewhere None. The signal is SIGKILL, since the case it is for is a parent that
    was killed and can no longer ask.
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def ask_kernel() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before the request was made
            os._exit(1)

    return ask_kernel


def tail(log: Path, *, lines: int = 12) -> str:
    """The last lines of a log, or a note that there is none."""
    try:
        text = log.read_text(errors="replace")
    except OSError:
        return "(no log)"
    return "\n".join(text.splitlines()[-lines:]) or "(the log is empty)"


class PrivateServer:
    """
    One server of our own. Use it as a context manager, or call ``start`` and ``stop``.

    Args:
        profile: its settings.
        folder: where its data, configuration and log lie; made if it is missing.
        binary: which program; found when it is None.
        log: its log file; ``redis.log`` in the folder when it is None.
        entering: what its process calls before it becomes the server, as to be in a cgroup.

    Attributes:
        url: ``redis://127.0.0.1:<port>``, once started.
        configuration: the text of its redis.conf; all paths in it are relative.
    """

    def __init__(
        self,
        profile: ServerProfile,
        folder: Path,
        *,
        binary: ServerBinary | None = None,
        log: Path | None = None,
        entering: Callable[[], None] | None = None,
    ) -> None:
        self.profile = profile
        self.binary = binary or find_binary()
        self.folder = folder
        self.log = log or folder / "redis.log"
        self.url = ""
        self.configuration = ""
        self._entering = entering
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0  # none yet

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None, "the server was not started"
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether its process is alive."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """What it ended with; negative the signal that ended it. None while it runs."""
        return None if self._process is None else self._process.poll()

    def ended(self, *, within_s: float) -> bool:
        """Whether its process is gone, or goes within the time."""
        if self._process is not None:
            try:
                self._process.wait(timeout=within_s)
            except subprocess.TimeoutExpired:
                return False
        return True

    def start(self) -> Self:
        """
        Start it and wait until it answers. One that was stopped gets the port that it had.

        Raises:
            ServerError: the folder holds data of another engine, or of nobody knows which.
            ServerNotReadyError: it ended, or did not answer in 10 s; the message has its log's end.
        """
        for folder in (self.folder, self.log.parent):
            folder.mkdir(parents=True, exist_ok=True)
        self._check_stamp()
        # Another process may take the port between the look and the start: then look again.
        for _ in range(5):
            port = self._port or free_port()
            self.url = f"redis://127.0.0.1:{port}"
            self.configuration = self._configuration(port)
            (self.folder / "redis.conf").write_text(self.configuration)
            # What is wrong with its configuration it says on stderr, before it opens its log.
            with self.log.open("ab") as log:
                self._process = self._begun(log)
            if self._wait_ready():
                self._port = port
                return self
            if "Address already in use" not in tail(self.log):
                break
        ended = self._process.returncode if self._process else None
        self.stop()
        what = f"did not answer in {_READY_S:.0f} s" if ended is None else f"ended with {ended}"
        raise ServerNotReadyError(
            f"{self.binary.label} on port {port} {what}; its log ends:\n{tail(self.log)}"
        )

    def stop(self) -> None:
        """Have it write what it still holds, and end; it is killed if that takes over 10 s."""
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            process.terminate()  # the same as SHUTDOWN: the AOF is written and synced
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._process = None

    def client(self) -> Redis:
        """A client for the workbench's own questions."""
        return connect(self.url, timeout_s=5.0)

    def _begun(self, log: BinaryIO) -> "subprocess.Popen[bytes]":
        steps = [step for step in (die_with_parent(), self._entering) if step is not None]

        def begin() -> None:
            for step in steps:
                step()

        try:
            return subprocess.Popen(
                [self.binary.path, "redis.conf"],
                cwd=self.folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=begin if steps else None,  # noqa: PLW1509
            )
        except subprocess.SubprocessError:  # which does not tell what a step raised
            raise ServerNotReadyError(
                f"{self.binary.label} could not be started where it was to be: its cgroup, if it "
                "was given one, does not take it"
            ) from None

    def _wait_ready(self) -> bool:
        deadline = time.monotonic() + _READY_S
        with self.client() as client:
            while time.monotonic() < deadline and self.running:
                try:
                    # Another server may have taken the port: it is ours only if the pid agrees.
                    if client.info("server")["process_id"] == self.pid:
                        return True
                except RedisError:
                    pass
                time.sleep(0.02)
        return False

    def _check_stamp(self) -> None:
        # Redis 7.0 dies on Valkey's files (their base begins with VALKEY080), and a server of an
        # older version on a newer one's.
        stamped = self.folder / _STAMP
        ours = f"{self.binary.engine} {self.binary.version}"
        if stamped.exists():
            theirs = stamped.read_text().strip()
            engine, _, version = theirs.partition(" ")
            if engine != self.binary.engine or newer(version, self.binary.version):
                raise ServerError(
                    f"{self.folder} holds the data of {theirs}, which {ours} cannot read; name "
                    "another folder, or start the engine that wrote it"
                )
        elif any((self.folder / data).exists() for data in ("appendonlydir", "dump.rdb")):
            raise ServerError(
                f"{self.folder} holds the data of a server that the workbench did not start; name "
                "an empty folder"
            )
        stamp(self.folder, self.binary.engine, self.binary.version)

    def _environment(self) -> dict[str, str]:
        environment = {**os.environ, "TZ": "UTC"}
        if self.binary.preload:
            others = environment.get("LD_PRELOAD", "")
            environment["LD_PRELOAD"] = f"{self.binary.preload} {others}".strip()
        return environment

    def _configuration(self, port: int) -> str:
        directives = {
            "bind": "127.0.0.1",
            "port": str(port),
            "dir": ".",
            "logfile": f'"{os.path.relpath(self.log, self.folder)}"',
            "daemonize": "no",
            **INSTRUMENTS,
            **self.profile.directives(),
        }
        if self.binary.engine == "valkey":
            directives |= DEFAULTS_OF_7_0
        return "".join(f"{name} {value}\n" for name, value in directives.items())


def stamp(folder: Path, engine: str, version: str) -> None:
    """Say in a folder whose data it holds; a private server takes no other's."""
    (folder / _STAMP).write_text(f"{engine} {version}\n")


def newer(version: str, than: str) -> bool:
    """Whether a version writes files that the other may not read: its first two numbers count."""
    return _release(version) > _release(than)


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())


def free_port() -> int:
    """A port of the loopback that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
