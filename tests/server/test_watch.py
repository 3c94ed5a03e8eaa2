"""The watch on real servers: what it shows, what it costs, and what it makes of a restart."""

import json
import os
import pty
import signal
import subprocess
from itertools import pairwise

import pytest
from redis.exceptions import ResponseError

from tests.commands import PROGRAM, ROOT, workbench
from tests.waiting import wait_until
from workbench.cli import app
from workbench.errors import ServerNotReadyError, TargetRefusedError, UsageError
from workbench.experiments.watching import Watcher
from workbench.server.process import PrivateServer
from workbench.server.profiles import profile
from workbench.telemetry.board import rows

KIB = 1024


@pytest.fixture
def watcher(redis_server, client):
    """A watcher of the shared server, which is empty."""
    watcher = Watcher(redis_server.url)
    yield watcher
    watcher.close()


def failing(watcher):
    """The rules that fail now."""
    return {each.finding.rule for each in watcher.look(judge=True).standing}


def test_look_shows_what_the_server_did(watcher, client):
    """Commands, hits, errors, p99 and the AOF, on either engine."""
    watcher.look(judge=False)
    for number in range(50):
        client.set(f"k{number}", "x", ex=300)
    client.get("k1")
    client.get("nothing")
    client.execute_command("SET", "wrong", "x", "EX", "300")
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        client.lpush("wrong", 1)

    board = watcher.look(judge=False).board

    assert board.answered
    assert board.commands_per_s > 0
    assert board.hits_share == 0.5
    assert list(board.errors_per_s) == ["WRONGTYPE"]
    assert "set" in board.p99_us
    assert board.ping_us > 0
    assert board.aof.aof_current_size > 0
    assert board.clients >= 2
    assert all(row.text for row in rows(watcher.boards))


def test_plain_look_is_one_info_and_one_ping(watcher, client):
    """That is its whole cost to the server."""

    def calls():
        stats = client.info("commandstats")
        return {name: each["calls"] for name, each in stats.items()}

    watcher.look(judge=False)
    before = calls()
    watcher.look(judge=False)
    after = calls()

    grown = {name: after[name] - before.get(name, 0) for name in after}
    # The count of our own INFO is in it as well.
    assert {name: by for name, by in grown.items() if by} == {"cmdstat_info": 2, "cmdstat_ping": 1}


def test_finding_comes_up_and_is_cleared(watcher, client):
    """Errors fail the window in which they were; a reset begins it anew."""
    watcher.look(judge=True)
    client.set("text", "x")
    for _ in range(50):
        with pytest.raises(ResponseError, match="WRONGTYPE"):
            client.lpush("text", 1)

    came = watcher.look(judge=True)

    assert ("new", "error-replies") in [(each.what, each.finding.rule) for each in came.changes]
    assert "error-replies" in failing(watcher)
    client.config_resetstat()
    watcher.look(judge=False)
    watcher.look(judge=True)
    assert "error-replies" not in failing(watcher)


def test_limit_that_is_given_is_shown_and_judged(redis_server, client):
    """A cap over the container's limit is found."""
    watcher = Watcher(redis_server.url, limit_bytes=8 * KIB * KIB)

    assert "cap-near-limit" in failing(watcher)
    assert watcher.limit == (8 * KIB * KIB, "given")
    watcher.close()


def test_what_is_refused_is_asked_once(redis_server, client):
    """Each refusal is an error in the server's count, which rules judge."""
    client.execute_command("ACL", "SETUSER", "poor", "on", ">secret", "+info", "+ping")
    watcher = Watcher(redis_server.url.replace("redis://", "redis://poor:secret@"))
    watcher.look(judge=True)

    before = client.info("errorstats")["errorstat_NOPERM"]["count"]

    again = watcher.look(judge=True)

    watcher.close()
    client.execute_command("ACL", "DELUSER", "poor")
    assert before > 0
    assert client.info("errorstats")["errorstat_NOPERM"]["count"] == before
    assert again.judged_unix_s


def test_restart_is_noticed_and_a_server_that_is_gone_is_waited_for(start_server):
    """Unreachable with a reason, at longer pauses; then another process, without negative rates."""
    server = start_server()
    watcher = Watcher(server.url, interval_s=1.0)
    pauses = []
    scenes = watcher.scenes(pauses.append)
    with server.client() as client:
        client.set("a", 1)
    first = next(scenes)
    server.stop()
    gone = [next(scenes) for _ in range(7)]
    server.start()
    back = next(scenes)

    assert first.board.answered
    assert [each.board.answered for each in gone] == [False] * 7
    assert "refused" in gone[0].board.error
    # No time passes here between two looks: what is left to wait adds up.
    apart_s = [after - before for before, after in pairwise(pauses)]
    assert max(apart_s) < 10.1
    assert apart_s[-2] > 4 * apart_s[0]
    assert back.board.answered
    assert back.board.restarted
    assert back.board.commands_per_s is None
    watcher.close()


def test_server_that_cannot_be_had_is_refused_at_once():
    """Neither a wrong URL nor a port where nobody listens is watched for ever."""
    with pytest.raises(ServerNotReadyError, match="cannot be looked at"):
        Watcher("redis://:hunter2@127.0.0.1:1")
    with pytest.raises(TargetRefusedError):
        Watcher("nonsense")


def test_command_prints_one_object_for_programs(redis_server, client, capsys):
    """Two looks, an interval apart: it has rates, and has judged."""
    words = ["watch", "--url", redis_server.url, "--interval", "200ms", "--once", "--json"]
    app(words, standalone_mode=False)

    told = json.loads(capsys.readouterr().out)
    assert told["answered"]
    assert told["commands_per_s"] > 0
    assert told["judged_unix_s"]
    assert all(
        set(each) == {"since_unix_s", "rule", "severity", "says"} for each in told["failing"]
    )


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--interval", "10ms"], "outside 200ms to 60s"),
        (["--once", "--for", "5s"], "--once ends by itself"),
        (["--for", "100ms"], "outside one interval"),
        (["--limit", "0"], "--limit is 0"),
        (["--url", "nonsense"], "is not the URL of a server"),
    ],
)
def test_command_refuses_what_makes_no_sense(words, complaint):
    """By an error that ends with exit code 2, before anything is asked."""
    with pytest.raises(UsageError, match=complaint):
        app(["watch", *words], standalone_mode=False)


@pytest.fixture
def one_server(tmp_path):
    """What a terminal shows does not depend on the engine."""
    with PrivateServer(profile("demo"), tmp_path / "server") as server:
        yield server


def test_command_in_a_pipe_prints_lines_and_ends_by_ctrl_c(one_server, tmp_path):
    """No escape sequence reaches a log; the exit code is that of an interrupt."""
    process = workbench(tmp_path, "watch", "--url", one_server.url, "--interval", "200ms")
    told = [process.stdout.readline() for _ in range(3)]
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)

    assert process.returncode == 130
    assert "memory" in told[0]
    assert "\x1b" not in "".join(told) + out
    assert "Traceback" not in err


@pytest.mark.slow
def test_command_at_a_terminal_draws_and_leaves_the_cursor_shown(one_server):
    """What was last seen stays on the screen."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [PROGRAM, "watch", "--url", one_server.url, "--interval", "200ms"],
        cwd=ROOT,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"},
    )
    os.close(theirs)
    drawn = b""

    def read():
        nonlocal drawn
        try:
            drawn += os.read(ours, 65536)
        except OSError:  # the terminal's end, once the process is gone
            return True
        return False

    wait_until(lambda: read() or b"evictions" in drawn, timeout_s=20)
    process.send_signal(signal.SIGINT)
    wait_until(read, timeout_s=20)
    os.close(ours)

    assert process.wait(timeout=20) == 130
    assert b"commands" in drawn
    assert drawn.rfind(b"\x1b[?25h") > drawn.rfind(b"\x1b[?25l")  # shown, after it was hidden
    assert b"\x1b[?1049h" not in drawn  # no other screen
