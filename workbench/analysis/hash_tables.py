"""
The hash tables of a simulated server: which keys are drawn together, and how much memory they take.

Redis and Valkey draw the keys that they compare before an eviction from neighbouring buckets, so
which keys are neighbours is kept here as on the server; a key's place is drawn by the seed.
"""

from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable
from random import Random

from workbench.analysis.key_sizes import GROWN_ANYWAY, TableShape

__all__ = ["HashTable", "hash_table"]

_REHASHED_A_TICK = 16_384


class HashTable(ABC):
    """
    A table of keys, which are numbers.

    Args:
        shape: as the engine lays it out.
        hashes: of every key there may be.
        random: what keys are drawn with.

    Attributes:
        keys: how many are in it.
        table_bytes: memory of its buckets.
    """

    def __init__(self, shape: TableShape, hashes: "array[int]", random: Random) -> None:
        self.keys = 0
        self._shape = shape
        self._hashes = hashes
        self._random: Callable[[int], int] = random.getrandbits
        self._buckets: list[tuple[int, ...]] = [()] * shape.grown(1)
        self._bits = len(self._buckets).bit_length() - 1
        self._mask = len(self._buckets) - 1
        self._children = 0
        self._old_buckets = 0
        self._rehashed = 0
        self._cursor = 0
        self.table_bytes = shape.bucket_bytes * len(self._buckets)

    @abstractmethod
    def sample(self, count: int) -> list[int]:
        """So many keys, or all if there are no more, as the engine draws them."""

    @abstractmethod
    def insert(self, key: int, room_bytes: float) -> int:
        """
        Add a key, and grow if the table is full and may.

        Args:
            key: not in it yet.
            room_bytes: memory that there is under the cap.

        Returns:
            by how much the table's memory grew, B.
        """

    @abstractmethod
    def remove(self, key: int) -> int:
        """Take a key away that is in it; returns the memory that this frees, B."""

    def any(self) -> int:
        """A key at random; -1 if there is none."""
        if not self.keys:
            return -1
        buckets, mask, most = self._buckets, self._mask, self._shape.bucket_keys
        while True:
            drawn = self._random(64)
            here = buckets[drawn & mask]
            # Redis takes any bucket that has a key, Valkey any key: there fuller ones count more.
            if here and (not most or (drawn >> 40) % (2 * most) < len(here)):
                return here[(drawn >> 50) % len(here)]

    def walk(self) -> tuple[int, ...]:
        """The keys of the next bucket, going round."""
        self._cursor = (self._cursor + 1) & self._mask
        return self._buckets[self._cursor]

    def rehash(self) -> int:
        """A tenth of a second's work on moving to a larger table; returns the memory freed, B."""
        if not self._old_buckets:
            return 0
        self._rehashed += _REHASHED_A_TICK
        if self._rehashed < self._old_buckets:
            return 0
        freed = self._shape.bucket_bytes * self._old_buckets
        self._old_buckets = 0
        self.table_bytes -= freed
        return freed

    def _grow(self, room_bytes: float) -> int:
        """Grow, if that is allowed; returns by how much, B."""
        shape, now = self._shape, len(self._buckets)
        count = shape.grown(self.keys + 1)
        if self._old_buckets or count <= now:
            return 0
        capacity = now * (shape.bucket_keys or 1)
        more_bytes = shape.bucket_bytes * count
        if more_bytes > room_bytes and self.keys <= GROWN_ANYWAY * capacity:
            return 0
        moved: list[list[int]] = [[] for _ in range(count)]
        mask, hashes = count - 1, self._hashes
        for here in self._buckets:
            for key in here:
                moved[hashes[key] & mask].append(key)
        self._buckets = [tuple(each) for each in moved]
        self._bits, self._mask = count.bit_length() - 1, mask
        children, self._children = self._children, sum(shape.children(len(each)) for each in moved)
        self._old_buckets, self._rehashed = now, 0
        more_bytes += shape.bucket_bytes * (self._children - children)
        self.table_bytes += more_bytes
        return more_bytes


class _Chained(HashTable):
    """Redis 7.0's: a list hangs from each bucket, the newest key first."""

    def insert(self, key: int, room_bytes: float) -> int:
        more_bytes = 0
        if self.keys > self._mask:
            more_bytes = self._grow(room_bytes)
        at = self._hashes[key] & self._mask
        self._buckets[at] = (key, *self._buckets[at])
        self.keys += 1
        return more_bytes

    def remove(self, key: int) -> int:
        at = self._hashes[key] & self._mask
        here = self._buckets[at]
        self._buckets[at] = () if len(here) == 1 else tuple(each for each in here if each != key)
        self.keys -= 1
        return 0

    def sample(self, count: int) -> list[int]:
        # From a bucket at random on, one after the other; off to another where many are empty.
        count = min(count, self.keys)
        buckets, mask = self._buckets, self._mask
        at = self._random(self._bits)
        found: list[int] = []
        empty = 0
        for _ in range(10 * count):
            here = buckets[at]
            if here:
                empty = 0
                found += here
                if len(found) >= count:
                    del found[count:]
                    break
            else:
                empty += 1
                if empty >= 5 and empty > count:
                    at = self._random(self._bits)
                    empty = 0
            at = (at + 1) & mask
        return found


class _Bucketed(HashTable):
    """Valkey's: each bucket has room for seven keys, and further buckets hang from a full one."""

    def insert(self, key: int, room_bytes: float) -> int:
        shape = self._shape
        more_bytes = 0
        if self.keys + 1 > len(self._buckets) * shape.bucket_keys:
            more_bytes = self._grow(room_bytes)
        at = self._hashes[key] & self._mask
        here = self._buckets[at]
        self._buckets[at] = (*here, key)
        self.keys += 1
        if len(here) >= shape.bucket_keys:
            more_bytes += self._hang(shape.children(len(here) + 1) - shape.children(len(here)))
        return more_bytes

    def remove(self, key: int) -> int:
        shape = self._shape
        at = self._hashes[key] & self._mask
        here = self._buckets[at]
        self._buckets[at] = tuple(each for each in here if each != key)
        self.keys -= 1
        if len(here) <= shape.bucket_keys:
            return 0
        return -self._hang(shape.children(len(here) - 1) - shape.children(len(here)))

    def sample(self, count: int) -> list[int]:
        # All keys of a bucket at random, and of another while that is too few; of too many some.
        count = min(count, self.keys)
        buckets, random = self._buckets, self._random
        found: list[int] = []
        while len(found) < count:
            here = buckets[random(self._bits)]
            fits = count - len(found)
            found += here[:fits]
            for seen, key in enumerate(here[fits:], start=count + 1):
                at = random(30) % seen
                if at < count:
                    found[at] = key
        return found

    def _hang(self, children: int) -> int:
        self._children += children
        more_bytes = self._shape.bucket_bytes * children
        self.table_bytes += more_bytes
        return more_bytes


def hash_table(shape: TableShape, hashes: "array[int]", random: Random) -> HashTable:
    """An empty table of this shape."""
    return (_Chained if shape.chained else _Bucketed)(shape, hashes, random)
