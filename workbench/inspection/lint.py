"""Raw access to conversations in a code base: found in the syntax tree, with the right way."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["RULES", "Remark", "lint"]

_PREFIX: Final = "channel:"
_IGNORE: Final = "# workbench: raw"

_READS: Final = frozenset({"get", "getex", "getrange", "mget", "hget", "hgetall"})
_WRITES: Final = frozenset(
    {
        "set", "setex", "psetex", "setnx", "getset", "append", "setrange", "mset",
        "delete", "unlink", "getdel", "expire", "pexpire", "expireat", "persist", "rename",
        "hset", "hmset", "hdel", "hincrby", "incr", "incrby", "eval", "evalsha", "fcall",
    }
)  # fmt: skip
_PROTECTED: Final = {
    "channel": "get_channel_id() or get_channel_type()",
    "member_id": "get_member_id()",
    "auth": "is_authenticated()",
    "flow_data": "get_flow_state() or get_flow_data()",
}
_WITHOUT_VALIDATION: Final = frozenset({"auth", "dashboard", "action", "active_account_id"})
_OWN: Final = frozenset({"_metadata", "_validation", "schema", "channel"})

RULES: Final = {
    "raw-read": "a conversation is read past the state manager",
    "raw-write": "a conversation is written past the state manager",
    "watch-after-read": "the read lies before the WATCH, so updates are lost",
    "direct-access": "a protected part is read directly",
    "update-without-validation": "a part is updated without its validation",
}
"""What is pointed at."""


@dataclass(frozen=True, slots=True, order=True)
class Remark:
    """
    A place that gets at a conversation in a way that loses or exposes it.

    Attributes:
        rule: one of RULES; or ``unreadable``, a file that is no Python.
        says: what to do.
    """

    path: Path
    line: int
    column: int
    rule: str
    says: str


def lint(path: Path) -> list[Remark]:
    """
    What is to be said of a file, or of all Python files below a folder.

    A line that ends in ``# workbench: raw`` is left alone.

    Raises:
        FileNotFoundError: there is no such path.
    """
    if not path.exists():
        raise FileNotFoundError(path)
    files = [path] if path.is_file() else sorted(path.rglob("*.py"))
    skipped = {".venv", "venv", "node_modules", ".git", "__pycache__", "site-packages"}
    remarks: list[Remark] = []
    for file in files:
        if not skipped & set(file.relative_to(path).parts):
            remarks += _of_file(file)
    return remarks


def _of_file(file: Path) -> list[Remark]:
    try:
        text = file.read_text("utf-8")
        tree = ast.parse(text)
    except (SyntaxError, UnicodeDecodeError, ValueError) as error:
        line = getattr(error, "lineno", None) or 1
        return [Remark(file, line, 1, "unreadable", f"this is no Python: {type(error).__name__}")]
    lines = text.splitlines()
    scopes = [
        tree,
        *(n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)),
    ]
    return sorted(
        {
            Remark(file, node.lineno, node.col_offset + 1, rule, says)
            for scope in scopes
            for node, rule, says in _of_scope(scope)
            if _IGNORE not in lines[node.lineno - 1]
        }
    )


def _of_scope(scope: ast.AST) -> Iterator[tuple[ast.Call, str, str]]:
    """Calls of one function, without those of the functions inside it."""
    nodes = list(_inside(scope))
    keys = _key_names(nodes)
    read_at: ast.Call | None = None
    for call in nodes:
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)):
            continue
        name, first = call.func.attr, call.args[0] if call.args else None
        raw = first is not None and _is_key(first, keys)
        if raw and name in _READS:
            read_at = read_at or call
            yield call, "raw-read", "use StateManager's accessors, or AtomicStateManager.atomic_get"
        elif raw and name in _WRITES:
            yield call, "raw-write", "use StateManager.update_state, or message() for a whole turn"
        elif raw and name == "watch" and read_at is not None:
            yield (
                call,
                "watch-after-read",
                "WATCH guards only what comes after it: use RedisAtomic.update, which reads inside",
            )
        elif name == "get" and _text(first) in _PROTECTED and _is_manager(call.func.value):
            yield call, "direct-access", f"use {_PROTECTED[_text(first)]}"
        elif name in ("update_state", "atomic_update"):
            yield from _of_update(call)


def _of_update(call: ast.Call) -> Iterator[tuple[ast.Call, str, str]]:
    updates = call.args[-1] if call.args else None
    if not isinstance(updates, ast.Dict):
        return
    for key, value in zip(updates.keys, updates.values, strict=True):
        name = _text(key)
        if not name or name in _WITHOUT_VALIDATION:
            continue
        if name in _OWN:
            yield call, "direct-access", f"{name} is kept by the manager itself"
        elif isinstance(value, ast.Dict):
            if "validation" not in {_text(each) for each in value.keys} and None not in value.keys:
                yield call, "update-without-validation", f"give {name} its 'validation'"
        elif isinstance(value, ast.Constant | ast.List | ast.Tuple):
            yield call, "update-without-validation", f"give {name} its 'validation'"


def _inside(scope: ast.AST) -> Iterator[ast.AST]:
    """In the order of the text."""
    for child in ast.iter_child_nodes(scope):
        yield child
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from _inside(child)
        elif isinstance(child, ast.ClassDef):
            yield from (n for n in _inside(child) if isinstance(n, ast.Assign))


def _key_names(nodes: list[ast.AST]) -> set[str]:
    """Variables that hold a conversation's key."""
    return {
        target.id
        for node in nodes
        if isinstance(node, ast.Assign) and _is_key(node.value, set())
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def _is_key(node: ast.expr, names: set[str]) -> bool:
    if isinstance(node, ast.Name):
        return node.id in names
    if isinstance(node, ast.JoinedStr):
        return bool(node.values) and _is_key(node.values[0], names)
    if isinstance(node, ast.BinOp):
        return _is_key(node.left, names)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return node.func.attr in {"format", "encode"} and _is_key(node.func.value, names)
    return isinstance(node, ast.Constant) and _starts(node.value)


def _starts(value: object) -> bool:
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    return isinstance(text, str) and text.startswith(_PREFIX)


def _is_manager(node: ast.expr) -> bool:
    name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
    return "state" in name or "manager" in name or name in {"sm", "work"}


def _text(node: ast.expr | None) -> str:
    value = node.value if isinstance(node, ast.Constant) else None
    return value if isinstance(value, str) else ""
