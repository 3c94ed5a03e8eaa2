"""The circuit breaker, the pool, and what is left of a connection."""

import asyncio
import threading

import pytest

from tests.server.state.conftest import KEY
from tests.server.state.failing import PATIENT, frozen, incremented
from tests.waiting import wait_until
from workbench.state import (
    AsyncRedisAtomic,
    AsyncStateManager,
    ConflictError,
    RedisAtomic,
    RetryPolicy,
    StateError,
    StateManager,
    StoreRefusedError,
    StoreUnavailableError,
    connect,
    connect_async,
    health,
)


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


def test_no_connection_is_left_watching(state_manager, client, driver):
    """A transaction that fails gives its connection back clean."""

    def failing(document):
        raise ConflictError("by the application")

    with pytest.raises(ConflictError):
        driver.atomic().update(KEY, failing, ttl_s=300)
    client.set(KEY, client.get(KEY))

    assert driver.atomic().update(KEY, incremented, ttl_s=300).attempts == 1
