"""
A simulated server: which keys it evicts and which expire, given accesses and their times.

What Redis 7.0 and Valkey 9.1 do is done here as they do it: a few keys are drawn from neighbouring
buckets and compared with a pool of sixteen, whose entries are as old as they were when they were
drawn; the clock of the least recently used has whole seconds, and moves ten times a second at
most; frequencies are counted by chance and fade by the minute; what is over its time to live goes
when it is asked for, or when the server looks for such keys.
"""

import math
from abc import abstractmethod
from array import array
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from workbench.analysis.accesses import Accesses
from workbench.analysis.hash_tables import hash_table
from workbench.analysis.key_sizes import KeySizes
from workbench.errors import UsageError, nearest

__all__ = ["EXACT_LRU", "POLICIES", "RENEWALS", "Outcome", "Settings", "simulate"]

POLICIES: Final = (
    "allkeys-lru",
    "volatile-lru",
    "allkeys-lfu",
    "volatile-lfu",
    "volatile-ttl",
    "allkeys-random",
    "volatile-random",
    "noeviction",
)
"""The policies of Redis, all of which are simulated."""

EXACT_LRU: Final = "exact-lru"
"""No policy of Redis: what evicting exactly the least recently used key would do, to compare."""

RENEWALS: Final = ("creation", "write", "touch")
"""From when a time to live runs: the key's creation, its latest write, or its latest access."""

_POOL: Final = 16
_TICK_S: Final = 0.1
_BITS_S: Final = 1e-5
_NEVER: Final = math.inf
_KEYS_A_LOOK: Final = 20
_STALE_PERCENT: Final = 10
_LOOKS_MOST: Final = 2000
_NEW_KEY_FREQUENCY: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """
    The server that is simulated.

    Attributes:
        sizes: what keys cost, and how their tables are laid out.
        capacity_bytes: for keys and their tables: maxmemory less all else that counts.
        keys_max: so many keys fit, whatever they cost; None to go by memory.
        policy: one of POLICIES, or EXACT_LRU.
        samples: keys that are drawn for an eviction.
        ttl_s: time to live of every write; None for what the accesses say.
        renewal: one of RENEWALS.
        lfu_log_factor, lfu_decay_min: as in redis.conf.
        clock_s: of the clock of the least recently used.
    """

    sizes: KeySizes
    capacity_bytes: float = math.inf
    keys_max: float | None = None
    policy: str = "allkeys-lru"
    samples: int = 5
    ttl_s: float | None = None
    renewal: str = "write"
    lfu_log_factor: int = 10
    lfu_decay_min: int = 1
    clock_s: float = 1.0

    def __post_init__(self) -> None:
        if self.policy not in (*POLICIES, EXACT_LRU):
            raise UsageError(
                f"there is no eviction policy {self.policy!r}{nearest(self.policy, POLICIES)}"
            )
        if self.renewal not in RENEWALS:
            raise UsageError(
                f"a time to live is not renewed by {self.renewal!r}"
                f"{nearest(self.renewal, RENEWALS)}"
            )
        if self.samples < 1:
            raise UsageError(f"{self.samples} samples: at least one key is drawn for an eviction")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """
    What became of the accesses that count.

    Attributes:
        turns: all that count.
        needing: those that went on with a conversation, and were carried out.
        evicted: of these, those that found it gone although its time to live was not over.
        expired: of these, those that found it gone, and its time to live was over.
        refused: those whose write was refused for want of memory.
        evicted_keys, expired_keys: that the server took away, over all accesses.
        keys: at the end.
        used_bytes: of keys and tables at the end.
        keys_p50: median over the tenths of a second since the first eviction; NaN without any.
        used_at: keys and their memory when asked for: see ``simulate``.
    """

    turns: int
    needing: int
    evicted: int
    expired: int
    refused: int
    evicted_keys: int
    expired_keys: int
    keys: int
    used_bytes: float
    keys_p50: float
    used_at: tuple[tuple[float, int, float], ...] = ()

    @property
    def evicted_share(self) -> float:
        """Of the turns that needed a state; NaN if none did."""
        return self.evicted / self.needing if self.needing else math.nan

    @property
    def expired_share(self) -> float:
        """Of the turns that needed a state; NaN if none did."""
        return self.expired / self.needing if self.needing else math.nan

    @property
    def gone_share(self) -> float:
        """Of the turns that needed a state, those that found none."""
        return self.evicted_share + self.expired_share

    @property
    def refused_share(self) -> float:
        """Of all turns that count; NaN if there is none."""
        return self.refused / self.turns if self.turns else math.nan


def simulate(
    accesses: Accesses,
    settings: Settings,
    *,
    seed: int = 0,
    look_at_s: NDArray[np.float64] | None = None,
) -> Outcome:
    """
    Carry accesses out on a simulated server.

    The same arguments have the same outcome.

    Args:
        accesses: as ``accesses_of`` makes them, or by hand.
        settings: of the server.
        seed: of what the server draws: which keys are neighbours, which of them are compared.
        look_at_s: when to note how many keys there are and what they take, on the clock of the
            accesses; ascending.
    """
    server = _server(accesses, settings, seed)
    looks = _Looks(server, look_at_s)
    _fill(server, accesses)
    counts = _carry_out(server, accesses, looks)
    return Outcome(
        **counts,
        evicted_keys=server.evicted_keys,
        expired_keys=server.expired_keys,
        keys=len(server),
        used_bytes=server.used,
        keys_p50=server.keys_p50,
        used_at=looks.rest(),
    )


class _Server:
    """
    What all policies have in common: memory, times to live, clocks.

    What is asked for at every access are plain attributes, for the sake of speed.
    """

    def __init__(self, accesses: Accesses, settings: Settings, seed: int) -> None:
        self.settings = settings
        self.random = Random(seed)
        self.sized = settings.keys_max is None
        self.capacity = settings.capacity_bytes if settings.keys_max is None else settings.keys_max
        self.costs = _Costs(settings.sizes if self.sized else None, settings.ttl_s)
        self.used = 0.0
        count = accesses.keys
        hashes = array("I", self.random.randbytes(4 * count))
        shape = settings.sizes.table
        # With a time to live on all keys, or on none, one table tells of both.
        volatile = np.isfinite(self.costs.ttl_s(accesses.ttl_s))
        held_volatile = np.isfinite(self.costs.ttl_s(accesses.held_ttl_s))
        some = bool(volatile.any() or held_volatile.any())
        every = bool(volatile.all() and held_volatile.all())
        self.main = hash_table(shape, hashes, self.random)
        self.expires = self.main if every else hash_table(shape, hashes, self.random)
        self.tables = 2 if every else 1
        self.mixed = some and not every
        self.sampled = self.expires if settings.policy.startswith("volatile") else self.main
        self.cost = array("i", bytes(4 * count))  # of each key, B; 0 if it is not there
        self.expire = array("d", bytes(8 * count))
        self.last = array("i", bytes(4 * count))  # whole seconds of the clock
        self.held = bytearray(count)
        self.evicted_keys = self.expired_keys = 0
        self.first_expiry = _NEVER
        self.origin_s = accesses.origin_unix_s
        # Redis moves the clock ten times a second, so up to 0.1 s late; Valkey does not.
        self.whole_seconds = settings.sizes.engine == "valkey"
        self.next_tick = -self.random.random() * _TICK_S
        self.clock = 0
        self.minute = 0
        self._residents: dict[int, int] = {}
        if self.sized:
            self.used = float(self.tables * self.main.table_bytes)

    def __len__(self) -> int:
        return self.main.keys

    @property
    def keys_p50(self) -> float:
        """Median of the keys at the ticks since the first eviction."""
        if not self._residents:
            return math.nan
        counts = np.array(sorted(self._residents.items()))
        return float(counts[np.searchsorted(counts[:, 1].cumsum(), counts[:, 1].sum() / 2), 0])

    def advance(self, at_s: float) -> None:
        """Do what the server does ten times a second, up to a time."""
        while self.next_tick <= at_s:
            now = self.next_tick
            # After a pause without any access only the last second can matter.
            behind = at_s - now
            if behind > 1.0 and now < self.first_expiry:
                until = min(at_s - 1.0, self.first_expiry)
                now += _TICK_S * math.floor(max(0.0, until - now) / _TICK_S)
            self.next_tick = now + _TICK_S
            # A second that has begun is not missed for the last bits of a sum.
            unix_s, clock_s = self.origin_s + now + _BITS_S, self.settings.clock_s
            if self.whole_seconds:
                second = math.floor(unix_s) + 1 - self.origin_s
                self.next_tick = min(self.next_tick, second)
            self.clock = int(unix_s / clock_s) - int(self.origin_s / clock_s)
            self.minute = int(unix_s // 60)
            more = self.tables * (self.main.shrink() - self.main.rehash())
            if self.mixed:
                more += self.expires.shrink() - self.expires.rehash()
            self.used += more if self.sized else 0
            if now >= self.first_expiry:
                self._expire_some(now)
            if self.evicted_keys:
                keys = self.main.keys
                self._residents[keys] = self._residents.get(keys, 0) + 1

    def insert(self, key: int, cost: int) -> None:
        """Put a key in that is not there, whose expiry is known."""
        self.cost[key] = cost
        room = self.capacity - self.used
        more = self.tables * self.main.insert(key, room)
        if self.mixed and self.expire[key] < _NEVER:
            more += self.expires.insert(key, room)
        self.used += cost + (more if self.sized else 0)
        self.first_expiry = min(self.first_expiry, self.expire[key])

    def remove(self, key: int) -> None:
        """Take a key away."""
        freed = self.tables * self.main.remove(key)
        if self.mixed and self.expire[key] < _NEVER:
            freed += self.expires.remove(key)
        self.used -= self.cost[key] + (freed if self.sized else 0)
        self.cost[key] = 0

    def evict(self, more_bytes: float) -> bool:
        """Evict until so much more fits; False if it cannot be had."""
        while self.used + more_bytes > self.capacity:
            key = self.choose()
            if key < 0:
                return False
            self.remove(key)
            self.evicted_keys += 1
        return True

    def touch(self, key: int, times: int) -> None:
        """Note that a key was asked for."""
        self.last[key] = self.clock

    def created(self, key: int) -> None:
        """Note that a key is new."""
        self.last[key] = self.clock

    def age(self, key: int, age_s: float) -> None:
        """Note that a key was last asked for some time ago."""
        self.last[key] = self.clock - int(age_s / self.settings.clock_s)

    @abstractmethod
    def choose(self) -> int:
        """The key that is evicted next; -1 if none may be."""

    def _expire_some(self, now: float) -> None:
        """Look for keys whose time is over, again while many of those looked at are."""
        table, expire, walk = self.expires, self.expire, self.expires.walk
        for _ in range(_LOOKS_MOST):
            asked = min(_KEYS_A_LOOK, table.keys)
            looked = over = 0
            for _ in range(20 * asked):
                for key in walk():
                    looked += 1
                    if expire[key] <= now:
                        self.remove(key)
                        over += 1
                if looked >= asked:
                    break
            self.expired_keys += over
            if 100 * over <= _STALE_PERCENT * looked:
                break


class _Pooled(_Server):
    """Policies that compare some keys, and keep the best of them in a pool."""

    def __init__(self, accesses: Accesses, settings: Settings, seed: int) -> None:
        super().__init__(accesses, settings, seed)
        self._pool: list[float] = []
        self._pool_keys: list[int] = []

    def choose(self) -> int:
        pool, pool_keys, cost = self._pool, self._pool_keys, self.cost
        sample, count = self.sampled.sample, self.settings.samples
        while self.sampled.keys:
            drawn = sample(count)
            for key, idle in zip(drawn, self._idle(drawn), strict=True):
                if len(pool) < _POOL:
                    at = bisect_left(pool, idle)
                elif pool[0] < idle:
                    at = bisect_left(pool, idle) - 1
                    del pool[0], pool_keys[0]
                else:
                    continue
                # Before those that are as idle: the one that was drawn earlier goes earlier.
                pool.insert(at, idle)
                pool_keys.insert(at, key)
            while pool:
                pool.pop()
                key = pool_keys.pop()
                if cost[key]:  # else it has gone since it was drawn
                    return key
        return -1

    @abstractmethod
    def _idle(self, keys: list[int]) -> list[float]:
        """How much each is worth evicting."""


class _Lru(_Pooled):
    def _idle(self, keys: list[int]) -> list[float]:
        clock, last = self.clock, self.last
        return [clock - last[key] for key in keys]


class _Ttl(_Pooled):
    def _idle(self, keys: list[int]) -> list[float]:
        expire = self.expire
        return [-expire[key] for key in keys]


class _Lfu(_Pooled):
    """``last`` holds minutes here."""

    def __init__(self, accesses: Accesses, settings: Settings, seed: int) -> None:
        super().__init__(accesses, settings, seed)
        self._frequency = bytearray(accesses.keys)
        factor = settings.lfu_log_factor
        above = (max(0, count - _NEW_KEY_FREQUENCY) for count in range(256))
        self._odds = [1 / (factor * each + 1) for each in above]
        self._odds[255] = 0.0

    def touch(self, key: int, times: int) -> None:
        count = self._faded(key)
        random, odds = self.random.random, self._odds
        for _ in range(times):
            if random() < odds[count]:
                count += 1
        self._frequency[key] = count
        self.last[key] = self.minute

    def created(self, key: int) -> None:
        self._frequency[key] = _NEW_KEY_FREQUENCY
        self.last[key] = self.minute

    def age(self, key: int, age_s: float) -> None:
        # As the load's prefill has it: one write and some reads make 6 of 5.
        decay_min = self.settings.lfu_decay_min
        faded = int(age_s // (60 * decay_min)) if decay_min else 0
        self._frequency[key] = max(0, _NEW_KEY_FREQUENCY + 1 - faded)
        self.last[key] = self.minute

    def _faded(self, key: int) -> int:
        count, minutes, decay_min = (
            self._frequency[key],
            self.minute - self.last[key],
            self.settings.lfu_decay_min,
        )
        return max(0, count - minutes // decay_min) if decay_min and minutes else count

    def _idle(self, keys: list[int]) -> list[float]:
        frequency, last, minute = self._frequency, self.last, self.minute
        decay_min = self.settings.lfu_decay_min
        if not decay_min:
            return [255 - frequency[key] for key in keys]
        return [255 - max(0, frequency[key] - (minute - last[key]) // decay_min) for key in keys]


class _Random(_Server):
    def choose(self) -> int:
        return self.sampled.any()


class _None(_Server):
    def choose(self) -> int:
        return -1


class _Exact(_Server):
    """Exactly the least recently used key, by a clock that knows every access."""

    def __init__(self, accesses: Accesses, settings: Settings, seed: int) -> None:
        super().__init__(accesses, settings, seed)
        self._order: OrderedDict[int, None] = OrderedDict()

    def touch(self, key: int, times: int) -> None:
        self._order.move_to_end(key)

    def created(self, key: int) -> None:
        self._order[key] = None

    def age(self, key: int, age_s: float) -> None:
        self._order[key] = None  # keys come in the order of their last writes

    def remove(self, key: int) -> None:
        super().remove(key)
        self._order.pop(key, None)

    def choose(self) -> int:
        return next(iter(self._order), -1)


def _server(accesses: Accesses, settings: Settings, seed: int) -> _Server:
    kinds: dict[str, type[_Server]] = {"lru": _Lru, "lfu": _Lfu, "ttl": _Ttl, "random": _Random}
    if settings.policy == EXACT_LRU:
        return _Exact(accesses, settings, seed)
    return kinds.get(settings.policy.rpartition("-")[2], _None)(accesses, settings, seed)


@dataclass(frozen=True, slots=True)
class _Costs:
    """Costs of writes, whole columns at once."""

    sizes: KeySizes | None
    ttl: float | None

    def ttl_s(self, ttl_s: NDArray[np.float32]) -> NDArray[np.float64]:
        return np.full(len(ttl_s), self.ttl) if self.ttl is not None else ttl_s.astype(np.float64)

    def key_bytes(
        self, lengths: NDArray[np.int32], ttl_s: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        if self.sizes is None:
            return np.ones(len(lengths), dtype=np.int64)
        return self.sizes.key_bytes(lengths.astype(np.int64), volatile=np.isfinite(ttl_s))

    def argument_bytes(self, lengths: NDArray[np.int32]) -> NDArray[np.int64]:
        if self.sizes is None:
            return np.zeros(len(lengths), dtype=np.int64)
        return self.sizes.argument_bytes(lengths.astype(np.int64))


class _Looks:
    """Notes the server's memory at given times."""

    def __init__(self, server: _Server, at_s: NDArray[np.float64] | None) -> None:
        self._server = server
        self._at_s = iter([] if at_s is None else at_s.tolist())
        self._seen: list[tuple[float, int, float]] = []
        self.next_s: float = next(self._at_s, _NEVER)

    def look(self, at_s: float) -> None:
        while self.next_s <= at_s:
            self._seen.append((self.next_s, len(self._server), self._server.used))
            self.next_s = next(self._at_s, _NEVER)

    def rest(self) -> tuple[tuple[float, int, float], ...]:
        return tuple(self._seen)


def _fill(server: _Server, accesses: Accesses) -> None:
    """What was written before the first access, as old as it is then."""
    server.advance(0.0)
    ttl_s = server.costs.ttl_s(accesses.held_ttl_s)
    rows = zip(
        accesses.held_key.tolist(),
        accesses.held_s.tolist(),
        (accesses.held_s + ttl_s).tolist(),
        server.costs.key_bytes(accesses.held_bytes, ttl_s).tolist(),
        strict=True,
    )
    for key, written_s, expire_s, cost in rows:
        server.held[key] = 1
        server.expire[key] = expire_s
        if expire_s > 0 and server.evict(0):
            server.insert(key, cost)
            server.age(key, -written_s)


def _rows(server: _Server, accesses: Accesses) -> Iterator[Any]:
    """A tuple an access, as plain objects."""
    costs = server.costs
    for part in accesses.parts():
        ttl_s = costs.ttl_s(accesses.ttl_s[part])
        value, fresh = accesses.value_bytes[part], accesses.fresh_bytes[part]
        yield from zip(
            accesses.at_s[part].tolist(),
            accesses.key[part].tolist(),
            accesses.writes[part].tolist(),
            accesses.counted[part].tolist(),
            costs.key_bytes(value, ttl_s).tolist(),
            costs.argument_bytes(value).tolist(),
            costs.key_bytes(fresh, ttl_s).tolist(),
            costs.argument_bytes(fresh).tolist(),
            ttl_s.tolist(),
            strict=True,
        )


def _carry_out(server: _Server, accesses: Accesses, looks: _Looks) -> dict[str, int]:  # noqa: PLR0912, PLR0915
    """Every access: one loop without calls where nothing has to be done, for speed."""
    cost, expire, held = server.cost, server.expire, server.held
    capacity, touches, rewrites = server.capacity, accesses.touches, accesses.rewrites
    renewal = server.settings.renewal
    by_touch, by_creation = renewal == "touch", renewal == "creation"
    touch: Callable[[int, int], None] | None = server.touch
    last = server.last
    if type(server).touch is _Server.touch:
        touch = None
    turns = needing = evicted = expired = refused = 0
    tick, clock = server.next_tick, server.clock
    for at_s, key, writes, counts, full, full_more, fresh, fresh_more, ttl_s in _rows(
        server, accesses
    ):
        if at_s >= tick:
            server.advance(at_s)
            tick, clock = server.next_tick, server.clock
            if at_s >= looks.next_s:
                looks.look(at_s)
        turns += counts
        if server.used > capacity:
            server.evict(0)
        size = cost[key]
        if size and expire[key] <= at_s:
            server.remove(key)
            server.expired_keys += 1
            size = 0
        found = False
        if held[key]:
            if size:
                found = True
                if touch is None:
                    last[key] = clock
                else:
                    touch(key, touches if writes else 1)
                if by_touch:
                    expire[key] = at_s + ttl_s
                if not writes:
                    needing += counts
                    continue
                new, more = full, full_more
            else:
                needing += counts
                if expire[key] <= at_s:
                    expired += counts
                else:
                    evicted += counts
                if not rewrites:
                    held[key] = 0
                    continue
                new, more = fresh, fresh_more
        elif writes or rewrites:
            new, more = fresh, fresh_more
        else:
            continue
        if server.used + more > capacity:
            if not server.evict(more):
                refused += counts
                continue
            size = cost[key]
        if found:
            needing += counts
        if size:
            server.used += new - size
            cost[key] = new
            if not by_creation:
                expire[key] = at_s + ttl_s
        else:
            expire[key] = at_s + ttl_s
            server.insert(key, new)
            server.created(key)
        held[key] = 1
    return {
        "turns": turns,
        "needing": needing,
        "evicted": evicted,
        "expired": expired,
        "refused": refused,
    }
