"""Conversations shown without what they say: structure, times and counts."""

import hashlib
from typing import Any, Final

from workbench.state import redact

__all__ = ["differences", "masked", "masked_key"]

_SHOWN: Final = frozenset(
    {
        "schema", "type", "context", "component", "in_progress", "attempts", "last_attempt",
        "initialized_at", "updated_at",
    }
)  # fmt: skip
_SECRET: Final = frozenset({"token", "password", "secret", "messages"})
_MISSING: Final = object()


def masked_key(key: str) -> str:
    """``channel:[redacted]#3f9a``: without the caller's number, but told apart from others."""
    mark = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=2).hexdigest()
    prefix, separator, _ = key.partition(":")
    return f"{prefix}{separator}[redacted]#{mark}"


def masked(value: Any, *, show_values: bool = False, name: str = "", shown: bool = False) -> Any:
    """
    The value with its texts and numbers hidden, but for those that say nothing of a person.

    Args:
        value: a document, or a part of one.
        show_values: leave values as they are; secrets stay hidden.
        name: under which it stands.
        shown: it stands below a part that is shown.
    """
    if name in _SECRET:
        return f"[{len(value)} hidden]" if isinstance(value, str | list) else "[hidden]"
    open_ = show_values or shown or name in _SHOWN
    if isinstance(value, dict):
        # The names of what a flow has gathered are the application's; those of attempts are ours.
        return {
            key: masked(member, show_values=show_values, name=key, shown=name in _SHOWN)
            for key, member in value.items()
        }
    if isinstance(value, list):
        return [masked(member, show_values=show_values, name=name) for member in value]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return redact(value) if open_ else f"[{len(value)} characters]"
    return value if open_ else "[number]"


def differences(
    before: dict[str, Any], after: dict[str, Any], *, show_values: bool = False
) -> list[tuple[str, Any, Any]]:
    """
    What differs: path, before and after, masked; a side that has nothing there is None.

    Args:
        before: a document.
        after: another.
        show_values: see ``masked``.
    """
    found: list[tuple[tuple[str, ...], Any, Any]] = []
    _compare(before, after, (), found)

    def side(value: Any, name: str) -> Any:
        return None if value is _MISSING else masked(value, show_values=show_values, name=name)

    return [(".".join(path), side(a, path[-1]), side(b, path[-1])) for path, a, b in found]


def _compare(before: Any, after: Any, path: tuple[str, ...], found: list[Any]) -> None:
    if isinstance(before, dict) and isinstance(after, dict):
        for name in [*before, *(each for each in after if each not in before)]:
            below = (*path, name)
            _compare(before.get(name, _MISSING), after.get(name, _MISSING), below, found)
    elif before is _MISSING or after is _MISSING or before != after:
        found.append((path or ("",), before, after))
