"""
Controls: the documented pattern under the conditions that ours must endure.

Each shows that the condition does harm, so that the test of ours beside it proves something.
"""

import json

import pytest
from redis.exceptions import ConnectionError

from tests.server.origin import Origin
from tests.server.proxy import LossyProxy
from tests.server.state.conftest import KEY
from workbench.state import IntegrityError, RedisAtomic, RetryPolicy, StoreUnavailableError, connect

UPDATES = 200


def added(document):
    document["n"] = document.get("n", 0) + 1


def test_reader_of_the_documented_pattern_fails_among_writers(client, state_manager):
    """A WATCH guards a read against nothing, and lets a writer spoil it. Ours is not disturbed."""

    def another_writes():
        client.set(KEY, client.get(KEY))

    assert Origin(client, between=another_writes).read(KEY) is None
    assert state_manager.atomic_state.atomic_get(KEY) is not None


def test_failed_read_of_the_documented_pattern_becomes_a_write(client, redis_server):
    """What could not be read is begun anew, and what was there is gone."""
    client.set(KEY, json.dumps({"channel": {}, "dashboard": {"balance": 100}}))
    with LossyProxy(redis_server.url) as proxy, connect(proxy.url) as lossy:
        for _ in range(3):
            proxy.lose_reply_to(b"EXEC")
        Origin(lossy).message(KEY, added)

    assert "dashboard" not in json.loads(client.get(KEY))


@pytest.mark.parametrize("begins", [False, True])
def test_failed_read_of_ours_becomes_no_write(state_manager, driver, redis_server, client, begins):
    """The message ends in an error, and the conversation is as it was."""
    state_manager.update_state({"dashboard": {"balance": 100}})
    before = client.get(KEY)
    impatient = RetryPolicy(transport_deadline_s=0.0)

    def interrupted(manager):
        with manager.message("m1") as work:
            if begins:
                work.initialize_channel("whatsapp", "263770000000")
            work.update_flow_state("offer", "amount")

    with LossyProxy(redis_server.url) as proxy:
        behind = driver.manager(client=driver.connect(proxy.url))
        behind.atomic_state = driver.states(client=driver.connect(proxy.url), retry=impatient)
        proxy.lose_share(1.0, seed=1)
        for attempt in (interrupted, lambda manager: manager.initialize_channel("whatsapp", "1")):
            with pytest.raises(StoreUnavailableError):
                attempt(behind)

    assert client.get(KEY) == before


def test_repeating_what_got_no_reply_applies_it_twice(client, redis_server):
    """At one reply in twenty lost, reading, adding and writing again leaves more than were made."""
    client.set(KEY, json.dumps({"n": 0}))
    with LossyProxy(redis_server.url) as proxy, connect(proxy.url) as lossy:
        proxy.lose_share(0.05, seed=7)
        made = 0
        while made < UPDATES:
            try:
                document = json.loads(lossy.get(KEY))
                added(document)
                lossy.set(KEY, json.dumps(document), ex=300)
            except ConnectionError:
                continue
            made += 1

    assert json.loads(client.get(KEY))["n"] > made


def test_flipped_bit_is_a_wrong_value_without_a_checksum(client):
    """JSON with another digit in it is JSON. Ours refuses it."""
    atomic = RedisAtomic(client)
    document = {
        "schema": 1,
        "channel": {"type": "whatsapp", "identifier": "1"},
        "_metadata": {},
        "_validation": {"in_progress": False, "attempts": {}, "last_attempt": {}, "error": None},
        "dashboard": {"balance": 100},
    }
    atomic.create(KEY, document, ttl_s=300)
    client.set("without", json.dumps(document), ex=300)
    for key in (KEY, "without"):
        text = client.get(key)
        client.set(key, text.replace("100}", "900}"), keepttl=True)  # not in a head

    assert Origin(client).read("without")["dashboard"]["balance"] == 900
    with pytest.raises(IntegrityError):
        atomic.read(KEY)
