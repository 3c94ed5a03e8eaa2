"""A message as one unit of work."""

import pytest

from tests.server.state.conftest import KEY
from workbench.state import InvalidStateError

WRITE = {
    "function": {"fcall": 1, "getrange": 1, "set": 1},
    "watch": {"get": 2, "watch": 1, "multi": 1, "set": 1, "exec": 1},
}


def calls(client) -> dict[str, int]:
    """How often each command was called since the counters were set back."""
    stats = client.info("commandstats")
    called = {name.removeprefix("cmdstat_"): stat["calls"] for name, stat in stats.items()}
    own = ("info", "config", "client", "hello", "select")
    return {name: n for name, n in called.items() if not name.startswith(own)}


def test_message_is_one_read_and_one_write(driver, state_manager, client):
    """However many edits a message makes: one GET at its start, one function call at its end."""
    client.config_resetstat()

    with state_manager.message("m1") as work:
        work.get_context()
        work.update_flow_state("offer", "amount")
        work.update_flow_data({"amount": "10"})
        work.update_state({"dashboard": {"n": 1}})
    called = calls(client)

    assert called == {"get": 1, **WRITE[driver.strategy]}


def test_message_that_edits_nothing_writes_nothing(state_manager, client):
    """Only its read is made."""
    client.config_resetstat()

    with state_manager.message("m1") as work:
        work.get_channel_id()
    called = calls(client)

    assert called == {"get": 1}


def test_message_that_fails_writes_nothing(state_manager, client):
    """A block that raises leaves the conversation as it was."""
    before = client.get(KEY)

    def fail():
        with state_manager.message("m1") as work:
            work.update_flow_state("offer", "amount")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert client.get(KEY) == before


def test_message_delivered_twice_is_applied_once(driver, state_manager, client):
    """The second delivery sees that it is one, and its edits are not written."""
    seen = []
    for _ in range(2):
        with driver.manager().message("wamid.1") as work:
            seen.append(work.duplicate)
            n = (work.get("dashboard") or {"n": 0})["n"]
            work.update_state({"dashboard": {"n": n + 1}})

    state_manager.refresh()
    assert seen == [False, True]
    assert state_manager.get("dashboard") == {"n": 1}


def test_message_delivered_twice_at_once_is_applied_once(driver, state_manager, client):
    """A delivery that was overtaken by its twin finds out at its write."""
    with driver.manager().message("wamid.1") as late:
        with driver.manager().message("wamid.1") as early:
            early.update_state({"dashboard": {"n": 1}})
        late.update_state({"dashboard": {"n": 2}})

    state_manager.refresh()
    assert (early.duplicate, late.duplicate, late.written) == (False, True, None)
    assert state_manager.get("dashboard") == {"n": 1}


def test_replacing_the_document_forgets_no_message(driver, state_manager):
    """Also by a document that was read before the message."""
    states = driver.states()
    early = states.atomic_get(KEY)
    with state_manager.message("m-1") as work:
        work.update_state({"dashboard": {}})

    states.atomic_set(KEY, early)
    with driver.manager().message("m-1") as again:
        pass

    assert again.duplicate


@pytest.mark.parametrize("message_id", ["", None, 7])
def test_message_without_an_id_is_refused(state_manager, message_id):
    """Two of them would be taken for one."""
    with pytest.raises(InvalidStateError, match="id"), state_manager.message(message_id):
        pass


def test_last_sixteen_messages_are_known(state_manager):
    """The memory for duplicates is bounded, and its oldest entries go first."""
    for number in range(20):
        with state_manager.message(f"wamid.{number}") as work:
            work.update_state({"dashboard": {"n": number}})

    known = []
    for number in (0, 3, 4, 19):
        with state_manager.message(f"wamid.{number}") as work:
            known.append(work.duplicate)

    assert known == [False, False, True, True]


def test_edits_of_a_message_are_made_to_what_another_writer_left(driver, state_manager, client):
    """A message that was overtaken loses nothing of the other writer's work."""
    with state_manager.message("m1") as work:
        work.update_flow_state("offer", "amount", {"a": 1})
        driver.manager().update_state({"dashboard": {"n": 7}})

    assert state_manager.get("dashboard") == {"n": 7}
    assert state_manager.get_flow_data() == {"a": 1}


def test_message_can_begin_its_conversation(driver, client):
    """The first message of a caller finds nothing and writes the beginning with its edits."""
    manager = driver.manager()

    with manager.message("m1") as work:
        work.initialize_channel("whatsapp", "263770000000")
        work.update_flow_state("login", "greet")

    assert not work.exists
    assert (manager.get_channel_type(), manager.get_component()) == ("whatsapp", "greet")
