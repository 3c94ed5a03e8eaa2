"""The ledger on a real server: what it sees, what it sets, and puts back however it ends."""

import json
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import pandas as pd
import pytest

from tests.commands import ended as gone
from tests.commands import only_run, workbench
from tests.waiting import wait_until
from workbench.diagnostics.finding import evaluate
from workbench.errors import RunFailedError, TargetRefusedError, UsageError
from workbench.experiments.runner import carry_out, sample
from workbench.experiments.spec import Experiment
from workbench.runs.clock import Clock
from workbench.runs.run import Run
from workbench.runs.schema import TABLES
from workbench.server.process import PrivateServer
from workbench.server.profiles import profile
from workbench.telemetry.evictions import Ledger
from workbench.telemetry.keyspace import ACL_RULES, NOTE, ask_for_events, put_back

ROOT = Path(__file__).resolve().parents[2]
SETTING = "notify-keyspace-events"


def setting(client):
    return "".join(sorted(client.config_get(SETTING)[SETTING]))


def recorded(run_dir, table):
    parts = sorted((run_dir / table).glob("part-*"))
    return pd.concat([pd.read_parquet(part) for part in parts]) if parts else pd.DataFrame()


def listen(url, run_dir, act, **options):
    """Have a ledger listen while ``act`` is done, which is what it waits for."""
    ledger = Ledger(url, run_dir, window_s=0.1, clock=Clock(), **options)
    done = threading.Event()

    def acting():
        try:
            wait_until(lambda: list(run_dir.glob("events/part-*")), why="a ledger that listens")
            act()
        finally:
            done.set()

    with ThreadPoolExecutor() as pool:
        acted = pool.submit(acting)
        ledger.run(done.wait)
    acted.result()


@pytest.fixture(scope="module")
def small(start_servers):
    """A server whose cap is soon reached."""
    return start_servers(maxmemory_bytes=3 * 1024**2, appendonly=False)


@pytest.fixture
def emptied(small):
    with small.client() as client:
        client.flushall()
        client.config_set(SETTING, "")
        client.config_resetstat()
        yield client
        client.config_set(SETTING, "")


@pytest.fixture(scope="module")
def seen(small, tmp_path_factory):
    """What a ledger recorded of evictions and expiries, and what the server counted."""
    run_dir = tmp_path_factory.mktemp("ledger")
    with small.client() as client:
        client.flushall()
        client.config_resetstat()

        def act():
            for index in range(1200):
                client.set(f"channel:wb-{index:09d}", "v" * 2000, ex=300)
            client.set("secret:263771234567", "1", px=1)
            client.set("263771234567", "1", px=1)
            wait_until(lambda: client.info("stats")["expired_keys"] >= 2, why="two expiries")

            counted.append(client.info("stats"))

        counted = []
        listen(small.url, run_dir, act)
        counted.append(client.info("stats"))
        return run_dir, counted, setting(client)


def test_every_key_that_the_server_counts_as_evicted_is_in_the_ledger(seen):
    """And every expired one, in windows that are all complete."""
    run_dir, (before, after), _ = seen
    kinds = recorded(run_dir, "evictions")["kind"].value_counts()
    windows = recorded(run_dir, "eviction_windows")

    # A connection takes memory as well, so that some keys go for those of this test.
    assert 100 < before["evicted_keys"] <= kinds["evicted"] <= after["evicted_keys"]
    assert windows["evicted_keys"].sum() == windows["evicted_seen"].sum() == kinds["evicted"]
    assert kinds["expired"] == after["expired_keys"] == 2
    assert windows["complete"].all()
    assert list(windows.columns) == TABLES["eviction_windows"].arrow.names


def test_key_of_the_load_is_known_by_its_number_and_any_other_by_its_prefix_alone(seen):
    """Nothing in the run's files holds the rest of a name."""
    run_dir, _, _ = seen
    rows = recorded(run_dir, "evictions")
    ours = rows[rows["prefix"] == "channel"]

    assert set(rows["prefix"]) == {"channel", "secret", ""}
    assert ours["conversation"].between(0, 1199).all()
    assert rows[rows["prefix"] != "channel"]["conversation"].isna().all()
    assert not [
        path for path in run_dir.rglob("*") if path.is_file() and b"2637712" in path.read_bytes()
    ]


def test_setting_is_put_back_when_the_ledger_ends(seen):
    """And the note of it is gone."""
    run_dir, _, after = seen
    said = recorded(run_dir, "events")

    assert after == ""
    assert not (run_dir / NOTE).exists()
    assert said["kind"].tolist() == ["keyspace_events"] * 2
    assert said["detail"].iloc[-1] == f"{SETTING} is '' again"


def test_window_in_which_events_were_missed_is_not_complete(small, emptied, tmp_path):
    """The control of the reconciliation: the setting is off for a while, and evictions go on."""

    def act():
        for index in range(1500):
            if index == 1200:
                emptied.config_set(SETTING, "")
            emptied.set(f"a:{index}", "v" * 2000)

    listen(small.url, tmp_path, act)

    windows = recorded(tmp_path, "eviction_windows")
    assert not windows["complete"].all()
    assert windows["evicted_seen"].sum() < windows["evicted_keys"].sum()
    assert set(windows[~windows["complete"]]["why"]) == {"missed"}


def test_ledger_that_is_cut_off_listens_again_and_says_so(small, emptied, tmp_path):
    """As a subscriber is at the limit of its output buffer."""

    def act():
        for index in range(2000):
            if index == 1500:
                emptied.client_kill_filter(_type="pubsub")
            emptied.set(f"a:{index}", "v" * 2000)
        wait_until(lambda: emptied.client_list(_type="pubsub"), why="a new subscription")
        for index in range(2000, 2100):
            emptied.set(f"a:{index}", "v" * 2000)

    listen(small.url, tmp_path, act)

    windows = recorded(tmp_path, "eviction_windows")
    assert len(recorded(tmp_path, "evictions")) > 50
    assert set(windows[~windows["complete"]]["why"]) <= {"disconnected"}
    assert windows["evicted_keys"].sum() >= len(recorded(tmp_path, "evictions"))
    assert setting(emptied) == ""


def test_letters_of_somebody_else_are_kept_and_put_back(emptied, tmp_path):
    """Their subscribers go on getting their events."""
    emptied.config_set(SETTING, "Kl")
    ask_for_events(emptied, tmp_path / NOTE, "redis://x")
    during = setting(emptied)

    put_back(emptied, tmp_path / NOTE)

    assert during == "".join(sorted("KlEex"))
    assert setting(emptied) == "Kl"


def test_setting_that_is_enough_is_not_touched(emptied, tmp_path):
    """A stands for all kinds of events."""
    emptied.config_set(SETTING, "AE")

    said = ask_for_events(emptied, tmp_path / NOTE, "redis://x")

    assert "it was not changed" in said
    assert not (tmp_path / NOTE).exists()


def test_setting_that_somebody_changed_meanwhile_is_left_as_it_is(emptied, tmp_path):
    """It is theirs now; what it was is said."""
    ask_for_events(emptied, tmp_path / NOTE, "redis://x")
    emptied.config_set(SETTING, "KA")

    said = put_back(emptied, tmp_path / NOTE)

    assert "somebody else set meanwhile" in said
    assert "it was '' before" in said
    assert setting(emptied) == "AK"
    assert put_back(emptied, tmp_path / NOTE) == ""


ENDINGS = {
    "its input closes": None,
    "SIGINT": signal.SIGINT,
    "SIGTERM": signal.SIGTERM,
    "SIGKILL": signal.SIGKILL,
}

# Python takes a second to import the ledger: once is enough. Each child gets an input of its own.
FORKS = """
import os, sys
from workbench.telemetry import evictions
inputs = [int(word) for word in sys.argv[1:]]
for number in inputs:
    child = os.fork()
    if not child:
        os.dup2(number, 0)
        os._exit(evictions.main())
    print(child, flush=True)
for _ in inputs:
    child, status = os.wait()
    print(child, os.waitstatus_to_exitcode(status), flush=True)
"""


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """
    A ledger as a process for each way to end: exit code, the setting during and after, its folder.

    Each has a server of its own.
    """
    folders = {name: tmp_path_factory.mktemp("ledger") for name in ENDINGS}
    pipes = {name: os.pipe() for name in ENDINGS}
    inputs = [read for read, _ in pipes.values()]
    with ExitStack() as stack:
        servers = {
            name: stack.enter_context(PrivateServer(profile("demo"), folder / "server"))
            for name, folder in folders.items()
        }
        parent = subprocess.Popen(
            [sys.executable, "-c", FORKS, *map(str, inputs)],
            cwd=ROOT,
            pass_fds=inputs,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        stack.callback(parent.kill)
        pids = {name: int(parent.stdout.readline()) for name in ENDINGS}
        during = {}
        for name, folder in folders.items():
            orders = {"url": servers[name].url, "run_dir": str(folder), "clock_offset_s": 0.0}
            os.write(pipes[name][1], json.dumps(orders).encode() + b"\n")
            wait_until(
                lambda folder=folder: list(folder.glob("events/part-*")), timeout_s=30, why=name
            )
            with servers[name].client() as client:
                during[name] = setting(client)
        for name, number in ENDINGS.items():
            if number is None:
                os.close(pipes[name][1])
            else:
                os.kill(pids[name], number)
        said, _ = parent.communicate(timeout=30)
        codes = dict(map(int, line.split()) for line in said.splitlines())
        left = {}
        for name, server in servers.items():
            with server.client() as client:
                left[name] = codes[pids[name]], during[name], setting(client), folders[name]
        with servers["SIGKILL"].client() as client:
            put_back(client, folders["SIGKILL"] / NOTE)
            left["SIGKILL, and the conductor"] = 0, "", setting(client), folders["SIGKILL"]
    return left


@pytest.mark.parametrize(
    ("ending", "code"), [("its input closes", 0), ("SIGINT", 130), ("SIGTERM", 130)]
)
def test_ledger_puts_the_setting_back_however_it_is_asked_to_end(ended, ending, code):
    """Its input closes also when the conductor is killed."""
    assert ended[ending][:3] == (code, "Eex", "")
    assert not (ended[ending][3] / NOTE).exists()


def test_ledger_that_is_killed_leaves_a_note_by_which_the_setting_is_put_back(ended):
    """It cannot do it itself any more: the control of the three above."""
    assert ended["SIGKILL"][:3] == (-signal.SIGKILL, "Eex", "Eex")
    assert ended["SIGKILL, and the conductor"][2] == ""


@pytest.mark.parametrize("lacking", ["+config|set", "+psubscribe", "&__keyevent@*__:expired"])
def test_user_who_may_not_is_refused_with_the_rule_that_would_do(emptied, small, tmp_path, lacking):
    """Before anything is changed or written; the same user with the whole rule is not refused."""
    rules = ACL_RULES.replace(lacking, "").split()
    emptied.execute_command("ACL", "SETUSER", "ledger", "reset", "on", ">pw", *rules)
    url = small.url.replace("redis://", "redis://ledger:pw@")

    with pytest.raises(TargetRefusedError, match=r"ACL SETUSER ledger on >changeme \+info") as said:
        sample(
            url,
            tmp_path,
            seconds=0.2,
            interval_s=0.1,
            keyspace_events=True,
            say=lambda _: None,
            progress=lambda _: None,
        )

    assert "pw" not in str(said.value)
    assert list(tmp_path.iterdir()) == []
    assert setting(emptied) == ""


def ledger_of(pid):
    """The process of the ledger that a process started."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parent = (path / "stat").read_text().rpartition(")")[2].split()[1]
            if parent == str(pid) and b"telemetry.evictions" in (path / "cmdline").read_bytes():
                found.append(int(path.name))
    assert len(found) == 1
    return found[0]


@pytest.fixture
def as_ledger(emptied, small):
    """The URL of a user who may do what is needed, and nothing else."""
    emptied.execute_command("ACL", "SETUSER", "ledger", "reset", "on", ">pw", *ACL_RULES.split())
    return small.url.replace("redis://", "redis://ledger:pw@")


@pytest.mark.whole_command
def test_conductor_puts_back_what_a_killed_ledger_could_not(emptied, as_ledger, tmp_path):
    """On a server that is not ours, by the smallest user; the run is sealed as failed."""
    said, during = [], []

    def kill():
        wait_until(lambda: list(tmp_path.glob("*/events/part-ledger-*")), timeout_s=30, why="it")
        during.append(setting(emptied))
        os.kill(ledger_of(os.getpid()), signal.SIGKILL)

    how = {"seconds": 60, "interval_s": 1, "say": said.append, "progress": said.append}
    with ThreadPoolExecutor() as pool:
        killed = pool.submit(kill)
        with pytest.raises(RunFailedError, match="the ledger ended with code -9"):
            sample(as_ledger, tmp_path, keyspace_events=True, **how)
    killed.result()

    run_dir = next(tmp_path.iterdir())
    assert during == ["Eex"]
    assert setting(emptied) == ""
    assert f"{SETTING} is '' again" in said
    assert Run(run_dir).manifest.status == "failed"
    assert not (run_dir / NOTE).exists()
    assert "pw" not in (run_dir / "manifest.json").read_text()


@pytest.mark.whole_command
@pytest.mark.slow
@pytest.mark.parametrize("both", [False, True], ids=["conductor", "conductor and ledger"])
def test_setting_is_put_back_although_the_conductor_is_killed(emptied, as_ledger, tmp_path, both):
    """By the ledger, whose input closes; if that was killed too, by the next ledger's command."""
    words = [
        "sample",
        "--url",
        as_ledger,
        "--keyspace-events",
        "--exit-zero",
        "--interval",
        "100ms",
    ]
    process = workbench(tmp_path, *words, "--for", "60s")
    wait_until(
        lambda: list(tmp_path.glob("runs/*/events/part-ledger-*")), timeout_s=30, why="a ledger"
    )
    ledger = ledger_of(process.pid)
    assert setting(emptied) == "Eex"

    if both:
        os.kill(ledger, signal.SIGKILL)
    process.kill()
    process.communicate()

    wait_until(lambda: gone(ledger), why="end of the ledger")
    if both:
        name = next(tmp_path.glob("runs/*")).name
        assert setting(emptied) == "Eex"
        _, told = workbench(tmp_path, "seal", name).communicate(timeout=30)
        assert f"CONFIG SET {SETTING} ''" in told
        out, err = workbench(tmp_path, *words, "--for", "1s").communicate(timeout=60)
        assert f"{name} was killed; {SETTING} is '' again" in out, err
    assert setting(emptied) == ""


@pytest.mark.whole_command
@pytest.mark.slow
def test_run_with_a_ledger_is_told_by_flow(tmp_path, server_binary):
    """From the run's own turns ages are known; every window is complete."""
    process = workbench(
        tmp_path,
        *("run", "demo", "--ledger", "--duration", "4s", "--maxmemory", "4mb", "--no-report"),
        WORKBENCH_REDIS_SERVER=str(server_binary.path),
    )
    process.communicate(timeout=90)
    told = workbench(tmp_path, "evictions", "--json")
    printed, _ = told.communicate(timeout=30)
    found = json.loads(printed)

    assert found["source"] == "ledger"
    assert found["reconciliation"]["complete_share"] == 1.0
    assert found["reconciliation"]["difference"] == 0
    assert found["all"]["evicted"] == found["reconciliation"]["evicted_keys"] > 100
    assert found["all"]["known"] > 0.9 * found["all"]["evicted"]
    assert "offer_secured" in found["by_flow"]
    assert found["all"]["before_ttl_share"] > 0.9
    (judged,) = evaluate(Run(only_run(tmp_path)), "evicted-early")
    assert judged.verdict == "fail"


def test_run_on_a_named_server_keeps_no_ledger(tmp_path):
    """There its setting stays: refused before anything is looked at."""
    asked = {"out": tmp_path, "url": "redis://127.0.0.1:1", "say": print, "progress": print}

    with pytest.raises(UsageError, match="workbench sample --keyspace-events"):
        carry_out(Experiment("made", ledger=True), **asked)
