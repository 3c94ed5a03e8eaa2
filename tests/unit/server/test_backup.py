"""Backups as records: what is kept, what is removed, what is refused; without a server."""

import io
import re
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path

import botocore.session
import msgspec
import pytest
from botocore.validate import ParamValidator

from workbench.errors import BackupFailedError, BackupRefusedError, PlaceError, UsageError
from workbench.place import Place
from workbench.server.backup import take
from workbench.server.backup.aof import Damaged, end_of_commands
from workbench.server.backup.record import (
    Backup,
    BackupFile,
    find_backup,
    new_name,
    prune,
    read_backup,
    write_backup,
)
from workbench.server.backup.rehearse import rehearse
from workbench.server.backup.take import take_backup

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
OURS = "redis://127.0.0.1:6379"
SET = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$3\r\na\r\n\r\n"


def kept(place, *, days=0, source=OURS, complete=True, **changes):
    """A backup that was taken some days ago."""
    now = NOW - timedelta(days=days)
    here = place.at(new_name(now))
    with here.writing("data/dump.rdb") as file:
        file.write(b"REDIS")
    backup = Backup(
        workbench="0",
        engine="redis",
        version="7.0.15",
        kind="rdb",
        taken_at=now.isoformat(),
        source=source,
        files=[BackupFile(path="dump.rdb", bytes=5, sha256=take.sha256(b"REDIS").hexdigest())],
        keys=1,
        expires=0,
        keys_off_max=0,
        databases={},
        used_memory=0,
        run_id="",
        master_repl_offset=0,
        settings={"maxmemory": "0", "maxmemory-policy": "noeviction"},
    )
    if complete:
        write_backup(here, msgspec.structs.replace(backup, **changes))
    return here


@pytest.fixture(params=["disk", "memory"])
def place(request, tmp_path):
    """Somewhere empty."""
    return Place(str(tmp_path / "b") if request.param == "disk" else f"memory://{tmp_path.name}")


def test_oldest_backups_of_the_server_are_removed_and_nothing_else(place):
    """What is another server's, damaged, young or no backup at all stays."""
    ours = [kept(place, days=days) for days in (4, 3, 2, 1, 0)]
    others = [
        kept(place, days=9, source="redis://elsewhere:6379"),
        kept(place, days=0.5, complete=False),
    ]
    damaged = kept(place, days=9)
    damaged.write_whole("backup.json", b"{}")
    foreign = place.at("backup-of-mine")
    with foreign.writing("data/dump.rdb") as file:
        file.write(b"x")
    with place.at("backup-20261101T000000Z-0123abcd").writing("data.txt") as file:
        file.write(b"x")
    before = set(place.names())
    interrupted = kept(place, days=2, complete=False)

    removed = prune(place, 2, OURS, NOW)

    assert set(removed) == {interrupted.name, *(here.name for here in ours[:3])}
    assert set(place.names()) == before - {here.name for here in ours[:3]}
    assert {here.name for here in others} < set(place.names())


def test_foreign_file_in_an_old_backup_is_not_removed_with_it(place):
    """Only what a backup consists of goes."""
    old = kept(place, days=3)
    with old.writing("notes.txt") as file:
        file.write(b"mine")
    kept(place)

    prune(place, 1, OURS, NOW)

    assert old.names() == ["notes.txt"]


def test_latest_is_the_newest_complete_one(place):
    """One that was interrupted later is passed over."""
    kept(place, days=2)
    newest = kept(place, days=1)
    kept(place, days=0, complete=False)

    assert find_backup(f"{place}/latest")[0].name == newest.name


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"{", "damaged, or not ours"),
        (b'{"name": "x"}', "damaged, or not ours"),
        (b'{"schema_version": 2, "workbench": "9.9"}', r"schema version 2.*\(9\.9\)"),
        (b'{"schema_version": 1}', "damaged: .*missing"),
    ],
)
def test_record_that_is_none_is_refused(place, text, says):
    """Foreign JSON, half JSON, a newer version's."""
    here = kept(place)
    here.write_whole("backup.json", text)

    with pytest.raises(BackupRefusedError, match=says):
        read_backup(here)


def test_record_that_was_changed_is_refused(place):
    """Its counts are what a rehearsal is held against, so it has a checksum itself."""
    here = kept(place)
    assert read_backup(here).keys == 1
    here.write_whole("backup.json", here.read("backup.json").replace(b'"keys": 1', b'"keys": 3'))

    with pytest.raises(BackupRefusedError, match="own checksum"):
        read_backup(here)


def test_record_cannot_name_a_file_outside_its_backup(place):
    """A backup from somewhere else must not read or write this machine's files."""
    here = kept(place, files=[BackupFile(path="../../etc/passwd", bytes=1, sha256="")])

    with pytest.raises(BackupRefusedError, match="outside the backup"):
        read_backup(here)


def test_folder_that_is_no_backup_is_told_apart(place):
    """Missing, a place of backups, an interrupted one, somebody else's."""
    with place.at("mine").writing("notes.txt") as file:
        file.write(b"x")
    left = kept(place, complete=False)

    for name, says in (
        (f"{left.name}x", "did you mean"),
        ("", "1 backup: name one"),
        (left.name, "interrupted"),
        ("mine", "no backup of the workbench"),
    ):
        with pytest.raises(BackupRefusedError, match=says):
            find_backup(f"{place}/{name}".rstrip("/"))


@pytest.mark.parametrize(
    ("to", "says"),
    [
        ("gs://bucket/redis", "no adapter for gs is installed"),
        ("mem://backups", "no protocol 'mem'; did you mean 'memory'"),
        (" ", "has no name"),
    ],
)
def test_place_that_cannot_be_reached_is_refused_before_the_server_is_asked(to, says):
    """The URL of the server names nobody."""
    with pytest.raises(UsageError, match=says):
        take_backup("redis://127.0.0.1:1", to)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"kind": "rbd"}, "did you mean 'rdb'"),
        ({"keep": 0}, "--keep is under 1"),
        ({"kind": "rdb", "rewrite": True}, "--rewrite"),
    ],
)
def test_options_that_make_no_sense_are_refused(tmp_path, options, says):
    """Before anything is asked or made."""
    with pytest.raises(UsageError, match=says):
        take_backup("redis://127.0.0.1:1", str(tmp_path / "b"), **options)


def test_place_that_takes_no_more_is_named(tmp_path):
    """A file where the folder should be."""
    (tmp_path / "b").write_text("x")

    with (
        pytest.raises(PlaceError, match="b/new cannot be written to"),
        Place(str(tmp_path / "b")).at("new").writing("data/x"),
    ):
        pass


@pytest.mark.parametrize("less", range(len(SET)))
def test_cut_is_at_the_end_of_a_command(less):
    """A value may hold what looks like the end of one."""
    text = SET + b"#TS:1790000000\r\n" + SET

    found = end_of_commands(io.BytesIO(text), "incr", len(text) - less)

    assert found == (len(text) if not less else len(text) - len(SET))


def test_what_is_no_command_is_found():
    """A file that is no AOF is not copied as one."""
    for text in (b"REDIS0010", b"*x\r\n", b"*1\r\n+OK\r\n", b"*1\r\n$1\r\nabc\r\n", SET + b"\0\n"):
        with pytest.raises(Damaged, match="incr is no AOF at byte"):
            end_of_commands(io.BytesIO(text), "incr", len(text))


def test_everything_that_is_wrong_is_told_at_once(place, tmp_path, monkeypatch):
    """Whoever looks at a damaged backup sees all of it."""
    files = [
        BackupFile(path="dump.rdb", bytes=6, sha256=""),
        BackupFile(path="appendonlydir/a.manifest", bytes=1, sha256=""),
    ]
    here = kept(place, files=files)
    monkeypatch.setattr("workbench.server.backup.rehearse._able", lambda _: None)

    with pytest.raises(BackupRefusedError) as refused:
        rehearse(here, read_backup(here), tmp_path / "copy")

    assert "dump.rdb is truncated: 5 of 6 bytes" in str(refused.value)
    assert "a.manifest is missing: Redis would start empty" in str(refused.value)
    assert not (tmp_path / "copy").exists()


def test_setting_that_would_add_a_directive_is_refused(place, tmp_path, monkeypatch):
    """Names go into the configuration of the private server."""
    evil = {"dbfilename": 'x"\nloadmodule "/tmp/x.so', "maxmemory": "0", "maxmemory-policy": "x"}
    here = kept(place, settings=evil)
    monkeypatch.setattr("workbench.server.backup.rehearse._able", lambda _: None)

    with pytest.raises(BackupRefusedError, match="no plain name"):
        rehearse(here, read_backup(here), tmp_path / "copy")


def test_cluster_is_refused_with_the_way_out(tmp_path):
    """Its keys lie on several nodes, and no copy of all would be of one moment."""
    with pytest.raises(UsageError, match="node by node"):
        take_backup("redis+cluster://127.0.0.1:1", str(tmp_path / "b"))


def test_new_backup_is_named_when_older_ones_cannot_be_removed(tmp_path, monkeypatch):
    """It is complete: what failed came after."""

    def fail(*_):
        raise PlaceError("no right")

    monkeypatch.setattr(take, "prune", fail)
    monkeypatch.setattr(take, "connect", lambda *_, **__: io.BytesIO())
    monkeypatch.setattr(take, "_asked", lambda *_: {})
    monkeypatch.setattr(take, "_reached", lambda *_: tmp_path)
    info = {"redis_version": "7", "used_memory": 1, "run_id": "", "master_repl_offset": 0}
    cut = take._Cut([("dump.rdb", io.BytesIO(b"REDIS"), 5)], info, 0)
    monkeypatch.setattr(take, "_cut", lambda *_, **__: nullcontext(cut))
    monkeypatch.setattr(take, "_SETTINGS", ())

    with pytest.raises(BackupFailedError, match=r"is complete; .* no right"):
        take_backup(OURS, str(tmp_path / "b"), keep=1)

    assert find_backup(f"{tmp_path}/b/latest")[1].bytes == 5


def test_definitions_of_the_page_have_the_form_that_aws_takes():
    """Each is held against the service's own model; a misspelt name is found out."""
    page = Path(__file__).parents[3] / "docs" / "how-to" / "back-up.md"
    task, schedule = map(
        msgspec.json.decode, re.findall(r"```json\n(.*?)```", page.read_text(), re.DOTALL)
    )

    assert remarks("ecs", "RegisterTaskDefinition", task) == ""
    assert remarks("scheduler", "CreateSchedule", schedule) == ""
    assert "Unknown parameter" in remarks("ecs", "RegisterTaskDefinition", task | {"famly": "x"})


def remarks(service, operation, given):
    """What botocore would object to, without a connection."""
    model = botocore.session.Session().get_service_model(service).operation_model(operation)
    return ParamValidator().validate(given, model.input_shape).generate_report()
