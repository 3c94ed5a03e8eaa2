"""
One cell: a server at its cap, one rewrite of its append-only file under writes, and its memory.

A private server with the documented production settings begins inside a memory limit, is filled to
``maxmemory`` with sessions, and rewrites its append-only file once while sessions are written. The
limit is there from the beginning, as a container's is, so that a cell that is too tight may be
killed while it is filled; the row says in which stage. Automatic rewrites are off: the one that is
measured is the only one.
"""

import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from random import Random
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from redis.exceptions import RedisError

from workbench.errors import LimitError, RunFailedError, UsageError
from workbench.lab.sessions import VALUE_BYTES_MIN, Sessions
from workbench.lab.watch import ByInfo, Sampled, watch
from workbench.lab.writer import Plan, Written
from workbench.server.binary import ServerBinary, find_binary
from workbench.server.limits import CPU_SHARE_MIN, Cgroup, limited
from workbench.server.process import PrivateServer, die_with_parent, tail
from workbench.server.profiles import ServerProfile
from workbench.telemetry.host import describe_host, disk_free_bytes, filesystem, memory_limit
from workbench.units import MIB, format_bytes

__all__ = ["Cell", "Measured", "measure"]

Stage = Literal["", "fill", "writes", "rewrite"]

_MAXMEMORY_MIN: Final = 4 * MIB
_WRITES_MAX: Final = 100_000
_VALUE_MAX: Final = MIB
_SPREAD_MAX: Final = 0.9
_FILL_BATCH: Final = 20
_FILL_STEP: Final = MIB  # of values, from one look at the server to the next
_FILL_BUFFER: Final = MIB // 4
_LEAD_S: Final = 0.5  # of writes, before the fork
_INFO_S: Final = 0.1
_TOLD_S: Final = 0.02  # of less no rate is told
_SLOWEST_BYTES_PER_S: Final = 2e6  # of a rewrite, on a whole core; below it something is wrong
_DISK: Final = 4.5  # the file of the fill, written twice, its rewrite, what is written meanwhile
_PEAK: Final = 2.5  # what a server takes at most while it rewrites, of its cap
_IN_MEMORY: Final = ("tmpfs", "ramfs")
_NOT_REACHED: Final = (
    "keys",
    "used_memory_bytes",
    "before_bytes",
    "cow_bytes",
    "aof_buffer_bytes",
    "fork_s",
    "rewrite_s",
    "written_per_s",
    "base_bytes",
    "limit_use_bytes_peak",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """
    The conditions of one trial.

    Attributes:
        maxmemory_bytes: the server's cap.
        limit_bytes: of its memory, as a container's; None for none.
        writes_per_s: as they come due, whether the server keeps up or not.
        value_bytes: length of a value, on average.
        length_spread: how far lengths lie from that at most, of it; 0 if all are equally long.
            Otherwise all sessions are written once more after the fill, in any order, as
            conversations are: it leaves gaps between them, which a fill alone does not.
        hot_share: share of the writes that go to a tenth of the keys; 0.1 is uniform.
        cpu_share: of one core; None for as much as there is.
        new_keys: whether what is written are new sessions, for which others are evicted.
        seed: of keys and texts.
    """

    maxmemory_bytes: int
    limit_bytes: int | None = None
    writes_per_s: float = 200.0
    value_bytes: int = 1024
    hot_share: float = 0.1
    cpu_share: float | None = None
    new_keys: bool = False
    length_spread: float = 0.0
    seed: int = 1

    def __post_init__(self) -> None:
        bounds: dict[str, tuple[float | None, float, float]] = {
            "maxmemory": (self.maxmemory_bytes, _MAXMEMORY_MIN, 1 << 40),
            "limit": (self.limit_bytes, _MAXMEMORY_MIN, 1 << 40),
            "writes_per_s": (self.writes_per_s, 0, _WRITES_MAX),
            "value_bytes": (self.value_bytes, VALUE_BYTES_MIN, _VALUE_MAX),
            "hot_share": (self.hot_share, 0, 1),
            "length_spread": (self.length_spread, 0, _SPREAD_MAX),
            "vcpu": (self.cpu_share, CPU_SHARE_MIN, 1024),
        }
        for name, (value, least, most) in bounds.items():
            if value is not None and not least <= value <= most:
                size = name in ("maxmemory", "limit", "value_bytes")
                shown = format_bytes if size else "{:g}".format
                raise UsageError(
                    f"{name} is {shown(value)}, outside {shown(least)} to {shown(most)}"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured(Cell):
    """
    What came of a cell. What was not reached, since the server was killed, is None.

    Attributes:
        keys: sessions that it held when it was full.
        used_memory_bytes: the server's own figure then.
        before_bytes: anonymous memory before the fork, under the writes.
        peak_bytes: the most of server and child together; of one that was killed, what was last
            seen before that, or earlier.
        cow_bytes: ``aof_last_cow_size``.
        aof_buffer_bytes: the highest ``mem_aof_buffer`` that was seen.
        fork_s: for which the server stood still.
        rewrite_s: as long as the child lived.
        written_per_s: as achieved meanwhile; None if it was killed within a moment.
        base_bytes: of the new base file.
        killed: whether the kernel killed the server, or its child, for want of memory.
        killed_in: the stage: ``fill``, ``writes`` before the rewrite, or ``rewrite``; else empty.
        killed_process: ``server`` or ``child``; else empty.
        limit_use_bytes_peak: the most of what the limit counts, page cache and all.
        watched_by: ``cgroup v1``, ``cgroup v2``, ``the process tree`` or ``INFO``; by the latter
            two there is no kill, and the peak is to be held against the limit.
        why_no_cgroup: empty if there is one.
    """

    keys: int | None
    used_memory_bytes: int | None
    before_bytes: int | None
    peak_bytes: int
    cow_bytes: int | None
    aof_buffer_bytes: int | None
    fork_s: float | None
    rewrite_s: float | None
    written_per_s: float | None
    base_bytes: int | None
    killed: bool
    killed_in: Stage
    killed_process: str
    limit_use_bytes_peak: int | None
    watched_by: str
    why_no_cgroup: str
    engine: str
    version: str
    allocator: str

    @property
    def cell(self) -> Cell:
        """Its conditions."""
        return Cell(**{each.name: getattr(self, each.name) for each in fields(Cell)})

    @property
    def over_limit(self) -> bool | None:
        """Whether it was killed or, where nothing is, took the limit or more; None without one."""
        if self.limit_bytes is None:
            return None
        return self.killed or self.peak_bytes >= self.limit_bytes


def measure(
    cell: Cell,
    *,
    binary: ServerBinary | None = None,
    folder: Path,
    progress: Callable[[str], None] = lambda _: None,
    cgroups: bool = True,
) -> Measured:
    """
    Carry out a cell on a private server.

    Args:
        cell: its conditions.
        binary: which program; found when it is None.
        folder: below which the server's files are kept meanwhile; on a disk, not in memory.
        progress: told what is done.
        cgroups: False to measure by the process tree, as where no cgroup can be had.

    Raises:
        UsageError: the machine has not the memory or the disk for it.
        LimitError: a share of a core is asked for, and no cgroup can be had.
        ServerError: the server cannot be started.
        RunFailedError: it ended, or did not rewrite its file, for another reason than its memory.
    """
    binary = binary or find_binary()
    _check_machine(cell, folder)
    with ExitStack() as stack:
        home = stack.enter_context(tempfile.TemporaryDirectory(prefix="cell-", dir=folder))
        cgroup, why = _limits(cell, stack) if cgroups else (None, "none was asked for")
        profile = ServerProfile(
            "production",
            maxmemory_bytes=cell.maxmemory_bytes,
            auto_aof_rewrite_percentage=0,
            stop_writes_on_bgsave_error=False,
        )
        entering = None if cgroup is None else cgroup.entering()
        server = PrivateServer(profile, Path(home), binary=binary, entering=entering)
        stack.enter_context(server)
        trial = _Trial(cell, server, cgroup, progress)
        trial.carry_out()
        found = asdict(cell) | trial.found
        found |= {"why_no_cgroup": why, "engine": binary.engine, "version": binary.version}
        return Measured(**found, allocator=binary.preload or binary.allocator)


class _KilledError(Exception):
    """The server was killed for want of memory."""


class _Trial:
    """The stages of a cell, and what is found in them."""

    def __init__(
        self,
        cell: Cell,
        server: PrivateServer,
        cgroup: Cgroup | None,
        progress: Callable[[str], None],
    ) -> None:
        self._cell, self._server, self._cgroup = cell, server, cgroup
        self._progress = progress
        self._watch = watch(server.pid, cgroup)
        self._client = server.client()
        self._stage: Stage = "fill"
        self._fork_s = 0.0
        self.found: dict[str, Any] = dict.fromkeys(_NOT_REACHED)
        self.found |= {"killed": False, "killed_in": "", "killed_process": ""}

    def carry_out(self) -> None:
        """Fill, write, rewrite; a kill ends it, and is told."""
        written, ended_s = Written(), 0.0
        # The writer is started before there is a thread: see the documentation of preexec_fn.
        with _Writer(self._cell) as writer, self._client, Sampled(self._watch) as sampled:
            try:
                self._fill()
                self._stage = "writes"
                writer.begin(self._server, self.found["keys"])
                time.sleep(_LEAD_S)
                self.found["before_bytes"] = sampled.usual(time.monotonic() - _LEAD_S / 2)
                self._stage = "rewrite"
                self._fork_s = time.monotonic()
                self._rewrite()
            except (RedisError, OSError) as error:
                self._check_killed(error)
            ended_s = time.monotonic()
            written = writer.end()
        if written.refused:
            raise RunFailedError(
                f"the server refused {written.refused} writes: {written.refusal}; its log ends:\n"
                f"{tail(self._server.log)}"
            )
        self._conclude(sampled, written, ended_s)

    def _fill(self) -> None:
        cell = self._cell
        self._progress(f"filling {format_bytes(cell.maxmemory_bytes)}")
        sessions = Sessions(cell.value_bytes, cell.seed, cell.length_spread)
        number = 0
        step = max(_FILL_BATCH, min(cell.maxmemory_bytes // 100, _FILL_STEP) // cell.value_bytes)
        with socket.create_connection(("127.0.0.1", _port(self._server)), timeout=30) as connection:
            while not self._caught_up()["evicted_keys"]:
                for start in range(number, number + step, _FILL_BATCH):
                    _send(connection, [sessions.write(start + i) for i in range(_FILL_BATCH)])
                    number = start + _FILL_BATCH
            if cell.length_spread:
                self._progress("writing every session once more")
                random = Random(f"fill {cell.seed}")
                for start in range(0, number, step):
                    self._caught_up()
                    for turn in range(start, min(number, start + step), _FILL_BATCH):
                        drawn = [random.randrange(number) for _ in range(_FILL_BATCH)]
                        _send(connection, [sessions.write(each, turn + each) for each in drawn])
        while self._client.info("persistence")["aof_pending_bio_fsync"]:
            time.sleep(0.02)
        self.found["keys"] = self._client.dbsize()
        self.found["used_memory_bytes"] = self._client.info("memory")["used_memory"]

    def _caught_up(self) -> dict[str, Any]:
        """Wait until the append-only file is written; the server's INFO then."""
        # While the disk is behind, what is not yet in the file is kept in a buffer beside the
        # data, and a fill is much faster than life. Unpaced, there were 345 to 356 MiB before the
        # fork, since the allocator keeps for 10 s what was freed; paced, 345.4 to 346.7 (340 MiB,
        # Redis 7.0.15, 2026-11-26).
        while (info := self._client.info("everything"))["mem_aof_buffer"] > _FILL_BUFFER:
            time.sleep(0.005)
        return dict(info)

    def _rewrite(self) -> None:
        cell = self._cell
        least_per_s = _SLOWEST_BYTES_PER_S * min(1.0, cell.cpu_share or 1.0)
        deadline_s = self._fork_s + 30 + cell.maxmemory_bytes / least_per_s
        self._progress("rewriting the append-only file")
        self._client.bgrewriteaof()
        buffer_bytes = 0
        while True:
            info = self._client.info("everything")
            if isinstance(self._watch, ByInfo):
                self._watch.note(info)
            buffer_bytes = max(buffer_bytes, info["mem_aof_buffer"])
            self.found["fork_s"] = info["latest_fork_usec"] / 1e6
            if not info["aof_rewrite_in_progress"]:
                break
            if time.monotonic() > deadline_s:
                raise RunFailedError(
                    f"a rewrite of {format_bytes(cell.maxmemory_bytes)} took over "
                    f"{time.monotonic() - self._fork_s:.0f} s and was given up; is the disk slow?"
                )
            time.sleep(_INFO_S)
        if self._cgroup is not None and self._cgroup.oom_kills():
            self._note_kill("child")
        elif info["aof_last_bgrewrite_status"] != "ok":
            raise RunFailedError(
                "the append-only file could not be rewritten; the server's log ends:\n"
                f"{tail(self._server.log)}"
            )
        else:
            self.found |= {
                "cow_bytes": info["aof_last_cow_size"],
                "aof_buffer_bytes": buffer_bytes,
                "base_bytes": info["aof_base_size"],
            }

    def _check_killed(self, error: Exception) -> None:
        """Take a lost connection for a kill only if the kernel counted one."""
        ended = self._server.ended(within_s=5.0)
        if ended and self._cgroup is not None and self._cgroup.oom_kills():
            self._note_kill("server")
            return
        code = f"ended with {self._server.exit_code}" if ended else f"does not answer ({error})"
        raise RunFailedError(
            f"the server {code} in the stage {self._stage!r}, and not for its memory limit; its "
            f"log ends:\n{tail(self._server.log)}"
        ) from error

    def _note_kill(self, process: str) -> None:
        self.found |= {"killed": True, "killed_in": self._stage, "killed_process": process}

    def _conclude(self, sampled: Sampled, written: Written, ended_s: float) -> None:
        if self._fork_s:
            begun_s, over_s = sampled.child_s or (self._fork_s, ended_s)
            if over_s - begun_s > _TOLD_S:
                self.found["written_per_s"] = written.per_s(begun_s, over_s)
            if not self.found["killed"]:
                self.found["rewrite_s"] = over_s - begun_s
        if self._cgroup is not None:
            self.found["limit_use_bytes_peak"] = self._cgroup.use_bytes_peak()
        self.found["peak_bytes"] = sampled.highest(self._fork_s) or sampled.highest()
        self.found["watched_by"] = self._watch.label


class _Writer:
    """The process that writes; none where nothing is to be written."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> "_Writer":
        if self._cell.writes_per_s:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "workbench.lab.writer"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,  # Ctrl-C is for us; it ends when its input closes
                preexec_fn=die_with_parent(),  # noqa: PLW1509
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()

    def begin(self, server: PrivateServer, keys: int) -> None:
        """Have it write, from now on."""
        cell = self._cell
        plan = Plan(
            port=_port(server),
            per_s=cell.writes_per_s,
            value_bytes=cell.value_bytes,
            keys=keys,
            hot_share=cell.hot_share,
            new_keys=cell.new_keys,
            length_spread=cell.length_spread,
            seed=cell.seed,
        )
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.write(json.dumps(asdict(plan)) + "\n")
            self._process.stdin.flush()

    def end(self) -> Written:
        """Have it end, and tell what it achieved."""
        if self._process is None:
            return Written()
        told, complaint = self._process.communicate(timeout=30)
        if self._process.returncode:
            raise RunFailedError(f"the writer broke off: {complaint.strip().splitlines()[-1:]}")
        return Written(**json.loads(told)) if told else Written()


def _limits(cell: Cell, stack: ExitStack) -> tuple[Cgroup | None, str]:
    """The cell's cgroup, or why there is none; without one no share of a core can be kept."""
    try:
        cgroup = limited(memory_bytes=cell.limit_bytes, cpu_share=cell.cpu_share)
        return stack.enter_context(cgroup), ""
    except LimitError as error:
        if cell.cpu_share is not None:
            raise
        return None, str(error)


def _check_machine(cell: Cell, folder: Path) -> None:
    """Refuse what would take the machine's own memory, or fill its disk."""
    most_bytes = _PEAK * cell.maxmemory_bytes
    wanted_bytes = round(min(most_bytes, cell.limit_bytes or most_bytes))
    granted_bytes, source = memory_limit()
    available_bytes = describe_host(folder)["available_bytes"]
    for what, found in ((f"the {source} grants", granted_bytes), ("is free", available_bytes)):
        if found is not None and found < wanted_bytes:
            raise UsageError(
                f"a cap of {format_bytes(cell.maxmemory_bytes)} may take "
                f"{format_bytes(wanted_bytes)} while it is rewritten, and {format_bytes(found)} "
                f"{what if what == 'is free' else f'is what {what}'}: take a smaller one"
            )
    kind = filesystem(folder)
    if kind in _IN_MEMORY and cell.limit_bytes is not None:
        raise UsageError(
            f"{folder} is kept in memory ({kind}), where the server's files would count as its own "
            "memory; name a folder on a disk with TMPDIR"
        )
    free_bytes, needed_bytes = disk_free_bytes(folder), round(_DISK * cell.maxmemory_bytes)
    if free_bytes is not None and free_bytes < needed_bytes:
        raise UsageError(
            f"the append-only files of a cap of {format_bytes(cell.maxmemory_bytes)} may take "
            f"{format_bytes(needed_bytes)}, and {format_bytes(free_bytes)} is free in {folder}"
        )


def _send(connection: socket.socket, commands: list[bytes]) -> None:
    connection.sendall(b"".join(commands))
    missing = len(commands)
    while missing:
        replies = connection.recv(1 << 16)
        if not replies:
            raise ConnectionResetError("the server closed the connection")
        if b"-" in replies:
            raise RunFailedError(f"a session could not be written: {replies[:200]!r}")
        missing -= replies.count(b"\n")


def _port(server: PrivateServer) -> int:
    port = urlsplit(server.url).port
    assert port is not None, "the server was not started"
    return port
