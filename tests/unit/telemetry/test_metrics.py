"""Metrics: one name and unit each, and what is not told is not there."""

import re

import pytest

from workbench.runs.snapshot import KeysOfPrefix
from workbench.telemetry.metrics import METRICS, PREFIX, Reading, cloudwatch_name, samples


def figures(info, **more):
    """Each figure by its name without the prefix, with its labels if there are any."""
    found = {}
    for sample in samples(Reading(info=info, **more)):
        name = sample.metric.name.removeprefix(PREFIX)
        found[(name, *sample.labels) if sample.labels else name] = sample.value
    return found


def test_name_has_its_unit_and_counters_end_with_total():
    """The convention of Prometheus; a ratio is a share of 1."""
    for name, metric in METRICS.items():
        assert re.fullmatch(r"redis_flow_[a-z_]+", name)
        assert (metric.kind == "counter") == name.endswith("_total")
        assert not re.search(r"_(ms|us|usec|kb|mb|percent|perc|size)$", name)
        assert metric.means.endswith(".")


def test_cloudwatch_name_is_one_metric_and_leaves_its_unit_to_the_unit():
    names = [cloudwatch_name(name)[0] for name in METRICS]

    assert len(set(names)) == len(names)
    assert not set(names) & {"Server", "Command", "Quantile", "Error", "Db"}
    assert cloudwatch_name("redis_flow_memory_rss_bytes") == ("MemoryRss", "Bytes")
    assert cloudwatch_name("redis_flow_evicted_keys_total") == ("EvictedKeys", "Count")
    assert cloudwatch_name("redis_flow_net_input_bytes_total") == ("NetInput", "Bytes")
    assert cloudwatch_name("redis_flow_commands_duration_seconds_total") == (
        "CommandsDuration",
        "Seconds",
    )
    assert cloudwatch_name("redis_flow_clients_ratio") == ("ClientsRatio", "None")


def test_server_that_does_not_answer_has_nothing_but_that():
    assert figures(None) == {"up": 0.0}


def test_what_is_not_told_is_absent_and_never_0():
    """An empty INFO is a server that answered, and said nothing."""
    assert set(figures({})) == {"up", ("server_info", "redis", *["unknown"] * 4)}


@pytest.mark.parametrize(
    ("info", "absent"),
    [
        ({"maxmemory": 0, "used_memory": 5}, "memory_max_bytes"),
        ({"maxmemory": 0, "used_memory": 5}, "memory_cap_ratio"),
        ({"aof_last_rewrite_time_sec": -1}, "aof_rewrite_last_duration_seconds"),
        ({"aof_last_cow_size": 0}, "cow_last_bytes"),
        ({"latest_fork_usec": 0}, "fork_last_duration_seconds"),
        ({"current_cow_size": 0, "aof_rewrite_in_progress": 0}, "cow_current_bytes"),
        ({"mem_clients_normal": 2**64 - 5}, "memory_clients_bytes"),
        ({"used_memory_rss": "much"}, "memory_rss_bytes"),
        ({"used_memory_rss": 5}, "memory_headroom_bytes"),
        ({"errorstat_OOM": {"count": 1}}, ("errors_total", "OOM")),
    ],
)
def test_value_that_stands_for_none_is_none(info, absent):
    """Redis writes -1, 0 or nearly 2^64 where it has no figure."""
    assert absent not in figures(info)


def test_headroom_is_held_against_the_limit():
    found = figures({"used_memory_rss": 600, "aof_last_cow_size": 100}, limit_bytes=1000)

    assert found["memory_headroom_bytes"] == 400
    assert found["memory_limit_ratio"] == 0.6
    assert found["cow_headroom_ratio"] == 0.25


@pytest.mark.parametrize(
    ("policy", "expires", "told"),
    [
        ("noeviction", 9, True),
        ("volatile-ttl", 0, True),
        ("volatile-ttl", 1, False),
        ("allkeys-lru", 0, False),
    ],
)
def test_share_until_refusal_is_told_where_a_full_server_refuses(policy, expires, told):
    info = {"used_memory": 9, "mem_not_counted_for_evict": 1, "maxmemory": 10}
    info |= {"maxmemory_policy": policy, "db0": {"keys": 10, "expires": expires}}

    assert figures(info).get("memory_until_refusal_ratio") == (0.8 if told else None)


def test_errors_are_told_by_their_first_word_and_bounded():
    """MISCONF and OOM from the start, so that the first one is an increase; scripts may invent."""
    info = {f"errorstat_E{number}": {"count": number} for number in range(40)}
    info |= {"total_error_replies": 1000, "errorstat_my own": {"count": 7}}

    found = {name[1]: value for name, value in figures(info).items() if name[0] == "errors_total"}

    assert found["MISCONF"] == found["OOM"] == 0
    assert found["E39"] == 39
    assert len(found) == 21
    assert found["other"] == 7 + sum(range(22))


def test_latency_and_idle_time_are_in_seconds():
    keys = {
        "channel": KeysOfPrefix(keys=9, without_ttl=1, idle_s_p50=10.0, idle_s_p90=20.0),
        "token": KeysOfPrefix(keys=2, without_ttl=0, idle_s_p50=1.0, idle_s_p90=1.0),
    }
    info = {"latency_percentiles_usec_get": {"p50": 1.0, "p99": 20.0, "p99.9": 5000.0}}

    found = figures(info, keys=keys)

    assert found["command_latency_seconds", "get", "0.999"] == 0.005
    assert found["key_idle_seconds", "0.9"] == 20
    assert found["sampled_keys"] == 11
    assert found["sampled_keys_without_ttl"] == 1
