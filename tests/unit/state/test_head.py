"""The head: its place in the text, what it gives away of damage, and the fate of an update."""

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.state import IntegrityError, functions
from workbench.state.head import ABSENT, HEAD_BYTES, Head, fate, name_of, names_in, new_update_id

BODY = b'{"channel":{"type":"whatsapp","identifier":"7"},"amount":12}'
bodies = st.dictionaries(
    st.text(st.characters(codec="utf-8")), st.integers() | st.lists(st.none()), max_size=3
).map(lambda document: json.dumps(document, separators=(",", ":")).encode())


@pytest.mark.parametrize("tail", ['aaaaaaa"', "€€€€€€€€", "a\\aaaaaa", "a aaaaaa", "aaaaaaa\n"])
def test_id_of_our_form_that_no_head_can_hold_is_hashed_like_any_other(tail):
    """It would end the head's text, or damage it."""
    _, text = ABSENT.followed_by(BODY, name_of(f"workbench:own:{tail}"))

    assert json.loads(text)["amount"] == 12
    assert Head.of(text).names[0] == name_of(f"workbench:own:{tail}")


def test_function_compares_the_whole_head():
    """The server's program has the head's width in it, as text, so as not to compute it."""
    assert f"call('GETRANGE', key, '0', '{HEAD_BYTES - 1}') ~= head" in functions.SOURCE


def written(*update_ids, body=BODY, on=ABSENT):
    """The head after these updates, one after another."""
    for update_id in update_ids:
        on = Head.of(on.followed_by(body, name_of(update_id))[1])
    return on


def test_names_are_read_of_a_head_without_its_document():
    """That is all of a document that has to travel to know whether an update is in it."""
    _, text = written("a", "b").followed_by(BODY, name_of("c"))

    names = names_in(text[:HEAD_BYTES])

    assert list(names[:3]) == [name_of("c"), name_of("b"), name_of("a")]
    assert names_in(text[: HEAD_BYTES - 1]) == names_in(b"") == names_in(b"x" * 200) == ()


@given(body=bodies, update_ids=st.lists(st.text(), min_size=1, max_size=20))
def test_stored_text_is_json_with_the_head_as_its_first_member(body, update_ids):
    """Any reader of JSON reads it; and what was put in is what comes out."""
    head = written(*update_ids, body=body)

    _, text = head.followed_by(body, name_of("last"))
    document = json.loads(text)

    assert next(iter(document)) == "_h"
    assert {**json.loads(body), "_h": document["_h"]} == document
    assert text[HEAD_BYTES:] == (b"," + body[1:] if len(body) > 2 else b"}")
    assert Head.of(text).revision == len(update_ids) + 1
    newest = [name_of(each) for each in ["last", *reversed(update_ids)]]
    assert list(Head.of(text).names[: len(newest)]) == newest[:8]


def test_any_flipped_bit_is_damage_and_never_another_document():
    """In the head, in its checksum and in the body: every bit of the text, one at a time."""
    _, text = written("a", "b").followed_by(BODY, name_of("c"))

    for place in range(8 * len(text)):
        flipped = bytearray(text)
        flipped[place // 8] ^= 1 << place % 8
        with pytest.raises(IntegrityError):
            Head.of(bytes(flipped))


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[:60],
        lambda text: text[:HEAD_BYTES],
        lambda text: text[:-1],
        lambda text: text.replace(b'"amount":12', b'"amount":13'),
    ],
    ids=["head cut", "body cut", "end cut", "changed by a writer who kept the head"],
)
def test_document_that_does_not_fit_its_head_is_refused(change):
    """It begins like one of ours."""
    with pytest.raises(IntegrityError, match=r"RedisAtomic\.adopt"):
        Head.of(change(ABSENT.followed_by(BODY, name_of("a"))[1]))


@pytest.mark.parametrize(
    "foreign",
    [BODY, b"", b"{}", b"no json", json.dumps({"_h": "1" + 84 * "0", "amount": 1}).encode()],
)
def test_document_of_somebody_else_has_no_head_but_a_fingerprint(foreign):
    """Also one that was read and written again with spaces, which keeps a stale member."""
    head = Head.of(foreign)

    assert (head.text, head.revision) == (b"", 0)
    assert head == Head.of(foreign) != Head.of(foreign + b" ")


def test_same_revision_of_another_life_is_another_head():
    """Deleted and begun again, it counts from one again; only its names tell."""
    first, second = written("a", "b"), written("c", "d")

    assert first.revision == second.revision
    assert first.text != second.text


@pytest.mark.parametrize(
    ("old", "now", "expected"),
    [
        (written("a"), written("a", "mine"), "applied"),
        (written("a"), written("a", "mine", *"bcdefgh"), "applied"),
        (written("a"), written("a"), "not applied"),
        (written("a"), written("a", *"bcdefgh"), "not applied"),
        (written("a"), written("a", *"bcdefghi"), "unknowable"),
        (written("a"), written("a", "mine", *"bcdefghi"), "unknowable"),
        (written("a", "b"), written("c"), "unknowable"),
        (written("a", "b"), written("c", "d", "e"), "unknowable"),
        (written("a"), ABSENT, "unknowable"),
        (ABSENT, written("mine"), "applied"),
        (ABSENT, ABSENT, "unknowable"),
        (ABSENT, written("b"), "unknowable"),
        (Head.of(BODY), Head.of(BODY), "not applied"),
        (Head.of(BODY), written("b", on=Head.of(BODY)), "not applied"),
        (Head.of(BODY), written("mine", on=Head.of(BODY)), "applied"),
        (Head.of(BODY), Head.of(b"{}"), "unknowable"),
    ],
)
def test_fate_of_an_update_is_certain_or_unknowable(old, now, expected):
    """The ring of eight reaches back past the update, or nothing is claimed."""
    assert fate(name_of("mine"), old, now) == expected


@given(seed=st.integers(0, 2**32), ring_reaches=st.booleans())
def test_fate_is_never_wrong(seed, ring_reaches):
    """Against a history that is known: others write before, after, and on a document begun anew."""
    rng = random.Random(seed)
    old = written(*(str(n) for n in range(rng.randint(1, 12))))
    applied, now = False, old
    for number in range(rng.randint(0, 7 if ring_reaches else 14)):
        if rng.random() < 0.1:
            now = ABSENT
        mine = now is old and rng.random() < 0.5
        applied |= mine
        now = written("mine" if mine else f"other {number}", on=now)

    said = fate(name_of("mine"), old, now)

    assert said in {"unknowable", "applied" if applied else "not applied"}


def test_ids_are_not_given_twice():
    """An update that was given no id gets one of its own."""
    assert len({new_update_id() for _ in range(1000)}) == 1000
