"""
What a server's append-only files tell of its keys, by prefix, without asking the server.

The base file is an RDB of all keys at its making, with expiries and idle times; the incremental
files are the commands since. A value is never looked at, and of a name only its prefix leaves here.
"""

import re
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from workbench.errors import AofError
from workbench.telemetry.prefixes import Prefixes
from workbench.telemetry.rdb import Header, checksum_holds, read_rdb

__all__ = ["AofFolder", "Increment", "PrefixTotals", "read_aof_folder", "read_commands"]

_BUFFER_BYTES: Final = 1 << 20
_LENGTH_MAX: Final = 1 << 30  # twice what a server takes by default
_DELETIONS: Final = ("UNLINK", "DEL")
# Their first argument is a key. Of other commands no prefix is told: it may be no key at all.
_WRITES: Final = re.compile(
    "(?:P?SETEX|SETNX|SET|GETSET|GETDEL|APPEND|SETRANGE|SETBIT|PERSIST|RESTORE|P?EXPIRE(?:AT)?"
    "|(?:INCR|DECR)(?:BY|BYFLOAT)?|H(?:SET|MSET|SETNX|DEL|INCRBY|INCRBYFLOAT)"
    "|[LR](?:PUSHX?|POP)|L(?:REM|SET|TRIM|INSERT)|S(?:ADD|REM|POP)|Z(?:ADD|REM|INCRBY)"
    "|X(?:ADD|DEL|TRIM|ACK)|PFADD)"
)
_TIMESTAMP: Final = re.compile(rb"#TS:(\d+)\r\n")
_ENTRY: Final = re.compile(r'("(?:[^"\\]|\\.)*"|\S+)')


@dataclass(slots=True)
class PrefixTotals:
    """
    What is known of the keys that begin alike.

    Attributes:
        keys: in the base file.
        length_bytes: of them in the file, which is not the memory that they take.
        ttl_left_s: of those that have a time to live, what was left of it when the file was made.
        idle_s: of those of which it is known, since they were last used when it was made.
        unlinked, deleted: keys of UNLINK and of DEL in the incremental files.
        written: other commands in them that name such a key first.
    """

    keys: int = 0
    length_bytes: int = 0
    ttl_left_s: "array[float]" = field(default_factory=lambda: array("d"))
    idle_s: "array[float]" = field(default_factory=lambda: array("d"))
    unlinked: int = 0
    deleted: int = 0
    written: int = 0


@dataclass(slots=True)
class Increment:
    """
    One incremental file.

    Attributes:
        name: of the file.
        length_bytes: of it.
        truncated_at: where a command begins that is not whole, B from the start; None if all are.
    """

    name: str
    length_bytes: int
    truncated_at: int | None = None


@dataclass(slots=True)
class AofFolder:
    """
    What a folder of append-only files tells.

    Attributes:
        base: name of the base file; empty if there is none.
        base_length_bytes: of it.
        header: what it says of itself; None if it is no RDB but commands, of which nothing is told.
        checked: whether its checksum holds; None if the server wrote none, or it is no RDB.
        increments: in their order.
        prefixes: totals by prefix.
        commands: in the incremental files, by name.
        timestamps_s: the first and the last that the server wrote between them; None if it wrote
            none, as by default.
    """

    base: str = ""
    base_length_bytes: int = 0
    header: Header | None = None
    checked: bool | None = None
    increments: list[Increment] = field(default_factory=list)
    prefixes: dict[str, PrefixTotals] = field(default_factory=dict)
    commands: Counter[str] = field(default_factory=Counter)
    timestamps_s: tuple[int, int] | None = None


def read_aof_folder(
    folder: Path, *, prefix_depth: int = 1, say: Callable[[str], None] = lambda _: None
) -> AofFolder:
    """
    Read a folder of append-only files, as ``appendonlydir`` is.

    Args:
        folder: it.
        prefix_depth: parts of a key's name that make its prefix.
        say: told which file is read.

    Raises:
        AofError: it is none, a file is missing or damaged; the message says which and where.
    """
    for attempt in (1, 2):
        base, increments = _read_manifest(folder)
        try:
            return _read(folder, base, increments, Prefixes(prefix_depth), say)
        except FileNotFoundError as error:
            # A server that rewrites its files meanwhile has removed the ones that were named.
            if attempt == 2 or (base, increments) == _read_manifest(folder):
                name = Path(str(error.filename)).name
                raise AofError(
                    f"{folder} has no {name}, which its manifest names: copy the folder whole"
                ) from None
    raise AssertionError("the second attempt returned or raised")


def read_commands(file: BinaryIO) -> Iterator[list[bytes] | int]:
    """
    The commands of an incremental file; a number for each second that was noted between them.

    Raises:
        EOFError: the last command is not whole; its argument is where it begins, B from the start.
        AofError: something stands between commands that is none.
    """
    at = 0
    while line := file.readline():
        if not line.endswith(b"\r\n") and len(line) < 64:
            raise EOFError(at)
        if line.startswith(b"#"):
            if noted := _TIMESTAMP.fullmatch(line):
                yield int(noted[1])
            at += len(line)
            continue
        size, words = len(line), []
        for _ in range(_number(line, b"*", at)):
            head = file.readline()
            if not head.endswith(b"\r\n") and len(head) < 64:
                raise EOFError(at)
            length = _number(head, b"$", at)
            word = file.read(length + 2)
            if len(word) < length + 2:
                raise EOFError(at)
            words.append(word[:-2])
            size += len(head) + len(word)
        if words:
            yield words
        at += size


def _read(
    folder: Path,
    base: str,
    increments: list[str],
    prefixes: Prefixes,
    say: Callable[[str], None],
) -> AofFolder:
    found = AofFolder()
    if base:
        say(f"reading {base}")
        found.base = base
        found.base_length_bytes = (folder / base).stat().st_size
        _read_base(folder / base, found, prefixes)
    for name in increments:
        say(f"reading {name}")
        _read_increment(folder / name, found, prefixes)
    return found


def _read_base(path: Path, found: AofFolder, prefixes: Prefixes) -> None:
    with path.open("rb", buffering=_BUFFER_BYTES) as file:
        if file.read(1) == b"*":
            return  # written with aof-use-rdb-preamble no: commands, without idle times
        file.seek(0)
        try:
            header, keys = read_rdb(file)
            found.header = header
            for key in keys:
                totals = _totals(found, prefixes.of(key.name))
                totals.keys += 1
                totals.length_bytes += key.length_bytes
                if key.expires_ms is not None and header.made_unix_s is not None:
                    totals.ttl_left_s.append(key.expires_ms / 1000 - header.made_unix_s)
                if key.idle_s is not None:
                    totals.idle_s.append(key.idle_s)
        except AofError as error:
            raise AofError(f"{path}: {error}") from None
    found.checked = checksum_holds(path, header.end)
    if found.checked is False:
        raise AofError(f"{path} is damaged: its checksum is not that of its content; copy it again")


def _read_increment(path: Path, found: AofFolder, prefixes: Prefixes) -> None:
    increment = Increment(path.name, path.stat().st_size)
    found.increments.append(increment)
    with path.open("rb", buffering=_BUFFER_BYTES) as file:
        try:
            for command in read_commands(file):
                if isinstance(command, int):
                    first_s = found.timestamps_s[0] if found.timestamps_s else command
                    found.timestamps_s = (first_s, command)
                else:
                    _count(command, found, prefixes)
        except EOFError as end:
            increment.truncated_at = end.args[0]
        except AofError as error:
            raise AofError(f"{path}: {error}") from None


def _count(command: list[bytes], found: AofFolder, prefixes: Prefixes) -> None:
    name = command[0].upper().decode("ascii", "backslashreplace")
    found.commands[name if name.isalnum() else "(odd)"] += 1
    if name in _DELETIONS:
        for key in command[1:]:
            totals = _totals(found, prefixes.of(key))
            if name == "UNLINK":
                totals.unlinked += 1
            else:
                totals.deleted += 1
    elif _WRITES.fullmatch(name) and len(command) > 1:
        _totals(found, prefixes.of(command[1])).written += 1


def _totals(found: AofFolder, prefix: str) -> PrefixTotals:
    totals = found.prefixes.get(prefix)
    if totals is None:
        totals = found.prefixes[prefix] = PrefixTotals()
    return totals


def _read_manifest(folder: Path) -> tuple[str, list[str]]:
    """The names of the base file, empty if there is none, and of the incremental ones."""
    if not folder.is_dir():
        raise AofError(f"{folder} is not a folder; name a server's appendonlydir")
    manifests = sorted(folder.glob("*.manifest"))
    if not manifests:
        raise AofError(f"{folder} has no manifest of append-only files{_nearby(folder)}")
    if len(manifests) > 1:
        names = ", ".join(path.name for path in manifests)
        raise AofError(f"{folder} has several manifests: {names}; leave one server's files in it")
    base, increments = "", []
    for number, line in enumerate(_lines(manifests[0]), start=1):
        if not line or line.startswith("#"):
            continue
        words = [word.strip('"') for word in _ENTRY.findall(line)]
        entry = dict(zip(words[::2], words[1::2], strict=False))
        name, kind, sequence = (entry.get(word, "") for word in ("file", "type", "seq"))
        known = kind in {"b", "h", "i"} and sequence.isdigit()
        if not name or Path(name).name != name or not known:
            raise AofError(f"{manifests[0]}, line {number}, names no append-only file")
        if kind == "b":
            base = name
        elif kind == "i":
            increments.append((int(sequence), name))
    if not base and not increments:
        raise AofError(f"{manifests[0]} names no append-only file")
    return base, [name for _, name in sorted(increments)]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise AofError(f"{path} cannot be read: {error}") from None


def _nearby(folder: Path) -> str:
    """What was probably meant."""
    for path in sorted(folder.glob("*/*.manifest")):
        return f"; did you mean {path.parent}?"
    if any(folder.glob("*.aof")):
        return "; a single file, as servers before 7.0 write it, is not read"
    return "; name a server's appendonlydir"


def _number(line: bytes, mark: bytes, at: int) -> int:
    text = line[1:-2]
    if line[:1] != mark or not text.isdigit() or int(text) > _LENGTH_MAX:
        raise AofError(f"what begins at byte {at:,} is not a command of an append-only file")
    return int(text)
