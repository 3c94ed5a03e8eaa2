"""The handler answers whatever happens, tells nothing of a person, and makes no failure worse."""

import asyncio
import logging
import re
import time
from enum import Enum

import msgspec
import pytest
import redis.exceptions as rx
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from workbench.state import (
    AsyncErrorHandler,
    ConflictError,
    ErrorContext,
    ErrorHandler,
    StateError,
    StateMissingError,
    StoreFullError,
    StoreUnavailableError,
    UnitOfWork,
    errors,
    handler,
)
from workbench.state.vocabulary import GRAMMAR, MEASURES, PLAIN


class Conversation:
    """A state manager that counts what it is asked to note, and may fail at it."""

    key = "channel:263771234567"

    def __init__(self, failure=None, in_hand=None, work=None):
        self.noted = []
        self.in_hand = in_hand
        self.work = work
        self.failure = failure
        self.atomic_state = self

    def record_error(self, key, error):
        self.noted.append((key, error))
        if self.failure:
            raise self.failure


class AsyncConversation(Conversation):
    """The same for asyncio."""

    async def record_error(self, key, error):
        super().record_error(key, error)


def by_waiting(error, conversation, context):
    return ErrorHandler.handle_error(error, conversation, context)


def by_asyncio(error, conversation, context):
    return asyncio.run(AsyncErrorHandler.handle_error(error, conversation, context))


both = pytest.mark.parametrize(
    ("handle", "kind"),
    [(by_waiting, Conversation), (by_asyncio, AsyncConversation)],
    ids=["waiting", "asyncio"],
)


def told(message, conversation=None):
    """What becomes of a message."""
    context = ErrorContext("flow", message)
    return ErrorHandler.handle_error(ValueError(), conversation, context).message


CONTEXT = ErrorContext(
    error_type="system",
    message="cannot reach redis://u:hunter2@h",
    details={"code": "STATE_GET_ERROR", "service": "state_manager", "token": "hunter2"},
)


@both
def test_error_of_the_application_is_noted_once_and_redacted(handle, kind):
    """The conversation keeps what went wrong, without the secret."""
    conversation = kind()

    handle(ValueError("odd"), conversation, CONTEXT)

    assert conversation.noted == [(conversation.key, "cannot reach redis://[redacted]")]


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


def raised_from(cause, *, explicitly):
    """An error of the application, raised while another was handled."""
    try:
        try:
            raise cause
        except rx.RedisError as error:
            raise LookupError("no offer") from (error if explicitly else None)
    except LookupError as error:
        return error


def test_error_raised_from_a_failure_of_the_store_is_not_written_to_it():
    """Whatever the application made of it: the store still fails."""
    first, second = Conversation(), Conversation()

    ErrorHandler.handle_error(raised_from(rx.TimeoutError(), explicitly=True), first, CONTEXT)
    group = ExceptionGroup("both", [ValueError(), StoreFullError("full")])
    ErrorHandler.handle_error(group, second, CONTEXT)

    assert first.noted == second.noted == []


def test_error_that_has_nothing_to_do_with_the_one_before_is_noted():
    """``raise ... from None`` says so."""
    conversation = Conversation()
    error = raised_from(rx.TimeoutError(), explicitly=False)

    ErrorHandler.handle_error(error, conversation, CONTEXT)

    assert len(conversation.noted) == 1


def test_errors_that_lead_to_each_other_are_handled():
    """Python does not forbid a ring of causes."""
    first, second = ValueError(), KeyError()
    first.__cause__, second.__cause__ = second, first
    conversation = Conversation()

    ErrorHandler.handle_error(first, conversation, CONTEXT)

    assert len(conversation.noted) == 1


@both
@pytest.mark.parametrize(
    ("failure", "told_as"),
    [
        (StoreUnavailableError("away"), "STORE_UNAVAILABLE"),
        (StateMissingError("gone"), "STATE_MISSING"),
        (RuntimeError("pool of Chipo closed"), "RuntimeError"),
        (rx.ConnectionError("away"), "ConnectionError"),
    ],
)
def test_note_that_fails_is_logged_and_not_raised(handle, kind, failure, told_as, caplog):
    """One try, one line in the log, and the answer all the same."""
    conversation = kind(failure)

    with caplog.at_level(logging.WARNING, logger="workbench.state"):
        response = handle(ValueError("odd"), conversation, CONTEXT)

    assert response.code == "STATE_GET_ERROR"
    assert len(conversation.noted) == 1
    assert caplog.messages[-1].endswith(f": {told_as}")


@both
@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit, asyncio.CancelledError])
def test_what_interrupts_the_handler_is_not_swallowed(handle, kind, interruption):
    """It is meant for the process, or for the task."""
    with pytest.raises(interruption):
        handle(ValueError("odd"), kind(interruption()), CONTEXT)


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
        "message": "cannot reach redis://[redacted]",
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


@pytest.mark.parametrize("fails", ["filter", "handler"])
def test_log_that_fails_hides_no_error(fails):
    """Whoever set up the log may have made a mistake."""

    class Failing(logging.Handler):
        def emit(self, record):
            raise RuntimeError("no space left")

    def refuse(record):
        raise RuntimeError("odd filter")

    logger, handler = logging.getLogger("workbench.state"), Failing()
    logger.addFilter(refuse) if fails == "filter" else logger.addHandler(handler)
    try:
        response = ErrorHandler.handle_error(ValueError(), Conversation(OSError()), CONTEXT)
    finally:
        logger.removeFilter(refuse)
        logger.removeHandler(handler)

    assert response.code == "STATE_GET_ERROR"


def test_log_tells_the_class_and_the_place_of_the_error(caplog):
    """Where the words are hidden, the engineer has the line."""
    try:
        raise KeyError("Chipo")
    except KeyError as error:
        line = error.__traceback__.tb_lineno
        ErrorHandler.handle_error(error, None, ErrorContext("flow", str(error), {"step": "x"}))

    assert caplog.messages == [
        f"UNKNOWN_ERROR (KeyError at {__name__}:{line}) step=[redacted]: '[redacted]'"
    ]


DOCUMENT = {
    "schema": 1,
    "channel": {"type": "whatsapp", "identifier": "263771234567"},
    "auth": {"token": "opaque-0123"},
    "dashboard": {
        "member": {"firstname": "Rutendo", "memberID": "m-77"},
        "accounts": ["rutendo01"],
    },
    "flow_data": {
        "context": "offer_secured",
        "component": "AmountInput",
        "data": {"amount": 1250.75, "denom": "USD", "unit": ""},
        "validation": {"in_progress": True, "attempts": 3, "last_attempt": None},
    },
}


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("offer to rutendo01 (m-77, Rutendo)", "offer to [redacted])"),
        ("1250.75 USD is too much", "[redacted] is too much"),
        ("AmountInput of offer_secured: 3 times", "AmountInput of offer_secured: 3 times"),
        ("rejected: opaque-0123", "rejected: [redacted]"),
        ("263771234567 wrote", "[redacted] wrote"),
        ("forwarded to 263779999999", "[redacted] to [redacted]"),
        ("from 077 123 4567, (077) 123-4567", "from [redacted]"),
        ("Authorization: Basic dTpodW50ZXIy", "Authorization: Basic [redacted]"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer [redacted]"),
        ("password=open", "password=[redacted]"),
        ("HTTP 503 from the core after 2500 ms", "HTTP 503 from the core after 2500 ms"),
        ("no Muchadura here", "no [redacted] here"),
        ("Jo failed; RUTENDO FAILED", "[redacted] failed; [redacted] FAILED"),
    ],
)  # fmt: skip
def test_words_of_the_vocabulary_are_told_and_nothing_else(message, expected, caplog):
    """In the answer, in the log and in the conversation: names, amounts and numbers are hidden."""
    conversation = Conversation(in_hand=DOCUMENT)

    with caplog.at_level(logging.DEBUG, logger="workbench.state"):
        response = ErrorHandler.handle_error(
            ValueError(), conversation, ErrorContext("flow", message, {"reason": message})
        )

    assert response.message == response.details["reason"] == expected
    assert conversation.noted == [(conversation.key, expected)]
    assert caplog.messages[-1].endswith(expected)


@pytest.mark.parametrize(
    "message",
    [
        "'NoneType' object has no attribute 'get'",
        "unsupported operand type(s) for +: 'int' and 'str'",
        "list index out of range",
        "dictionary changed size during iteration",
        "division by zero",
        "maximum recursion depth exceeded",
        "the store refuses the login; check user name and password",
        "the conversation is gone; start a new one with initialize_channel",
        "flow_data.validation.attempts: Expected `int`, got `str`",
        "update lost 5 races in 2000 ms; another writer holds this conversation",
    ],
)  # fmt: skip
def test_common_errors_are_told_in_full(message):
    """What an engineer needs is still there."""
    assert told(message) == message


@pytest.mark.parametrize(
    ("message", "held"),
    [
        ("Page is no name", {"lastname": "Page"}),
        ("PAGE is no name", {"lastname": "page"}),
        ("PageInput", {"lastname": "page"}),
        ("the second PAGE", {"name": "Tatenda Page"}),
        ("An is short", {"firstname": "An"}),
        ("by 25 times", {"amount": 25}),
        ("by 75 times", {"amount": 1250.75}),
        ("has no key", {"validation": {"who": "Key"}}),
        ("has no key", {"type": "Key", "context": ["Key"]}),
        ("has no key", {"list": [[{"a": 'say "Key"\nthen'}]]}),
        ("has no key", {'a"': ":", "b": "key"}),
    ],
)
def test_word_that_the_conversation_holds_is_hidden_though_it_is_plain(message, held):
    """Small and capital letters are alike, and no name of a member makes a value harmless."""
    document = {**DOCUMENT, "dashboard": held}

    assert "[redacted]" not in told(message)
    assert "[redacted]" in told(message, Conversation(in_hand=document))


@pytest.mark.parametrize("place", ["context", "component"])
def test_name_of_the_step_in_hand_is_told(place):
    """By its place in the documented structure, where the program puts its own names."""
    document = {**DOCUMENT, "flow_data": {**DOCUMENT["flow_data"], place: "AmountInput"}}

    assert told("in AmountInput", Conversation(in_hand=document)) == "in AmountInput"


def test_choice_of_one_letter_hides_no_words():
    """``a`` and ``1`` are in most conversations, and in most errors."""
    conversation = Conversation(in_hand={"dashboard": {"choice": "a", "n": 1}})

    assert told("a key was tried 1 times", conversation) == "a key was tried 1 times"


def test_error_that_was_noted_before_hides_no_words():
    """It is the handler's own text."""
    document = {**DOCUMENT, "_validation": {"error": "no amount", "in_progress": False}}

    assert told("no amount, false", Conversation(in_hand=document)) == "no amount, false"


def test_value_of_the_message_in_work_is_not_told(caplog):
    """It is in no document yet, and never will be: the block raises."""
    work = UnitOfWork(msgspec.json.decode(msgspec.json.encode(BEGUN)), "wamid.1")
    work.update_flow_state("onboard", "LastName", {"lastname": "Muchadura Page"})
    conversation = Conversation(in_hand=BEGUN, work=work)

    response = ErrorHandler.handle_error(
        ValueError(), conversation, ErrorContext("flow", "no Muchadura on this page")
    )

    assert response.message == "no [redacted] on this [redacted]"
    assert conversation.noted == [(conversation.key, response.message)]
    assert caplog.messages[-1].endswith(f": {response.message}")


BEGUN = {
    "schema": 1,
    "channel": {"type": "whatsapp", "identifier": "263771234567"},
    "_metadata": {"initialized_at": "2025-01-01T00:00:00Z"},
    "_validation": {"in_progress": False, "attempts": {}, "last_attempt": {}, "error": None},
}


def test_manager_that_cannot_say_what_it_holds_lets_no_text_out():
    """Anything may be a value then; code and status are answered."""
    for odd in (object(), 3, "channel:1", Conversation(in_hand=object())):
        response = ErrorHandler.handle_error(
            ValueError(), odd, ErrorContext("flow", "no page", {"code": "NO_PAGE_FOUND"})
        )

        assert (response.message, response.http_status) == ("[redacted]", 400)


@pytest.mark.parametrize("in_hand", [None, {}, {"dashboard": {}}])
def test_number_of_the_caller_is_not_told_though_nothing_was_read(in_hand):
    """The manager's key has it."""
    conversation = Conversation(in_hand=in_hand)
    conversation.key = "channel:wa-page"

    assert told("to wa-77, page.", conversation) == "to [redacted]."


@pytest.mark.parametrize("name", ["who", "city", "value", "handle", "data", "token", "type"])
def test_detail_is_told_by_its_name_only_if_that_is_the_programs(name):
    """Any other may hold a person's: that it was given is told, and no more."""
    context = ErrorContext("component", "", {name: "amount", "field": "amount", "step": 1})

    response = ErrorHandler.handle_error(ValueError(), None, context)

    assert set(response.details.values()) == {"[redacted]", "amount", "1"}
    assert (response.details["field"], response.details["step"]) == ("amount", "1")


def test_details_are_told_by_the_same_rule_as_the_message():
    """A name, a number and what is no text are hidden, counts of the program are not."""
    details = {
        "service": "state_manager", "action": "Chipo", "attempts": 3, "elapsed_ms": 12.5,
        "status": 10**9, "reason": ["amount"], "first_name": "Chipo", 3: "x", "Chipo": "x",
    }  # fmt: skip

    response = ErrorHandler.handle_error(ValueError(), None, ErrorContext("flow", "", details))

    assert response.details == {
        "service": "state_manager", "action": "[redacted]", "attempts": "3",
        "elapsed_ms": "12.5", "status": "[redacted]", "reason": "[redacted]",
        "first_name": "[redacted]", "[redacted]": "[redacted]",
    }  # fmt: skip


@pytest.mark.parametrize("count", [25, 1250.75, 25.5])
def test_count_that_the_conversation_holds_is_hidden(count):
    """It may be the amount."""
    context = ErrorContext("flow", "", {"attempts": count, "elapsed_ms": count, "tries": 3})
    conversation = Conversation(in_hand={"dashboard": {"a": 25, "b": "1250.75", "c": 3}})

    response = ErrorHandler.handle_error(ValueError(), conversation, context)

    assert list(response.details.values()) == ["[redacted]", "[redacted]", "3"]


@pytest.mark.parametrize(
    ("code", "answered"),
    [
        ("INVALID_HANDLE", "INVALID_HANDLE"),
        ("invalid_amount", "invalid_amount"),
        ("STATE_SET_ERROR", "STATE_SET_ERROR"),
        ("MUCHADURA", "UNKNOWN_ERROR"),
        ("no code", "UNKNOWN_ERROR"),
        ("E_263771234567", "UNKNOWN_ERROR"),
        ("", "UNKNOWN_ERROR"),
        (None, "UNKNOWN_ERROR"),
        (7, "UNKNOWN_ERROR"),
    ],
)
def test_code_is_a_name_of_plain_words(code, answered):
    """A machine reads it, so it does not depend on what the conversation holds."""
    conversation = Conversation(in_hand={"dashboard": {"handle": "amount", "a": "set"}})
    context = ErrorContext("flow", "", {"code": code})

    assert ErrorHandler.handle_error(ValueError(), conversation, context).code == answered


def test_service_may_have_words_of_its_own():
    """In a subclass of the handler."""

    class Handler(ErrorHandler):
        words = frozenset({"stokvel"})

    context = ErrorContext("flow", "no stokvel", {"code": "STOKVEL_FULL"})
    own = Handler.handle_error(ValueError(), None, context)
    other = ErrorHandler.handle_error(ValueError(), None, context)

    assert (own.code, own.message) == ("STOKVEL_FULL", "no stokvel")
    assert (other.code, other.message) == ("UNKNOWN_ERROR", "no [redacted]")


def test_codes_of_the_state_manager_are_all_told():
    """Else its own errors would be unknown ones."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]

    for kind in kinds:
        if issubclass(kind, StateError):
            answered = ErrorHandler.handle_error(kind.__new__(kind), None, None)
            assert (answered.code, answered.http_status) == (kind.code, kind.http_status)


class UnprintableError(Exception):
    """Whatever it is asked for a text, it does harm."""

    def __str__(self):
        raise SystemExit("no text")

    __repr__ = __hash__ = __eq__ = __str__


class Hostile:
    """No attribute of it can be read."""

    def __getattribute__(self, name):
        raise RuntimeError("not to be read")


class Closed(dict):
    """A mapping that does not work."""

    def items(self):
        raise RuntimeError("closed")


class Words(str):
    """A text that is more than it seems."""

    __slots__ = ()

    def __str__(self):
        raise RuntimeError("no text")


CODE = Enum("CODE", {"ODD": "INVALID_AMOUNT"}, type=str)


CONTEXTS = [
    lambda: None,
    Hostile,
    lambda: "a text",
    lambda: {"error_type": "flow"},
    lambda: ErrorContext("flow", UnprintableError(), {"reason": UnprintableError(), "code": 3}),
    lambda: ErrorContext(UnprintableError(), None, Closed(code="X")),
    lambda: ErrorContext(None, [], None),
    lambda: ErrorContext([], 3, "text"),
    lambda: ErrorContext("flow", Words("of Chipo"), {"code": Words("X")}),
    lambda: ErrorContext("flow", "\ud800 \x00\x1b[31m\n", {"attempts": 10**5000}),
    lambda: ErrorContext("flow", "", {"a_ms": float("nan"), "b_ms": float("-inf"), "c_ms": True}),
]


@both
@pytest.mark.parametrize("context", CONTEXTS)
def test_it_does_not_raise_whatever_it_is_given(handle, kind, context, caplog):
    """It is called where something went wrong already, and in a hurry."""
    thrown = [UnprintableError(), Hostile(), None, "text", KeyboardInterrupt(), ConflictError("x")]
    for error in thrown:
        for conversation in (None, kind(), kind(in_hand=Hostile()), Hostile(), object()):
            response = handle(error, conversation, context())

            assert response.http_status in {400, 409, 500}
            assert msgspec.json.encode(response.as_dict())
    assert "Chipo" not in caplog.text


def test_error_of_the_state_layer_keeps_its_status_in_any_context():
    """A context that is broken does not make a conflict an unknown error."""
    for context in (None, Hostile(), ErrorContext("flow", "", Closed())):
        response = ErrorHandler.handle_error(ConflictError("raced"), None, context)

        assert (response.code, response.retryable) == ("STATE_CONFLICT", True)


def test_text_that_is_a_kind_of_text_is_told():
    """An Enum of codes, for one."""
    context = ErrorContext("flow", Words("no amount"), {"code": CODE.ODD})

    response = ErrorHandler.handle_error(ValueError(), None, context)

    assert (response.code, response.message) == ("INVALID_AMOUNT", "no amount")


def test_what_is_told_is_one_line():
    """No text makes lines of a log that were not written there, or colours."""
    assert told("no amount\r\nERROR (x) \x1b[31m the  key\u2028") == (
        "no amount ERROR ([redacted] the key "
    )


@pytest.mark.parametrize(
    "word", ["a ", "amount", "é", "[", "'", "1 ", "A_", "[redacted] ", "AUTH "]
)
def test_text_is_told_up_to_a_length(word):
    """So the work is bounded, and what was cut is said to be hidden."""
    short, long = told(word * 10_000), told(word * 1_000_000)

    assert short == long
    assert len(short) < 5_000
    assert "[redacted]" in short


def seconds(conversation):
    context = ErrorContext("flow", "no amount of the key")
    times = []
    for _ in range(3):
        re.purge()  # every conversation is another one
        started_s = time.process_time()
        ErrorHandler.handle_error(ValueError(), conversation, context)
        times.append(time.process_time() - started_s)
    return min(times)


@pytest.mark.parametrize(
    "value",
    [
        lambda n: f"value{n:09}", lambda n: n, lambda n: '"\\\n', lambda n: {"a": n},
        lambda n: " ", lambda n: "the key",
    ],
)  # fmt: skip
def test_cost_grows_with_the_document_and_no_faster(value):
    """Ten times the values take some ten times as long, whatever they are."""
    small, large = ({"dashboard": {"l": [value(n) for n in range(k)]}} for k in (4_000, 40_000))
    short_s = max(1e-3, seconds(Conversation(in_hand=small)))

    assert seconds(Conversation(in_hand=large)) < 40 * short_s


def test_large_document_costs_little_more_than_to_copy_it():
    """700 KB: the copy that the manager gives of it is the measure, not the machine."""
    document = {"dashboard": {"l": [f"{n * 2654435761 % 2**56:014x}" for n in range(40_000)]}}
    conversation = Conversation(in_hand=document)

    def copied():
        started_s = time.process_time()
        msgspec.json.decode(msgspec.json.encode(document))
        return time.process_time() - started_s

    assert seconds(conversation) < 50 * min(copied() for _ in range(5))


# What a person may have typed, and what a program may hold of one. Two things are no values here:
# a single character, and what has neither letter nor digit.
typed = st.text(min_size=2, max_size=12).map(str.strip)
likely = st.sampled_from(
    ["Jo", "O'Neil", "Tatenda Moyo", "Page", "An", "077 123 4567", "+263 77 123-4567", "10 USD",
     "1,250.75", "José", "Mary-Jane", "key", "the key", "eyJhbGciOiJI.eyJzdWIi", "state_get", "is",
     "Else", "Muchadura", "AmountInput", "25", "2500", "a\"b", "x\ny", "null", "true"]
)  # fmt: skip
thorough = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
values = likely | typed | st.integers(10, 10**12) | st.decimals(1, 10**6, places=2).map(float)
documents = st.recursive(
    values,
    lambda below: (
        st.lists(below, max_size=4)
        | st.dictionaries(
            st.sampled_from(["type", "context", "validation", "name", "error", "schema", "_h"])
            | st.text(max_size=5),
            below,
            max_size=4,
        )
    ),
    max_leaves=12,
)
around = st.sampled_from(
    ["{}", "no {} here", "invalid: {!r}", "{} is no amount", "[{}]", "to {}, {}", "{} ms",
     "HTTP {}", "{}{}", "value={}", "{}Input", "channel:{}", "the key {} of {}"]
)  # fmt: skip


def leaves(part):
    if isinstance(part, dict | list):
        for each in part.values() if isinstance(part, dict) else part:
            yield from leaves(each)
    else:
        yield str(part)


def stands_in(value, text):
    """
    Whether the text tells the value: small and capital letters alike, and not as part of a word,
    since ``ed`` is not told by ``failed``. What stands there already is no telling.
    """
    text = text.replace("[redacted]", "\x00").lower()
    return re.search(rf"(?<![^\W_]){re.escape(value.lower())}(?![^\W_])", text) is not None


def says_something(value):
    return len(value) >= 2 and any(each.isalnum() for each in value)


def only_grammar(value):
    """Of several words, none of which says anything by itself: ``is it``."""
    words = re.findall(r"[^\W_]+", value.lower())
    return len(words) > 1 and all(each in GRAMMAR for each in words)


def outputs(message, conversation, caplog):
    """All that leaves the handler but the time, and the place in the code."""
    caplog.clear()
    details = {"reason": message, "who": message, message: 1, "path": message, "action": ""}
    response = ErrorHandler.handle_error(
        ValueError(message), conversation, ErrorContext("flow", message, details)
    )
    assert response.error_type == "flow"  # and not what is answered when the handler itself fails
    answer = [response.message, *response.details.values(), *set(response.details) - set(details)]
    log = [line.partition("ValueError")[2] for line in caplog.messages]
    log = [
        line.replace(" reason=", " ").replace(" who=", " ").replace(" path=", " ") for line in log
    ]
    return [*answer, *(line.replace(" action=", " ") for line in log), conversation.noted[-1][1]]


@thorough
@given(
    document=documents,
    form=around,
    data=st.data(),
    case=st.sampled_from([str, str.upper, str.lower]),
)
def test_no_value_that_is_held_is_told(document, form, data, case):
    """Of two characters or more, and not grammar alone; the same text unredacted tells it."""
    found = [value for value in leaves(document) if says_something(value)]
    assume(found)
    chosen = data.draw(st.lists(st.sampled_from(found), min_size=2, max_size=2))
    message = case(form.format(*chosen))
    for conversation in (
        Conversation(in_hand={"dashboard": document}),
        Conversation(in_hand={}, work=Conversation(in_hand={"flow_data": {"data": document}})),
    ):
        with Log() as log:
            out = outputs(message, conversation, log)

        for value in found:
            if not only_grammar(value):
                assert not any(stands_in(value, each) for each in out), (value, out)


def vocabulary_alone(value):
    """All of its words may be told by themselves: the exception, where nothing holds the value."""
    words = re.findall(r"\w+(?:'\w+)?", value)
    parts = [part.lower() for word in words for part in re.findall(r"[^\W\d_]+", word)]
    return all(told(word) == word for word in words) and bool(parts)


@thorough
@given(value=values.map(str).filter(says_something), form=around)
@example("Muchadura", "no {} here")
@example("077 123 4567", "to {}, {}")
def test_value_that_was_never_held_is_not_told_either(value, form):
    """Unless it is made of nothing but words of the vocabulary, or is a count before its unit."""
    assume(not vocabulary_alone(value))
    assume(not (form in {"{} ms", "HTTP {}"} and value.isdecimal()))
    message = form.format(value, value)
    with Log() as log:
        out = outputs(message, Conversation(in_hand={}), log)

    assert not any(stands_in(value, each) for each in out)


@pytest.mark.parametrize("value", ["Muchadura", "Jo", "077 123 4567", "1250.75", "Page", "an"])
@pytest.mark.parametrize("form", ["no {} here", "invalid: {!r}", "channel:{}"])
def test_without_the_vocabulary_the_value_would_be_found(value, form, monkeypatch):
    """The control of the two before: what they look for is there, if nothing takes it out."""
    monkeypatch.setattr(handler._Teller, "told", lambda self, text: str(text))
    with Log() as log:
        out = outputs(form.format(value), Conversation(in_hand={}), log)

    assert [stands_in(value, each) for each in out].count(True) >= 4


class Log(logging.Handler):
    """caplog, for a test that runs many times."""

    def __init__(self):
        super().__init__()
        self.messages = []

    def emit(self, record):
        self.messages.append(record.getMessage())

    def clear(self):
        self.messages.clear()

    def __enter__(self):
        logging.getLogger("workbench.state").addHandler(self)
        return self

    def __exit__(self, *_):
        logging.getLogger("workbench.state").removeHandler(self)


@settings(deadline=None)
@given(st.text())
def test_telling_twice_changes_nothing(text):
    """What was told once may come again, as the cause of another error."""
    once = told(text)

    assert told(once) == once
    assert once.isascii()


def test_vocabulary_is_in_one_form():
    """Small letters of ASCII; and given names that are words elsewhere are not in it."""
    everything = GRAMMAR | PLAIN | MEASURES

    assert all(re.fullmatch(r"[a-z]+(?:'[a-z]+)?", word) for word in everything)
    assert not everything & set(NAMES_OF_PEOPLE)


NAMES_OF_PEOPLE = """
    memory will mark grace hope faith joy gift precious blessing innocent privilege talent wisdom
    knowledge method given never lovemore evidence progress reason prosper pride honest future
    success energy marvelous beauty charity patience comfort fortune happiness praise peace trust
    trymore learnmore talkmore nomatter admire decent rich art pat sue bill may june april august
    dawn eve ray chuck don max frank earnest grant chance rose ruby pearl miles chase hunter
    """.split()  # noqa: SIM905
