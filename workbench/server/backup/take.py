"""Take a backup of a live server: its files as they were at one moment, and their checksums."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Final

from redis import Redis
from redis.exceptions import NoPermissionError, RedisError, ResponseError

from workbench import __version__
from workbench.errors import (
    BackupFailedError,
    PlaceError,
    ServerNotReadyError,
    TargetRefusedError,
    UsageError,
    nearest,
)
from workbench.place import Place
from workbench.server.backup.aof import REWRITING, cut_aof, settled
from workbench.server.backup.record import (
    DATA,
    Backup,
    BackupFile,
    Database,
    new_name,
    prune,
    write_backup,
)
from workbench.state import connect, redact

__all__ = ["ACL_LINE", "KINDS", "Taken", "take_backup"]

KINDS: Final = ("aof", "rdb")
"""What can be copied."""

ACL_LINE: Final = "ACL SETUSER keeper on >changeme +ping +info +config|get"
"""
The user that it needs; for ``--rewrite`` with +bgrewriteaof, for ``--kind rdb`` with +bgsave. PING
is sent by redis-py when it connects, and after a pause.
"""

_CHUNK_BYTES: Final = 1024 * 1024
_POLL_S: Final = 0.05
_TRIES: Final = 5
_SETTINGS: Final = (
    "dir",
    "appenddirname",
    "appendfilename",
    "appendonly",
    "dbfilename",
    "databases",
    "maxmemory",
    "maxmemory-policy",
)
_CHANGES: Final = ("rdb_changes_since_last_save", "expired_keys", "evicted_keys")


@dataclass(frozen=True, slots=True)
class Taken:
    """A new backup: where it lies, what it holds, and which older ones were removed for it."""

    here: Place
    backup: Backup
    removed: list[str]


@dataclass(frozen=True, slots=True)
class _Cut:
    """What is to be copied: path below ``dir``, where it is read from, how many bytes."""

    parts: list[tuple[str, BinaryIO, int]]
    info: dict[str, Any]
    keys_off_max: int


def take_backup(
    url: str,
    to: str,
    *,
    kind: str = "aof",
    folder: Path | None = None,
    keep: int | None = None,
    rewrite: bool = False,
    wait_s: float = 300.0,
    progress: Callable[[str], None] = lambda _: None,
) -> Taken:
    """
    Copy a server's files to a new folder in a place; ``backup.json`` is written there last.

    Args:
        url: of the server.
        to: the place: a folder, or what fsspec has an adapter for.
        kind: one of KINDS.
        folder: where the server's ``dir`` is reached here; where it says, if None.
        keep: remove the oldest backups of this server over so many, once this one is complete.
        rewrite: have it rewrite its AOF first.
        wait_s: for a rewrite or a save, s.
        progress: is told how far it is.

    Raises:
        UsageError: an argument makes no sense, or the files are not to be had from here.
        ServerNotReadyError: nothing answers there, or not to this user.
        BackupFailedError: no consistent copy was to be had.
        PlaceError: the place does not take it.
    """
    if kind not in KINDS:
        raise UsageError(f"there is no kind of backup {kind!r}{nearest(kind, KINDS)}")
    if rewrite and kind != "aof":
        raise UsageError("--rewrite has the AOF rewritten, and --kind rdb does not copy it")
    if keep is not None and keep < 1:
        raise UsageError("--keep is under 1: the new backup itself is one")
    if "+cluster://" in url:
        raise TargetRefusedError(
            f"{redact(url)}: a cluster is backed up node by node, each where its files are; write "
            "redis://HOST:PORT of one"
        )
    place = Place(to)
    try:
        client = connect(url, timeout_s=10.0)
    except ValueError as error:
        raise TargetRefusedError(f"{redact(url)}: {redact(str(error))}") from None
    with client, _telling(url):
        settings = _asked(client, url)
        data = _reached(folder, settings)
        with _cut(client, kind, data, settings, rewrite=rewrite, wait_s=wait_s) as cut:
            now = datetime.now(UTC)
            backup = _described(url, kind, now, cut, settings)
            here = place.at(new_name(now))
            _copy(cut, here, backup, progress)
    try:
        removed = prune(place, keep, backup.source, now) if keep else []
    except PlaceError as error:
        raise BackupFailedError(
            f"{here} is complete; older backups were not removed for it: {error}"
        ) from None
    return Taken(here, backup, removed)


def _asked(client: Redis, url: str) -> dict[str, str]:
    """The settings of a server that is at work."""
    if client.info("persistence").get("loading"):
        raise ServerNotReadyError(f"{redact(url)} is still loading its data; try later")
    settings: Any = client.config_get(*_SETTINGS)
    return {name: str(settings[name]) for name in _SETTINGS}


def _reached(folder: Path | None, settings: dict[str, str]) -> Path:
    """The server's ``dir``, as it is reached here."""
    given = folder or Path(settings["dir"])
    if not given.is_dir():
        hint = (
            "name the folder that is mounted as it"
            if folder
            else "run this where they are, or give --dir the folder under which they are mounted"
        )
        raise UsageError(
            f"the server's files are not to be had: it keeps them in {settings['dir']}, and "
            f"{given} is no folder that can be read here; {hint}"
        )
    return given


@contextmanager
def _cut(
    client: Redis,
    kind: str,
    data: Path,
    settings: dict[str, str],
    *,
    rewrite: bool,
    wait_s: float,
) -> Iterator[_Cut]:
    try:
        if kind == "rdb":
            with _saved(client, data / settings["dbfilename"], wait_s=wait_s) as cut:
                yield cut
            return
        if settings["appendonly"] != "yes":
            raise UsageError(
                "the server keeps no AOF (appendonly no); --kind rdb has it save a snapshot, by "
                "BGSAVE, and copies that"
            )
        folder = data / settings["appenddirname"]
        if not folder.is_dir():
            upwards = data.name == settings["appenddirname"] or any(data.glob("*.manifest"))
            hint = f"; did you mean --dir {data.parent}?" if upwards else "; check --dir"
            raise UsageError(f"there is no {folder}, where the AOF should be{hint}")
        if rewrite:
            _rewrite(client, wait_s=wait_s)
        with cut_aof(client, folder, settings["appendfilename"], wait_s=wait_s) as aof:
            name = f"{settings['appendfilename']}.manifest"
            parts = [(name, BytesIO(aof.manifest), len(aof.manifest)), *aof.files]
            inside = [(f"{settings['appenddirname']}/{part[0]}", *part[1:]) for part in parts]
            yield _Cut(inside, aof.info, aof.keys_off_max)
    except PermissionError as error:
        raise UsageError(
            f"{error.filename} may not be read by this user: run as the server's user, or as one "
            "of its group"
        ) from None


def _rewrite(client: Redis, *, wait_s: float) -> None:
    deadline = time.monotonic() + wait_s
    while True:
        before = settled(client, REWRITING, wait_s=max(0.0, deadline - time.monotonic()))
        try:
            client.execute_command("BGREWRITEAOF")  # type: ignore[no-untyped-call]
            break
        except ResponseError as error:
            if isinstance(error, NoPermissionError):
                raise
            if "in progress" not in str(error):  # one of its own began in between
                raise BackupFailedError(f"BGREWRITEAOF was answered: {error}") from None
    # Where a save goes on it is only scheduled, and begins some time after.
    while True:
        info = settled(client, REWRITING, wait_s=max(0.0, deadline - time.monotonic()))
        if info["aof_rewrites"] > before["aof_rewrites"]:
            break
        time.sleep(_POLL_S)
    if info["aof_last_bgrewrite_status"] != "ok":
        raise BackupFailedError("the AOF rewrite failed; the server's log says why")


@contextmanager
def _saved(client: Redis, path: Path, *, wait_s: float) -> Iterator[_Cut]:
    """A snapshot that was saved for us."""
    deadline = time.monotonic() + wait_s
    for _ in range(_TRIES):
        older = _identity(path)
        before, off = _save(client, deadline)
        fields = ("rdb_bgsave_in_progress",)
        info = settled(client, fields, wait_s=max(0.0, deadline - time.monotonic()))
        if info["rdb_last_bgsave_status"] != "ok":
            raise BackupFailedError("BGSAVE failed; the server's log says why")
        if _identity(path) in {None, older}:
            raise UsageError(
                f"BGSAVE succeeded, and {path} is not what it wrote: these are not the files of "
                "this server; check --dir"
            )
        with path.open("rb") as file:
            now: dict[str, Any] = client.info("persistence")
            # Another save may have come in between, by a save point or a person.
            if now["rdb_saves"] == before["rdb_saves"] + 1 and not now["rdb_bgsave_in_progress"]:
                size_bytes = os.fstat(file.fileno()).st_size
                yield _Cut([(path.name, file, size_bytes)], before, off)
                return
    raise BackupFailedError(f"somebody else had the server save in each of {_TRIES} tries")


def _save(client: Redis, deadline: float) -> tuple[dict[str, Any], int]:
    """Have it saved: INFO as it was then, and by how many keys that may be off."""
    while True:
        settled(
            client,
            ("rdb_bgsave_in_progress", *REWRITING),
            wait_s=max(0.0, deadline - time.monotonic()),
        )
        # Sent at once, so that the server carries them out with nobody's command in between; the
        # second INFO shows whether it did.
        pipe: Any = client.pipeline(transaction=False)
        pipe.info()
        pipe.execute_command("BGSAVE")
        pipe.info()
        before, reply, after = pipe.execute(raise_on_error=False)
        for each in (before, reply, after):
            if isinstance(each, NoPermissionError):
                raise each
        if not isinstance(reply, Exception):
            return before, sum(abs(after[name] - before[name]) for name in _CHANGES)
        if not isinstance(reply, ResponseError):
            raise reply
        if "in progress" not in str(reply) and "child process" not in str(reply):
            raise BackupFailedError(f"BGSAVE was answered: {reply}")
        time.sleep(_POLL_S)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


def _described(url: str, kind: str, now: datetime, cut: _Cut, settings: dict[str, str]) -> Backup:
    info = cut.info
    databases = {
        name: Database(keys=of["keys"], expires=of["expires"])
        for name, of in info.items()
        if name[:2] == "db" and name[2:].isdigit()
    }
    return Backup(
        workbench=__version__,
        engine=str(info.get("server_name", "redis")),
        version=str(info.get("valkey_version", info["redis_version"])),
        kind=kind,
        taken_at=now.isoformat(timespec="milliseconds"),
        source=redact(url),
        files=[],
        keys=sum(database.keys for database in databases.values()),
        expires=sum(database.expires for database in databases.values()),
        keys_off_max=cut.keys_off_max,
        databases=databases,
        used_memory=int(info["used_memory"]),
        run_id=str(info["run_id"]),
        master_repl_offset=int(info["master_repl_offset"]),
        settings={name: settings[name] for name in _SETTINGS if name != "dir"},
    )


def _copy(cut: _Cut, here: Place, backup: Backup, progress: Callable[[str], None]) -> None:
    """All files, then the record; or nothing at all."""
    whole = sum(size for _, _, size in cut.parts)
    try:
        for path, file, size_bytes in cut.parts:
            done = sum(copied.bytes for copied in backup.files)
            progress(f"{done / whole:4.0%} of {whole:,} bytes: {path}")
            with here.writing(f"{DATA}/{path}") as out:
                checksum = _copied(file, out, size_bytes, path)
            backup.files.append(BackupFile(path=path, bytes=size_bytes, sha256=checksum))
        for copied in backup.files:
            there = here.size_bytes(f"{DATA}/{copied.path}")
            if there != copied.bytes:
                raise BackupFailedError(
                    f"{here} took {there} of the {copied.bytes} bytes of {copied.path}"
                )
        write_backup(here, backup)
    except BaseException:
        with suppress(PlaceError):  # without its record it is no backup anyway
            here.remove()
        raise


def _copied(file: BinaryIO, out: BinaryIO, size_bytes: int, path: str) -> str:
    checksum = sha256()
    file.seek(0)
    left = size_bytes
    while left:
        try:
            chunk = file.read(min(left, _CHUNK_BYTES))
        except OSError as error:
            raise BackupFailedError(f"{path} of the server cannot be read: {error}") from None
        if not chunk:
            raise BackupFailedError(f"{path} became shorter while it was copied; try again")
        out.write(chunk)
        checksum.update(chunk)
        left -= len(chunk)
    return checksum.hexdigest()


@contextmanager
def _telling(url: str) -> Iterator[None]:
    try:
        yield
    except NoPermissionError as error:
        raise ServerNotReadyError(
            f"{redact(url)} does not allow this user what a backup needs: {redact(str(error))}. "
            f"Give it: {ACL_LINE}; for --rewrite also +bgrewriteaof, for --kind rdb +bgsave"
        ) from None
    except RedisError as error:
        raise ServerNotReadyError(f"{redact(url)} cannot be read: {redact(str(error))}") from None
