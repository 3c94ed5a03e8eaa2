"""Servers that are ill: each has one fault, made on a private server by means that go with it."""

import itertools
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from redis.exceptions import RedisError

from workbench.benches.cases import fault
from workbench.benches.scene import Scene
from workbench.server.profiles import profile
from workbench.units import MIB

__all__: list[str] = []

_FULL = ("RedisOutOfConfiguredMaxmemory",)
_KEYS = 1000


@fault(
    "noeviction-full",
    "policy noeviction, filled until writes are refused",
    rules=("refuses-when-full",),
    also=("error-replies", "over-cap"),
    prometheus=_FULL,
    quick=True,
)
def _noeviction_full(scene: Scene) -> Iterator[None]:
    scene.start(maxmemory_policy="noeviction")
    with suppress(RedisError):
        scene.fill(30_000)
    yield
    scene.traffic(_KEYS)


@fault(
    "volatile-without-ttl",
    "policy volatile-lru, filled with keys that have no time to live, until writes are refused",
    rules=("volatile-without-ttl",),
    also=("error-replies", "keys-without-ttl", "over-cap"),
    prometheus=_FULL,
)
def _volatile_without_ttl(scene: Scene) -> Iterator[None]:
    scene.start(maxmemory_policy="volatile-lru")
    with suppress(RedisError):
        scene.fill(30_000, ttl_s=None)
    yield
    scene.repeat(partial(scene.client().set, "channel:0", "x" * 1000), every_s=0.01)


@fault(
    "no-maxmemory",
    "maxmemory 0",
    rules=("no-maxmemory",),
    prometheus=_FULL,
    quick=True,
)
def _no_maxmemory(scene: Scene) -> Iterator[None]:
    scene.start(maxmemory_bytes=0)
    scene.fill(_KEYS)
    yield
    scene.traffic(_KEYS)


@fault(
    "cap-near-limit",
    "maxmemory 680 MiB in a container of 716 MiB, the documented task",
    rules=("cap-near-limit",),
    also=("overcommit",),
    prometheus=("RedisOutOfSystemMemory",),
)
def _cap_near_limit(scene: Scene) -> Iterator[None]:
    scene.start(profile("production"))
    scene.asked["memory_limit_bytes"] = 716 * MIB
    scene.fill(_KEYS)
    yield
    scene.traffic(_KEYS)


@fault(
    "rewrite-failing",
    "a file stands where the folder of the AOF was, and a rewrite is asked for",
    rules=("aof-rewrite",),
    also=("error-replies",),
    quick=True,
)
def _rewrite_failing(scene: Scene) -> Iterator[None]:
    server = scene.start()
    scene.fill(_KEYS)
    client = scene.client()
    yield
    folder = server.folder / "appendonlydir"
    folder.rename(server.folder / "elsewhere")
    folder.write_text("")
    with suppress(RedisError):  # Redis says so in its log alone, Valkey also in its reply
        client.bgrewriteaof()
    scene.wait_until(lambda: _info(client)["aof_last_bgrewrite_status"] == "err", "a failure")


@fault(
    "disk-full",
    "each write to a file is answered with: no space left on device",
    rules=("aof-write",),
    also=("error-replies", "aof-buffer"),
    latency=("aof-write", "aof-write-alone"),
)
def _disk_full(scene: Scene) -> Iterator[None]:
    server = scene.start(shim=True)
    scene.fill(_KEYS)
    yield
    full = server.folder / "full-disk"
    full.touch()
    scene.at_end(full.unlink)
    scene.traffic(_KEYS)


@fault(
    "fsync-slow",
    "each fsync takes 2.6 s, and writes wait for it",
    rules=("fsync-late",),
    also=("aof-buffer",),
    latency=("aof-write-pending-fsync", "aof-write", "aof-write-alone"),
)
def _fsync_slow(scene: Scene) -> Iterator[None]:
    server = scene.start(shim=True)
    scene.fill(_KEYS)
    client = scene.client()
    slow = server.folder / "slow-disk"
    yield
    slow.touch()
    scene.at_end(slow.unlink)
    scene.traffic(_KEYS)
    scene.wait_until(lambda: _info(client)["aof_delayed_fsync"], "a write that waited 2 s")


@fault(
    "snapshot-failing",
    "save points, no AOF, a folder where the snapshot belongs: BGSAVE fails, writes are taken",
    rules=("snapshot-save",),
)
def _snapshot_failing(scene: Scene) -> Iterator[None]:
    yield from _failing_snapshot(scene, stops_writes=False)


@fault(
    "misconf-sticky",
    "the same with stop-writes-on-bgsave-error: all writes are refused since",
    rules=("snapshot-save", "aof-write"),
    also=("error-replies",),
)
def _misconf_sticky(scene: Scene) -> Iterator[None]:
    yield from _failing_snapshot(scene, stops_writes=True)


def _failing_snapshot(scene: Scene, *, stops_writes: bool) -> Iterator[None]:
    server = scene.start(appendonly=False, save="3600 1", stop_writes_on_bgsave_error=stops_writes)
    scene.fill(_KEYS)
    client = scene.client()
    place = server.folder / "dump.rdb"
    place.mkdir()
    scene.at_end(place.rmdir)  # else it would not end
    client.bgsave()
    scene.wait_until(lambda: _info(client)["rdb_last_bgsave_status"] == "err", "a failure")
    yield
    scene.traffic(_KEYS)


@fault(
    "fork-failing",
    "each fork is answered with: cannot allocate memory; a rewrite is asked for",
    rules=("aof-rewrite", "overcommit"),
    also=("error-replies",),
)
def _fork_failing(scene: Scene) -> Iterator[None]:
    server = scene.start(shim=True)
    scene.fill(_KEYS)
    client = scene.client()
    (server.folder / "no-fork").touch()
    yield
    with suppress(RedisError):
        client.bgrewriteaof()
    scene.wait_until(lambda: _info(client)["aof_last_bgrewrite_status"] == "err", "a failure")


@fault(
    "fork-slow",
    "a fork takes 0.2 s; a rewrite is asked for",
    rules=("fork-slow", "aof-rewrite"),
    latency=("fork",),
)
def _fork_slow(scene: Scene) -> Iterator[None]:
    server = scene.start(shim=True)
    scene.fill(_KEYS)
    client = scene.client()
    (server.folder / "slow-fork").touch()
    yield
    before = _info(client)["aof_rewrites"]
    client.bgrewriteaof()
    scene.wait_until(
        lambda: (
            (now := _info(client))["aof_rewrites"] > before and not now["aof_rewrite_in_progress"]
        ),
        "a rewrite",
    )


@fault(
    "rewrite-never",
    "auto-aof-rewrite-percentage 0",
    rules=("rewrite-never",),
)
def _rewrite_never(scene: Scene) -> Iterator[None]:
    scene.start(auto_aof_rewrite_percentage=0)
    scene.fill(_KEYS)
    yield
    scene.traffic(_KEYS)


@fault(
    "fsync-off",
    "appendfsync no",
    rules=("appendfsync",),
)
def _fsync_off(scene: Scene) -> Iterator[None]:
    scene.start(appendfsync="no")
    scene.fill(_KEYS)
    yield
    scene.traffic(_KEYS)


@fault(
    "persistence-off",
    "no AOF and no save points",
    rules=("persistence-off",),
    prometheus=("RedisMissingBackup",),
    quick=True,
)
def _persistence_off(scene: Scene) -> Iterator[None]:
    scene.start(appendonly=False)
    scene.fill(_KEYS)
    yield
    scene.traffic(_KEYS)


@fault(
    "live-state-evicted",
    "policy allkeys-lru at its cap, conversations of minutes are evicted by new ones",
    rules=("evictions",),
    also=("age-at-eviction", "evicted-not-expired", "over-cap"),
    prometheus=_FULL,
    quick=True,
)
def _live_state_evicted(scene: Scene) -> Iterator[None]:
    scene.start()
    scene.fill(25_000)
    numbers = itertools.count(100_000)
    client = scene.client()
    yield
    scene.repeat(
        lambda: client.set(f"channel:{next(numbers)}", "x" * 1000, ex=300),  # workbench: raw
        every_s=0.005,
    )


@fault(
    "keys-without-ttl",
    "three in ten keys have no time to live",
    rules=("keys-without-ttl",),
    quick=True,
)
def _keys_without_ttl(scene: Scene) -> Iterator[None]:
    scene.start()
    scene.fill(700)
    scene.fill(300, ttl_s=None, first=10_000)
    yield
    scene.traffic(700)


@fault(
    "expiry-cliff",
    "600 keys of 1,000 expire within half a second, in four minutes",
    rules=("expiry-cliff",),
)
def _expiry_cliff(scene: Scene) -> Iterator[None]:
    scene.start()
    scene.fill(600, ttl_s=240, spread_s=0.5, first=10_000)
    scene.fill(400)
    yield
    scene.traffic(400)


@fault(
    "expire-lag",
    "200,000 keys expire at once while the server is looked at",
    rules=("expire-lag",),
    latency=("expire-cycle",),
    insight=("useSmallerKeys",),
)
def _expire_lag(scene: Scene) -> Iterator[None]:
    scene.start(profile("development"))
    scene.fill(_KEYS, first=1_000_000)
    scene.fill(200_000, value_bytes=10, ttl_s=2.0, spread_s=0)
    yield
    scene.wait(1.5)


@fault(
    "time-to-full",
    "at 60 % of its cap, and 40 KB/s are added for half a minute",
    rules=("time-to-full",),
    prometheus=_FULL,
)
def _time_to_full(scene: Scene) -> Iterator[None]:
    scene.start()
    scene.fill(8_000)
    numbers = itertools.count(100_000)
    client = scene.client()
    scene.look_s = 31.0
    yield
    scene.repeat(
        lambda: client.set(f"channel:{next(numbers)}", "x" * 1000, ex=300),  # workbench: raw
        every_s=0.025,
    )


@fault(
    "slow-readers",
    "eight clients ask for megabytes at a full cap, and read nothing",
    rules=("client-buffers",),
    also=("evictions", "age-at-eviction", "over-cap", "memory-overhead"),
    memory=("Big client buffers",),
)
def _slow_readers(scene: Scene) -> Iterator[None]:
    scene.start()
    scene.fill(20_000)
    client = scene.client()
    sockets = [scene.socket(small=True) for _ in range(8)]
    names = " ".join(f"channel:{number}" for number in range(19_900, 20_000))
    question = f"MGET {names}\r\n".encode()
    cap = _info(client)["maxmemory"]

    # Little by little: the server counts buffers once a second only.
    def held(share: float) -> bool:
        for each in sockets:
            each.sendall(question)
        scene.wait(0.2)
        return bool(_info(client)["mem_clients_normal"] > share * cap)

    yield
    scene.wait_until(lambda: held(0.15), "buffers of 15 % of the cap")
    scene.wait_until(lambda: held(0.3), "buffers of 30 % of the cap")
    scene.wait(0.6)


@fault(
    "open-server",
    "bound to every address without a password, in a network that reaches nothing",
    rules=("open-server",),
    also=("dangerous-commands",),
    insight=("setPassword",),
)
def _open_server(scene: Scene) -> Iterator[None]:
    scene.network_of_its_own()
    scene.start(more={"bind": "0.0.0.0", "protected-mode": "no"})  # noqa: S104  (of that network)
    scene.fill(_KEYS)
    yield
    scene.traffic(_KEYS)


@fault(
    "everything-allowed",
    "bound to every address with a password, and its user may call FLUSHALL, in such a network",
    rules=("dangerous-commands",),
)
def _everything_allowed(scene: Scene) -> Iterator[None]:
    scene.network_of_its_own()
    scene.start(more={"bind": "0.0.0.0"})  # noqa: S104  (of that network)
    scene.fill(_KEYS)
    scene.ask_for_password()
    yield
    scene.traffic(_KEYS)


@fault(
    "keys-command",
    "KEYS on 400,000 keys",
    rules=("slow-commands",),
    latency=("command",),
    quick=True,
)
def _keys_command(scene: Scene) -> Iterator[None]:
    scene.start(profile("development"))
    scene.fill(400_000, value_bytes=10)
    client = scene.client()
    yield
    for _ in range(5):
        client.keys("nobody:*")
        scene.wait(0.2)


@fault(
    "slow-scripts",
    "a script of some 30 ms, five times a second",
    rules=("slow-commands",),
    latency=("command",),
)
def _slow_scripts(scene: Scene) -> Iterator[None]:
    scene.start()
    scene.fill(_KEYS)
    client = scene.client()
    yield
    busy = "local n = 0 for i = 1, 4000000 do n = n + i % 7 end return n"
    for _ in range(8):
        client.eval(busy, 0)
        scene.wait(0.2)


@fault(
    "big-values",
    "conversations of 200 kB",
    rules=("big-values",),
    insight=("bigStrings",),
)
def _big_values(scene: Scene) -> Iterator[None]:
    scene.start(maxmemory_bytes=64 * MIB)
    scene.fill(60, value_bytes=200_000)
    scene.fill(400, first=1000)
    yield
    scene.repeat(partial(scene.client().get, "channel:1"), every_s=0.02)


@fault(
    "connection-churn",
    "a new connection for each command",
    rules=("connection-churn",),
    quick=True,
)
def _connection_churn(scene: Scene) -> Iterator[None]:
    scene.start()
    scene.fill(_KEYS)
    parts = urlsplit(scene.url)

    def once() -> None:
        with socket.create_connection((str(parts.hostname), parts.port or 0), timeout=5) as made:
            made.sendall(b"GET channel:1\r\n")
            made.recv(2000)

    yield
    scene.repeat(once, every_s=0.005)


@fault(
    "refused-clients",
    "maxclients 32, and forty more knock",
    rules=("refused-clients",),
    also=("connection-churn",),
    prometheus=("RedisRejectedConnections", "RedisTooManyConnections"),
)
def _refused_clients(scene: Scene) -> Iterator[None]:
    scene.start(more={"maxclients": "32"})
    scene.fill(_KEYS)
    yield
    scene.traffic(_KEYS, clients=1)
    for _ in range(40):
        scene.socket()


@fault(
    "blocked-clients",
    "three clients wait by BLPOP for what nobody writes",
    rules=("blocked-clients",),
)
def _blocked_clients(scene: Scene) -> Iterator[None]:
    scene.start()
    scene.fill(_KEYS)
    client = scene.client()
    for _ in range(3):
        scene.socket().sendall(b"BLPOP nobody 0\r\n")
    scene.wait_until(lambda: _info(client)["blocked_clients"] == 3, "three that wait")
    yield
    scene.traffic(_KEYS)


@fault(
    "error-storm",
    "a list's command on strings, a hundred times a second",
    rules=("error-replies",),
    quick=True,
)
def _error_storm(scene: Scene) -> Iterator[None]:
    scene.start()
    scene.fill(_KEYS)
    yield
    scene.traffic(_KEYS)
    scene.repeat(partial(scene.client().lpush, "channel:1", "x"), every_s=0.01)


@fault(
    "retry-storm",
    "a script that is not there is called again and again",
    rules=("error-replies",),
)
def _retry_storm(scene: Scene) -> Iterator[None]:
    scene.start()
    scene.fill(_KEYS)
    yield
    scene.traffic(_KEYS)
    scene.repeat(partial(scene.client().evalsha, "0" * 40, 0), every_s=0.005)


@fault(
    "script-cache",
    "1,100 scripts that differ in a number",
    rules=("script-cache",),
    memory=("Many scripts",),
    insight=("luaScript",),
)
def _script_cache(scene: Scene) -> Iterator[None]:
    scene.start()
    scene.fill(6 * _KEYS)  # below 5 MB MEMORY DOCTOR does not look
    with scene.client().pipeline(transaction=False) as pipe:
        for number in range(1100):
            pipe.script_load(f"return {number}")
        pipe.execute()
    yield
    scene.traffic(_KEYS)


@fault(
    "keyspace-events",
    "keyspace events are on, and nobody listens",
    rules=("keyspace-events",),
)
def _keyspace_events(scene: Scene) -> Iterator[None]:
    scene.start(more={"notify-keyspace-events": "KEA"})
    scene.fill(_KEYS)
    yield
    scene.traffic(_KEYS)


@fault(
    "fragmentation",
    "200,000 values of 1.2 kB, of which every second was deleted",
    rules=("fragmentation",),
    also=("persistence-off",),
    memory=("High total RSS", "High allocator fragmentation"),
)
def _fragmentation(scene: Scene) -> Iterator[None]:
    scene.start(maxmemory_bytes=512 * MIB, appendonly=False)
    scene.fill(200_000, value_bytes=1150)
    with scene.client().pipeline(transaction=False) as pipe:
        for number in range(2, 200_001, 400):
            names = [f"channel:{each}" for each in range(number, number + 400, 2)]
            pipe.delete(*names)  # workbench: raw
        pipe.execute()
    yield
    scene.traffic(_KEYS)


@fault(
    "restart-over-cap",
    "restarted under half the cap that its data need, while it is looked at",
    rules=("restart-over-cap",),
    also=("evictions", "age-at-eviction"),
)
def _restart_over_cap(scene: Scene) -> Iterator[None]:
    server = scene.start()
    scene.fill(8_000)
    yield
    server.stop()
    server.profile = replace(server.profile, maxmemory_bytes=5 * MIB)
    server.start()
    scene.wait(1.0)


@fault(
    "replica-lost",
    "the only replica of a production server ends while it is looked at",
    rules=("single-node",),
    prometheus=("RedisReplicationBroken", "RedisDisconnectedSlaves"),
)
def _replica_lost(scene: Scene) -> Iterator[None]:
    server = scene.start(profile("production"), more={"repl-diskless-sync-delay": "0"})
    scene.asked["profile"] = "production"
    scene.fill(_KEYS)
    replica = scene.replica(server)
    yield
    scene.traffic(_KEYS)
    replica.stop()


@fault(
    "primary-lost",
    "a replica is looked at whose primary is gone",
    rules=("replica-link",),
    prometheus=("RedisMissingMaster",),
)
def _primary_lost(scene: Scene) -> Iterator[None]:
    server = scene.start(more={"repl-diskless-sync-delay": "0"})
    scene.fill(_KEYS)
    scene.url = scene.replica(server).url
    server.stop()
    client = scene.client()
    scene.wait_until(
        lambda: client.info("replication")["master_link_status"] == "down", "a link that is down"
    )
    yield


@fault(
    "loading",
    "restarted, and loads for some seconds; its health check is redis-cli ping",
    rules=("loading",),
    also=("health-check", "error-replies"),
    prometheus=("RedisDown",),
)
def _loading(scene: Scene) -> Iterator[None]:
    first = scene.start()
    scene.fill(2000)
    client = scene.client()
    client.bgrewriteaof()
    scene.wait_until(lambda: _info(client)["aof_base_size"] > 2000, "a base that is an RDB")
    first.stop()
    slowly = {"key-load-delay": "5000", "loading-process-events-interval-bytes": "1024"}
    scene.url = ""
    scene.start(more=slowly)
    scene.asked["health_check"] = "redis-cli ping"
    yield


def _info(client: Any) -> dict[str, Any]:
    found: dict[str, Any] = client.info()
    return found
