"""Conversations shown without what they say: structure, times and counts."""

import hashlib
import re
from collections.abc import Callable
from typing import Any, Final

from workbench.state import redact

__all__ = ["NOTHING", "differences", "has_mark", "masked", "masked_key", "masked_name"]

NOTHING: Final = "[nothing]"

Path = tuple[str, ...]

# Digits with nothing, a dash or an underscore between them may be a person's number.
_PLAIN: Final = re.compile(r"(?!.*\d(?:[-_]?\d){4})_*[A-Za-z][\w-]{0,39}", re.ASCII)
_TIME: Final = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)?", re.ASCII
)
_SECRET: Final = re.compile(
    r"(?:.*(?:token|password|passwd|passphrase|secret|jwt|api[_-]?key)s?|pin|otp|messages)", re.I
)
_MISSING: Final = object()


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and _PLAIN.fullmatch(value) is not None


def _is_time(value: Any) -> bool:
    return isinstance(value, str) and _TIME.fullmatch(value) is not None


def _is_count(value: Any) -> bool:
    return type(value) is int and abs(value) < 100_000


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


_SHOWN: Final[dict[Path, Callable[[Any], bool]]] = {
    ("schema",): _is_count,
    ("channel", "type"): _is_name,
    ("flow_data", "context"): _is_name,
    ("flow_data", "component"): _is_name,
    ("flow_data", "validation", "in_progress"): _is_flag,
    ("flow_data", "validation", "attempts"): _is_count,
    ("flow_data", "validation", "last_attempt"): _is_time,
    ("flow_data", "validation", "last_attempt", "*"): _is_time,
    ("_metadata", "initialized_at"): _is_time,
    ("_metadata", "updated_at"): _is_time,
    ("_validation", "in_progress"): _is_flag,
    ("_validation", "attempts"): _is_count,
    ("_validation", "attempts", "*"): _is_count,
    ("_validation", "last_attempt"): _is_time,
    ("_validation", "last_attempt", "*"): _is_time,
}
"""What is shown: its place in the documented shape, and the form that it has to have."""


def masked_key(key: bytes | str) -> str:
    """
    ``channel:[redacted]#3f9a51c2``: without the caller's number, but told apart from others.

    Of a key that is no text as well.
    """
    prefix, separator, _ = _bytes(key).partition(b":")
    name = prefix.decode("utf-8", "replace")
    shown = f"{name}:" if separator and _is_name(name) else ""
    return f"{shown}[redacted]#{_mark(key)}"


def has_mark(key: bytes | str, mark: str) -> bool:
    """Whether ``masked_key`` shows the key with this mark."""
    return _mark(key) == mark


def masked_name(name: str) -> str:
    """Of a member: as it is, if the application may have chosen it; a person's is hidden."""
    return name if _is_name(name) else f"[{len(name)} characters]#{_mark(name)}"


def _mark(text: bytes | str) -> str:
    return hashlib.blake2b(_bytes(text), digest_size=4).hexdigest()


def _bytes(text: bytes | str) -> bytes:
    return text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text


def masked(value: Any, *, show_values: bool = False, path: Path = ()) -> Any:
    """
    The value with its texts and numbers hidden, but for those that say nothing of a person.

    Shown is what stands at a place of the documented shape where there is a step, a time or a
    count, in the form of one; whatever has the same name elsewhere is hidden.

    Args:
        value: a document, or a part of one.
        show_values: leave values as they are; secrets stay hidden.
        path: where it stands in the document.
    """
    if path and _SECRET.fullmatch(path[-1]):
        return f"[{len(value)} hidden]" if isinstance(value, str | list) else "[hidden]"
    if isinstance(value, dict):
        return {
            name if show_values else masked_name(name): masked(
                member, show_values=show_values, path=(*path, name)
            )
            for name, member in value.items()
        }
    if isinstance(value, list):
        return [masked(each, show_values=show_values, path=(*path, "")) for each in value]
    if value is None:
        return None
    if show_values or _is_shown(value, path):
        return redact(value) if isinstance(value, str) else value
    if isinstance(value, str):
        return f"[{len(value)} characters]"
    return "[yes or no]" if isinstance(value, bool) else "[number]"


def _is_shown(value: Any, path: Path) -> bool:
    has_form = _SHOWN.get(path) or _SHOWN.get((*path[:-1], "*"))
    return has_form is not None and has_form(value)


def differences(
    before: dict[str, Any], after: dict[str, Any], *, show_values: bool = False
) -> list[tuple[str, Any, Any]]:
    """
    What differs: path, before and after, masked; a side that has nothing there is NOTHING.

    Args:
        before: a document.
        after: another.
        show_values: see ``masked``.
    """
    found: list[tuple[Path, Any, Any]] = []
    _compare(before, after, (), found)

    def side(value: Any, path: Path) -> Any:
        return NOTHING if value is _MISSING else masked(value, show_values=show_values, path=path)

    def place(path: Path) -> str:
        return ".".join(name if show_values else masked_name(name) for name in path)

    return [(place(path), side(a, path), side(b, path)) for path, a, b in found]


def _compare(before: Any, after: Any, path: Path, found: list[Any]) -> None:
    if isinstance(before, dict) and isinstance(after, dict):
        for name in [*before, *(each for each in after if each not in before)]:
            below = (*path, name)
            _compare(before.get(name, _MISSING), after.get(name, _MISSING), below, found)
    elif before is _MISSING or after is _MISSING or before != after:
        found.append((path or ("",), before, after))
