"""The store fails: each way, and what is said of the write."""

import asyncio
import os
import signal
import socket
import threading
import traceback
from contextlib import contextmanager
from datetime import UTC, datetime
from os import kill

import pytest

from tests.server.proxy import LossyProxy
from tests.server.state.conftest import KEY, AsyncDriver
from tests.waiting import wait_until
from workbench.state import (
    AmbiguousWriteError,
    AsyncRedisAtomic,
    AsyncStateManager,
    ConflictError,
    ErrorContext,
    InvalidStateError,
    RedisAtomic,
    RetryPolicy,
    SessionLostError,
    StateError,
    StateManager,
    StateMissingError,
    StoreBlockedError,
    StoreFullError,
    StoreReadOnlyError,
    StoreRefusedError,
    StoreUnavailableError,
    connect,
    connect_async,
    health,
)
from workbench.state import document as documents
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


def test_write_that_asyncio_may_still_send_after_the_timeout_is_in_doubt(start_server):
    """Its transport has taken the whole command, though the server has not taken half of it."""
    server = start_server()
    driver = AsyncDriver(server.url, "function")
    driver.begun()
    held = driver.atomic().update(KEY, incremented, ttl_s=300)
    hasty = driver.connect(server.url, timeout_s=0.2)
    driver.atomic(hasty).read(KEY)
    for connection in hasty.connection_pool._available_connections:
        own = connection._writer.get_extra_info("socket")
        own.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)

    def large(document):
        return {**incremented(document), "action": {"text": "x" * 1_000_000}}

    try:
        with frozen(server), pytest.raises(AmbiguousWriteError) as caught:
            driver.atomic(hasty, retry=IMPATIENT).update(KEY, large, ttl_s=300, snapshot=held)
    finally:
        driver.close()

    assert caught.value.applied is None


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


def test_id_that_was_applied_to_what_is_gone_is_no_duplicate(state_manager, driver, client):
    """What is in hand says that it was applied; the store, that there is nothing any more."""
    atomic = driver.atomic()
    once = atomic.update(KEY, incremented, ttl_s=300, update_id="m-1")
    client.delete(KEY)

    with pytest.raises(StateMissingError):
        atomic.update(KEY, incremented, ttl_s=300, update_id="m-1", snapshot=once)


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
    unbroken = driver.connect(cluster_node.url, breaker=None)  # or it may answer for the cluster
    atomic = driver.atomic(unbroken, retry=IMPATIENT)

    with pytest.raises(StoreUnavailableError, match="cluster is down"):
        atomic.read(KEY)
    with pytest.raises(StoreUnavailableError, match="cluster is down") as caught:
        atomic.create(KEY, documents.new_document("whatsapp", "1", datetime.now(UTC)), ttl_s=300)

    assert caught.value.applied is False


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


# The store is begun anew.


def test_restart_with_an_aof_loses_nothing(start_server, driver):
    """Conversation and function are there again; what was held before still stands."""
    server = start_server()
    first = driver.connect(server.url)
    driver.begun(first)
    held = driver.atomic(first).update(KEY, incremented, ttl_s=300)
    server.stop()
    server.start()

    with connect(server.url) as raw:
        again = driver.connect(server.url)
        updated = driver.atomic(again).update(KEY, incremented, ttl_s=300, snapshot=held)

        assert updated.document["dashboard"] == {"n": 2}
        assert updated.revision == held.revision + 1
        assert "cmdstat_function|load" not in raw.info("commandstats")


def test_restart_without_persistence_is_told_and_begun_anew(start_server, driver):
    """What was held is not written into the void; the function is loaded again."""
    server = start_server(appendonly=False)
    first = driver.connect(server.url)
    driver.begun(first)
    held = driver.atomic(first).update(KEY, incremented, ttl_s=300)
    server.stop()
    server.start()
    again = driver.connect(server.url)

    with pytest.raises(StateMissingError) as caught:
        driver.atomic(again).update(KEY, incremented, ttl_s=300, snapshot=held)

    assert caught.value.applied is False
    assert driver.atomic(again).read(KEY) is None
    assert driver.begun(again).version == 1


@pytest.fixture
def loading(start_server):
    """A server that takes a second to load what it has, and says so meanwhile."""
    server = start_server(
        appendonly=False,
        directives={"key-load-delay": "20000", "loading-process-events-interval-bytes": "1024"},
    )
    with connect(server.url) as raw:
        StateManager(KEY, raw).initialize_channel("whatsapp", "263770000000")
        for number in range(50):
            raw.set(f"filler:{number}", os.urandom(1024).hex())
        raw.save()
    server.stop()
    before, ended = server.url, threading.Event()

    def start_and_stay():  # a server of ours ends with the thread that started it
        server.start()  # waits until all is loaded
        ended.wait()

    thread = threading.Thread(target=start_and_stay)
    thread.start()
    try:
        wait_until(lambda: server.url != before and says_loading(server.url), why="it to load")
        yield server
    finally:
        ended.set()
        thread.join()


def says_loading(url):
    """What it answers to a client that does not wait."""
    host, _, port = url.removeprefix("redis://").partition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(8) == b"-LOADING"
    except OSError:
        return False


def test_store_that_loads_is_waited_for(loading, driver):
    """It will be there soon: the time for lost connections covers it."""
    connected = driver.connect(loading.url)

    updated = driver.atomic(connected, retry=PATIENT).update(KEY, incremented, ttl_s=300)

    assert updated.document["dashboard"] == {"n": 1}
    assert health(connected).retries > 0


def test_store_that_loads_for_too_long_is_unavailable(loading, driver):
    """Nothing was written, and it is worth another try."""
    unbroken = driver.connect(loading.url, breaker=None)  # or it may answer for the server
    atomic = driver.atomic(unbroken, retry=IMPATIENT)

    with pytest.raises(StoreUnavailableError, match="loading") as caught:
        atomic.update(KEY, incremented, ttl_s=300)

    assert (caught.value.applied, caught.value.retryable) == (False, True)


def test_flushall_is_not_undone_by_what_somebody_held(state_manager, client, driver):
    """Neither a held snapshot nor a manager brings the conversation back."""
    held = driver.atomic().read(KEY)
    client.flushall()

    with pytest.raises(StateMissingError):
        driver.atomic().update(KEY, incremented, ttl_s=300, snapshot=held)
    with pytest.raises(SessionLostError) as caught:
        state_manager.update_state({"dashboard": {}})

    assert caught.value.reason == "unknown"
    assert client.dbsize() == 0


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


def test_user_who_may_not_run_what_the_function_does_writes_by_watch(driver, redis_server, client):
    """Refused within the function, before it wrote anything."""
    client.acl_setuser(
        "narrow", enabled=True, passwords=["+narrow"], keys=["*"],
        categories=["+@all"], commands=["-getrange"],
    )  # fmt: skip
    try:
        own = driver.connect(redis_server.url.replace("redis://", "redis://narrow:narrow@"))
        driver.strategy = "auto"
        manager = driver.begun(own)
        manager.update_state({"dashboard": {}})
        again = driver.atomic(own).update(KEY, incremented, ttl_s=300)
    finally:
        client.acl_deluser("narrow")

    assert again.revision == 3


def test_key_that_is_refused_leaves_the_function_in_use(redis_server, client):
    """A user who may not touch one key still writes the others in one round trip."""
    client.acl_setuser(
        "narrow", enabled=True, passwords=["+narrow"], keys=["channel:*"], categories=["+@all"]
    )
    calls = []
    try:
        url = redis_server.url.replace("redis://", "redis://narrow:narrow@")
        with connect(url) as own:
            atomic = RedisAtomic(own, hooks=[calls.append])
            StateManager(KEY, own).initialize_channel("whatsapp", "1")
            held = atomic.read(KEY)
            with pytest.raises(StoreRefusedError):
                atomic.create("session:1", held.document, ttl_s=300)
            calls.clear()
            atomic.update(KEY, incremented, ttl_s=300, snapshot=held)
            functions = health(own).functions
    finally:
        client.acl_deluser("narrow")

    assert functions is True
    assert calls[0].round_trips == 1


def test_what_is_in_hand_does_not_show_itself(state_manager, driver, client):
    """A snapshot in a log or a traceback shows neither the token nor whose it is."""
    state_manager.update_state({"auth": {"token": "a-token"}})
    snapshot = driver.atomic().read(KEY)
    updated = driver.atomic().update(KEY, incremented, ttl_s=300)
    context = ErrorContext("flow", "of 263770000000", {"token": "a-token"})

    shown = f"{snapshot!r} {updated!r} {context!r} {vars(driver.manager())!r}"

    assert "a-token" not in shown
    assert "263770000000" not in shown.replace(KEY, "")


def test_no_error_shows_what_was_sent(start_server, driver):
    """Not even its causes, which a log writes out."""
    server = start_server(maxmemory_policy="noeviction")
    manager = driver.begun(driver.connect(server.url))
    secret = "-".join(["hunter"] * 2)  # so that no line of this file has it
    with connect(server.url) as raw:
        raw.config_set("maxmemory", 1)
        with pytest.raises(StoreFullError) as caught:
            manager.update_state({"dashboard": {"secret": secret}})

    text = "".join(traceback.format_exception(caught.value))
    assert "StoreFullError" in text
    assert "263770000000" not in text
    assert secret not in text


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


def test_pool_that_is_too_small_is_waited_for_and_does_not_open_the_breaker(redis_server, client):
    """The store is well; it is our own connections that are all in use."""
    StateManager(KEY, client).initialize_channel("whatsapp", "1")
    found, failed = [], []
    with connect(redis_server.url, max_connections=2) as own:
        atomic = RedisAtomic(own, retry=PATIENT)

        def read():
            for _ in range(20):
                try:
                    found.append(atomic.read(KEY))
                except StateError as error:
                    failed.append(str(error))

        threads = [threading.Thread(target=read) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        breaker = health(own)

    assert failed == []
    assert len(found) == 16 * 20
    assert breaker.retries > 0, "the pool was never too small, so this proves nothing"
    assert (breaker.breaker, breaker.failures) == ("closed", 0)


@pytest.mark.parametrize("strategy", ["function", "watch"])
def test_cancelled_tasks_leave_no_connection_behind(redis_server, client, strategy):
    """Wherever in an update asyncio stops it: connections come back, watching nothing."""

    async def cancelled():
        own = connect_async(redis_server.url, max_connections=2)
        atomic = AsyncRedisAtomic(own, strategy=strategy)
        await AsyncStateManager(KEY, own).initialize_channel("whatsapp", "1")
        stopped = 0
        for number in range(60):
            task = asyncio.create_task(atomic.update(KEY, incremented, ttl_s=300))
            for _ in range(1 + number % 15):  # turns of the loop, the first of which starts it
                await asyncio.sleep(0)
            task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                stopped += 1
        last = await atomic.update(KEY, incremented, ttl_s=300)
        in_use = len(own.connection_pool._in_use_connections)
        await own.aclose()
        return stopped, last.attempts, in_use

    stopped, attempts, in_use = asyncio.run(cancelled())

    assert stopped > 0
    assert (attempts, in_use) == (1, 0)


def test_refusals_of_a_healthy_store_do_not_open_the_breaker(driver, client):
    """It answers; it is the question that is wrong."""
    client.rpush(KEY, "a")
    for _ in range(8):
        with pytest.raises(StoreRefusedError, match="WRONGTYPE") as caught:
            driver.atomic().read(KEY)

    assert KEY not in str(caught.value)
    assert health(driver.client).breaker == "closed"
