"""A real, short, headless Locust on a private server: what it records, refuses and endures."""

import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest

from tests.frames import events
from tests.waiting import wait_until
from workbench.analysis.latency import percentiles_us
from workbench.analysis.validity import validity
from workbench.runs.schema import OUTCOMES, TABLES

ROOT = Path(__file__).resolve().parents[2]
SCENARIO = ROOT / "loadtests" / "steady.py"

pytestmark = [pytest.mark.whole_command, pytest.mark.quiet]


def locust(url, *options):
    """Start a headless Locust by hand, as the documentation says."""
    words = [sys.executable, "-m", "locust", "-f", str(SCENARIO), "--headless", "--only-summary"]
    return subprocess.Popen(
        [*words, *map(str, options)],
        cwd=ROOT,
        env={**os.environ, "REDIS_STATE_URL": url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def load(url, folder, *, turns_per_s=100, measure_s=3.0, users=20, driver="reference"):
    """Start a load that records into the folder."""
    options = ["-u", users, "-r", users, "--rate", turns_per_s, "--measure-s", measure_s]
    options += ["--warm-up-s", 0.5, "--seed", 5, "--run-dir", folder, "--json-file", folder / "own"]
    options += ["--driver", driver]
    options += ["--away-share", 0]  # who is away finds nothing, which is not what is looked at here
    return locust(url, *options, "--exit-code-on-error", 0)


def table(folder, name):
    return pd.read_parquet(folder / name)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory, redis_server):
    """What three seconds of load recorded, and what Locust says of them itself."""
    with redis_server.client() as client:
        client.flushall()
        client.function_flush()
    folder = tmp_path_factory.mktemp("recorded")
    process = load(redis_server.url, folder)
    _, talk = process.communicate(timeout=60)
    assert process.returncode == 0, talk
    own = json.loads((folder / "own.json").read_text())
    return folder, own


def test_recorder_has_every_turn_that_locust_counted(recorded):
    """No turn is lost between Locust's count and the table, step by step."""
    folder, own = recorded
    turns = table(folder, "operations")

    counted = {entry["name"]: entry["num_requests"] for entry in own}
    kept = turns.groupby(["flow", "step"], observed=True).size()

    assert len(turns) > 200
    assert {f"{flow}/{step}": count for (flow, step), count in kept.items()} == counted


def test_clocks_of_every_turn_add_up(recorded):
    """Response is queue, lag and service, and none of them is negative."""
    turns = table(recorded[0], "operations")

    parts = turns[["queue_us", "lag_us", "service_us"]]

    assert (parts >= -0.5).all().all()
    assert (parts.sum(axis=1) - turns["response_us"]).abs().max() < 5


def test_turns_in_a_roomy_server_are_all_carried_out(recorded):
    """Nothing is evicted there, so all is well, and every write took one try."""
    turns = table(recorded[0], "operations")
    done = turns[turns["outcome"] == "ok"]

    assert {"ok"} <= set(turns["outcome"]) <= {"ok", "duplicate"} <= set(OUTCOMES)
    assert (done["attempts"] == 1).all()
    assert done["value_bytes"].between(500, 11_000).all()


def test_every_key_is_looked_for_when_the_load_is_over(recorded):
    """In a roomy server each conversation is there, with its last acknowledged update."""
    folder, _ = recorded
    turns, keys = table(folder, "operations"), table(folder, "keys")

    assert set(turns["conversation"]) <= set(keys["conversation"])
    assert keys["conversation"].is_unique
    there = keys[keys["age_s"] < 290]  # some were prefilled with an age of almost the 300 s
    assert set(there["state"].astype(str)) == {"present"}
    assert set(there["update"].astype(str)) == {"kept"}


def test_tables_have_the_columns_of_the_schema(recorded):
    """What the load writes is what the reference says."""
    folder, _ = recorded

    for name in ("operations", "keys", "events", "generator"):
        assert list(table(folder, name).columns) == TABLES[name].arrow.names

    labels = set(table(folder, "events")["label"])
    assert labels == {"prefill", "origin", "warm-up", "measure", "cool-down"}


def test_same_seed_offers_the_same_turns(recorded, redis_server, tmp_path):
    """Which conversation says what, and when, follows from the seed; the server has no say."""
    folder, _ = recorded

    with redis_server.client() as client:
        client.flushall()
    again = load(redis_server.url, tmp_path)
    again.communicate(timeout=60)

    def offered(path):
        turns = table(path, "operations").sort_values(["conversation", "turn"])
        return turns[["conversation", "turn", "flow"]].astype(str).to_numpy().tolist()

    assert again.returncode == 0
    assert offered(tmp_path) == offered(folder)


def test_fast_driver_carries_the_same_turns(recorded, redis_server, tmp_path):
    """It is chosen by an option; outcome, tries and length of each turn do not depend on it."""
    with redis_server.client() as client:
        client.flushall()
    process = load(redis_server.url, tmp_path, driver="fast")
    _, talk = process.communicate(timeout=60)

    def carried(path):
        turns = table(path, "operations").sort_values(["conversation", "turn"])
        columns = ["conversation", "turn", "step", "outcome", "attempts", "value_bytes"]
        return turns[columns].astype(str).to_numpy().tolist()

    assert process.returncode == 0, talk
    assert carried(tmp_path) == carried(recorded[0])


def test_driver_of_another_name_is_refused():
    """Locust ends with 2, and the nearest is named."""
    process = locust("redis://127.0.0.1:1", "-u", 1, "--driver", "fats")

    _, talk = process.communicate(timeout=60)

    assert process.returncode == 2
    assert "did you mean 'fast'" in talk


def test_foreign_keys_are_left_alone(start_server):
    """A server that holds somebody's keys is refused with exit code 2, and nothing is written."""
    server = start_server()
    with server.client() as client:
        client.set("somebody", "else")
        client.config_resetstat()

        process = locust(server.url, "-u", 2, "--measure-s", 1)
        _, talk = process.communicate(timeout=60)

        written = [name for name in client.info("commandstats") if name in WRITES]
        assert process.returncode == 2
        assert "does not carry the workbench's mark" in talk
        assert written == []
        assert client.dbsize() == 1


WRITES = {"cmdstat_set", "cmdstat_restore", "cmdstat_del", "cmdstat_function|load", "cmdstat_exec"}


def test_bare_locust_finds_the_steady_scenario_and_shows_its_page_here_only():
    """The configuration that is shipped: without it Locust listens on every address."""
    words = [sys.executable, "-m", "locust"]
    listed = subprocess.run(
        [*words, "--list"], check=True, cwd=ROOT, capture_output=True, text=True
    )
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["locust"]

    assert "SteadyUser" in listed.stdout + listed.stderr
    assert settings["web-host"] == "127.0.0.1"


def test_locusts_own_options_work_as_they_do_elsewhere(redis_server, tmp_path, monkeypatch):
    """A configuration file, an environment variable, tags, CSV and HTML, beside ours."""
    with redis_server.client() as client:
        client.flushall()
        client.function_flush()
    (tmp_path / "own.conf").write_text("users = 10\nspawn-rate = 10\nwarm-up-s = 0.5\n")
    monkeypatch.setenv("LOCUST_RUN_TIME", "3s")
    options = ["--config", tmp_path / "own.conf", "--rate", 100, "--tags", "login", "view_ledger"]
    options += ["--exclude-tags", "view_ledger", "--csv", tmp_path / "own"]
    options += ["--html", tmp_path / "own.html", "--run-dir", tmp_path]

    process = locust(redis_server.url, *options, "--exit-code-on-error", 0)
    _, talk = process.communicate(timeout=60)

    turns = table(tmp_path, "operations")
    counted = pd.read_csv(tmp_path / "own_stats.csv")
    assert process.returncode == 0, talk
    assert set(turns["flow"]) == {"login"}
    assert turns["unix_s"].max() - turns["unix_s"].min() > 2
    assert counted["Request Count"].iloc[-1] == len(turns[turns["outcome"] != "unsent"])
    assert "login/greeting" in (tmp_path / "own.html").read_text()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--tags", "lgin"], "no flow of the mix is tagged 'lgin'; did you mean 'login'"),
        (["--tags", "login", "--exclude-tags", "login"], "the tags leave no flow"),
        (["--driver", "fast", "--pool", 4], "gives each slot a connection of its own"),
        (["--compression", 0.5], "outside 1 to 1000"),
        (["--rate=-1"], "-1 is outside 1 to 100000"),
        (["--seed", "x"], "'x' is not a whole number"),
        (["--prefill-share", 80], "80 is outside 0 to 0.99"),
        (["--think-p95-s", 1], "is not above the median"),
        (["--closed-loop", "--prefill-share", 0.5], "for an open loop"),
    ],
)
def test_what_makes_no_sense_by_hand_is_refused_before_anything_is_written(
    redis_server, options, says
):
    """With exit code 2, in one line that names it."""
    process = locust(redis_server.url, *options)
    _, talk = process.communicate(timeout=60)

    assert process.returncode == 2
    assert says in talk
    assert "Traceback" not in talk


def test_missing_target_is_said_before_anything_starts():
    """Without a target Locust ends with 2 and names the variable."""
    process = locust("", "-u", 1)

    _, talk = process.communicate(timeout=60)

    assert process.returncode == 2
    assert "REDIS_STATE_URL" in talk


@pytest.fixture(scope="module")
def by_hand(redis_server):
    """What Locust prints, and its exit code, of runs as somebody types them."""

    def run(*options):
        with redis_server.client() as client:
            client.flushall()
        common = ["-u", 20, "-r", 20, "--warm-up-s", 0.5, "--away-share", 0]
        process = locust(redis_server.url, *common, *options)
        told, talk = process.communicate(timeout=60)
        return told + talk, process.returncode

    return run


def test_load_by_hand_tells_its_figures(by_hand):
    """
    Locust's own --run-time is warm-up and measured phase; what is open at its end is drained.

    On a busy machine it may say that it was late: then, and only then, the exit code is 3.
    """
    told, code = by_hand("--rate", 100, "-t", "3s")

    assert code == (3 if "INVALID: " in told else 0), told
    assert "open loop, 100 turns/s: " in told
    assert "in 2.5 s measured" in told
    assert "100 % completed" in told
    assert "outcomes  ok " in told


def test_load_by_hand_that_shows_nothing_exits_with_3(by_hand):
    """A handful of turns has no p99: Locust alone would exit with 0."""
    told, code = by_hand("--rate", 10, "-t", "2s")

    assert code == 3, told
    assert "INVALID: only " in told
    assert "lengthen it" in told


def test_closed_loop_by_hand_is_labelled(by_hand):
    """Its latency is from the send, whatever the server did before."""
    options = ["--closed-loop", "--think-median-s", 0.05, "--think-p95-s", 0.1, "-t", "2s"]

    told, _ = by_hand(*options)

    assert "closed loop: " in told
    assert "closed loop: from the send" in told


def test_update_that_is_lost_by_hand_is_exit_code_1(by_hand, redis_server):
    """Somebody puts documents back to what they were: stock Locust would not know."""
    with undoing(redis_server.url):
        told, code = by_hand("--rate", 150, "-t", "4s", "--think-median-s", 0.3, "--think-p95-s", 1)

    assert code == 1, told
    assert "0 acknowledged updates lost" not in told


@contextmanager
def undoing(url):
    """Put each document that is seen back to its first text, until the block ends."""
    words = [sys.executable, "-m", "tests.loadtests.undoing", url]
    process = subprocess.Popen(words, cwd=ROOT)
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=10)


def test_own_statistics_are_finer_than_a_millisecond(recorded):
    """Locust's table, its CSV and its web page show tenths below 100 ms."""
    _, own = recorded
    times = [float(time) for entry in own for time in entry["response_times"]]

    assert any(time != int(time) for time in times if time < 100)


@pytest.fixture(scope="module")
def stalled(tmp_path_factory):
    """Three measured seconds of load on a server that is stopped for one of them."""
    from workbench.server.process import PrivateServer
    from workbench.server.profiles import profile

    folder = tmp_path_factory.mktemp("stalled")
    with PrivateServer(profile("demo"), folder / "server") as server:
        # So many slots that none has to wait for one: what waits, waits for the server.
        process = load(server.url, folder, turns_per_s=80, users=120, measure_s=4.0)
        wait_until(lambda: list((folder / "events").glob("part-*")), timeout_s=30, why="prefill")
        time.sleep(2.0)  # into the measured phase: the start and the warm-up take about 1.5 s
        os.kill(server.pid, signal.SIGSTOP)
        time.sleep(0.8)
        os.kill(server.pid, signal.SIGCONT)
        _, talk = process.communicate(timeout=60)
    assert process.returncode == 0, talk
    turns = table(folder, "operations")
    events = table(folder, "events")
    measure = events[events["label"] == "measure"].iloc[0]
    turns["elapsed_s"] = turns["unix_s"] - measure["unix_s"]
    measured = turns[turns["elapsed_s"].between(0, measure["duration_s"], inclusive="left")]
    return measured, measure["duration_s"], table(folder, "generator"), measure["unix_s"]


@pytest.mark.slow
def test_stalled_server_is_asked_no_less(stalled):
    """The turns that came due in the stall are all carried out, late: no load is omitted."""
    measured, duration_s, _, _ = stalled

    assert set(measured["outcome"]) == {"ok"}
    assert len(measured) == pytest.approx(80 * duration_s, abs=5 * (80 * duration_s * 3.7) ** 0.5)


@pytest.mark.slow
def test_stall_shows_in_the_response(stalled):
    """A fifth of the turns waited for the stopped server: the p99 is most of the stall."""
    measured, _, _, _ = stalled

    assert percentiles_us(measured)["p99"] > 400_000


@pytest.mark.slow
def test_stall_is_not_the_generators_fault(stalled):
    """The lag stays far below the response, so the run is valid."""
    measured, duration_s, generator, start_unix_s = stalled
    generator["elapsed_s"] = generator["unix_s"] - start_unix_s
    polls = pd.DataFrame({"elapsed_s": [n / 2 for n in range(9)]})

    found = validity(measured, generator, polls, events([]), measured_s=duration_s)

    assert found.lag_us_p99 < 0.1 * found.response_us_p99
    assert found.valid, found.reasons
