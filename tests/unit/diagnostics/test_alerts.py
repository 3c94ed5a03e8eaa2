"""Alerts: on metrics that are exported, at the limits of rules; each fires, none for nothing."""

import pytest

from tests.firing import figures, firing
from workbench.diagnostics import limits
from workbench.diagnostics.alerts import alerts
from workbench.diagnostics.finding import RULES
from workbench.runs.snapshot import KeysOfPrefix
from workbench.telemetry.metrics import METRICS, PREFIX, Reading
from workbench.units import MIB

LIMIT_BYTES = 716 * MIB
HEALTHY = {
    "run_id": "a",
    "uptime_in_seconds": 1000,
    "loading": 0,
    "used_memory": 510 * MIB,
    "used_memory_rss": 545 * MIB,
    "mem_aof_buffer": 1000,
    "mem_clients_normal": MIB,
    "maxmemory": 512 * MIB,
    "maxmemory_policy": "allkeys-lru",
    "total_eviction_exceeded_time": 0,
    "evicted_keys": 0,
    "expired_keys": 500,
    "total_error_replies": 5,
    "total_commands_processed": 10_000,
    "errorstat_ERR": {"count": 5},
    "rejected_connections": 0,
    "connected_clients": 50,
    "maxclients": 10_000,
    "aof_last_write_status": "ok",
    "aof_last_bgrewrite_status": "ok",
    "aof_delayed_fsync": 0,
    "aof_last_cow_size": 60 * MIB,
    "latest_fork_usec": 12_000,
    "db0": {"keys": 1000, "expires": 1000},
}
LATER = HEALTHY | {
    "uptime_in_seconds": 1300,
    "expired_keys": 900,
    "total_commands_processed": 90_000,
    "total_error_replies": 50,
}
OLD = {"channel": KeysOfPrefix(keys=100, without_ttl=0, idle_s_p50=200.0, idle_s_p90=400.0)}
YOUNG = {"channel": KeysOfPrefix(keys=100, without_ttl=0, idle_s_p50=20.0, idle_s_p90=40.0)}

# What makes each alert fire, and no other unless it is named beside it.
FAULTS = {
    "RedisFlowMemoryNearLimit": {"used_memory_rss": 650 * MIB, "aof_last_cow_size": 0},
    "RedisFlowMemoryFull": {"maxmemory_policy": "noeviction"},
    "RedisFlowCopyOnWrite": {"aof_last_cow_size": 100 * MIB},
    "RedisFlowOverCap": {"total_eviction_exceeded_time": 5000},
    "RedisFlowEvictions": {"evicted_keys": 1},
    "RedisFlowLiveStateEvicted": {"evicted_keys": 1, "keys": YOUNG},
    "RedisFlowClientBuffers": {"evicted_keys": 1, "mem_clients_normal": 60 * MIB},
    "RedisFlowWritesRefusedDisk": {"errorstat_MISCONF": {"count": 1}},
    "RedisFlowWritesRefusedMemory": {"errorstat_OOM": {"count": 1}},
    "RedisFlowConnectionsRejected": {"rejected_connections": 1},
    "RedisFlowClientsNearMax": {"connected_clients": 9_500},
    "RedisFlowErrorReplies": {"total_error_replies": 5_000},
    "RedisFlowAofWriteFails": {"aof_last_write_status": "err"},
    "RedisFlowAofRewriteFails": {"aof_last_bgrewrite_status": "err"},
    "RedisFlowFsyncLate": {"aof_delayed_fsync": 1},
    "RedisFlowAofBuffer": {"mem_aof_buffer": 16 * MIB},
    "RedisFlowForkSlow": {"latest_fork_usec": 200_000},
    "RedisFlowDown": None,
    "RedisFlowLoading": {"loading": 1},
    "RedisFlowRestarted": {"uptime_in_seconds": 10},
}
BESIDES = {
    "RedisFlowLiveStateEvicted": {"RedisFlowEvictions"},
    "RedisFlowClientBuffers": {"RedisFlowEvictions"},
}


def fired(last, *, limit_bytes=LIMIT_BYTES, found=None):
    """The alerts that fire on a healthy look, and this one after it."""
    looks = [figures(Reading(info=HEALTHY, limit_bytes=LIMIT_BYTES, keys=OLD))]
    keys = OLD if last is None else last.pop("keys", OLD)
    looks.append(figures(Reading(info=last, limit_bytes=limit_bytes, keys=keys)))
    return {alert.name for alert in found or alerts() if firing(alert, looks)}


def test_none_fires_on_a_healthy_server_at_its_cap():
    """Used memory at maxmemory is no fault where nothing is lost: other alerts fire on that."""
    assert fired(dict(LATER)) == set()


def test_every_alert_has_a_fault():
    assert FAULTS.keys() == {alert.name for alert in alerts()}


@pytest.mark.parametrize("name", FAULTS)
def test_alert_fires_on_its_fault_and_no_other_does(name):
    fault = FAULTS[name]

    assert fired(fault and LATER | fault) == {name} | BESIDES.get(name, set())


def test_figures_that_are_absent_fire_nothing_but_that_the_server_is_gone():
    """A server that tells nothing, and one that nothing is told of."""
    assert fired({}, limit_bytes=None) == set()
    looks = [figures(Reading(info=HEALTHY)), {}]
    assert [alert.name for alert in alerts() if firing(alert, looks)] == ["RedisFlowDown"]


def test_few_errors_among_few_commands_fire_nothing():
    """One in ten is no share of anything."""
    quiet = HEALTHY | {"total_commands_processed": 10_010, "total_error_replies": 6}

    assert fired(quiet) == set()


def test_restart_fires_by_the_uptime_and_not_by_its_counters():
    """They begin again at 0, and that is no growth."""
    restarted = HEALTHY | {"uptime_in_seconds": 2, "total_commands_processed": 9}
    restarted |= {"expired_keys": 0, "total_error_replies": 0}

    assert fired(restarted) == {"RedisFlowRestarted"}


def test_alert_asks_for_metrics_that_are_exported_with_the_labels_that_they_have():
    for alert in alerts(limit_bytes=MIB, maxmemory_bytes=MIB) + alerts():
        for condition in alert.conditions:
            assert tuple(condition.labels) == METRICS[condition.metric].labels
            assert not condition.over or not METRICS[condition.over].labels
            counter = METRICS[condition.metric].kind == "counter"
            assert counter == (condition.reduce == "growth")


def test_alert_names_a_rule_that_there_is_and_has_its_severity_or_more():
    """What no rule judges is only whether anything is there."""
    for alert in alerts():
        if alert.rule:
            assert alert.rule in RULES
    assert [alert.name for alert in alerts() if not alert.rule] == ["RedisFlowDown"]


@pytest.mark.parametrize(
    ("constant", "name"),
    [
        ("FULL_SHARE", "RedisFlowMemoryNearLimit"),
        ("COW_SHARE_MAX", "RedisFlowCopyOnWrite"),
        ("ACCEPT_SHARE_MAX", "RedisFlowClientsNearMax"),
        ("ERRORS_SHARE_MAX", "RedisFlowErrorReplies"),
        ("AOF_BUFFER_BYTES_MAX", "RedisFlowAofBuffer"),
        ("CLIENTS_SHARE_MAX", "RedisFlowClientBuffers"),
    ],
)
def test_limit_of_an_alert_is_that_of_the_rules(constant, name):
    (alert,) = (alert for alert in alerts() if alert.name == name)

    assert alert.conditions[0].limit == getattr(limits, constant)


def test_limit_that_is_given_is_held_against_bytes():
    """For an exporter that does not know it."""
    found = alerts(limit_bytes=600 * MIB, maxmemory_bytes=512 * MIB)

    assert fired(dict(LATER), limit_bytes=None, found=found) == {
        "RedisFlowMemoryNearLimit",
        "RedisFlowMemoryFull",
    }
    assert found[0].conditions[0].metric == f"{PREFIX}memory_rss_bytes"
