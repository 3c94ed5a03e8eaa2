"""
Text: what the state manager would write for a message, made in a third of the time.

It is made of what was written before, of which only the members that a message changes are looked
into. Whatever is not of the form that messages leave is left to the state manager:
``Held.followed_by`` answers None. That both write the same is tested on every flow, and on edits at
random.
"""

import time
from functools import lru_cache
from typing import Any, Final

import msgspec

from workbench.flows.model import Edit
from workbench.state.conversation import MESSAGES_MAX, message_name
from workbench.state.document import DOCUMENT_BYTES_MAX, HEAD
from workbench.state.head import HEAD_BYTES, Head

__all__ = ["Held", "held_of", "named"]

_KEPT: Final = ("schema", "channel", "_metadata", "_validation")
_OBJECTS: Final = frozenset({"auth", "dashboard", "action"})
_OPERATION: Final = "message"

named = lru_cache(maxsize=16384)(message_name)
"""The name under which a document remembers a message."""


# Many of these are held for long: the garbage collector need not walk them, as none refers to
# itself, and of their values only texts, numbers, and dicts of those.


class _Metadata(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    initialized_at: str
    updated_at: str
    messages: tuple[str, ...]


class _Validation(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    in_progress: bool
    attempts: dict[str, int]
    last_attempt: dict[str, str]
    error: str | None


class _FlowValidation(msgspec.Struct, gc=False):
    in_progress: bool
    attempts: int
    last_attempt: str | None
    error: str | None


class _Flow(msgspec.Struct, gc=False):
    context: str
    component: str
    data: dict[str, msgspec.Raw]
    validation: _FlowValidation


class Held(msgspec.Struct, gc=False):
    """
    A text that was written, or is to be, in its parts. It is never changed.

    Attributes:
        head: of it.
        parts: the others, as they are encoded.
        metadata, validation, flow: of ``parts``.
        value_bytes: its length.
    """

    head: Head
    parts: dict[str, Any]
    metadata: _Metadata
    validation: _Validation
    flow: _Flow | None
    value_bytes: int

    @property
    def text(self) -> bytes:
        """The whole."""
        return b"%b,%b" % (self.head.text, _encode(self.parts)[1:])

    def followed_by(self, message: str, edit: Edit, update: bytes) -> "tuple[Held, bytes] | None":
        """
        What stands there after a message, and its text; None if the state manager has to make it,
        or to refuse it.

        Args:
            message: its name.
            edit: what it changes, of values that JSON has.
            update: name of the update, for the head.
        """
        messages = self.metadata.messages
        if message in messages:
            return None
        flow, moment = self.flow, _moment()
        if edit.reset:
            parts = {name: part for name, part in self.parts.items() if name in _KEPT}
            flow = None
        else:
            parts = self.parts.copy()
        for name, part in edit.parts.items():
            if not (type(part) is dict if name in _OBJECTS else name == "active_account_id"):
                return None
            parts[name] = _raw(part)
        attempts, data = 1, {}
        if flow is not None:
            data = flow.data.copy()
            if flow.component == edit.component and flow.context == edit.context:
                attempts += flow.validation.attempts
        for name, value in edit.data.items():
            data[name] = _raw(value)
        metadata = _Metadata(
            self.metadata.initialized_at, moment, (message, *messages[: MESSAGES_MAX - 1])
        )
        past = self.validation
        validation = _Validation(
            False,
            {**past.attempts, _OPERATION: past.attempts.get(_OPERATION, 0) + 1},
            {**past.last_attempt, _OPERATION: moment},
            None,
        )
        flow = _Flow(
            edit.context, edit.component, data, _FlowValidation(True, attempts, moment, None)
        )
        parts["_metadata"], parts["_validation"], parts["flow_data"] = metadata, validation, flow
        body = _encode(parts)
        if len(body) + HEAD_BYTES > DOCUMENT_BYTES_MAX:
            return None
        head, text = self.head.followed_by(body, update)
        return Held(head, parts, metadata, validation, flow, len(text)), text


_encode: Final = msgspec.json.Encoder().encode
_parts: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_metadata: Final = msgspec.json.Decoder(_Metadata).decode
_validation: Final = msgspec.json.Decoder(_Validation).decode
_flow: Final = msgspec.json.Decoder(_Flow).decode


def held_of(head: Head, text: bytes) -> Held | None:
    """What the state manager has written, in its parts; None if it is of another form."""
    parts: dict[str, Any] = _parts(text)
    del parts[HEAD]
    flow = None
    try:
        parts["_metadata"] = metadata = _metadata(parts["_metadata"])
        parts["_validation"] = validation = _validation(parts["_validation"])
        if "flow_data" in parts:
            parts["flow_data"] = flow = _flow(parts["flow_data"])
    except msgspec.ValidationError:
        return None
    return Held(head, parts, metadata, validation, flow, len(text))


def _raw(value: Any) -> Any:
    """As text, unless it is one already, or a number."""
    return msgspec.Raw(_encode(value)) if type(value) in (dict, list) else value


_second: tuple[int, str] = (0, "")


def _moment() -> str:
    """Now, as documents have it."""
    global _second  # noqa: PLW0603  (what all turns of a second have in common)
    second, rest_ns = divmod(time.time_ns(), 1_000_000_000)
    if second != _second[0]:
        _second = (second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)))
    return f"{_second[1]}.{rest_ns // 1_000_000:03}Z"
