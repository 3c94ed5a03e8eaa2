"""
The hash tables of a simulated server: which keys are drawn together, and how much memory they take.

Redis and Valkey draw the keys that they compare before an eviction from neighbouring buckets, in
the order in which they lie there. So which keys are neighbours, and in which order, is kept here as
on the server; in which bucket a key is, is drawn by the seed.
"""

from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Iterable
from random import Random
from typing import Final

from workbench.analysis.key_sizes import GROWN_ANYWAY, TableShape

__all__ = ["HashTable", "hash_table"]

_REHASHED_A_TICK: Final = 16_384
_REHASHED_A_WRITE: Final = 3
_HOLE: Final = -1


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
        self._places = shape.bucket_keys or 1
        self._old_buckets = 0
        self._rehashed = 0
        self._cursor = 0
        self._children = 0
        self._lay_out(shape.grown(1), ())
        self.table_bytes = shape.bucket_bytes * self._count

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

    @abstractmethod
    def any(self) -> int:
        """A key at random, as the engine draws one; -1 if there is none."""

    @abstractmethod
    def walk(self) -> list[int]:
        """The keys of the next bucket, going round."""

    def rehash(self, buckets: int = _REHASHED_A_TICK) -> int:
        """Go on with moving to another table, by so many buckets; returns the memory freed, B."""
        if not self._old_buckets:
            return 0
        self._rehashed += buckets
        if self._rehashed < self._old_buckets:
            return 0
        freed = self._shape.bucket_bytes * self._old_buckets
        self._old_buckets = 0
        self.table_bytes -= freed
        return freed

    def shrink(self) -> int:
        """Move to a smaller table if few keys are left; returns by how much memory grows, B."""
        shape, now = self._shape, self._count
        sparse = 100 * self.keys < shape.sparse * now * self._places
        if self._old_buckets or now <= shape.grown(1) or not sparse:
            return 0
        count = shape.grown(max(1, self.keys))
        return self._move(count) if count < now else 0

    def _grow(self, room_bytes: float) -> int:
        """Grow, if that is allowed; returns by how much, B."""
        shape, now = self._shape, self._count
        count = shape.grown(self.keys + 1)
        if self._old_buckets or count <= now:
            return 0
        fits = shape.bucket_bytes * count <= room_bytes
        if not fits and self.keys <= GROWN_ANYWAY * now * self._places:
            return 0
        return self._move(count)

    def _move(self, count: int) -> int:
        """All keys into so many buckets; the old ones are there until ``rehash`` is done."""
        children, old = self._children, self._count
        self._lay_out(count, self._all())
        self._old_buckets, self._rehashed = old, 0
        more_bytes = self._shape.bucket_bytes * (count + self._children - children)
        self.table_bytes += more_bytes
        return more_bytes

    def _lay_out(self, count: int, keys: Iterable[int]) -> None:
        """Make so many buckets, and put keys into them."""
        self._count = count
        self._mask = count - 1
        self._bits = self._mask.bit_length()
        self._children = 0
        self._fill(list(keys))

    @abstractmethod
    def _fill(self, keys: list[int]) -> None:
        """Make the buckets, and put keys into them."""

    @abstractmethod
    def _all(self) -> list[int]:
        """All keys, bucket after bucket."""


class _Chained(HashTable):
    """Redis 7.0's: a list hangs from each bucket, the newest key first."""

    _buckets: list[tuple[int, ...]]

    def insert(self, key: int, room_bytes: float) -> int:
        more_bytes = -self.rehash(_REHASHED_A_WRITE) if self._old_buckets else 0
        if self.keys > self._mask:
            more_bytes += self._grow(room_bytes)
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

    def any(self) -> int:
        while self.keys:  # any bucket that has a key, however many it has
            drawn = self._random(64)
            here = self._buckets[drawn & self._mask]
            if here:
                return here[(drawn >> 48) % len(here)]
        return -1

    def walk(self) -> list[int]:
        self._cursor = (self._cursor + 1) & self._mask
        return list(self._buckets[self._cursor])

    def _fill(self, keys: list[int]) -> None:
        self._buckets = [()] * self._count
        for key in keys:
            at = self._hashes[key] & self._mask
            self._buckets[at] = (key, *self._buckets[at])

    def _all(self) -> list[int]:
        return [key for here in self._buckets for key in here]


class _Bucketed(HashTable):
    """
    Valkey's: a bucket has seven places, the last of which points to a further bucket if need be.

    A key that goes leaves its place to the next that comes, and in a chain of buckets to one from
    its end. So keys that come and go by turns are drawn first, and those that stay are not.
    """

    # The places of a chain in a row, without those that point on; empty ones at the end left out.
    # A further bucket has two keys at least, so that the length tells how many there are.
    _buckets: list[list[int]]

    def insert(self, key: int, room_bytes: float) -> int:
        more_bytes = -self.rehash(_REHASHED_A_WRITE) if self._old_buckets else 0
        if self.keys >= self._count * self._places:
            more_bytes += self._grow(room_bytes)
        here = self._buckets[self._hashes[key] & self._mask]
        self.keys += 1
        if _HOLE in here:
            here[here.index(_HOLE)] = key
            return more_bytes
        here.append(key)
        return more_bytes + self._hang(1 if len(here) > 7 and len(here) % 6 == 2 else 0)

    def remove(self, key: int) -> int:
        here = self._buckets[self._hashes[key] & self._mask]
        self.keys -= 1
        at = here.index(key)
        if len(here) <= 7:
            here[at] = _HOLE
            while here and here[-1] == _HOLE:
                del here[-1]
            return 0
        last = 6 * ((len(here) - 2) // 6)
        if at < last:
            here[at] = next(each for each in here[last:] if each != _HOLE)
            at = here.index(here[at], last)
        here[at] = _HOLE
        left = [each for each in here[last:] if each != _HOLE]
        if len(left) > 1:
            while here[-1] == _HOLE:
                del here[-1]
            return 0
        here[last:] = left
        return -self._hang(-1)

    def sample(self, count: int) -> list[int]:
        # All keys of a bucket at random, and of those after it while that is too few; of too many
        # some. After a bucket comes the one whose number is next with its bits read backwards.
        count = min(count, self.keys)
        buckets, random, top = self._buckets, self._random, self._count >> 1
        at = random(self._bits)
        found: list[int] = []
        while True:
            here = buckets[at]
            if _HOLE in here:
                here = [each for each in here if each != _HOLE]
            fits = count - len(found)
            found += here[:fits]
            if len(here) >= fits:
                for seen, key in enumerate(here[fits:], start=count + 1):
                    place = random(30) % seen
                    if place < count:
                        found[place] = key
                return found
            bit = top
            while at & bit:
                at ^= bit
                bit >>= 1
            at |= bit

    def any(self) -> int:
        while self.keys:  # any key: a bucket that has more of them counts more
            drawn = self._random(64)
            here = self._buckets[drawn & self._mask]
            place = (drawn >> 48) % max(14, len(here))
            if place < len(here) and here[place] != _HOLE:
                return here[place]
        return -1

    def walk(self) -> list[int]:
        self._cursor = (self._cursor + 1) & self._mask
        return [each for each in self._buckets[self._cursor] if each != _HOLE]

    def _fill(self, keys: list[int]) -> None:
        self._buckets = [[] for _ in range(self._count)]
        for key in keys:
            self._buckets[self._hashes[key] & self._mask].append(key)
        self._children = sum((len(here) - 2) // 6 for here in self._buckets if len(here) > 7)

    def _all(self) -> list[int]:
        return [key for here in self._buckets for key in here if key != _HOLE]

    def _hang(self, children: int) -> int:
        self._children += children
        more_bytes = self._shape.bucket_bytes * children
        self.table_bytes += more_bytes
        return more_bytes


def hash_table(shape: TableShape, hashes: "array[int]", random: Random) -> HashTable:
    """An empty table of this shape."""
    return (_Chained if shape.chained else _Bucketed)(shape, hashes, random)
