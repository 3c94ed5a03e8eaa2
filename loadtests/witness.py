"""
Witness: what the server says of itself while the load goes on, by which a loss is explained.

A server cannot say which key it evicted. But the generator knows when it wrote a conversation; and
what happened to the server since then leaves few causes. It is asked once a second, and once more
when that does not explain a loss.
"""

import time
from collections import deque
from dataclasses import dataclass
from typing import Any, Final

from redis import Redis
from redis.exceptions import RedisError

__all__ = ["Look", "Witness"]

_DELETES: Final = ("del", "unlink", "getdel", "flushall", "flushdb", "rename", "move")
_LOOKS_MAX: Final = 4000


@dataclass(frozen=True, slots=True)
class Look:
    """
    One look at the server.

    Attributes:
        at_s: when the reply came, by the monotonic clock.
        run_id: another one after a restart.
        evicted_keys, expired_keys: since the server's start.
        deletions: calls of commands that take keys away, since the server's start.
    """

    at_s: float
    run_id: str
    evicted_keys: int
    expired_keys: int
    deletions: int


class Witness:
    """
    Looks at the server, and remembers.

    Args:
        client: for INFO alone.
    """

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._looks: deque[Look] = deque(maxlen=_LOOKS_MAX)
        self._first: Look | None = None

    @property
    def evicted_keys(self) -> int | None:
        """Keys evicted since the first look; None after a restart, or if nothing was seen."""
        if self._first is None or self._first.run_id != self._looks[-1].run_id:
            return None
        return self._looks[-1].evicted_keys - self._first.evicted_keys

    @property
    def expired_keys(self) -> int | None:
        """Keys that ran out since the first look; None as above."""
        if self._first is None or self._first.run_id != self._looks[-1].run_id:
            return None
        return self._looks[-1].expired_keys - self._first.expired_keys

    def look(self) -> None:
        """Ask the server now; one that does not answer has said nothing."""
        try:
            info: dict[str, Any] = self._client.info("server", "stats", "commandstats")
        except RedisError:
            return
        deletions = sum(info.get(f"cmdstat_{name}", {}).get("calls", 0) for name in _DELETES)
        look = Look(
            at_s=time.monotonic(),
            run_id=info["run_id"],
            evicted_keys=int(info["evicted_keys"]),
            expired_keys=int(info["expired_keys"]),
            deletions=deletions,
        )
        self._looks.append(look)
        self._first = self._first or look

    def why_gone(self, written_s: float) -> str:
        """
        What became of a key that was gone before its time.

        Args:
            written_s: when it was last written, by the monotonic clock.

        Returns:
            ``restarted``, ``evicted``, ``deleted``; ``missing`` if nothing is known to have
            happened since that could have taken it away.
        """
        cause = self._cause(written_s)
        if cause == "missing":
            self.look()
            cause = self._cause(written_s)
        return cause

    def _cause(self, written_s: float) -> str:
        if not self._looks:
            return "missing"
        now = self._looks[-1]
        before = next((look for look in reversed(self._looks) if look.at_s <= written_s), None)
        before = before or self._looks[0]
        if now.run_id != before.run_id:
            return "restarted"
        if now.evicted_keys > before.evicted_keys:
            return "evicted"
        return "deleted" if now.deletions > before.deletions else "missing"
