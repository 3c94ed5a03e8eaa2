"""A small cluster, and a pair behind a sentinel: the same calls, and what a failure leads to."""

import os
import signal
import subprocess
from contextlib import contextmanager

import pytest
from redis import Redis
from redis.exceptions import RedisError, ResponseError

from tests.server.state.conftest import KINDS
from tests.waiting import wait_until
from workbench.server import process as processes
from workbench.state import (
    RetryPolicy,
    SessionLostError,
    StateError,
    StoreUnavailableError,
    connect,
)
from workbench.state.functions import NAME

PATIENT = RetryPolicy(transport_deadline_s=20, transport_pause_s=(0.01, 0.1))
IMPATIENT = RetryPolicy(transport_deadline_s=0.05)
SLOTS = 16384


def incremented(document):
    n = (document.get("dashboard") or {"n": 0})["n"]
    return {**document, "dashboard": {"n": n + 1}}


def port_of(server):
    return int(server.url.rpartition(":")[2])


@contextmanager
def cluster_of(start_server):
    """Three primaries that share the slots."""
    started = [
        start_server(
            appendonly=False,
            directives={
                "cluster-enabled": "yes",
                "cluster-port": str(processes.free_port()),
                "cluster-node-timeout": "2000",
            },
        )
        for _ in range(3)
    ]
    clients = [connect(server.url, timeout_s=5) for server in started]
    share = SLOTS // 3 + 1
    for number, client in enumerate(clients):
        last = min(SLOTS, (number + 1) * share) - 1
        client.execute_command("CLUSTER ADDSLOTSRANGE", number * share, last)
    for server in started[1:]:
        bus = int(connect(server.url).config_get("cluster-port")["cluster-port"])
        clients[0].execute_command("CLUSTER MEET", "127.0.0.1", port_of(server), bus)

    def whole():
        return all(
            client.cluster("info")["cluster_state"] == "ok"
            and client.cluster("info")["cluster_known_nodes"] == "3"
            for client in clients
        )

    wait_until(whole, timeout_s=20, why="the cluster to be whole")
    yield started
    for client in clients:
        client.close()


@pytest.fixture(scope="module")
def cluster(start_servers):
    """One for most tests."""
    with cluster_of(start_servers) as started:
        yield started


@pytest.fixture
def nodes(cluster):
    """A cluster without conversations and functions."""
    for server in cluster:
        with connect(server.url) as client:
            client.flushall()
            client.function_flush()
    return cluster


@pytest.fixture
def own_nodes(start_server):
    """A cluster to do harm to."""
    with cluster_of(start_server) as started:
        yield started


@pytest.fixture(params=KINDS)
def clustered(request, nodes):
    """A driver whose client is the cluster's."""
    with driver_of(request.param, nodes) as made:
        yield made


@pytest.fixture(params=KINDS)
def clustered_alone(request, own_nodes):
    """A driver whose client is that of the cluster to do harm to."""
    with driver_of(request.param, own_nodes) as made:
        yield made


@contextmanager
def driver_of(param, nodes):
    kind, strategy = param
    made = kind(nodes[0].url.replace("redis://", "redis+cluster://"), strategy)
    yield made
    made.close()


def test_conversation_lives_on_a_cluster(clustered, nodes):
    """Begun, changed, delivered twice and ended, on every primary, by its own function."""
    keys = [f"channel:{number}" for number in range(12)] + ["channel:{tag}:1", "channel:a{b"]
    for key in keys:
        manager = clustered.begun(key=key)
        manager.update_state({"dashboard": {"n": 1}})
        for _ in range(2):
            with manager.message("m1") as work:
                work.update_flow_state("offer", "amount")
    held = [connect(server.url).dbsize() for server in nodes]
    libraries = [connect(server.url).function_list() for server in nodes]

    assert min(held) > 0
    assert sum(held) == len(keys)
    assert all(bool(found) == (clustered.strategy == "function") for found in libraries)
    for key in keys:
        assert clustered.manager(key).version == 3
        assert clustered.atomic().delete(key)
        assert clustered.atomic().read(key) is None


def test_function_is_given_to_a_primary_that_lacks_it(clustered, nodes):
    """It was added later, or was started anew."""
    if clustered.strategy == "watch":
        pytest.skip("no function is called")
    keys = [f"channel:{number}" for number in range(12)]
    for key in keys:
        clustered.begun(key=key)
    connect(nodes[1].url).function_flush()

    for key in keys:
        clustered.atomic().update(key, incremented, ttl_s=300)

    assert connect(nodes[1].url).function_list()[0][1] == NAME


def test_slot_that_nobody_serves_is_unavailable_and_nothing_is_written(clustered_alone, own_nodes):
    """By the name of the error, whichever the client raised."""
    clustered, key = clustered_alone, "channel:1"
    clustered.begun(key=key)
    for server in own_nodes:
        client = connect(server.url)
        client.config_set("cluster-require-full-coverage", "no")
        slot = client.cluster("keyslot", key)
        client.execute_command("CLUSTER DELSLOTS", slot) if owner(client, slot) else None
    atomic = clustered.atomic(retry=IMPATIENT)

    with pytest.raises(StateError) as caught:
        atomic.update(key, incremented, ttl_s=300)

    assert isinstance(caught.value, StoreUnavailableError)
    assert caught.value.applied is False


def owner(client, slot):
    return any(
        "myself" in node["flags"]
        and any(int(low) <= slot <= int(high) for low, high in _ranges(node["slots"]))
        for node in client.cluster("nodes").values()
    )


def _ranges(slots):
    return [(each[0], each[-1]) for each in slots]


def test_cluster_keeps_no_live_index(clustered):
    """It would lie in another slot."""
    with pytest.raises(ValueError, match="another slot"):
        clustered.atomic(live_index=True)


def test_lost_conversation_on_a_cluster_is_lost_for_an_unknown_reason(clustered):
    """What a manager knew is gone."""
    manager = clustered.begun(key="channel:1")
    clustered.atomic().delete("channel:1")

    with pytest.raises(SessionLostError) as caught:
        manager.update_state({"dashboard": {}})

    assert caught.value.reason == "unknown"


@pytest.fixture
def pair(start_server, server_binary, tmp_path):
    """A primary, its replica, and a sentinel that watches over them; ended by their pids."""
    primary = start_server(appendonly=False, directives={"repl-diskless-sync-delay": "0"})
    replica = start_server(appendonly=False)
    following = connect(replica.url)
    following.replicaof("127.0.0.1", port_of(primary))
    wait_until(
        lambda: following.info("replication")["master_link_status"] == "up",
        timeout_s=20,
        why="the replica to follow",
    )
    port = processes.free_port()
    configuration = tmp_path / "sentinel.conf"
    configuration.write_text(
        f"port {port}\nbind 127.0.0.1\ndir {tmp_path}\n"
        f"sentinel monitor flow 127.0.0.1 {port_of(primary)} 1\n"
        "sentinel down-after-milliseconds flow 500\n"
        "sentinel failover-timeout flow 1000\n"
    )
    environment = dict(os.environ)
    if server_binary.preload:
        environment["LD_PRELOAD"] = server_binary.preload
    process = subprocess.Popen(
        [server_binary.path, configuration, "--sentinel"],
        stdout=subprocess.DEVNULL,
        env=environment,
    )
    sentinel = Redis(port=port, decode_responses=True)

    def watching():
        try:
            (known,) = sentinel.sentinel_slaves("flow")
            return known["master-link-status"] == "ok" and known["flags"] == "slave"
        except Exception:  # noqa: BLE001  (it is being started)
            return False

    try:
        wait_until(watching, timeout_s=30, why="the sentinel to know both")
        yield primary, replica, sentinel, f"redis+sentinel://127.0.0.1:{port}/flow"
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("kind", KINDS)
def test_writer_goes_on_after_a_failover(pair, kind):
    """The replica takes over; what was acknowledged before is there, and nothing is there twice."""
    primary, replica, sentinel, url = pair
    made, strategy = kind
    driver = made(url, strategy)
    key = "channel:1"
    manager = driver.begun(key=key)
    atomic = driver.atomic(retry=PATIENT)
    for _ in range(20):
        atomic.update(key, incremented, ttl_s=300)
    assert connect(primary.url).wait(1, 5000) == 1

    def ordered():
        try:
            return sentinel.execute_command("SENTINEL FAILOVER", "flow")
        except ResponseError:
            return False  # it has not looked at the replica closely enough yet

    wait_until(ordered, timeout_s=30, why="the sentinel to take the order")

    def taken_over():
        try:
            return connect(replica.url).info("replication")["role"] == "master"
        except RedisError:
            return False  # it ends its clients' connections when it is promoted

    wait_until(taken_over, timeout_s=30, why="the replica to take over")

    for _ in range(20):
        atomic.update(key, incremented, ttl_s=300)

    manager.refresh()
    assert manager.get("dashboard") == {"n": 40}
    assert connect(replica.url).exists(key)
    driver.close()


@pytest.mark.parametrize("kind", [KINDS[0], KINDS[2]])
def test_primary_that_is_killed_is_replaced(pair, kind):
    """Until then calls fail as unavailable, or wait; never otherwise."""
    primary, _replica, _sentinel, url = pair
    made, strategy = kind
    driver = made(url, strategy)
    key = "channel:1"
    driver.begun(key=key)
    atomic = driver.atomic(retry=RetryPolicy(transport_deadline_s=0.2))
    # Replication is asynchronous: what the replica does not have yet dies with the primary.
    assert connect(primary.url).wait(1, 5000) == 1
    os.kill(primary.pid, signal.SIGKILL)
    refused = []

    def written():
        try:
            atomic.update(key, incremented, ttl_s=300)
        except StateError as error:
            refused.append(error.code)
            return False
        return True

    wait_until(written, timeout_s=60, why="a write on the new primary")
    assert set(refused) <= {"STORE_UNAVAILABLE", "STATE_AMBIGUOUS", "STORE_READ_ONLY"}
    assert atomic.read(key).document["dashboard"]["n"] >= 1
    driver.close()
