"""
The subject: the state of a conversation in Redis, changed atomically.

Three layers, each on the one before: ``RedisAtomic`` does one read-change-write,
``AtomicStateManager`` checks documents and counts attempts, ``StateManager`` is the conversation
as the application sees it. This room stands alone, so that it can be lifted into a chat service:
redis, msgspec, pybreaker, PyJWT and the standard library, and nothing else of the workbench.
"""

from workbench.state.atomic import AsyncRedisAtomic, Call, RedisAtomic
from workbench.state.attempts import (
    AsyncAtomicStateManager,
    AtomicStateManager,
    ValidationState,
)
from workbench.state.client import connect, connect_async
from workbench.state.conversation import UnitOfWork
from workbench.state.errors import (
    AmbiguousWriteError,
    ConflictError,
    ErrorContext,
    IntegrityError,
    InvalidStateError,
    RetriesExhaustedError,
    SchemaTooNewError,
    SessionLostError,
    StateError,
    StateMissingError,
    StoreBlockedError,
    StoreFullError,
    StoreReadOnlyError,
    StoreRefusedError,
    StoreUnavailableError,
)
from workbench.state.handler import AsyncErrorHandler, ErrorHandler, ErrorResponse
from workbench.state.health import Health, health
from workbench.state.manager import AsyncStateManager, StateManager
from workbench.state.redaction import redact
from workbench.state.retry import RetryPolicy
from workbench.state.tokens import jwt_verifier
from workbench.state.transactions import Snapshot, Updated

__all__ = [
    "AmbiguousWriteError",
    "AsyncAtomicStateManager",
    "AsyncErrorHandler",
    "AsyncRedisAtomic",
    "AsyncStateManager",
    "AtomicStateManager",
    "Call",
    "ConflictError",
    "ErrorContext",
    "ErrorHandler",
    "ErrorResponse",
    "Health",
    "IntegrityError",
    "InvalidStateError",
    "RedisAtomic",
    "RetriesExhaustedError",
    "RetryPolicy",
    "SchemaTooNewError",
    "SessionLostError",
    "Snapshot",
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
    "connect_async",
    "health",
    "jwt_verifier",
    "redact",
]
