"""Why a conversation is gone: told where it can be known, and unknown where it cannot."""

import pytest

from tests.server.state.conftest import KEY, Driver
from tests.waiting import wait_until
from workbench.state import SessionLostError, StateMissingError, connect
from workbench.state.live_index import INDEX_PREFIX, entry_of
from workbench.units import MIB

PADDING = {"dashboard": {"text": "x" * 2000}}


@pytest.fixture
def indexed(driver):
    """A conversation that stands in the live index, by a way that writes it."""
    if driver.strategy == "watch":
        pytest.skip("the index is written by the function")
    return driver.begun(live_index=True)


def reason(manager):
    with pytest.raises(SessionLostError) as caught:
        manager.update_state({"dashboard": {}})
    return caught.value.reason


def test_expired_conversation_is_told_as_expired(indexed, driver, client):
    """By the server's clock, whoever asks, in whatever process."""
    driver.states(live_index=True).atomic_set(KEY, driver.atomic().read(KEY).document, ttl=0.001)
    wait_until(lambda: not client.exists(KEY), why="the conversation to expire")

    assert reason(indexed) == "expired"
    assert reason(driver.manager(live_index=True)) == "expired"
    with pytest.raises(SessionLostError, match="has expired"):
        driver.manager(live_index=True).get_context()


def test_deleted_conversation_is_told_as_deleted(indexed, driver):
    """A log-out that ended it."""
    driver.states(live_index=True).atomic_delete(KEY)

    assert reason(indexed) == "deleted"


def test_conversation_that_never_was_is_missing_and_not_lost(driver, client):
    """Nothing is made up."""
    with pytest.raises(StateMissingError) as caught:
        driver.manager(live_index=True).update_state({"dashboard": {}})

    assert not isinstance(caught.value, SessionLostError)


def test_conversation_deleted_past_the_index_is_unknown(indexed, client):
    """The index says that it was to live on, and the server has evicted nothing."""
    client.delete(KEY)

    assert reason(indexed) == "unknown"


def test_without_an_index_what_was_known_is_lost_for_an_unknown_reason(state_manager, client):
    """A manager that had it in hand knows that it is gone, and no more."""
    client.delete(KEY)

    assert reason(state_manager) == "unknown"


def test_index_is_written_in_the_same_step(indexed, client):
    """No further command is waited for; and it has no time to live."""
    client.config_resetstat()

    indexed.update_state({"dashboard": {}})

    stats = client.info("commandstats")
    index = next(iter(client.scan_iter(f"{INDEX_PREFIX}*")))
    assert stats["cmdstat_fcall"]["calls"] == 1
    assert "cmdstat_get" not in stats
    assert client.ttl(index) == -1
    assert KEY.partition(":")[2] not in str(client.hgetall(index))


def test_entry_of_a_conversation_that_is_long_gone_is_taken_away(indexed, client):
    """By the writes that follow in its hash; one of yesterday stays, to tell what became of it."""
    index = next(iter(client.scan_iter(f"{INDEX_PREFIX}*")))
    hours_ago_ms = {"old": 25, "deleted": -25, "recent": 23}
    now_ms = client.time()[0] * 1000
    for name, hours in hours_ago_ms.items():
        until_ms = now_ms - abs(hours) * 3_600_000
        client.hset(index, name, until_ms if hours > 0 else -until_ms)

    for number in range(100):
        indexed.update_state({"dashboard": {"n": number}})

    assert len(client.hkeys(index)) == 2
    assert client.hexists(index, "recent")


@pytest.mark.parametrize("strategy", ["function", "watch"])
def test_index_that_cannot_be_written_does_not_deny_the_write(driver, client, strategy):
    """The conversation is written and told so; only why it is gone will not be known."""
    driver.strategy = strategy
    manager = driver.begun(live_index=True)
    for index in [*client.scan_iter(f"{INDEX_PREFIX}*"), entry_of(KEY).index]:
        client.delete(index)
        client.set(index, "no hash")

    manager.update_state({"dashboard": {"n": 1}})

    assert driver.manager().get("dashboard") == {"n": 1}
    assert driver.states(live_index=True).atomic_delete(KEY)
    assert not client.exists(KEY)


def test_writer_by_watch_takes_away_what_it_cannot_keep(indexed, driver, client):
    """An entry of an earlier write would say expired where it is evicted."""
    watch = type(driver)(driver.url, "watch")
    watch.manager(live_index=True).update_state({"dashboard": {}})
    watch.close()

    assert not list(client.scan_iter(f"{INDEX_PREFIX}*"))


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        ("volatile-lru", {"evicted"}),
        ("volatile-ttl", {"evicted"}),
        ("allkeys-lru", {"evicted", "missing"}),
    ],
)
def test_evicted_conversations_are_told_as_evicted(start_server, policy, told):
    """Each of them under volatile-*; under allkeys-* the index may be gone as well."""
    server = start_server(maxmemory_policy=policy, maxmemory_bytes=8 * MIB)
    driver = Driver(server.url, "function")
    states = driver.states(live_index=True, ttl=3600)
    keys = [f"channel:{number}" for number in range(4000)]
    channel = {"type": "whatsapp", "identifier": "1"}
    for key in keys:
        states.atomic_set(key, {"channel": channel, **PADDING})
    with connect(server.url, timeout_s=10) as client:
        gone = [key for key in keys if not client.exists(key)]
        evicted = client.info("stats")["evicted_keys"]

    found = []
    for key in gone[::10]:
        try:
            driver.manager(key, live_index=True).get_context()
        except SessionLostError as error:
            found.append(error.reason)
        except StateMissingError:
            found.append("missing")
    driver.close()

    assert len(gone) > 1000
    assert evicted >= len(gone)
    assert set(found) <= told


def test_message_to_a_lost_conversation_is_told_why(indexed, driver, client):
    """As an update is; a message that begins it anew is free to."""
    driver.states(live_index=True).atomic_set(KEY, driver.atomic().read(KEY).document, ttl=0.001)
    wait_until(lambda: not client.exists(KEY), why="the conversation to expire")

    def answered():
        with indexed.message("m1") as work:
            work.update_flow_state("offer", "amount")

    with pytest.raises(SessionLostError, match="has expired"):
        answered()
    with indexed.message("m2") as work:
        work.initialize_channel("whatsapp", "263770000000")
        work.update_flow_state("login", "greet")

    assert indexed.get_context() == "login"


def test_message_begins_a_lost_conversation_anew_if_that_was_asked_for(driver, client):
    """With the channel that it had, and what the message says."""
    manager = driver.begun(on_lost="reset")
    client.delete(KEY)

    with manager.message("m1") as work:
        existed = work.exists
        work.update_flow_state("login", "greet")

    assert not existed
    assert (manager.get_channel_id(), manager.get_context()) == ("263770000000", "login")


@pytest.mark.parametrize("live_index", [False, True])
def test_lost_conversation_is_begun_anew_if_that_was_asked_for(driver, client, live_index):
    """With the channel that it had, and nothing else of it."""
    manager = driver.begun(on_lost="reset", live_index=live_index)
    manager.update_state({"dashboard": {"n": 1}})
    client.delete(KEY)

    manager.update_flow_state("login", "greet")

    assert manager.get_channel_id() == "263770000000"
    assert manager.get_context() == "login"
    assert manager.get("dashboard") is None
    assert manager.version == 1
