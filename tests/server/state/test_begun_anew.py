"""The store is begun anew, loads, or lacks the function."""

import os
import socket
import threading

import pytest

from tests.server.state.conftest import KEY
from tests.server.state.failing import IMPATIENT, PATIENT, incremented
from tests.waiting import wait_until
from workbench.state import (
    RedisAtomic,
    SessionLostError,
    StateManager,
    StateMissingError,
    StoreRefusedError,
    StoreUnavailableError,
    connect,
    health,
)
from workbench.state.functions import NAME


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
    ended = threading.Event()

    def start_and_stay():  # a server of ours ends with the thread that started it
        server.start()  # waits until all is loaded
        ended.wait()

    thread = threading.Thread(target=start_and_stay)
    thread.start()
    try:
        wait_until(lambda: says_loading(server.url), why="it to load")
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
