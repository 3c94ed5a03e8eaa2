"""
ErrorHandler: turns any error into an answer, without ever raising one itself.

What it tells is what is known to be safe, and not what is left when secrets were looked for: words
of a fixed vocabulary, names made of such words (``AmountInput``, ``STATE_GET_ERROR``), counts
before their unit, and the place in the code. The rest of a text is ``[redacted]``. A value that
the conversation never held, because it was refused before, is therefore as safe as one that it
holds; what it holds is hidden even where it is a word of the vocabulary.
"""

import logging
import re
import string
from collections.abc import Container, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, Final

import msgspec
from redis.exceptions import RedisError

from workbench.state.document import timestamp
from workbench.state.errors import ErrorContext, StateError
from workbench.state.redaction import redact
from workbench.state.vocabulary import GRAMMAR, MEASURES, PLAIN

if TYPE_CHECKING:
    from workbench.state.manager import AsyncStateManager, StateManager

__all__ = ["AsyncErrorHandler", "ErrorHandler", "ErrorResponse"]

_log = logging.getLogger("workbench.state")

_HIDDEN: Final = "[redacted]"
_UNKNOWN: Final = "UNKNOWN_ERROR"
_HTTP_STATUS: Final = {"component": 400, "flow": 400, "state": 500, "system": 500}

_TEXT_LENGTH_MAX: Final = 1_000
_DETAILS_MAX: Final = 20
_CHAIN_LENGTH_MAX: Final = 100

# Details that are the program's by their names; of any other only the name is told.
_NAMES: Final = frozenset({"code", "service", "action", "operation"})
_TEXTS: Final = frozenset(
    {"command", "component", "context", "field", "flow", "path", "reason", "status", "step"}
)
_COUNTS: Final = frozenset({"attempt", "attempts", "retries", "schema", "status", "step", "tries"})
_COUNT_UNITS: Final = ("_ms", "_s", "_bytes")
_COUNT_MAX: Final = 10_000_000

_TOKEN: Final = re.compile(
    r"(?P<hidden>\[redacted\])"
    rf"|(?P<count>(?<![^\s(])[0-9]{{1,7}}(?= (?:{'|'.join(sorted(MEASURES))})\b)"
    # status 503, HTTP 404: no amount has that form.
    r"|(?i:(?<=\bstatus )|(?<=\bHTTP ))[0-9]{3}(?![\w-]|[.,][0-9]))"
    r"|(?P<word>\w+(?:'\w+)?)"
    r"|(?P<marks>(?:(?!\[redacted\])[\s!-/:-@\[-^`{-~])+)"
    r"|.",
    re.DOTALL,
)
_MARKS_MAX: Final = 6
_SPACE: Final = re.compile(r"\s+")
_DIGITS: Final = re.compile(r"[0-9]+")
_IDENTIFIER: Final = re.compile(r"_*[A-Za-z]+(?:_+[A-Za-z]+)*_*")
_PART: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")

# What the documented structure says is no person's: by its place, since a member of the same name
# elsewhere may hold anything.
_STRUCTURE: Final[dict[str, Any]] = {
    "schema": {},
    "channel": {"type": {}},
    "flow_data": {
        "context": {},
        "component": {},
        "validation": {"attempts": {}, "last_attempt": {}},
    },
    "_metadata": {"initialized_at": {}, "updated_at": {}, "messages": {}},
    "_validation": {"attempts": {}, "last_attempt": {}, "error": {}},
}
_ESCAPED: Final = re.compile(rb"\\(?:u[0-9a-fA-F]{4}|.)")


def _alone(kept: str) -> bytes:
    """A table for ``translate``: small letters for what is kept, and blanks for the rest."""
    return bytes(ord(chr(each).lower() if chr(each) in kept else " ") for each in range(256))


_WORDS_ALONE: Final = _alone(string.ascii_letters + string.digits + '"')
_DIGITS_ALONE: Final = _alone(string.digits)
_CODE_NAME: Final = re.compile(r"[A-Za-z_][\w.]{0,99}", re.ASCII)


@dataclass(frozen=True, slots=True)
class ErrorResponse:
    """
    What a chat service answers and logs.

    Attributes:
        code: for machines, as in ``STATE_CONFLICT``.
        http_status: what a webhook answers.
        retryable: whether the same message may succeed when it is delivered again.
        applied: whether the write stands; None if that cannot be known.
        error_type, message, details: the context, told in the words of the vocabulary; the rest
            of it is ``[redacted]``.
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
    """
    The one place where errors of the state layer are handled.

    Attributes:
        words: what may be told besides ``workbench.state.vocabulary``, in lower case. A service
            gives the words of its own codes and steps in a subclass.
    """

    words: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def handle_error(
        cls,
        error: BaseException,
        state_manager: "StateManager | None",
        context: ErrorContext | None,
    ) -> ErrorResponse:
        """
        Log the error, note it in the conversation if the store still works, and say what to answer.

        It never raises, whatever it is given; what interrupts it, as KeyboardInterrupt does, it
        lets pass. It writes at most once, and not at all when the error came from the store or was
        raised from one that did: a failing store is not asked to record its own failure.

        Args:
            error: what was caught.
            state_manager: whose conversation it concerns, or None.
            context: where it happened.
        """
        response = _answered(error, context, state_manager, cls.words)
        if state_manager is not None:
            try:
                if not _from_the_store(error):
                    states, key = state_manager.atomic_state, state_manager.key
                    states.record_error(key, response.message)
            except Exception as failure:  # noqa: BLE001  (it would hide what is being handled)
                _not_noted(failure)
        return response


class AsyncErrorHandler:
    """ErrorHandler for asyncio: the same call, awaited. See there."""

    words: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    async def handle_error(
        cls,
        error: BaseException,
        state_manager: "AsyncStateManager | None",
        context: ErrorContext | None,
    ) -> ErrorResponse:
        """See ErrorHandler."""
        response = _answered(error, context, state_manager, cls.words)
        if state_manager is not None:
            try:
                if not _from_the_store(error):
                    states, key = state_manager.atomic_state, state_manager.key
                    await states.record_error(key, response.message)
            except Exception as failure:  # noqa: BLE001  (it would hide what is being handled)
                _not_noted(failure)
        return response


def _from_the_store(error: BaseException) -> bool:
    """Whether it, or an error that led to it, is one of the state layer or of its client."""
    chain, seen = [error], {id(error)}
    for each in chain:
        if isinstance(each, StateError | RedisError) or len(chain) > _CHAIN_LENGTH_MAX:
            return True
        led = [each.__cause__, None if each.__suppress_context__ else each.__context__]
        if isinstance(each, BaseExceptionGroup):
            led.extend(each.exceptions)
        new = [other for other in led if other is not None and id(other) not in seen]
        seen.update(map(id, new))
        chain.extend(new)
    return False


def _not_noted(failure: Exception) -> None:
    with suppress(Exception):
        code = failure.code if isinstance(failure, StateError) else _class_name(failure)
        _log.warning("the error could not be noted in the conversation: %s", code)


def _answered(
    error: BaseException,
    context: ErrorContext | None,
    state_manager: "StateManager | AsyncStateManager | None",
    words: Container[str],
) -> ErrorResponse:
    """The answer, logged."""
    try:
        response = _response(error, context, state_manager, words)
    except Exception:  # noqa: BLE001  (it would hide what is being handled)
        now = timestamp(datetime.now(UTC))
        response = ErrorResponse(_UNKNOWN, 500, False, None, "system", _HIDDEN, {}, now)
    with suppress(Exception):
        details = "".join(f" {name}={value}" for name, value in response.details.items())
        where = f"{_class_name(error)}{_place(error)}"
        _log.error("%s (%s)%s: %s", response.code, where, details, response.message)
    return response


def _response(
    error: BaseException,
    context: ErrorContext | None,
    state_manager: "StateManager | AsyncStateManager | None",
    words: Container[str],
) -> ErrorResponse:
    names = _Teller(words, _Held())
    texts = _Teller(words, _held(state_manager))
    known = error if isinstance(error, StateError) else None
    error_type, message, details = _parts(context)
    kind = names.told(error_type)
    return ErrorResponse(
        code=names.code(known.code if known else details.get("code")),
        http_status=known.http_status if known else _HTTP_STATUS.get(kind, 500),
        retryable=bool(known and known.retryable),
        applied=getattr(known, "applied", None),
        error_type=kind,
        message=texts.told(message),
        details={
            _detail_name(name, texts): _detail(name, value, names, texts)
            for name, value in details.items()
        },
        timestamp=timestamp(datetime.now(UTC)),
    )


def _parts(context: ErrorContext | None) -> tuple[object, object, dict[object, object]]:
    """Kind, message and details of what is a context, or should have been one."""
    if context is None:
        return "system", "", {}
    try:
        details: object = context.details
        pairs = details.items() if isinstance(details, Mapping) else ()
        return context.error_type, context.message, dict(islice(pairs, _DETAILS_MAX))
    except Exception:  # noqa: BLE001  (it would hide what is being handled)
        return "system", _HIDDEN, {}


def _detail_name(name: object, texts: "_Teller") -> str:
    if type(name) is str and (name in _NAMES or name in _TEXTS or name in _COUNTS):
        return name
    return texts.told(name)


def _detail(name: object, value: object, names: "_Teller", texts: "_Teller") -> str:
    if type(name) is not str:
        return _HIDDEN
    counts = name in _COUNTS or name.endswith(_COUNT_UNITS)
    if counts and (type(value) is int or type(value) is float):
        return texts.count(value)
    if name in _NAMES:
        return names.told(value)
    return texts.told(value) if name in _TEXTS else _HIDDEN


class _Everything:
    """Contains whatever it is asked for."""

    def __contains__(self, word: object) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class _Held:
    """
    What is not to be told though the vocabulary has it, in lower case.

    Attributes:
        words: that occur in a value.
        values: whole ones, with a space for each mark.
    """

    words: Container[str] = frozenset()
    values: Container[str] = frozenset()


def _held(state_manager: "StateManager | AsyncStateManager | None") -> _Held:
    """What the conversation in hand holds, its unit of work included, and whose it is."""
    if state_manager is None:
        return _Held()
    try:
        work = getattr(state_manager, "work", None)
        held = [state_manager.in_hand, work.in_hand if work else None]
        told = [_without(document, _STRUCTURE) for document in held]
        text = msgspec.json.encode([state_manager.key.partition(":")[2], told])
    except Exception:  # noqa: BLE001  (what it holds is not known, so it may be anything)
        return _Held(_Everything(), _Everything())
    # A few passes over all of it and hardly a loop: a document may have a megabyte.
    outside, inside = (parts := _ESCAPED.sub(b" ", text).split(b'"'))[::2], parts[1::2]
    values = [each for each, after in zip(inside, outside[1:], strict=True) if after[:1] != b":"]
    words = b'"'.join(values).translate(_WORDS_ALONE).decode("ascii")
    digits = b'"'.join(outside).translate(_DIGITS_ALONE).decode("ascii")
    return _Held(
        words=frozenset([*words.replace('"', " ").split(), *digits.split()]),
        values=frozenset(map(str.strip, words.split('"'))),
    )


def _without(part: Any, structure: dict[str, Any]) -> Any:
    """The part without what is named in the structure; names that lead there are followed."""
    if not isinstance(part, dict):
        return part
    kept = {name: member for name, member in part.items() if structure.get(name) != {}}
    return {
        name: _without(member, structure[name]) if name in structure else member
        for name, member in kept.items()
    }


class _Teller:
    """
    Tells of a text what may be told.

    Args:
        words: the service's own.
        held: what is hidden though it is a word of the vocabulary.
    """

    def __init__(self, words: Container[str], held: _Held) -> None:
        self._words = words
        self._held = held

    def code(self, value: object) -> str:
        """The value if all of it may be told, and it is one name; else ``UNKNOWN_ERROR``."""
        told = self.told(value)
        return told if _IDENTIFIER.fullmatch(told) else _UNKNOWN

    def count(self, value: float) -> str:
        """The number, unless it is too large to be a count of the program's."""
        return str(value) if abs(value) < _COUNT_MAX and self._counts(str(value)) else _HIDDEN

    def told(self, value: object) -> str:
        """
        The text with all else ``[redacted]``: in ASCII, on one line, and of bounded length. What
        is no text is not asked for one, since that may do anything.
        """
        if not issubclass(type(value), str):
            return _HIDDEN
        text = str.__str__(value)
        if len(text) > _TEXT_LENGTH_MAX:
            text = text[:_TEXT_LENGTH_MAX] + "\u00ff"  # so that what is cut is no whole word
        told: list[str] = []
        between = ""
        for token in _TOKEN.finditer(redact(text)):
            if token["marks"] and len(marks := _SPACE.sub(" ", token[0])) <= _MARKS_MAX:
                between += marks
                continue
            hidden = bool(told) and told[-1] == _HIDDEN
            if self._tells(token, after_hidden=hidden):
                told += [between, token[0]]
            elif not hidden:
                told += [between, _HIDDEN]
            between = ""
        return "".join([*told, between])

    def _tells(self, token: re.Match[str], *, after_hidden: bool) -> bool:
        if token["count"]:
            return not after_hidden and self._counts(token[0])
        return bool(token["word"]) and self._tells_word(token[0].removesuffix("'s"))

    def _counts(self, number: str) -> bool:
        # A digit alone says nothing: every conversation holds some.
        digits = _DIGITS.findall(number)
        return all(len(each) == 1 or each not in self._held.words for each in digits)

    def _tells_word(self, word: str) -> bool:
        whole = word.lower()
        if not word.isascii() or (whole not in GRAMMAR and whole in self._held.words):
            return False
        if self._is_plain(whole):
            return True
        return bool(_IDENTIFIER.fullmatch(word)) and all(
            self._is_plain(part.lower()) for part in _PART.findall(word)
        )

    def _is_plain(self, word: str) -> bool:
        if word in GRAMMAR:
            return len(word) == 1 or word.replace("'", " ") not in self._held.values
        known = word in PLAIN or word in MEASURES or word in self._words
        return known and word not in self._held.words


def _class_name(error: object) -> str:
    return _of_the_code(type(error).__name__)


def _place(error: BaseException) -> str:
    """Where it was raised, for the log."""
    traceback = getattr(error, "__traceback__", None)
    if traceback is None:
        return ""
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    module = traceback.tb_frame.f_globals.get("__name__")
    return f" at {_of_the_code(module)}:{traceback.tb_lineno}"


def _of_the_code(name: object) -> str:
    return name if type(name) is str and _CODE_NAME.fullmatch(name) else _HIDDEN
