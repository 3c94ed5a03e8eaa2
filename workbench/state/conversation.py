"""
A conversation in hand: what can be read from it, what can be done to it, and the transactions that
keep it in step with the store. Pure: no client.
"""

import hashlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal

from workbench.state import document as documents
from workbench.state.attempts import Attempts
from workbench.state.errors import (
    ConflictError,
    InvalidStateError,
    SessionLostError,
    StateMissingError,
)
from workbench.state.transactions import Document, Snapshot, Transaction, Updated

__all__ = [
    "ACCESSORS",
    "CHANNEL_PREFIX",
    "MESSAGES_MAX",
    "AppliedMeanwhileError",
    "Conversation",
    "Edit",
    "Message",
    "OnLost",
    "UnitOfWork",
    "VerifyToken",
    "View",
    "edits",
    "message_name",
    "remembers",
]

Edit = Callable[[Document, datetime], Document]
VerifyToken = Callable[[str], object]
OnLost = Literal["raise", "reset"]

CHANNEL_PREFIX: Final = "channel:"
MESSAGES_MAX: Final = 16
"""How many messages a document remembers."""
_KEY_BYTES_MAX: Final = 256
ACCESSORS: Final = {
    "channel": "get_channel_id() or get_channel_type()",
    "member_id": "get_member_id()",
    "auth": "is_authenticated()",
    "flow_data": "get_context(), get_component(), get_flow_state() or get_flow_data()",
}
"""Parts that are not read directly, and what reads them."""


class View:
    """
    What a document tells. What it returns is a copy: to alter it alters nothing here.

    Args:
        document: None if there is no conversation.
        verify_token: says whether a token is one of ours, and still good.
    """

    def __init__(
        self, document: Document | None, *, verify_token: VerifyToken | None = None
    ) -> None:
        self._document = document
        self._verify_token = verify_token

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

    def is_authenticated(self) -> bool:
        """Whether the conversation holds a token that ``verify_token`` accepts now."""
        token = (self._loaded().get("auth") or {}).get("token")
        verify = self._verify_token
        return isinstance(token, str) and verify is not None and bool(verify(token))

    def get_member_id(self) -> str | None:
        """The member whose dashboard the conversation holds; None unless authenticated."""
        member = (self._loaded().get("dashboard") or {}).get("member")
        known = member.get("memberID") if isinstance(member, dict) else None
        return known if isinstance(known, str) and self.is_authenticated() else None

    def get_flow_state(self) -> Document | None:
        """All of ``flow_data``; None outside a flow."""
        flow: Document | None = documents.copied(self._flow())
        return flow

    def get_context(self) -> str | None:
        """The flow that the conversation is in."""
        flow = self._flow()
        return flow["context"] if flow else None

    def get_component(self) -> str | None:
        """The step of the flow that waits for an answer."""
        flow = self._flow()
        return flow["component"] if flow else None

    def get_flow_data(self) -> Document:
        """What the flow has gathered: ``flow_data.data``."""
        flow = self._flow()
        data: Document = documents.copied(flow["data"]) if flow else {}
        return data

    def get(self, part: str) -> Any:
        """
        A part that has no accessor of its own.

        Raises:
            InvalidStateError: the part has an accessor; the message names it.
        """
        if part in ACCESSORS:
            raise InvalidStateError(
                f"{part} is not read directly; use {ACCESSORS[part]}", path=part
            )
        return documents.copied(self._loaded().get(part))

    def _flow(self) -> Document | None:
        return self._loaded().get("flow_data")


class edits:  # noqa: N801  (a name for a handful of functions: edits.update_state(...))
    """What can be done to a conversation: each gives an edit, which may be applied again."""

    @staticmethod
    def update_state(updates: Mapping[str, Any]) -> Edit:
        """Merge whole parts: ``flow_data.data`` one level deep, the rest replaced."""
        fixed = documents.plain_parts(updates)
        return lambda before, now: documents.merged(before, fixed, now=now)

    @staticmethod
    def update_flow_state(
        context: str, component: str, data: Mapping[str, Any] | None = None
    ) -> Edit:
        """Move on to a step of a flow."""
        fixed = documents.plain_parts({} if data is None else data)

        def edit(before: Document, now: datetime) -> Document:
            flow = before.get("flow_data") or {}
            same_step = (flow.get("context"), flow.get("component")) == (context, component)
            attempts = flow["validation"]["attempts"] if same_step else 0
            update = _flow(context, component, fixed, attempts + 1, now)
            return documents.merged(before, {"flow_data": update}, now=now)

        return edit

    @staticmethod
    def update_flow_data(data: Mapping[str, Any]) -> Edit:
        """Merge data into the step that the conversation is at."""
        fixed = documents.plain_parts(data)

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

        return edit

    @staticmethod
    def clear_flow_state() -> Edit:
        """Leave the flow."""
        return lambda before, now: _without(before, {"flow_data"})

    @staticmethod
    def clear_all_state() -> Edit:
        """Forget everything but the channel."""
        kept = {"channel", "schema", "_metadata", "_validation"}
        return lambda before, now: _without(before, set(before) - kept)

    @staticmethod
    def authenticate(token: str, verify_token: VerifyToken | None) -> Edit:
        """Keep a token that is accepted."""
        if verify_token is None:
            raise InvalidStateError(
                "no token counts without verify_token; give it to StateManager", path="auth.token"
            )
        if not (isinstance(token, str) and verify_token(token)):
            raise InvalidStateError("the token is not accepted", path="auth.token")
        return edits.update_state({"auth": {"token": token}})

    @staticmethod
    def log_out() -> Edit:
        """Forget the token and what is known of the member."""
        gone = {"auth", "dashboard", "action", "active_account_id"}
        return lambda before, now: _without(before, gone)


class Message:
    """
    What one inbound message does to a conversation, whatever that holds. No I/O of its own.

    Edits are collected as functions, not as a finished document: if another writer came between
    the read and the write, they are applied again to what that writer left.
    """

    def __init__(self, message_id: str) -> None:
        self._message = message_name(message_id)
        self._edits: list[Edit] = []
        self._channel: tuple[str, str] | None = None

    def initialize_channel(self, channel_type: str, identifier: str) -> None:
        """Begin the conversation with this message, if it does not exist."""
        self._channel = (channel_type, identifier)

    def update_state(self, updates: Mapping[str, Any]) -> None:
        """See StateManager."""
        self._edit(edits.update_state(updates))

    def update_flow_state(
        self, context: str, component: str, data: Mapping[str, Any] | None = None
    ) -> None:
        """See StateManager."""
        self._edit(edits.update_flow_state(context, component, data))

    def clear_all_state(self) -> None:
        """See StateManager."""
        self._edit(edits.clear_all_state())

    def _edit(self, edit: Edit) -> None:
        self._edits.append(edit)

    def applied_to(self, before: Document | None, now: datetime) -> Document:
        """
        The document after this message.

        Raises:
            AppliedMeanwhileError: it is in the document already.
            StateMissingError: there is no document, and it does not begin one.
        """
        if self._seen(before):
            raise AppliedMeanwhileError
        if before is None:
            if self._channel is None:
                raise StateMissingError(
                    "the conversation vanished while its message was worked on: it was evicted, "
                    "expired or deleted"
                )
            before = documents.new_document(*self._channel, now)
        for edit in self._edits:
            before = edit(before, now)
        messages = [self._message, *_messages(before)][:MESSAGES_MAX]
        return {**before, "_metadata": {**before["_metadata"], "messages": messages}}

    def _seen(self, document: Document | None) -> bool:
        return self._message in _messages(document)


class UnitOfWork(Message, View):
    """
    One inbound message: one read at its start, one write at its end. No I/O of its own.

    Attributes:
        duplicate: this message was applied before; the edits of a duplicate are not written.
        exists: the conversation was there when the message came.
        written: what the write left behind; None before the end, or if nothing was edited.
    """

    def __init__(
        self,
        document: Document | None,
        message_id: str,
        *,
        verify_token: VerifyToken | None = None,
        lost: SessionLostError | None = None,
    ) -> None:
        Message.__init__(self, message_id)
        View.__init__(self, document, verify_token=verify_token)
        self._lost = lost
        self.exists = document is not None
        self.duplicate = self._seen(document)
        self.written: Updated | None = None

    def initialize_channel(self, channel_type: str, identifier: str) -> None:
        """Begin the conversation with this message, if it does not exist."""
        if self._document is None:
            super().initialize_channel(channel_type, identifier)
            self._document = documents.new_document(channel_type, identifier, datetime.now(UTC))

    def _loaded(self) -> Document:
        if self._document is None and self._lost is not None:
            raise self._lost
        return super()._loaded()

    def follows(self, message_id: str) -> bool:
        """Whether an earlier message is among those applied to what this one was written on."""
        return remembers(self.written.document if self.written else self._document, message_id)

    def update_flow_data(self, data: Mapping[str, Any]) -> None:
        """See StateManager."""
        self._edit(edits.update_flow_data(data))

    def clear_flow_state(self) -> None:
        """See StateManager."""
        self._edit(edits.clear_flow_state())

    def authenticate(self, token: str) -> None:
        """See StateManager."""
        self._edit(edits.authenticate(token, self._verify_token))

    def log_out(self) -> None:
        """See StateManager."""
        self._edit(edits.log_out())

    def _edit(self, edit: Edit) -> None:
        self._document = edit(self._loaded(), datetime.now(UTC))
        super()._edit(edit)

    @property
    def in_hand(self) -> Document | None:
        """A copy of the document with the edits so far, whatever became of them."""
        document: Document | None = documents.copied(self._document)
        return document

    @property
    def edited(self) -> bool:
        """Whether there is anything to write."""
        return bool(self._edits) or self._channel is not None


class AppliedMeanwhileError(Exception):
    """Another delivery of the same message was written between this one's read and its write."""


def remembers(document: Document | None, message_id: str) -> bool:
    """Whether the message is among the last ones that were applied to the document."""
    return message_name(message_id) in _messages(document)


class Conversation:
    """
    What a StateManager has in hand, and the transactions that change it.

    Attributes:
        snapshot: as last read or written; None if there is no conversation, or it was not read.
        known: whether the snapshot was read at all.
        last: the document that was last in hand, though a write may have failed on it.
        lost: why there is no conversation, if it is known that there was one.

    Raises:
        InvalidStateError: the key does not begin with ``channel:``.
    """

    def __init__(self, key: str, on_lost: OnLost = "raise") -> None:
        if not key.startswith(CHANNEL_PREFIX) or key == CHANNEL_PREFIX:
            raise InvalidStateError("the key of a conversation is 'channel:' and an identifier")
        if len(key.encode("utf-8", "replace")) > _KEY_BYTES_MAX:
            raise InvalidStateError(f"the key is longer than {_KEY_BYTES_MAX} bytes")
        self.key = key
        self.snapshot: Snapshot | None = None
        self.known = False
        self.last: Document | None = None
        self.lost: SessionLostError | None = None
        self._on_lost = on_lost
        self._channel: tuple[str, str] | None = None

    @property
    def document(self) -> Document | None:
        """Of the snapshot."""
        return self.snapshot.document if self.snapshot else None

    @property
    def revision(self) -> int:
        """Of the snapshot; 0 if there is none."""
        return self.snapshot.revision if self.snapshot else 0

    def refuse_lost(self) -> "Conversation":
        """Raise SessionLostError if there was a conversation, and it is gone."""
        if self.lost is not None:
            raise self.lost
        return self

    def refresh(self, states: Attempts) -> Transaction[None]:
        """Read the conversation again."""
        self.known = False
        found = yield from states.read(self.key)
        if found is None:
            self.lost = yield from states.why_lost(self.key, known=self._channel is not None)
        self._keep(found)

    def begin(self, states: Attempts, channel_type: str, identifier: str) -> Transaction[None]:
        """Begin the conversation; nothing happens if it exists."""
        yield from self.refresh(states)
        if self.snapshot is not None:
            return
        document = documents.new_document(channel_type, identifier, datetime.now(UTC))
        self.known = False  # until it is written: that may fail in between
        try:
            self._keep((yield from states.begin(self.key, document)))
        except ConflictError:
            yield from self.refresh(states)  # another process began it meanwhile

    def edit(self, states: Attempts, edit: Edit, operation: str) -> Transaction[None]:
        """Change it, and keep what that left."""
        held = self._handed_over()
        try:
            change = states.change(self.key, edit, operation=operation, snapshot=held)
            written = yield from change
        except StateMissingError:
            if self._on_lost == "raise" or self._channel is None:
                raise
            channel = self._channel
            written = yield from states.rewrite(
                self.key,
                lambda before, now: edit(before or documents.new_document(*channel, now), now),
                operation=operation,
            )
        self._keep(written)

    def work(self, message_id: str, verify_token: VerifyToken | None) -> UnitOfWork:
        """The work on a message, on what was just read; on a new one where a lost one is reset."""
        lost = self.lost
        work = UnitOfWork(self.document, message_id, verify_token=verify_token, lost=lost)
        if lost is not None and self._on_lost == "reset" and self._channel is not None:
            work.initialize_channel(*self._channel)
        return work

    def end(self, states: Attempts, work: UnitOfWork) -> Transaction[None]:
        """Write what a message did."""
        if work.duplicate or not work.edited:
            return
        absent = self.known and self.snapshot is None
        rewrite = states.rewrite(
            self.key,
            work.applied_to,
            operation="message",
            snapshot=self._handed_over(),
            absent=absent,
        )
        try:
            written = yield from rewrite
        except AppliedMeanwhileError:
            work.duplicate = True
            yield from self.refresh(states)
        else:
            work.written = written
            self._keep(written)

    def _handed_over(self) -> Snapshot | None:
        """The snapshot, once: what becomes of a write that fails is not known here."""
        held, self.snapshot, self.known = self.snapshot, None, False
        return held

    def _keep(self, snapshot: Snapshot | None) -> None:
        self.snapshot, self.known = snapshot, True
        if snapshot is not None:
            channel = snapshot.document["channel"]
            self._channel = (channel["type"], channel["identifier"])
            self.last = snapshot.document
            self.lost = None


def _messages(document: Document | None) -> list[str]:
    """The messages that the document remembers, the latest first."""
    messages: list[str] = ((document or {}).get("_metadata") or {}).get("messages", [])
    return messages


def message_name(message_id: str) -> str:
    """
    The name under which a document remembers a message.

    Raises:
        InvalidStateError: the id is no text, or empty.
    """
    if not isinstance(message_id, str) or not message_id:
        raise InvalidStateError(
            "a message needs its id, as text: the provider's, so that another delivery has the same"
        )
    return hashlib.blake2b(message_id.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


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
