"""Servers that are well: whoever complains of one of them cries wolf."""

import itertools
from collections.abc import Iterator

from workbench.benches.cases import healthy
from workbench.benches.scene import Scene
from workbench.server.profiles import profile
from workbench.telemetry.snapshot import ACL_LINE_KEYS
from workbench.units import MIB

__all__: list[str] = []

_KEYS = 1000


@healthy(
    "development-empty",
    "the documented development profile, without a key",
    development=True,
    quick=True,
)
def _development_empty(scene: Scene) -> Iterator[None]:
    scene.start(profile("development"))
    yield


@healthy(
    "development-loaded",
    "the development profile under 300 commands a second",
    development=True,
    quick=True,
)
def _development_loaded(scene: Scene) -> Iterator[None]:
    scene.start(profile("development"))
    scene.fill(3 * _KEYS)
    yield
    scene.traffic(3 * _KEYS)


@healthy(
    "development-at-cap",
    "the development profile, capped at 20 MiB, at 95 % of it: keys expire, none is evicted",
    development=True,
)
def _development_at_cap(scene: Scene) -> Iterator[None]:
    scene.start(profile("development").capped(20 * MIB))
    scene.fill(600, ttl_s=5.0, spread_s=4.0, first=100_000)
    client = scene.client()
    first = 1
    while True:
        found = client.info("memory")
        left = 0.95 * found["maxmemory"] - found["used_memory"]
        if left < 200_000:
            break
        keys = max(100, int(left / 2000))
        scene.fill(keys, first=first)
        first += keys
    numbers = itertools.count(200_000)
    yield
    scene.traffic(_KEYS, per_s=100)
    scene.repeat(
        lambda: client.set(f"channel:{next(numbers)}", "x" * 1000, ex=4),  # workbench: raw
        every_s=0.01,
    )


@healthy(
    "production",
    "the documented production profile under 300 commands a second, alone as it is documented",
    also=("single-node",),
)
def _production(scene: Scene) -> Iterator[None]:
    scene.start(profile("production"))
    scene.asked["profile"] = "production"
    scene.fill(3 * _KEYS)
    yield
    scene.traffic(3 * _KEYS)


@healthy(
    "replica",
    "the production profile with a replica in step",
)
def _replica(scene: Scene) -> Iterator[None]:
    server = scene.start(profile("production"), more={"repl-diskless-sync-delay": "0"})
    scene.asked["profile"] = "production"
    scene.fill(_KEYS)
    scene.replica(server)
    yield
    scene.traffic(_KEYS)


@healthy(
    "on-a-replica",
    "a replica in step is looked at, and its primary is under load",
)
def _on_a_replica(scene: Scene) -> Iterator[None]:
    server = scene.start(more={"repl-diskless-sync-delay": "0"})
    scene.fill(_KEYS)
    second = scene.replica(server)
    scene.traffic(_KEYS)
    scene.url = second.url
    yield


@healthy(
    "idle",
    "conversations, and nobody who goes on with one",
    quick=True,
)
def _idle(scene: Scene) -> Iterator[None]:
    scene.start()
    scene.fill(_KEYS)
    yield


@healthy(
    "noeviction-half-full",
    "policy noeviction, half of the cap used",
)
def _noeviction_half_full(scene: Scene) -> Iterator[None]:
    scene.start(maxmemory_policy="noeviction")
    scene.fill(6_000)
    yield
    scene.traffic(6_000)


@healthy(
    "volatile-ttl",
    "policy volatile-ttl, and every key has a time to live",
)
def _volatile_ttl(scene: Scene) -> Iterator[None]:
    scene.start(maxmemory_policy="volatile-ttl")
    scene.fill(6_000)
    yield
    scene.traffic(6_000)


@healthy(
    "restarted",
    "after a clean restart, all data there again",
)
def _restarted(scene: Scene) -> Iterator[None]:
    server = scene.start()
    scene.fill(6_000)
    server.stop()
    server.start()
    client = scene.client()
    scene.wait_until(lambda: not client.info("persistence")["loading"], "its data")
    yield
    scene.traffic(6_000)


@healthy(
    "rewritten",
    "an AOF rewrite under load",
)
def _rewritten(scene: Scene) -> Iterator[None]:
    scene.start(profile("development"))  # which rewrites nothing this small by itself
    scene.fill(6_000)
    client = scene.client()
    yield
    scene.traffic(6_000)
    client.bgrewriteaof()


@healthy(
    "password",
    "a password is asked for",
)
def _password(scene: Scene) -> Iterator[None]:
    scene.start()
    scene.fill(_KEYS)
    scene.ask_for_password()
    yield
    scene.traffic(_KEYS)


@healthy(
    "acl",
    "the default user is off, the service has a user of its own, and so has the look",
)
def _acl(scene: Scene) -> Iterator[None]:
    server = scene.start()
    scene.fill(_KEYS)
    client = scene.client()
    for line in (
        ACL_LINE_KEYS.replace(">changeme", ">of-the-scene"),
        "ACL SETUSER owner on >of-the-scene ~* &* +@all",
        "ACL SETUSER service on >of-the-scene ~channel:* +@read +@write +@connection",
        "ACL SETUSER default off",
    ):
        client.execute_command(*line.split())  # type: ignore[no-untyped-call]
    scene.owner_url = server.url.replace("redis://", "redis://owner:of-the-scene@")
    scene.url = server.url.replace("redis://", "redis://service:of-the-scene@")
    scene.traffic(_KEYS)
    scene.url = server.url.replace("redis://", "redis://watcher:of-the-scene@")
    yield


@healthy(
    "many-clients",
    "150 pooled connections, made as after a deployment, all in use",
)
def _many_clients(scene: Scene) -> Iterator[None]:
    scene.start(maxmemory_bytes=64 * MIB)
    scene.fill(3 * _KEYS)
    yield
    scene.traffic(3 * _KEYS, clients=150)
