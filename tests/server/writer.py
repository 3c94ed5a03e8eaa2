"""
One of many writers of one conversation, as a process of its own.

``python -m tests.server.writer URL KEY UPDATES atomic|origin FIELD`` says that it is ready, waits
for the start, adds 1 to ``dashboard.FIELD`` as often as it is told, and prints the attempts that it
took.
"""

import json
import sys

from redis import Redis
from redis.exceptions import WatchError

from workbench.state import AtomicStateManager, RedisAtomic, RetryPolicy, connect

PATIENT = RetryPolicy(conflict_deadline_s=60)


def incremented(document: dict, field: str) -> dict:
    fields = document["dashboard"]
    return {**document, "dashboard": {**fields, field: fields.get(field, 0) + 1}}


def atomic(client: Redis, key: str, updates: int, field: str) -> int:
    """Read, change and write in one transaction."""
    states = AtomicStateManager(RedisAtomic(client, retry=PATIENT))
    change = states.transactions.change
    return sum(
        states.run(change(key, lambda old, _: incremented(old, field), operation="update")).attempts
        for _ in range(updates)
    )


def origin(client: Redis, key: str, updates: int, field: str) -> int:
    """As the documentation has it: read first, then write in a transaction that is retried."""
    attempts = 0
    for _ in range(updates):
        text = json.dumps(incremented(json.loads(client.get(key)), field))
        while True:
            attempts += 1
            with client.pipeline() as pipe:
                try:
                    pipe.watch(key)
                    pipe.multi()
                    pipe.setex(key, 300, text)
                    pipe.execute()
                except WatchError:
                    continue
                break
    return attempts


def main(url: str, key: str, updates: str, pattern: str, field: str) -> None:
    client = connect(url, timeout_s=30)
    client.incr("writers:ready")
    client.blpop(["writers:start"], timeout=20)
    update = {"atomic": atomic, "origin": origin}[pattern]
    print(update(client, key, int(updates), field))  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
