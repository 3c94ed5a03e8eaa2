"""``workbench config`` with real servers: what is shown starts them, what is given they read."""

import json
import re
import shlex
import subprocess
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from redis.exceptions import RedisError

from tests.commands import ROOT, processes_below
from tests.waiting import wait_until
from workbench.checkout import experiments_dir
from workbench.errors import ServerNotReadyError, UsageError
from workbench.experiments.spec import experiment_toml, read_experiment
from workbench.server import process as processes
from workbench.server.checking import check_configuration, check_server
from workbench.server.configuration import read_configuration
from workbench.server.process import PrivateServer, die_with_parent
from workbench.server.profiles import profile
from workbench.server.renderings import documented, render
from workbench.server.settings import dead_settings
from workbench.state import connect


@contextmanager
def started(binary, words, folder):
    """CONFIG GET of a server that was started with these words, in the folder."""
    port = processes.free_port()
    place = ["--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder)]
    child = subprocess.Popen(
        [binary.path, *words, *place],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=die_with_parent(),  # noqa: PLW1509
    )
    try:
        with connect(f"redis://127.0.0.1:{port}") as client:

            def settings():
                try:
                    return client.config_get("*")
                except RedisError:
                    return {}

            wait_until(settings, why="a server that answers")
            yield settings()
    finally:
        child.terminate()
        child.wait(timeout=10)


@pytest.mark.parametrize("form", ["conf", "argv"])
@pytest.mark.parametrize("name", ["development", "production"])
def test_server_that_is_started_with_what_is_shown_is_the_documented_one(
    server_binary, tmp_path, name, form
):
    """CONFIG GET answers what the profile says, setting for setting."""
    environment = documented(name, task_memory_mib=1024 if name == "production" else None)
    text = render(environment, form)
    (tmp_path / "shown.conf").write_text(text)
    words = ["shown.conf"] if form == "conf" else shlex.split(text)[1:]
    directives = environment.profile.directives()

    with started(server_binary, words, tmp_path) as settings:
        found = {setting: settings[setting] for setting in directives}

    assert found == {setting: value.strip('"') for setting, value in directives.items()}


@pytest.fixture
def check(server_binary, tmp_path):
    """Hold a text against the documented development server."""

    def check(text, name="development"):
        path = tmp_path / "given.conf"
        path.write_text(text)
        return check_configuration(read_configuration(path), profile(name), server_binary)

    return check


def test_documented_settings_are_found_to_be_so(check):
    """Nothing that matters, and of production the one setting that has no effect."""
    development = check(render(documented("development"), "conf"))
    production = check(render(documented("production"), "conf"), "production")

    assert (development.verdict, development.exit_code) == ("as documented", 0)
    assert development.no_effect == development.others == ()
    assert (production.verdict, production.exit_code) == ("as documented", 0)
    assert [each.name for each in production.no_effect] == ["stop-writes-on-bgsave-error"]


GIVEN = """\
bind 0.0.0.0
requirepass hunter2secret
maxmemory 256mb
maxmemory 512mb
maxmemory-policy allkeys-lru
appendonly no
appendfsync always
stop-writes-on-bgsave-error no
save ""
lfu-decay-time 3
hz 50
include elsewhere.conf
loadmodule nowhere.so
daemonize yes
pidfile given.pid
unixsocket given.sock
logfile given.log
dir /
repl-backlog-size 10mb
activedefrag yes
"""


def test_file_is_read_by_a_server_and_told_apart_by_what_matters(check, tmp_path):
    """What differs, what has no effect, what differs besides; each with its line."""
    found = check(GIVEN)

    assert [(each.name, each.severity) for each in found.matter] == [("appendonly", "critical")]
    assert {each.name: each.line for each in found.no_effect} == {
        "maxmemory": 3,
        "appendfsync": 7,
        "stop-writes-on-bgsave-error": 8,
        "lfu-decay-time": 10,
        "activedefrag": 20,
    }
    assert {"hz", "repl-backlog-size", "requirepass"} == {each.name for each in found.others}
    assert found.unread == ("elsewhere.conf",)
    assert {"bind", "dir", "loadmodule", "unixsocket"} <= set(found.elsewhere)
    assert found.exit_code == 1
    assert "hunter2secret" not in repr(found)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["given.conf"]


def test_what_was_not_read_makes_it_unknown(check):
    """An included file may set whatever this one does not; what this one does is told."""
    found = check("include more.conf\nhz 10\n")
    grave = check("include more.conf\nappendonly no\n")

    assert (found.verdict, found.exit_code, found.matter) == ("unknown", 3, ())
    assert [each.name for each in grave.matter] == ["appendonly"]
    assert grave.exit_code == 1


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("maxmemory 512mbb", "line 3: .*argument must be a memory value: 'maxmemory 512mbb'"),
        ("maxmemroy 5mb", "line 3: .*Bad directive.*did you mean 'maxmemory'"),
        ("requirepas hunter2", "line 3: .*: 'requirepas …'; did you mean 'requirepass'"),
        ('requirepass "hunter2', "line 3: .*Unbalanced quotes"),
    ],
)
def test_refusal_is_in_the_servers_words_with_the_line(check, line, told):
    """And with what was probably meant; never with a value that may be a password."""
    with pytest.raises(UsageError, match=told) as refused:
        check(f"# ours\nhz 10\n{line}\nsave ''\n")

    assert "hunter2" not in str(refused.value)


def test_directive_of_a_newer_server_is_told_from_a_typing_error(check, server_binary):
    """Redis 7.0 refuses it and is told who knows it; Valkey takes it, and 7.0 would not start."""
    text = render(documented("development"), "conf") + "set-max-listpack-entries 64\n"

    if server_binary.engine == "redis":
        with pytest.raises(UsageError, match=r"Redis 7\.2 knows it"):
            check(text)
    else:
        (found,) = check(text).matter
        assert (found.name, found.severity) == ("set-max-listpack-entries", "critical")


COMPOSE = """
services:
  r:
    image: redis:7.0-alpine
    command: redis-server --maxmemory 512mb --maxmemory-policy allkeys-lru --appendonly yes
    mem_limit: {limit}
    sysctls: {{vm.overcommit_memory: 1}}
    healthcheck:
      test: [CMD, redis-cli, {flags}ping]
"""


def test_container_is_looked_at_as_well(check):
    """A limit under the cap, a health test that tells nothing, a kernel's setting."""
    good, bad = COMPOSE.format(limit="1g", flags="-e, "), COMPOSE.format(limit="512m", flags="")

    found, grave = check(good), check(bad)

    assert [each.name for each in found.matter] == ["save"]
    assert [each.name for each in found.no_effect] == ["sysctls"]
    assert [(each.name, each.severity) for each in grave.matter] == [
        ("maxmemory", "critical"),
        ("save", "warning"),
    ]
    assert [each.name for each in grave.no_effect] == ["health test", "sysctls"]


def test_running_server_is_sent_config_get_and_nothing_that_writes(
    redis_server, client, server_binary
):
    """Beside the client's own HELLO and PING; its passwords are not kept."""
    client.config_resetstat()

    found = check_server(redis_server.url, profile("development"), server_binary)

    sent = {name.removeprefix("cmdstat_") for name in client.info("commandstats")}
    assert sent <= {"config|get", "hello", "ping", "config|resetstat"}
    assert [each.name for each in found.matter] == ["maxmemory"]
    assert "auto-aof-rewrite-min-size" in [each.name for each in found.others]
    assert "requirepass" not in found.config


def test_user_of_the_page_may_be_checked_with(start_server, server_binary):
    """The line of the how-to is enough; without CONFIG it is said what is missing."""
    page = (ROOT / "docs" / "how-to" / "check-a-configuration.md").read_text()
    line = re.search(r"`(ACL SETUSER .+?)`", page)[1]
    server = start_server()
    url = server.url.replace("redis://", "redis://watcher:changeme@")
    with server.client() as client:
        client.execute_command(*line.split())
        found = check_server(url, profile("development"), server_binary)
        client.execute_command(*line.split(), "-config")

        with pytest.raises(ServerNotReadyError, match="does not answer CONFIG GET") as refused:
            check_server(url, profile("development"), server_binary)

    assert [each.name for each in found.matter] == ["maxmemory"]
    assert "secret" not in f"{found} {refused.value}"


def test_server_that_is_not_there_is_not_ready(server_binary):
    """The message names it without its password."""
    with pytest.raises(ServerNotReadyError, match=r"127\.0\.0\.1:1 does not answer") as failed:
        check_server("redis://:hunter2@127.0.0.1:1", profile("development"), server_binary)

    assert "hunter2" not in str(failed.value)


@pytest.mark.whole_command
def test_commands_print_and_exit_as_they_found(ask, tmp_path, redis_server):
    """In words for people, as JSON for programs; nothing is left behind."""
    file = tmp_path / "container.json"
    file.write_text(render(documented("production"), "ecs"))

    same, text, _ = ask("config", "check", file, "--task-memory", "2048")
    other, out, _ = ask("config", "check", "--url", redis_server.url, "--json")

    told = json.loads(out)
    assert (same, other) == (0, 1)
    assert "as documented: production, a task of 2048 MiB" in text
    assert re.search(r"has no effect\n  stop-writes-on-bgsave-error: no \(line \d+\)\n", text)
    assert "this host" in text
    assert (told["exit_code"], told["verdict"]) == (1, "differs")
    assert told["matter"][0]["name"] == "maxmemory"
    assert "vm.overcommit_memory" in told["host"]["says"]
    assert list((tmp_path / "tmp").iterdir()) == []
    assert processes_below(tmp_path / "tmp") == []


def test_experiment_that_is_shown_is_the_same_when_it_is_read(tmp_path):
    """Every experiment that is here, as a file that can be run."""
    for path in sorted(experiments_dir().glob("*.toml")):
        experiment = read_experiment(path).with_overrides(maxmemory_bytes=5_000_001)
        file = tmp_path / path.name
        file.write_text(experiment_toml(experiment))

        assert read_experiment(file) == experiment


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("stop_writes", [True, False])
def test_full_disk_has_writes_refused_whatever_stop_writes_says(
    server_binary, tmp_path, stop_writes
):
    """Which is why it is told to have no effect; before the disk was full they were taken."""
    aof = tmp_path / "appendonlydir"
    aof.mkdir()
    (aof / "appendonly.aof.1.incr.aof").symlink_to("/dev/full")
    (aof / "appendonly.aof.manifest").write_text("file appendonly.aof.1.incr.aof seq 1 type i\n")
    (tmp_path / "engine").write_text(f"{server_binary.engine} {server_binary.version}")
    production = replace(profile("production"), stop_writes_on_bgsave_error=stop_writes)

    with (
        PrivateServer(production, tmp_path, binary=server_binary) as server,
        server.client() as client,
    ):
        client.set("k", "v")  # that it was not kept shows after it
        wait_until(lambda: client.info("persistence")["aof_last_write_status"] == "err")
        dead = [each.name for each in dead_settings(client.config_get("*"))]
        with pytest.raises(RedisError, match=r"AOF|MISCONF"):
            client.set("k", "v")

    assert dead == ([] if stop_writes else ["stop-writes-on-bgsave-error"])
