"""
What is done to a conversation, as generators of steps: no I/O and no client.

A transaction yields a step and is sent the step's result. A step that failed is thrown back in as
one of the three signals below, so that the decision what a failure means stays here, in one copy
for every driver. The signal says how far the step got, which an exception of the client library
does not: redis-py 8.1 raises WatchError both for a lost race and for a lost reply.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeVar

from workbench.state import document as documents
from workbench.state.errors import (
    AmbiguousWriteError,
    ConflictError,
    RetriesExhaustedError,
    StateError,
    StateMissingError,
)
from workbench.state.retry import Retries, RetryPolicy

__all__ = [
    "Change",
    "Commit",
    "Document",
    "Get",
    "NotSent",
    "Outpaced",
    "Pause",
    "ReplyLost",
    "Step",
    "Transaction",
    "Updated",
    "Watch",
    "create",
    "delete",
    "read",
    "replace",
    "update",
]

Document = dict[str, Any]
Change = Callable[[Document], Document]


@dataclass(frozen=True, slots=True)
class Watch:
    """Have the commit fail if anyone touches the key from now on."""

    key: str


@dataclass(frozen=True, slots=True)
class Get:
    """Read the key's text, or None."""

    key: str


@dataclass(frozen=True, slots=True)
class Commit:
    """Write the text with its time to live, or delete the key if there is no text."""

    key: str
    text: bytes | None
    ttl_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait."""

    seconds: float


T = TypeVar("T")

Step = Watch | Get | Commit | Pause
Transaction = Generator[Step, Any, T]


class Outpaced(Exception):
    """Signal: another writer touched the key between Watch and Commit; nothing was written."""


class NotSent(Exception):
    """Signal: the step failed before anything could have been written."""

    def __init__(self, error: StateError) -> None:
        super().__init__(str(error))
        self.error = error


class ReplyLost(Exception):
    """Signal: the commit was sent and no reply came."""

    def __init__(self, error: StateError) -> None:
        super().__init__(str(error))
        self.error = error


@dataclass(frozen=True, slots=True)
class Updated:
    """
    What a write left behind.

    Attributes:
        document: as it now stands.
        value_bytes: its length in Redis.
        attempts: tries that it took, 1 if nobody interfered.
    """

    document: Document
    value_bytes: int
    attempts: int


def read(key: str, *, retry: RetryPolicy) -> Transaction[Document | None]:
    """The document, or None. Reading never fails for the presence of writers."""
    retries = retry.start()
    while True:
        try:
            text = yield Get(key)
        except NotSent as signal:
            yield _pause_after(signal.error, retries)
            continue
        return None if text is None else documents.decode(text)


def update(key: str, change: Change, *, ttl_s: float, retry: RetryPolicy) -> Transaction[Updated]:
    """
    Read, change and write in one transaction.

    Args:
        key: the conversation.
        change: from the document as it stands to the one that is to be; may be called again when
            another writer came between, so it must not have effects of its own.
        ttl_s: time to live from this write on.
        retry: how long to go on.

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

    return (yield from replace(key, changed, ttl_s=ttl_s, retry=retry))


def create(
    key: str, document: Document, *, ttl_s: float, retry: RetryPolicy
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

    return (yield from replace(key, created, ttl_s=ttl_s, retry=retry))


def replace(
    key: str, change: Callable[[Document | None], Document], *, ttl_s: float, retry: RetryPolicy
) -> Transaction[Updated]:
    """Write what ``change`` makes of the document, or of None where there is none."""
    retries = retry.start()
    while True:
        try:
            yield Watch(key)
            text = yield Get(key)
            after = change(None if text is None else documents.decode(text))
            encoded = documents.encode(after)
            yield Commit(key, encoded, ttl_s)
        except NotSent as signal:
            yield _pause_after(signal.error, retries)
        except Outpaced:
            yield _pause_after_race(retries)
        except ReplyLost as signal:
            raise _ambiguous(signal) from None
        else:
            return Updated(after, value_bytes=len(encoded), attempts=retries.attempts)


def delete(key: str, *, retry: RetryPolicy) -> Transaction[bool]:
    """Delete the conversation; False if there was none."""
    retries = retry.start()
    while True:
        try:
            yield Watch(key)
            if (yield Get(key)) is None:
                return False
            yield Commit(key, None)
        except NotSent as signal:
            yield _pause_after(signal.error, retries)
        except Outpaced:
            yield _pause_after_race(retries)
        except ReplyLost as signal:
            raise _ambiguous(signal) from None
        else:
            return True


def _pause_after(error: StateError, retries: Retries) -> Pause:
    wait_s = retries.after_failure() if error.retryable else None
    if wait_s is None:
        raise error
    return Pause(wait_s)


def _pause_after_race(retries: Retries) -> Pause:
    wait_s = retries.after_conflict()
    if wait_s is None:
        raise RetriesExhaustedError(
            f"lost {retries.attempts} races in {1000 * retries.elapsed_s:.0f} ms: other writers "
            "hold this conversation; raise conflict_deadline_s, or write to it from fewer places"
        )
    return Pause(wait_s)


def _ambiguous(signal: ReplyLost) -> AmbiguousWriteError:
    return AmbiguousWriteError(
        f"the write was sent and its reply was lost ({signal.error}): it may stand or not; "
        "read the conversation before writing again"
    )
