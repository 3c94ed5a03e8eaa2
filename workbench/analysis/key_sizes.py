"""
What a key costs a server: allocator classes, dictionary entries, and hash tables that grow.

From the value's length to the bytes that ``used_memory`` grows by, for Redis 7.0 and Valkey 9.1.
"""

from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from workbench.errors import UsageError, nearest

__all__ = ["GROWN_ANYWAY", "KeySizes", "TableShape", "allocated_bytes"]

GROWN_ANYWAY: Final = 1.618
"""Fill from which a table grows although what it grows by does not fit under the cap."""

_EMBEDDED_REDIS: Final = 44
_EMBEDDED_VALKEY: Final = 128
_TABLE_SLOT: Final = 8


@dataclass(frozen=True, slots=True)
class TableShape:
    """
    How an engine's hash table is laid out.

    Attributes:
        bucket_bytes: of one bucket; a table has a power of two of them.
        bucket_keys: that a bucket has room for; 0 if its keys are a list that hangs from it.
        sparse: percent of its places, under which a table gets smaller.
    """

    bucket_bytes: int
    bucket_keys: int
    sparse: int

    @property
    def chained(self) -> bool:
        """Whether a bucket is the head of a list, as in Redis 7.0."""
        return not self.bucket_keys

    def grown(self, keys: int) -> int:
        """How many buckets a table gets that must hold so many keys."""
        if self.chained:
            return max(4, 1 << (keys - 1).bit_length())
        # Valkey leaves some room when it grows: at most 32 keys for 5 buckets of 7.
        return 1 << max(0, (5 * keys - 1) // 32).bit_length()


_SHAPES: Final = {"redis": TableShape(_TABLE_SLOT, 0, 10), "valkey": TableShape(64, 7, 13)}


@dataclass(frozen=True, slots=True)
class KeySizes:
    """
    What keys cost on a server of this engine and allocator.

    Attributes:
        engine: ``redis`` or ``valkey``.
        allocator: as INFO names it, ``jemalloc-5.3.0`` or ``libc``; of a preloaded one that one.
        name_bytes: length of a key's name.
        scale: what the server's own samples say of the figures: 1 if they fit.
    """

    engine: str
    allocator: str
    name_bytes: int
    scale: float = 1.0

    @classmethod
    def of(cls, engine: str, allocator: str, name_bytes: int, *, preload: str = "") -> Self:
        """
        The sizes on a server, by what its manifest says.

        Raises:
            UsageError: how such an engine lays keys out is not known.
        """
        if engine not in _SHAPES:
            raise UsageError(
                f"how {engine or 'an unknown engine'} lays its keys out is not known"
                f"{nearest(engine, _SHAPES)}"
            )
        return cls(engine, "jemalloc-5.3.0" if "jemalloc" in preload else allocator, name_bytes)

    def scaled(self, scale: float) -> Self:
        """The same, as the samples of a server say."""
        return replace(self, scale=scale)

    @property
    def table(self) -> TableShape:
        """The hash tables'."""
        return _SHAPES[self.engine]

    def key_bytes(
        self, value_bytes: NDArray[np.int64], *, volatile: NDArray[np.bool_]
    ) -> NDArray[np.int64]:
        """
        What each key costs besides the hash tables, B.

        Args:
            value_bytes: lengths of the values.
            volatile: whether it has a time to live.
        """
        parts = self._redis if self.engine == "redis" else self._valkey
        value, rest = parts(np.asarray(value_bytes, dtype=np.int64), np.asarray(volatile))
        cost: NDArray[np.int64] = np.rint(self.scale * (value + rest)).astype(np.int64)
        return cost

    def argument_bytes(self, value_bytes: NDArray[np.int64]) -> NDArray[np.int64]:
        """What the argument of a write takes before the value is in its place, B."""
        lengths = np.asarray(value_bytes, dtype=np.int64)
        return self._allocated(_sds_bytes(lengths)) + self._allocated(np.full_like(lengths, 16))

    def _redis(
        self, lengths: NDArray[np.int64], volatile: NDArray[np.bool_]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        entry = int(self._allocated(np.array([24]))[0])
        name = int(self._allocated(_sds_bytes(np.array([self.name_bytes])))[0])
        embedded = self._allocated(16 + 4 + lengths)
        apart = self._allocated(_sds_bytes(lengths)) + self._allocated(np.full_like(lengths, 16))
        value = np.where(lengths <= _EMBEDDED_REDIS, embedded, apart)
        return value, np.where(volatile, 2 * entry, entry) + name

    def _valkey(
        self, lengths: NDArray[np.int64], volatile: NDArray[np.bool_]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        name = 1 + int(_sds_bytes(np.array([self.name_bytes]))[0])
        head = 8 + name + np.where(volatile, 8, 0)
        whole = head + 4 + lengths
        embedded = (whole <= _EMBEDDED_VALKEY) & (lengths < 256)
        value = np.where(embedded, 0, self._allocated(_sds_bytes(lengths)))
        # One that is not embedded is pointed at: 8 bytes more.
        return value, self._allocated(np.where(embedded, whole, head + 8))

    def _allocated(self, asked: NDArray[np.int64]) -> NDArray[np.int64]:
        return allocated_bytes(asked, self.allocator)


def allocated_bytes(asked: NDArray[np.int64], allocator: str) -> NDArray[np.int64]:
    """
    What an allocator gives for what it is asked, B.

    Args:
        asked: B.
        allocator: as INFO names it. The jemalloc that comes with Redis (5.2.1 and before) has a
            class every 8 bytes up to 64, that of a distribution every 16 up to 128; both then have
            four a doubling. Of glibc's chunks of 16 bytes ``malloc_usable_size`` leaves out the 8
            of the header.
    """
    asked = np.maximum(1, np.asarray(asked, dtype=np.int64))
    if not allocator.startswith("jemalloc"):
        return np.maximum(24, (asked + 8 + 15) // 16 * 16 - 8)
    quantum = 8 if allocator.startswith(("jemalloc-5.2", "jemalloc-5.1", "jemalloc-4")) else 16
    small = np.where(asked <= 8, 8, -(-asked // quantum) * quantum)
    power = np.exp2(np.floor(np.log2(np.maximum(2, asked - 1)))).astype(np.int64)
    step = np.maximum(quantum, power // 4)
    given: NDArray[np.int64] = np.where(asked <= 8 * quantum, small, -(-asked // step) * step)
    return given


def _sds_bytes(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """A string with its head and the zero at its end."""
    heads = [lengths < 32, lengths < 256, lengths < 65536]
    whole: NDArray[np.int64] = lengths + np.select(heads, [1, 3, 5], default=9) + 1
    return whole
