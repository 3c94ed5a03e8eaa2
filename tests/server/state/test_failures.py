"""The server freezes, is full, read-only or down: each way, and what is said of the write."""

import signal
import traceback
from datetime import UTC, datetime
from os import kill

import pytest

from tests.server.state.conftest import KEY
from tests.server.state.failing import IMPATIENT, frozen, incremented
from tests.waiting import wait_until
from workbench.state import (
    ErrorContext,
    StateMissingError,
    StoreBlockedError,
    StoreFullError,
    StoreReadOnlyError,
    StoreUnavailableError,
    connect,
)
from workbench.state import document as documents


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
