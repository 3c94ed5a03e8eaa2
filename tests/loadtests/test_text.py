"""The text that the fast driver makes, beside the one that the state manager makes."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtests.drivers import text as texts
from loadtests.drivers.text import held_of, named
from loadtests.drivers.turn import apply
from workbench.flows.model import FLOWS, Caller, Edit
from workbench.state import document as documents
from workbench.state import transactions as tx
from workbench.state.atomic import Transactions
from workbench.state.attempts import Attempts
from workbench.state.conversation import Message
from workbench.state.head import OWN, Head
from workbench.state.health import Record

MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
NAMES = st.sampled_from(["a", "amount", "incoming_message", "é", 'quo"te', ""])
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=3)
EDITS = st.builds(
    Edit,
    st.sampled_from(["account", "offer"]),
    st.sampled_from(["Amount", "Handle"]),
    OBJECTS,
    st.fixed_dictionaries(
        {},
        optional={
            "auth": OBJECTS,
            "dashboard": OBJECTS,
            "action": OBJECTS,
            "active_account_id": st.text(max_size=6),
        },
    ),
    st.booleans(),
)
STATES = Attempts(Transactions(Record(None), tx.Writing()), 300)


@pytest.fixture(autouse=True)
def _one_moment(monkeypatch):
    """All is written at one time."""
    stop_the_clock(monkeypatch)


def stop_the_clock(patch):
    class Stopped(datetime):
        @classmethod
        def now(cls, tz=None):
            return MOMENT.astimezone(tz)

    patch.setattr("workbench.state.attempts.datetime", Stopped)
    patch.setattr(texts, "_moment", lambda: documents.timestamp(MOMENT))


def by_state_manager(identifier, snapshot, message, edit, name):
    """The swap that the state manager makes of a message, its head and its text."""
    work = Message(message)
    work.initialize_channel("whatsapp", identifier)
    apply(work, edit)
    transaction = STATES.rewrite(
        "channel:1",
        work.applied_to,
        operation="message",
        snapshot=snapshot,
        absent=snapshot is None,
        update_id=f"{OWN}{name}",
    )
    step = next(transaction)
    transaction.close()
    return Head.of(step.text), step.text


def check(edits, identifier="1"):
    """One conversation, each turn made both ways."""
    head, text = by_state_manager(identifier, None, "m-0", edits[0], "AAAAAAA0")
    held = held_of(head, text)
    for number, edit in enumerate(edits[1:], 1):
        message, name = f"m-{number}", f"AAAAAA{number:02}"
        snapshot = tx.Snapshot(documents.decode(text, foreign=False), head, text)
        head, text = by_state_manager(identifier, snapshot, message, edit, name)

        held, made = held.followed_by(named(message), edit, name.encode())

        assert made == text
        assert (held.head, held.text, held.value_bytes) == (head, text, len(text))


@settings(max_examples=150)
@given(st.lists(EDITS, min_size=2, max_size=6))
def test_text_is_what_the_state_manager_writes(edits):
    """Byte for byte, whatever is edited, and also where the text before came the same way."""
    with pytest.MonkeyPatch.context() as patch:
        stop_the_clock(patch)
        check(edits)


@pytest.mark.parametrize("flow", FLOWS.values(), ids=lambda flow: flow.name)
def test_text_of_every_flow_is_what_the_state_manager_writes(flow):
    """Through more messages than a document remembers."""
    caller = Caller(5, 1)

    check([step.edit(caller) for step in flow.steps * 12][:24], caller.identifier)


@pytest.mark.parametrize(
    "edit",
    [
        Edit("a", "b", parts={"channel": {}}),
        Edit("a", "b", parts={"flow_data": {}}),
        Edit("a", "b", parts={"dashboard": None}),
        Edit("a", "b", parts={"x-new": {"validation": {}}}),
        Edit("a", "b", {"note": "x" * documents.DOCUMENT_BYTES_MAX}),
    ],
    ids=["protected", "merged", "no object", "unknown", "too large"],
)
def test_what_is_not_of_the_usual_form_is_left_to_the_state_manager(edit):
    """It refuses it, or knows better."""
    head, text = by_state_manager("1", None, "m-0", Edit("a", "b"), "AAAAAAA0")

    assert held_of(head, text).followed_by(named("m-1"), edit, b"AAAAAAA1") is None


def test_message_that_is_remembered_is_left_to_the_state_manager():
    """Whether it is a duplicate depends on what stands there now."""
    head, text = by_state_manager("1", None, "m-0", Edit("a", "b"), "AAAAAAA0")

    assert held_of(head, text).followed_by(named("m-0"), Edit("a", "b"), b"AAAAAAA1") is None


@pytest.mark.parametrize(
    "change",
    [
        {"_metadata": {"initialized_at": None, "updated_at": "then", "messages": []}},
        {"_metadata": {"initialized_at": "then", "updated_at": "then", "messages": [], "x": 1}},
        {"flow_data": None},
    ],
)
def test_document_of_another_form_is_left_to_the_state_manager(change):
    """Members that messages do not leave are not lost."""
    document = {**documents.new_document("whatsapp", "1", MOMENT), **change}
    head, text = Head(b"", 0, b"").followed_by(documents._encode(document), b"AAAAAAA0")

    assert held_of(head, text) is None
