"""Raw access to conversations in a code base: found in the syntax tree, with the right way."""

import ast
import re
import tokenize
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from workbench.inspection.names import Constants, Names, text_of
from workbench.state.conversation import ACCESSORS, CHANNEL_PREFIX
from workbench.state.document import OPTIONAL_PARTS, PROTECTED

__all__ = ["RULES", "Remark", "lint"]

_IGNORE: Final = "# workbench: raw"

_READS: Final = frozenset(
    {"get", "getex", "getrange", "substr", "mget", "hget", "hmget", "hgetall", "dump"}
)
_WRITES: Final = frozenset(
    {
        "set", "setex", "psetex", "setnx", "getset", "append", "setrange", "setbit", "mset",
        "msetnx", "delete", "unlink", "getdel", "expire", "pexpire", "expireat", "pexpireat",
        "persist", "touch", "rename", "renamenx", "copy", "restore", "move",
        "hset", "hsetnx", "hmset", "hdel", "hincrby", "hincrbyfloat",
        "incr", "incrby", "incrbyfloat", "decr", "decrby", "eval", "evalsha", "fcall",
    }
)  # fmt: skip
_SCRIPTS: Final = frozenset({"eval", "evalsha", "fcall"})
_SEVERAL: Final = _SCRIPTS | {
    "mget", "mset", "msetnx", "delete", "unlink", "touch", "rename", "renamenx", "copy", "watch",
}  # fmt: skip
_KEY_ARGUMENTS: Final = frozenset(
    {"name", "names", "key", "keys", "src", "dst", "source", "destination", "mapping"}
)
_CONSTANT: Final = re.compile(
    r"""
    ^(?P<name>[A-Z_][A-Z0-9_]*) (?:[ \t]*:[^=\n]+)? [ \t]*=[ \t]*
    (?P<quote>["'])(?P<text>[^"'\n]*)(?P=quote)
    """,
    re.M | re.X,
)
_IN_SCRIPT: Final = re.compile(rf"""['"]{CHANNEL_PREFIX}""")

RULES: Final = {
    "raw-read": "a conversation is read past the state manager",
    "raw-write": "a conversation is written past the state manager",
    "unknown-key": "a key that is not known here is used past the state manager",
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

    A call that has ``# workbench: raw`` on one of its lines is left alone. Whether a key that is an
    argument of the function, or that another file puts together, is a conversation's cannot be
    known; it is pointed at where what it is given to is a client of Redis. The state manager's own
    folder is not looked at.

    Raises:
        FileNotFoundError: there is no such path, or no Python file in it.
    """
    if not path.exists():
        raise FileNotFoundError(f"there is no {path}")
    files = [path] if path.is_file() else sorted(path.rglob("*.py"))
    skipped = {".venv", "venv", "node_modules", ".git", "__pycache__", "site-packages"}
    # A link that leads nowhere is told of; a folder or a pipe of such a name holds no Python.
    files = [
        file
        for file in files
        if (file.is_file() or not file.exists())
        and not skipped & set(file.relative_to(path).parts)
        and (file == path or not _is_state_manager(file.parent))
    ]
    if not files:
        raise FileNotFoundError(f"no Python file in {path}")
    constants = _constants(files)
    speaks_of_it = _speaks_of_it(constants)
    return [remark for file in files for remark in _of_file(file, constants, speaks_of_it)]


def _is_state_manager(folder: Path) -> bool:
    """Whether the folder is the state manager itself, here or lifted to somewhere else."""
    function = folder / "functions.lua"
    return function.is_file() and "workbench_state" in function.read_text("utf-8", "replace")


def _constants(files: list[Path]) -> Constants:
    """The texts that the files give names to, for those that import these."""
    found: dict[tuple[str, str], list[str]] = {}
    for file in files:
        module = file.parent.name if file.stem == "__init__" else file.stem
        try:
            text = _text(file)
        except (OSError, SyntaxError, ValueError):
            continue
        for each in _CONSTANT.finditer(text):
            found.setdefault((module, each["name"]), []).append(each["text"])
    return found


def _speaks_of_it(constants: Constants) -> re.Pattern[str]:
    """What stands in each file that is to be followed: the others need only be Python."""
    of_keys = {
        name
        for (_, name), texts in constants.items()
        if any(text.startswith(CHANNEL_PREFIX) for text in texts)
    }
    words = [
        "channel",
        "redis",
        "valkey",
        "(?<![a-z])rds",
        "workbench",
        "update_state",
        "atomic_update",
    ]
    parts = [f"['\"]{part}['\"]" for part in ACCESSORS]
    return re.compile("|".join([*words, *parts, *sorted(of_keys)]), re.I)


def _text(file: Path) -> str:
    """By its byte order mark, or its coding comment."""
    with tokenize.open(file) as opened:
        return opened.read()


def _of_file(file: Path, constants: Constants, speaks_of_it: re.Pattern[str]) -> list[Remark]:
    try:
        text = _text(file)
        found = _Raw(ast.parse(text), constants)
        if speaks_of_it.search(text):
            found.follow()
    except (SyntaxError, UnicodeDecodeError, ValueError) as error:
        line = getattr(error, "lineno", None) or 1
        return [Remark(file, line, 1, "unreadable", f"this is no Python: {type(error).__name__}")]
    except (RecursionError, MemoryError):
        return [Remark(file, 1, 1, "unreadable", "it is nested too deeply to be looked at")]
    except OSError as error:
        return [Remark(file, 1, 1, "unreadable", f"it cannot be read: {error.strerror}")]
    # As Python counts them: a form feed, for one, ends no line.
    lines = text.split("\n")
    return sorted(
        {
            Remark(file, call.lineno, call.col_offset + 1, rule, says)
            for call, rule, says in found.remarks
            if not any(
                _IGNORE in line for line in lines[call.lineno - 1 : call.end_lineno or call.lineno]
            )
        }
    )


class _Raw(Names):
    """The calls of a file that a remark is due to."""

    remarks: Sequence[tuple[ast.Call, str, str]] = ()

    def begun(self) -> None:
        self.remarks = self._found = list[tuple[ast.Call, str, str]]()
        self._read_in: set[ast.AST | None] = set()

    def called(self, call: ast.Call) -> None:
        if not isinstance(call.func, ast.Attribute):
            return
        name, receiver = call.func.attr, call.func.value
        if name in ("update_state", "atomic_update"):
            self._of_update(call, receiver)
            return
        parts = [*call.args[:1], *(each.value for each in call.keywords if each.arg == "part")]
        part = text_of(parts[0]) if parts else ""
        if name == "get" and part in ACCESSORS and self._is_manager(receiver):
            self._remark(call, "direct-access", f"use {ACCESSORS[part]}")
            return
        arguments = call.args
        if name == "execute_command" and arguments:
            name, arguments = _command(arguments)
        if self.is_state(receiver) or not (name in _READS | _WRITES or name == "watch"):
            return
        self._of_command(call, name, arguments)

    def _of_command(self, call: ast.Call, name: str, arguments: list[ast.expr]) -> None:
        assert isinstance(call.func, ast.Attribute)
        receiver = call.func.value
        named = [each.value for each in call.keywords if each.arg in _KEY_ARGUMENTS]
        keys = [*(arguments if name in _SEVERAL else arguments[:1]), *named]
        foreign = self.fact(receiver).kinds == {"foreign"}
        known = any(self.fact(each).is_key for each in keys) and not foreign
        script = name == "eval" and any(_IN_SCRIPT.search(text_of(each)) for each in arguments[:1])
        if not (known or script):
            # The keys of a script come after it and their number.
            first = [*(arguments[2:] if name in _SCRIPTS else arguments), *named][:1]
            if not first or self.fact(first[0]).is_other_text:
                return
            if not self.is_client(receiver, first[0]):
                return
        if name == "watch":
            if self.function in self._read_in:
                self._remark(call, "watch-after-read", _RIGHT["watch-after-read"])
            return
        if name in _READS:
            self._read_in.add(self.function)
        rule = "raw-read" if name in _READS else "raw-write"
        right = _RIGHT[rule]
        if not (known or script):
            rule, right = "unknown-key", f"if it is a conversation's, {right}"
        self._remark(call, rule, right)

    def _of_update(self, call: ast.Call, receiver: ast.expr) -> None:
        """Of update_state({...}), or atomic_update(key, {...})."""
        given = [*call.args[-1:], *(each.value for each in call.keywords if each.arg == "updates")]
        updates = self.fact(given[-1]).literal if given else None
        if updates is None:
            return
        for key, value in zip(updates.keys, updates.values, strict=True):
            name = text_of(key)
            if not name or name in OPTIONAL_PARTS:
                continue
            if name in PROTECTED:
                self._remark(call, "direct-access", f"{name} cannot be updated: {PROTECTED[name]}")
            elif self._lacks_validation(name, value, receiver):
                self._remark(call, "update-without-validation", f"give {name} its 'validation'")

    def _lacks_validation(self, name: str, value: ast.expr, receiver: ast.expr) -> bool:
        part = self.fact(value).literal
        if part is not None:
            found = {text_of(key): each for key, each in zip(part.keys, part.values, strict=True)}
            validation = found.get("validation")
            if validation is None:
                return None not in part.keys  # **part may have one
            return isinstance(validation, ast.Constant)
        if isinstance(value, ast.Constant | ast.List | ast.Tuple):
            return True
        # What it is cannot be known; but only flow_data is known to be given as it was read.
        return name != "flow_data" and self._is_manager(receiver)

    def _is_manager(self, node: ast.expr) -> bool:
        kinds = self.fact(node).kinds
        if kinds and kinds <= {"foreign", "text"}:
            return False
        name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
        named = "state" in name or "manager" in name or name in {"sm", "work"}
        return named or "state" in kinds

    def _remark(self, call: ast.Call, rule: str, says: str) -> None:
        self._found.append((call, rule, says))


_RIGHT: Final = {
    "raw-read": "use StateManager's accessors, or AtomicStateManager.atomic_get",
    "raw-write": "use StateManager.update_state, or message() for a whole turn",
    "watch-after-read": (
        "WATCH guards only what comes after it: use RedisAtomic.update, which reads inside"
    ),
}


def _command(arguments: list[ast.expr]) -> tuple[str, list[ast.expr]]:
    """The command that execute_command is given: its name and arguments; it splits the first."""
    first = arguments[0]
    parts = first.values if isinstance(first, ast.JoinedStr) else [first]
    # What is put in is not known; a space in it would be another argument.
    words = "".join(text_of(part) or "\0" for part in parts).split()
    split = [ast.Name("\0") if word.startswith("\0") else ast.Constant(word) for word in words[1:]]
    return (words[0].lower() if words else ""), [*split, *arguments[1:]]
