"""`workbench backup` and `restore` as processes: exit codes, interruptions, what is left behind."""

import json
import subprocess
import sys

import msgspec
import pytest

from workbench.errors import BackupRefusedError
from workbench.server.backup.record import find_backup, write_backup
from workbench.server.process import PrivateServer
from workbench.server.profiles import profile

pytestmark = pytest.mark.capability("redis-on-path")
MANIFEST = "data/appendonlydir/appendonly.aof.manifest"


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A server with a conversation and another key."""
    server = PrivateServer(profile("demo"), tmp_path_factory.mktemp("source"))
    with server, server.client() as client:
        client.set("channel:1", '{"stage": "greeting"}', ex=3600)
        client.set("other", "x")
        yield server


HANGING = """
import sys, time
from workbench.server.backup import take
from workbench.cli import main

def hang(*_):
    print("all but the record", flush=True)
    time.sleep(60)

take.write_backup = hang
sys.argv[0] = "workbench"
main()
"""


@pytest.mark.parametrize(("signal", "code"), [("INT", 130), ("KILL", -9)])
def test_interrupted_backup_is_never_taken_for_a_complete_one(source, tmp_path, signal, code):
    """Ctrl-C removes what there is; what a kill leaves is refused."""
    place = tmp_path / "backups"
    process = subprocess.Popen(
        [sys.executable, "-c", HANGING, "backup", "--url", source.url, "--to", place],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "all but the record\n"
    subprocess.run(["kill", f"-{signal}", str(process.pid)], check=True)
    _, err = process.communicate(timeout=20)

    assert process.returncode == code
    assert "Traceback" not in err
    left = list(place.iterdir())
    assert len(left) == (1 if signal == "KILL" else 0)
    for here in left:
        assert (here / MANIFEST).exists()
        with pytest.raises(BackupRefusedError, match="interrupted"):
            find_backup(str(here))
        with pytest.raises(BackupRefusedError, match="no complete backup"):
            find_backup(f"{place}/latest")


def test_commands_tell_people_and_programs(ask, source, tmp_path):
    """The path comes last; the exit codes say how it went."""
    place = tmp_path / "backups"
    code, out, err = ask("backup", "--url", source.url, "--to", place)
    path = out.splitlines()[-1]
    assert (code, err) == (0, "")
    here, backup = find_backup(path)
    assert backup.keys == 2

    code, out, err = ask("restore", f"{place}/latest", "--rehearse", "--json")
    told = json.loads(out)
    assert (code, err) == (0, "")
    assert told["rehearsal"]["backup"] == path
    assert sum(told["rehearsal"]["conversations"].values()) == 1

    write_backup(here, msgspec.structs.replace(backup, keys=3))
    code, out, _ = ask("restore", path, "--rehearse")
    assert code == 1
    assert "FAIL  3 keys were recorded" in out
    assert out.splitlines()[-1] == path

    code, _, err = ask("restore", path)
    assert code == 2
    assert "Rehearse it" in err
    assert "appendonly yes" in err
    assert not list((tmp_path / "runs").glob(".rehearse/*"))
