"""The document: its text, its shape, and how an update merges into it."""

import json
import math
import sys
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.state import InvalidStateError
from workbench.state import document as documents
from workbench.state.head import ABSENT, HEAD_BYTES

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
DOCUMENTS = st.dictionaries(st.sampled_from(["x-a", "x-b", "x-c"]), json_values).map(
    lambda parts: {**documents.new_document("whatsapp", "1", NOW), **parts}
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


@given(st.datetimes(timezones=st.none() | st.timezones()))
def test_times_are_cut_to_the_millisecond(moment):
    """As isoformat writes them, which takes five times as long."""
    there = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    try:
        text = there.astimezone(UTC).isoformat(timespec="milliseconds")
    except OverflowError:  # before the year 1 or after 9999
        return

    assert documents.timestamp(moment) == text.replace("+00:00", "Z")


@given(json_values)
def test_plain_value_is_copied_as_it_is(value):
    """What is of JSON's own types keeps them, and shares no list and no dict with the original."""
    copied = documents.plain(value)

    assert repr(copied) == repr(value)
    assert not isinstance(value, dict | list) or copied is not value


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
        documents.decode(json.dumps(large).encode())


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
        b'{"channel": 1}',
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


NAN = float("nan")


@pytest.mark.parametrize(
    "value", [NAN, (1,), {1: 2}, b"1", Decimal("0.5"), LATER, [NAN], {"a": ()}]
)
def test_new_value_that_reads_back_as_another_is_refused(begun, value):
    """Also where the rest of the document is known to be as it was."""
    before = {**begun, "dashboard": {"a": None}}
    known = documents.split(documents.encode(before))

    with pytest.raises(InvalidStateError):
        documents.encode_parts({**before, "dashboard": value}, known=known)
    with pytest.raises(InvalidStateError):
        documents.encode_parts({**before, "new": value}, known=known)


@pytest.mark.parametrize("source", ["text", "parts"])
def test_part_that_was_altered_in_place_is_written_anew(begun, source):
    """Its object is the same, its text is not."""
    before = {**begun, "dashboard": {"list": [1, {"a": 1}]}, "action": {}}
    parts = documents.encode_parts(before)
    known = parts if source == "parts" else documents.split(documents.joined(parts))

    before["dashboard"]["list"][1]["a"] = 2

    assert json.loads(documents.joined(documents.encode_parts(before, known=known))) == before


@pytest.mark.parametrize("schema", [-1, 0, 99])
def test_only_the_present_schema_is_written(begun, schema):
    """Another would be read back as another document, or not at all."""
    with pytest.raises(InvalidStateError) as caught:
        documents.encode({**begun, "schema": schema})

    assert caught.value.path == "schema"


def test_largest_document_that_is_written_can_be_read(begun):
    """With its head, which is no part of the document."""
    room = documents.DOCUMENT_BYTES_MAX - HEAD_BYTES
    fixed = len(documents.encode({**begun, "x": ""}))
    largest = documents.encode({**begun, "x": "a" * (room - fixed)})

    _, text = ABSENT.followed_by(largest, b"12345678")

    assert len(text) == documents.DOCUMENT_BYTES_MAX
    assert documents.decode(text)
    with pytest.raises(InvalidStateError):
        documents.encode({**begun, "x": "a" * (room - fixed + 1)})


def test_nesting_is_bounded_before_anything_is_parsed(begun):
    """So deep a parser would recurse until the process is gone, if it may; brackets in texts and
    documents that are only wide do no harm."""
    deep = b'{"a":' * 5000 + b"1" + b"}" * 5000
    wide = {**begun, "dashboard": {"rows": [{"n": [1]}] * 500, "text": '[{"\\' * 500}}

    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(10**6)
    try:
        with pytest.raises(InvalidStateError, match="deeper than 128"):
            documents.decode(deep)
    finally:
        sys.setrecursionlimit(limit)

    assert documents.decode(documents.encode(wide)) == wide


def test_document_is_not_written_deeper_than_it_is_read(begun):
    """What goes in comes out again."""
    part: dict = {}
    for _ in range(200):
        part = {"a": part}

    with pytest.raises(InvalidStateError, match="deeper than 128"):
        documents.encode({**begun, "dashboard": part})


@pytest.mark.parametrize("odd", [math.nan, -math.nan, math.inf, -math.inf])
def test_number_that_json_writes_as_null_does_not_pass_for_none(begun, odd):
    """Its text is that of the part before, to the letter; and it would read back as None."""
    before = {**begun, "dashboard": {"big": 2**70, "list": [1.5, None]}}
    known = documents.encode_parts(before)
    after = {**before, "dashboard": {"big": 2**70, "list": [1.5, odd]}}

    with pytest.raises(InvalidStateError, match="JSON has no"):
        documents.encode_parts(after, known=known)

    assert documents.encode_parts(before, known=known) == known


@pytest.mark.parametrize("parts", [None, [1], "x", 5, [("a", 1)]])
def test_parts_are_given_by_name(parts):
    """Anything else is refused with the one documented error."""
    with pytest.raises(InvalidStateError, match="as a dict"):
        documents.plain_parts(parts)


def test_part_without_validation_is_not_named_if_it_may_be_a_persons_number(begun):
    """Neither in the text nor in the path."""
    with pytest.raises(InvalidStateError) as caught:
        documents.merged(begun, {"263771234567": {"x": 1}}, now=datetime.now(UTC))

    assert "263771234567" not in str(caught.value) + caught.value.path


def test_error_names_no_part_that_may_be_a_persons_number():
    """People use numbers for names."""
    with pytest.raises(InvalidStateError) as caught:
        documents.plain({"dashboard": {"contacts": {"263779999999": {1, 2}}}})

    assert caught.value.path == "dashboard.contacts.[...]"
    assert "263779999999" not in str(caught.value)


def test_part_that_is_passed_on_is_not_written_anew(begun):
    """Where identity counts, altering in place does not: the text is the one from before."""
    before = {**begun, "dashboard": {"a": 1}, "action": {"a": 1}}
    known = documents.encode_parts(before)
    before["dashboard"]["a"] = 2  # which nobody should do
    after = {**before, "action": {"a": 2}}

    parts = documents.encode_parts(after, known=known, same=before, exact=True)

    assert parts["dashboard"] is known["dashboard"]
    assert bytes(parts["action"]) == b'{"a":2}'


@given(before=DOCUMENTS, after=DOCUMENTS)
def test_text_is_the_same_whatever_is_known(before, after):
    """What is known of the document before saves work and changes nothing."""
    text = documents.encode(after)
    known = documents.encode_parts(before)

    for each in (known, documents.split(documents.encode(before))):
        assert documents.joined(documents.encode_parts(after, known=each)) == text
    assert documents.joined(documents.encode_parts(after, known=known, same=before)) == text


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


def test_opened_text_is_passed_on_without_its_parts_being_read(in_flow):
    """What no change looks into stays text, and is written again as it was; so is the rest."""
    text = documents.encode({**in_flow, "dashboard": {"n": [1, 2.5]}, "x-new": None})
    document, parts = documents.opened(text)
    after = {**document, "flow_data": {**document["flow_data"], "component": "handle"}}

    written = documents.joined(documents.encode_parts(after, known=parts, same=document))

    assert document["flow_data"] == in_flow["flow_data"]
    assert not isinstance(document["dashboard"], dict)
    assert documents.decode(written) == {
        **documents.decode(text),
        "flow_data": {**in_flow["flow_data"], "component": "handle"},
    }


def test_text_of_a_part_that_is_not_the_one_it_had_is_refused(in_flow):
    """Only what was written before is known to be of its shape."""
    document, parts = documents.opened(documents.encode({**in_flow, "dashboard": {}}))
    other, _ = documents.opened(documents.encode({**in_flow, "dashboard": {"n": 1}}))

    with pytest.raises(InvalidStateError):
        documents.encode_parts(
            {**document, "dashboard": other["dashboard"]}, known=parts, same=document
        )
