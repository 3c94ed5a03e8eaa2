"""
How many sessions fit under a cap: what one takes, by engine and allocator, and the tables of keys.

A session is a key with a value of type string, as the state manager writes it. What it takes is
worked out from how the engine lays it out and what the allocator rounds that up to; the tables grow
by doubling, and under a cap an engine puts that off as long as the bigger table does not fit.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

import numpy as np

from workbench.analysis.key_sizes import GROWN_ANYWAY, allocated_bytes
from workbench.errors import UsageError, nearest

__all__ = [
    "LAYOUTS",
    "Fit",
    "Layout",
    "Session",
    "allocated",
    "first_eviction_s",
    "layout_of",
    "named_layout",
    "sampled_layout",
    "sessions_that_fit",
]

_EMBEDDED_REDIS: Final = 44
_EMBEDDED_VALKEY: Final = 128
_BUCKET: Final = 64
_PAGE: Final = 4096
_BUCKET_ENTRIES: Final = 7
_STALE: Final = 0.1


@dataclass(frozen=True, slots=True)
class Session:
    """
    What one session takes, bytes, on average; as ``used_memory`` counts it.

    Attributes:
        key: the key's text, where it is kept for itself.
        value: the value's text, with its header.
        objects: what leads to them: the object, the entries of both tables.
    """

    key: float
    value: float
    objects: float

    @property
    def total(self) -> float:
        """All of it, without its share of the tables."""
        return self.key + self.value + self.objects


@dataclass(frozen=True, slots=True)
class Layout:
    """
    How an engine with an allocator keeps a session.

    Attributes:
        name: for people: ``Redis 7.0, jemalloc``.
        engine: ``redis`` or ``valkey``.
        allocator: ``jemalloc`` or ``libc``.
        startup_bytes: ``used_memory`` of the empty server, with an append-only file.
        client_bytes: of a connection that is in use.
        header_bytes: that the allocator keeps beside each piece, and ``used_memory`` leaves out.
        releases: a rewrite gives the whole pages of a value back once it has written it, which
            an engine does that was built with jemalloc.
        extra_bytes: what a session takes besides its value, tables and all, as a live sample found
            it; None where it is worked out.
    """

    name: str
    engine: str
    allocator: str
    startup_bytes: int
    client_bytes: int
    header_bytes: int = 0
    releases: bool = False
    extra_bytes: float | None = None

    def session(
        self, value_bytes: float | Sequence[float], *, key_bytes: int, ttl: bool = True
    ) -> Session:
        """
        What one session takes.

        Args:
            value_bytes: length of a value, or of many: then the mean.
            key_bytes: length of the key's name.
            ttl: it has a time to live.
        """
        lengths = np.unique(np.asarray(value_bytes, dtype=float).ravel(), return_counts=True)
        parts = [self._one(math.ceil(length), key_bytes, ttl) for length in lengths[0]]
        key, value, objects = np.average(parts, axis=0, weights=lengths[1])
        return Session(float(key), float(value), float(objects))

    def tables(self, sessions: float, buckets: Sequence[int]) -> float:
        """
        What the tables of keys take, bytes.

        Args:
            sessions: how many are in each.
            buckets: of the table of keys, and of that of times to live if there is one.
        """
        if self.extra_bytes is not None:
            return 0.0
        if self.engine == "redis":
            return 8.0 * sum(buckets)
        child = allocated(_BUCKET, self.allocator)
        return sum(_BUCKET * each + child * each * _chained(sessions / each) for each in buckets)

    def holds(self, buckets: int) -> int:
        """How many keys a table of so many buckets takes before it wants to grow."""
        return buckets if self.engine == "redis" else _BUCKET_ENTRIES * buckets

    def released_share(self, lengths: Sequence[int]) -> float:
        """Of the memory of values, what a rewrite gives back: whole pages that one has alone."""
        if not self.releases:
            return 0.0
        taken = [allocated(_header(each) + each + 1, self.allocator) for each in lengths]
        return sum(each * _whole_pages(each) for each in taken) / sum(taken)

    def _one(self, length: int, key_bytes: int, ttl: bool) -> tuple[float, float, float]:
        def size(wanted: int) -> int:
            return allocated(wanted, self.allocator)

        if self.extra_bytes is not None:
            return 0, size(_header(length) + length + 1), self.extra_bytes
        if self.engine == "redis":
            entries = size(24) * (2 if ttl else 1)
            key = size(_header(key_bytes) + key_bytes + 1)
            if length <= _EMBEDDED_REDIS:
                return key, size(16 + 3 + length + 1), entries
            return key, size(_header(length) + length + 1), entries + size(16)
        # Valkey keeps key and time to live in the object, and a short value as well.
        within = 8 * ttl + 1 + _header(key_bytes) + key_bytes + 1
        if length < 256 and 8 + within + 3 + length + 1 <= _EMBEDDED_VALKEY:
            return 0, size(8 + within + 3 + length + 1), 0
        return 0, size(_header(length) + length + 1), size(16 + within)


LAYOUTS: Final = (
    Layout("Redis 7.0, jemalloc", "redis", "jemalloc", 876_000, 38_100, releases=True),
    Layout("Valkey 9.1, jemalloc", "valkey", "jemalloc", 930_000, 17_200),
    Layout("Valkey 9.1, libc", "valkey", "libc", 998_300, 17_200, header_bytes=8),
)
"""
The engines and allocators whose layout is known. Startup and connections were measured (Redis
7.0.15, Valkey 9.1.2, 100 connections; one that was idle for 2 s takes 1.8 KB).
"""


@dataclass(frozen=True, slots=True)
class Fit:
    """
    How many sessions stay under a cap.

    Attributes:
        layout: of which engine and allocator.
        sessions: how many.
        session: what each takes.
        tables_bytes: the tables of keys.
        fixed_bytes: the empty server and its connections.
        full_table: the tables are as full as they get before the cap puts their growth off; a cap
            a little higher or a moment of less memory has them double.
    """

    layout: Layout
    sessions: int
    session: Session
    tables_bytes: int
    fixed_bytes: int
    full_table: bool

    @property
    def bytes_per_session(self) -> float:
        """With its share of the tables."""
        return self.session.total + (self.tables_bytes / self.sessions if self.sessions else 0.0)


@lru_cache(maxsize=4096)
def allocated(wanted: int, allocator: str) -> int:
    """What an allocator gives for so many bytes, as ``used_memory`` counts it."""
    return int(allocated_bytes(np.array([wanted]), allocator)[0])


def layout_of(engine: str, version: str, allocator: str, *, preload: str = "") -> Layout | None:
    """
    The layout of a server program; None if it is not known, and only a live sample tells.

    Args:
        engine: ``redis`` or ``valkey``.
        version: as in ``7.0.15``.
        allocator: as in ``jemalloc-5.3.0`` or ``libc``.
        preload: the library that it is started with.
    """
    family = "libc" if allocator == "libc" and not preload else "jemalloc"
    release = ".".join(version.split(".")[:2])
    for layout in LAYOUTS:
        if (layout.engine, layout.allocator) == (engine, family):
            return layout if layout.name.split(",")[0].endswith(f" {release}") else None
    return None


def sessions_that_fit(
    layout: Layout,
    maxmemory_bytes: int,
    *,
    value_bytes: float | Sequence[float],
    key_bytes: int,
    ttl: bool = True,
    clients: int = 1,
    other_bytes: int = 0,
) -> Fit:
    """
    How many sessions are there when the cap has been reached.

    Args:
        layout: of the engine and its allocator.
        maxmemory_bytes: the cap.
        value_bytes: length of a value, or of many: then the mean of what they take counts.
        key_bytes: length of a key's name.
        ttl: sessions have a time to live.
        clients: connections that are in use.
        other_bytes: what else the server keeps that the cap counts.
    """
    session = layout.session(value_bytes, key_bytes=key_bytes, ttl=ttl)
    fixed = layout.startup_bytes + clients * layout.client_bytes + other_bytes
    room = maxmemory_bytes - fixed
    buckets = [4 if layout.engine == "redis" else 1] * (2 if ttl else 1)
    if room <= session.total:
        return Fit(layout, 0, session, 0, fixed, full_table=False)

    def within(count: float) -> bool:
        return count * session.total + layout.tables(count, buckets) <= room

    while True:
        full = [layout.holds(each) for each in buckets]
        grown = list(buckets)
        used = session.total * min(full) + layout.tables(min(full), buckets)
        for index, holds in enumerate(full):
            if holds > min(full) or not within(holds + 1):
                continue
            more = layout.tables(0, [2 * buckets[index]])
            # The old table stays until all keys have moved.
            if used + more <= room or within(GROWN_ANYWAY * holds):
                grown[index] = 2 * buckets[index]
                used += more
        if grown == buckets:
            break
        buckets = grown
    most = _most(within, room / session.total)
    sessions = int(most)
    return Fit(
        layout,
        sessions,
        session,
        round(layout.tables(sessions, buckets)),
        fixed,
        full_table=any(sessions > holds for holds in full),
    )


def first_eviction_s(
    sessions: int, sessions_per_s: float, ttl_s: float | None
) -> tuple[float | None, float | None]:
    """
    When a server that is empty evicts its first session, s; None if it never does.

    Expired sessions stay until they are found: up to a tenth of what is there, by the server's own
    measure. So a cap that is meant never to evict has to leave that room.

    Args:
        sessions: that fit.
        sessions_per_s: that begin.
        ttl_s: from a session's last write to its end; None without one.

    Returns:
        the time; and how many sessions there are at most, None if they grow without an end.

    Source:
        ``activeExpireCycle`` goes on while more than a tenth of what it samples had expired
        (active-expire-effort 1; Redis 7.0.15, expire.c).
    """
    steady = None if ttl_s is None else sessions_per_s * ttl_s * (1 + _STALE)
    if sessions_per_s <= 0 or (steady is not None and steady <= sessions):
        return None, steady
    return sessions / sessions_per_s, steady


def named_layout(name: str) -> Layout:
    """
    The layout by a part of its name, as ``valkey, libc``.

    Raises:
        UsageError: there is none.
    """
    wanted = name.lower()
    for layout in LAYOUTS:
        if all(word in layout.name.lower() for word in wanted.replace(",", " ").split()):
            return layout
    known = {f"{layout.engine} {layout.allocator}" for layout in LAYOUTS}
    if nearest(name, known).startswith("; known"):
        known |= {layout.engine for layout in LAYOUTS}
    raise UsageError(f"no engine and allocator go by {name!r}{nearest(name, known)}")


def sampled_layout(
    engine: str,
    version: str,
    allocator: str,
    *,
    session_bytes: float,
    value_bytes: float | Sequence[float],
) -> Layout:
    """
    The layout of a server program that is not known, by what a live sample found.

    Args:
        engine: ``redis`` or ``valkey``.
        version: as in ``8.0.1``.
        allocator: ``jemalloc`` or ``libc``.
        session_bytes: what a session took, with its share of the tables.
        value_bytes: lengths of the values that were sampled.
    """
    alike = next(each for each in reversed(LAYOUTS) if each.engine == engine)
    release = ".".join(version.split(".")[:2])
    unknown = replace(
        alike,
        name=f"{engine.capitalize()} {release}, {allocator}, sampled",
        allocator=allocator,
        extra_bytes=0.0,
        header_bytes=8 if allocator == "libc" else 0,
    )
    value = unknown.session(value_bytes, key_bytes=0).value
    return replace(unknown, extra_bytes=session_bytes - value)


def _most(within: Callable[[float], bool], high: float) -> float:
    low = 0.0
    while high - low > 0.5:
        middle = (low + high) / 2
        if within(middle):
            low = middle
        else:
            high = middle
    return low


def _header(length: int) -> int:
    """Of a text, in bytes, by its length."""
    return 1 if length < 32 else 3 if length < 256 else 5 if length < 65_536 else 9


@lru_cache(maxsize=4096)
def _whole_pages(size: int) -> float:
    """Of pieces of a size that follow each other, the share that lies on pages of one alone."""
    if size < _PAGE:
        return 0.0
    starts = np.arange(_PAGE // math.gcd(size, _PAGE)) * size
    whole = (starts + size) // _PAGE - -(-starts // _PAGE)
    return float(np.maximum(0, whole).sum() * _PAGE / (len(starts) * size))


@lru_cache(maxsize=4096)
def _chained(mean: float) -> float:
    """How many buckets are chained to one, on average, if so many keys fall to each."""
    if mean <= 0:
        return 0.0
    most = int(mean + 12 * math.sqrt(mean) + 24)
    keys = np.arange(most)
    logs = keys * math.log(mean) - mean - np.concatenate(([0.0], np.cumsum(np.log(keys[1:]))))
    # A bucket with a successor has one place less.
    chained = np.where(keys <= _BUCKET_ENTRIES, 0, np.ceil((keys - _BUCKET_ENTRIES) / 6))
    return float((np.exp(logs) * chained).sum())
