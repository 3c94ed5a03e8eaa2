"""The health test of docker-compose.yml on real servers, each beside the documented one."""

import subprocess
from pathlib import Path

import pytest
import yaml
from redis.exceptions import ResponseError

from tests.waiting import wait_until
from workbench.server.binary import find_binary
from workbench.server.process import PrivateServer
from workbench.server.profiles import profile

pytestmark = pytest.mark.capability("redis-cli")

COMPOSE = Path(__file__).parents[2] / "docker-compose.yml"
DOCUMENTED = ["CMD", "redis-cli", "ping"]


def exit_codes(server):
    """What Docker would see: the exit of our health test, and of the documented one."""
    test = yaml.safe_load(COMPOSE.read_text())["services"]["redis-state"]["healthcheck"]["test"]
    port = server.url.rpartition(":")[2]
    return [
        subprocess.run(
            [words[1], "-p", port, *words[2:]], capture_output=True, timeout=30, check=False
        ).returncode
        for words in (test, DOCUMENTED)
    ]


def test_server_that_works_is_healthy(start_server):
    """Both tests are green on a server that takes writes."""
    server = start_server()

    assert exit_codes(server) == [0, 0]


def test_server_that_is_gone_is_not_healthy(start_server):
    """Nobody answers: both tests are red."""
    server = start_server()
    server.stop()

    assert exit_codes(server) == [1, 1]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_server_that_cannot_write_its_aof_is_not_healthy(tmp_path):
    """With the AOF's disk full writes are refused: our test is red, the documented one green."""
    aof = tmp_path / "appendonlydir"
    aof.mkdir()
    (aof / "appendonly.aof.1.incr.aof").symlink_to("/dev/full")
    (aof / "appendonly.aof.manifest").write_text("file appendonly.aof.1.incr.aof seq 1 type i\n")
    binary = find_binary()
    (tmp_path / "engine").write_text(f"{binary.engine} {binary.version}")
    with PrivateServer(profile("development"), tmp_path) as server, server.client() as client:
        client.set("k", "v")  # the first write is acknowledged; that it was not kept shows after it
        wait_until(lambda: client.info("persistence")["aof_last_write_status"] == "err")

        codes = exit_codes(server)

        with pytest.raises(ResponseError, match="MISCONF"):
            client.set("k", "v")

    assert codes == [1, 0]


def test_server_that_cannot_save_is_not_healthy(start_server):
    """After a failed snapshot writes are refused: our test is red, the documented one green."""
    server = start_server(save="3600 1")
    (server.folder / "dump.rdb").mkdir()  # a folder cannot be replaced by a file, even by root
    with server.client() as client:
        client.bgsave()
        wait_until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err")

        codes = exit_codes(server)

        with pytest.raises(ResponseError, match="MISCONF"):
            client.set("k", "v")
        client.config_set("save", "")  # else it will not end before it has saved

    assert codes == [1, 0]


def test_server_that_is_loading_is_not_healthy(start_server):
    """While the data is being loaded nothing is answered: ours is red, the documented one green."""
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

        codes = exit_codes(server)

        still = client.info("persistence")["loading"]
        client.config_set("key-load-delay", 0)
        assert connection.read_response() == "OK"
        loader.connection_pool.release(connection)
    assert still
    assert codes == [1, 0]
    assert exit_codes(server) == [0, 0]
