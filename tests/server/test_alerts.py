"""Alerts on real servers: silent on a healthy one at its cap, and not where it is at fault."""

import os
from contextlib import suppress

import pytest
from redis.exceptions import RedisError

from tests.firing import figures, firing
from tests.waiting import wait_until
from workbench.diagnostics.alerts import alerts
from workbench.telemetry.export import Observer

MIB = 1024**2


class Watch:
    """Looks at a server; which alerts fire on them."""

    def __init__(self, server, **options):
        self.observer = Observer(server.url, say=print, limit_bytes=64 * MIB, **options)
        self.looks = []
        self.look()

    def look(self):
        self.looks.append(figures(self.observer.read()))
        return self.looks[-1]

    def fired(self):
        self.look()
        self.observer.close()
        return {alert.name for alert in alerts() if firing(alert, self.looks)}


def fill(client, keys, *, ttl_ms=300_000, prefix="channel"):
    pipeline = client.pipeline(transaction=False)
    for number in range(keys):
        pipeline.set(f"{prefix}:{number}", os.urandom(1000), px=ttl_ms)
    with suppress(RedisError):
        pipeline.execute()


def test_healthy_server_at_its_cap_fires_nothing(start_server):
    """The development profile, nearly full; conversations expire, and none is evicted."""
    server = start_server(maxmemory_bytes=12 * MIB)
    with server.client() as client:
        fill(client, 200)
        client.bgrewriteaof()
        wait_until(lambda: client.info()["aof_base_size"] > 0, timeout_s=20)
        watch = Watch(server, keys=100)
        number = 0
        while client.info()["used_memory"] < 11.3 * MIB:
            fill(client, 100, prefix=f"channel:{number}")
            number += 1
        fill(client, 100, ttl_ms=1, prefix="short")
        short = [f"short:{number}" for number in range(100)]
        wait_until(lambda: not client.exists(*short))  # what is asked for expires

        fired = watch.fired()
        info = client.info()

    assert watch.looks[-1]["redis_flow_memory_cap_ratio",] > 0.9
    assert (info["evicted_keys"], info["expired_keys"]) == (0, 100)
    assert fired == set()


def test_server_that_evicts_is_told_by_two_alerts(start_server):
    """The control: the same, with more than fits; all keys are young."""
    server = start_server(maxmemory_bytes=4 * MIB)
    with server.client() as client:
        watch = Watch(server, keys=100)
        fill(client, 6000)

    assert watch.fired() == {"RedisFlowEvictions", "RedisFlowLiveStateEvicted"}


def test_server_that_is_full_and_refuses_is_told_by_its_memory_and_its_errors(start_server):
    server = start_server(maxmemory_bytes=4 * MIB, maxmemory_policy="noeviction")
    with server.client() as client:
        watch = Watch(server)
        fill(client, 6000)

    assert watch.fired() == {
        "RedisFlowMemoryFull",
        "RedisFlowWritesRefusedMemory",
        "RedisFlowErrorReplies",
    }


def test_rewrite_that_fails_and_a_restart_are_told(start_server):
    """A file stands where the folder of the AOF was; then it is put back."""
    server = start_server()
    folder = server.folder / "appendonlydir"
    with server.client() as client:
        watch = Watch(server)
        folder.rename(server.folder / "elsewhere")
        folder.write_text("")
        with suppress(RedisError):
            client.bgrewriteaof()
        wait_until(lambda: client.info()["aof_last_bgrewrite_status"] == "err", timeout_s=20)
        watch.look()
        failing = {alert.name for alert in alerts() if firing(alert, watch.looks)}
        folder.unlink()
        (server.folder / "elsewhere").rename(folder)
        wait_until(lambda: client.info()["uptime_in_seconds"] >= 1)
        watch.look()
    server.stop()
    watch.look()
    down = {alert.name for alert in alerts() if firing(alert, watch.looks)}
    server.start()

    assert failing == {"RedisFlowAofRewriteFails"}
    assert down == {"RedisFlowDown"}
    assert watch.fired() == {"RedisFlowRestarted"}


def test_connection_that_is_refused_is_told(start_server):
    server = start_server(directives={"maxclients": "2"})
    with server.client() as other:
        watch = Watch(server)
        other.ping()
        with server.client() as third, pytest.raises(RedisError):
            third.ping()

    assert watch.fired() == {"RedisFlowConnectionsRejected"}
