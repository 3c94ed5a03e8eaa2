"""What a hook is told of each call."""

import pytest

from tests.server.state.conftest import KEY
from workbench.state import Call, ConflictError, StateMissingError


@pytest.fixture
def told(driver):
    """A RedisAtomic, and the calls that its hook was told of."""
    calls = []
    return driver.atomic(hooks=[calls.append]), calls


def test_hook_is_told_of_each_call_and_its_round_trips(told, driver):
    """One to read; to update one by the function, and three by WATCH."""
    atomic, calls = told
    driver.begun()

    held = atomic.read(KEY)
    atomic.update(KEY, lambda old: {**old, "action": {}}, ttl_s=300, snapshot=held)
    atomic.delete(KEY)

    trips = 3 if driver.strategy == "watch" else 1
    assert [(each.operation, each.error) for each in calls] == [
        ("read", None),
        ("update", None),
        ("delete", None),
    ]
    assert [each.round_trips for each in calls[:2]] == [1, trips]
    assert all(isinstance(each, Call) and each.elapsed_s > 0 for each in calls)


def fail(document):
    raise ZeroDivisionError


def refuse(document):
    raise ConflictError("by the application")


@pytest.mark.parametrize(
    ("change", "raised", "said"),
    [
        (fail, ZeroDivisionError, "ZeroDivisionError"),
        (refuse, ConflictError, "STATE_CONFLICT"),
        (None, StateMissingError, "STATE_MISSING"),
    ],
)
def test_hook_is_told_of_each_error(told, driver, change, raised, said):
    """One of ours by its code, another by its class: no failure looks like a success."""
    atomic, calls = told
    if change is not None:
        driver.begun()

    with pytest.raises(raised):
        atomic.update(KEY, change or refuse, ttl_s=300)

    assert [(each.operation, each.error) for each in calls] == [("update", said)]
