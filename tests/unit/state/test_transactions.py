"""Transactions, stepped by hand: what is asked of the store, and what each failure leads to."""

import json

import pytest

from workbench.state import (
    AmbiguousWriteError,
    ConflictError,
    IntegrityError,
    InvalidStateError,
    RetriesExhaustedError,
    RetryPolicy,
    SchemaTooNewError,
    StateMissingError,
    StoreFullError,
    StoreRefusedError,
    StoreUnavailableError,
)
from workbench.state import document as documents
from workbench.state import transactions as tx
from workbench.state.head import ABSENT, Head, name_of

KEY = "channel:263770000000"
BY_FUNCTION = tx.Writing("auto")
BY_WATCH = tx.Writing("watch")
NO_TIME = RetryPolicy(conflict_deadline_s=-1, transport_deadline_s=-1)
LOST = StoreUnavailableError("the connection was lost")
ID = "update-1"


def stored(**parts):
    return {
        "schema": 1,
        "channel": {"type": "whatsapp", "identifier": "1"},
        "_metadata": {
            "initialized_at": "2025-01-01T00:00:00Z",
            "updated_at": "2025-01-01T00:00:00Z",
        },
        "_validation": {"in_progress": False, "attempts": {}, "last_attempt": {}, "error": None},
        **parts,
    }


def counted(document):
    return {**document, "dashboard": {"n": document["dashboard"]["n"] + 1}}


def headless(n):
    return documents.encode(stored(dashboard={"n": n}))


def text(n, *writers, on=ABSENT):
    """The document with this count, after updates of these ids."""
    written = b""
    for writer in writers or ("other",):
        on, written = on.followed_by(headless(n), name_of(writer))
    return written


def snapshot(n, *writers):
    source = text(n, *writers)
    return tx.Snapshot(stored(dashboard={"n": n}), Head.of(source), source=source)


def updating(writing=BY_FUNCTION, change=counted, **more):
    return tx.update(KEY, change, ttl_s=300, update_id=ID, writing=writing, **more)


def finish(transaction, reply=True):
    """Send the last reply; the transaction must end with it."""
    with pytest.raises(StopIteration) as end:
        transaction.send(reply)
    return end.value.value


def sent(transaction, before):
    """Step to what is sent, whichever the way."""
    step = next(transaction)
    if isinstance(step, tx.Watch):
        assert step == tx.Watch(KEY)
        step = transaction.send(None)
    assert step == tx.Get(KEY)
    return transaction.send(before)


def again(transaction, before):
    """The same after a pause."""
    step = transaction.send(None)
    if isinstance(step, tx.Watch):
        step = transaction.send(None)
    assert step == tx.Get(KEY)
    return transaction.send(before)


def count(step):
    """The count in the text that is sent."""
    return json.loads(step.text)["dashboard"]["n"]


# The two ways.


def test_update_by_function_reads_and_swaps():
    """The head that was read must still stand, and the next one carries the update's name."""
    update = updating()

    swap = sent(update, text(1))
    updated = finish(update)

    head = Head.of(swap.text)
    assert swap == tx.Swap(KEY, Head.of(text(1)).text, swap.text, 300)
    assert (head.revision, head.names[0]) == (2, name_of(ID))
    assert (updated.document, updated.head) == (stored(dashboard={"n": 2}), head)
    assert (updated.value_bytes, updated.attempts) == (len(swap.text), 1)


def test_update_of_a_snapshot_in_hand_is_one_step():
    """Nothing is read."""
    update = updating(snapshot=snapshot(1))

    swap = next(update)

    assert (swap.head, count(swap)) == (Head.of(text(1)).text, 2)
    assert finish(update).attempts == 1


def test_update_by_watch_reads_within_the_watch():
    """Watch, get, commit, in this order."""
    update = updating(BY_WATCH)

    assert next(update) == tx.Watch(KEY)
    assert update.send(None) == tx.Get(KEY)
    commit = update.send(text(1))
    updated = finish(update, None)

    assert commit == tx.Commit(KEY, commit.text, 300)
    assert updated.head == Head.of(commit.text)
    assert count(commit) == 2


@pytest.mark.parametrize("writing", [BY_FUNCTION, BY_WATCH])
def test_document_without_a_head_is_adopted_within_a_watch(writing):
    """The function could not tell it from another; the fingerprint goes into the ring."""
    update = updating(writing)
    step = next(update)
    if writing is BY_FUNCTION:
        assert step == tx.Get(KEY)
        step = update.send(headless(1))
    assert step == tx.Watch(KEY)
    assert update.send(None) == tx.Get(KEY)

    commit = update.send(headless(1))

    head = Head.of(commit.text)
    assert isinstance(commit, tx.Commit)
    assert head.revision == 1
    assert head.names[:2] == (name_of(ID), Head.of(headless(1)).names[0])


def test_stale_head_of_a_foreign_writer_is_not_kept():
    """It read ours and wrote it again with spaces."""
    foreign = json.dumps(json.loads(text(1))).encode()
    update = updating(BY_WATCH)

    commit = sent(update, foreign)

    assert commit.text.count(b"_h") == 1
    assert "_h" not in finish(update, None).document


# Races.


def test_snapshot_that_was_old_is_changed_again_at_once():
    """The refusal brings what stands there: one step more, no pause, no reading."""
    update = updating(snapshot=snapshot(1))
    next(update)

    swap = update.send(text(7, "a", "b"))

    assert (swap.head, count(swap)) == (Head.of(text(7, "a", "b")).text, 8)
    assert finish(update).attempts == 2


def test_change_that_alters_its_document_is_not_applied_to_it_twice():
    """What was proposed and not sent is sent again as it is."""

    def in_place(document):
        document["dashboard"]["n"] += 1
        return document

    update = updating(change=in_place, snapshot=snapshot(1))
    first = next(update)
    update.throw(tx.NotSent(LOST))

    second = update.send(None)

    assert second == first
    assert count(second) == 2


@pytest.mark.parametrize("writing", [BY_FUNCTION, BY_WATCH])
def test_lost_race_is_run_again_on_what_the_winner_left(writing):
    """The change is made to the other writer's document, not to the old one."""
    update = updating(writing)
    sent(update, text(1))

    pause = update.throw(tx.Outpaced()) if writing is BY_WATCH else update.send(text(5))
    step = again(update, text(7))
    updated = finish(update)

    assert isinstance(pause, tx.Pause)
    assert count(step) == 8
    assert updated.attempts == 2


@pytest.mark.parametrize("strategy", ["auto", "watch"])
def test_races_lost_until_the_deadline_exhaust_the_retries(strategy):
    """The error says how often it was tried, and that nothing was written."""
    update = updating(tx.Writing(strategy, NO_TIME))
    sent(update, text(1))

    with pytest.raises(RetriesExhaustedError, match="lost 1 races") as caught:
        update.throw(tx.Outpaced()) if strategy == "watch" else update.send(text(2))

    assert caught.value.applied is False
    assert caught.value.retryable


# The function is missing, or not allowed.


def test_missing_function_is_loaded_and_called_again():
    """The same text is sent again."""
    update = updating(snapshot=snapshot(1))
    first = next(update)

    assert update.throw(tx.FunctionMissing(LOST)) == tx.Load()
    assert update.send(None) == first
    assert finish(update).attempts == 1


@pytest.mark.parametrize("strategy", ["auto", "function"])
@pytest.mark.parametrize("signal", [tx.FunctionRefused, tx.FunctionMissing])
def test_server_without_functions_is_watched_or_refused(strategy, signal):
    """A function that is missing once more after it was loaded is as good as none."""
    refused = StoreRefusedError("NOPERM")
    update = updating(tx.Writing(strategy), snapshot=snapshot(1))
    next(update)
    if signal is tx.FunctionMissing:
        update.throw(signal(refused))
        update.send(None)

    if strategy == "function":
        with pytest.raises(StoreRefusedError):
            update.throw(signal(refused))
    else:
        assert update.throw(signal(refused)) == tx.Watch(KEY)


# The store fails before anything was sent.


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_step_that_was_not_sent_is_begun_again_from_the_watch(steps):
    """Whichever step fails before anything could be written, all three are made again."""
    update = updating(BY_WATCH)
    for reply in (None, None, text(1))[:steps]:
        update.send(reply)

    pause = update.throw(tx.NotSent(LOST))
    commit = again(update, text(1))

    assert isinstance(pause, tx.Pause)
    assert count(commit) == 2


def test_store_that_stays_away_ends_with_its_own_error():
    """When the time is over, the failure of the store is what the caller sees."""
    update = updating(tx.Writing("auto", NO_TIME))
    next(update)

    with pytest.raises(StoreUnavailableError) as caught:
        update.throw(tx.NotSent(LOST))

    assert caught.value.applied is False


def test_full_store_is_not_asked_again():
    """Trying again makes no room: the error comes at once, with time left."""
    update = updating()
    sent(update, text(1))

    with pytest.raises(StoreFullError):
        update.throw(tx.NotSent(StoreFullError("full")))


# A reply is lost.


def after_lost_reply(now, writing=BY_FUNCTION, before=None):
    """An update whose reply was lost, and which has read what stands now."""
    update = updating(writing)
    sent(update, text(1) if before is None else before)
    update.throw(tx.ReplyLost(LOST))
    return update, again(update, now)


@pytest.mark.parametrize("writing", [BY_FUNCTION, BY_WATCH])
def test_lost_reply_of_a_write_that_arrived_ends_well(writing):
    """Its name stands in the ring; what stands there now is what is answered."""
    now = text(5, ID, "later", on=Head.of(text(1)))
    update = updating(writing)
    sent(update, text(1))
    update.throw(tx.ReplyLost(LOST))
    step = update.send(None)
    if isinstance(step, tx.Watch):
        update.send(None)

    updated = finish(update, now)

    assert updated.document["dashboard"] == {"n": 5}
    assert (updated.attempts, updated.duplicate) == (2, False)


def test_lost_reply_of_a_write_that_did_not_arrive_is_sent_again_on_the_same_head():
    """It may still land, so only that head may be written on, and under the same name."""
    update, step = after_lost_reply(text(1))

    assert step.head == Head.of(text(1)).text
    assert Head.of(step.text).names[0] == name_of(ID)
    assert finish(update).attempts == 2


def test_first_send_that_lands_after_all_is_found():
    """The second is refused, and what stands there has the name."""
    update, _ = after_lost_reply(text(1))
    pause = update.send(text(2, ID, on=Head.of(text(1))))
    assert isinstance(pause, tx.Pause)
    assert update.send(None) == tx.Get(KEY)

    updated = finish(update, text(2, ID, on=Head.of(text(1))))

    assert updated.document["dashboard"] == {"n": 2}


def test_lost_reply_and_others_wrote_since_is_changed_on_theirs():
    """The old head is gone for good, so the old send is refused."""
    update, step = after_lost_reply(text(4, "a", on=Head.of(text(1))))

    assert count(step) == 5
    with pytest.raises(StoreFullError):  # and not ambiguous any more
        update.throw(tx.NotSent(StoreFullError("full")))


@pytest.mark.parametrize("now", [None, text(1, "x", "y", "z")], ids=["gone", "another life"])
def test_lost_reply_that_cannot_be_made_out_is_ambiguous(now):
    """Neither repeated nor called failed; the error says how to ask again."""
    update = updating()
    sent(update, text(1))
    update.throw(tx.ReplyLost(LOST))
    update.send(None)

    with pytest.raises(AmbiguousWriteError) as caught:
        update.send(now)

    error = caught.value
    assert error.applied is None
    assert not error.retryable
    assert (error.update_id, error.since) == (ID, Head.of(text(1)).since)


@pytest.mark.parametrize(
    ("signal", "writing"),
    [
        (tx.NotSent(StoreFullError("full")), BY_FUNCTION),
        (tx.NotSent(LOST), tx.Writing("auto", RetryPolicy(transport_deadline_s=0.05))),
    ],
)
def test_store_that_fails_after_a_lost_reply_leaves_it_ambiguous(signal, writing):
    """That the second try was refused says nothing of the first."""
    update, _ = after_lost_reply(text(1), writing)

    def failing_on():
        while True:
            update.throw(signal)
            update.send(None)

    with pytest.raises(AmbiguousWriteError):
        failing_on()


def test_damage_after_a_lost_reply_leaves_it_ambiguous():
    """What stands there cannot be read, so it cannot be known."""
    update = updating()
    sent(update, text(1))
    update.throw(tx.ReplyLost(LOST))
    update.send(None)

    with pytest.raises(AmbiguousWriteError):
        update.send(text(1)[:-1])


def test_id_that_was_applied_is_not_applied_again():
    """It stands in the ring, so there is nothing to write."""
    update = updating()
    next(update)

    updated = finish(update, text(3, ID, "later"))

    assert updated.duplicate
    assert updated.document["dashboard"] == {"n": 3}


@pytest.mark.parametrize(
    ("now", "fate"),
    [
        (text(2, ID, on=Head.of(text(1))), "applied"),
        (text(1), "not applied"),
        (text(9, *"abc", on=Head.of(text(1))), "not applied"),
        (None, "unknowable"),
    ],
)
def test_resolve_says_what_became_of_an_update(now, fate):
    """By what stands there now."""
    resolve = tx.resolve(KEY, ID, Head.of(text(1)).since, retry=RetryPolicy())

    assert next(resolve) == tx.Get(KEY)
    assert finish(resolve, now) == fate


# What is there is not what was expected.


def test_update_of_nothing_writes_nothing():
    """An update never begins a conversation."""
    update = updating()
    next(update)

    with pytest.raises(StateMissingError) as caught:
        update.send(None)

    assert caught.value.applied is False


def test_conversation_that_vanishes_between_two_tries_is_missing():
    """A retry does not bring back what was deleted meanwhile."""
    update = updating(snapshot=snapshot(1))
    next(update)

    with pytest.raises(StateMissingError):
        update.send(None)


@pytest.mark.parametrize(
    ("damaged", "error"), [(b"{", InvalidStateError), (text(1)[:-1], IntegrityError)]
)
@pytest.mark.parametrize("writing", [BY_FUNCTION, BY_WATCH])
def test_damaged_document_is_not_overwritten(writing, damaged, error):
    """What cannot be read is not changed."""
    update = updating(writing)

    with pytest.raises(error):
        sent(update, damaged)


def test_document_of_a_newer_schema_is_read_and_not_written():
    """An older service leaves it alone, whatever it has become."""
    newer = ABSENT.followed_by(b'{"schema":9,"channel":"elsewhere"}', name_of("x"))[1]
    read = tx.read(KEY, retry=RetryPolicy())
    next(read)

    assert finish(read, newer).document == {"schema": 9, "channel": "elsewhere"}
    with pytest.raises(SchemaTooNewError, match="schema 9") as caught:
        sent(updating(), newer)
    assert (caught.value.found, caught.value.supported) == (9, documents.SCHEMA)


def test_change_to_a_wrong_shape_is_not_written():
    """The document is checked before it is sent."""
    update = updating(change=lambda before: {**before, "schema": "one"})
    next(update)

    with pytest.raises(InvalidStateError) as caught:
        update.send(text(1))

    assert caught.value.path == "schema"


# Beginning and ending.


def creating():
    return tx.create(KEY, stored(dashboard={"n": 1}), ttl_s=300, update_id=ID, writing=BY_FUNCTION)


def test_create_is_one_step_where_nothing_is():
    """Nothing is read: the server says if there is something."""
    create = creating()

    swap = next(create)

    assert (swap.head, count(swap)) == (b"", 1)
    assert finish(create).revision == 1


@pytest.mark.parametrize("there", [text(5), headless(5)])
def test_create_where_something_is_writes_nothing(there):
    """Whoever wrote it."""
    create = creating()
    next(create)

    def looking_on():
        step = create.send(there)
        while True:
            step = create.send(there if isinstance(step, tx.Get) else None)

    with pytest.raises(ConflictError):
        looking_on()


def test_replace_is_given_none_where_nothing_is():
    """A replacement may begin a conversation."""
    seen = []

    def change(before):
        seen.append(before)
        return stored(dashboard={"n": 1})

    replace = tx.replace(KEY, change, ttl_s=300, update_id=ID, writing=BY_FUNCTION)
    swap = sent(replace, None)

    assert seen == [None]
    assert (swap.head, count(swap)) == (b"", 1)


@pytest.mark.parametrize("writing", [BY_FUNCTION, BY_WATCH])
def test_delete_says_whether_there_was_something(writing):
    """True after the deletion, False without one."""
    present = tx.delete(KEY, writing=writing)
    absent = tx.delete(KEY, writing=writing)

    step = sent(present, text(1))
    next(absent)
    if writing is BY_WATCH:
        absent.send(None)

    assert step.text is None
    assert finish(present) is True
    assert finish(absent, None) is False


@pytest.mark.parametrize("unreadable", [text(1)[:-1], b"\xff", b"[]"])
def test_delete_takes_away_what_nobody_can_read(unreadable):
    """Within a watch, so that it is that text and no other."""
    delete = tx.delete(KEY, writing=BY_FUNCTION)
    next(delete)
    assert delete.send(unreadable) == tx.Watch(KEY)
    delete.send(None)

    assert delete.send(unreadable) == tx.Commit(KEY, None)
    assert finish(delete) is True


def test_delete_of_a_snapshot_that_was_changed_deletes_nothing():
    """What was decided on is not there any more."""
    delete = tx.delete(KEY, writing=BY_FUNCTION, snapshot=snapshot(1))
    assert next(delete) == tx.Swap(KEY, Head.of(text(1)).text, None)

    with pytest.raises(ConflictError):
        delete.send(text(2, "a", "b"))


def test_delete_that_lost_a_race_is_run_again():
    """What another writer changed is still to be deleted."""
    delete = tx.delete(KEY, writing=BY_WATCH)
    sent(delete, text(1))

    delete.throw(tx.Outpaced())

    assert again(delete, text(2)) == tx.Commit(KEY, None)


@pytest.mark.parametrize(
    ("now", "ends"),
    [
        (None, True),
        (text(1), "again"),
        (text(2, "a", on=Head.of(text(1))), "again"),
        (text(1, "x", "y"), "ambiguous"),
    ],
    ids=["gone", "still there", "changed since", "begun anew"],
)
def test_delete_whose_reply_is_lost(now, ends):
    """Gone is gone; what follows on the old head was not deleted; the rest cannot be known."""
    delete = tx.delete(KEY, writing=BY_FUNCTION)
    sent(delete, text(1))
    delete.throw(tx.ReplyLost(LOST))
    delete.send(None)

    if ends is True:
        assert finish(delete, now) is True
    elif ends == "again":
        assert delete.send(now) == tx.Swap(KEY, Head.of(now).text, None)
    else:
        with pytest.raises(AmbiguousWriteError):
            delete.send(now)


def test_delete_on_a_full_store_is_made_plainly():
    """A full store refuses functions and transactions, and takes a DEL."""
    delete = tx.delete(KEY, writing=BY_FUNCTION)
    sent(delete, text(1))

    assert delete.throw(tx.NotSent(StoreFullError("full"))) == tx.Drop(KEY)
    assert finish(delete, 1) is True


def test_adopt_takes_over_what_lost_its_head():
    """A writer that keeps the head and changes the body makes it damaged; the body is kept."""
    kept = text(1).replace(b'"n":1', b'"n":8')
    adopt = tx.adopt(KEY, ttl_s=300, update_id=ID, writing=BY_FUNCTION)
    assert next(adopt) == tx.Get(KEY)
    assert adopt.send(kept) == tx.Watch(KEY)
    adopt.send(None)

    commit = adopt.send(kept)

    assert count(commit) == 8
    assert Head.of(commit.text).revision == 1


def test_adopt_leaves_a_sound_document_alone():
    """There is nothing to do."""
    adopt = tx.adopt(KEY, ttl_s=300, update_id=ID, writing=BY_FUNCTION)
    next(adopt)

    assert finish(adopt, text(3)).document["dashboard"] == {"n": 3}


def test_read_takes_one_step():
    """No watch: a reader is not disturbed by writers, nor disturbs them."""
    read = tx.read(KEY, retry=RetryPolicy())

    assert next(read) == tx.Get(KEY)
    assert finish(read, text(3)) == snapshot(3)


def test_read_is_repeated_while_the_store_is_away():
    """Reading twice does no harm."""
    read = tx.read(KEY, retry=RetryPolicy())
    next(read)

    pause = read.throw(tx.NotSent(LOST))

    assert isinstance(pause, tx.Pause)
    assert read.send(None) == tx.Get(KEY)
    assert finish(read, None) is None
