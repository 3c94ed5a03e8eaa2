"""The documented best practices, as they are written there."""

from datetime import datetime

import pytest

from tests.server.state.conftest import KEY
from workbench.state import ErrorContext, InvalidStateError


def test_documented_access_works_as_written(state_manager):
    """Accessors for the channel and the member."""
    channel_id = state_manager.get_channel_id()
    member_id = state_manager.get_member_id()

    assert (channel_id, member_id) == ("263770000000", None)


def test_documented_direct_access_is_refused_naming_the_accessor(state_manager):
    """What the documentation calls wrong says how it is right."""
    with pytest.raises(InvalidStateError, match=r"get_channel_id\(\)"):
        state_manager.get("channel")
    with pytest.raises(InvalidStateError, match=r"get_member_id\(\)"):
        state_manager.get("member_id")


def test_documented_update_works_as_written(driver, state_manager, client):
    """An update with its validation is stored; its naive time is taken as UTC."""
    context, component, data, current = "offer_secured", "amount", {"amount": "10"}, 0

    state_manager.update_state({
        "flow_data": {
            "context": context,
            "component": component,
            "data": data,
            "validation": {
                "in_progress": True,
                "attempts": current + 1,
                "last_attempt": datetime.utcnow()
            }
        }
    })  # fmt: skip

    stored = driver.manager().get_flow_state()
    assert (stored["context"], stored["component"]) == (context, component)
    assert stored["data"] == data
    assert stored["validation"]["attempts"] == 1
    assert stored["validation"]["last_attempt"].endswith("Z")


def test_documented_update_without_validation_is_refused(state_manager, client):
    """The wrong update is refused, names the right way and writes nothing."""
    before, new_value = client.get(KEY), 1

    with pytest.raises(InvalidStateError, match=r"'validation': \{'in_progress'"):
        state_manager.update_state({
            "value": new_value  # Don't update without validation!
        })  # fmt: skip

    assert client.get(KEY) == before


def test_documented_error_handling_works_as_written(driver, start_server):
    """The handler answers when the store is away, and does not ask it once more."""
    server = start_server()
    state_manager = driver.manager(client=driver.connect(server.url))
    key = KEY
    server.stop()

    try:
        result = state_manager.atomic_state.atomic_get(key)
    except Exception as e:  # noqa: BLE001  (as documented)
        result = None
        error_context = ErrorContext(
            error_type="system",
            message=str(e),
            details={
                "code": "STATE_GET_ERROR",
                "service": "state_manager",
                "action": "get"
            }
        )  # fmt: skip
        response = driver.handle_error(e, state_manager, error_context)

    assert result is None
    assert (response.code, response.http_status) == ("STORE_UNAVAILABLE", 503)


def test_error_of_the_application_is_noted_in_the_conversation(driver, state_manager):
    """The note is seen by other processes, and cleared by the next write that succeeds."""
    context = ErrorContext("flow", "bad amount from +263771234567")

    driver.handle_error(ValueError("bad"), state_manager, context)
    noted = state_manager.validation_state.error
    state_manager.update_state({"dashboard": {}})

    assert noted == "bad amount from [redacted]"
    assert state_manager.validation_state.error is None


def test_value_of_the_message_that_failed_is_not_told(driver, state_manager, caplog):
    """It was never stored, since its block raised; and it may be a word that errors are told in."""

    def fail():
        with state_manager.message("wamid.1") as work:
            work.update_flow_state("onboard", "LastName", {"lastname": "Muchadura Page"})
            raise ValueError("Muchadura is no page")

    with pytest.raises(ValueError) as raised:
        fail()
    context = ErrorContext("flow", str(raised.value), {"code": "INVALID_NAME"})
    response = driver.handle_error(raised.value, state_manager, context)

    assert (response.code, response.message) == ("INVALID_NAME", "[redacted] is no [redacted]")
    assert state_manager.validation_state.error == response.message
    assert caplog.messages[-1].endswith(response.message)
