"""
Accesses that are made up by a seed, to hold the simulated eviction against a real server's.

Each lasts some seconds, as long as its replay takes; times to live and pauses are as short.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from workbench.analysis.accesses import Accesses

__all__ = ["WORKLOADS", "sessions"]

_SECONDS: Final = 6.0
_SPREAD: Final = 1.0


def sessions(count: int, seed: int, *, keys: int | None = None) -> Accesses:
    """Sessions that are asked for as often as Zipf has it; a lost one is written anew at once."""
    random = np.random.default_rng(seed)
    keys = count // 5 if keys is None else keys
    key = random.permutation(keys)[_zipf(random, count, keys, 0.9)]
    length = np.exp(random.normal(6.2, 0.6, keys)).clip(60, 3000).astype(int)
    ttl_s = np.where(random.random(keys) < 0.9, 1000.0, np.inf)
    return Accesses.of(
        _times(count),
        key,
        value_bytes=length[key],
        writes=random.random(count) < 0.4,
        ttl_s=ttl_s[key],
        rewrites=True,
    )


def _turns(count: int, seed: int) -> Accesses:
    """Conversations of some turns, with pauses to think: some are longer than a state lives."""
    random = np.random.default_rng(seed)
    turns_mean = 5
    conversations = count // turns_mean
    turns = random.integers(1, 2 * turns_mean, conversations)
    begin_s = random.uniform(-3.0, _SECONDS, conversations)
    key = np.repeat(np.arange(conversations), turns)
    pause_s = np.exp(random.normal(np.log(0.6), _SPREAD, len(key)))
    first = np.concatenate([[0], np.cumsum(turns)[:-1]])
    pause_s[first] = 0.0
    total_s = np.cumsum(pause_s)
    at_s = begin_s[key] + total_s - np.repeat(total_s[first], turns)
    turn = np.arange(len(key)) - np.repeat(first, turns)
    within = (at_s >= 0) & (at_s < _SECONDS)
    order = np.argsort(at_s[within], kind="stable")
    length = (2000 + 60 * turn + random.integers(0, 500, conversations)[key])[within][order]
    return Accesses.of(
        at_s[within][order],
        key[within][order],
        value_bytes=length,
        fresh_bytes=2000,
        ttl_s=3.0,
    )


def _mix(count: int, seed: int) -> Accesses:
    """A hot part that grows, and new keys that are seen once or twice and live for seconds."""
    random = np.random.default_rng(seed)
    hot, at_s = count // 40, _times(count)
    kind = random.random(count)
    key = _zipf(random, count, hot, 0.8)
    new = kind < 0.35
    key[new] = hot + np.arange(new.sum())
    # Others go back to a new key of some time ago.
    again = np.flatnonzero((kind >= 0.35) & (kind < 0.55))
    back = again - (random.exponential(1.2, len(again)) * count / _SECONDS).astype(int)
    seen = np.cumsum(new)
    key[again] = np.where(back > 0, hot + np.maximum(0, seen[np.maximum(0, back)] - 1), key[again])
    keys = int(key.max()) + 1
    ttl_s = np.where(random.random(keys) < 0.1, np.inf, random.uniform(0.8, 6.0, keys))
    base = np.where(np.arange(keys) < hot, 400, random.integers(80, 900, keys))
    grown = (base[key] * (1 + at_s / _SECONDS * (key < hot))).astype(int)
    return Accesses.of(
        at_s,
        key,
        value_bytes=grown,
        fresh_bytes=base[key],
        writes=random.random(count) < 0.6,
        ttl_s=ttl_s[key],
        rewrites=True,
    )


WORKLOADS: Final[Mapping[str, Callable[[int, int], Accesses]]] = {
    "sessions": sessions,
    "turns": _turns,
    "mix": _mix,
}
"""Each by its name: of about so many accesses, by a seed."""


def _times(count: int) -> NDArray[np.float64]:
    at_s: NDArray[np.float64] = np.arange(count, dtype=np.float64) * (_SECONDS / count)
    return at_s


def _zipf(random: Any, count: int, keys: int, power: float) -> NDArray[np.int64]:
    weights = np.cumsum(1.0 / np.arange(1, keys + 1) ** power)
    drawn: NDArray[np.int64] = np.searchsorted(weights, random.random(count) * weights[-1])
    return drawn
