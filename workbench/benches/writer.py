"""
One of many writers of one conversation, as a process of its own: it imports little, to start fast.

``python -m workbench.benches.writer URL KEY PATTERN SECONDS`` says that it is ready, waits for the
start, updates until its time is over, and prints what it did as JSON.
"""

import json
import sys
import time
from typing import Any, Final

from redis import Redis

from workbench.benches.patterns import PATTERNS
from workbench.state import connect

__all__ = ["READY", "START"]

READY: Final = "contention:ready"
"""The key that counts the writers that are ready."""

START: Final = "contention:start"
"""The list from which each writer takes its start."""

_UPDATES_KEPT: Final = 2000


def _write(client: Redis, key: str, pattern: str, seconds: float) -> dict[str, Any]:
    update = PATTERNS[pattern](client, key)
    client.incr(READY)
    client.blpop([START], timeout=60)
    begun_s = time.monotonic()
    acknowledged = failed = attempts = 0
    update_us: list[float] = []
    while (at_s := time.monotonic()) < begun_s + seconds:
        tries = update()
        if len(update_us) < _UPDATES_KEPT:
            update_us.append(1e6 * (time.monotonic() - at_s))
        attempts += tries or 3
        acknowledged += bool(tries)
        failed += not tries
    return {
        "acknowledged": acknowledged,
        "failed": failed,
        "attempts": attempts,
        "elapsed_s": time.monotonic() - begun_s,
        "update_us": update_us,
    }


if __name__ == "__main__":
    url, key, pattern, seconds = sys.argv[1:]
    with connect(url, timeout_s=70) as connected:
        print(json.dumps(_write(connected, key, pattern, float(seconds))))  # noqa: T201
