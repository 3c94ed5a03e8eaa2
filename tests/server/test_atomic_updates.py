"""Many processes, one conversation: what is kept, and what the origin's pattern loses."""

import subprocess
import sys
from pathlib import Path

import pytest
from redis import Redis

from tests.waiting import wait_until
from workbench.state import RedisAtomic, StateManager

ROOT = Path(__file__).parents[2]
UPDATES = 1600
KEY = "channel:wb-contended"
MEETINGS = [
    pytest.param(2, True, id="2 writers, each its own field"),
    pytest.param(8, False, id="8 writers, same field"),
    pytest.param(2, False, id="2 writers, same field", marks=pytest.mark.slow),
    pytest.param(8, True, id="8 writers, each its own field", marks=pytest.mark.slow),
    pytest.param(16, False, id="16 writers, same field", marks=pytest.mark.slow),
    pytest.param(16, True, id="16 writers, each its own field", marks=pytest.mark.slow),
]


def written(
    server, client: Redis, pattern: str, writers: int, distinct: bool
) -> tuple[dict[str, int], int]:
    """Let all writers loose at once: the fields in the end, and how many tries they took."""
    atomic = RedisAtomic(client)
    StateManager(KEY, client).initialize_channel("whatsapp", "contended")
    atomic.update(KEY, lambda before: {**before, "dashboard": {}}, ttl_s=300)
    each = str(UPDATES // writers)
    command = [sys.executable, "-m", "tests.server.writer", server.url, KEY, each, pattern]
    started = [
        subprocess.Popen(
            [*command, f"n{number if distinct else 0}"], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        for number in range(writers)
    ]
    try:
        wait_until(
            lambda: client.get("writers:ready") == str(writers),
            timeout_s=60,
            why="all writers to be ready",
        )
        client.rpush("writers:start", *range(writers))
        attempts = [int(writer.communicate(timeout=60)[0]) for writer in started]
    finally:
        for writer in started:
            writer.kill()
            writer.wait()
    assert [writer.returncode for writer in started] == [0] * writers
    return atomic.read(KEY).document["dashboard"], sum(attempts)


@pytest.mark.parametrize(("writers", "distinct"), MEETINGS)
def test_updates_of_many_processes_are_all_kept(redis_server, client, writers, distinct):
    """Neither an update is lost nor its count, however often the writers meet."""
    kept, attempts = written(redis_server, client, "atomic", writers, distinct)
    counted = StateManager(KEY, client).validation_state.attempts_by_operation

    fields = writers if distinct else 1
    assert list(kept.values()) == [UPDATES // fields] * fields
    assert counted == {"create": 1, "update": UPDATES}
    assert attempts > UPDATES, "the writers never met, so this proves nothing"


@pytest.mark.parametrize(("writers", "distinct"), MEETINGS)
def test_reading_before_the_watch_loses_updates(redis_server, client, writers, distinct):
    """The control: the documented pattern under the same load loses some, without any error."""
    kept, _ = written(redis_server, client, "origin", writers, distinct)

    assert 0 < sum(kept.values()) < UPDATES
