"""A private server: started as told, stopped cleanly, gone with its parent."""

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.waiting import wait_until
from workbench.errors import ServerError, ServerMissingError, ServerNotReadyError, UsageError
from workbench.server import process as processes
from workbench.server.binary import embedded_path, inspect_binary
from workbench.server.process import PrivateServer, tail
from workbench.server.profiles import DEFAULTS_OF_7_0, profile
from workbench.state import connect

ROOT = Path(__file__).parents[2]


def alive(pid: int) -> bool:
    """Whether the process runs; one that only waits to be collected does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize("name", ["demo", "development", "production"])
def test_profile_arrives_at_the_server(tmp_path, name):
    """What CONFIG GET says is what the profile says."""
    wanted = profile(name)
    with PrivateServer(wanted, tmp_path) as server, server.client() as client:
        config = client.config_get("*")

    given = {name: value.strip('"') for name, value in wanted.directives().items()}
    assert {name: config[name] for name in given} == given


def test_memory_is_freed_as_redis_7_0_does(client):
    """The seven defaults that Valkey changed are as on Redis 7.0."""
    config = client.config_get("*")

    found = {name: config[name] for name in DEFAULTS_OF_7_0}
    assert found == {**DEFAULTS_OF_7_0, "repl-backlog-size": str(1024 * 1024)}


def test_url_and_pid_are_those_of_the_server(redis_server, client):
    """Whoever answers at the URL is the process that was started."""
    info = client.info("server")

    assert info["process_id"] == redis_server.pid
    assert info["tcp_port"] == urlsplit(redis_server.url).port


def test_it_listens_on_the_loopback_alone(client):
    """Nobody else on the network can reach it."""
    assert client.config_get("bind") == {"bind": "127.0.0.1"}


@pytest.mark.capability("procfs")
def test_stop_leaves_no_process(tmp_path):
    """After stop, and after the block, nothing runs and stop may be called again."""
    server = PrivateServer(profile("demo"), tmp_path)
    with server:
        pid = server.pid
        assert alive(pid)

    server.stop()

    assert not alive(pid)
    assert not server.running


def test_stop_keeps_what_was_written(tmp_path):
    """The AOF is synced before the end, and read at the next start."""
    server = PrivateServer(profile("demo"), tmp_path)
    with server, server.client() as client:
        client.set("channel:wb-1", "kept")

    with server, server.client() as client:
        found = client.get("channel:wb-1")

    assert found == "kept"


@pytest.mark.capability("procfs")
def test_frozen_server_is_stopped_all_the_same(tmp_path, monkeypatch):
    """One that does not answer the request to end is killed."""
    server = PrivateServer(profile("demo"), tmp_path).start()
    pid, process = server.pid, server._process
    os.kill(pid, signal.SIGSTOP)
    waits = iter([subprocess.TimeoutExpired("redis-server", 10)])
    really_wait = process.wait

    def impatient(timeout=None):
        for expired in waits:
            raise expired
        return really_wait(timeout)

    monkeypatch.setattr(process, "wait", impatient)

    server.stop()

    assert not alive(pid)


def test_two_at_once_are_two(start_server):
    """Each has a port, a folder and keys of its own."""
    first, second = start_server(), start_server()
    with first.client() as one, second.client() as other:
        one.set("channel:wb-1", "first")

        assert first.url != second.url
        assert other.exists("channel:wb-1") == 0


@pytest.mark.capability("procfs")
def test_server_dies_with_a_parent_that_was_killed(tmp_path):
    """A parent that cannot stop its server any more does not leave it behind."""
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from workbench.server.process import PrivateServer\n"
        "from workbench.server.profiles import profile\n"
        "server = PrivateServer(profile('demo'), Path(sys.argv[1])).start()\n"
        "print(server.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "data")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        pid = int(parent.stdout.readline())
        lived = alive(pid)
    finally:
        parent.kill()
        parent.communicate()

    assert lived
    wait_until(lambda: not alive(pid), why="the server of the killed parent to end")


def test_bad_setting_is_told_with_the_end_of_the_log(tmp_path):
    """The server's own complaint is in the message, and no process is left."""
    server = PrivateServer(replace(profile("demo"), maxmemory_policy="nonsense"), tmp_path)

    with pytest.raises(ServerNotReadyError) as caught:
        server.start()

    assert "maxmemory-policy" in str(caught.value)
    assert "ended with 1" in str(caught.value)
    assert not server.running


def test_port_that_is_taken_meanwhile_is_given_up(tmp_path, redis_server, monkeypatch):
    """Another process may take the port first: then another port is taken."""
    taken = urlsplit(redis_server.url).port
    free = processes.free_port()
    ports = iter([taken, free])
    monkeypatch.setattr(processes, "free_port", lambda: next(ports))

    with PrivateServer(profile("demo"), tmp_path) as server:
        found = server.url

    assert found == f"redis://127.0.0.1:{free}"


def test_nonsense_in_the_environment_starts_nothing(tmp_path, monkeypatch):
    """A server that was named wrongly is an error before anything is made."""
    monkeypatch.setenv("WORKBENCH_REDIS_SERVER", str(tmp_path / "nothing"))

    with pytest.raises(ServerMissingError, match="WORKBENCH_REDIS_SERVER"):
        PrivateServer(profile("demo"), tmp_path / "data")

    assert not (tmp_path / "data").exists()


def test_log_lies_where_it_was_told(tmp_path):
    """Also in a folder that is not there yet, with a blank in its name."""
    log = tmp_path / "all logs" / "redis.log"

    with PrivateServer(profile("demo"), tmp_path / "data", log=log):
        pass

    assert "Ready to accept connections" in log.read_text()


def test_configuration_holds_no_absolute_path(redis_server):
    """A run directory can be moved, and tells nobody where it was made."""
    assert str(redis_server.folder) not in redis_server.configuration
    assert (redis_server.folder / "redis.conf").read_text() == redis_server.configuration


def test_tail_is_the_end_of_the_log_or_says_why_there_is_none(tmp_path):
    """A message can always be written."""
    log, empty = tmp_path / "log", tmp_path / "empty"
    log.write_text("\n".join(map(str, range(100))))
    empty.touch()

    assert tail(log, lines=2) == "98\n99"
    assert tail(empty) == "(the log is empty)"
    assert tail(tmp_path / "missing") == "(no log)"


def test_production_is_capped_as_documented():
    """95 % of 35 % of the task's memory, in whole MiB; and it writes on when a snapshot fails."""
    production = profile("production", task_memory_mib=2048)

    assert production.maxmemory_bytes == 680 * 1024 * 1024
    assert not production.stop_writes_on_bgsave_error


def test_capped_profile_keeps_its_share_for_the_rewrite():
    """A smaller server rewrites its AOF earlier, in proportion."""
    development = profile("development")

    half = development.capped(development.maxmemory_bytes // 2)

    assert half.auto_aof_rewrite_min_size_bytes == development.auto_aof_rewrite_min_size_bytes // 2
    assert half.maxmemory_policy == development.maxmemory_policy


def test_unknown_profile_is_an_error_that_names_the_near_one():
    """A misspelt profile is answered with the one that was meant."""
    with pytest.raises(UsageError, match="did you mean 'production'"):
        profile("prodction")


def test_client_of_the_server_never_repeats_a_command_by_itself(redis_server):
    """A repeated INCR would count twice; only RetryPolicy may repeat."""
    with connect(redis_server.url) as client:
        retries = client.get_connection_kwargs()["retry"].get_retries()

    assert retries == 0


def data_of(server):
    """A folder with the data of this server, which has ended."""
    with server.client() as client:
        client.set("key", "kept")
    server.stop()
    return server.folder


def test_data_is_read_again_by_the_engine_that_wrote_it(start_server):
    """A restart in the same folder has what was written before."""
    folder = data_of(start_server())

    with start_server(folder=folder).client() as client:
        assert client.get("key") == "kept"


@pytest.mark.parametrize("stamp", ["valkey 9.1.2", "redis 99.0.0", "redis 7.0.15", "valkey 99.1"])
def test_data_of_another_engine_is_refused(start_server, server_binary, stamp):
    """Redis 7.0 dies on Valkey's files; no server reads a newer one's."""
    folder = data_of(start_server())
    engine, _, version = stamp.partition(" ")
    readable = engine == server_binary.engine and not version.startswith("99")
    (folder / "engine").write_text(stamp)

    if readable:
        start_server(folder=folder)
    else:
        with pytest.raises(ServerError, match=f"holds the data of {stamp}"):
            start_server(folder=folder)


def test_data_of_nobody_knows_which_engine_is_refused(start_server):
    """It was not started here, so it may be anybody's."""
    folder = data_of(start_server())
    (folder / "engine").unlink()

    with pytest.raises(ServerError, match="did not start; name an empty folder"):
        start_server(folder=folder)


@pytest.mark.capability("redis-on-path", "embedded-server")
def test_redis_dies_on_the_files_of_valkey(tmp_path):
    """The control of the stamp: without it the server would not come up."""
    embedded = inspect_binary(embedded_path(), "embedded")
    on_path = inspect_binary(Path(shutil.which("redis-server")), "path")
    server = PrivateServer(profile("demo"), tmp_path, binary=embedded)
    with server, server.client() as client:
        client.bgrewriteaof()
        wait_until(lambda: client.info("persistence")["aof_rewrites"] == 1)
        wait_until(lambda: not client.info("persistence")["aof_rewrite_in_progress"])
    (tmp_path / "engine").write_text(f"redis {on_path.version}")

    with pytest.raises(ServerNotReadyError):
        PrivateServer(profile("demo"), tmp_path, binary=on_path).start()


def test_server_built_without_jemalloc_is_given_the_machines(redis_server, server_binary):
    """Where there is one; else nothing is preloaded."""
    maps = Path(f"/proc/{redis_server.pid}/maps").read_text()

    if server_binary.preload:
        assert server_binary.preload.partition(".so")[0] in maps
        assert server_binary.preload in server_binary.label
    assert ("jemalloc" in maps or "jemalloc" in server_binary.allocator) == bool(
        server_binary.preload or server_binary.allocator.startswith("jemalloc")
    )
