"""The twins for asyncio have the same calls, with the same arguments."""

import inspect

import pytest

from workbench import state

PAIRS = [
    (state.RedisAtomic, state.AsyncRedisAtomic),
    (state.AtomicStateManager, state.AsyncAtomicStateManager),
    (state.StateManager, state.AsyncStateManager),
    (state.ErrorHandler, state.AsyncErrorHandler),
]


def calls(kind):
    found = dict(inspect.getmembers(kind))
    return {
        name: str(inspect.signature(member)).partition(" -> ")[0] if callable(member) else "value"
        for name, member in found.items()
        if not name.startswith("_")
    }


@pytest.mark.parametrize(("waiting", "awaited"), PAIRS)
def test_twin_has_the_same_calls(waiting, awaited):
    """Only the client, and what is awaited, differ."""
    theirs = calls(waiting)
    ours = {name: text.replace("Async", "") for name, text in calls(awaited).items()}

    assert ours == theirs
    assert all(
        inspect.iscoroutinefunction(member) or name == "message"
        for name, member in inspect.getmembers(awaited, inspect.isfunction)
        if not name.startswith("_")
    )
