"""StateManager: one conversation, by accessors and validated updates; and its unit of work."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

from redis import Redis

from workbench.state import document as documents
from workbench.state.atomic import RedisAtomic
from workbench.state.attempts import AtomicStateManager, ValidationState
from workbench.state.errors import ConflictError, InvalidStateError, StateMissingError
from workbench.state.transactions import Document, Updated

__all__ = ["StateManager", "UnitOfWork"]

Edit = Callable[[Document, datetime], Document]

_PREFIX: Final = "channel:"
_MESSAGES_MAX: Final = 16
_ACCESSORS: Final = {
    "channel": "get_channel_id() or get_channel_type()",
    "member_id": "get_member_id()",
    "auth": "is_authenticated()",
    "flow_data": "get_context(), get_component(), get_flow_state() or get_flow_data()",
}


class _AppliedMeanwhile(Exception):
    """Another delivery of the same message was written between this one's read and its write."""


class _Conversation:
    """Accessors over a document in hand, and edits that a subclass carries out its own way."""

    _document: Document | None

    def _edit(self, edit: Edit, operation: str) -> None:
        raise NotImplementedError

    def _loaded(self) -> Document:
        if self._document is None:
            raise StateMissingError(
                "the conversation does not exist; start it with "
                "initialize_channel(channel_type, identifier)"
            )
        return self._document

    def get_channel_id(self) -> str:
        """The caller's identifier."""
        identifier: str = self._loaded()["channel"]["identifier"]
        return identifier

    def get_channel_type(self) -> str:
        """The kind of channel: ``whatsapp``."""
        kind: str = self._loaded()["channel"]["type"]
        return kind

    def get_member_id(self) -> str | None:
        """The member whose dashboard the conversation holds; None before the login."""
        dashboard = self._loaded().get("dashboard") or {}
        member: Mapping[str, Any] = dashboard.get("member") or {}
        return member.get("memberID")

    def get_flow_state(self) -> Document | None:
        """All of ``flow_data``; None outside a flow."""
        flow: Document | None = self._loaded().get("flow_data")
        return flow

    def get_context(self) -> str | None:
        """The flow that the conversation is in."""
        flow = self.get_flow_state()
        return flow["context"] if flow else None

    def get_component(self) -> str | None:
        """The step of the flow that waits for an answer."""
        flow = self.get_flow_state()
        return flow["component"] if flow else None

    def get_flow_data(self) -> Document:
        """What the flow has gathered: ``flow_data.data``."""
        flow = self.get_flow_state()
        return flow["data"] if flow else {}

    def get(self, part: str) -> Any:
        """
        A part that has no accessor of its own.

        Raises:
            InvalidStateError: the part has an accessor; the message names it.
        """
        if part in _ACCESSORS:
            raise InvalidStateError(
                f"{part} is not read directly; use {_ACCESSORS[part]}", path=part
            )
        return self._loaded().get(part)

    def update_state(self, updates: Mapping[str, Any]) -> None:
        """
        Merge whole parts: ``flow_data.data`` one level deep, the rest replaced.

        Raises:
            InvalidStateError: a part that may not be updated, or one without its validation; the
                message names the right way.
            StateMissingError: there is no such conversation.
        """
        fixed = documents.plain(updates)
        self._edit(lambda before, now: documents.merged(before, fixed, now=now), "update_state")

    def update_flow_state(
        self, context: str, component: str, data: Mapping[str, Any] | None = None
    ) -> None:
        """Move on to a step of a flow; counts the attempts at this step."""
        fixed = documents.plain(data or {})

        def edit(before: Document, now: datetime) -> Document:
            flow = before.get("flow_data") or {}
            same_step = (flow.get("context"), flow.get("component")) == (context, component)
            attempts = flow["validation"]["attempts"] if same_step else 0
            return documents.merged(
                before, {"flow_data": _flow(context, component, fixed, attempts + 1, now)}, now=now
            )

        self._edit(edit, "update_flow_state")

    def update_flow_data(self, data: Mapping[str, Any]) -> None:
        """
        Merge data into the step that the conversation is at.

        Raises:
            InvalidStateError: the conversation is in no flow.
        """
        fixed = documents.plain(data)

        def edit(before: Document, now: datetime) -> Document:
            flow = before.get("flow_data")
            if not flow:
                raise InvalidStateError(
                    "the conversation is in no flow; enter one with "
                    "update_flow_state(context, component)",
                    path="flow_data",
                )
            attempts = flow["validation"]["attempts"] + 1
            update = _flow(flow["context"], flow["component"], fixed, attempts, now)
            return documents.merged(before, {"flow_data": update}, now=now)

        self._edit(edit, "update_flow_data")

    def clear_flow_state(self) -> None:
        """Leave the flow; what is known of the member stays."""
        self._edit(lambda before, now: _without(before, {"flow_data"}), "clear_flow_state")

    def clear_all_state(self) -> None:
        """Forget everything but the channel, as a greeting does."""

        def edit(before: Document, now: datetime) -> Document:
            kept = {"channel", "schema", "_metadata", "_validation"}
            return _without(before, set(before) - kept)

        self._edit(edit, "clear_all_state")


class UnitOfWork(_Conversation):
    """
    One inbound message: one read at its start, one write at its end.

    Edits are collected as functions, not as a finished document: if another writer came between
    the read and the write, they are applied again to what that writer left.

    Attributes:
        duplicate: this message was applied before; the edits of a duplicate are not written.
        exists: the conversation was there when the message came.
        written: what the write left behind; None before the end, or if nothing was edited.
    """

    def __init__(self, document: Document | None, message_id: str) -> None:
        self._document = document
        self._message = _message_name(message_id)
        self._edits: list[Edit] = []
        self._channel: tuple[str, str] | None = None
        self.exists = document is not None
        self.duplicate = self._seen(document)
        self.written: Updated | None = None

    def initialize_channel(self, channel_type: str, identifier: str) -> None:
        """Begin the conversation with this message, if it does not exist."""
        if self._document is None:
            self._channel = (channel_type, identifier)
            self._document = documents.new_document(channel_type, identifier, datetime.now(UTC))

    def follows(self, message_id: str) -> bool:
        """Whether an earlier message is among those applied to what this one was written on."""
        on = self.written.document if self.written else self._document
        return _message_name(message_id) in _messages(on)

    def _edit(self, edit: Edit, operation: str) -> None:
        self._document = edit(self._loaded(), datetime.now(UTC))
        self._edits.append(edit)

    @property
    def _edited(self) -> bool:
        return bool(self._edits) or self._channel is not None

    def _applied_to(self, before: Document | None, now: datetime) -> Document:
        if self._seen(before):
            raise _AppliedMeanwhile
        if before is None:
            if self._channel is None:
                raise StateMissingError(
                    "the conversation vanished while its message was worked on: it was evicted, "
                    "expired or deleted"
                )
            before = documents.new_document(*self._channel, now)
        for edit in self._edits:
            before = edit(before, now)
        messages = [self._message, *_messages(before)][:_MESSAGES_MAX]
        return {**before, "_metadata": {**before["_metadata"], "messages": messages}}

    def _seen(self, document: Document | None) -> bool:
        return self._message in _messages(document)


class StateManager(_Conversation):
    """
    The state of one conversation, as the application sees it.

    It reads once, when it is first asked, and again on ``refresh``; what it writes is read,
    changed and written in one transaction, so that what it has in hand may be old without
    anything being overwritten.

    Args:
        key: ``channel:<identifier>``.
        client: from ``connect``.
        ttl_s: time to live, s; every write refreshes it.

    Raises:
        InvalidStateError: the key does not begin with ``channel:``.
    """

    def __init__(self, key: str, client: Redis, *, ttl_s: float = 300) -> None:
        if not key.startswith(_PREFIX) or key == _PREFIX:
            raise InvalidStateError("the key of a conversation is 'channel:' and an identifier")
        self.key = key
        self.atomic_state = AtomicStateManager(RedisAtomic(client), ttl=ttl_s)
        self._read = False
        self._document = None

    def initialize_channel(self, channel_type: str, identifier: str) -> None:
        """Begin the conversation; nothing happens if it exists."""
        self.refresh()
        if self._document is not None:
            return
        document = documents.new_document(channel_type, identifier, datetime.now(UTC))
        try:
            self._keep(self.atomic_state.begin(self.key, document))
        except ConflictError:
            self.refresh()  # another process began it meanwhile

    def refresh(self) -> None:
        """Read the conversation again."""
        self._document = self.atomic_state.atomic_get(self.key)
        self._read = True

    @property
    def validation_state(self) -> ValidationState:
        """What was tried on the conversation, over all processes."""
        return self.atomic_state.validation_state(self.key)

    @contextmanager
    def message(self, message_id: str) -> Iterator[UnitOfWork]:
        """
        Work on one inbound message: one read now, one write at the end of the block.

        Nothing is written when the block raises, when it edits nothing, or when the message was
        applied before.

        Args:
            message_id: the provider's id, which is the same when the message is delivered twice.
        """
        self.refresh()
        work = UnitOfWork(self._document, message_id)
        yield work
        if work.duplicate or not work._edited:
            return

        try:
            work.written = self.atomic_state.rewrite(
                self.key, work._applied_to, operation="message"
            )
        except _AppliedMeanwhile:
            work.duplicate = True
            self.refresh()
        else:
            self._keep(work.written)

    def _edit(self, edit: Edit, operation: str) -> None:
        self._keep(self.atomic_state.change(self.key, edit, operation=operation))

    def _loaded(self) -> Document:
        if not self._read:
            self.refresh()
        return super()._loaded()

    def _keep(self, updated: Updated) -> None:
        self._document = updated.document
        self._read = True


def _messages(document: Document | None) -> list[str]:
    """The messages that the document remembers, the latest first."""
    messages: list[str] = (document or {}).get("_metadata", {}).get("messages", [])
    return messages


def _message_name(message_id: str) -> str:
    return hashlib.blake2b(message_id.encode(), digest_size=8).hexdigest()


def _flow(
    context: str, component: str, data: Document, attempts: int, now: datetime
) -> dict[str, Any]:
    return {
        "context": context,
        "component": component,
        "data": data,
        "validation": {
            "in_progress": True,
            "attempts": attempts,
            "last_attempt": documents.timestamp(now),
            "error": None,
        },
    }


def _without(document: Document, parts: set[str]) -> Document:
    return {name: value for name, value in document.items() if name not in parts}
