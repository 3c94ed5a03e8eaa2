"""ErrorHandler: turns any error into an answer, without ever raising one itself."""

import logging
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import RedisError

from workbench.state.document import timestamp
from workbench.state.errors import ErrorContext, StateError
from workbench.state.redaction import redact

if TYPE_CHECKING:
    from workbench.state.manager import AsyncStateManager, StateManager

__all__ = ["AsyncErrorHandler", "ErrorHandler", "ErrorResponse"]

_log = logging.getLogger("workbench.state")

_HTTP_STATUS: Final = {"component": 400, "flow": 400, "state": 500, "system": 500}


@dataclass(frozen=True, slots=True)
class ErrorResponse:
    """
    What a chat service answers and logs.

    Attributes:
        code: for machines, as in ``STATE_CONFLICT``.
        http_status: what a webhook answers.
        retryable: whether the same message may succeed when it is delivered again.
        applied: whether the write stands; None if that cannot be known.
        error_type, message, details: the context, redacted.
        timestamp: UTC, ISO 8601.
    """

    code: str
    http_status: int
    retryable: bool
    applied: bool | None
    error_type: str
    message: str
    details: dict[str, str]
    timestamp: str

    def as_dict(self) -> dict[str, Any]:
        """The response as plain data, under the key ``error``."""
        return {"error": asdict(self)}


class ErrorHandler:
    """The one place where errors of the state layer are handled."""

    @staticmethod
    def handle_error(
        error: BaseException, state_manager: "StateManager | None", context: ErrorContext
    ) -> ErrorResponse:
        """
        Log the error, note it in the conversation if the store still works, and say what to answer.

        It never raises. It writes at most once, and not at all when the error came from the
        store: a failing store is not asked to record its own failure.

        Args:
            error: what was caught.
            state_manager: whose conversation it concerns, or None.
            context: where it happened.
        """
        response = _response(error, context)
        if state_manager is not None and _can_be_noted(error):
            try:
                state_manager.atomic_state.record_error(state_manager.key, response.message)
            except StateError as failure:
                _not_noted(failure)
        return response


class AsyncErrorHandler:
    """ErrorHandler for asyncio: the same call, awaited. See there."""

    @staticmethod
    async def handle_error(
        error: BaseException, state_manager: "AsyncStateManager | None", context: ErrorContext
    ) -> ErrorResponse:
        """See ErrorHandler."""
        response = _response(error, context)
        if state_manager is not None and _can_be_noted(error):
            try:
                await state_manager.atomic_state.record_error(state_manager.key, response.message)
            except StateError as failure:
                _not_noted(failure)
        return response


def _can_be_noted(error: BaseException) -> bool:
    return not isinstance(error, StateError | RedisError)


def _not_noted(failure: StateError) -> None:
    _log.warning("the error could not be noted in the conversation: %s", failure.code)


def _response(error: BaseException, context: ErrorContext) -> ErrorResponse:
    known = error if isinstance(error, StateError) else None
    code = known.code if known else _text(context.details.get("code", "UNKNOWN_ERROR"))
    response = ErrorResponse(
        code=redact(code),
        http_status=known.http_status if known else _HTTP_STATUS.get(context.error_type, 500),
        retryable=bool(known and known.retryable),
        applied=known.applied if known else None,
        error_type=context.error_type,
        message=redact(_text(context.message)),
        details={
            # With its name, which may tell that it is a secret.
            name: redact(f"{name}={_text(value)}").removeprefix(f"{name}=")
            for name, value in context.details.items()
        },
        timestamp=timestamp(datetime.now(UTC)),
    )
    _log.error("%s (%s): %s", response.code, type(error).__name__, response.message)
    return response


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001  (a handler that fails hides what it handles)
        return f"({type(value).__name__} that cannot be printed: {type(error).__name__})"
