"""AtomicStateManager and its async twin: whole documents, with their attempts tracked."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from workbench.state import document as documents
from workbench.state.atomic import AsyncRedisAtomic, RedisAtomic, Transactions
from workbench.state.errors import InvalidStateError, SessionLostError
from workbench.state.transactions import Document, Snapshot, Transaction, Updated

__all__ = ["TTL_S", "AsyncAtomicStateManager", "AtomicStateManager", "Attempts", "ValidationState"]

B = TypeVar("B", Document, Document | None)

TTL_S: Final = 300.0
"""The documented time to live of a conversation."""


@dataclass(frozen=True, slots=True)
class ValidationState:
    """
    What was tried on a conversation, over all processes.

    Attributes:
        in_progress: a validation was begun and not ended.
        attempts: writes in all; ``attempts_by_operation`` has them one by one.
        last_attempt: UTC, ISO 8601; None before the first.
        error: the last error that was recorded, redacted; None after a write that succeeded.
    """

    in_progress: bool
    attempts: int
    last_attempt: str | None
    error: str | None
    attempts_by_operation: Mapping[str, int]

    @classmethod
    def of(cls, document: Document | None) -> "ValidationState":
        """What the document tells; all zero if there is none."""
        validation = (document or {}).get("_validation", {})
        attempts = validation.get("attempts", {})
        return cls(
            in_progress=bool(validation.get("in_progress", False)),
            attempts=sum(attempts.values()),
            last_attempt=max(validation.get("last_attempt", {}).values(), default=None),
            error=validation.get("error"),
            attempts_by_operation=attempts,
        )


class Attempts:
    """
    The transactions of an AtomicStateManager, not yet carried out: pure.

    Args:
        transactions: of RedisAtomic.
        ttl_s: time to live from each write on, s.
    """

    def __init__(self, transactions: Transactions, ttl_s: float) -> None:
        self._transactions = transactions
        self._ttl_s = ttl_s

    def get(self, key: str) -> Transaction[Document | None]:
        """The document, or None."""
        snapshot = yield from self._transactions.read(key)
        return snapshot.document if snapshot else None

    def read(self, key: str) -> Transaction[Snapshot | None]:
        """
        The document with its head, or None.

        Raises:
            SchemaTooNewError: a newer service wrote it, in another shape than the documented one.
        """
        snapshot = yield from self._transactions.read(key)
        if snapshot is not None:
            documents.refuse_unlike(snapshot.document)
        return snapshot

    def set(self, key: str, value: Mapping[str, Any], ttl_s: float | None) -> Transaction[Updated]:
        """Replace the whole document, or begin one."""
        fixed = documents.plain_parts(value)
        metadata = fixed.get("_metadata")
        if isinstance(metadata, dict):
            # Those of the store are the latest: the caller's may be from before a message.
            fixed["_metadata"] = {k: v for k, v in metadata.items() if k != "messages"}
        return self.rewrite(key, lambda before, now: fixed, operation="set", ttl_s=ttl_s)

    def update(
        self, key: str, value: Mapping[str, Any], ttl_s: float | None
    ) -> Transaction[Updated]:
        """Merge whole parts into the document."""
        fixed = documents.plain_parts(value)
        return self.change(
            key,
            lambda before, now: documents.merged(before, fixed, now=now),
            operation="update",
            ttl_s=ttl_s,
        )

    def change(
        self,
        key: str,
        change: Callable[[Document, datetime], Document],
        *,
        operation: str,
        ttl_s: float | None = None,
        snapshot: Snapshot | None = None,
    ) -> Transaction[Updated]:
        """
        Change the document by a function of it and of the time, counted as ``operation``. What the
        function puts in has gone through ``document.plain``.
        """
        return self._transactions.update(
            key,
            _counted(change, operation),
            ttl_s=self._ttl_s if ttl_s is None else ttl_s,
            snapshot=snapshot,
            plain=True,
        )

    def rewrite(
        self,
        key: str,
        change: Callable[[Document | None, datetime], Document],
        *,
        operation: str,
        ttl_s: float | None = None,
        snapshot: Snapshot | None = None,
        absent: bool = False,
        update_id: str | None = None,
    ) -> Transaction[Updated]:
        """Like ``change``, but the function is given None where there is no conversation yet."""
        return self._transactions.replace(
            key,
            _counted(change, operation),
            ttl_s=self._ttl_s if ttl_s is None else ttl_s,
            snapshot=snapshot,
            absent=absent,
            update_id=update_id,
            plain=True,
        )

    def begin(self, key: str, document: Document) -> Transaction[Updated]:
        """Write the document if there is none; else ConflictError."""
        begun = _tracked(document, None, "create", datetime.now(UTC))
        return self._transactions.create(key, begun, ttl_s=self._ttl_s)

    def why_lost(self, key: str, *, known: bool) -> Transaction[SessionLostError | None]:
        """Why there is no conversation; None if there never was one, as far as is known."""
        return self._transactions.why_lost(key, known=known)

    def delete(self, key: str) -> Transaction[bool]:
        """Delete the conversation; False if there was none."""
        return self._transactions.delete(key)

    def record_error(self, key: str, error: str) -> Transaction[Updated]:
        """Keep the text of an error in ``_validation.error``."""

        def noted(before: Document) -> Document:
            return {**before, "_validation": {**before["_validation"], "error": error}}

        return self._transactions.update(key, noted, ttl_s=self._ttl_s)

    def validation_state(self, key: str) -> Transaction[ValidationState]:
        """What was tried on the conversation."""
        snapshot = yield from self.read(key)
        return ValidationState.of(snapshot.document if snapshot else None)


class AtomicStateManager:
    """
    RedisAtomic for whole documents: every write is checked against the documented shape and
    counts itself in ``_validation``, so that the counters survive the process that made them.

    Args:
        atomic: what reads and writes.
        ttl: time to live from each write on, s.
    """

    def __init__(self, atomic: RedisAtomic, *, ttl: float = TTL_S) -> None:
        self.transactions = Attempts(atomic.transactions, ttl)
        self.run = atomic.run

    def atomic_get(self, key: str) -> Document | None:
        """The document, or None."""
        return self.run(self.transactions.get(key))

    def atomic_set(self, key: str, value: Mapping[str, Any], ttl: float | None = None) -> Updated:
        """
        Replace the whole document, or begin one. ``_metadata.initialized_at``, the attempts and
        the memory for duplicate messages are kept.

        What is there is not looked at otherwise: of two who read, change and set, one is lost, and
        a set after a log-out brings back what it was given. To change something, ``atomic_update``.

        Args:
            key: the conversation.
            value: the document; what the manager itself keeps may be left out.
            ttl: time to live, if not the manager's, s.

        Raises:
            InvalidStateError: a part is missing or not of its type.
        """
        return self.run(self.transactions.set(key, value, ttl))

    def atomic_update(
        self, key: str, value: Mapping[str, Any], ttl: float | None = None
    ) -> Updated:
        """
        Merge whole parts into the document, in one atomic step.

        Args:
            key: the conversation.
            value: parts by name.
            ttl: time to live, if not the manager's, s.

        Raises:
            StateMissingError: there is no such conversation.
            InvalidStateError: a part that may not be updated, or one without its validation.
        """
        return self.run(self.transactions.update(key, value, ttl))

    def atomic_delete(self, key: str) -> bool:
        """Delete the conversation; False if there was none."""
        return self.run(self.transactions.delete(key))

    def record_error(self, key: str, error: str) -> Updated:
        """Keep the text of an error in ``_validation.error``; the caller has redacted it."""
        return self.run(self.transactions.record_error(key, error))

    def validation_state(self, key: str) -> ValidationState:
        """What was tried on the conversation; all zero if there is none."""
        return self.run(self.transactions.validation_state(key))


class AsyncAtomicStateManager:
    """AtomicStateManager for asyncio: the same calls, awaited. See there."""

    def __init__(self, atomic: AsyncRedisAtomic, *, ttl: float = TTL_S) -> None:
        self.transactions = Attempts(atomic.transactions, ttl)
        self.run = atomic.run

    async def atomic_get(self, key: str) -> Document | None:
        """See AtomicStateManager."""
        return await self.run(self.transactions.get(key))

    async def atomic_set(
        self, key: str, value: Mapping[str, Any], ttl: float | None = None
    ) -> Updated:
        """See AtomicStateManager."""
        return await self.run(self.transactions.set(key, value, ttl))

    async def atomic_update(
        self, key: str, value: Mapping[str, Any], ttl: float | None = None
    ) -> Updated:
        """See AtomicStateManager."""
        return await self.run(self.transactions.update(key, value, ttl))

    async def atomic_delete(self, key: str) -> bool:
        """See AtomicStateManager."""
        return await self.run(self.transactions.delete(key))

    async def record_error(self, key: str, error: str) -> Updated:
        """See AtomicStateManager."""
        return await self.run(self.transactions.record_error(key, error))

    async def validation_state(self, key: str) -> ValidationState:
        """See AtomicStateManager."""
        return await self.run(self.transactions.validation_state(key))


def _counted(change: Callable[[B, datetime], Document], operation: str) -> Callable[[B], Document]:
    def counted(before: B) -> Document:
        now = datetime.now(UTC)
        return _tracked(change(before, now), before, operation, now)

    return counted


def _tracked(after: Document, before: Document | None, operation: str, now: datetime) -> Document:
    """
    The document with one more attempt at ``operation``, taken from what is stored, not from memory.

    Raises:
        InvalidStateError: the document has no channel, so it is not a conversation; or its
            ``_metadata`` is no object.
    """
    if "channel" not in after:
        raise InvalidStateError(
            "channel: a conversation begins with initialize_channel(channel_type, identifier)",
            path="channel",
        )
    moment = documents.timestamp(now)
    stored = before or {}
    metadata: Any = after.get("_metadata") or {}
    if not isinstance(metadata, dict):
        raise InvalidStateError("_metadata: it is not an object", path="_metadata")
    first: Document = stored.get("_metadata") or {}
    begun = first.get("initialized_at") or metadata.get("initialized_at") or moment
    past: Document = stored.get("_validation") or {}
    attempts = past.get("attempts", {})
    return {
        **after,
        "schema": documents.SCHEMA,
        "_metadata": {**first, **metadata, "initialized_at": begun, "updated_at": moment},
        "_validation": {
            **past,
            "in_progress": False,
            "attempts": {**attempts, operation: attempts.get(operation, 0) + 1},
            "last_attempt": {**past.get("last_attempt", {}), operation: moment},
            "error": None,
        },
    }
