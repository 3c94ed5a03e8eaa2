"""The document: its text, its shape, and how an update merges into it."""

import json
import math
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.state import InvalidStateError
from workbench.state import document as documents

NOW = datetime(2025, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
LATER = NOW + timedelta(seconds=9)
VALIDATION = {"in_progress": True, "attempts": 1, "last_attempt": "2025-01-02T03:04:05Z"}

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@pytest.fixture
def begun():
    """A conversation that has just begun."""
    return documents.new_document("whatsapp", "263770000000", NOW)


@pytest.fixture
def in_flow(begun):
    """A conversation in the second step of a flow."""
    flow = {"context": "offer", "component": "amount", "data": {"a": 1}, "validation": VALIDATION}
    return documents.merged(begun, {"flow_data": flow}, now=NOW)


@given(st.dictionaries(st.text(min_size=1).map("x-".__add__), json_values, max_size=4))
def test_what_is_written_reads_back_the_same(parts):
    """Encoding and decoding lose nothing, of unknown parts neither."""
    document = {**documents.new_document("whatsapp", "1", NOW), **parts}

    assert documents.decode(documents.encode(document)) == document


def test_text_is_compact_utf8_json(begun):
    """Other services can read it, and no byte is spent on blanks."""
    text = documents.encode({**begun, "dashboard": {"name": "Ünal"}})

    assert json.loads(text)["dashboard"]["name"] == "Ünal"
    assert "Ünal".encode() in text
    assert b": " not in text


def test_times_are_utc_with_a_z():
    """A zone is converted; a naive time is taken as UTC."""
    there = datetime(2025, 1, 2, 5, 4, 5, tzinfo=timezone(timedelta(hours=2)))

    assert documents.timestamp(there) == "2025-01-02T03:04:05.000Z"
    assert documents.timestamp(datetime(2025, 1, 2, 3, 4, 5)) == "2025-01-02T03:04:05.000Z"


def test_plain_makes_datetimes_text_and_tuples_lists():
    """The forms that JSON does not have become those it has, at any depth."""
    assert documents.plain({"a": [(NOW, 1)]}) == {"a": [["2025-01-02T03:04:05.678Z", 1]]}


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"a": {"b": {1, 2}}}, "a.b"),
        ({"a": [0, b"bytes"]}, "a[1]"),
        ({"a": {1: 2}}, "a"),
        ({"a": math.nan}, "a"),
        ({"a": math.inf}, "a"),
    ],
)
def test_what_json_cannot_hold_is_refused_at_its_path(value, path):
    """The error says where in the update the value stands."""
    with pytest.raises(InvalidStateError) as caught:
        documents.plain(value)

    assert caught.value.path == path


def test_nesting_deeper_than_32_is_refused():
    """A structure without end does not reach the store."""
    endless = {}
    endless["self"] = endless

    with pytest.raises(InvalidStateError, match="nested deeper than 32"):
        documents.plain(endless)


def test_document_over_the_limit_is_neither_written_nor_read(begun):
    """1 MiB is the end, on both sides."""
    large = {**begun, "dashboard": {"text": "x" * documents.DOCUMENT_BYTES_MAX}}

    with pytest.raises(InvalidStateError, match="more than 1048576"):
        documents.encode(large)
    with pytest.raises(InvalidStateError, match="more than 1048576"):
        documents.decode(json.dumps(large))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"1",
        b"\xff\xfe",
        b'{"a":"\xff"}',
        b"{}",
        b'{"channel":' * 90_000,
        '{"channel": 1}',
    ],
)
def test_foreign_text_is_invalid_and_nothing_else(text):
    """Whatever lies under the key, reading it ends in the one documented error."""
    with pytest.raises(InvalidStateError):
        documents.decode(text)


@given(st.binary(max_size=64))
def test_any_bytes_are_invalid_and_nothing_else(text):
    """No bytes lead to another error than the one that is documented."""
    with pytest.raises(InvalidStateError):
        documents.decode(text)


@pytest.mark.parametrize(
    ("part", "value", "path"),
    [
        ("channel", {"type": "whatsapp"}, "channel"),
        ("channel", {"type": 1, "identifier": "x"}, "channel.type"),
        ("schema", "1", "schema"),
        ("flow_data", {"context": "offer"}, "flow_data"),
        ("auth", "token", "auth"),
        ("_metadata", {"initialized_at": "yesterday", "updated_at": "now"}, "_metadata"),
    ],
)
def test_wrong_type_is_refused_at_its_path(begun, part, value, path):
    """A document of another shape is not written, and the error says where it differs."""
    with pytest.raises(InvalidStateError) as caught:
        documents.encode({**begun, part: value})

    assert caught.value.path.startswith(path)
    assert "$" not in str(caught.value)


def test_data_is_merged_one_level_deep(in_flow):
    """What the update does not name stays; what it names is replaced whole."""
    flow = {**in_flow["flow_data"], "data": {"b": {"deep": 1}}}
    once = documents.merged(in_flow, {"flow_data": flow}, now=LATER)
    flow = {**in_flow["flow_data"], "data": {"b": {"other": 2}}}

    twice = documents.merged(once, {"flow_data": flow}, now=LATER)

    assert twice["flow_data"]["data"] == {"a": 1, "b": {"other": 2}}


def test_the_rest_is_replaced(in_flow):
    """Context, component and the other parts are taken from the update as they are."""
    before = {**in_flow, "dashboard": {"old": 1}}
    flow = {"context": "ledger", "component": "list", "validation": VALIDATION}

    after = documents.merged(before, {"flow_data": flow, "dashboard": {"new": 2}}, now=LATER)

    assert (after["flow_data"]["context"], after["flow_data"]["component"]) == ("ledger", "list")
    assert after["dashboard"] == {"new": 2}


def test_unknown_parts_survive_an_update(begun):
    """What a newer service wrote is not lost by an older one."""
    before = {**begun, "from_tomorrow": [1, {"a": None}]}

    after = documents.merged(before, {"dashboard": {}}, now=LATER)

    assert after["from_tomorrow"] == [1, {"a": None}]


def test_update_leaves_the_document_in_hand_alone(in_flow):
    """The change may be made again on another document, so this one is not touched."""
    before = documents.encode(in_flow)

    documents.merged(in_flow, {"dashboard": {"a": 1}}, now=LATER)

    assert documents.encode(in_flow) == before


def test_updated_at_moves_and_initialized_at_does_not(begun):
    """Each update is dated; the beginning stays."""
    after = documents.merged(begun, {"dashboard": {}}, now=LATER)

    assert after["_metadata"] == {
        "initialized_at": documents.timestamp(NOW),
        "updated_at": documents.timestamp(LATER),
    }


@pytest.mark.parametrize(
    ("updates", "way"),
    [
        ({"channel": {"type": "a", "identifier": "b"}}, "initialize_channel"),
        ({"_metadata": {}}, "kept by the manager"),
        ({"_validation": {}}, "kept by the manager"),
        ({"schema": 2}, "kept by the manager"),
        ({"value": 1}, "'validation': {'in_progress'"),
        ({"flow_data": {"context": "a", "component": "b", "data": {}}}, "'validation': {"),
        ({"flow_data": {"validation": VALIDATION, "data": [1]}}, "data is not an object"),
    ],
)
def test_refused_update_names_the_right_way(begun, updates, way):
    """A part that may not be updated, or has no validation, is refused with what to do."""
    with pytest.raises(InvalidStateError) as caught:
        documents.merged(begun, updates, now=LATER)

    assert way in str(caught.value)


def test_unknown_part_with_validation_is_taken(begun):
    """The application may keep parts of its own, if it says how they were validated."""
    after = documents.merged(begun, {"survey": {"q": 1, "validation": VALIDATION}}, now=LATER)

    assert after["survey"]["q"] == 1
