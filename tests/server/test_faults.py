"""What is done to a server of ours on purpose begins, lasts, and is over, also after an error."""

import time
from contextlib import ExitStack

import pandas as pd
import pytest
from redis.exceptions import RedisError

from tests.waiting import wait_until
from workbench.experiments.acts import Acts
from workbench.experiments.spec import Experiment, PlannedFault
from workbench.runs.clock import Clock
from workbench.runs.recorder import TableWriter
from workbench.server.faults.model import FAULTS
from workbench.state import connect


def answers(server):
    """Whether it answers within 0.2 s."""
    try:
        with connect(server.url, timeout_s=0.2, breaker=None) as client:
            return client.ping()
    except RedisError:
        return False


@pytest.mark.parametrize("name", list(FAULTS))
def test_fault_is_over_when_it_is_left_and_the_data_is_there(start_server, name):
    """Also when what goes on meanwhile fails; the server is the same, on the same port."""
    server = start_server()
    url = server.url
    with server.client() as client:
        client.set("channel:wb-1", "kept")

    def failing():
        with FAULTS[name].done(server):
            answered.append(answers(server))
            raise ZeroDivisionError

    answered = []
    with pytest.raises(ZeroDivisionError):
        failing()

    assert answered == [not FAULTS[name].unanswered]
    assert server.url == url
    with server.client() as client:
        assert client.get("channel:wb-1") == "kept"


def test_rewrite_is_a_rewrite(start_server):
    """The server has forked, and says so."""
    server = start_server()
    with FAULTS["rewrite"].done(server), server.client() as client:
        wait_until(
            lambda: (
                client.info("persistence")["aof_rewrites"] == 1
                and not client.info("persistence")["aof_rewrite_in_progress"]
            ),
            why="the rewrite to be done",
        )
        forks = client.info("stats")["total_forks"]

    assert forks == 1


@pytest.fixture
def acting(start_server, tmp_path):
    """An experiment's faults on a server, played from an origin that the load puts on record."""
    clock, stack = Clock(), ExitStack()

    def acting(*faults, begun=True):
        server = start_server()
        experiment = Experiment("made", warm_up_s=0.0, faults=faults)
        if begun:
            writer = TableWriter(tmp_path, "events", "worker0")
            writer.append((clock.unix_s(), 0.0, "phase", "origin", ""))
            writer.flush()
        return server, Acts(experiment, server, tmp_path, clock, stack)

    with stack:
        yield acting


def test_faults_come_in_their_time_and_go_on_record(acting, tmp_path):
    """One after the other, each with its begin and its length."""
    server, acts = acting(PlannedFault("freeze", 0.2, 0.3), PlannedFault("kill", 0.8, 0.2))
    seen = []
    deadline_s = time.monotonic() + 20
    while len(list((tmp_path / "events").glob("part-faults-*"))) < 2:
        assert time.monotonic() < deadline_s
        acts.look()
        seen.append(acts.unanswered)
        time.sleep(0.02)
    acts.look()

    parts = sorted((tmp_path / "events").glob("part-faults-*"))
    done = pd.concat([pd.read_parquet(part) for part in parts])

    assert list(done["kind"].astype(str)) == ["fault", "fault"]
    assert list(done["label"].astype(str)) == ["freeze", "kill"]
    assert (done["duration_s"] >= [0.25, 0.15]).all()
    assert done["unix_s"].is_monotonic_increasing
    assert True in seen
    assert seen[0] is seen[-1] is False
    assert answers(server)


def test_nothing_is_done_before_the_load_has_begun(acting):
    """A prefill takes as long as it takes."""
    server, acts = acting(PlannedFault("freeze", 0.0, 5.0), begun=False)

    acts.look()

    assert not acts.unanswered
    assert answers(server)


def test_fault_that_is_cut_short_is_undone(start_server, tmp_path):
    """A run that is stopped leaves no server that stands still."""
    server, clock = start_server(), Clock()
    writer = TableWriter(tmp_path, "events", "worker0")
    writer.append((clock.unix_s(), 0.0, "phase", "origin", ""))
    writer.flush()
    experiment = Experiment("made", warm_up_s=0.0, faults=(PlannedFault("freeze", 0.0, 30.0),))
    with ExitStack() as stack:
        acts = Acts(experiment, server, tmp_path, clock, stack)
        acts.look()
        frozen = not answers(server)

    assert frozen
    assert answers(server)
