"""Parameters of a notebook: read from words, and held against the types that it declares."""

import ast
import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from workbench.errors import ParameterError, nearest

__all__ = ["check_parameters", "check_value", "known_kind", "read_value"]

_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "str": (str,),
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "list": (list, tuple),
}
_READ: Final[Mapping[str, Callable[[str], Any]]] = {
    "str": str,
    "int": int,
    "float": float,
    "bool": lambda text: {"true": True, "false": False}[text.lower()],
}
_FORM: Final = re.compile(r"(?P<of>str|int|float|bool|list)(?:\[(?P<member>str|int|float|bool)\])?")
_OPTIONAL: Final = re.compile(r"(?:typing\.)?Optional\[(?P<inner>.+)\]|(?P<left>.+?)\s*\|\s*None")
_INJECTED: Final = "# Parameters\n"  # papermill begins the cell that it puts in so


def known_kind(kind: str) -> bool:
    """Whether values of a declared type can be read and checked."""
    return bool(_FORM.fullmatch(_without_none(kind)[0]))


def read_value(text: str, kind: str) -> Any:
    """
    The value that a word means for a declared type.

    Members of a list are separated by commas, or it is one of JSON; ``none`` is no value, where the
    type allows that.

    Raises:
        ValueError: it means none.
    """
    kind, optional = _without_none(kind)
    if optional and text.lower() in {"", "none"}:
        return None
    form = _FORM.fullmatch(kind)
    if form is None:
        return text
    if form["of"] != "list":
        return _read(text, form["of"])
    if text.startswith("["):
        return json.loads(text)
    read = (lambda part: _read(part, form["member"])) if form["member"] else _guessed
    return [read(part.strip()) for part in text.split(",") if part.strip()]


def check_value(name: str, value: Any, kind: str) -> None:
    """
    Refuse a value that is not of the declared type. A type that is not known takes any.

    Raises:
        ParameterError: it is not.
    """
    plain, optional = _without_none(kind)
    form = _FORM.fullmatch(plain)
    if form is None or (optional and value is None):
        return
    if form["member"] == "str" and isinstance(value, str):
        return  # with commas, as papermill's -p gives a list of texts; see runs.several
    right = _is_a(value, form["of"])
    if right and form["member"]:
        right = all(_is_a(member, form["member"]) for member in value)
    if not right:
        raise ParameterError(f"{name} must be of type {kind}, not {value!r}")


def check_parameters(namespace: Mapping[str, Any]) -> None:
    """
    Refuse parameters that a notebook does not have, or that are not of their type.

    A notebook calls it with ``globals()`` after its parameters: ``papermill`` by hand only warns of
    an unknown one, and reports on the defaults. ``workbench report`` looks before it executes.

    Raises:
        ParameterError: papermill put one in that is not declared, or a value has the wrong type.
    """
    declared: Mapping[str, Any] = namespace.get("__annotations__", {})
    for name in _injected(namespace.get("In", ())):
        if name not in declared:
            raise ParameterError(f"there is no parameter {name!r}{nearest(name, declared)}")
    for name, kind in declared.items():
        if name in namespace:
            # A class says its name; list[str] and float | None say themselves.
            plain = isinstance(kind, type) and not hasattr(kind, "__args__")
            check_value(name, namespace[name], kind.__name__ if plain else str(kind))


def _injected(executed: Iterable[str]) -> list[str]:
    return [
        target.id
        for source in executed
        if source.startswith(_INJECTED)
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    ]


def _without_none(kind: str) -> tuple[str, bool]:
    kind = kind.strip().strip("'\"")
    if found := _OPTIONAL.fullmatch(kind):
        return (found["inner"] or found["left"]).strip(), True
    return kind.replace("List", "list"), False


def _is_a(value: Any, kind: str) -> bool:
    # True is an int to Python, and a mistake where a number belongs.
    return isinstance(value, _TYPES[kind]) and isinstance(value, bool) == (kind == "bool")


def _read(text: str, kind: str) -> Any:
    try:
        return _READ[kind](text)
    except KeyError:
        raise ValueError(text) from None


def _guessed(text: str) -> Any:
    """A number where it is one, as papermill reads ``-p``; else the text."""
    try:
        return json.loads(text)
    except ValueError:
        return text
