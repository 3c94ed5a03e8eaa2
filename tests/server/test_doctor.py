"""doctor on real servers: what it finds, what it sends, and what it may not do."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from redis.exceptions import NoPermissionError

from tests.commands import ROOT
from tests.waiting import wait_until
from workbench.diagnostics.finding import RULES, evaluate
from workbench.errors import TargetRefusedError
from workbench.experiments.runner import sample
from workbench.runs.run import Run
from workbench.server.binary import find_binary
from workbench.server.guard import parse_target
from workbench.server.process import PrivateServer
from workbench.server.profiles import profile
from workbench.state import StateManager, connect
from workbench.telemetry.snapshot import ACL_LINE, ACL_LINE_KEYS, COMMANDS, take_snapshot

MIB = 1024**2
CANARY = "canary-4b1d"
BY_CLIENT = {"hello", "auth", "client|setinfo", "client|setname", "select", "readonly"}
"""What redis-py sends by itself, which every user may."""


@pytest.fixture(scope="module", params=["redis", "valkey"])
def server(request, tmp_path_factory):
    """The documented development profile, with conversations on it."""
    if request.param == "redis" and not shutil.which("redis-server"):
        pytest.skip("redis-server is not on PATH")
    folder = tmp_path_factory.mktemp("doctor")
    with PrivateServer(
        profile("development"), folder, binary=find_binary(request.param)
    ) as started:
        with started.client() as client:
            for number in range(300):
                client.set(f"channel:{CANARY}-{number}", CANARY * 20, ex=200 + number)
        yield started


def with_user(server, line, **_):
    """The server's URL for a user of that line."""
    with server.client() as client:
        client.execute_command(*line.replace("watcher", "reader").split())
        client.acl_log_reset()
    return server.url.replace("redis://", "redis://reader:changeme@")


def calls(client):
    return {
        name.removeprefix("cmdstat_"): values["calls"]
        for name, values in client.info("commandstats").items()
    }


def diagnosed(url, folder, *, keys=0, **asked):
    """The run of one second's look, and what is found in it."""
    run_dir = sample(
        url,
        folder,
        seconds=1.0,
        interval_s=0.25,
        say=lambda _: None,
        progress=lambda _: None,
        keys=keys,
        asked=asked,
    )
    return run_dir, evaluate(Run(run_dir))


def alarms(findings):
    return {f.rule for f in findings if f.verdict == "fail" and f.severity != "info"}


def test_healthy_development_profile_raises_no_alarm_and_is_left_as_it_was(server, tmp_path):
    """On either engine; and no name or value of a key is in what is kept of it."""
    with server.client() as client:
        before = client.dbsize(), client.config_get("*")

        run_dir, findings = diagnosed(server.url, tmp_path, keys=300)

        assert (client.dbsize(), client.config_get("*")) == before
    assert alarms(findings) == set()
    assert {each.rule for each in findings} == {rule.id for rule in RULES.values()}
    kept = [path for path in run_dir.rglob("*") if path.is_file()]
    assert len(kept) > 3
    assert [path for path in kept if CANARY.encode() in path.read_bytes()] == []


def test_page_names_the_users_that_a_look_needs():
    """Word for word, so that what is tested here is what is typed there."""
    page = (ROOT / "docs" / "how-to" / "attach.md").read_text()
    more = ACL_LINE_KEYS.removeprefix(ACL_LINE)

    assert f"\n    {ACL_LINE}\n" in page
    assert f"\n    ACL SETUSER watcher{more}\n" in page


def test_look_needs_no_more_than_the_documented_user_may(server):
    """A user of exactly that line is refused nothing, and sends nothing else."""
    url = with_user(server, ACL_LINE)
    with server.client() as owner, connect(url) as client:
        before = calls(owner)
        found = take_snapshot(client)
        sent = {name for name, count in calls(owner).items() if count > before.get(name, 0)}

        assert found.refused == {}
        assert owner.acl_log() == []
        assert sent - BY_CLIENT - {"acl|log", "acl|setuser"} <= set(COMMANDS)


@pytest.mark.parametrize("taken", [name for name in COMMANDS if name not in {"ping", "info"}])
def test_what_may_not_be_asked_is_on_record_and_nothing_breaks(server, taken):
    """The control of the line: without any one of them something is missing."""
    url = with_user(server, f"{ACL_LINE} -{taken}")
    with connect(url) as client:
        found = take_snapshot(client)

    assert taken in found.refused


def test_look_at_keys_needs_what_the_second_line_adds(server):
    """And without that the keys are left out, with the reason."""
    with connect(with_user(server, ACL_LINE_KEYS)) as client:
        seen = take_snapshot(client, keys=200)
    with connect(with_user(server, "ACL SETUSER watcher reset")) as _:
        pass
    with connect(with_user(server, ACL_LINE)) as client:
        refused = take_snapshot(client, keys=200)

    assert seen.keys is not None
    assert 200 <= seen.keys["channel"].keys <= 300
    assert seen.keys["channel"].without_ttl == 0
    assert (refused.keys, list(refused.refused)) == (None, ["scan"])


def test_server_that_is_wrong_in_many_ways_is_told_each(tmp_path):
    """One server, made wrong by settings and by what is done to it."""
    wrong = {
        "appendfsync": "no",
        "auto-aof-rewrite-percentage": "0",
        "hz": "1",
        "latency-monitor-threshold": "0",
        "lfu-decay-time": "5",
        "maxmemory": "6mb",
        "maxmemory-policy": "volatile-lru",
        "notify-keyspace-events": "KEA",
        "no-appendfsync-on-rewrite": "yes",
        "stop-writes-on-bgsave-error": "no",
    }
    with PrivateServer(profile("development"), tmp_path / "server") as server:
        with server.client() as client:
            for name, value in wrong.items():
                client.config_set(name, value)
            with client.pipeline(transaction=False) as pipe:
                for number in range(6000):
                    pipe.set(f"channel:{number}", "x" * 2000)
                pipe.execute(raise_on_error=False)
            client.set("channel:large", "x")
            client.keys("nothing*")

        _, findings = diagnosed(server.url, tmp_path, keys=200, memory_limit_bytes=8 * MIB)

    failed = {each.rule: each for each in findings if each.verdict == "fail"}
    assert {
        "appendfsync",
        "cap-near-limit",
        "dead-settings",
        "expire-hz",
        "fsync-while-rewriting",
        "keys-without-ttl",
        "keyspace-events",
        "latency-monitor",
        "output-limit",
        "rewrite-never",
        "volatile-without-ttl",
    } <= set(failed)
    assert all(each.why and each.remedy for each in failed.values())
    assert ("outdated" in failed) == (server.binary.version < "7.1")


def test_what_settings_alone_do_not_show_is_told_of_a_real_server(start_server, tmp_path):
    """What its host grants, what it is meant to be, its health check, and what clients meet."""
    server = start_server(directives={"tcp-backlog": "60000"})
    over = threading.Event()

    def ask_for_what_is_not_there():
        with server.client() as asking:
            while not over.wait(0.01):
                asking.mget([f"channel:nobody-{number}" for number in range(100)])

    with server.client() as client:
        for number in range(2000):
            client.set(f"channel:{number}", "x" * 1000, ex=300)
        client.bgrewriteaof()
        wait_until(lambda: client.info()["aof_last_cow_size"] > 0, timeout_s=20, why="a rewrite")
        memory = client.info()
        thread = threading.Thread(target=ask_for_what_is_not_there)
        thread.start()
        try:
            _, findings = diagnosed(
                server.url,
                tmp_path,
                profile="production",
                health_check="redis-cli ping",
                memory_limit_bytes=memory["used_memory_rss"] + memory["aof_last_cow_size"],
            )
        finally:
            over.set()
            thread.join()

    failed = {each.rule for each in findings if each.verdict == "fail"}
    assert {
        "accept-backlog",
        "cap-near-limit",
        "cow-headroom",
        "health-check",
        "misses",
        "single-node",
    } <= failed


@pytest.fixture
def container():
    """A cgroup of 24 MiB below the test's own, as a container has it."""
    own = dict(
        line.split(":", 2)[1:] for line in Path("/proc/self/cgroup").read_text().splitlines()
    )
    if "memory" not in own:
        pytest.skip("the memory controller is not one of cgroup v1")
    parent = Path("/sys/fs/cgroup/memory") / own["memory"].lstrip("/")
    folder = parent / f"wb-trial-{os.getpid()}"
    folder.mkdir()
    (folder / "memory.limit_in_bytes").write_text(str(24 * MIB))
    yield folder
    for pid in (folder / "cgroup.procs").read_text().split():
        (parent / "cgroup.procs").write_text(pid)
    folder.rmdir()


@pytest.mark.capability("cgroup")
def test_server_in_a_container_is_held_against_its_limit(start_server, tmp_path, container):
    """By its own cgroup, not by this process's."""
    server = start_server()
    (container / "cgroup.procs").write_text(str(server.pid))

    run_dir, findings = diagnosed(server.url, tmp_path)

    host = Run(run_dir).snapshots[-1].host
    failed = {each.rule for each in findings if each.verdict == "fail"}
    assert (host.memory_limit_bytes, host.memory_limit_source) == (24 * MIB, "cgroup v1")
    assert host.oom_kills == 0
    assert {"cap-near-limit", "oom-victim"} <= failed


@pytest.mark.slow
def test_rewrite_at_the_cap_is_held_against_the_containers_memory(start_server, tmp_path):
    """Resident memory and the copy that was seen, where the limit is only said."""
    server = start_server()
    with server.client() as client:
        for number in range(25_000):
            client.set(f"channel:{number}", "x" * 1000, ex=300)
        rewriting = threading.Timer(0.5, client.bgrewriteaof)
        rewriting.start()
        _, findings = diagnosed(server.url, tmp_path, memory_limit_bytes=24 * MIB)
        rewriting.join()

    assert {"cap-near-limit", "memory-headroom"} <= alarms(findings)


@pytest.mark.slow
@pytest.mark.capability("cgroup")
def test_kill_for_want_of_memory_in_the_container_is_seen(start_server, tmp_path, container):
    """Of another process, before the server came; the kernel counts for the container's life."""
    greedy = (
        f"import os; open('{container}/cgroup.procs', 'w').write(str(os.getpid())); "
        "held = bytearray(64 * 1024**2)"
    )
    killed = subprocess.run([sys.executable, "-c", greedy], check=False)
    server = start_server()
    (container / "cgroup.procs").write_text(str(server.pid))

    _, findings = diagnosed(server.url, tmp_path)

    assert killed.returncode == -signal.SIGKILL
    assert "oom-killed" in alarms(findings)


@pytest.mark.slow
@pytest.mark.capability("redis-on-path")
def test_server_at_its_share_of_a_core_is_told(start_server, tmp_path):
    """A tenth of a core is all that its container lets it have."""
    server = start_server()
    parent = Path("/sys/fs/cgroup/cpu")
    own = dict(
        line.split(":", 2)[1:] for line in Path("/proc/self/cgroup").read_text().splitlines()
    )
    if "cpu" not in own or not os.access(parent, os.W_OK):
        pytest.skip("the cpu controller is not one of cgroup v1, or not ours")
    folder = parent / own["cpu"].lstrip("/") / f"wb-trial-{os.getpid()}"
    folder.mkdir()
    over = threading.Event()

    def keep_busy():
        with server.client() as client:
            while not over.is_set():
                client.eval("local sum = 0; for i = 1, 1000000 do sum = sum + i end", 0)

    thread = threading.Thread(target=keep_busy)
    try:
        (folder / "cpu.cfs_period_us").write_text("100000")
        (folder / "cpu.cfs_quota_us").write_text("10000")
        (folder / "cgroup.procs").write_text(str(server.pid))
        thread.start()
        _, findings = diagnosed(server.url, tmp_path)
    finally:
        over.set()
        thread.join()
        for pid in (folder / "cgroup.procs").read_text().split():
            (folder.parent / "cgroup.procs").write_text(pid)
        folder.rmdir()

    assert "cpu-bound" in alarms(findings)


def test_command_tells_why_and_what_to_set_and_exits_with_1(start_server, ask):
    """For people; and nothing is left of the run that it made for itself."""
    server = start_server(maxmemory_policy="volatile-ttl")
    with server.client() as client:
        for number in range(200):
            client.set(f"channel:{number}", "x")

    code, out, err = ask("doctor", "--url", server.url, "--for", "1s")

    assert (code, err) == (1, "")
    assert "FAIL     volatile-without-ttl: 0 of 200 keys may be evicted under volatile-ttl." in out
    assert "           redis.conf  maxmemory-policy allkeys-lru\n" in out
    assert "           ECS         " in out
    assert "rules passed: " in out


def test_user_that_the_remedy_names_can_work_and_erase_nothing(start_server):
    """The state manager needs no more than that line, and FLUSHALL is not in it."""
    server = start_server()
    line = RULES["dangerous-commands"].remedy.redis_conf.partition("; user ")[2]
    with server.client() as owner:
        owner.execute_command("ACL", "SETUSER", *line.replace(">…", ">secret").split())
        with connect(server.url.replace("redis://", "redis://service:secret@")) as client:
            manager = StateManager("channel:1", client)
            with manager.message("one") as work:
                work.initialize_channel("whatsapp", "1")

            assert manager.get_channel_id() == "1"
            assert owner.acl_log() == []
            for erasing in ("FLUSHALL", "FLUSHDB", "SHUTDOWN", "CONFIG SET maxmemory 1"):
                with pytest.raises(NoPermissionError):
                    client.execute_command(*erasing.split())


def test_nobody_there_is_said_in_one_line(ask):
    """With the address, and without a traceback."""
    code, out, err = ask("doctor", "--url", "redis://:hidden@127.0.0.1:1")

    assert (code, out) == (4, "")
    assert err.startswith("workbench: redis://")
    assert "hidden" not in err


def test_url_without_its_option_is_not_said_back(ask):
    """With its password; and the option is named that was meant."""
    code, out, err = ask("doctor", "redis://:hunter2@127.0.0.1:1")

    assert (code, out) == (2, "")
    assert "Did you mean --url?" in err
    assert "hunter2" not in err


@pytest.mark.parametrize("password", ["hunter2#sec", "hunter2/sec", "hunter2?sec"])
def test_password_that_splits_the_url_is_not_said_back(password):
    """Not even the half that urllib takes for a port."""
    with pytest.raises(TargetRefusedError) as refused:
        parse_target(f"redis://me:{password}@127.0.0.1:1")

    assert "hunter2" not in str(refused.value)
    assert "%23" in str(refused.value)


def test_database_that_is_no_number_is_refused():
    """Before anything is asked."""
    with pytest.raises(TargetRefusedError, match="the number of a database"):
        parse_target("redis://127.0.0.1:1/abc")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--deployment", "tests/data/runs/tiny/redis.conf"], "is a redis.conf"),
        (["--limit", "716"], "under 1mb; write it with its unit, such as 716mb"),
        (["--for", "10ms"], "--for is 10ms, outside 1s to 1 day"),
        (["--keys", "-1"], "--keys is -1, outside 0 to 100000"),
        (["--profile", "prodction"], "did you mean 'production'?"),
        (["--limit", "lots"], "'lots'"),
        (["--service", "redis"], "give its file by --deployment"),
        (["--deployment", "nowhere.yml"], "nowhere.yml cannot be read"),
    ],
)
def test_slip_is_refused_before_anything_is_asked(words, says):
    """With what is right instead; in process, since nothing is started."""
    from typer.testing import CliRunner

    from workbench.cli import app
    from workbench.errors import UsageError

    result = CliRunner().invoke(app, ["doctor", "--url", "redis://127.0.0.1:1", *words])

    assert isinstance(result.exception, UsageError)
    assert says in str(result.exception)
