"""Backups of real servers: consistent under writes, refused when damaged, rehearsed."""

import json
import re
import shutil
import threading
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import pytest
from redis import Redis
from redis.exceptions import ResponseError

from tests.commands import ROOT
from tests.waiting import wait_until
from workbench.errors import (
    BackupFailedError,
    BackupRefusedError,
    ServerMissingError,
    ServerNotReadyError,
    UsageError,
)
from workbench.server.backup import aof, take
from workbench.server.backup.record import find_backup, write_backup
from workbench.server.backup.rehearse import rehearse
from workbench.server.backup.take import ACL_LINE, take_backup
from workbench.server.process import PrivateServer, stamp
from workbench.server.profiles import profile
from workbench.state import connect
from workbench.units import MIB

PAGE = ROOT / "docs" / "how-to" / "back-up.md"
INCREMENT = "data/appendonlydir/appendonly.aof.1.incr.aof"
MANIFEST = "data/appendonlydir/appendonly.aof.manifest"


@pytest.fixture(autouse=True)
def _the_engine_of_the_test(server_binary, monkeypatch):
    """A rehearsal starts the server that the test is about."""
    monkeypatch.setenv("WORKBENCH_REDIS_SERVER", str(server_binary.path))


@pytest.fixture(scope="module")
def source(start_servers):
    """A server with keys in two databases, some with a time to live."""
    server = start_servers()
    fill(server)
    return server


@pytest.fixture(scope="module")
def kept(source, tmp_path_factory):
    """A backup of it."""
    return local(take_backup(source.url, str(tmp_path_factory.mktemp("kept"))))


@pytest.fixture
def copy(kept, tmp_path):
    """A copy of the backup, to be damaged."""
    return shutil.copytree(kept, tmp_path / kept.name)


def fill(server):
    with server.client() as client:
        for number in range(60):
            client.set(f"channel:{number}", json.dumps({"n": number}), ex=3600)
        client.mset({f"other:{number}": "x" * 50 for number in range(20)})
    with Redis.from_url(f"{server.url}/3") as client:
        client.set("elsewhere", "y")


def local(taken):
    return Path(str(taken.here)).absolute()


def rehearsed(where, tmp_path, **more):
    here, backup = find_backup(str(where))
    return rehearse(here, backup, tmp_path / "rehearsal", **more)


@contextmanager
def writing(url):
    """Somebody who creates and removes keys, without pause."""
    begun, stop = threading.Event(), threading.Event()

    def write():
        with connect(url, timeout_s=5.0) as client:
            number = 0
            while not stop.is_set():
                pipe = client.pipeline(transaction=number % 3 == 0)
                for _ in range(20):
                    number += 1
                    pipe.set(f"w:{number % 3000}", "x" * 100, ex=3600)
                    pipe.delete(f"w:{number * 31 % 3000}")
                pipe.execute()
                begun.set()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert begun.wait(timeout=10)
        yield
    finally:
        stop.set()
        writer.join()


def test_backup_under_writes_and_rewrites_restores_what_it_recorded(start_server, tmp_path):
    """Each copy has the keys that INFO counted at its last command, whatever went on."""
    server = start_server()
    found = []
    with server.client() as client, writing(server.url):
        wait_until(lambda: client.dbsize() > 500)
        for _ in range(2):
            taken = take_backup(server.url, str(tmp_path / "backups"))
            found.append((taken.backup, rehearsed(taken.here, tmp_path)))
            with suppress(ResponseError):  # one of its own goes on
                client.bgrewriteaof()

    assert [each.problems for _, each in found] == [[], []]
    assert all(each.keys > 500 for _, each in found)
    assert all(
        abs(made.keys - each.keys - each.keys_expired) <= made.keys_off_max for made, each in found
    )


def test_copy_of_a_server_too_busy_to_tell_says_by_how_much_it_may_be_off(
    start_server, tmp_path, monkeypatch
):
    """Where INFO counted is only known to lie within the last bytes: the bound holds."""
    server = start_server()
    fill(server)
    end = aof._end

    def vague(*given):
        info, first, last = end(*given)
        return info, first - 500, last

    monkeypatch.setattr(aof, "_end", vague)
    with writing(server.url):
        taken = take_backup(server.url, str(tmp_path / "backups"))
    found = rehearsed(taken.here, tmp_path)

    assert taken.backup.keys_off_max > 0
    assert found.problems == []


def test_counts_of_another_moment_are_found_out(copy, tmp_path):
    """The control: one key more in the record than in the files, and the rehearsal says so."""
    here, backup = find_backup(str(copy))
    backup.keys += 1
    write_backup(here, backup)

    found = rehearsed(copy, tmp_path)

    assert "1 are missing" in found.problems[0]


def test_copy_that_ends_in_half_a_command_would_not_be_loaded(copy, tmp_path):
    """The control of the cut: with a torn end and right checksums the server refuses it."""
    here, backup = find_backup(str(copy))
    torn = copy / INCREMENT
    torn.write_bytes(torn.read_bytes()[:-5])
    backup.files = [
        msgspec.structs.replace(file, bytes=torn.stat().st_size, sha256=sha256_of(torn))
        if file.path.endswith("incr.aof")
        else file
        for file in backup.files
    ]
    write_backup(here, backup)

    with pytest.raises(BackupRefusedError, match="does not load"):
        rehearsed(copy, tmp_path)


def sha256_of(path):
    return take.sha256(path.read_bytes()).hexdigest()


def test_backup_changes_nothing_on_the_server(source, tmp_path):
    """Only PING, INFO and CONFIG GET are sent, and every setting stays."""
    with source.client() as client:
        before = client.config_get("*")
        client.config_resetstat()
        take_backup(source.url, str(tmp_path))
        sent = set(client.info("commandstats"))
        after = client.config_get("*")

    allowed = {"cmdstat_ping", "cmdstat_info", "cmdstat_config|get", "cmdstat_config|resetstat"}
    assert sent <= allowed | {"cmdstat_hello", "cmdstat_client|setinfo"}
    assert before == after


def test_documented_user_may_take_a_backup_and_no_more(source, tmp_path):
    """The line of the page is enough; without CONFIG GET, or for the options, it is not."""
    line = re.search(r"^ {4}(ACL SETUSER .*)$", PAGE.read_text(), re.MULTILINE)[1]
    assert line == ACL_LINE
    url = source.url.replace("://", "://keeper:changeme@")
    with source.client() as client:
        client.execute_command(*line.split())
        taken = take_backup(url, str(tmp_path))
        with pytest.raises(ServerNotReadyError, match=r"\+bgrewriteaof"):
            take_backup(url, str(tmp_path), rewrite=True)
        with pytest.raises(ServerNotReadyError, match=r"\+bgsave"):
            take_backup(url, str(tmp_path), kind="rdb")
        client.execute_command("ACL", "SETUSER", "keeper", "+bgsave", "+bgrewriteaof")
        take_backup(url, str(tmp_path), kind="rdb")
        client.execute_command("ACL", "SETUSER", "keeper", "-config|get")
        with pytest.raises(ServerNotReadyError, match="config"):
            take_backup(url, str(tmp_path))
        client.execute_command("ACL", "DELUSER", "keeper")

    assert "secret" not in (local(taken) / "backup.json").read_text()
    assert local(taken).stat().st_mode & 0o077 == 0


def test_rehearsal_of_a_sound_backup_passes_and_leaves_nothing(kept, tmp_path):
    """The control of every refusal below."""
    found = rehearsed(kept, tmp_path, look=lambda client: {"seen": client.dbsize()})

    assert found.problems == []
    assert (found.keys, found.expires) == (81, 60)
    assert found.conversations == {"seen": 81}
    assert found.used_memory_rss > 0
    assert list(tmp_path.iterdir()) == []


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut_off(path):
    path.write_bytes(path.read_bytes()[:-7])


@pytest.mark.parametrize(
    ("name", "damage", "says"),
    [
        (INCREMENT, flip, "incr.aof is damaged: its checksum"),
        (INCREMENT, cut_off, "incr.aof is truncated"),
        (INCREMENT, Path.unlink, "incr.aof is missing"),
        (MANIFEST, Path.unlink, "manifest is missing: Redis would start empty"),
        (MANIFEST, flip, "manifest is damaged"),
        ("backup.json", Path.unlink, "a backup that was interrupted"),
        ("backup.json", flip, "backup.json is damaged"),
        ("backup.json", cut_off, "backup.json is damaged"),
    ],
)
def test_damaged_backup_is_refused_with_what_is_wrong(copy, tmp_path, name, damage, says):
    """One bit, one file, one record: no server is started on it."""
    damage(copy / name)

    with pytest.raises(BackupRefusedError, match=says):
        rehearsed(copy, tmp_path)


def test_server_starts_empty_without_the_manifest(copy, server_binary):
    """Why a missing manifest must be refused: the server itself says nothing."""
    (copy / MANIFEST).unlink()
    stamp(copy / "data", server_binary.engine, server_binary.version)

    server = PrivateServer(profile("demo"), copy / "data", binary=server_binary)
    with server, server.client() as client:
        assert client.dbsize() == 0


def test_restored_server_over_its_cap_is_found_out(start_server, tmp_path):
    """It evicts at once: how many is counted, after the keys were."""
    server = start_server(maxmemory_bytes=64 * MIB)
    with server.client() as client:
        client.mset({f"k:{number}": "x" * 1000 for number in range(4000)})
    taken = take_backup(server.url, str(tmp_path / "backups"))

    fits = rehearsed(taken.here, tmp_path)
    over = rehearsed(taken.here, tmp_path, maxmemory_bytes=3 * MIB)

    assert (fits.over_cap, fits.evicted_keys, fits.problems) == (False, 0, [])
    assert over.over_cap
    assert over.evicted_keys > 100
    assert over.keys == 4000
    assert "over the cap" in over.problems[0]


def test_snapshot_of_a_server_without_aof(start_server, tmp_path):
    """BGSAVE is sent and the dump copied; asked for its AOF, it is refused with the way out."""
    server = start_server(appendonly=False)
    fill(server)

    with pytest.raises(UsageError, match="--kind rdb"):
        take_backup(server.url, str(tmp_path / "backups"))
    taken = take_backup(server.url, str(tmp_path / "backups"), kind="rdb")
    found = rehearsed(taken.here, tmp_path)

    assert [file.path for file in taken.backup.files] == ["dump.rdb"]
    assert (found.problems, found.keys) == ([], 81)


@pytest.mark.parametrize("kind", ["aof", "rdb"])
def test_keys_that_expired_since_are_counted_apart(start_server, tmp_path, kind):
    """They are no difference; and how many they are is told."""
    server = start_server()
    with server.client() as client:
        client.mset({"a": "1", "b": "2"})
        client.set("short", "3", px=150)
        taken = take_backup(server.url, str(tmp_path / "backups"), kind=kind)
        assert taken.backup.keys == 3
        wait_until(lambda: not client.exists("short"))
    found = rehearsed(taken.here, tmp_path, look=lambda client: {"short": client.exists("short")})

    assert found.conversations == {"short": 0}
    assert found.keys + found.keys_expired == 3
    assert found.problems == []


def test_files_of_another_server_are_refused(source, start_server, tmp_path, monkeypatch):
    """What --dir names must be what this server writes."""
    monkeypatch.setattr(aof, "_PATIENCE_S", 0.1)
    other = start_server()
    with other.client() as client:
        client.set("k", "v")

    with pytest.raises(BackupFailedError, match="check --dir"):
        take_backup(source.url, str(tmp_path / "backups"), folder=other.folder)
    with pytest.raises(UsageError, match="check --dir"):
        take_backup(source.url, str(tmp_path / "backups"), folder=other.folder, kind="rdb")
    with pytest.raises(ServerNotReadyError, match=r"127\.0\.0\.1:1 cannot be read") as nobody:
        take_backup("redis://:geheim@127.0.0.1:1", str(tmp_path / "backups"))
    assert "geheim" not in str(nobody.value)
    with pytest.raises(UsageError, match=f"did you mean --dir {source.folder}"):
        take_backup(source.url, str(tmp_path / "backups"), folder=source.folder / "appendonlydir")
    with pytest.raises(UsageError, match="no folder that can be read here"):
        take_backup(source.url, str(tmp_path / "backups"), folder=tmp_path / "none")

    assert not (tmp_path / "backups").exists()


def test_server_that_cut_off_a_torn_end_is_backed_up(start_server, tmp_path, monkeypatch):
    """Its INFO is wrong from then on: a write that both show, or a rewrite, settles it."""
    monkeypatch.setattr(aof, "_PATIENCE_S", 0.1)
    server = start_server()
    fill(server)
    server.stop()
    increment = server.folder / "appendonlydir" / "appendonly.aof.1.incr.aof"
    increment.write_bytes(increment.read_bytes()[:-4])
    server.start()
    with server.client() as client:
        wait_until(lambda: not client.info("persistence")["loading"])

    with pytest.raises(BackupFailedError, match="--rewrite"):
        take_backup(server.url, str(tmp_path / "backups"))
    with writing(server.url):
        busy = take_backup(server.url, str(tmp_path / "backups"))
    rewritten = take_backup(server.url, str(tmp_path / "backups"), rewrite=True)

    assert rehearsed(busy.here, tmp_path).problems == []
    assert rehearsed(rewritten.here, tmp_path).problems == []


def test_backup_that_no_server_here_may_read_is_refused(copy, tmp_path):
    """An older server dies on newer files, and another engine's on its own."""
    here, backup = find_backup(str(copy))
    write_backup(here, msgspec.structs.replace(backup, version="99.0.0"))
    with pytest.raises(ServerMissingError, match="is older"):
        rehearsed(copy, tmp_path)

    other = {"redis": "valkey", "valkey": "redis"}[backup.engine]
    write_backup(here, msgspec.structs.replace(backup, engine=other))
    with pytest.raises(ServerMissingError, match="only that engine"):
        rehearsed(copy, tmp_path)


def test_backup_can_lie_in_any_place_that_fsspec_knows(source, tmp_path):
    """Taken to, pruned in and rehearsed from a place that is no disk."""
    place = f"memory://{tmp_path.name}"
    for _ in range(3):
        taken = take_backup(source.url, place, keep=1)

    assert len(taken.removed) == 1
    assert len(taken.here.parent().names()) == 1
    assert rehearsed(f"{place}/latest", tmp_path).keys == 81


def test_transaction_counts_once_it_is_whole(start_server):
    """Redis throws a transaction away that ends before its EXEC: so does the cut."""
    server = start_server()
    path = server.folder / "appendonlydir" / "appendonly.aof.1.incr.aof"
    with server.client() as client:
        client.set("before", "1")
        wait_until(lambda: b"before" in path.read_bytes())
        whole = path.stat().st_size
        with pytest.raises(ResponseError):
            client.execute_command("INCR")  # nothing is written for it
        client.pipeline().set("a", "1").set("b", "2").execute()
        wait_until(lambda: path.read_bytes().endswith(b"EXEC\r\n"))

    with path.open("rb") as file:
        size = path.stat().st_size
        cuts = {aof.end_of_commands(file, "incr", size - less) for less in range(1, size - whole)}
        assert aof.end_of_commands(file, "incr", size) == size
    assert cuts == {whole}
