"""
What is done to a conversation, as generators of steps: no I/O and no client.

A transaction yields a step and is sent the step's result. A step that failed is thrown back in as
one of the signals below, so that the decision what a failure means stays here, in one copy for
every driver. The signal says how far the step got, which an exception of the client library does
not: redis-py 8.1 raises WatchError both for a lost race and for a lost reply.

Two ways to write lead to the same text on the same key. ``function``: one Swap, which the server
refuses if another head stands there. ``watch``: Watch, Get, Commit. The second is also the way of
documents that have no head yet, and of those that cannot be read.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any, Final, Generic, Literal, Protocol, TypeVar

import msgspec

from workbench.state import document as documents
from workbench.state.errors import (
    AmbiguousWriteError,
    ConflictError,
    IntegrityError,
    InvalidStateError,
    Reason,
    RetriesExhaustedError,
    SchemaTooNewError,
    SessionLostError,
    StateError,
    StateMissingError,
    StoreFullError,
)
from workbench.state.head import ABSENT, Fate, Head, fate, name_of
from workbench.state.live_index import Entry, entry_of, reason
from workbench.state.retry import Retries, RetryPolicy

__all__ = [
    "SIGNALS",
    "Change",
    "Commit",
    "Document",
    "Drop",
    "FunctionMissing",
    "FunctionRefused",
    "Get",
    "Load",
    "LookUp",
    "NotSent",
    "Outpaced",
    "Pause",
    "ReplyLost",
    "Snapshot",
    "Step",
    "Strategy",
    "Swap",
    "Transaction",
    "Updated",
    "Watch",
    "Writing",
    "adopt",
    "create",
    "delete",
    "read",
    "replace",
    "resolve",
    "update",
    "why_lost",
    "written",
]

_TTL_MAX_S: Final = 100 * 366 * 86400

Document = dict[str, Any]
Change = Callable[[Document], Document]
Strategy = Literal["auto", "function", "watch"]


class Watch(msgspec.Struct):
    """Have the commit fail if anyone touches the key from now on."""

    key: str


class Get(msgspec.Struct):
    """Read the key's text, or None."""

    key: str


class Commit(msgspec.Struct):
    """
    Write the text with its time to live, or delete the key if there is no text. What the live
    index says of it is taken away: it would not be true any more.
    """

    key: str
    text: bytes | None
    ttl_s: float = 0.0
    entry: Entry | None = None


class Swap(msgspec.Struct):
    """
    Write the text, or delete the key if there is none, if this head stands there; or if nothing
    does, where the head is empty. Its result is True, or what stands there instead.
    """

    key: str
    head: bytes
    text: bytes | None
    ttl_s: float = 0.0
    entry: Entry | None = None


class LookUp(msgspec.Struct):
    """What the live index says of a conversation: a Found, or None."""

    entry: Entry


class Drop(msgspec.Struct):
    """Delete the key, whatever lies there; its result is how many were deleted."""

    key: str


class Load(msgspec.Struct):
    """Give the server the function that Swap calls."""


class Pause(msgspec.Struct):
    """Wait."""

    seconds: float


T = TypeVar("T")
R = TypeVar("R")

Step = Watch | Get | Commit | Swap | LookUp | Drop | Load | Pause
Transaction = Generator[Step, Any, T]


class Outpaced(Exception):
    """Signal: another writer touched the key between Watch and Commit; nothing was written."""


class _Failed(Exception):
    def __init__(self, error: StateError) -> None:
        super().__init__(str(error))
        self.error = error


class FunctionMissing(_Failed):
    """Signal: the server does not have the function; nothing was written."""


class FunctionRefused(_Failed):
    """Signal: the server has no functions, or we may not call them; nothing was written."""


class NotSent(_Failed):
    """Signal: the step failed before anything could have been written."""


class ReplyLost(_Failed):
    """Signal: the write was sent and no reply came."""


Signal = Outpaced | FunctionMissing | FunctionRefused | NotSent | ReplyLost
SIGNALS: Final = (Outpaced, FunctionMissing, FunctionRefused, NotSent, ReplyLost)


class Snapshot(msgspec.Struct, frozen=True):
    """
    A conversation as it was read.

    It can be given to one update, which uses it up: the change may alter the document in place.

    Attributes:
        document: without its head.
        head: by which a writer knows whether this still is what is stored.
        source: its text, or the text of each part, by which a write knows what is as it was; None
            if that is not known.
    """

    document: Document
    head: Head
    source: bytes | documents.Parts | None = None

    @property
    def revision(self) -> int:
        """How often it was written since it began; 0 if by somebody who keeps no count."""
        return self.head.revision

    def __repr__(self) -> str:
        # Without the document: a traceback or a log shows what is in hand.
        return f"<{type(self).__name__} of revision {self.revision}>"


def written(head: Head, text: bytes) -> Snapshot:
    """
    What we wrote, as a snapshot for a change that is ``plain``.

    It takes less work than reading does. Parts that no change of ours looks into are text in its
    document: to be passed on or replaced, and not to be read.
    """
    document, parts = documents.opened(text)
    return Snapshot(document, head, parts)


class Updated(Snapshot, frozen=True, kw_only=True):
    """
    What a write left behind; a snapshot for the next one.

    Attributes:
        value_bytes: length of its text in Redis.
        attempts: tries that it took, 1 if nobody interfered.
        duplicate: an update of this id was applied before; nothing was written now.
    """

    value_bytes: int
    attempts: int
    duplicate: bool = False


@dataclass(frozen=True, slots=True)
class Writing:
    """
    How to write.

    Args:
        strategy: ``function`` or ``watch``; ``auto`` is the function until the server refuses it.
        retry: how long to go on.
        live_index: keep it, and ask it why a conversation is gone.
    """

    strategy: Strategy = "auto"
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    live_index: bool = False


def read(key: str, *, retry: RetryPolicy) -> Transaction[Snapshot | None]:
    """
    The conversation, or None. Reading never fails for the presence of writers.

    Raises:
        IntegrityError: the text is damaged.
        InvalidStateError: the text is no conversation.
    """
    text = yield from _text(key, retry.start())
    return _snapshot(text)


def update(
    key: str,
    change: Change,
    *,
    ttl_s: float,
    update_id: str,
    writing: Writing,
    snapshot: Snapshot | None = None,
    plain: bool = False,
) -> Transaction[Updated]:
    """
    Read, change and write in one atomic step.

    Args:
        key: the conversation.
        change: from the document as it stands to the one that is to be; may be called again when
            another writer came between, so it must not have effects of its own.
        ttl_s: time to live from this write on.
        update_id: an update of an id that is still in the head is not applied again.
        writing: by which strategy, and how long.
        snapshot: what the caller has in hand. If it still stands, there is no need to read.
        plain: what the change puts in went through ``document.plain``, so that it is known to read
            back as it is; and nothing is altered in place.

    Raises:
        StateMissingError: there is no such conversation; an update never creates one, so that a
            late write cannot bring back what was logged out, expired or evicted.
    """

    def changed(before: Document | None) -> Document:
        if before is None:
            raise StateMissingError(
                "the conversation does not exist: it was evicted, expired or deleted; "
                "start a new one with initialize_channel"
            )
        return change(before)

    _refuse_ttl(ttl_s)
    task = _Change(changed, update_id, plain=plain)
    return (yield from _carry_out(key, task, ttl_s=ttl_s, writing=writing, held=snapshot))


def replace(
    key: str,
    change: Callable[[Document | None], Document],
    *,
    ttl_s: float,
    update_id: str,
    writing: Writing,
    snapshot: Snapshot | None = None,
    absent: bool = False,
    plain: bool = False,
) -> Transaction[Updated]:
    """
    Write what ``change`` makes of the document, or of None where there is none.

    If ``absent``, nothing is taken to be there, and nothing is read.
    """
    _refuse_ttl(ttl_s)
    task = _Change(change, update_id, plain=plain)
    return (
        yield from _carry_out(key, task, ttl_s=ttl_s, writing=writing, held=snapshot, absent=absent)
    )


def create(
    key: str, document: Document, *, ttl_s: float, update_id: str, writing: Writing
) -> Transaction[Updated]:
    """
    Write the document if there is none.

    Raises:
        ConflictError: the conversation exists.
    """

    def created(before: Document | None) -> Document:
        if before is not None:
            raise ConflictError("the conversation exists; update it, or delete it first")
        return document

    _refuse_ttl(ttl_s)
    # It is taken for absent until the server says otherwise, so there is nothing to read.
    task = _Change(created, update_id)
    return (yield from _carry_out(key, task, ttl_s=ttl_s, writing=writing, absent=True))


def delete(key: str, *, writing: Writing, snapshot: Snapshot | None = None) -> Transaction[bool]:
    """
    Delete the conversation, readable or not; False if there was none.

    Raises:
        ConflictError: it is not the one of ``snapshot`` any more.
    """
    task = _Deletion(None if snapshot is None else snapshot.head)
    try:
        return (yield from _carry_out(key, task, ttl_s=0.0, writing=writing, held=snapshot))
    except StoreFullError:
        # A store that is full refuses functions and transactions, these as well; not a plain DEL,
        # which cannot look at what it deletes.
        if snapshot is not None:
            raise
    try:
        return bool((yield Drop(key)))
    except ReplyLost as signal:
        raise _ambiguous("", ABSENT, signal.error) from None
    except NotSent as signal:
        raise signal.error from None


def why_lost(key: str, *, known: bool, live_index: bool) -> Transaction[SessionLostError | None]:
    """
    Why there is no conversation; None if it is not known that there ever was one.

    Args:
        key: the conversation.
        known: it was seen before.
        live_index: there is one to ask.
    """
    found = None
    if live_index:
        try:
            found = yield LookUp(entry_of(key))
        except SIGNALS:
            known = True  # the store has failed meanwhile: this much can be said
    if found is None and not known:
        return None
    why: Reason = "unknown" if found is None else reason(found)
    says = {"unknown": "is gone, and it is not known why", "expired": "has expired"}
    return SessionLostError(
        f"the conversation {says.get(why, f'was {why}')}; start a new one with initialize_channel",
        reason=why,
    )


def adopt(key: str, *, ttl_s: float, update_id: str, writing: Writing) -> Transaction[Updated]:
    """
    Take over a document that is damaged, or that somebody changed and kept its head.

    What it says now is taken as it is: look at it first. One that needs no adoption is left alone.

    Raises:
        StateMissingError: there is nothing to take over.
        InvalidStateError: what is there is no conversation; it can only be deleted.
    """
    _refuse_ttl(ttl_s)
    task = _Adoption(update_id)
    return (yield from _carry_out(key, task, ttl_s=ttl_s, writing=writing))


def resolve(key: str, update_id: str, since: str, *, retry: RetryPolicy) -> Transaction[Fate]:
    """
    What became of an update whose writer got an AmbiguousWriteError.

    Args:
        key: the conversation.
        update_id: of the error.
        since: of the error.
        retry: how long to go on.

    Returns:
        ``applied``; ``not applied``, though it may still be on its way if nobody wrote since; or
        ``unknowable``, if the conversation is gone, or was written more than seven times since.

    Raises:
        InvalidStateError: ``since`` is not one that an AmbiguousWriteError gave.
    """
    try:
        old = Head.of_since(since)
    except ValueError as error:
        raise InvalidStateError(str(error), path="since") from None
    text = yield from _text(key, retry.start())
    return fate(name_of(update_id), old, ABSENT if text is None else Head.of(text))


class _Seen(msgspec.Struct):
    """What lies under the key, when it was looked at."""

    head: Head
    text: bytes | None = None
    snapshot: Snapshot | None = None


class _Proposal(msgspec.Struct, Generic[R]):
    """What is to be written, on which head, and what is answered when it stands."""

    on: Head
    text: bytes | None
    result: Callable[[int], R]


class _Done(msgspec.Struct, Generic[R]):
    """There is nothing to write, and this is what is answered."""

    result: Callable[[int], R]


class _Task(Protocol[R]):
    """What the loop below carries out. Results are functions of the tries that they took."""

    update_id: str

    def seen(self, text: bytes | None) -> _Seen:
        """Make out what lies there."""

    def proposed(self, seen: _Seen) -> _Proposal[R] | _Done[R]:
        """Say what to write, or that there is nothing to write."""

    def fate(self, old: Head, seen: _Seen) -> Fate:
        """What became of a write whose reply was lost."""

    def applied(self, seen: _Seen) -> _Done[R]:
        """What is answered when a write turned out to have been applied."""


_ABSENT: Final = _Seen(ABSENT)


class _Change:
    """To write what a function makes of the document, or of None."""

    def __init__(
        self,
        change: Callable[[Document | None], Document],
        update_id: str,
        *,
        plain: bool = False,
    ) -> None:
        self._change = change
        self._plain = plain
        self.update_id = update_id
        self._name = name_of(update_id)

    def seen(self, text: bytes | None) -> _Seen:
        snapshot = _snapshot(text)
        return _ABSENT if snapshot is None else _Seen(snapshot.head, text, snapshot)

    def proposed(self, seen: _Seen) -> _Proposal[Updated] | _Done[Updated]:
        if seen.head.holds(self._name):
            return self._left(seen, duplicate=True)
        snapshot = seen.snapshot
        if snapshot is None:
            after = self._change(None)
            parts = documents.encode_parts(after, exact=self._plain)
        else:
            _refuse_newer(snapshot.document)
            after = self._change(snapshot.document)
            parts = self._encoded(after, snapshot)
        head, text = seen.head.followed_by(documents.joined(parts), self._name)
        return _Proposal(
            seen.head,
            text,
            lambda attempts: Updated(after, head, parts, value_bytes=len(text), attempts=attempts),
        )

    def _encoded(self, after: Document, on: Snapshot) -> documents.Parts:
        source = on.source
        if self._plain:
            # Its changes alter nothing in place, so that identity tells.
            known = source if isinstance(source, dict) else {}
            return documents.encode_parts(after, known=known, same=on.document, exact=True)
        known = documents.split(source) if isinstance(source, bytes) else source or {}
        return documents.encode_parts(after, known=known)

    def fate(self, old: Head, seen: _Seen) -> Fate:
        return fate(self._name, old, seen.head)

    def applied(self, seen: _Seen) -> _Done[Updated]:
        return self._left(seen, duplicate=False)

    def _left(self, seen: _Seen, *, duplicate: bool) -> _Done[Updated]:
        snapshot = seen.snapshot
        assert snapshot is not None, "a name is only in a head that was read"
        value_bytes = len(seen.text or b"")
        return _Done(
            lambda attempts: Updated(
                snapshot.document,
                snapshot.head,
                snapshot.source,
                value_bytes=value_bytes,
                attempts=attempts,
                duplicate=duplicate,
            )
        )


class _Deletion:
    """To delete what is there, or only what was seen there."""

    update_id = ""

    def __init__(self, only: Head | None) -> None:
        self._only = only

    def seen(self, text: bytes | None) -> _Seen:
        return _ABSENT if text is None else _Seen(_head_if_whole(text), text)

    def proposed(self, seen: _Seen) -> _Proposal[bool] | _Done[bool]:
        if seen is _ABSENT:
            return _Done(lambda _: False)
        if self._only is not None and seen.head != self._only:
            raise ConflictError("the conversation is not the one that was to be deleted any more")
        return _Proposal(seen.head, None, lambda _: True)

    def fate(self, old: Head, seen: _Seen) -> Fate:
        if seen is _ABSENT:
            return "applied"
        # A deletion leaves no name; but a head that follows on the old one shows that none was.
        return fate(b"", old, seen.head)

    def applied(self, seen: _Seen) -> _Done[bool]:
        return _Done(lambda _: True)


class _Adoption(_Change):
    """To give a document a head, whatever it had for one."""

    def __init__(self, update_id: str) -> None:
        super().__init__(_adopted, update_id)

    def seen(self, text: bytes | None) -> _Seen:
        if text is None:
            return _ABSENT
        head = _head_if_whole(text)
        document = documents.decode(text, foreign=not head.text)
        return _Seen(head, text, Snapshot(document, head, text))

    def proposed(self, seen: _Seen) -> _Proposal[Updated] | _Done[Updated]:
        return self._left(seen, duplicate=False) if seen.head.text else super().proposed(seen)


def _adopted(before: Document | None) -> Document:
    if before is None:
        raise StateMissingError("there is no document to take over")
    return before


def _carry_out(
    key: str,
    task: _Task[R],
    *,
    ttl_s: float,
    writing: Writing,
    held: Snapshot | None = None,
    absent: bool = False,
) -> Transaction[R]:
    """Look, propose and send, until it is written or cannot be."""
    state = _Write(task, writing, held=held, absent=absent)
    entry = entry_of(key) if writing.live_index else None
    pause: Pause | None
    while True:
        try:
            if state.load:
                yield Load()
                state.load, state.loaded = False, True
            if state.must_look():
                if state.watching:
                    yield Watch(key)
                state.look((yield Get(key)))
                continue
            answer = state.answer()
            if answer is None:
                continue
            if isinstance(answer, _Done):
                return answer.result(state.retries.attempts)
            if state.watching:
                yield Commit(key, answer.text, ttl_s, entry)
                return answer.result(state.retries.attempts)
            stands = yield Swap(key, answer.on.text, answer.text, ttl_s, entry)
            if stands is True:
                return answer.result(state.retries.attempts)
            pause = state.refused(stands)
        except SIGNALS as signal:
            pause = state.failed(signal)
        except StateError as error:
            told = yield from _told(error, key, state, known=held is not None, writing=writing)
            if told is error:
                raise
            raise told from error
        if pause is not None:
            yield pause


def _told(
    error: StateError, key: str, state: "_Write[Any]", *, known: bool, writing: Writing
) -> Transaction[StateError]:
    """What the caller is told of an error that ends a write."""
    if isinstance(error, AmbiguousWriteError):
        return error
    if type(error) is StateMissingError and state.doubt is None:
        lost = yield from why_lost(key, known=known, live_index=writing.live_index)
        return lost or error
    return state.given_up(error)


class _Write(Generic[R]):
    """
    How far a write has got.

    Args:
        task: what is to be done.
        writing: how.
        held: taken for what is there, until the server says otherwise.
        absent: nothing is taken to be there, likewise.

    Attributes:
        doubt: the head on which a write was sent that may stand, or may still come to stand.
        watching: it is done by Watch and Commit, this time or always.
        load, loaded: the function is to be given to the server; it was.
    """

    def __init__(
        self, task: _Task[R], writing: Writing, *, held: Snapshot | None, absent: bool
    ) -> None:
        self._task = task
        self._fixed = writing.strategy == "function"
        self._by_function = writing.strategy != "watch"
        self._seen = _ABSENT if absent else None if held is None else _Seen(held.head, None, held)
        self._guessed = self._seen is not None
        self._proposal: _Proposal[R] | None = None
        self.retries = writing.retry.start()
        self.doubt: Head | None = None
        self.watching = False
        self.load = self.loaded = False

    def must_look(self) -> bool:
        """Whether what is there is to be read, and if it is to be watched from then on."""
        seen = self._seen
        if seen is not None and (self.watching or self._by_head(seen)):
            return False
        # A document without a head is changed under WATCH: the function could not tell it from
        # the next one.
        self.watching = not self._by_function or seen is not None
        self._seen = self._proposal = None
        return True

    def look(self, text: bytes | None) -> None:
        """Take note of what is there."""
        self._seen = self._task.seen(text)

    def answer(self) -> _Proposal[R] | _Done[R] | None:
        """
        What is to be written, or what is answered without; None if that needs a look first.

        Raises:
            AmbiguousWriteError: what was sent before may stand or not, and it cannot be told.
        """
        seen = self._seen
        assert seen is not None, "it was looked at"
        if self.doubt is not None:
            became = self._task.fate(self.doubt, seen)
            if became == "applied":
                return self._task.applied(seen)
            if became == "unknowable":
                raise _ambiguous(self._task.update_id, self.doubt)
            if seen.head != self.doubt:
                self.doubt = None  # others wrote since: what was sent on the old head is refused
        # A proposal that was not sent is sent again as it is: the change may have altered the
        # document that it was given.
        if self._proposal is None:
            proposed = self._task.proposed(seen)
            if isinstance(proposed, _Done):
                if self._guessed:
                    self._forget()  # what was only held is no answer
                    return None
                return proposed
            self._proposal = proposed
        return self._proposal

    def refused(self, stands: bytes | None) -> Pause | None:
        """Another head stood there."""
        self._seen = self._proposal = None
        if not self._guessed:
            return self._pause(self.retries.after_conflict(), self._exhausted)
        # It was old already when it was given, so no race was lost.
        self._guessed = False
        self.retries.attempts += 1
        self._seen = self._task.seen(stands)
        return None

    def failed(self, signal: Signal) -> Pause | None:
        """Decide what the signal leads to."""
        if isinstance(signal, Outpaced):
            self._forget()
            return self._pause(self.retries.after_conflict(), self._exhausted)
        if isinstance(signal, FunctionMissing | FunctionRefused):
            self.load = isinstance(signal, FunctionMissing) and not self.loaded
            if not self.load and self._fixed:
                raise self.given_up(signal.error)
            self._by_function = self.load
            return None
        if isinstance(signal, ReplyLost):
            assert self._seen is not None, "what was sent was proposed on what was seen"
            self.doubt = self._seen.head
            self._forget()
        elif self.watching:
            self._forget()
        wait_s = self.retries.after_failure() if signal.error.retryable else None
        return self._pause(wait_s, lambda: signal.error)

    def given_up(self, error: StateError) -> StateError:
        """What the caller is told: a write in doubt is more than its last failure."""
        return error if self.doubt is None else _ambiguous(self._task.update_id, self.doubt, error)

    def _by_head(self, seen: _Seen) -> bool:
        return self._by_function and (seen is _ABSENT or bool(seen.head.text))

    def _forget(self) -> None:
        self._seen = self._proposal = None
        self.watching = self._guessed = False

    def _pause(self, wait_s: float | None, otherwise: Callable[[], StateError]) -> Pause:
        if wait_s is None:
            raise self.given_up(otherwise())
        return Pause(wait_s)

    def _exhausted(self) -> StateError:
        return RetriesExhaustedError(
            f"lost {self.retries.attempts} races in {1000 * self.retries.elapsed_s:.0f} ms: other "
            "writers hold this conversation; raise conflict_deadline_s, or write to it from fewer "
            "places"
        )


def _refuse_ttl(ttl_s: float) -> None:
    number = isinstance(ttl_s, int | float) and not isinstance(ttl_s, bool)
    if not number or not 0.001 <= ttl_s <= _TTL_MAX_S:  # NaN is not
        raise InvalidStateError(f"ttl_s is {ttl_s}: give the time to live in seconds, above 0")


def _text(key: str, retries: Retries) -> Transaction[bytes | None]:
    while True:
        try:
            text: bytes | None = yield Get(key)
        except NotSent as signal:
            wait_s = retries.after_failure() if signal.error.retryable else None
            if wait_s is None:
                raise signal.error from None
            yield Pause(wait_s)
        else:
            return text


def _snapshot(text: bytes | None) -> Snapshot | None:
    if text is None:
        return None
    documents.refuse_large(text)
    head = Head.of(text)
    return Snapshot(documents.decode(text, foreign=not head.text), head, text)


def _head_if_whole(text: bytes) -> Head:
    """The head; of a damaged document what one without a head has."""
    try:
        return Head.of(text)
    except IntegrityError:
        return Head.without(text)


def _refuse_newer(document: Document) -> None:
    version = document.get("schema", 0)
    if version > documents.SCHEMA:
        raise SchemaTooNewError(found=version, supported=documents.SCHEMA)


def _ambiguous(update_id: str, doubt: Head, cause: StateError | None = None) -> AmbiguousWriteError:
    why = f" ({cause})" if cause else ""
    return AmbiguousWriteError(
        f"the write was sent and its reply was lost{why}: it may stand or not; ask "
        "RedisAtomic.resolve, or read the conversation, before writing again",
        update_id=update_id,
        since=doubt.since,
    )
