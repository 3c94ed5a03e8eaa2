"""A reply is lost: what became of the write, and what is said of it."""

import signal
import socket
from os import kill

import pytest

from tests.server.proxy import LossyProxy
from tests.server.state.conftest import KEY, AsyncDriver
from tests.server.state.failing import IMPATIENT, frozen, incremented
from tests.waiting import wait_until
from workbench.state import (
    AmbiguousWriteError,
    InvalidStateError,
)


def writing(driver):
    """The word by which the proxy knows the driver's writes."""
    return b"EXEC" if driver.strategy == "watch" else b"FCALL"


@pytest.fixture
def lossy(driver, redis_server):
    """A proxy that loses replies, and a client behind it."""
    with LossyProxy(redis_server.url) as proxy:
        yield proxy, driver.connect(proxy.url, timeout_s=5)


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
