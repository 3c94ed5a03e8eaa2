"""The store fails: each way, and what is said of the write."""

import signal
from contextlib import contextmanager
from os import kill

import pytest

from tests.server.proxy import LossyProxy
from tests.server.state.conftest import KEY
from tests.waiting import wait_until
from workbench.state import (
    AmbiguousWriteError,
    ConflictError,
    InvalidStateError,
    RetryPolicy,
    StoreBlockedError,
    StoreFullError,
    StoreReadOnlyError,
    StoreRefusedError,
    StoreUnavailableError,
    connect,
    health,
)
from workbench.state.functions import NAME

IMPATIENT = RetryPolicy(transport_deadline_s=0.05)
PATIENT = RetryPolicy(transport_deadline_s=20)


def incremented(document):
    n = (document.get("dashboard") or {"n": 0})["n"]
    return {**document, "dashboard": {"n": n + 1}}


@contextmanager
def frozen(server):
    """The server takes no part in anything for a while, as in a long fork."""
    kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        kill(server.pid, signal.SIGCONT)


def writing(driver):
    """The word by which the proxy knows the driver's writes."""
    return b"EXEC" if driver.strategy == "watch" else b"FCALL"


@pytest.fixture
def lossy(driver, redis_server):
    """A proxy that loses replies, and a client behind it."""
    with LossyProxy(redis_server.url) as proxy:
        yield proxy, driver.connect(proxy.url, timeout_s=5)


# A reply is lost.


def test_write_whose_reply_is_lost_is_found_and_not_repeated(state_manager, driver, lossy):
    """Its name stands in the head, so it was applied."""
    proxy, client = lossy
    proxy.lose_reply_to(writing(driver))

    updated = driver.atomic(client).update(KEY, incremented, ttl_s=300)

    assert proxy.lost == 1
    assert updated.document["dashboard"] == {"n": 1}
    assert state_manager.atomic_state.atomic_get(KEY)["dashboard"] == {"n": 1}


def test_write_that_never_arrived_is_sent_again(state_manager, driver, lossy):
    """The head is as it was, so it was not applied; and only that head is written on."""
    proxy, client = lossy
    proxy.lose_request(writing(driver))

    driver.atomic(client).update(KEY, incremented, ttl_s=300)

    assert proxy.lost == 1
    assert state_manager.atomic_state.atomic_get(KEY)["dashboard"] == {"n": 1}


@pytest.mark.parametrize("others", [0, 3, 7, 8])
def test_lost_reply_among_other_writers_is_told_or_ambiguous(
    state_manager, driver, other, lossy, others
):
    """Up to seven writes later the name can be found; after that it is not guessed."""
    proxy, client = lossy

    def others_write():
        for _ in range(others):
            other.atomic().update(KEY, lambda old: {**old, "action": {}}, ttl_s=300)

    proxy.lose_reply_to(writing(driver), after=others_write)
    atomic = driver.atomic(client)

    if others < 8:
        assert atomic.update(KEY, incremented, ttl_s=300).document["dashboard"] == {"n": 1}
    else:
        with pytest.raises(AmbiguousWriteError) as caught:
            atomic.update(KEY, incremented, ttl_s=300)
        error = caught.value
        assert error.applied is None
        assert driver.atomic().resolve(KEY, error.update_id, error.since) == "unknowable"

    assert state_manager.atomic_state.atomic_get(KEY)["dashboard"] == {"n": 1}


def test_conversation_gone_after_a_lost_reply_is_ambiguous_and_stays_gone(
    state_manager, driver, other, lossy
):
    """It may have been written and then deleted, or never written: nothing is brought back."""
    proxy, client = lossy
    proxy.lose_reply_to(writing(driver), after=lambda: other.atomic().delete(KEY))

    with pytest.raises(AmbiguousWriteError) as caught:
        driver.atomic(client).update(KEY, incremented, ttl_s=300)

    error = caught.value
    assert driver.atomic().resolve(KEY, error.update_id, error.since) == "unknowable"
    assert driver.atomic().read(KEY) is None


def test_ambiguous_end_can_be_resolved_when_the_store_is_back(start_server, driver):
    """A server that froze at the write has carried it out, once it goes on."""
    server = start_server()
    hasty = driver.connect(server.url, timeout_s=0.2)
    driver.begun(hasty)
    driver.atomic(hasty).update(KEY, incremented, ttl_s=300)

    def frozen_after(document):
        kill(server.pid, signal.SIGSTOP)
        return incremented(document)

    try:
        with pytest.raises(AmbiguousWriteError) as caught:
            driver.atomic(hasty, retry=IMPATIENT).update(KEY, frozen_after, ttl_s=300)
    finally:
        kill(server.pid, signal.SIGCONT)
    error = caught.value

    def resolved():
        return driver.atomic(hasty).resolve(KEY, error.update_id, error.since)

    wait_until(lambda: resolved() == "applied", timeout_s=5, why="the write to be found")
    assert error.applied is None
    assert driver.atomic(hasty).read(KEY).document["dashboard"] == {"n": 2}


@pytest.mark.parametrize("since", ["", "x", "-1:AAAAAAAA", "1:short", "1:AAAAAAAA:"])
def test_resolving_by_what_no_error_gave_is_refused(driver, since):
    """It would be answered, and wrongly."""
    with pytest.raises(InvalidStateError, match="AmbiguousWriteError"):
        driver.atomic().resolve(KEY, "id", since)


@pytest.mark.parametrize("step", [b"WATCH", b"GET"])
def test_reply_before_the_write_that_is_lost_is_made_up_for(state_manager, driver, lossy, step):
    """Nothing was written yet, so it is begun again, and is applied once."""
    proxy, client = lossy
    if step == b"WATCH" and driver.strategy != "watch":
        step = b"GET"
    proxy.lose_reply_to(step)

    updated = driver.atomic(client).update(KEY, incremented, ttl_s=300)

    assert proxy.lost == 1
    assert updated.attempts == 2
    assert updated.document["dashboard"] == {"n": 1}


def test_creation_whose_reply_is_lost_is_found(driver, lossy):
    """It is begun once, and known to be."""
    proxy, client = lossy
    driver.begun(key="channel:1")  # which gives the server the function
    proxy.lose_reply_to(writing(driver))

    driver.manager(client=client).initialize_channel("whatsapp", "1")

    assert proxy.lost == 1
    assert driver.atomic().read(KEY).revision == 1


def test_creation_whose_reply_is_lost_and_that_is_gone_is_ambiguous(driver, other, lossy):
    """It is not begun a second time: it may have been ended by a log-out."""
    proxy, client = lossy
    proxy.lose_reply_to(writing(driver), after=lambda: other.atomic().delete(KEY))

    with pytest.raises(AmbiguousWriteError):
        driver.manager(client=client).initialize_channel("whatsapp", "1")

    assert driver.atomic().read(KEY) is None


def test_deletion_whose_reply_is_lost_is_seen(state_manager, driver, lossy):
    """It is gone, which is what was wanted."""
    proxy, client = lossy
    proxy.lose_reply_to(writing(driver))

    assert driver.atomic(client).delete(KEY)
    assert proxy.lost == 1
    assert driver.atomic().read(KEY) is None


def test_message_whose_reply_is_lost_is_applied_once(state_manager, driver, lossy):
    """The message ends well, and its repetition is a duplicate."""
    proxy, client = lossy
    manager = driver.manager(client=client)
    proxy.lose_reply_to(writing(driver))
    with manager.message("wamid.1") as first:
        first.update_state({"dashboard": {"n": 1}})

    with manager.message("wamid.1") as second:
        second.update_state({"dashboard": {"n": 2}})

    state_manager.refresh()
    assert (first.duplicate, second.duplicate) == (False, True)
    assert state_manager.get("dashboard") == {"n": 1}


def test_update_of_an_id_that_was_applied_is_not_applied_again(state_manager, driver):
    """The id is remembered by the document, for eight updates."""
    atomic = driver.atomic()
    first = atomic.update(KEY, incremented, ttl_s=300, update_id="payment-7")

    second = atomic.update(KEY, incremented, ttl_s=300, update_id="payment-7", snapshot=None)

    assert (first.duplicate, second.duplicate) == (False, True)
    assert second.document["dashboard"] == {"n": 1}
    assert second.revision == first.revision


# The server freezes, is full, read-only, down, or lacks the function.


def test_error_of_a_change_is_not_hidden_by_a_server_that_freezes(start_server, driver):
    """Letting go of the watch goes unanswered; the caller still sees what went wrong."""
    server = start_server()
    hasty = driver.connect(server.url, timeout_s=0.2)
    driver.begun(hasty)

    def frozen_and_failing(document):
        kill(server.pid, signal.SIGSTOP)
        raise ZeroDivisionError

    try:
        with pytest.raises(ZeroDivisionError):
            driver.atomic(hasty).update(KEY, frozen_and_failing, ttl_s=300)
    finally:
        kill(server.pid, signal.SIGCONT)
    updated = driver.atomic(hasty).update(KEY, incremented, ttl_s=300)

    assert updated.document["dashboard"] == {"n": 1}


def test_frozen_server_is_unavailable_to_a_reader(start_server, driver):
    """A reader knows that nothing was changed."""
    server = start_server()
    hasty = driver.connect(server.url, timeout_s=0.1)
    with frozen(server), pytest.raises(StoreUnavailableError) as caught:
        driver.atomic(hasty, retry=IMPATIENT).read(KEY)

    assert caught.value.applied is False


def test_full_store_is_refused_and_nothing_is_applied(start_server, driver):
    """Without eviction the write is refused; what was there can be read, and deleted."""
    server = start_server(maxmemory_policy="noeviction")
    connected = driver.connect(server.url)
    manager = driver.begun(connected)
    with connect(server.url) as raw:
        raw.config_set("maxmemory", 1)

        with pytest.raises(StoreFullError) as caught:
            manager.update_flow_state("offer", "amount")

        manager.refresh()
        assert caught.value.applied is False
        assert manager.get_context() is None
        assert driver.atomic(connected).delete(KEY)
        assert driver.atomic(connected).read(KEY) is None


def test_store_whose_disk_failed_is_blocked(start_server, driver):
    """A failed snapshot stops the writes (MISCONF), and the error says that it was that."""
    server = start_server(appendonly=False, save="3600 1")
    with connect(server.url) as connected:
        driver.begun(driver.connect(server.url))
        (server.folder / "dump.rdb").mkdir()  # so that no snapshot can take this name
        connected.bgsave()
        wait_until(
            lambda: connected.info("persistence")["rdb_last_bgsave_status"] == "err",
            why="the snapshot to fail",
        )

        with pytest.raises(StoreBlockedError) as caught:
            driver.manager(client=driver.connect(server.url)).update_state({"dashboard": {}})

        connected.config_set("save", "")
    assert caught.value.applied is False


def test_replica_is_read_only(start_server, driver):
    """A write to a replica is refused after the time for a failover, a read is answered."""
    primary = start_server(directives={"repl-diskless-sync-delay": "0"})
    # One with an AOF begins a new one after the sync, and cannot be stopped meanwhile.
    replica = start_server(appendonly=False)
    with connect(primary.url) as first, connect(replica.url) as second:
        driver.begun(driver.connect(primary.url))
        second.replicaof("127.0.0.1", primary.url.rpartition(":")[2])
        wait_until(lambda: second.exists(KEY), timeout_s=10, why="the replica to have the key")
        atomic = driver.atomic(driver.connect(replica.url), retry=IMPATIENT)

        with pytest.raises(StoreReadOnlyError) as caught:
            atomic.update(KEY, incremented, ttl_s=300)

        assert caught.value.applied is False
        assert atomic.read(KEY).document["channel"]["type"] == "whatsapp"
        assert first.exists(KEY)


def test_cluster_without_its_slots_is_unavailable(cluster_node, driver):
    """A cluster that is down may come back, so it is tried again, and named."""
    atomic = driver.atomic(driver.connect(cluster_node.url), retry=IMPATIENT)

    with pytest.raises(StoreUnavailableError, match="cluster is down"):
        atomic.read(KEY)


def test_server_that_is_gone_is_unavailable_and_comes_back(start_server, driver):
    """Nothing could be sent, so it is known that nothing was written; a held snapshot as well."""
    server = start_server()
    connected = driver.connect(server.url)
    driver.begun(connected)
    atomic = driver.atomic(connected, retry=IMPATIENT)
    held = atomic.read(KEY)
    server.stop()

    with pytest.raises(StoreUnavailableError):
        atomic.read(KEY)
    with pytest.raises(StoreUnavailableError) as caught:
        atomic.update(KEY, incremented, ttl_s=300, snapshot=held)

    assert caught.value.applied is False
    server.start()
    again = driver.connect(server.url)
    assert driver.manager(client=again).get_channel_id() == "263770000000"


def test_function_is_loaded_where_it_is_missing(state_manager, client, driver):
    """After a flush of the functions, or on a server that was begun anew."""
    client.function_flush()

    driver.atomic().update(KEY, incremented, ttl_s=300)

    libraries = [library[1] for library in client.function_list()]
    assert libraries == ([NAME] if driver.strategy == "function" else [])


def test_function_survives_flushall(state_manager, client, driver):
    """Conversations are gone, and are missing; the function is not asked for again."""
    client.flushall()
    client.config_resetstat()

    driver.manager().initialize_channel("whatsapp", "1")

    assert driver.atomic().read(KEY).revision == 1
    assert "cmdstat_function|load" not in client.info("commandstats")


@pytest.fixture
def without_functions(redis_server, client):
    """The URL of a user who may not call functions."""
    client.acl_setuser(
        "old", enabled=True, passwords=["+old"], keys=["*"],
        categories=["+@all"], commands=["-fcall", "-function"],
    )  # fmt: skip
    yield redis_server.url.replace("redis://", "redis://old:old@")
    client.acl_deluser("old")


def test_server_without_functions_is_written_by_watch(driver, without_functions):
    """``auto`` finds out once; ``function`` says what is missing."""
    own = driver.connect(without_functions)
    manager = driver.begun(own) if driver.strategy == "watch" else None
    if manager is None:
        with pytest.raises(StoreRefusedError):
            driver.begun(own)
        driver.strategy = "auto"
        manager = driver.begun(own)

    manager.update_state({"dashboard": {}})

    assert manager.version == 2
    assert driver.strategy == "watch" or health(own).functions is False


def test_no_connection_is_left_watching(state_manager, client, driver):
    """A transaction that fails gives its connection back clean."""

    def failing(document):
        raise ConflictError("by the application")

    with pytest.raises(ConflictError):
        driver.atomic().update(KEY, failing, ttl_s=300)
    client.set(KEY, client.get(KEY))

    assert driver.atomic().update(KEY, incremented, ttl_s=300).attempts == 1


# The circuit breaker.


def test_breaker_spares_a_store_that_is_down_and_finds_it_again(start_server, driver):
    """After five failures calls fail at once; one a second looks whether it is back."""
    server = start_server()
    connected = driver.connect(server.url, timeout_s=0.1)
    driver.begun(connected)
    atomic = driver.atomic(connected, retry=RetryPolicy(transport_deadline_s=-1))
    with frozen(server):
        for _ in range(5):
            with pytest.raises(StoreUnavailableError, match="did not answer"):
                atomic.read(KEY)

        with pytest.raises(StoreUnavailableError, match="left alone") as caught:
            atomic.read(KEY)

        assert caught.value.retryable
        assert health(connected).breaker == "open"
        assert health(connected).errors == {"STORE_UNAVAILABLE": 6}

    def answered():
        try:
            return atomic.read(KEY) is not None
        except StoreUnavailableError:
            return False

    wait_until(answered, timeout_s=10, why="the breaker to let a call through")
    assert health(connected).breaker == "closed"


def test_refusals_of_a_healthy_store_do_not_open_the_breaker(driver, client):
    """It answers; it is the question that is wrong."""
    client.rpush(KEY, "a")
    for _ in range(8):
        with pytest.raises(StoreRefusedError, match="WRONGTYPE") as caught:
            driver.atomic().read(KEY)

    assert KEY not in str(caught.value)
    assert health(driver.client).breaker == "closed"
