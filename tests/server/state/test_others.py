"""Others at the same key: readers, writers, foreign documents."""

import threading
from contextlib import closing

import pytest
from redis.exceptions import ConnectionError, RedisError

from tests.server.state.conftest import KEY
from tests.waiting import wait_until
from workbench.state import InvalidStateError, RetriesExhaustedError, RetryPolicy


def incremented(document):
    n = (document.get("dashboard") or {"n": 0})["n"]
    return {**document, "dashboard": {"n": n + 1}}


def test_reader_among_writers_never_fails(driver, state_manager, redis_server):
    """Every read is a whole document, and the counter in it never goes back."""
    stop = threading.Event()
    failures = []

    def write():
        # A loop of asyncio belongs to one thread: each writer has its own.
        own = type(driver)(redis_server.url, driver.strategy)
        with closing(own):
            atomic = own.atomic(retry=RetryPolicy(conflict_deadline_s=30))
            while not stop.is_set():
                try:
                    atomic.update(KEY, incremented, ttl_s=300)
                except Exception as error:
                    failures.append(error)
                    raise

    writers = [threading.Thread(target=write) for _ in range(3)]
    for writer in writers:
        writer.start()
    seen = []
    try:
        wait_until(lambda: state_manager.atomic_state.atomic_get(KEY).get("dashboard"))
        seen += [state_manager.atomic_state.atomic_get(KEY)["dashboard"]["n"] for _ in range(300)]
    finally:
        stop.set()
        for writer in writers:
            writer.join()

    assert failures == []
    assert seen == sorted(seen)
    assert seen[-1] > seen[0], "nobody wrote, so this proves nothing"


def test_race_lost_while_the_caller_handles_another_error_is_still_a_race(
    driver, other, state_manager
):
    """An error that the caller is handling is not taken for the loss of this write's reply."""
    others = iter([True])

    def overtaken(document):
        if next(others, False):
            other.atomic().update(KEY, incremented, ttl_s=300)
        return incremented(document)

    try:
        raise ConnectionError("of another call")
    except RedisError:
        updated = driver.atomic().update(KEY, overtaken, ttl_s=300)

    assert updated.attempts == 2
    assert updated.document["dashboard"] == {"n": 2}


def test_races_without_end_exhaust_the_retries(driver, other, state_manager):
    """A writer who is always overtaken gives up at its deadline, and has written nothing."""

    def overtaken(document):
        other.atomic().update(KEY, incremented, ttl_s=300)
        return {**document, "action": {"written": True}}

    with pytest.raises(RetriesExhaustedError):
        driver.atomic(retry=RetryPolicy(conflict_deadline_s=0.05)).update(KEY, overtaken, ttl_s=300)

    assert "action" not in driver.atomic().read(KEY).document


@pytest.mark.parametrize("part", ["_metadata", "channel", "flow_data"])
def test_replacement_with_a_wrong_part_is_invalid(driver, client, part):
    """A whole document is checked like any other, whichever part of it is wrong."""
    document = {"channel": {"type": "whatsapp", "identifier": "1"}, part: "text"}

    with pytest.raises(InvalidStateError) as caught:
        driver.states().atomic_set(KEY, document)

    assert caught.value.path.startswith(part)
    assert not client.exists(KEY)
