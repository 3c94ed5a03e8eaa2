"""Many processes, one conversation: what is kept, and what the origin's pattern loses."""

import subprocess
import sys
from pathlib import Path

from redis import Redis

from tests.waiting import wait_until
from workbench.state import RedisAtomic, StateManager

ROOT = Path(__file__).parents[2]
WRITERS = 8
UPDATES = 200
KEY = "channel:wb-contended"


def written(server, client: Redis, pattern: str) -> tuple[int, int]:
    """Let all writers loose at once; how many updates were kept, and how many tries they took."""
    atomic = RedisAtomic(client)
    StateManager(KEY, client).initialize_channel("whatsapp", "contended")
    atomic.update(KEY, lambda before: {**before, "dashboard": {"n": 0}}, ttl_s=300)
    command = [sys.executable, "-m", "tests.server.writer", server.url, KEY, str(UPDATES), pattern]
    writers = [
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for _ in range(WRITERS)
    ]
    try:
        wait_until(
            lambda: client.get("writers:ready") == str(WRITERS),
            timeout_s=30,
            why="all writers to be ready",
        )
        client.rpush("writers:start", *range(WRITERS))
        attempts = [int(writer.communicate(timeout=60)[0]) for writer in writers]
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
    assert [writer.returncode for writer in writers] == [0] * WRITERS
    return atomic.read(KEY).document["dashboard"]["n"], sum(attempts)


def test_updates_of_eight_processes_are_all_kept(redis_server, client):
    """Neither an update is lost nor its count, however often the writers meet."""
    kept, attempts = written(redis_server, client, "atomic")
    counted = StateManager(KEY, client).validation_state.attempts_by_operation

    assert kept == WRITERS * UPDATES
    assert counted == {"create": 1, "update": WRITERS * UPDATES}
    assert attempts > kept, "the writers never met, so this proves nothing"


def test_reading_before_the_watch_loses_updates(redis_server, client):
    """The control: the documented pattern under the same load loses some, without any error."""
    kept, _ = written(redis_server, client, "origin")

    assert 0 < kept < WRITERS * UPDATES
