"""
How many sessions stay under a cap, counted on a private server that was filled beyond it; and what
a restart of that server takes.
"""

import re
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final

from redis import Redis

from workbench.errors import RunFailedError, UsageError
from workbench.server.binary import ServerBinary, find_binary
from workbench.server.process import PrivateServer
from workbench.server.profiles import ServerProfile
from workbench.units import MIB, format_bytes

__all__ = ["Resident", "Restart", "resident_sessions", "restart", "sampled_session_bytes"]

_BATCH: Final = 100
_ALONE: Final = 300
_BEYOND: Final = 1.15
_TTL_S: Final = 86_400
_KEY: Final = "channel:wb-{:09d}"
_SAMPLED: Final = 6000
_LOADED: Final = re.compile(r"DB loaded from (?:append only file|.*\.(?:base|incr)\S*): ([\d.]+)")
_WAIT_S: Final = 120.0

KEY_BYTES: Final = len(_KEY.format(0))
"""Length of the key's names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resident:
    """
    What stayed under a cap.

    Attributes:
        maxmemory_bytes: the cap.
        value_bytes: length of a value, on average.
        sessions: that were there when the cap had been reached and more had been written.
        written: how many had been written.
        used_memory_bytes: the server's own figure then.
        startup_bytes: likewise when it was empty.
        engine, version, allocator: of the server; the allocator that was preloaded, if one was.
    """

    maxmemory_bytes: int
    value_bytes: float
    sessions: int
    written: int
    used_memory_bytes: int
    startup_bytes: int
    engine: str
    version: str
    allocator: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """
    What a restart took.

    Attributes:
        used_memory_bytes: before it.
        loaded_memory_bytes: after it.
        base_bytes: of the append-only file's base that was read.
        load_s: from the start until the server answered.
        rss_bytes_peak: of the new process meanwhile; None where it does not show.
    """

    used_memory_bytes: int
    loaded_memory_bytes: int
    base_bytes: int
    load_s: float
    rss_bytes_peak: int | None


def resident_sessions(
    maxmemory_bytes: int,
    *,
    value_bytes: int | Sequence[int],
    folder: Path,
    binary: ServerBinary | None = None,
    seed: int = 1,
) -> Resident:
    """
    Fill a private server well beyond its cap, and count what stayed.

    Args:
        maxmemory_bytes: the cap.
        value_bytes: length of each value, or lengths from which each is drawn.
        folder: below which the server's files are kept meanwhile.
        binary: which program; found when it is None.
        seed: of what is drawn.

    Raises:
        UsageError: fewer than a hundred sessions would fit.
        ServerError: the server cannot be started.
    """
    binary = binary or find_binary()
    lengths = [value_bytes] if isinstance(value_bytes, int) else list(value_bytes)
    mean = sum(lengths) / len(lengths)
    if maxmemory_bytes < 2 * MIB + 100 * mean:
        raise UsageError(
            f"a cap of {format_bytes(maxmemory_bytes)} holds fewer than a hundred sessions of "
            f"{format_bytes(mean)}; raise it"
        )
    with _server(maxmemory_bytes, folder, binary) as server, server.client() as client:
        startup = int(_info(client, "memory")["used_memory"])
        fill = _Fill(client, lengths, seed)
        while not _info(client, "stats")["evicted_keys"]:
            fill.write(_BATCH)
        for _ in range(int(fill.written * (_BEYOND - 1)) // _BATCH):
            fill.write(_BATCH)
        # One at a time, as people do: a batch fills the server's buffers, which the cap counts.
        for _ in range(_ALONE):
            fill.write(1)
        return Resident(
            maxmemory_bytes=maxmemory_bytes,
            value_bytes=mean,
            sessions=client.dbsize(),
            written=fill.written,
            used_memory_bytes=int(_info(client, "memory")["used_memory"]),
            startup_bytes=startup,
            engine=binary.engine,
            version=binary.version,
            allocator=binary.preload or binary.allocator,
        )


def sampled_session_bytes(
    *,
    value_bytes: int | Sequence[int],
    folder: Path,
    binary: ServerBinary | None = None,
    key_bytes: int = KEY_BYTES,
    seed: int = 1,
) -> float:
    """
    What a session takes with its share of the tables, bytes, by a live sample of 6,000.

    For an engine whose layout is not known. The tables of keys are as full at half of the sample as
    at its end, so their growth counts as it does in the long run. Takes about a second.

    Raises:
        ServerError: the server cannot be started.
    """
    lengths = [value_bytes] if isinstance(value_bytes, int) else list(value_bytes)
    binary = binary or find_binary()
    with _server(0, folder, binary) as server, server.client() as client:
        fill, used = _Fill(client, lengths, seed, key_bytes), []
        for _ in range(2):
            for _ in range(_SAMPLED // 2 // _BATCH):
                fill.write(_BATCH)
            fill.settle()
            used.append(int(_info(client, "memory")["used_memory"]))
        return (used[1] - used[0]) / (fill.written / 2)


def restart(
    used_bytes: int,
    *,
    value_bytes: int,
    folder: Path,
    binary: ServerBinary | None = None,
    seed: int = 1,
    progress: Callable[[str], None] = lambda _: None,
) -> Restart:
    """
    Fill a private server, rewrite its append-only file, stop it, and start it anew.

    Args:
        used_bytes: to which it is filled.
        value_bytes: length of each value.
        folder: below which the server's files are kept meanwhile.
        binary: which program; found when it is None.
        seed: of what is drawn.
        progress: told what is done.

    Raises:
        ServerError: the server cannot be started.
        RunFailedError: it did not rewrite its file in two minutes.
    """
    binary = binary or find_binary()
    progress(f"a restart with {format_bytes(used_bytes)}")
    with _server(used_bytes, folder, binary) as server:
        with server.client() as client:
            fill = _Fill(client, [value_bytes], seed)
            while _info(client, "memory")["used_memory"] < 0.97 * used_bytes:
                fill.write(_BATCH)
            client.bgrewriteaof()
            _wait(client, "aof_rewrite_scheduled", "aof_rewrite_in_progress")
            used = int(_info(client, "memory")["used_memory"])
            base = int(_info(client, "persistence")["aof_base_size"])
        server.stop()
        server.start()
        with server.client() as client:
            _wait(client, "loading")
            loaded = int(_info(client, "memory")["used_memory"])
        peak = _peak_rss_bytes(server.pid)
        told = _LOADED.findall(server.log.read_text(errors="replace"))
    return Restart(
        used_memory_bytes=used,
        loaded_memory_bytes=loaded,
        base_bytes=base,
        load_s=float(told[-1]) if told else 0.0,
        rss_bytes_peak=peak,
    )


class _Fill:
    """Writes sessions, a new key each."""

    def __init__(
        self, client: Redis, lengths: Sequence[int], seed: int, key_bytes: int = KEY_BYTES
    ) -> None:
        self._client, self._lengths = client, lengths
        self._random = Random(f"resident {seed}")
        self._text = "".join(self._random.choices("abcdefghij 0123456789", k=max(lengths)))
        self._pad = "x" * max(0, key_bytes - KEY_BYTES)
        self.written = 0

    def write(self, number: int) -> None:
        pipe: Any = self._client.pipeline(transaction=False)
        for _ in range(number):
            length = self._random.choice(self._lengths)
            key = _KEY.format(self.written) + self._pad
            pipe.set(key, self._text[:length], ex=_TTL_S)  # workbench: raw
            self.written += 1
        pipe.execute()

    def settle(self) -> None:
        """Have the tables take their size: an engine moves some keys with each command."""
        for _ in range(_SAMPLED // _BATCH):
            pipe: Any = self._client.pipeline(transaction=False)
            for number in range(_BATCH):
                pipe.exists(_KEY.format(number))
            pipe.execute()


class _server(PrivateServer):  # noqa: N801
    """A private server in a folder of its own, which goes with it."""

    def __init__(self, maxmemory_bytes: int, folder: Path, binary: ServerBinary) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="resident-", dir=folder)
        profile = ServerProfile(
            "production", maxmemory_bytes=maxmemory_bytes, auto_aof_rewrite_percentage=0
        )
        super().__init__(profile, Path(self._temporary.name), binary=binary)

    def __exit__(self, *ended: Any) -> None:
        super().__exit__(*ended)
        self._temporary.cleanup()


def _info(client: Redis, section: str) -> dict[str, Any]:
    found: dict[str, Any] = client.info(section)
    return found


def _wait(client: Redis, *fields: str) -> None:
    deadline_s = time.monotonic() + _WAIT_S
    while any(int(_info(client, "persistence").get(name, 0)) for name in fields):
        if time.monotonic() > deadline_s:
            raise RunFailedError(f"the server was still busy after {_WAIT_S:.0f} s: {fields}")
        time.sleep(0.02)


def _peak_rss_bytes(pid: int) -> int | None:
    """The most that a process held, without the files that it has mapped, as the program is."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    found = dict(re.findall(r"(VmHWM|RssFile):\s+(\d+) kB", status))
    if "VmHWM" not in found:
        return None
    return (int(found["VmHWM"]) - int(found.get("RssFile", 0))) * 1024
