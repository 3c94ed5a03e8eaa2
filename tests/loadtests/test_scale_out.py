"""
A load from several machines: a master and two workers, each in a network namespace of its own.

They see one another over a bridge alone, as machines do; the server is beside the master, under an
address that is nobody's loopback.
"""

import json
import os
import re
import secrets
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from loadtests.histogram import Histogram
from loadtests.tally import CLOCKS, PERCENTILES, Tally
from tests.loadtests.test_headless import ROOT, table
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.alone,
    pytest.mark.capability("named-network-namespaces", "redis-on-path"),
]

HUB = "10.77.0.1"
# Locust's own ports, 5557 and so on: in a namespace nobody else has them.
URL = f"redis://{HUB}:6379"
SCENARIO = Path(__file__).with_name("dumping.py")


class Machines:
    """A hub with a server, and machines that reach only it; all of it gone with the block."""

    def __init__(self, folder, names):
        token = secrets.token_hex(3)
        self.folder = folder
        self.machines = {name: f"wb-{token}-{name}" for name in ("hub", *names)}
        self._links = {name: f"to-{name}" for name in names}
        self._started = []

    def __enter__(self):
        try:
            self._lay_out()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, *_):
        self._remove()

    def start(self, name, *words, **environment):
        """A process on one of the machines."""
        process = subprocess.Popen(
            ["ip", "netns", "exec", self.machines[name], *map(str, words)],
            cwd=ROOT,
            env={k: v for k, v in os.environ.items() if k != "REDIS_STATE_URL"} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._started.append(process)
        return process

    def locust(self, name, *options):
        """Locust on one of the machines."""
        words = [sys.executable, "-m", "locust", "-f", SCENARIO, "--headless", "--only-summary"]
        return self.start(name, *words, *options, DUMP_INTO=str(self.folder))

    def cut(self, name):
        """Pull the cable of a machine."""
        self._ip("-n", self.machines["hub"], "link", "set", self._links[name], "down")

    def _lay_out(self):
        for namespace in self.machines.values():
            self._ip("netns", "add", namespace)
            self._ip("-n", namespace, "link", "set", "lo", "up")
        hub = self.machines["hub"]
        self._ip("-n", hub, "link", "add", "name", "bridge", "type", "bridge")
        self._ip("-n", hub, "address", "add", f"{HUB}/24", "dev", "bridge")
        self._ip("-n", hub, "link", "set", "bridge", "up")
        for number, (name, link) in enumerate(self._links.items(), 2):
            machine = self.machines[name]
            here = ["type", "veth", "peer", "name", "eth0", "netns", machine]
            self._ip("-n", hub, "link", "add", "name", link, *here)
            self._ip("-n", hub, "link", "set", link, "master", "bridge", "up")
            self._ip("-n", machine, "address", "add", f"10.77.0.{number}/24", "dev", "eth0")
            self._ip("-n", machine, "link", "set", "eth0", "up")
        settings = ["--bind", HUB, "--protected-mode", "no", "--save", "", "--dir", self.folder]
        self.start("hub", "redis-server", *settings)
        answers = "import socket, sys; socket.create_connection((sys.argv[1], 6379), 1)"
        for name in self._links:
            wait_until(
                lambda name=name: self.start(name, sys.executable, "-c", answers, HUB).wait() == 0,
                timeout_s=20,
                why=f"the server to be reached from {name}",
            )

    def _remove(self):
        for process in self._started:
            process.kill()
            process.wait()
            process.stdout.close()
        for namespace in self.machines.values():
            # With it go its interfaces, and with one end of a cable the other.
            self._ip("netns", "delete", namespace, check=False)

    @staticmethod
    def _ip(*words, check=True):
        subprocess.run(["ip", *words], check=check, capture_output=True, timeout=20)


def namespaces():
    """The names of ours that are there."""
    told = subprocess.run(["ip", "netns", "list"], check=True, capture_output=True, text=True)
    return [line.split()[0] for line in told.stdout.splitlines() if line.startswith("wb-")]


def start_load(machines, *, measure_s):
    """The same turns each time, all of them measured; the master, and the workers by machine."""
    common = ["-u", 40, "-r", 40, "--rate", 120, "--warm-up-s", 0, "--measure-s", measure_s]
    common += ["--seed", 5, "--away-share", 0, "--exit-code-on-error", 0]
    common += ["--host", URL, "--i-own", URL.removeprefix("redis://")]
    crew = ["--master", "--master-bind-host", HUB, "--expect-workers", 2]
    master = machines.locust("hub", *crew, *common, "--run-dir", machines.folder)
    join = ["--worker", "--master-host", HUB]
    return master, {name: machines.locust(name, *join) for name in ("one", "two")}


@pytest.fixture(scope="module")
def spread(tmp_path_factory):
    """What a load of two machines counted: the master, each worker, the table, what was printed."""
    before = namespaces()
    folder = tmp_path_factory.mktemp("spread")
    with Machines(folder, ("one", "two")) as machines:
        master, workers = start_load(machines, measure_s=8)
        told, _ = master.communicate(timeout=120)
        for worker in workers.values():
            worker.communicate(timeout=30)
    assert master.returncode in {0, 3}, told  # 3: on a busy machine it may be late
    assert namespaces() == before
    whole = json.loads((folder / "master.json").read_text())
    parts = [json.loads(path.read_text()) for path in folder.glob("worker-*.json")]
    return whole, parts, table(folder, "operations"), told


def cells(message, clock):
    """A histogram as it travels: how many are in each cell."""
    return Counter(dict(zip(*message["clocks"][clock], strict=True)))


def test_each_machine_carried_a_part(spread):
    """Two processes, each with every second conversation, none with the other's."""
    whole, parts, turns, told = spread

    assert len(parts) == whole["tally"]["processes"] == 2
    assert "2 processes" in told
    assert set(turns["worker"]) == {0, 1}
    assert (turns["conversation"] % 2 == turns["worker"]).all()
    assert turns["worker"].value_counts().min() > 0.3 * len(turns)
    assert not turns.duplicated(["conversation", "turn"]).any()


def test_sum_of_the_parts_is_the_whole(spread):
    """Turns by outcome, keys, updates, and every cell of every histogram: to the last turn."""
    whole, parts, turns, told = spread
    tallies = [part["tally"] for part in parts]

    for name in ("outcomes", "keys", "updates"):
        assert whole["tally"][name] == dict(sum((Counter(t[name]) for t in tallies), Counter()))
    for name in ("begun", "seconds", "evicted_turns", "expired_turns"):
        assert whole["tally"][name] == sum(each[name] for each in tallies)
    for clock in CLOCKS:
        assert cells(whole["tally"], clock) == cells(tallies[0], clock) + cells(tallies[1], clock)
    assert whole["tally"]["outcomes"] == turns["outcome"].astype(str).value_counts().to_dict()
    assert sum(whole["tally"]["outcomes"].values()) == len(turns) > 700
    assert f" {len(turns):,} turns in " in told


def test_percentiles_are_those_of_one_process_that_had_seen_all(spread):
    """Of the raw responses of both: the same cells, and so the same percentiles, to 0.1 %."""
    whole, parts, _, _ = spread
    responses_us = [us for part in parts for us in part["responses_us"]]
    one = Histogram()
    one.record(responses_us)
    merged = Tally.of_message(whole["tally"]).clocks["response_us"]

    assert whole["responses_us"] == []  # the master carries nothing itself
    assert merged.as_message() == one.as_message()
    for percent in PERCENTILES.values():
        raw_us = np.quantile(responses_us, percent / 100, method="inverted_cdf")
        assert merged.percentile_us(percent) == pytest.approx(raw_us, rel=0.001, abs=1)


def test_machine_whose_cable_is_cut_ends_the_run_with_3(tmp_path):
    """It is named; the other one's part is told, and does not pass for the whole."""
    before = namespaces()
    with Machines(tmp_path, ("one", "two")) as machines:
        master, workers = start_load(machines, measure_s=10)
        # The origin is written when the play begins.
        origin = tmp_path / "events" / "part-worker0-0001.parquet"
        wait_until(origin.exists, timeout_s=60, why="the load goes on")
        machines.cut("two")
        told, _ = master.communicate(timeout=120)
        workers["one"].communicate(timeout=30)
    whole = json.loads((tmp_path / "master.json").read_text())["tally"]

    assert master.returncode == 3, told
    assert re.search(r"INVALID: load worker \d of 2 was lost", told), told
    assert whole["processes"] == 1
    assert sum(whole["outcomes"].values()) > 100
    assert namespaces() == before


def test_namespaces_are_removed_when_what_is_within_fails(tmp_path):
    """Also the server in them, and when the layout itself breaks off half-way."""
    before = namespaces()

    with pytest.raises(RuntimeError), Machines(tmp_path, ("one",)) as machines:  # noqa: PT012
        server = machines._started[0]
        assert len(namespaces()) == len(before) + 2
        raise RuntimeError
    with pytest.raises(subprocess.CalledProcessError), Machines(tmp_path, ("x" * 20,)):
        pass

    assert namespaces() == before
    assert server.poll() is not None


def test_without_an_owner_the_server_is_refused(tmp_path):
    """The address is another machine's: nothing is sent, and the exit code is 2."""
    with Machines(tmp_path, ("one",)) as machines:
        process = machines.locust("one", "-u", 1, "--host", URL)
        told, _ = process.communicate(timeout=60)

    assert process.returncode == 2, told
    assert "--i-own 10.77.0.1:6379" in told
