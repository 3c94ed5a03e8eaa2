"""
The subject: the state of a conversation in Redis, changed atomically.

Three layers, each on the one before: ``RedisAtomic`` does one read-change-write,
``AtomicStateManager`` checks documents and counts attempts, ``StateManager`` is the conversation
as the application sees it. This room stands alone, so that it can be lifted into a chat service:
redis, msgspec and the standard library, and nothing else of the workbench.
"""

from workbench.state.atomic import RedisAtomic
from workbench.state.attempts import AtomicStateManager, ValidationState
from workbench.state.client import connect
from workbench.state.errors import (
    AmbiguousWriteError,
    ConflictError,
    ErrorContext,
    IntegrityError,
    InvalidStateError,
    RetriesExhaustedError,
    StateError,
    StateMissingError,
    StoreBlockedError,
    StoreFullError,
    StoreReadOnlyError,
    StoreRefusedError,
    StoreUnavailableError,
)
from workbench.state.handler import ErrorHandler, ErrorResponse
from workbench.state.manager import StateManager, UnitOfWork
from workbench.state.redaction import redact
from workbench.state.retry import RetryPolicy
from workbench.state.transactions import Updated

__all__ = [
    "AmbiguousWriteError",
    "AtomicStateManager",
    "ConflictError",
    "ErrorContext",
    "ErrorHandler",
    "ErrorResponse",
    "IntegrityError",
    "InvalidStateError",
    "RedisAtomic",
    "RetriesExhaustedError",
    "RetryPolicy",
    "StateError",
    "StateManager",
    "StateMissingError",
    "StoreBlockedError",
    "StoreFullError",
    "StoreReadOnlyError",
    "StoreRefusedError",
    "StoreUnavailableError",
    "UnitOfWork",
    "Updated",
    "ValidationState",
    "connect",
    "redact",
]
