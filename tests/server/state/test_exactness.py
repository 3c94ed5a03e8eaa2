"""What is stored is what was given, or it is refused; and whatever is found is survived."""

import json
import math

import pytest

from tests.server.state.conftest import KEY
from workbench.state import IntegrityError, InvalidStateError, StateError

ORIGIN = {
    "channel": {"type": "whatsapp", "identifier": "263770000000"},
    "flow_data": {
        "context": "offer_secured",
        "component": "AmountInput",
        "data": {"amount": "10", "pendingInData": []},
        "validation": {"in_progress": True, "attempts": 2, "last_attempt": "2025-01-02T03:04:05"},
    },
    "_metadata": {"updated_at": "2025-01-02T03:04:05.123456"},
    "_validation": {
        "in_progress": False,
        "attempts": 7,
        "last_attempt": "2025-01-02T03:04:05.123456",
        "error": None,
    },
}


@pytest.mark.parametrize(
    "value",
    [
        [],
        {},
        2**53 + 1,
        -(2**63),
        2**80,
        1234567.123456789,
        -0.0,
        "",
        '\u0000\u2028😀\n"\\',
        None,
        True,
        [[[[]]], {"": {"": []}}],
    ],
)
def test_value_comes_back_as_it_was(state_manager, driver, value):
    """Through the encoder, the server and the decoder."""
    state_manager.update_state({"dashboard": {"value": value}})

    found = driver.manager().get("dashboard")["value"]

    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, {1: 2}, {1, 2}, b"x", "\ud800"])
@pytest.mark.parametrize("layer", ["manager", "states", "atomic"])
def test_value_that_json_has_no_form_for_is_refused(state_manager, driver, client, layer, value):
    """At every layer, and nothing is written."""
    before = client.get(KEY)
    parts = {"dashboard": {"value": value}}
    write = {
        "manager": lambda: state_manager.update_state(parts),
        "states": lambda: driver.states().atomic_update(KEY, parts),
        "atomic": lambda: driver.atomic().update(KEY, lambda old: {**old, **parts}, ttl_s=9),
    }[layer]

    with pytest.raises(InvalidStateError):
        write()

    assert client.get(KEY) == before


@pytest.mark.parametrize("value", [(1, 2), "_h"], ids=["tuple", "name of the head"])
def test_change_that_would_not_read_back_as_it_is_is_refused(state_manager, driver, value):
    """A change gives plain values; and the head is not among them."""
    part = {"_h": 1} if value == "_h" else {"dashboard": {"value": value}}

    with pytest.raises(InvalidStateError):
        driver.atomic().update(KEY, lambda old: {**old, **part}, ttl_s=9)


def test_document_of_the_origin_is_adopted(driver, client):
    """It wrote no schema, no head, and attempts as a number; its data is kept."""
    client.set(KEY, json.dumps(ORIGIN), ex=300)

    manager = driver.manager()
    manager.update_flow_data({"denom": "USD"})

    assert manager.version == 1
    assert manager.get_flow_data() == {"amount": "10", "pendingInData": [], "denom": "USD"}
    assert manager.get_flow_state()["validation"]["attempts"] == 3
    assert manager.validation_state.attempts_by_operation == {"update_flow_data": 1}
    assert client.ttl(KEY) > 200


def test_document_that_the_origin_wrote_again_is_adopted_again(state_manager, driver, client):
    """It reads ours and writes it with spaces; its change is kept, the stale head is not."""
    document = json.loads(client.get(KEY))
    document["action"] = {"id": "origin"}
    client.set(KEY, json.dumps(document), ex=300)

    state_manager.update_state({"dashboard": {"n": 1}})

    found = driver.atomic().read(KEY)
    assert found.document["action"] == {"id": "origin"}
    assert found.document["dashboard"] == {"n": 1}
    assert found.revision == 1
    assert client.get(KEY).count("_h") == 1


@pytest.mark.parametrize(
    "flow",
    [
        {"data": None},
        {"context": "offer", "data": []},
        {"context": 1, "component": None},
        {"context": "offer", "component": "amount", "validation": 1},
    ],
)
@pytest.mark.parametrize("metadata", [{}, None, {"messages": None}, {"messages": [1]}])
def test_document_that_lacks_parts_of_ours_is_adopted(driver, client, flow, metadata):
    """A flow of another form, and messages that are none, do not make it unreadable."""
    channel = {"type": "whatsapp", "identifier": "263770000000"}
    client.set(KEY, json.dumps({"channel": channel, "flow_data": flow, "_metadata": metadata}))
    manager = driver.manager()

    with manager.message("m-1") as work:
        work.update_flow_state("offer", "amount", {"amount": "10"})

    assert driver.manager().get_flow_data() == {"amount": "10"}


def test_attempts_that_the_origin_wrote_over_ours_are_read(state_manager, driver, client):
    """It puts a number where we keep a map, and leaves our version in the document."""
    document = json.loads(client.get(KEY))
    client.set(KEY, json.dumps({**document, "_validation": ORIGIN["_validation"]}), ex=300)

    state_manager.update_state({"dashboard": {"n": 1}})

    assert state_manager.get("dashboard") == {"n": 1}
    assert state_manager.validation_state.attempts_by_operation == {"update_state": 1}


def test_flipped_bit_is_an_error_until_it_is_taken_over(state_manager, driver, client):
    """Neither read nor overwritten; adopt takes what it says, delete takes it away."""
    state_manager.update_state({"dashboard": {"amount": "100"}})
    client.set(KEY, client.get(KEY).replace('"100"', '"900"'))

    with pytest.raises(IntegrityError):
        driver.manager().get_context()
    with pytest.raises(IntegrityError):
        driver.atomic().update(KEY, dict, ttl_s=300)

    assert driver.atomic().adopt(KEY).document["dashboard"] == {"amount": "900"}
    assert driver.manager().get("dashboard") == {"amount": "900"}
    assert driver.atomic().delete(KEY)


@pytest.mark.parametrize(
    "found",
    [
        b"{",
        b"",
        b"[]",
        b"null",
        b"\xff\xfe\x00",
        b'{"foreign": 1}',
        b'{"channel":{"type":"a","identifier":"b"},"channel":{"type":"c","identifier":"d"}}',
        b'{"channel":{"type":"a","identifier":"b"},"x":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
        b'{"channel":' + b'"x"' * 1_400_000,
        b'{"channel":{"type":"a","identifier":"b"},"x":1e999}',
        b'{"channel":{"type":"a","identifier":"b"},"x":NaN}',
    ],
    ids=[
        "cut", "empty", "list", "null", "no text", "no conversation", "a name twice", "deep",
        "4 MB", "huge number", "NaN",
    ],
)  # fmt: skip
def test_what_is_no_document_is_invalid_and_is_not_touched(driver, client, found):
    """Whatever another program left there: the one documented error, and no write."""
    client.set(KEY, found)
    states = driver.states()

    with pytest.raises(InvalidStateError):
        states.atomic_get(KEY)
    with pytest.raises(InvalidStateError):
        states.atomic_update(KEY, {"dashboard": {}})

    assert client.execute_command("GET", KEY, NEVER_DECODE=True) == found


@pytest.mark.parametrize(
    "identifier", ["a:b", "line\nbreak", "*?[x]", "{tag}", "with space", "ü😀", "\u0000"]
)
def test_any_identifier_names_its_own_conversation(driver, identifier):
    """It is never part of a pattern, a command or a path."""
    manager = driver.manager(f"channel:{identifier}")
    manager.initialize_channel("whatsapp", identifier)

    assert driver.manager(f"channel:{identifier}").get_channel_id() == identifier
    assert driver.atomic().read("channel:") is None


@pytest.mark.parametrize("identifier", ["\ud800", "x" * 1000])
def test_identifier_that_cannot_be_a_key_is_refused(driver, identifier):
    """Before anything is sent."""
    with pytest.raises(StateError):
        driver.manager(f"channel:{identifier}").initialize_channel("whatsapp", "1")


def test_document_is_bounded(state_manager, client):
    """A document over 1 MiB is refused, and the one before it stays."""
    before = client.get(KEY)

    with pytest.raises(InvalidStateError, match="more than 1048576"):
        state_manager.update_state({"dashboard": {"text": "x" * 2**20}})

    assert client.get(KEY) == before
