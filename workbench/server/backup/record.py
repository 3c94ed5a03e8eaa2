"""backup.json: what a backup holds; and which backups a place holds."""

import re
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import PurePosixPath
from typing import Final

import msgspec

from workbench.errors import BackupRefusedError, nearest
from workbench.place import Place
from workbench.units import format_count

__all__ = [
    "DATA",
    "RECORD",
    "Backup",
    "BackupFile",
    "Database",
    "backups_in",
    "find_backup",
    "new_name",
    "prune",
    "read_backup",
    "write_backup",
]

RECORD: Final = "backup.json"
DATA: Final = "data"
"""The folder of a backup in which the files lie as they lay in the server's ``dir``."""

SCHEMA_VERSION: Final = 1
_NAME: Final = re.compile(r"backup-(\d{8}T\d{6}Z)-[0-9a-f]{8}")
_STAMP: Final = "%Y%m%dT%H%M%SZ"
_INTERRUPTED_AGE: Final = timedelta(days=1)
_LATEST: Final = "latest"


class BackupFile(msgspec.Struct, frozen=True):
    """One file: its path below ``data``, its length and its checksum."""

    path: str
    bytes: int
    sha256: str


class Database(msgspec.Struct, frozen=True):
    """What INFO said of one database."""

    keys: int
    expires: int


class Backup(msgspec.Struct, kw_only=True):
    """
    What a backup holds.

    Attributes:
        kind: ``aof`` or ``rdb``.
        taken_at: UTC, ISO 8601.
        source: URL of the server, without its password.
        keys, expires: of all databases at the moment at which the files were cut.
        keys_off_max: by how many they may be off; 0 where the moment could be made out exactly.
        run_id, master_repl_offset: of the server, as INFO said.
        settings: those by CONFIG GET that a restore needs to know.
        record_sha256: of this record, with this field empty.
    """

    schema_version: int = SCHEMA_VERSION
    workbench: str
    engine: str
    version: str
    kind: str
    taken_at: str
    source: str
    files: list[BackupFile]
    keys: int
    expires: int
    keys_off_max: int
    databases: dict[str, Database]
    used_memory: int
    run_id: str
    master_repl_offset: int
    settings: dict[str, str]
    record_sha256: str = ""

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(file.bytes for file in self.files)


def new_name(now: datetime) -> str:
    """The name of a new backup."""
    return f"backup-{now.strftime(_STAMP)}-{secrets.token_hex(4)}"


def write_backup(here: Place, backup: Backup) -> None:
    """Write the record, which makes a backup of the folder."""
    backup.record_sha256 = _checksum(backup)
    here.write_whole(RECORD, msgspec.json.format(msgspec.json.encode(backup), indent=2) + b"\n")


def read_backup(here: Place) -> Backup:
    """
    The record of a backup.

    Raises:
        BackupRefusedError: there is none, or it is damaged, foreign or of another version.
    """
    if not here.exists(RECORD):
        raise BackupRefusedError(_why_none(here))
    text = here.read(RECORD)
    try:
        found = msgspec.json.decode(text)
        version = found["schema_version"]
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError):
        raise BackupRefusedError(f"{here}/{RECORD} is damaged, or not ours") from None
    if version != SCHEMA_VERSION:
        raise BackupRefusedError(
            f"{here}/{RECORD} has schema version {version!r}, and this workbench reads "
            f"{SCHEMA_VERSION}: use the version that wrote it ({found.get('workbench', 'unknown')})"
        )
    try:
        backup = msgspec.json.decode(text, type=Backup)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BackupRefusedError(f"{here}/{RECORD} is damaged: {error}") from None
    if backup.record_sha256 != _checksum(backup):
        raise BackupRefusedError(
            f"{here}/{RECORD} is damaged: it does not fit its own checksum; take another backup"
        )
    for file in backup.files:
        path = PurePosixPath(file.path)
        if path.is_absolute() or ".." in path.parts:
            raise BackupRefusedError(f"{here}/{RECORD} names {file.path!r}, outside the backup")
    return backup


def find_backup(where: str) -> tuple[Place, Backup]:
    """
    A backup, and what it holds.

    Args:
        where: its folder, or the folder of backups and ``/latest``.

    Raises:
        BackupRefusedError: there is none, or it cannot be used; the message says why.
    """
    here = Place(where)
    if here.name == _LATEST and not here.exists():
        found = list(backups_in(here.parent()))
        if not found:
            raise BackupRefusedError(f"{here.parent()} holds no complete backup")
        found.sort(key=lambda each: (each[1].taken_at, each[0].name))
        newest = {backup.source: place.name for place, backup in found}
        if len(newest) > 1:
            told = ", ".join(f"{name} of {source}" for source, name in sorted(newest.items()))
            raise BackupRefusedError(
                f"{here.parent()} holds backups of several servers, so that latest is not one; the "
                f"newest are {told}"
            )
        return found[-1]
    return here, read_backup(here)


def backups_in(place: Place) -> Iterator[tuple[Place, Backup]]:
    """The complete backups of a place; whatever else lies there is passed over."""
    for name in place.names():
        here = place.at(name)
        if _NAME.fullmatch(name) and here.exists(RECORD):
            try:
                yield here, read_backup(here)
            except BackupRefusedError:
                continue  # damaged, or another version's: not ours to judge


def prune(place: Place, keep: int, source: str, now: datetime) -> list[str]:
    """
    Remove the oldest backups of a server; and what was interrupted more than a day ago.

    Only what a backup consists of is removed: its record first, so that what a kill leaves is seen
    to be interrupted. Backups of other servers are left alone, as is whatever is no backup.

    Args:
        place: where they lie.
        keep: how many to keep, the new one included.
        source: the server's URL as backups have it.
        now: from which ages are counted.

    Returns:
        The names of those that were removed.
    """
    ours = [each for each in backups_in(place) if each[1].source == source]
    ours.sort(key=lambda each: (each[1].taken_at, each[0].name), reverse=True)
    removed = []
    for here, _ in ours[keep:]:
        here.remove(RECORD)
        removed.append(here)
    removed += [here for here in _interrupted(place) if _age(here.name, now) > _INTERRUPTED_AGE]
    names = sorted({here.name for here in removed})
    for name in names:
        here = place.at(name)
        for part in filter(_is_part, here.names()):
            here.remove(part)
        here.remove_if_empty()
    return names


def _interrupted(place: Place) -> list[Place]:
    folders = [place.at(name) for name in place.names() if _NAME.fullmatch(name)]
    return [here for here in folders if all(map(_is_part, here.names()))]


def _is_part(name: str) -> bool:
    return name == DATA or name.startswith(f".{RECORD}.")


def _age(name: str, now: datetime) -> timedelta:
    match = _NAME.fullmatch(name)
    try:
        began = datetime.strptime(match[1] if match else "", _STAMP).replace(tzinfo=UTC)
    except ValueError:  # 20269999T999999Z
        return timedelta()
    return now - began


def _checksum(backup: Backup) -> str:
    bare = msgspec.structs.replace(backup, record_sha256="")
    return sha256(msgspec.json.encode(bare)).hexdigest()


def _why_none(here: Place) -> str:
    names = here.names()
    if not names:
        there = "is empty" if here.exists() else "is not there"
        beside = [name for name in here.parent().names() if _NAME.fullmatch(name)]
        return f"{here} {there}{nearest(here.name, beside) if beside else ''}"
    inside = [name for name in names if _NAME.fullmatch(name)]
    if inside:
        return (
            f"{here} holds {format_count(len(inside), 'backup')}: name one, such as "
            f"{here}/{inside[-1]}, or {here}/{_LATEST}"
        )
    if _NAME.fullmatch(here.name) or DATA in names:
        return (
            f"{here} has no {RECORD}: it is a backup that was interrupted, and may lack anything; "
            "use another one"
        )
    return f"{here} is no backup of the workbench: it has no {RECORD}"
