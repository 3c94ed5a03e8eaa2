"""Errors by pattern on what real servers of both engines write."""

import json
import re
import socket
from contextlib import suppress

import pytest
from redis.exceptions import RedisError

from tests.conftest import GOLDEN
from tests.waiting import wait_until
from workbench.analysis.patterns import UNCLAIMED, patterns, server_entries
from workbench.cli import app
from workbench.errors import RunError, UsageError
from workbench.runs.run import Run

KIB = 1024


def by_rule(log):
    frame = patterns(server_entries(log.read_text(errors="replace").splitlines()))
    return dict(zip(frame["rule"], frame["template"], strict=True))


def test_start_save_restart_and_shutdown_leave_no_warning_unclaimed(start_server):
    """The control of all below: a calm life of a server."""
    server = start_server(save="3600 1")
    with server.client() as client:
        client.set("a", 1)
        client.bgrewriteaof()
        client.config_set("maxmemory", "30mb")
        wait_until(lambda: not client.info()["aof_rewrite_in_progress"], timeout_s=20)
        client.bgsave()
    server.stop()
    server.start()
    server.stop()

    # What the kernel is set to is the machine's doing.
    assert set(by_rule(server.log)) <= {"overcommit", "huge-pages", "accept-backlog"}


def test_client_that_does_not_read_is_one_of_dropped_clients(start_server):
    """Cut off at its limit: both engines say so, each in its own words."""
    server = start_server(directives={"client-output-buffer-limit": "normal 64kb 0 0"})
    with server.client() as client:
        client.set("big", "x" * 64 * KIB)
        port = client.connection_pool.connection_kwargs["port"]
        with socket.socket() as reader:
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            reader.connect(("127.0.0.1", port))
            reader.sendall(b"GET big\r\n" * 200)
            wait_until(lambda: "dropped-clients" in by_rule(server.log), timeout_s=10)

    told = by_rule(server.log)["dropped-clients"]
    assert told.startswith("Client <fields> ")
    assert told.endswith("closed for overcoming of output buffer limits.") or "ASAP" in told


def test_stranger_who_speaks_http_is_a_warning_that_nobody_judges(start_server):
    """The address and the port are masked."""
    server = start_server()
    with server.client() as client:
        port = client.connection_pool.connection_kwargs["port"]
    with socket.create_connection(("127.0.0.1", port)) as stranger:
        stranger.sendall(b"POST / HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_until(lambda: UNCLAIMED in by_rule(server.log), timeout_s=10)

    told = by_rule(server.log)[UNCLAIMED]
    assert told.startswith("Possible SECURITY ATTACK detected")
    assert str(port) not in told


def test_rewrite_that_cannot_make_its_file_is_one_of_aof_rewrite(start_server):
    """A file stands where its folder was; the server repeats it at each try."""
    server = start_server()
    folder = server.folder / "appendonlydir"
    folder.rename(server.folder / "elsewhere")
    folder.write_text("")
    with server.client() as client:
        with suppress(RedisError):  # Redis says so in its log alone, Valkey also in its reply
            client.bgrewriteaof()
        wait_until(lambda: "aof-rewrite" in by_rule(server.log), timeout_s=10)

    assert by_rule(server.log)["aof-rewrite"].startswith("Can't open or create append-only dir")


@pytest.fixture
def told(capsys):
    """Carry the command out here: what it printed."""

    def told(*words):
        app([str(word) for word in ("errors", *words)], standalone_mode=False)
        return capsys.readouterr().out

    return told


def test_command_tells_of_a_run(told):
    """Golden: what was evicted, by step; and one warning of the server."""
    found = json.loads(told(GOLDEN, "--json"))["patterns"]

    outcomes = Run(GOLDEN).operations["outcome"].astype(str).value_counts()
    evicted = [each for each in found if each["rule"] == "live-state-evicted"]
    assert {"redis.log", "operations"} <= {each["source"] for each in found}
    assert sum(each["count"] for each in evicted) == outcomes["evicted"] > 100
    assert all(each["first_unix_s"] for each in evicted)


def test_command_tells_of_a_servers_log(told, tmp_path):
    """For people, with rule and time."""
    log = tmp_path / "redis.log"
    log.write_text("1:M 26 Nov 2026 10:36:59.202 # !!! Truncating the AOF x at offset 7 !!!\n")

    out = told("--log", log)

    assert "aof-truncated  !!! Truncating the AOF x at offset <n> !!!" in out
    assert "2026-11-26 10:36:59" in out


def test_command_says_that_there_are_no_errors(told, tmp_path):
    """Rather than nothing."""
    log = tmp_path / "redis.log"
    log.write_text("1:M 26 Nov 2026 10:36:59.202 * Ready to accept connections\n")

    assert told("--log", log) == f"no errors in {log}\n"
    assert json.loads(told("--log", log, "--json"))["patterns"] == []


@pytest.mark.parametrize(
    ("words", "kind", "complaint"),
    [
        (["--log", "nowhere.log"], UsageError, "nowhere.log cannot be read"),
        (["--log", "."], UsageError, "cannot be read"),
        (["--log", "pyproject.toml"], UsageError, "has no line of a Redis or Valkey log"),
        (["latest", "--log", "nowhere.log"], UsageError, "leave one of them out"),
        (["nothing"], RunError, "there is no run 'nothing'"),
    ],
)
def test_command_refuses_what_makes_no_sense(told, words, kind, complaint):
    """By errors that end with exit code 2."""
    with pytest.raises(kind, match=re.escape(complaint)):
        told(*words)
