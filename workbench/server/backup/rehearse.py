"""Rehearse a restore: a private server on a copy of a backup, and what it made of it."""

import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import msgspec
from redis import Redis
from redis.exceptions import RedisError

from workbench.errors import (
    BackupFailedError,
    BackupRefusedError,
    ServerMissingError,
    ServerNotReadyError,
)
from workbench.place import Place
from workbench.runs.lock import hold
from workbench.server.backup.record import DATA, Backup, Database
from workbench.server.binary import ServerBinary, find_binary
from workbench.server.process import PrivateServer, newer, stamp, tail
from workbench.server.profiles import ServerProfile, profile
from workbench.state import StateError
from workbench.units import format_bytes, format_count

__all__ = ["Rehearsal", "rehearse"]

_CHUNK_BYTES: Final = 1024 * 1024
_POLL_S: Final = 0.02
_EVICTING_S: Final = 1.0
_FILE_NAMES: Final = ("appenddirname", "appendfilename", "dbfilename")
_PLAIN: Final = re.compile(r"[\w .-]+")
_LOADED: Final = re.compile(r"DB loaded from (?:append only file|disk): ([\d.]+) seconds")


class Rehearsal(msgspec.Struct, kw_only=True):
    """
    What a restored server held, and whether that is good.

    Attributes:
        backup: where it lies.
        server: the program that loaded it.
        load_s: as its log has it; s.
        used_memory, used_memory_rss: once it was loaded, before any eviction.
        counted_bytes: used_memory less what the cap does not count.
        source_used_memory: of the server when the backup was taken.
        maxmemory_bytes: the cap it was held against; 0 for none.
        over_cap: whether it would evict, or refuse writes, as soon as it is loaded.
        evicted_keys: how many it did evict when it was given the cap.
        keys_recorded, keys, keys_expired: as backup.json has them; restored; whose time was over.
        expires_recorded, expires: those with a time to live.
        conversations: kinds and counts of what lies under ``channel:*``; empty if not looked at.
        problems: what is not as it should be, a sentence each.
    """

    backup: str
    server: str
    load_s: float
    used_memory: int
    used_memory_rss: int
    counted_bytes: int
    source_used_memory: int
    maxmemory_bytes: int
    maxmemory_policy: str
    over_cap: bool
    evicted_keys: int
    keys_recorded: int
    keys: int
    keys_expired: int
    keys_off_max: int
    expires_recorded: int
    expires: int
    databases: dict[str, Database]
    conversations: dict[str, int]
    problems: list[str]


@dataclass(frozen=True, slots=True)
class _Restored(ServerProfile):
    """Settings with which a copy is loaded: files by the names that they have."""

    names: Mapping[str, str] = field(default_factory=dict)

    def directives(self) -> dict[str, str]:
        return {**ServerProfile.directives(self), **self.names}


def rehearse(
    here: Place,
    backup: Backup,
    folder: Path,
    *,
    settings: ServerProfile | None = None,
    maxmemory_bytes: int | None = None,
    wait_s: float = 600.0,
    look: Callable[[Redis], Mapping[str, int]] = lambda _: {},
    progress: Callable[[str], None] = lambda _: None,
) -> Rehearsal:
    """
    Load a copy of a backup in a private server, and see what it holds.

    It is loaded without a cap, since loading does not heed one: keys are counted before any is
    evicted. Then the server is given the cap, and what it evicts is counted.

    Args:
        here: where the backup lies.
        backup: what it says that it holds.
        folder: for the copy; removed in the end.
        settings: whose policy and cap are taken; the source's if None.
        maxmemory_bytes: the cap, if another one.
        wait_s: for the load, s.
        look: counts conversations by kind; called with a client of each database that has keys.
        progress: is told how far it is.

    Raises:
        BackupRefusedError: a file is missing or damaged, or the server does not load it.
        ServerMissingError: there is no server here that may read it.
        ServerNotReadyError: the server did not start, or did not load in time.
    """
    binary = _able(backup)
    policy = settings.maxmemory_policy if settings else backup.settings["maxmemory-policy"]
    cap = settings.maxmemory_bytes if settings else int(backup.settings["maxmemory"])
    cap = cap if maxmemory_bytes is None else maxmemory_bytes
    folder.mkdir(parents=True)
    try:
        folder.chmod(0o700)
        with hold(folder):
            _verified_copy(here, backup, folder, progress)
            stamp(folder, backup.engine, backup.version)
            with _loaded(_profile(backup), folder, binary, here) as server:
                progress("loading")
                info = _await_loaded(server, here, wait_s)
                progress("looking at what was loaded")
                conversations = _conversations(server, info, look)
                evicted = _evicted(server, cap, policy) if cap else 0
                load_s = _load_s(server)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return _judged(
        here, backup, binary, info, conversations, cap=cap, policy=policy, load_s=load_s,
        evicted=evicted,
    )  # fmt: skip


def _able(backup: Backup) -> ServerBinary:
    """The server on this machine that may read the files."""
    wanted = f"{backup.engine.capitalize()} {backup.version}"
    try:
        binary = find_binary(backup.engine)
    except ServerMissingError as error:
        raise ServerMissingError(
            f"the backup is of {wanted}, and only that engine is sure to read it: {error}"
        ) from None
    if newer(backup.version, binary.version):
        raise ServerMissingError(
            f"the backup is of {wanted}, and {binary.label} is older and may not read it; set "
            "WORKBENCH_REDIS_SERVER to a server of that version or a newer one"
        )
    return binary


def _profile(backup: Backup) -> ServerProfile:
    plain = profile("development")
    values = {part.name: getattr(plain, part.name) for part in fields(plain)}
    values |= {
        "maxmemory_bytes": 0,
        # A server with an AOF does not look at a dump: it would start empty (Redis 7.0.15).
        "appendonly": backup.kind == "aof",
        "appendfsync": "no",
        "auto_aof_rewrite_percentage": 0,
    }
    names = {
        name: backup.settings[name]
        for name in ("databases", *_FILE_NAMES)
        if name in backup.settings
    }
    # They go into a redis.conf, where a quote or a line's end would begin another directive.
    for name, value in names.items():
        if not _PLAIN.fullmatch(value):
            raise BackupRefusedError(f"the backup has {value!r} as {name}, which is no plain name")
    quoted = {name: f'"{value}"' for name, value in names.items()}
    more = {"aof-load-truncated": "no"}
    return _Restored(**values, names=quoted | more)


def _verified_copy(
    here: Place, backup: Backup, folder: Path, progress: Callable[[str], None]
) -> None:
    """Copy every file, and refuse the whole if any is not what was written."""
    wrong = []
    for file in backup.files:
        progress(f"verifying {file.path}, {file.bytes:,} bytes")
        if not here.exists(f"{DATA}/{file.path}"):
            empty = ": Redis would start empty without it" if _is_manifest(file.path) else ""
            wrong.append(f"{file.path} is missing{empty}")
            continue
        there = here.size_bytes(f"{DATA}/{file.path}")
        if there != file.bytes:
            what = "is truncated" if there < file.bytes else "is too long"
            wrong.append(f"{file.path} {what}: {there:,} of {file.bytes:,} bytes")
            continue
        target = folder / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        checksum = sha256()
        with here.reading(f"{DATA}/{file.path}") as source, target.open("wb") as copy:
            while chunk := source.read(_CHUNK_BYTES):
                checksum.update(chunk)
                copy.write(chunk)
        if checksum.hexdigest() != file.sha256:
            wrong.append(f"{file.path} is damaged: its checksum is not the one that was recorded")
    if wrong:
        listed = "".join(f"\n  - {each}" for each in wrong)
        raise BackupRefusedError(f"{here} is damaged; use another backup:{listed}")


def _is_manifest(path: str) -> bool:
    return path.endswith(".manifest")


@contextmanager
def _loaded(
    settings: ServerProfile, folder: Path, binary: ServerBinary, here: Place
) -> Iterator[PrivateServer]:
    server = PrivateServer(settings, folder, binary=binary)
    try:
        server.start()
    except ServerNotReadyError:
        if _began_to_load(server):
            raise _not_loaded(server, here) from None
        raise
    try:
        yield server
    except (RedisError, StateError) as error:
        if not server.running:
            raise _not_loaded(server, here) from None
        raise ServerNotReadyError(f"the private server did not answer: {error}") from None
    finally:
        server.stop()


def _began_to_load(server: PrivateServer) -> bool:
    return bool(re.search(r"AOF|append only|RDB|dump", tail(server.log)))


def _not_loaded(server: PrivateServer, here: Place) -> BackupRefusedError:
    return BackupRefusedError(
        f"{server.binary.label} does not load {here}, although every checksum is right; its log "
        f"ends:\n{tail(server.log)}"
    )


def _await_loaded(server: PrivateServer, here: Place, wait_s: float) -> dict[str, Any]:
    """The first INFO after the load."""
    deadline = time.monotonic() + wait_s
    with server.client() as client:
        while server.running:
            info: dict[str, Any] = client.info()
            if not info["loading"]:
                return info
            if time.monotonic() > deadline:
                raise ServerNotReadyError(
                    f"{here} was loaded to {info.get('loading_loaded_perc', 0):.0f} % in "
                    f"{wait_s:.0f} s; allow for more by --wait"
                )
            time.sleep(_POLL_S)
    raise _not_loaded(server, here)


def _conversations(
    server: PrivateServer, info: dict[str, Any], look: Callable[[Redis], Mapping[str, int]]
) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name in _databases(info):
        client = Redis.from_url(f"{server.url}/{name[2:]}", decode_responses=True)
        with client:
            for kind, count in look(client).items():
                counts[kind] = counts.get(kind, 0) + count
    return counts


def _evicted(server: PrivateServer, cap: int, policy: str) -> int:
    """How many keys it evicts once it is given the cap; it does so in the background."""
    with server.client() as client:
        client.config_set("maxmemory-policy", policy)
        client.config_set("maxmemory", cap)
        evicted, still_until_s = -1, 0.0
        while True:
            info: dict[str, Any] = client.info()
            if info["evicted_keys"] > evicted:
                evicted, still_until_s = int(info["evicted_keys"]), time.monotonic() + _EVICTING_S
            # It ends below the cap, or when nothing is left that the policy lets go.
            still = time.monotonic() > still_until_s
            if policy == "noeviction" or _counted(info) <= cap or still:
                return evicted
            time.sleep(_POLL_S)


def _counted(info: dict[str, Any]) -> int:
    return int(info["used_memory"]) - int(info["mem_not_counted_for_evict"])


def _load_s(server: PrivateServer) -> float:
    found = _LOADED.findall(server.log.read_text(errors="replace"))
    if not found:
        raise BackupFailedError(
            f"the server's log does not say that it loaded:\n{tail(server.log)}"
        )
    return float(found[-1])


def _databases(info: dict[str, Any]) -> dict[str, Database]:
    return {
        name: Database(keys=of["keys"], expires=of["expires"])
        for name, of in info.items()
        if name[:2] == "db" and name[2:].isdigit()
    }


def _judged(
    here: Place,
    backup: Backup,
    binary: ServerBinary,
    info: dict[str, Any],
    conversations: dict[str, int],
    *,
    cap: int,
    policy: str,
    load_s: float,
    evicted: int,
) -> Rehearsal:
    databases = _databases(info)
    found = Rehearsal(
        backup=str(here),
        server=binary.label,
        load_s=load_s,
        used_memory=info["used_memory"],
        used_memory_rss=info["used_memory_rss"],
        counted_bytes=_counted(info),
        source_used_memory=backup.used_memory,
        maxmemory_bytes=cap,
        maxmemory_policy=policy,
        over_cap=bool(cap) and _counted(info) > cap,
        evicted_keys=evicted,
        keys_recorded=backup.keys,
        keys=sum(database.keys for database in databases.values()),
        # A dump's are left out while it is loaded; an AOF's are loaded, and then removed.
        keys_expired=info["expired_keys"] + info["rdb_last_load_keys_expired"],
        keys_off_max=backup.keys_off_max,
        expires_recorded=backup.expires,
        expires=sum(database.expires for database in databases.values()),
        databases=databases,
        conversations=conversations,
        problems=[],
    )
    found.problems += _problems(found, backup)
    return found


def _problems(found: Rehearsal, backup: Backup) -> Iterator[str]:
    for what, recorded, restored in (
        ("keys", found.keys_recorded, found.keys),
        ("keys with a time to live", found.expires_recorded, found.expires),
    ):
        missing = recorded - restored - found.keys_expired
        if abs(missing) > found.keys_off_max:
            yield (
                f"{recorded:,} {what} were recorded, and {restored:,} restored and "
                f"{found.keys_expired:,} expired since: {abs(missing):,} "
                f"{'are missing' if missing > 0 else 'are too many'}"
            )
    for name, database in found.databases.items():
        recorded = backup.databases[name].keys if name in backup.databases else 0
        if database.keys > recorded + found.keys_off_max:
            yield f"{name} has {database.keys:,} keys, and {recorded:,} were recorded"
    if damaged := found.conversations.get("damaged", 0):
        yield f"{format_count(damaged, 'conversation')} damaged: the checksum does not fit"
    if found.over_cap:
        what = (
            "writes would be refused"
            if found.maxmemory_policy == "noeviction"
            else f"{format_count(found.evicted_keys, 'key')} evicted at once"
        )
        yield (
            f"over the cap: {format_bytes(found.counted_bytes)} of "
            f"{format_bytes(found.maxmemory_bytes)} ({found.maxmemory_policy}): {what}"
        )
