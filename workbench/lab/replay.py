"""
Replay: accesses carried out on a private server, to see what becomes of them there.

Reads are STRLEN, which touches a key as GET does and answers in a few bytes, so that no reply takes
memory that keys would have; writes are SET. Both go through one connection, some accesses at once:
first their reads, then their writes, never two of the same key.
"""

import socket
import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import pandas as pd

from workbench.analysis.accesses import Accesses
from workbench.analysis.simulator import Outcome
from workbench.errors import ServerError, UsageError
from workbench.flows.model import Caller
from workbench.server.binary import ServerBinary
from workbench.server.guard import KEY_PREFIX
from workbench.server.process import PrivateServer
from workbench.server.profiles import ServerProfile

__all__ = ["NAME_BYTES", "TOUCHES", "Replayed", "replay"]

TOUCHES: Final = 2
"""How often a replayed turn touches its key: one read, one write."""

_AT_ONCE: Final = 48
_LOOK_S: Final = 0.1
_WARM_UP: Final = 500
_NEW_KEY_FREQUENCY: Final = 6
_VALUE: Final = b"v" * 1_048_576
_FLUSH: Final = b"*2\r\n$8\r\nFLUSHALL\r\n$4\r\nSYNC\r\n"
_NAME: Final = KEY_PREFIX.encode() + b"%09d"

NAME_BYTES: Final = len(f"channel:{Caller.identifier_of(0)}")
"""Length of a key's name, which is that of the load's keys."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """
    What became of the accesses.

    Attributes:
        outcome: as a simulation has it; ``keys_p50`` is of the looks since the first eviction.
        accesses: as they were carried out: with their true times, and touches.
        maxmemory_bytes: the cap.
        fixed_bytes: what counted for eviction on the server when its keys were gone at the end.
        looks: every 0.1 s ``at_s``, ``keys`` and ``used_bytes``: what counts for eviction.
        took_s: from the first access to the last.
    """

    outcome: Outcome
    accesses: Accesses
    maxmemory_bytes: int
    fixed_bytes: int
    looks: pd.DataFrame
    took_s: float

    @property
    def capacity_bytes(self) -> int:
        """What keys and their tables had."""
        return self.maxmemory_bytes - self.fixed_bytes


def replay(
    accesses: Accesses,
    *,
    binary: ServerBinary,
    folder: Path,
    maxmemory_bytes: int | None = None,
    capacity_bytes: float = 0.0,
    policy: str = "allkeys-lru",
    samples: int = 5,
    ttl_s: float | None = None,
    renewal: str = "write",
    faster: float = 1.0,
    progress: Callable[[str], None] = lambda _: None,
) -> Replayed:
    """
    Carry accesses out on a server that is started for it.

    Args:
        accesses: each at its time, or as soon after as the server and this process can.
        binary: which server.
        folder: an empty one, for it.
        maxmemory_bytes: its cap; None if ``capacity_bytes`` is given.
        capacity_bytes: the cap is so much above what the server takes without keys.
        policy: its ``maxmemory-policy``.
        samples: its ``maxmemory-samples``.
        ttl_s: time to live of every write, s; None for what the accesses say.
        renewal: from when it runs, as for a simulation.
        faster: how many times faster than the times of the accesses; times to live are as much
            shorter.
        progress: is told now and then how far it is.

    Raises:
        ServerError: the server went away.
    """
    profile = ServerProfile(
        "replay",
        maxmemory_bytes=0,
        maxmemory_policy=policy,
        appendonly=False,
        further=(("maxmemory-samples", str(samples)),),
    )
    if ttl_s is not None:
        accesses = replace(
            accesses,
            ttl_s=np.full(len(accesses), ttl_s, np.float32),
            held_ttl_s=np.full(len(accesses.held_key), ttl_s, np.float32),
        )
    accesses = _faster(accesses, faster)
    with PrivateServer(profile, folder, binary=binary) as server:
        try:
            with _Wire(server.url) as wire:
                return _Replay(accesses, server, wire, renewal=renewal).run(
                    maxmemory_bytes,
                    capacity_bytes,
                    by_frequency="lfu" in policy,
                    progress=progress,
                )
        except OSError as error:
            raise ServerError(f"{binary.label} went away in a replay: {error}") from error


def _faster(accesses: Accesses, times: float) -> Accesses:
    if times <= 0:
        raise UsageError(f"a replay cannot be {times} times faster")
    if times == 1:
        return accesses
    return replace(
        accesses,
        at_s=accesses.at_s / times,
        ttl_s=accesses.ttl_s / np.float32(times),
        held_s=accesses.held_s / times,
        held_ttl_s=accesses.held_ttl_s / np.float32(times),
    )


class _Wire:
    """One connection; replies are single lines."""

    def __init__(self, url: str) -> None:
        port = int(url.rpartition(":")[2])
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30.0)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, commands: list[bytes]) -> list[bytes]:
        """The replies, each a line without its end."""
        if not commands:
            return []
        self._socket.sendall(b"".join(commands))
        received, lines = b"", 0
        while lines < len(commands):
            more = self._socket.recv(65536)
            if not more:
                raise ServerError("the server closed the connection of a replay")
            received += more
            lines += more.count(b"\n")
        return received.split(b"\r\n")[:-1]


class _Replay:
    """One replay: what the client believes of each key, and what became of its turns."""

    def __init__(
        self, accesses: Accesses, server: PrivateServer, wire: _Wire, *, renewal: str
    ) -> None:
        self._accesses = accesses
        self._server = server
        self._wire = wire
        self._by_creation = renewal == "creation"
        self._by_touch = renewal == "touch"
        self._held = bytearray(accesses.keys)
        self._expire = array("d", bytes(8 * accesses.keys))
        self._at_s = np.zeros(len(accesses))
        self._began_s = 0.0
        self._counts: Counter[str] = Counter()

    def run(
        self,
        maxmemory_bytes: int | None,
        capacity_bytes: float,
        *,
        by_frequency: bool,
        progress: Callable[[str], None],
    ) -> Replayed:
        """Fill, carry out, and look at the server meanwhile."""
        accesses = self._accesses
        looks: list[tuple[float, int, int, int]] = []
        with self._server.client() as client:

            def look() -> tuple[float, int, int, int]:
                info = client.info("everything")
                used = int(info["used_memory"]) - int(info["mem_not_counted_for_evict"])
                keys = int(info.get("db0", {}).get("keys", 0))
                return self._now_s(), keys, used, int(info["evicted_keys"])

            self._warm_up()
            # The first of each command makes its histogram, which takes 25 KB.
            client.config_set("maxmemory", 0)
            if maxmemory_bytes is None:
                maxmemory_bytes = round(look()[2] + capacity_bytes)
            client.config_set("maxmemory", maxmemory_bytes)
            origin_unix_s = time.time()
            self._began_s = time.monotonic()
            self._fill(by_frequency=by_frequency)
            # What was there before has aged a little meanwhile; the accesses begin now.
            late_s = self._now_s()
            origin_unix_s += late_s
            self._began_s += late_s
            for key in accesses.held_key.tolist():
                self._expire[key] -= late_s
            next_look = told_s = 0.0
            for part in self._batches():
                self._carry_out(part)
                if self._now_s() >= next_look:
                    looks.append(look())
                    next_look = self._now_s() + _LOOK_S
                    if next_look - told_s > 5:
                        told_s = next_look
                        progress(f"{part.stop:,} of {len(accesses):,} accesses replayed")
            took_s = self._now_s()
            looks.append(look())
            stats = client.info("stats")
            # Its buffers are now those of a client that has been at work for some time.
            self._wire.ask([_FLUSH])
            fixed_bytes = look()[2]
        table = pd.DataFrame(looks, columns=["at_s", "keys", "used_bytes", "evicted"])
        since = table["keys"][table["evicted"] > 0]
        return Replayed(
            outcome=Outcome(
                turns=self._counts["turns"],
                needing=self._counts["needing"],
                evicted=self._counts["evicted"],
                expired=self._counts["expired"],
                refused=self._counts["refused"],
                evicted_keys=int(stats["evicted_keys"]),
                expired_keys=int(stats["expired_keys"]),
                keys=looks[-1][1],
                used_bytes=float(looks[-1][2] - fixed_bytes),
                keys_p50=float(since.median()),
            ),
            accesses=replace(
                accesses, at_s=self._at_s, origin_unix_s=origin_unix_s, touches=TOUCHES
            ),
            maxmemory_bytes=maxmemory_bytes,
            fixed_bytes=fixed_bytes,
            looks=table.drop(columns="evicted"),
            took_s=took_s,
        )

    def _now_s(self) -> float:
        return time.monotonic() - self._began_s

    def _warm_up(self) -> None:
        """Have the server allocate what a client at work takes, and nothing else."""
        numbers = range(_WARM_UP)
        lengths = [int(each) for each in self._accesses.value_bytes[:_WARM_UP]] or [1000]
        for start in range(0, _WARM_UP, _AT_ONCE):
            some = numbers[start : start + _AT_ONCE]
            self._wire.ask([_strlen(number) for number in some])
            self._wire.ask([_set(n, lengths[n % len(lengths)], 1000.0) for n in some])
        self._wire.ask([_FLUSH])

    def _fill(self, *, by_frequency: bool) -> None:
        """What was written before the first access, as old as it is then."""
        accesses = self._accesses
        rows = zip(
            accesses.held_key.tolist(),
            accesses.held_s.tolist(),
            accesses.held_bytes.tolist(),
            accesses.held_ttl_s.tolist(),
            strict=True,
        )
        batch: list[bytes] = []
        with self._server.client() as client:
            dumps: dict[int, bytes] = {}
            for key, written_s, length, ttl_s in rows:
                self._held[key] = 1
                self._expire[key] = written_s + ttl_s
                if written_s + ttl_s <= 0:
                    continue
                if length not in dumps:
                    dumps[length] = _dump(client, length)
                freq = max(0, _NEW_KEY_FREQUENCY - int(-written_s // 60))
                aged = (b"FREQ", freq) if by_frequency else (b"IDLETIME", int(-written_s))
                batch.append(_restore(key, written_s + ttl_s, dumps[length], aged))
                if len(batch) >= _AT_ONCE:
                    self._wire.ask(batch)
                    batch.clear()
            self._wire.ask(batch)

    def _batches(self) -> Iterator[slice]:
        """Slices of the accesses that are due, without any key twice."""
        accesses = self._accesses
        for part in accesses.parts():
            due_s, keys = accesses.at_s[part].tolist(), accesses.key[part].tolist()
            start, count = 0, len(keys)
            while start < count:
                now_s = self._now_s()
                if due_s[start] > now_s:
                    time.sleep(min(0.05, due_s[start] - now_s))
                    continue
                stop, most = start, min(count, start + _AT_ONCE)
                seen: set[int] = set()
                while stop < most and due_s[stop] <= now_s and keys[stop] not in seen:
                    seen.add(keys[stop])
                    stop += 1
                yield slice(part.start + start, part.start + stop)
                start = stop

    def _carry_out(self, part: slice) -> None:
        accesses, held, expire = self._accesses, self._held, self._expire
        keys = accesses.key[part].tolist()
        ttls_s = accesses.ttl_s[part].tolist()
        counted = accesses.counted[part].tolist()
        writes = accesses.writes[part].tolist()
        began_s = self._now_s()
        asked = [key for key in keys if held[key]]
        lengths = dict(zip(asked, self._wire.ask([_strlen(key) for key in asked]), strict=True))
        read_s = self._now_s()
        commands: list[bytes] = []
        rows: list[tuple[int, int, float, bool]] = []
        value, fresh = accesses.value_bytes[part].tolist(), accesses.fresh_bytes[part].tolist()
        counts = self._counts
        for at, key in enumerate(keys):
            ttl_s, counts_too = ttls_s[at], counted[at]
            counts["turns"] += counts_too
            found = False
            if held[key]:
                found = lengths[key] != b":0"
                if not found:
                    counts["needing"] += counts_too
                    counts["expired" if read_s >= expire[key] else "evicted"] += counts_too
                    if not accesses.rewrites:
                        held[key] = 0
                        continue
                elif not writes[at]:
                    counts["needing"] += counts_too
                    if self._by_touch and np.isfinite(ttl_s):
                        commands.append(_pexpire(key, ttl_s))
                        rows.append((key, 0, ttl_s, False))
                    continue
            elif not (writes[at] or accesses.rewrites):
                continue
            keep = found and self._by_creation
            length = value[at] if found else fresh[at]
            commands.append(_set(key, length, ttl_s, keep=keep))
            rows.append((key, counts_too, expire[key] - read_s if keep else ttl_s, found))
        wrote_s = self._now_s()
        replies = self._wire.ask(commands)
        for (key, counts_too, ttl_s, found), reply in zip(rows, replies, strict=True):
            if reply[:1] == b"-":
                counts["refused"] += counts_too
                continue
            counts["needing"] += counts_too and found
            held[key] = 1
            expire[key] = wrote_s + ttl_s
        self._at_s[part] = (began_s + self._now_s()) / 2


def _dump(client: Any, length: int) -> bytes:
    name = "dump"
    client.set(name, _VALUE[:length])  # workbench: raw
    dumped: bytes = client.execute_command("DUMP", name, NEVER_DECODE=True)
    client.delete(name)  # workbench: raw
    return dumped


def _command(*words: bytes) -> bytes:
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        parts += (b"$%d\r\n" % len(word), word, b"\r\n")
    return b"".join(parts)


def _strlen(key: int) -> bytes:
    return b"*2\r\n$6\r\nSTRLEN\r\n$%d\r\n%b\r\n" % (NAME_BYTES, _NAME % key)


def _set(key: int, length: int, ttl_s: float, *, keep: bool = False) -> bytes:
    head = (NAME_BYTES, _NAME % key, length, _VALUE[:length])
    if keep:
        return b"*4\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n$7\r\nKEEPTTL\r\n" % head
    if ttl_s == float("inf"):
        return b"*3\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n" % head
    ttl = b"%d" % max(1, round(1000 * ttl_s))
    return b"*5\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n$2\r\nPX\r\n$%d\r\n%b\r\n" % (
        *head,
        len(ttl),
        ttl,
    )


def _pexpire(key: int, ttl_s: float) -> bytes:
    return _command(b"PEXPIRE", _NAME % key, b"%d" % max(1, round(1000 * ttl_s)))


def _restore(key: int, ttl_s: float, dumped: bytes, aged: tuple[bytes, int]) -> bytes:
    ttl_ms = 0 if ttl_s == float("inf") else max(1, round(1000 * ttl_s))
    word, value = aged
    return _command(
        b"RESTORE", _NAME % key, b"%d" % ttl_ms, dumped, b"REPLACE", word, b"%d" % value
    )
