"""
The proof: a server that stands still twice shows in the figures as it was for people.

Beside it, as the control, stock Locust on the same server and the same stalls.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.frames import events as no_events
from tests.loadtests.test_headless import ROOT, locust, table
from tests.waiting import wait_until
from workbench.analysis.latency import percentiles_us
from workbench.analysis.validity import validity
from workbench.server.process import PrivateServer
from workbench.server.profiles import profile

pytestmark = [pytest.mark.whole_command, pytest.mark.alone]

# Low, since the turns of a stall come back at once: what then comes due waits for the generator.
RATE = 100
MEASURE_S = 12.0
# Of stock Locust, 25 turns/s each: so few that those whom a stall holds up are under 1 % of its
# requests.
USERS = 4
# A moment less than the second that a client waits for a reply.
STALL_S = 0.95


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with PrivateServer(profile("demo"), tmp_path_factory.mktemp("stalls")) as server:
        yield server


def stall(server, first_s, second_s):
    """Stop the server at these two times, unix s; returns from when to when it stood still."""
    stood = []
    for at_s in (first_s, second_s):
        time.sleep(max(0.0, at_s - time.time()))
        start_s = time.time()
        os.kill(server.pid, signal.SIGSTOP)
        time.sleep(STALL_S)
        os.kill(server.pid, signal.SIGCONT)
        stood.append((start_s, time.time()))
    return stood


@pytest.fixture(scope="module")
def ours(server, tmp_path_factory):
    """The measured turns, the seconds of the generator, and the stalls, from the phase's start."""
    folder = tmp_path_factory.mktemp("ours")
    options = ["-u", 200, "-r", 200, "--rate", RATE, "--measure-s", MEASURE_S, "--away-share", 0]
    process = locust(server.url, *options, "--run-dir", folder, "--exit-code-on-error", 0)
    # The origin is written when the play begins.
    wait_until(lambda: len(list((folder / "events").glob("part-*"))) > 1, timeout_s=30, why="start")
    stood = stall(server, time.time() + 5, time.time() + 9)
    _, talk = process.communicate(timeout=60)
    assert process.returncode == 0, talk
    marks = table(folder, "events")
    start_unix_s = float(marks["unix_s"][marks["label"] == "measure"].iloc[0])
    turns, seconds = table(folder, "operations"), table(folder, "generator")
    for frame in (turns, seconds):
        frame["elapsed_s"] = frame["unix_s"] - start_unix_s
    measured = turns[turns["elapsed_s"].between(0, MEASURE_S, inclusive="left")]
    return measured, seconds, [(a - start_unix_s, b - start_unix_s) for a, b in stood]


def truth_us(measured, seconds, stalls):
    """
    What people waited: for who came in a stall, until its end and until the backlog was worked off.

    How fast that goes, the seconds without a stall tell: a turn costs the generator so much of its
    core. It is worked off in two rounds, a reply to each read and then to each write.
    """
    calm = seconds[
        [all(not a - 1 < end < b + 2 for a, b in stalls) for end in seconds["elapsed_s"]]
    ]
    turn_s = float(calm["cpu_share"].sum() / calm["turns_completed"].sum())
    due_s = measured["elapsed_s"].to_numpy()
    waited_s = np.zeros(len(due_s))
    for start_s, stop_s in stalls:
        hit = (due_s >= start_s) & (due_s < stop_s)
        order = due_s[hit].argsort().argsort()
        waited_s[hit] = stop_s - due_s[hit] + turn_s * (hit.sum() + order) / 2
    return 1e6 * waited_s


@pytest.fixture(scope="module")
def truth_us_p99(ours):
    return float(np.quantile(truth_us(*ours), 0.99, method="inverted_cdf"))


def test_p99_is_what_people_waited(ours, truth_us_p99):
    """Within 10 % of what follows from the times at which the turns were due and the stalls."""
    measured, _, _ = ours

    assert percentiles_us(measured)["p99"] == pytest.approx(truth_us_p99, rel=0.10)


def test_all_of_the_load_is_delivered_and_the_run_is_valid(ours):
    """It is the server that was late, and nobody else: no turn was left out for that."""
    measured, seconds, _ = ours
    polls = pd.DataFrame({"elapsed_s": np.arange(0, MEASURE_S + 1)})

    found = validity(measured, seconds, polls, no_events([]), measured_s=MEASURE_S)

    assert found.delivered_share >= 0.99
    assert found.valid, found.reasons


@pytest.fixture(scope="module")
def stock(server, tmp_path_factory):
    """What stock Locust has to say: each response, ms, and over how long."""
    told = tmp_path_factory.mktemp("stock") / "own"
    words = [sys.executable, "-m", "locust", "-f", Path(__file__).with_name("stock.py")]
    words += ["--headless", "--only-summary", "-u", USERS, "-r", USERS, "-H", server.url]
    words += ["-t", f"{MEASURE_S:.0f}s", "--json-file", told, "--exit-code-on-error", 0]
    with server.client() as client:
        client.config_resetstat()
        process = subprocess.Popen(
            [str(word) for word in words],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_until(lambda: client.info("stats")["total_commands_processed"] > 100, timeout_s=30)
    stall(server, time.time() + 3, time.time() + 7)
    _, talk = process.communicate(timeout=60)
    assert process.returncode == 0, talk
    (entry,) = json.loads(told.with_suffix(".json").read_text())
    times = [float(ms) for ms, count in entry["response_times"].items() for _ in range(count)]
    return np.array(times), entry["last_request_timestamp"] - entry["start_time"]


def test_stock_locust_hides_what_people_waited(stock, truth_us_p99):
    """Each user is kept from asking by the very stall: the control, that the proof can fail."""
    times_ms, _ = stock

    assert 1e3 * np.quantile(times_ms, 0.99) < truth_us_p99 / 2


def test_stock_locust_leaves_out_the_load_of_the_stalls(stock):
    """What it could not send in time it never sends."""
    times_ms, lasted_s = stock

    assert len(times_ms) < 0.95 * RATE * lasted_s
