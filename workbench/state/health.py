"""
What a process knows of its clients: one record a client, with its circuit breaker.

A store that is down makes every caller wait out its deadline. After five failures in a row the
breaker opens: calls fail at once, and one a second is let through to see whether the store is back.
"""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from weakref import WeakKeyDictionary

import pybreaker

from workbench.state.errors import StateError, StoreUnavailableError

__all__ = ["Health", "Record", "health", "record_of"]

FAILURES_MAX: Final = 5
PROBE_EVERY_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Health:
    """
    A client, as its process sees it.

    Attributes:
        breaker: ``closed``, ``open``, ``half-open``; ``none`` if it was left out.
        failures: in a row, up to now.
        connections: of the pool, in use and idle; None for a cluster's client, which has a pool
            for each node.
        connections_max: the size of the pool; None likewise.
        calls: made through the state layer.
        conflicts: races that were lost, and made up for or not.
        retries: after the store failed.
        lost_replies: writes whose reply was lost, whatever became of them.
        errors: that ended a call, by code.
        functions: whether the server runs our function; None if it was not asked yet.
    """

    breaker: str
    failures: int
    connections: int | None
    connections_max: int | None
    calls: int
    conflicts: int
    retries: int
    lost_replies: int
    errors: Mapping[str, int]
    functions: bool | None


class Record:
    """
    What is kept of one client. Its methods may be called by many threads.

    Args:
        breaker: the circuit breaker; None for none.
    """

    def __init__(self, breaker: pybreaker.CircuitBreaker | None) -> None:
        self.breaker = breaker
        self.functions: bool | None = None
        self.loading = threading.Lock()
        self.loading_async = asyncio.Lock()
        self.loads = 0
        self.calls = 0
        self.conflicts = 0
        self.retries = 0
        self.lost_replies = 0
        self.errors: Counter[str] = Counter()
        self._healthy = True  # the breaker is closed, and no failure is being counted
        self._probing = threading.Lock()
        self._probe_due_s = 0.0

    def admit(self) -> None:
        """
        Let a call pass, or not.

        Raises:
            StoreUnavailableError: the breaker is open, and it is not this call's turn to probe.
        """
        self.calls += 1
        breaker = self.breaker
        if self._healthy or breaker is None or breaker.current_state == pybreaker.STATE_CLOSED:
            return
        with self._probing:
            now_s = time.monotonic()
            if now_s < self._probe_due_s:
                raise StoreUnavailableError(
                    f"the store failed {breaker.fail_max} times in a row and is left alone; it is "
                    f"tried again every {PROBE_EVERY_S:g} s"
                )
            self._probe_due_s = now_s + PROBE_EVERY_S

    def succeeded(self) -> None:
        """A step was answered."""
        if self._healthy or self.breaker is None:
            return
        # The breaker holds a lock over each call: it is told of outcomes, and wraps no command.
        self._healthy = True
        self.breaker.call(_nothing)

    def failed(self, error: StateError) -> None:
        """A step failed. A store that answers, though it be full, counts as one that is well."""
        breaker = self.breaker
        if breaker is None:
            return
        if not isinstance(error, StoreUnavailableError):
            self.succeeded()
            return
        self._healthy = False
        self._probe_due_s = time.monotonic() + PROBE_EVERY_S
        try:
            breaker.call(_fail, error)
        except (StateError, pybreaker.CircuitBreakerError):
            return


def _nothing() -> None:
    return


def _fail(error: StateError) -> None:
    raise error


_records: WeakKeyDictionary[Any, Record] = WeakKeyDictionary()
_lock = threading.Lock()


def new_breaker() -> pybreaker.CircuitBreaker:
    """A breaker of our figures. Record decides when to probe, so it resets at once when told to."""
    return pybreaker.CircuitBreaker(fail_max=FAILURES_MAX, reset_timeout=0)


def keep(client: Any, breaker: pybreaker.CircuitBreaker | None) -> None:
    """Begin the client's record, with this breaker."""
    with _lock:
        _records[client] = Record(breaker)


def record_of(client: Any) -> Record:
    """The client's record; one that ``connect`` did not make begins with its first use."""
    record = _records.get(client)
    if record is None:
        with _lock:
            record = _records.setdefault(client, Record(new_breaker()))
    return record


def health(client: Any) -> Health:
    """How the client fares in this process. It asks the server nothing."""
    record = record_of(client)
    breaker = record.breaker
    pool = getattr(client, "connection_pool", None)
    size = getattr(pool, "max_connections", None)
    return Health(
        breaker="none" if breaker is None else breaker.current_state,
        failures=0 if breaker is None else breaker.fail_counter,
        connections=None if pool is None else _connections(pool),
        connections_max=size,
        calls=record.calls,
        conflicts=record.conflicts,
        retries=record.retries,
        lost_replies=record.lost_replies,
        errors=dict(record.errors),
        functions=record.functions,
    )


def _connections(pool: Any) -> int | None:
    idle = getattr(pool, "_available_connections", None)
    used = getattr(pool, "_in_use_connections", None)
    return None if idle is None or used is None else len(idle) + len(used)
