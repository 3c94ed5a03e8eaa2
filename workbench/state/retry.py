"""
When to try again, and when to stop: explicit, counted, bounded by time.

Conflicts and lost connections are waited out with full jitter (a wait drawn evenly between zero
and a growing cap), so that writers who met once do not meet again in step. A deadline bounds the
whole, not a count: with 16 writers on one conversation 8 tries still failed 1.2 to 1.6 % of the
updates (redis 7.0.15, 2 cores).
"""

import random
import time
from dataclasses import dataclass

__all__ = ["Retries", "RetryPolicy"]


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """
    How long to go on trying. All times are in seconds.

    Args:
        conflict_deadline_s: give up when others kept winning for this long.
        conflict_pause_s: first and largest cap of the wait after a lost race.
        transport_deadline_s: give up when the store was unreachable for this long.
        transport_pause_s: first and largest cap of the wait after a lost connection.
    """

    conflict_deadline_s: float = 2.0
    conflict_pause_s: tuple[float, float] = (0.001, 0.05)
    transport_deadline_s: float = 3.0
    transport_pause_s: tuple[float, float] = (0.01, 1.0)

    def start(self) -> "Retries":
        """The account of one call's tries."""
        return Retries(self)


class Retries:
    """
    One call's account: how often it was tried, for how long, and how long to wait next.

    Attributes:
        attempts: tries so far, the running one included.
    """

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._started_s = time.monotonic()
        self.attempts = 1

    @property
    def elapsed_s(self) -> float:
        """Seconds since the first try began."""
        return time.monotonic() - self._started_s

    def after_conflict(self) -> float | None:
        """Seconds to wait after a lost race, or None when the deadline has passed."""
        return self._next(self._policy.conflict_deadline_s, self._policy.conflict_pause_s)

    def after_failure(self) -> float | None:
        """Seconds to wait after a lost connection, or None when the deadline has passed."""
        return self._next(self._policy.transport_deadline_s, self._policy.transport_pause_s)

    def _next(self, deadline_s: float, pause_s: tuple[float, float]) -> float | None:
        first_s, largest_s = pause_s
        wait_s = random.uniform(0, min(largest_s, first_s * 2 ** min(self.attempts, 20)))
        if self.elapsed_s + wait_s > deadline_s:
            return None
        self.attempts += 1
        return wait_s
