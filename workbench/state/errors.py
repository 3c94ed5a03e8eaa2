"""
What can go wrong with a conversation's state, and what a chat service does about it.

    StateError
    ├── ConflictError           another writer was there first
    ├── RetriesExhaustedError   the deadline passed while others kept writing
    ├── StateMissingError       there is no such conversation
    │   └── SessionLostError    there was one: evicted, expired, deleted, or it is unknown which
    ├── InvalidStateError       the document, or the update, is not of the documented shape
    │   └── SchemaTooNewError   a newer service wrote it; it is read, and never overwritten
    ├── IntegrityError          the stored document is damaged
    ├── AmbiguousWriteError     the write was sent and no reply came: it may stand or not
    ├── StoreFullError          the server is out of memory (noeviction)
    ├── StoreReadOnlyError      the server is a replica
    ├── StoreBlockedError       the server refuses writes (MISCONF: its disk failed)
    ├── StoreRefusedError       the server refuses this command (WRONGTYPE, NOPERM, ...)
    └── StoreUnavailableError   the server cannot be reached, or is still loading

No message holds a key, a value or a URL: a conversation's key is a phone number.
"""

import re
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Literal

import redis.exceptions as rx

from workbench.state.redaction import redact

__all__ = [
    "AmbiguousWriteError",
    "ConflictError",
    "ErrorContext",
    "IntegrityError",
    "InvalidStateError",
    "Reason",
    "RetriesExhaustedError",
    "SchemaTooNewError",
    "SessionLostError",
    "StateError",
    "StateMissingError",
    "StoreBlockedError",
    "StoreFullError",
    "StoreReadOnlyError",
    "StoreRefusedError",
    "StoreUnavailableError",
    "store_error",
]


Reason = Literal["evicted", "expired", "deleted", "unknown"]


class StateError(Exception):
    """
    The root. ``code`` names the kind for machines; ``http_status`` is what a webhook answers.

    Attributes:
        applied: whether the write stands: True, False, or None if that cannot be known.
        retryable: whether the same call may succeed when it is made again.
    """

    code: ClassVar[str] = "STATE_ERROR"
    http_status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, applied: bool | None = False) -> None:
        super().__init__(redact(message))
        self.applied = applied


class ConflictError(StateError):
    """Another writer changed the conversation first; nothing was written."""

    code = "STATE_CONFLICT"
    http_status = 409
    retryable = True


class RetriesExhaustedError(StateError):
    """Other writers won every race until the deadline; nothing was written."""

    code = "STATE_RETRIES_EXHAUSTED"
    http_status = 409
    retryable = True


class StateMissingError(StateError):
    """The conversation does not exist (any more). An update never brings it back by itself."""

    code = "STATE_MISSING"
    http_status = 404


class SessionLostError(StateMissingError):
    """
    The conversation was there, and is gone.

    Attributes:
        reason: ``evicted``, ``expired``, ``deleted`` or ``unknown``.
    """

    code = "STATE_LOST"

    def __init__(self, message: str, *, reason: Reason) -> None:
        super().__init__(message)
        self.reason: Reason = reason


class InvalidStateError(StateError):
    """
    The document, or an update of it, is not of the documented shape.

    Attributes:
        path: where, as in ``flow_data.validation.attempts``; empty if it is the whole.
    """

    code = "STATE_INVALID"
    http_status = 400

    def __init__(self, message: str, *, path: str = "") -> None:
        super().__init__(message)
        self.path = path


class SchemaTooNewError(InvalidStateError):
    """
    The document is of a version that this service does not know.

    Attributes:
        found: version of the document.
        supported: the newest that can be written.
    """

    code = "STATE_SCHEMA_TOO_NEW"
    http_status = 409

    def __init__(self, *, found: int, supported: int) -> None:
        super().__init__(
            f"the document is of schema {found}, and this service writes {supported} at most: it "
            "is left as it is; deploy the newer service everywhere",
            path="schema",
        )
        self.found = found
        self.supported = supported


class IntegrityError(StateError):
    """The stored document is damaged, or was changed by somebody who kept its checksum."""

    code = "STATE_DAMAGED"


class AmbiguousWriteError(StateError):
    """
    The write was sent and its reply was lost: it may stand or not.

    Attributes:
        update_id, since: for ``RedisAtomic.resolve``; of a deletion ``update_id`` is empty.
    """

    code = "STATE_AMBIGUOUS"
    http_status = 503

    def __init__(self, message: str, *, update_id: str = "", since: str = "") -> None:
        super().__init__(message, applied=None)
        self.update_id = update_id
        self.since = since


class StoreFullError(StateError):
    """The server is at maxmemory and evicts nothing; retrying does not make room."""

    code = "STORE_FULL"
    http_status = 507


class StoreReadOnlyError(StateError):
    """The server is a replica; find the primary."""

    code = "STORE_READ_ONLY"
    http_status = 503
    retryable = True


class StoreBlockedError(StateError):
    """The server refuses writes because its persistence failed (MISCONF)."""

    code = "STORE_BLOCKED"
    http_status = 503


class StoreRefusedError(StateError):
    """The server refuses the command itself: a wrong type, a missing permission."""

    code = "STORE_REFUSED"


class StoreUnavailableError(StateError):
    """The server cannot be reached, does not answer in time, or is still loading its data."""

    code = "STORE_UNAVAILABLE"
    http_status = 503
    retryable = True


@dataclass(frozen=True, slots=True)
class ErrorContext:
    """
    Where an error happened, in the words of the application.

    Args:
        error_type: ``component``, ``flow``, ``system`` or ``state``.
        message: for people; it is redacted before it goes anywhere.
        details: ``code``, ``service``, ``action`` and whatever else helps; redacted likewise.
    """

    error_type: str
    message: str = field(repr=False)
    details: dict[str, Any] = field(default_factory=dict, repr=False)


_REPLIES: Final = {
    "OOM": (StoreFullError, "the store is full and evicts nothing; free memory or raise maxmemory"),
    "MISCONF": (StoreBlockedError, "the store refuses writes: its persistence failed; see its log"),
    "READONLY": (StoreReadOnlyError, "the store is a replica; connect to the primary"),
    "LOADING": (StoreUnavailableError, "the store is still loading its data; try again shortly"),
    "CLUSTERDOWN": (StoreUnavailableError, "the cluster is down; try again shortly"),
    "MASTERDOWN": (StoreUnavailableError, "the replica has lost its primary; try again shortly"),
    "TRYAGAIN": (StoreUnavailableError, "the slot is on the move; try again shortly"),
    "BUSY": (StoreUnavailableError, "the store is busy with a script; try again shortly"),
    "NOREPLICAS": (StoreBlockedError, "the store refuses writes: too few replicas follow it"),
}

_CODES: Final = {
    rx.BusyLoadingError: "LOADING",
    rx.MasterDownError: "MASTERDOWN",  # before the class that it is a kind of
    rx.ClusterDownError: "CLUSTERDOWN",
    rx.OutOfMemoryError: "OOM",
    rx.ReadOnlyError: "READONLY",
}
_IN_TRANSACTION: Final = re.compile(r"Command # \d+ \(.*\) of pipeline caused error: ", re.S)


def store_error(error: Exception) -> StateError:
    """
    The StateError that stands for a failure of the client library, without its text.

    The text of the library's error may hold a key or a value, so only its first word, the
    server's error code, is looked at.
    """
    code = _server_code(error)
    if code in _REPLIES:
        kind, message = _REPLIES[code]
        return kind(message)
    if isinstance(error, rx.AuthenticationError | rx.AuthorizationError):
        return StoreRefusedError("the store refuses the login; check user name and password")
    if isinstance(error, rx.MaxConnectionsError):
        return StoreUnavailableError("all connections are in use; raise max_connections")
    if isinstance(error, rx.ConnectionError | rx.RedisClusterException | OSError):
        return StoreUnavailableError("the store cannot be reached; is it running?")
    if isinstance(error, rx.TimeoutError):
        return StoreUnavailableError("the store did not answer within the timeout")
    name = code if code.isupper() else type(error).__name__
    return StoreRefusedError(f"the store refuses the command: {name}")


def _server_code(error: Exception) -> str:
    # redis-py takes the code off the errors that it has a class for, and in a transaction puts
    # the whole command, key and value included, before the others.
    for kind, code in _CODES.items():
        if isinstance(error, kind):
            return code
    return _IN_TRANSACTION.sub("", str(error)).split(" ", 1)[0].rstrip(":")
