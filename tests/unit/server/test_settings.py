"""What settings mean, and which have no effect: pure functions over a CONFIG."""

import subprocess
import sys

import pytest

from workbench.server.settings import (
    _MEANINGS,
    SECRETS,
    dead_settings,
    differences,
    shown,
    without_secrets,
)

DOCUMENTED = {
    "maxmemory": "536870912",
    "maxmemory-policy": "allkeys-lru",
    "maxmemory-samples": "5",
    "maxmemory-clients": "0",
    "appendonly": "yes",
    "appendfsync": "everysec",
    "no-appendfsync-on-rewrite": "no",
    "save": "",
    "stop-writes-on-bgsave-error": "yes",
    "auto-aof-rewrite-percentage": "100",
    "auto-aof-rewrite-min-size": "67108864",
    "aof-load-truncated": "yes",
    "lfu-log-factor": "10",
    "activedefrag": "no",
    "active-defrag-cycle-max": "25",
    "io-threads": "1",
    "io-threads-do-reads": "no",
    "latency-tracking": "yes",
    "latency-tracking-info-percentiles": "50 99 99.9",
    "slowlog-max-len": "128",
    "slowlog-log-slower-than": "10000",
    "oom-score-adj": "no",
    "oom-score-adj-values": "0 200 800",
    "min-replicas-to-write": "0",
    "requirepass": "",
}


def dead(named=(), **changes):
    config = DOCUMENTED | {name.replace("_", "-"): value for name, value in changes.items()}
    return {each.name for each in dead_settings(config, named=named)}


def test_documented_development_server_has_no_dead_setting():
    """A default that has no effect is nobody's mistake."""
    assert dead() == set()


@pytest.mark.parametrize(
    ("name", "without_effect", "with_effect"),
    [
        (
            "stop-writes-on-bgsave-error",
            {"stop_writes_on_bgsave_error": "no"},
            {"stop_writes_on_bgsave_error": "no", "save": "900 1"},
        ),
        ("appendfsync", {"appendfsync": "always", "appendonly": "no"}, {"appendfsync": "always"}),
        (
            "auto-aof-rewrite-percentage",
            {"auto_aof_rewrite_percentage": "50", "appendonly": "no"},
            {"auto_aof_rewrite_percentage": "50"},
        ),
        (
            "auto-aof-rewrite-min-size",
            {"auto_aof_rewrite_min_size": "1", "auto_aof_rewrite_percentage": "0"},
            {"auto_aof_rewrite_min_size": "1"},
        ),
        (
            "no-appendfsync-on-rewrite",
            {"no_appendfsync_on_rewrite": "yes", "appendfsync": "no"},
            {"no_appendfsync_on_rewrite": "yes"},
        ),
        (
            "aof-load-truncated",
            {"aof_load_truncated": "no", "appendonly": "no"},
            {"aof_load_truncated": "no"},
        ),
        ("maxmemory-policy", {"maxmemory": "0"}, {}),
        (
            "maxmemory-samples",
            {"maxmemory_samples": "10", "maxmemory_policy": "noeviction"},
            {"maxmemory_samples": "10", "maxmemory_policy": "volatile-ttl"},
        ),
        (
            "maxmemory-samples",
            {"maxmemory_samples": "10", "maxmemory_policy": "allkeys-random"},
            {"maxmemory_samples": "10"},
        ),
        (
            "lfu-log-factor",
            {"lfu_log_factor": "5"},
            {"lfu_log_factor": "5", "maxmemory_policy": "allkeys-lfu"},
        ),
        (
            "maxmemory-clients",
            {"maxmemory_clients": "5%", "maxmemory": "0"},
            {"maxmemory_clients": "5%"},
        ),
        (
            "active-defrag-cycle-max",
            {"active_defrag_cycle_max": "50"},
            {"active_defrag_cycle_max": "50", "activedefrag": "yes"},
        ),
        (
            "io-threads-do-reads",
            {"io_threads_do_reads": "yes"},
            {"io_threads_do_reads": "yes", "io_threads": "2"},
        ),
        (
            "oom-score-adj-values",
            {"oom_score_adj_values": "0 0 0"},
            {"oom_score_adj_values": "0 0 0", "oom_score_adj": "yes"},
        ),
        (
            "latency-tracking-info-percentiles",
            {"latency_tracking_info_percentiles": "50", "latency_tracking": "no"},
            {"latency_tracking_info_percentiles": "50"},
        ),
        (
            "slowlog-max-len",
            {"slowlog_max_len": "9", "slowlog_log_slower_than": "-1"},
            {"slowlog_max_len": "9"},
        ),
        (
            "slowlog-log-slower-than",
            {"slowlog_log_slower_than": "9", "slowlog_max_len": "0"},
            {"slowlog_log_slower_than": "9"},
        ),
    ],
)
def test_setting_is_dead_only_beside_what_makes_it_so(name, without_effect, with_effect):
    """Each predicate has its control, which differs in one other setting."""
    assert name in dead(**without_effect)
    assert name not in dead(**with_effect)


def test_default_that_a_file_names_is_dead_all_the_same():
    """Somebody wrote it down, so somebody counts on it."""
    assert dead(named={"stop-writes-on-bgsave-error"}) == {"stop-writes-on-bgsave-error"}
    assert dead(named={"maxmemory-clients"}) == {"maxmemory-clients"}
    assert dead(named={"maxmemory-clients"}, maxmemory_clients="5%") == set()


def test_nothing_is_said_where_the_deciding_setting_is_not_known():
    """A record without `save` does not say that there are no save points."""
    assert dead_settings({"stop-writes-on-bgsave-error": "no"}) == []
    assert dead_settings({"lfu-log-factor": "5"}) == []
    assert dead_settings({}) == []


def test_settings_for_replicas_are_not_nagged_about():
    """A server without replicas keeps them for the day that it has one."""
    config = DOCUMENTED | {"repl-backlog-size": "9", "repl-timeout": "9", "replica-priority": "1"}

    assert dead_settings(config) == []


def told(**changes):
    config = DOCUMENTED | {name.replace("_", "-"): value for name, value in changes.items()}
    return {each.name: each for each in differences(config, DOCUMENTED)}


def test_same_settings_do_not_differ():
    """The control of the tests below."""
    assert told() == {}


@pytest.mark.parametrize(
    ("changes", "severity", "says"),
    [
        ({"maxmemory": "0"}, "critical", "There is no cap"),
        ({"maxmemory": "1048576"}, "warning", "Fewer conversations fit"),
        ({"maxmemory": "1073741824"}, "warning", "if the container has the memory"),
        ({"maxmemory_policy": "noeviction"}, "warning", "every write is refused"),
        ({"maxmemory_policy": "volatile-ttl"}, "warning", "nearest to its expiry"),
        ({"appendonly": "no"}, "critical", "a restart loses every conversation"),
        ({"appendfsync": "always"}, "warning", "waits for the disk"),
        ({"save": "900 1"}, "warning", "Snapshots"),
        ({"auto_aof_rewrite_percentage": "0"}, "warning", "never rewritten"),
        ({"auto_aof_rewrite_percentage": "200"}, "info", "before it is rewritten"),
        ({"auto_aof_rewrite_min_size": "1"}, "info", "more forks"),
        ({"min_replicas_to_write": "1"}, "critical", "NOREPLICAS"),
        ({"oom_score_adj": "yes"}, "info", ""),
    ],
)
def test_difference_says_what_it_means_for_conversations(changes, severity, says):
    """By value where the value matters, and by direction where that does."""
    (found,) = told(**changes).values()

    assert found.severity == severity
    assert says in found.says
    assert bool(says) == bool(found.says)


def test_gravest_difference_comes_first():
    """It is what a person should read."""
    found = told(oom_score_adj="yes", appendfsync="no", appendonly="no")

    assert list(found) == ["appendonly", "appendfsync", "oom-score-adj"]


def test_places_second_names_and_passwords_are_no_differences():
    """A port says nothing of conversations; a password is nobody's business."""
    here = DOCUMENTED | {"requirepass": "hunter2", "port": "1", "slave-priority": "1"}
    documented = DOCUMENTED | {"port": "2", "slave-priority": "2"}

    assert differences(here, documented) == []
    assert "hunter2" not in str(without_secrets(here))
    assert SECRETS.isdisjoint(without_secrets(here))


def test_every_meaning_is_whole_sentences_and_there_are_enough():
    """About as many settings matter to conversations as are explained."""
    said = [
        text
        for each in _MEANINGS.values()
        for _, text in [
            ("info", each.says),
            *(each.values or {}).values(),
            *filter(None, (each.less, each.more)),
        ]
        if text
    ]

    assert len(_MEANINGS) >= 25
    assert all(text[0].isupper() and text.endswith(".") for text in said)


def test_sizes_are_shown_in_units_and_emptiness_as_such():
    """What people read; programs get what CONFIG GET answers."""
    assert shown("maxmemory", "536870912") == "512 MiB"
    assert shown("maxmemory", "0") == "0"
    assert shown("hz", "10") == "10"
    assert shown("save", "") == '""'


def test_settings_need_no_redis():
    """Rules on recorded runs may ask for them."""
    code = "import sys, workbench.server.settings; print({'redis', 'pandas'} & set(sys.modules))"

    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert out.stdout.strip() == "set()"
