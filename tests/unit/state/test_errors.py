"""What each failure of the client library means, and that none lets a key out."""

import pytest
import redis.exceptions as rx
from redis._parsers.base import BaseParser

from workbench.state import errors
from workbench.state.errors import StateError, store_error

KEY = "channel:263771234567"
VALUE = '{"auth":{"token":"hunter2"}}'


def in_transaction(reply):
    """The error that redis-py makes of a refusal between MULTI and EXEC: the command is in it."""
    error = BaseParser.parse_error(reply)
    error.args = (f"Command # 1 (SET {KEY} {VALUE}) of pipeline caused error: {error.args[0]}",)
    return error


@pytest.mark.parametrize("made_by", [BaseParser.parse_error, in_transaction])
@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ("OOM command not allowed when used memory > 'maxmemory'.", errors.StoreFullError),
        ("MISCONF Redis is configured to save RDB snapshots", errors.StoreBlockedError),
        ("READONLY You can't write against a read only replica.", errors.StoreReadOnlyError),
        ("LOADING Redis is loading the dataset in memory", errors.StoreUnavailableError),
        ("CLUSTERDOWN Hash slot not served", errors.StoreUnavailableError),
        ("MASTERDOWN Link with MASTER is down", errors.StoreUnavailableError),
        ("WRONGTYPE Operation against a key", errors.StoreRefusedError),
        ("NOPERM this user has no permissions", errors.StoreRefusedError),
        ("ERR unknown command", errors.StoreRefusedError),
        ("NOREPLICAS Not enough good replicas to write.", errors.StoreBlockedError),
        ("BUSY Redis is busy running a script.", errors.StoreUnavailableError),
    ],
)
def test_refusal_of_the_server_has_its_error(made_by, reply, kind):
    """The kind follows from the server's code, inside a transaction as outside."""
    error = store_error(made_by(reply))

    assert type(error) is kind


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (rx.ConnectionError(f"Error 111 connecting to redis://:hunter2@{KEY}"), "unavailable"),
        (rx.TimeoutError("Timeout reading from socket"), "unavailable"),
        (rx.MaxConnectionsError("Too many connections"), "unavailable"),
        (rx.AuthenticationError("invalid username-password pair hunter2"), "refused"),
        (rx.NoPermissionError(f"No permissions to access a key {KEY}"), "refused"),
        (rx.DataError(f"Invalid input of type {VALUE}"), "refused"),
        (rx.RedisError(f"something about {KEY}"), "refused"),
    ],
)
def test_failure_of_the_client_has_its_error(error, kind):
    """A store that cannot be reached may be tried again; one that refuses may not."""
    mapped = store_error(error)

    assert isinstance(
        mapped,
        errors.StoreUnavailableError if kind == "unavailable" else errors.StoreRefusedError,
    )
    assert mapped.retryable is (kind == "unavailable")


@pytest.mark.parametrize(
    "error",
    [
        in_transaction("OOM command not allowed"),
        in_transaction("MISCONF disk"),
        in_transaction("WRONGTYPE Operation against a key"),
        in_transaction(f"ERR wrong {KEY}"),
        rx.NoPermissionError(f"No permissions to access {KEY}"),
        rx.ConnectionError(f"cannot connect to redis://:hunter2@{KEY}"),
        rx.DataError(f"{KEY} {VALUE}"),
    ],
)
def test_no_message_holds_a_key_or_a_value(error):
    """The library's text is not passed on: a key is a phone number."""
    message = str(store_error(error))

    assert "263771234567" not in message
    assert "hunter2" not in message


def test_refusal_in_a_transaction_names_the_code_of_the_server():
    """What a person searches the documentation for is still there."""
    assert "WRONGTYPE" in str(store_error(in_transaction("WRONGTYPE Operation against a key")))


def test_every_message_is_redacted():
    """Even a message written with a key in it comes out without."""
    assert str(StateError(f"{KEY} at redis://u:hunter2@h")) == (
        "channel:[redacted] at redis://[redacted]@h"
    )


KINDS = [
    getattr(errors, name)
    for name in errors.__all__
    if name.endswith("Error") and name != "StateError"
]


NAMED = {
    errors.SchemaTooNewError: {"found": 9, "supported": 1},
    errors.SessionLostError: {"message": "gone", "reason": "evicted"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_is_caught_by_the_root_and_says_what_a_service_needs(kind):
    """Code, status, whether it stands, whether to try again."""
    error = kind(**NAMED[kind]) if kind in NAMED else kind("message")

    assert isinstance(error, StateError)
    assert error.code == error.code.upper()
    assert 400 <= error.http_status < 600
    assert error.applied is (None if kind is errors.AmbiguousWriteError else False)
    assert isinstance(error.retryable, bool)


def test_codes_differ():
    """A machine can tell the errors apart."""
    codes = [kind.code for kind in KINDS]

    assert len(set(codes)) == len(codes)


def test_only_what_a_repetition_can_help_is_retryable():
    """A full, a refusing or an ambiguous store is not asked again by itself."""
    retryable = {kind.__name__ for kind in KINDS if kind.retryable}

    assert retryable == {
        "ConflictError",
        "RetriesExhaustedError",
        "StoreReadOnlyError",
        "StoreUnavailableError",
    }


def test_replica_without_its_primary_is_not_called_a_cluster():
    """redis-py's class for it is a kind of the one for clusters."""
    error = errors.store_error(rx.MasterDownError("Link with MASTER is down"))

    assert "lost its primary" in str(error)
