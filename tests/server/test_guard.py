"""What may be loaded and what is refused; and that looking changes nothing."""

import socket
import threading
from contextlib import contextmanager

import pytest

from tests.waiting import wait_until
from workbench.errors import ServerNotReadyError, TargetRefusedError
from workbench.server import guard
from workbench.server.guard import KEY_PREFIX, admit, inspect_target, mark

AT_ONCE = {"repl-diskless-sync-delay": "0"}


def port_of(server) -> str:
    return server.url.rpartition(":")[2]


@contextmanager
def stub_server(info: str):
    """A server that lets itself be connected to, answers INFO with the text, and knows no more."""
    body = info.encode()
    replies = {
        b"HELLO": b"%1\r\n+proto\r\n:3\r\n",
        b"PING": b"+PONG\r\n",
        b"INFO": b"$%d\r\n%s\r\n" % (len(body), body),
    }

    def answer(connection):
        with connection:
            while request := connection.recv(65536):
                known = [reply for word, reply in replies.items() if word in request]
                connection.sendall(known[0] if known else b"-ERR unknown command\r\n")

    def accept():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


def test_empty_server_on_this_machine_may_be_loaded(redis_server, client):
    """Nobody's data is there, so nobody's data is lost."""
    target = admit(redis_server.url)

    assert (target.objections, target.marked) == ((), False)


def test_server_may_be_loaded_once_marked(redis_server, client):
    """The mark works on Redis 7 and on Valkey, beside keys of our own."""
    mark(client)
    client.set(f"{KEY_PREFIX}1", "x")

    assert admit(redis_server.url).marked


def test_server_with_keys_and_no_mark_is_refused(redis_server, client):
    """Somebody's keys are there, even if they look like ours."""
    client.set(f"{KEY_PREFIX}1", "x")

    with pytest.raises(TargetRefusedError, match="holds 1 keys and does not carry") as caught:
        admit(redis_server.url)

    assert "Leave out --url" in str(caught.value)


@pytest.mark.parametrize("key", ["session:1", "channel:263770000000", b"\xff\xfe"])
def test_marked_server_with_foreign_keys_is_refused(redis_server, client, key):
    """The mark is no licence once somebody else has moved in."""
    mark(client)
    client.set(key, "x")

    objections = inspect_target(redis_server.url).objections

    assert len(objections) == 1
    assert "are not the workbench's" in objections[0]


def test_marked_server_with_keys_in_another_database_is_refused(redis_server, client):
    """Filling the cap would evict them as well."""
    mark(client)
    with guard.connect(f"{redis_server.url}/3") as elsewhere:
        elsewhere.set(f"{KEY_PREFIX}1", "x")

    objections = inspect_target(redis_server.url).objections

    assert objections == ("it holds keys in other databases: db3",)


def test_mark_survives_flushall(redis_server, client):
    """It is no key, so what removes the keys does not remove it."""
    mark(client)
    client.set(f"{KEY_PREFIX}1", "x")
    client.flushall()

    target = inspect_target(redis_server.url)

    assert target.marked
    assert client.dbsize() == 0


def test_mark_survives_eviction_of_every_key(start_server):
    """Under allkeys-lru a key as a mark would go with the rest."""
    server = start_server()
    with server.client() as client:
        mark(client)
        client.set(f"{KEY_PREFIX}1", "x")
        client.config_set("maxmemory", 1)
        wait_until(lambda: client.dbsize() == 0, why="every key to be evicted")

    assert inspect_target(server.url).marked


def test_marking_twice_is_no_error(client):
    """A sandbox may be loaded again."""
    mark(client)
    mark(client)

    assert len(client.function_list()) == 1


def test_replica_and_its_primary_are_refused(start_server):
    """Load on either is load on both."""
    # A replica with an AOF begins a new one after the sync, and cannot be stopped meanwhile.
    primary, replica = start_server(directives=AT_ONCE), start_server(appendonly=False)
    with replica.client() as client:
        client.replicaof("127.0.0.1", port_of(primary))
        wait_until(
            lambda: client.info("replication")["master_link_status"] == "up",
            timeout_s=10,
            why="the replica to be connected",
        )

    assert inspect_target(primary.url).objections == ("it has 1 replicas",)
    assert "role is slave" in inspect_target(replica.url).objections[0]


def test_node_of_a_cluster_is_refused(cluster_node):
    """A part of something larger is not a sandbox."""
    assert inspect_target(cluster_node.url).objections == ("it is a node of a cluster",)


@pytest.mark.parametrize(
    ("info", "words"),
    [
        ("redis_version:6.2.14\r\nrole:master\r\n", "it is version 6.2.14"),
        ("redis_version:7.2.0\r\nrole:sentinel\r\n", "its role is sentinel"),
        ("role:master\r\n", "it is version unknown"),
        ("redis_version:unstable\r\nrole:master\r\n", "it is version unstable"),
    ],
)
def test_server_of_another_kind_is_refused(info, words):
    """Too old, or not a plain primary, or not saying what it is."""
    with stub_server(info) as url:
        objections = inspect_target(url).objections

    assert words in objections[0]


def test_address_that_is_not_this_machine_is_refused_unasked(monkeypatch):
    """Not even a connection is made to it."""
    entry = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.7", 6379))
    monkeypatch.setattr(guard.socket, "getaddrinfo", lambda *_, **__: [entry])
    monkeypatch.setattr(guard, "connect", lambda *_, **__: pytest.fail("it was connected to"))

    target = inspect_target("redis://user:hunter2@cache.example:6379")

    assert target.objections == ("cache.example (192.0.2.7) is not this machine's loopback",)
    assert target.url == "redis://[redacted]@cache.example:6379"


def test_name_that_leads_elsewhere_too_is_refused(monkeypatch):
    """One address on the loopback does not excuse another that is not."""
    entries = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 6379))
        for address in ("127.0.0.1", "192.0.2.7")
    ]
    monkeypatch.setattr(guard.socket, "getaddrinfo", lambda *_, **__: entries)
    monkeypatch.setattr(guard, "connect", lambda *_, **__: pytest.fail("it was connected to"))

    assert "192.0.2.7" in inspect_target("redis://both.example").objections[0]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_loopback_may_be_called_by_name(redis_server, client, host):
    """The name is resolved before it is judged."""
    assert inspect_target(f"redis://{host}:{port_of(redis_server)}").objections == ()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:6379",
        "http://127.0.0.1:6379",
        "unix:///tmp/redis.sock",
        "redis://",
        "redis://127.0.0.1:99999",
        "redis://127.0.0.1:port",
        "redis://[::1",
        "redis://127.0.0.1:6379?db=first",
        "redis://nonexistent.invalid",
    ],
)
def test_url_that_makes_no_sense_is_refused(url):
    """Whatever is wrong with it, it is the request that is wrong."""
    with pytest.raises(TargetRefusedError, match=r"is not the URL|does not resolve"):
        inspect_target(url)


def test_port_where_nobody_answers_is_refused(start_server):
    """The message has the URL, without its password."""
    server = start_server()
    url = f"redis://:hunter2@127.0.0.1:{port_of(server)}"
    server.stop()

    with pytest.raises(ServerNotReadyError, match="cannot be looked at") as caught:
        inspect_target(url)

    assert "hunter2" not in str(caught.value)


def test_wrong_password_is_refused_without_being_repeated(start_server):
    """A password that does not fit this server may fit another."""
    server = start_server()
    with server.client() as client:
        client.config_set("requirepass", "right")

    with pytest.raises(ServerNotReadyError, match="cannot be looked at") as caught:
        inspect_target(f"redis://:hunter2@127.0.0.1:{port_of(server)}")

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("marked", [False, True])
def test_looking_sends_only_commands_that_write_nothing(redis_server, client, marked):
    """What the server counted between two looks at its counters has no write in it."""
    if marked:
        mark(client)
    client.set(f"{KEY_PREFIX}1", "x")
    before = client.info("commandstats")
    functions = client.function_list()

    inspect_target(redis_server.url)

    after = client.info("commandstats")
    sent = {
        name.removeprefix("cmdstat_")
        for name, stat in after.items()
        if stat["calls"] > before.get(name, {"calls": 0})["calls"]
    }
    flags = {name: client.execute_command("COMMAND INFO", name)[0][2] for name in sent}
    looks = {"info", "function|list", *(["randomkey"] if marked else [])}
    assert sent - {"hello", "ping"} == looks  # these two belong to the connection
    assert all(flags.values())
    assert [name for name, has in flags.items() if "write" in has] == []
    assert client.function_list() == functions
    assert client.dbsize() == 1
    assert client.info("errorstats") == {}
