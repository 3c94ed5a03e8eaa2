"""The handler answers whatever happens, and does not make a failure worse."""

import logging

import pytest
import redis.exceptions as rx

from workbench.state import (
    ConflictError,
    ErrorContext,
    ErrorHandler,
    StateMissingError,
    StoreFullError,
    StoreUnavailableError,
)


class Conversation:
    """A state manager that counts what it is asked to note, and may fail at it."""

    key = "channel:263771234567"

    def __init__(self, failure=None):
        self.noted = []
        self.failure = failure
        self.atomic_state = self

    def record_error(self, key, error):
        self.noted.append((key, error))
        if self.failure:
            raise self.failure


CONTEXT = ErrorContext(
    error_type="system",
    message="cannot reach redis://u:hunter2@h",
    details={"code": "STATE_GET_ERROR", "service": "state_manager", "token": "hunter2"},
)


def test_error_of_the_application_is_noted_once_and_redacted():
    """The conversation keeps what went wrong, without the secret."""
    conversation = Conversation()

    ErrorHandler.handle_error(ValueError("odd"), conversation, CONTEXT)

    assert conversation.noted == [(conversation.key, "cannot reach redis://[redacted]@h")]


@pytest.mark.parametrize(
    "error",
    [
        StoreUnavailableError("away"),
        StoreFullError("full"),
        rx.ConnectionError("away"),
        rx.TimeoutError("late"),
        rx.ResponseError("MISCONF"),
    ],
)
def test_failing_store_is_not_asked_to_record_its_own_failure(error):
    """Neither when the state layer reports it, nor when the client library itself does."""
    conversation = Conversation()

    ErrorHandler.handle_error(error, conversation, CONTEXT)

    assert conversation.noted == []


@pytest.mark.parametrize("failure", [StoreUnavailableError("away"), StateMissingError("gone")])
def test_note_that_fails_is_logged_and_not_raised(failure, caplog):
    """One try, one line in the log, and the answer all the same."""
    conversation = Conversation(failure)

    with caplog.at_level(logging.WARNING, logger="workbench.state"):
        response = ErrorHandler.handle_error(ValueError("odd"), conversation, CONTEXT)

    assert response.code == "STATE_GET_ERROR"
    assert len(conversation.noted) == 1
    assert failure.code in caplog.messages[-1]


def test_without_a_conversation_it_answers_too():
    """An error may come before there is anything to note it in."""
    response = ErrorHandler.handle_error(ValueError("odd"), None, CONTEXT)

    assert (response.http_status, response.retryable, response.applied) == (500, False, None)


def test_error_of_the_state_layer_speaks_for_itself():
    """Its own code and status are answered, whatever the context says."""
    response = ErrorHandler.handle_error(ConflictError("raced"), None, CONTEXT)

    assert response.as_dict()["error"] | {"timestamp": ""} == {
        "code": "STATE_CONFLICT",
        "http_status": 409,
        "retryable": True,
        "applied": False,
        "error_type": "system",
        "message": "cannot reach redis://[redacted]@h",
        "details": {
            "code": "STATE_GET_ERROR",
            "service": "state_manager",
            "token": "[redacted]",
        },
        "timestamp": "",
    }


@pytest.mark.parametrize(
    ("error_type", "status"), [("component", 400), ("flow", 400), ("system", 500), ("other", 500)]
)
def test_status_follows_the_kind_of_an_unknown_error(error_type, status):
    """The sender's mistake is a 400, ours a 500."""
    context = ErrorContext(error_type=error_type, message="")

    response = ErrorHandler.handle_error(ValueError(), None, context)

    assert (response.code, response.http_status) == ("UNKNOWN_ERROR", status)


def test_nothing_secret_is_logged(caplog):
    """Neither the error's own text nor the context's secrets reach the log."""
    with caplog.at_level(logging.DEBUG, logger="workbench.state"):
        ErrorHandler.handle_error(ValueError("hunter2"), Conversation(), CONTEXT)

    assert caplog.messages
    assert "hunter2" not in caplog.text


def test_details_of_any_type_are_answered_as_text():
    """The caller may put in whatever it has at hand."""
    context = ErrorContext("flow", "odd", {"n": 1, "none": None, "a=b": "c=d", "list": [1]})

    response = ErrorHandler.handle_error(ValueError(), None, context)

    assert response.details == {"n": "1", "none": "None", "a=b": "c=d", "list": "[1]"}


def test_context_that_cannot_be_printed_does_not_raise():
    """A handler that fails hides the error that it was called for."""

    class Unprintable:
        def __str__(self):
            raise RuntimeError("no text")

    context = ErrorContext("flow", None, {"odd": Unprintable(), "code": Unprintable(), 3: "x"})

    response = ErrorHandler.handle_error(ValueError(), Conversation(), context)

    assert response.http_status == 400
