"""Nothing comes back from the dead."""

import pytest

from tests.server.state.conftest import KEY
from tests.waiting import wait_until
from workbench.state import SessionLostError, StateMissingError


@pytest.mark.parametrize(
    "write",
    [
        lambda manager: manager.update_state({"dashboard": {}}),
        lambda manager: manager.update_flow_state("offer", "amount"),
        lambda manager: manager.clear_flow_state(),
        lambda manager: manager.atomic_state.atomic_update(KEY, {"dashboard": {}}),
        lambda manager: manager.atomic_state.record_error(KEY, "odd"),
    ],
)
def test_late_update_does_not_bring_a_deleted_conversation_back(state_manager, client, write):
    """Whoever still has it in hand is told that it is gone."""
    client.delete(KEY)

    with pytest.raises(StateMissingError):
        write(state_manager)

    assert not client.exists(KEY)


def test_late_update_does_not_bring_an_expired_conversation_back(state_manager, client):
    """The end of its time is as final as a deletion."""
    client.pexpire(KEY, 1)
    wait_until(lambda: not client.exists(KEY), why="the conversation to expire")

    with pytest.raises(StateMissingError):
        state_manager.update_flow_state("offer", "amount")

    assert not client.exists(KEY)


@pytest.mark.parametrize("begins", [False, True])
def test_conversation_evicted_between_read_and_write_is_missing(state_manager, client, begins):
    """A message's edits are not written into the void, even if it would have begun a new one."""

    def interrupted():
        with state_manager.message("m1") as work:
            if begins:
                work.initialize_channel("whatsapp", "263770000000")
            work.update_flow_state("offer", "confirm")
            client.delete(KEY)

    with pytest.raises(StateMissingError):
        interrupted()

    assert not client.exists(KEY)


def test_conversation_that_does_not_exist_says_how_to_begin_it(driver, client):
    """Reading what is not there names the way in."""
    with pytest.raises(StateMissingError, match="initialize_channel"):
        driver.manager().get_context()


def test_conversation_that_was_lost_says_so_whatever_is_asked(driver, state_manager, client):
    """Of what never was, on the other hand, the version is 0."""
    client.delete(KEY)
    state_manager.refresh()

    for ask in (lambda: state_manager.version, state_manager.get_context):
        with pytest.raises(SessionLostError):
            ask()

    assert driver.manager("channel:never").version == 0


def test_delete_says_whether_there_was_something(state_manager, client):
    """The second deletion finds nothing."""
    atomic = state_manager.atomic_state

    assert (atomic.atomic_delete(KEY), atomic.atomic_delete(KEY)) == (True, False)
    assert not client.exists(KEY)
