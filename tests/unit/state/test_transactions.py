"""Transactions, stepped by hand: what is asked of the store, and what each failure leads to."""

import pytest

from workbench.state import (
    AmbiguousWriteError,
    ConflictError,
    InvalidStateError,
    RetriesExhaustedError,
    RetryPolicy,
    StateMissingError,
    StoreFullError,
    StoreUnavailableError,
)
from workbench.state import document as documents
from workbench.state import transactions as tx

KEY = "channel:263770000000"
RETRY = RetryPolicy()
NO_TIME = RetryPolicy(conflict_deadline_s=-1, transport_deadline_s=-1)
LOST = StoreUnavailableError("the connection was lost")


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


def text(n):
    return documents.encode(stored(dashboard={"n": n}))


def finish(transaction, reply=None):
    """Send the last reply; the transaction must end with it."""
    with pytest.raises(StopIteration) as end:
        transaction.send(reply)
    return end.value.value


def to_commit(transaction, before):
    """Step to the commit."""
    assert next(transaction) == tx.Watch(KEY)
    assert transaction.send(None) == tx.Get(KEY)
    commit = transaction.send(before)
    assert isinstance(commit, tx.Commit)
    return commit


def test_update_reads_within_the_watch_and_writes_what_the_change_made():
    """Watch, get, commit, in this order; the result is what was written."""
    update = tx.update(KEY, counted, ttl_s=300, retry=RETRY)

    commit = to_commit(update, text(1))
    updated = finish(update)

    assert commit == tx.Commit(KEY, text(2), 300)
    assert updated == tx.Updated(stored(dashboard={"n": 2}), value_bytes=len(text(2)), attempts=1)


def test_lost_race_is_run_again_on_what_the_winner_left():
    """The change is made to the other writer's document, not to the old one."""
    update = tx.update(KEY, counted, ttl_s=300, retry=RETRY)
    to_commit(update, text(1))

    pause = update.throw(tx.Outpaced())
    commit = to_commit(update, text(7))
    updated = finish(update)

    assert isinstance(pause, tx.Pause)
    assert commit.text == text(8)
    assert updated.attempts == 2


def test_races_lost_until_the_deadline_exhaust_the_retries():
    """The error says how often it was tried, and that nothing was written."""
    update = tx.update(KEY, counted, ttl_s=300, retry=NO_TIME)
    to_commit(update, text(1))

    with pytest.raises(RetriesExhaustedError, match="lost 1 races") as caught:
        update.throw(tx.Outpaced())

    assert caught.value.applied is False
    assert caught.value.retryable


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_step_that_was_not_sent_is_begun_again_from_the_watch(steps):
    """Whichever step fails before anything could be written, all three are made again."""
    update = tx.update(KEY, counted, ttl_s=300, retry=RETRY)
    for reply in (None, None, text(1))[:steps]:
        update.send(reply)

    pause = update.throw(tx.NotSent(LOST))
    commit = to_commit(update, text(1))

    assert isinstance(pause, tx.Pause)
    assert commit.text == text(2)


def test_store_that_stays_away_ends_with_its_own_error():
    """When the time is over, the failure of the store is what the caller sees."""
    update = tx.update(KEY, counted, ttl_s=300, retry=NO_TIME)
    next(update)

    with pytest.raises(StoreUnavailableError) as caught:
        update.throw(tx.NotSent(LOST))

    assert caught.value.applied is False


def test_full_store_is_not_asked_again():
    """Trying again makes no room: the error comes at once, with time left."""
    update = tx.update(KEY, counted, ttl_s=300, retry=RETRY)
    to_commit(update, text(1))

    with pytest.raises(StoreFullError):
        update.throw(tx.NotSent(StoreFullError("full")))


def test_lost_reply_is_ambiguous_and_not_repeated():
    """Whether the write stands cannot be known, so it is neither repeated nor called failed."""
    update = tx.update(KEY, counted, ttl_s=300, retry=RETRY)
    to_commit(update, text(1))

    with pytest.raises(AmbiguousWriteError) as caught:
        update.throw(tx.ReplyLost(LOST))

    assert caught.value.applied is None
    assert not caught.value.retryable


def test_update_of_nothing_writes_nothing():
    """An update never begins a conversation."""
    update = tx.update(KEY, counted, ttl_s=300, retry=RETRY)
    next(update)
    update.send(None)

    with pytest.raises(StateMissingError) as caught:
        update.send(None)

    assert caught.value.applied is False


def test_conversation_that_vanishes_between_two_tries_is_missing():
    """A retry does not bring back what was deleted meanwhile."""
    update = tx.update(KEY, counted, ttl_s=300, retry=RETRY)
    to_commit(update, text(1))
    update.throw(tx.Outpaced())
    update.send(None)
    update.send(None)

    with pytest.raises(StateMissingError):
        update.send(None)


def test_damaged_document_is_not_overwritten():
    """What cannot be read is not changed."""
    update = tx.update(KEY, counted, ttl_s=300, retry=RETRY)
    next(update)
    update.send(None)

    with pytest.raises(InvalidStateError):
        update.send(b"{")


def test_change_to_a_wrong_shape_is_not_written():
    """The document is checked before it is sent."""
    update = tx.update(KEY, lambda before: {**before, "schema": "one"}, ttl_s=300, retry=RETRY)
    next(update)
    update.send(None)

    with pytest.raises(InvalidStateError) as caught:
        update.send(text(1))

    assert caught.value.path == "schema"


def test_create_writes_only_where_nothing_is():
    """The first creation is written, the second finds the first."""
    document = stored(dashboard={"n": 1})
    first = tx.create(KEY, document, ttl_s=300, retry=RETRY)
    second = tx.create(KEY, document, ttl_s=300, retry=RETRY)

    commit = to_commit(first, None)
    next(second)
    second.send(None)

    assert commit == tx.Commit(KEY, text(1), 300)
    with pytest.raises(ConflictError):
        second.send(text(5))


def test_two_creations_at_once_leave_one():
    """The one that lost the race finds the conversation when it looks again."""
    create = tx.create(KEY, stored(dashboard={"n": 1}), ttl_s=300, retry=RETRY)
    to_commit(create, None)
    create.throw(tx.Outpaced())
    create.send(None)
    create.send(None)

    with pytest.raises(ConflictError):
        create.send(text(5))


def test_replace_is_given_none_where_nothing_is():
    """A replacement may begin a conversation."""
    seen = []

    def change(before):
        seen.append(before)
        return stored(dashboard={"n": 1})

    replace = tx.replace(KEY, change, ttl_s=300, retry=RETRY)
    commit = to_commit(replace, None)

    assert seen == [None]
    assert commit.text == text(1)


def test_delete_says_whether_there_was_something():
    """True after the commit, False without one."""
    present = tx.delete(KEY, retry=RETRY)
    absent = tx.delete(KEY, retry=RETRY)

    commit = to_commit(present, text(1))
    next(absent)
    absent.send(None)

    assert commit == tx.Commit(KEY, None)
    assert finish(present) is True
    assert finish(absent, None) is False


def test_delete_whose_reply_is_lost_is_ambiguous():
    """A deletion may have happened as well."""
    delete = tx.delete(KEY, retry=RETRY)
    to_commit(delete, text(1))

    with pytest.raises(AmbiguousWriteError) as caught:
        delete.throw(tx.ReplyLost(LOST))

    assert caught.value.applied is None


def test_delete_that_lost_a_race_is_run_again():
    """What another writer changed is still to be deleted."""
    delete = tx.delete(KEY, retry=RETRY)
    to_commit(delete, text(1))

    pause = delete.throw(tx.Outpaced())

    assert isinstance(pause, tx.Pause)
    assert to_commit(delete, text(2)) == tx.Commit(KEY, None)


def test_read_takes_one_step():
    """No watch: a reader is not disturbed by writers, nor disturbs them."""
    read = tx.read(KEY, retry=RETRY)

    assert next(read) == tx.Get(KEY)
    assert finish(read, text(3)) == stored(dashboard={"n": 3})


def test_read_is_repeated_while_the_store_is_away():
    """Reading twice does no harm."""
    read = tx.read(KEY, retry=RETRY)
    next(read)

    pause = read.throw(tx.NotSent(LOST))

    assert isinstance(pause, tx.Pause)
    assert read.send(None) == tx.Get(KEY)
    assert finish(read, None) is None
