"""AtomicStateManager: validated documents, with attempts and errors tracked in the same write."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from workbench.state import document as documents
from workbench.state.atomic import RedisAtomic
from workbench.state.errors import InvalidStateError
from workbench.state.transactions import Document, Updated

__all__ = ["AtomicStateManager", "ValidationState"]

B = TypeVar("B", Document, Document | None)


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


class AtomicStateManager:
    """
    RedisAtomic for whole documents: every write is checked against the documented shape and
    counts itself in ``_validation``, so that the counters survive the process that made them.

    Args:
        atomic: what reads and writes.
        ttl: time to live from each write on, s.
    """

    def __init__(self, atomic: RedisAtomic, *, ttl: float = 300) -> None:
        self._atomic = atomic
        self._ttl_s = ttl

    def atomic_get(self, key: str) -> Document | None:
        """The document, or None."""
        return self._atomic.read(key)

    def atomic_set(self, key: str, value: Document) -> Updated:
        """
        Replace the whole document, or begin one. ``_metadata.initialized_at`` is kept.

        Raises:
            InvalidStateError: a part is missing or not of its type.
        """
        fixed = documents.plain(value)
        return self.rewrite(key, lambda before, now: fixed, operation="set")

    def atomic_update(self, key: str, value: Mapping[str, Any]) -> Updated:
        """
        Merge whole parts into the document, in one transaction.

        Raises:
            StateMissingError: there is no such conversation.
            InvalidStateError: a part that may not be updated, or one without its validation.
        """
        fixed = documents.plain(value)
        return self.change(key, lambda before, now: documents.merged(before, fixed, now=now))

    def atomic_delete(self, key: str) -> bool:
        """Delete the conversation; False if there was none."""
        return self._atomic.delete(key)

    def change(
        self,
        key: str,
        change: Callable[[Document, datetime], Document],
        *,
        operation: str = "update",
    ) -> Updated:
        """
        Change the document by a function of it and of the time, counting it as ``operation``.

        The function may run again when another writer came between.
        """
        return self._atomic.update(key, _counted(change, operation), ttl_s=self._ttl_s)

    def rewrite(
        self,
        key: str,
        change: Callable[[Document | None, datetime], Document],
        *,
        operation: str,
    ) -> Updated:
        """Like ``change``, but the function is given None where there is no conversation yet."""
        return self._atomic.replace(key, _counted(change, operation), ttl_s=self._ttl_s)

    def begin(self, key: str, document: Document) -> Updated:
        """Write the document if there is none; else ConflictError."""
        now = datetime.now(UTC)
        return self._atomic.create(key, _tracked(document, None, "create", now), ttl_s=self._ttl_s)

    def record_error(self, key: str, error: str) -> None:
        """Keep the text of an error in ``_validation.error``; the caller has redacted it."""

        def noted(before: Document) -> Document:
            return {**before, "_validation": {**before["_validation"], "error": error}}

        self._atomic.update(key, noted, ttl_s=self._ttl_s)

    def validation_state(self, key: str) -> ValidationState:
        """What was tried on the conversation; all zero if there is none."""
        document = self.atomic_get(key)
        validation = (document or {}).get("_validation", {})
        attempts = validation.get("attempts", {})
        return ValidationState(
            in_progress=bool(validation.get("in_progress", False)),
            attempts=sum(attempts.values()),
            last_attempt=max(validation.get("last_attempt", {}).values(), default=None),
            error=validation.get("error"),
            attempts_by_operation=attempts,
        )


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
    first: Document = stored.get("_metadata") or metadata
    begun = first.get("initialized_at", moment)
    past: Document = stored.get("_validation") or {}
    attempts = past.get("attempts", {})
    return {
        **after,
        "schema": after.get("schema", documents.SCHEMA),
        "_metadata": {**metadata, "initialized_at": begun, "updated_at": moment},
        "_validation": {
            "in_progress": False,
            "attempts": {**attempts, operation: attempts.get(operation, 0) + 1},
            "last_attempt": {**past.get("last_attempt", {}), operation: moment},
            "error": None,
        },
    }
