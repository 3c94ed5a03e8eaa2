"""
One suite for every way to run the state manager: waiting or asyncio, by function or by watch, on
both engines. A test is written as for the waiting kind; the other is made to wait.
"""

import asyncio
import inspect
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from workbench.state import (
    AsyncAtomicStateManager,
    AsyncErrorHandler,
    AsyncRedisAtomic,
    AsyncStateManager,
    AtomicStateManager,
    ErrorHandler,
    RedisAtomic,
    StateManager,
    connect,
    connect_async,
)

KEY = "channel:263770000000"


class Driver:
    """One way to run the state manager."""

    def __init__(self, url: str, strategy: str) -> None:
        self.url = url
        self.strategy = strategy
        self.clients = []
        self.client = self.connect(url, timeout_s=5.0)

    def connect(self, url, **settings):
        """A client of this kind, closed when the test ends."""
        self.clients.append(connect(url, **settings))
        return self.clients[-1]

    def atomic(self, client=None, **settings):
        """A RedisAtomic on the shared server, or on the client."""
        return RedisAtomic(client or self.client, strategy=self.strategy, **settings)

    def states(self, client=None, ttl=300, **settings):
        """An AtomicStateManager."""
        return AtomicStateManager(self.atomic(client, **settings), ttl=ttl)

    def manager(self, key=KEY, client=None, **settings):
        """A StateManager."""
        return StateManager(key, client or self.client, strategy=self.strategy, **settings)

    def begun(self, client=None, key=KEY, **settings):
        """A StateManager of a conversation that has just begun."""
        manager = self.manager(key, client, **settings)
        manager.initialize_channel("whatsapp", "263770000000")
        return manager

    def handle_error(self, error, manager, context):
        """By the ErrorHandler."""
        return ErrorHandler.handle_error(error, manager, context)

    def close(self):
        """Close all clients."""
        for client in self.clients:
            client.close()


class AsyncDriver(Driver):
    """The async twins, each call waited for."""

    def __init__(self, url: str, strategy: str) -> None:
        self.loop = asyncio.new_event_loop()
        super().__init__(url, strategy)

    def connect(self, url, **settings):
        async def connected():
            return connect_async(url, **settings)

        self.clients.append(self.loop.run_until_complete(connected()))
        return self.clients[-1]

    def atomic(self, client=None, **settings):
        atomic = AsyncRedisAtomic(client or self.client, strategy=self.strategy, **settings)
        return Waiting(self.loop, atomic)

    def states(self, client=None, ttl=300, **settings):
        atomic = AsyncRedisAtomic(client or self.client, strategy=self.strategy, **settings)
        return Waiting(self.loop, AsyncAtomicStateManager(atomic, ttl=ttl))

    def manager(self, key=KEY, client=None, **settings):
        client = client or self.client
        manager = AsyncStateManager(key, client, strategy=self.strategy, **settings)
        return Waiting(self.loop, manager)

    def handle_error(self, error, manager, context):
        handled = AsyncErrorHandler.handle_error(error, manager._inner, context)
        return self.loop.run_until_complete(handled)

    def close(self):
        for client in self.clients:
            self.loop.run_until_complete(client.aclose())
        self.loop.close()


class Waiting:
    """Something of asyncio, whose calls are waited for."""

    def __init__(self, loop, inner):
        vars(self).update(_loop=loop, _inner=inner)

    def __setattr__(self, name, value):
        setattr(self._inner, name, value._inner if isinstance(value, Waiting) else value)

    def __getattr__(self, name):
        found = getattr(self._inner, name)
        if name == "atomic_state":
            return Waiting(self._loop, found)
        if name == "message":
            return self._message
        if not callable(found):
            return self._waited(found)
        return lambda *arguments, **named: self._waited(found(*arguments, **named))

    def _waited(self, result):
        # A call may be made within a change, that is, while the loop runs already.
        if not inspect.isawaitable(result):
            return result
        if not self._loop.is_running():
            return self._loop.run_until_complete(result)
        raise RuntimeError("use a driver of one's own within a change")

    @contextmanager
    def _message(self, update_id):
        entered = self._inner.message(update_id)
        work = self._loop.run_until_complete(entered.__aenter__())
        try:
            yield work
        except BaseException as error:
            if not self._loop.run_until_complete(
                entered.__aexit__(type(error), error, error.__traceback__)
            ):
                raise
        else:
            self._loop.run_until_complete(entered.__aexit__(None, None, None))


KINDS = [
    pytest.param((kind, strategy), id=f"{name}-{strategy}")
    for kind, name in ((Driver, "sync"), (AsyncDriver, "async"))
    for strategy in ("function", "watch")
]


@pytest.fixture(params=KINDS)
def driver(request, redis_server, client) -> Iterator[Driver]:
    """One way to run the state manager, on the shared server, which is empty."""
    kind, strategy = request.param
    made = kind(redis_server.url, strategy)
    yield made
    made.close()


@pytest.fixture
def other(redis_server, client) -> Iterator[Driver]:
    """Somebody else, who writes by the function and waits."""
    made = Driver(redis_server.url, "auto")
    yield made
    made.close()


@pytest.fixture
def state_manager(driver):
    """A conversation that has just begun."""
    return driver.begun()
