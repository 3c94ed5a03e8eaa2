"""workbench health on real servers, beside the health test of docker-compose.yml."""

import json
import os
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from redis.exceptions import OutOfMemoryError, ResponseError
from typer.testing import CliRunner

from tests.server.test_healthcheck import exit_codes
from tests.waiting import wait_until
from workbench.cli import app
from workbench.errors import UsageError
from workbench.server.process import PrivateServer, free_port
from workbench.server.profiles import profile
from workbench.state import connect
from workbench.telemetry.health import ACL_LINE, ACL_LINE_PROBE, PROBE_PREFIX, check_health

MIB = 1024**2
PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "check-health.md"


@pytest.fixture(scope="module")
def server(start_servers):
    return start_servers(maxmemory_bytes=20 * MIB)


@pytest.fixture
def client(server):
    with server.client() as connected:
        connected.flushall()
        yield connected


def verdicts(found):
    return {check.name: check.verdict for check in found.checks}


def agrees_with_compose(server, code):
    """Docker sees the same by the redis-cli that its image has."""
    return [int(code != 0)] == exit_codes(server)[:1]


@pytest.mark.capability("redis-cli")
def test_server_that_works_is_healthy(server):
    found = check_health(server.url)

    assert (found.status, found.exit_code, found.reasons) == ("healthy", 0, [])
    assert verdicts(found)["ping"] == verdicts(found)["persistence"] == "pass"
    assert verdicts(found)["memory-cap"] == "not applicable"
    assert agrees_with_compose(server, 0)


def test_nothing_is_written_unless_it_is_asked_for(server, client):
    """The probe writes one key and takes it away; without it no write is counted at all."""
    client.config_resetstat()
    check_health(server.url)
    without = client.info("commandstats")
    found = check_health(server.url, write_probe=True)
    probed = client.info("commandstats")

    assert not {"cmdstat_set", "cmdstat_del"} & without.keys()
    assert probed["cmdstat_set"]["calls"] == probed["cmdstat_del"]["calls"] == 1
    assert verdicts(found)["write"] == "pass"
    assert client.keys("*") == []


@pytest.mark.parametrize(("line", "probe"), [(ACL_LINE, False), (ACL_LINE_PROBE, True)])
def test_user_of_the_documented_line_is_enough(server, client, line, probe):
    """And one right less is not."""
    words = line.split()
    client.execute_command(*words)
    url = server.url.replace("redis://", "redis://health:changeme@")

    found = check_health(url, write_probe=probe)
    client.acl_setuser("health", enabled=True, commands=["-info"])
    less = check_health(url, write_probe=probe)
    client.acl_deluser("health")

    assert found.exit_code == 0
    assert (less.status, less.exit_code) == ("unknown", 3)
    assert "NOPERM" in less.reasons[0]
    assert line in PAGE.read_text()


def test_probe_without_its_right_fails(server, client):
    """The control of the test above: the line without a probe's rights."""
    client.execute_command(*ACL_LINE.split())
    url = server.url.replace("redis://", "redis://health:changeme@")

    found = check_health(url, write_probe=True)
    client.acl_deluser("health")

    assert found.exit_code == 1
    assert verdicts(found)["write"] == "fail"
    assert PROBE_PREFIX == "wb:health:"


def test_password_that_is_needed_or_wrong_is_named_and_not_shown(server, client):
    """Reached, but not let in: unhealthy, and no password in what is said."""
    reached = server.url.replace("redis://", "redis://:{}@")
    client.config_set("requirepass", "hunter2")

    none = check_health(server.url)
    wrong = check_health(reached.format("hunter3"))
    right = check_health(reached.format("hunter2"))
    client.config_set("requirepass", "")

    assert [none.exit_code, wrong.exit_code, right.exit_code] == [1, 1, 0]
    assert "NOAUTH" in none.reasons[0]
    assert "WRONGPASS" in wrong.reasons[0]
    assert "hunter" not in repr([none, wrong, right])


def test_nobody_there_is_unreachable():
    found = check_health(f"redis://u:hunter2@127.0.0.1:{free_port()}")

    assert (found.status, found.exit_code) == ("unreachable", 4)
    assert "Connection refused" in found.reasons[0]
    assert "hunter2" not in repr(found)


@pytest.fixture
def stranger():
    """Something that is no Redis: it answers whatever it is sent in the same way."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answering(reply):
            def answer():
                connection, _ = listening.accept()
                with connection:
                    connection.recv(4096)
                    if reply is None:
                        connection.recv(4096)
                    else:
                        connection.sendall(reply)

            threading.Thread(target=answer, daemon=True).start()
            return f"redis://127.0.0.1:{listening.getsockname()[1]}"

        yield answering


@pytest.mark.parametrize(
    ("reply", "code", "says"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", 1, "does not speak the protocol"),
        (b"+HELLO\r\n", 1, "not by PONG"),
        (b"", 4, "closed the connection"),
        (None, 4, "did not answer in time"),
        (b"-ERR secret token: abc\r\n", 1, "(ERR)"),
    ],
)
def test_wrong_reply_is_not_healthy(stranger, reply, code, says):
    """And its text is passed on to nobody."""
    found = check_health(stranger(reply), timeout_s=0.2)

    assert found.exit_code == code
    assert says in " ".join(found.reasons)
    assert "secret" not in repr(found)


def test_full_server_that_refuses_is_not_healthy_and_one_that_evicts_is(start_server):
    """The policy decides: noeviction refuses every write."""
    server = start_server(maxmemory_bytes=3 * MIB, maxmemory_policy="noeviction")
    with server.client() as client:
        before = check_health(server.url)
        with suppress(OutOfMemoryError):
            for number in range(10_000):
                client.set(f"k{number}", "v" * 10_000)
        full = check_health(server.url, write_probe=True)
        client.config_set("maxmemory-policy", "allkeys-lru")
        evicting = check_health(server.url)

    assert before.exit_code == 0
    assert full.exit_code == 1
    assert verdicts(full)["memory-cap"] == verdicts(full)["write"] == "fail"
    assert "OOM" in full.reasons[-1]
    assert evicting.exit_code == 0


@pytest.mark.parametrize(("limit_bytes", "code"), [(1024**3, 0), (5 * MIB, 1)])
def test_memory_is_held_against_the_limit_of_the_container(server, limit_bytes, code):
    found = check_health(server.url, limit_bytes=limit_bytes)

    assert found.exit_code == code


@pytest.mark.capability("redis-cli")
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_full_disk_is_not_healthy_though_ping_exits_with_0(tmp_path, server_binary):
    """The control: the documented redis-cli ping is green."""
    aof = tmp_path / "appendonlydir"
    aof.mkdir()
    (aof / "appendonly.aof.1.incr.aof").symlink_to("/dev/full")
    (aof / "appendonly.aof.manifest").write_text("file appendonly.aof.1.incr.aof seq 1 type i\n")
    (tmp_path / "engine").write_text(f"{server_binary.engine} {server_binary.version}")
    settings = profile("development")
    with PrivateServer(settings, tmp_path, binary=server_binary) as server:
        with server.client() as client:
            client.set("k", "v")  # that it was not kept shows after it was acknowledged
            wait_until(lambda: client.info("persistence")["aof_last_write_status"] == "err")

        found = check_health(server.url)
        codes = exit_codes(server)

    assert found.exit_code == 1
    assert "MISCONF" in found.reasons[0]
    assert verdicts(found)["persistence"] == "fail"
    assert codes == [1, 0]


@pytest.mark.slow
@pytest.mark.capability("mount")
def test_disk_that_fills_up_is_not_healthy(tmp_path, start_server):
    """A file system of 2 MiB, in memory."""
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], check=True)
    try:
        server = start_server(folder=folder)
        with server.client() as client:
            before = check_health(server.url)

            def refused():
                try:
                    client.set("k", os.urandom(50_000))
                except ResponseError as error:
                    return "MISCONF" in str(error)
                return False

            wait_until(refused, timeout_s=30)
            full = check_health(server.url)
        server.stop()
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)

    assert (before.exit_code, full.exit_code) == (0, 1)


@pytest.mark.capability("redis-cli")
def test_server_that_is_loading_is_not_healthy(start_server):
    """As long as it loads it answers LOADING, and INFO says how long it will."""
    slowly = {
        "enable-debug-command": "local",
        "key-load-delay": "20000",
        "loading-process-events-interval-bytes": "1024",
        "rdbcompression": "no",
    }
    server = start_server(directives=slowly)
    with server.client() as client, server.client() as loader:
        client.mset({f"k{number}": "v" * 2048 for number in range(1000)})
        connection = loader.connection_pool.get_connection()
        connection.send_command("DEBUG", "RELOAD")  # answered when all is loaded
        wait_until(lambda: client.info("persistence")["loading"])

        found = check_health(server.url)
        agrees = agrees_with_compose(server, found.exit_code)

        still = client.info("persistence")["loading"]
        client.config_set("key-load-delay", 0)
        assert connection.read_response() == "OK"
        loader.connection_pool.release(connection)
    assert still
    assert found.exit_code == 1
    assert "LOADING" in found.reasons[0]
    assert verdicts(found)["loading"] == "fail"
    assert agrees
    assert check_health(server.url).exit_code == 0


def test_full_house_is_not_healthy(start_server):
    """maxclients is reached. The refusal may come after a reset, and then nobody can read it."""
    server = start_server(directives={"maxclients": "1"})
    with connect(server.url) as only:
        only.ping()
        found = check_health(server.url)

    assert found.exit_code in {1, 4}
    assert "maxclients" in found.reasons[0]


@pytest.mark.parametrize(
    "url", ["127.0.0.1:6379", "http://127.0.0.1", "redis://h:port", "redis+sentinel://h/s", ""]
)
def test_url_of_no_server_is_refused(url):
    with pytest.raises(UsageError, match="redis://"):
        check_health(url)


def test_command_tells_programs_by_json_and_exit_code(ask, server):
    """Nothing of the login is in what it prints."""
    url = server.url.replace("redis://", "redis://u:hunter2@")

    code, out, err = ask("health", "--json", REDIS_STATE_URL=url)

    told = json.loads(out)
    assert code == told["exit_code"] == 1
    assert told["status"] == "unhealthy"
    assert "WRONGPASS" in told["reasons"][0]
    assert "hunter2" not in out + err


@pytest.mark.parametrize(
    "words",
    [
        ["--max-memory-share", "95"],
        ["--timeout", "0"],
        ["--limit", "0"],
        ["--limit", "much"],
        ["--max-rewrite-failures", "0"],
    ],
)
def test_value_that_makes_no_sense_is_refused(words):
    done = CliRunner().invoke(app, ["health", *words])

    assert isinstance(done.exception, UsageError)
    assert words[0] in str(done.exception) or words[1] in str(done.exception)
    assert done.output == ""


def test_nothing_heavy_is_imported():
    """It runs every few seconds in containers that have a fraction of a core."""
    asked = (
        "from workbench.cli import app; import workbench.telemetry.health, sys; print(*sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)

    heavy = {"pandas", "numpy", "pyarrow", "matplotlib", "boto3", "workbench.state", "rich"}
    assert not heavy & set(done.stdout.split())
