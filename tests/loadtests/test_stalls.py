"""
The proof: a server that stands still twice shows in the figures as it was for people.

Beside it, as the control, stock Locust on the same server and the same stalls.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.loadtests.test_headless import ROOT
from tests.waiting import wait_until
from workbench.analysis.latency import percentiles_us
from workbench.benches.stalls import MEASURE_S, TURNS_PER_S, stall, stalled_load
from workbench.server.process import PrivateServer
from workbench.server.profiles import profile

pytestmark = [pytest.mark.whole_command, pytest.mark.quiet]

# Of stock Locust, 25 turns/s each: so few that those whom a stall holds up are under 1 % of its
# requests.
USERS = 4


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with PrivateServer(profile("demo"), tmp_path_factory.mktemp("stalls")) as server:
        yield server


@pytest.fixture(scope="module")
def ours(server, tmp_path_factory):
    """The measured turns, the seconds of the generator, and the stalls, from the phase's start."""
    return stalled_load(server, tmp_path_factory.mktemp("ours"))


def test_p99_is_what_people_waited(ours):
    """Within 10 % of what follows from the times at which the turns were due and the stalls."""
    assert percentiles_us(ours.measured)["p99"] == pytest.approx(ours.truth_us_p99, rel=0.10)


def test_all_of_the_load_is_delivered_and_the_run_is_valid(ours):
    """It is the server that was late, and nobody else: no turn was left out for that."""
    found = ours.validity()

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


def test_stock_locust_hides_what_people_waited(stock, ours):
    """Each user is kept from asking by the very stall: the control, that the proof can fail."""
    times_ms, _ = stock

    assert 1e3 * np.quantile(times_ms, 0.99) < ours.truth_us_p99 / 2


def test_stock_locust_leaves_out_the_load_of_the_stalls(stock):
    """What it could not send in time it never sends."""
    times_ms, lasted_s = stock

    assert len(times_ms) < 0.95 * TURNS_PER_S * lasted_s
