"""
The documented pattern, spelled out: what it does wrong is the control of what ours must hold.

Every operation, a read as well, is WATCH, MULTI, one command, EXEC, tried three times; what cannot
be read is begun anew; a conversation in hand is written back whole.
"""

import json
from collections.abc import Callable
from typing import Any

from redis import Redis
from redis.exceptions import ConnectionError, WatchError

__all__ = ["Origin"]

TRIES = 3


class Origin:
    """
    One process of the documented service.

    Args:
        client: whose retries are off.
        between: called between WATCH and EXEC, where other processes come in.
    """

    def __init__(self, client: Redis, *, between: Callable[[], object] = int) -> None:
        self._client = client
        self._between = between

    def read(self, key: str) -> dict[str, Any] | None:
        """The document; None if it is not there, and also if it cannot be read."""
        found = self._attempted(key, lambda pipe: pipe.get(key))
        return json.loads(found) if found else None

    def write(self, key: str, document: dict[str, Any]) -> bool:
        """Whether it was written, as far as is known."""
        text = json.dumps(document)
        return bool(self._attempted(key, lambda pipe: pipe.set(key, text, ex=300)))

    def message(self, key: str, change: Callable[[dict[str, Any]], None]) -> None:
        """One inbound message: read, change, write."""
        document = self.read(key) or {"channel": {"type": "whatsapp", "identifier": "1"}}
        change(document)
        self.write(key, document)

    def _attempted(self, key: str, command: Callable[[Any], object]) -> Any:
        for _ in range(TRIES):
            with self._client.pipeline() as pipe:
                try:
                    pipe.watch(key)
                    self._between()
                    pipe.multi()
                    command(pipe)
                    return pipe.execute()[0]
                except (WatchError, ConnectionError):
                    continue
        return None
