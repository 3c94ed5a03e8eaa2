"""
Ways to add one to a counter in a conversation: ours, and what one meets elsewhere.

The document's counter is ``action.n``, beside a dashboard that has most of the bytes. A pattern
makes one update and answers how many tries it took; 0 if it gave up, so that nothing was
acknowledged.
"""

import json
import secrets
from collections.abc import Callable
from typing import Any, Final

from redis import Redis
from redis.exceptions import WatchError

from workbench.state import RedisAtomic, RetryPolicy, Snapshot

__all__ = ["PATTERNS", "TTL_S", "Pattern", "incremented"]

Pattern = Callable[[], int]

TTL_S: Final = 300
_PATIENT: Final = RetryPolicy(conflict_deadline_s=60, transport_deadline_s=60)


def incremented(document: dict[str, Any]) -> dict[str, Any]:
    """The document with its counter one higher."""
    action = document["action"]
    return {**document, "action": {**action, "n": action["n"] + 1}}


def _ours(strategy: Any) -> Callable[[Redis, str], Pattern]:
    def pattern(client: Redis, key: str) -> Pattern:
        atomic = RedisAtomic(client, strategy=strategy, retry=_PATIENT)
        held: Snapshot | None = None

        def update() -> int:
            nonlocal held
            updated = atomic.update(key, incremented, ttl_s=TTL_S, snapshot=held)
            held = updated
            return updated.attempts

        return update

    return pattern


def _origin(client: Redis, key: str) -> Pattern:
    """Read; then WATCH, MULTI, SETEX, EXEC, up to three times."""

    def update() -> int:
        text = json.dumps(incremented(json.loads(client.get(key) or "")))  # workbench: raw
        for attempt in range(1, 4):
            with client.pipeline() as pipe:
                try:
                    pipe.watch(key)  # type: ignore[no-untyped-call]  # workbench: raw
                    pipe.multi()
                    pipe.set(key, text, ex=TTL_S)  # workbench: raw
                    pipe.execute()
                except WatchError:
                    continue
                return attempt
        return 0

    return update


def _read_within_watch(client: Redis, key: str) -> Pattern:
    """WATCH, GET, MULTI, SETEX, EXEC, at once again until it goes through."""

    def update() -> int:
        attempt = 0
        while True:
            attempt += 1
            with client.pipeline() as pipe:
                try:
                    pipe.watch(key)  # type: ignore[no-untyped-call]
                    after = incremented(json.loads(pipe.get(key)))  # type: ignore[arg-type]  # workbench: raw
                    pipe.multi()
                    pipe.set(key, json.dumps(after), ex=TTL_S)  # workbench: raw
                    pipe.execute()
                except WatchError:
                    continue
                return attempt

    return update


def _lock(client: Redis, key: str) -> Pattern:
    """redis-py's Lock around a GET and a SETEX."""
    lock = client.lock(f"lock:{key}", timeout=5, sleep=0.001)

    def update() -> int:
        with lock:
            after = incremented(json.loads(client.get(key) or ""))  # workbench: raw
            client.set(key, json.dumps(after), ex=TTL_S)  # workbench: raw
        return 1

    return update


PATTERNS: Final[dict[str, Callable[[Redis, str], Pattern]]] = {
    "function": _ours("function"),
    "watch": _ours("watch"),
    "origin": _origin,
    "read within WATCH": _read_within_watch,
    "Lock": _lock,
}
"""By name: our two strategies, the documented pattern, WATCH without a pause, redis-py's Lock."""


def identifier() -> str:
    """Of a conversation of its own."""
    return f"wb-{secrets.token_hex(6)}"
