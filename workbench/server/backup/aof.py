"""
The multi-part AOF of a live server: held open, and cut where INFO's counts are true.

Redis's own procedure is to switch rewrites off, to copy or hard-link the files, and to switch them
on again; it rests on two facts: a file of the AOF is only ever appended to, and a rewrite replaces
files and never changes one. CONFIG SET is a change to somebody else's server, and one that is left
behind where the backup is killed. So nothing is switched off: all files that the manifest names
are opened, and the manifest is read again. If it is still the same and no rewrite goes on, the set
is one that the server stood by; an open file stays readable when a rewrite removes its name, as a
hard link would, but needs no right to write beside the server's data. If not, it is tried again.

A copy that is taken while clients write ends somewhere. Ours ends at the command after which INFO
counted the keys: so the counts in backup.json are the copy's, and a rehearsal can compare them.
Where that is follows from INFO and the length of the files together, not from INFO alone:
aof_current_size leaves out the base of a server that started empty (89 bytes), and counts what was
cut off a torn AOF at the last start (Redis 7.0.15, Valkey 9.1.2, 2026-11-26). By how much it is off
stays the same between two rewrites; that is narrowed down by the lengths before and after an INFO.
"""

import os
import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import SEEK_SET
from pathlib import Path
from typing import Any, BinaryIO, Final

from redis import Redis

from workbench.errors import BackupFailedError

__all__ = ["REWRITING", "AofCut", "Damaged", "cut_aof", "end_of_commands", "settled"]

REWRITING: Final = ("aof_rewrite_in_progress", "aof_rewrite_scheduled")
"""Fields of INFO that say that the AOF is being replaced, or about to be."""

_PATIENCE_S: Final = 3.0
_POLL_S: Final = 0.05
_TRIES: Final = 5


class Damaged(Exception):  # noqa: N818
    """An AOF holds what is no command. Its text says where."""


@dataclass(frozen=True, slots=True)
class AofCut:
    """
    The files of an AOF, open, and how much of each is wanted.

    Attributes:
        manifest: its text, without files that are history.
        files: name, open file, bytes wanted; in the order of the manifest.
        info: INFO at the moment of the cut.
        keys_off_max: by how many keys INFO may differ from the files.
    """

    manifest: bytes
    files: tuple[tuple[str, BinaryIO, int], ...]
    info: dict[str, Any]
    keys_off_max: int


class _Moved(Exception):  # noqa: N818
    """The server replaced its files while they were looked at; or they are none of its files."""


@contextmanager
def cut_aof(client: Redis, folder: Path, name: str, *, wait_s: float) -> Iterator[AofCut]:
    """
    The AOF as it is now; its files are closed with the block.

    Args:
        client: of the server.
        folder: its ``appenddirname``, as it is reached here.
        name: its ``appendfilename``.
        wait_s: for a rewrite that goes on, s.

    Raises:
        BackupFailedError: the files are not this server's, cannot be read, or changed each time.
    """
    why = ""
    for _ in range(_TRIES):
        with ExitStack() as stack:
            settled(client, REWRITING, wait_s=wait_s)
            try:
                cut = _cut(client, folder, folder / f"{name}.manifest", stack)
            except _Moved as moved:
                why = str(moved)
                continue
            except Damaged as damaged:
                raise BackupFailedError(
                    f"{damaged}: the AOF of the server is damaged, and it would not start on it; "
                    "--rewrite has it write a new one from memory"
                ) from None
            yield cut
            return
    raise BackupFailedError(f"no consistent copy in {_TRIES} tries: {why}")


def settled(client: Redis, busy: Sequence[str], *, wait_s: float) -> dict[str, Any]:
    """
    INFO, once none of its fields says that something goes on.

    Raises:
        BackupFailedError: one still does after the time.
    """
    deadline = time.monotonic() + wait_s
    while True:
        info: dict[str, Any] = client.info()
        going_on = [name for name in busy if info.get(name)]
        if not going_on:
            return info
        if time.monotonic() > deadline:
            raise BackupFailedError(
                f"the server still says {going_on[0]} after {wait_s:.0f} s: try later, or allow "
                "for more by --wait"
            )
        time.sleep(_POLL_S)


def _cut(client: Redis, folder: Path, manifest: Path, stack: ExitStack) -> AofCut:
    text = _text(manifest)
    named, kept = _parsed(text, manifest)
    files: list[BinaryIO] = []
    for name in named:
        try:
            files.append(stack.enter_context((folder / name).open("rb")))
        except FileNotFoundError:
            if _text(manifest) != text:
                raise _Moved("a rewrite replaced the files each time") from None
            raise BackupFailedError(
                f"{manifest} names {name}, which is missing: the server would not start on these "
                "files; --rewrite has it write a new AOF from memory"
            ) from None
    sizes = [os.fstat(file.fileno()).st_size for file in files]
    before_last = sum(sizes[:-1])
    info, first, last = _end(client, files, sizes)
    if first == last:
        wanted = last - before_last
        _await_length(files[-1], wanted)
        end, loose = end_of_commands(files[-1], named[-1], wanted), 0
        if end != wanted:
            raise _Moved(_not_these(folder, info, sum(sizes)))
    else:
        # It is too busy to tell: what was written about then may be counted or not.
        now = os.fstat(files[-1].fileno()).st_size
        end = end_of_commands(files[-1], named[-1], now)
        loose = _arguments(files[-1], first - before_last, end)
    persistence: dict[str, Any] = client.info("persistence")
    if _text(manifest) != text or any(persistence.get(name) for name in REWRITING):
        raise _Moved("a rewrite began each time")
    lengths = [*sizes[:-1], end]
    return AofCut(kept, tuple(zip(named, files, lengths, strict=True)), info, loose)


def _end(client: Redis, files: list[BinaryIO], sizes: list[int]) -> tuple[dict[str, Any], int, int]:
    """INFO, and between which two lengths of the whole AOF it was true; the same if it is exact."""
    low, high = -(2**62), 2**62  # by how much aof_current_size is more than the files hold
    usual = {0, -sizes[0]}
    said = set()
    patient_until_s = time.monotonic() + _PATIENCE_S
    while True:
        before = _length(files)
        info: dict[str, Any] = client.info()
        after = _length(files)
        written = int(info["aof_current_size"])
        said.add(written)
        low, high = max(low, written - after), min(high, written - before)
        if low > high:
            raise _Moved(_not_these(None, info, after))
        # A server that is idle proves nothing by an unusual difference: the files of another one
        # differ as well. Once both have moved by the same, they belong together.
        if low == high and (low in usual or len(said) > 1):
            break
        if time.monotonic() > patient_until_s:
            if low == high:
                raise BackupFailedError(_not_these(None, info, after))
            break
        if low == high:
            time.sleep(_POLL_S)
    end = written + int(info["aof_buffer_length"])  # the buffer is written before the next reply
    return info, end - high, end - low


def _not_these(folder: Path | None, info: dict[str, Any], there: int) -> str:
    where = f" in {folder}" if folder else ""
    return (
        f"the server says that its AOF has {info['aof_current_size']} bytes, and the files{where} "
        f"have {there}. Either they are another server's: check --dir; or it cut off a torn end "
        "when it started: then --rewrite, which has it write a new AOF, puts it right"
    )


def _await_length(file: BinaryIO, wanted: int) -> None:
    # With everysec it may put off writing for up to 2 s while an fsync goes on.
    deadline = time.monotonic() + _PATIENCE_S
    while os.fstat(file.fileno()).st_size < wanted:
        if time.monotonic() > deadline:
            raise _Moved("the server did not write its AOF: see aof_last_write_status in INFO")
        time.sleep(_POLL_S)


def _length(files: list[BinaryIO]) -> int:
    return sum(os.fstat(file.fileno()).st_size for file in files)


def _text(manifest: Path) -> bytes:
    try:
        return manifest.read_bytes()
    except FileNotFoundError:
        raise BackupFailedError(
            f"{manifest} is not there: the server would start empty on these files. If they are "
            "another server's, check --dir"
        ) from None


def _parsed(text: bytes, manifest: Path) -> tuple[list[str], bytes]:
    """The names of the base and the increments, in order; and the manifest without history."""
    names, kinds, kept = [], [], b""
    for line in text.splitlines(keepends=True):
        try:
            words = shlex.split(line.decode(), comments=True)
        except ValueError:
            raise Damaged(f"{manifest} has the line {line!r}") from None
        said = dict(zip(words[::2], words[1::2], strict=False))
        if not said:
            continue
        name, kind = said.get("file", ""), said.get("type")
        if not name or Path(name).name != name or kind not in {"b", "i", "h"}:
            raise Damaged(f"{manifest} has the line {line!r}")
        if kind != "h":  # history: replaced, and about to be removed
            names.append(name)
            kinds.append(kind)
            kept += line
    if not kinds or kinds[-1] != "i":
        raise Damaged(f"{manifest} names no increment")
    return names, kept


def end_of_commands(file: BinaryIO, name: str, limit: int) -> int:
    """
    Where the last whole command before the limit ends; a transaction counts once it is whole.

    Raises:
        Damaged: something in between is no command.
    """
    end = position = 0
    in_transaction = False
    for position, first, _ in _commands(file, name, 0, limit):
        word = first.upper()
        in_transaction = word == b"MULTI" or (in_transaction and word not in {b"EXEC", b"DISCARD"})
        if not in_transaction:
            end = position
    return end


def _arguments(file: BinaryIO, start: int, limit: int) -> int:
    """At most so many keys can the commands after a point have changed."""
    return sum(count for position, _, count in _commands(file, "", 0, limit) if position > start)


def _commands(
    file: BinaryIO, name: str, start: int, limit: int
) -> Iterator[tuple[int, bytes, int]]:
    """Of each whole command: where it ends, its first word, how many words it has."""
    file.seek(start, SEEK_SET)
    position = start
    while position < limit:
        line = file.readline()
        length = len(line)
        if line[:1] not in (b"*", b"#"):
            raise Damaged(f"{name} is no AOF at byte {position}")
        if not line.endswith(b"\n"):
            return
        if line.startswith(b"#"):  # a timestamp
            position += length
            if position <= limit:
                yield position, b"", 0
            continue
        first = b""
        words = _number(line, b"*", name, position)
        for number in range(words):
            head = file.readline()
            if not head.endswith(b"\n"):
                return
            size = _number(head, b"$", name, position + length)
            body = file.read(size + 2)
            if len(body) < size + 2:
                return
            if body[-2:] != b"\r\n":
                raise Damaged(f"{name} is no AOF at byte {position + length}")
            first = first if number else body[:-2]
            length += len(head) + len(body)
        position += length
        if position > limit:
            return
        yield position, first, words


def _number(line: bytes, sign: bytes, name: str, position: int) -> int:
    if line[:1] != sign or not line[1:].strip().isdigit():
        raise Damaged(f"{name} is no AOF at byte {position}")
    return int(line[1:])
