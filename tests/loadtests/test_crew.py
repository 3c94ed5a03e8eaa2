"""A load that two processes carry: their parts are the whole, and none may be lost."""

import json
import os
import re
import signal
from itertools import count

import psutil
import pytest

from tests.loadtests.test_headless import locust, table
from tests.waiting import wait_until

pytestmark = [pytest.mark.whole_command, pytest.mark.quiet]

_ports = count(21_950)


def load(url, *options, measure_s=4):
    """Start a load, the same turns each time."""
    common = ["-u", 20, "-r", 20, "--rate", 100, "--warm-up-s", 0.5, "--measure-s", measure_s]
    common += ["--seed", 5, "--away-share", 0, "--exit-code-on-error", 0]
    return locust(url, *common, *options)


def two_workers():
    """Locust's options for them, at a port of their own."""
    port = next(_ports)
    return ["--processes", 2, "--master-bind-port", port, "--master-port", port]


def measured(told):
    """How many turns the printed figures tell of."""
    return int(re.search(r": ([\d,]+) turns in ", told)[1].replace(",", ""))


@pytest.fixture(scope="module")
def shared(redis_server, tmp_path_factory):
    """What two workers recorded and printed, and Locust's own count."""
    with redis_server.client() as client:
        client.flushall()
    folder = tmp_path_factory.mktemp("shared")
    process = load(
        redis_server.url, *two_workers(), "--run-dir", folder, "--json-file", folder / "own"
    )
    told, talk = process.communicate(timeout=90)
    assert process.returncode in {0, 3}, told + talk  # 3: on a busy machine it may be late
    own = json.loads((folder / "own.json").read_text())
    return folder, told + talk, sum(entry["num_requests"] for entry in own)


def test_parts_of_two_workers_are_the_whole(shared):
    """Every conversation by one of them; every turn in the tables, and in Locust's own count."""
    folder, _, counted = shared
    turns, keys = table(folder, "operations"), table(folder, "keys")

    assert set(turns["worker"]) == set(keys["worker"]) == {0, 1}
    assert (turns["conversation"] % 2 == turns["worker"]).all()
    assert (keys["conversation"] % 2 == keys["worker"]).all()
    assert not turns.duplicated(["conversation", "turn", "delivery"]).any()
    assert len(turns) == counted > 300


@pytest.mark.slow
def test_two_workers_offer_what_one_process_does(shared, redis_server, tmp_path):
    """The same turns of the same conversations; and the figures that are told count them all."""
    folder, told, _ = shared
    with redis_server.client() as client:
        client.flushall()
    process = load(redis_server.url, "--run-dir", tmp_path)
    process.communicate(timeout=60)

    def offered(path):
        turns = table(path, "operations").sort_values(["conversation", "turn"])
        return turns[["conversation", "turn", "flow"]].astype(str).to_numpy().tolist()

    events = table(tmp_path, "events")
    start_s = float(events["unix_s"][events["label"] == "measure"].iloc[0])
    # Due times are whole doubles of unix seconds: one beside the edge is one of them.
    in_phase = table(tmp_path, "operations")["unix_s"].between(start_s, start_s + 4).sum()

    assert offered(folder) == offered(tmp_path)
    assert abs(measured(told) - in_phase) <= 1
    assert "2 processes" in told


def test_phases_are_told_once(shared):
    """By the first worker; each prefilled its own part."""
    labels = table(shared[0], "events")["label"].value_counts()

    assert labels["measure"] == labels["origin"] == 1
    assert labels["prefill"] == 2


def test_lost_worker_makes_the_load_invalid(redis_server, tmp_path):
    """Stock Locust exits with 0 when one is killed."""
    with redis_server.client() as client:
        client.flushall()
    process = load(redis_server.url, *two_workers(), "--run-dir", tmp_path, measure_s=8)
    try:
        origin = tmp_path / "events" / "part-worker0-0001.parquet"
        wait_until(origin.exists, timeout_s=30, why="the load goes on")
        worker = psutil.Process(process.pid).children()[0]
        os.kill(worker.pid, signal.SIGKILL)
        told, talk = process.communicate(timeout=90)
    finally:
        process.kill()

    assert process.returncode == 3, told + talk
    assert re.search(r"INVALID: load worker \d of 2 was lost", told), told
