"""The reference driver: a turn as the chat service would do it, by the state manager."""

from dataclasses import dataclass

from redis import Redis

from workbench.flows.model import Edit
from workbench.state import (
    AmbiguousWriteError,
    ConflictError,
    RetriesExhaustedError,
    SessionLostError,
    StateError,
    StateManager,
    StateMissingError,
    StoreBlockedError,
    StoreFullError,
    StoreReadOnlyError,
    StoreRefusedError,
    StoreUnavailableError,
    UnitOfWork,
)

__all__ = ["GONE", "Done", "apply", "carry_out"]

GONE = "gone"
"""The conversation was not there; the caller knows whether it was evicted or had expired."""

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


@dataclass(frozen=True, slots=True)
class Done:
    """
    What became of a turn.

    Attributes:
        outcome: one of the schema's outcomes, or GONE.
        attempts: tries of the write; 0 if none was made.
        value_bytes: length of the document written; 0 if none was.
        error: what went wrong, for people; empty if nothing did.
    """

    outcome: str
    attempts: int = 0
    value_bytes: int = 0
    error: str = ""


def apply(work: UnitOfWork, edit: Edit) -> None:
    """Make the edit of one message in its unit of work."""
    if edit.reset:
        work.clear_all_state()
    if edit.parts:
        work.update_state(edit.parts)
    work.update_flow_state(edit.context, edit.component, edit.data)


def carry_out(
    client: Redis,
    identifier: str,
    message_id: str,
    edit: Edit,
    *,
    begins: bool,
    follows: str | None,
    ttl_s: float,
) -> Done:
    """
    One message: one read, and one write unless the conversation is gone.

    Args:
        client: from ``workbench.state.connect``.
        identifier: of the caller.
        message_id: of the message; the same when it is delivered again.
        edit: what the message changes.
        begins: it is a greeting, which begins the conversation if there is none.
        follows: the message of the conversation that was acknowledged last; if the conversation
            is there and does not remember it, an update was lost.
        ttl_s: time to live from this write on, s.
    """
    manager = StateManager(f"channel:{identifier}", client, ttl_s=ttl_s)
    try:
        with manager.message(message_id) as work:
            if work.duplicate:
                return Done("duplicate")
            if begins:
                work.initialize_channel("whatsapp", identifier)
            elif not work.exists:
                return Done(GONE)
            apply(work, edit)
    except StateError as error:
        return Done(_OUTCOMES.get(type(error), "error"), error=str(error))
    written = work.written
    assert written is not None, "a message that edits the state writes it"
    kept = follows is None or not work.exists or work.follows(follows)
    outcome = "ok" if kept else "lost_update"
    return Done(outcome, attempts=written.attempts, value_bytes=written.value_bytes)
