"""What drivers have in common: how a message edits the state, and what became of its turn."""

import msgspec

from workbench.flows.model import Edit
from workbench.state import (
    AmbiguousWriteError,
    ConflictError,
    RetriesExhaustedError,
    SessionLostError,
    StateError,
    StateMissingError,
    StoreBlockedError,
    StoreFullError,
    StoreReadOnlyError,
    StoreRefusedError,
    StoreUnavailableError,
)
from workbench.state.conversation import Message

__all__ = ["GONE", "Done", "apply", "failed"]

GONE = "gone"
"""The conversation was not there; why, the caller knows better."""

_OUTCOMES: dict[type[StateError], str] = {
    StateMissingError: GONE,
    SessionLostError: GONE,
    ConflictError: "conflict",
    RetriesExhaustedError: "conflict",
    StoreFullError: "refused",
    StoreBlockedError: "refused",
    StoreReadOnlyError: "refused",
    StoreRefusedError: "refused",
    StoreUnavailableError: "timeout",
    AmbiguousWriteError: "timeout",
}


class Done(msgspec.Struct, frozen=True):
    """
    What became of a turn.

    Attributes:
        outcome: one of the schema's outcomes, or GONE.
        attempts: tries of the write; 0 if none was made.
        value_bytes: length of the document written; 0 if none was.
        error: what went wrong, for people; empty if nothing did.
        name: of the write, as the document's head holds it; empty if none was made.
        unsure: whether a write was made is not known.
        begun: there was no conversation, and the write began one.
    """

    outcome: str
    attempts: int = 0
    value_bytes: int = 0
    error: str = ""
    name: bytes = b""
    unsure: bool = False
    begun: bool = False


def apply(work: Message, edit: Edit) -> None:
    """Make the edit of one message in it, or in its unit of work."""
    if edit.reset:
        work.clear_all_state()
    if edit.parts:
        work.update_state(edit.parts)
    work.update_flow_state(edit.context, edit.component, edit.data)


def failed(error: StateError) -> Done:
    """What is told of a turn that ended in an error."""
    outcome = _OUTCOMES.get(type(error), "error")
    # An answer that never came may have been that of a write.
    return Done(outcome, error=str(error), unsure=outcome in {"timeout", "error"})
