"""LiveRun: rules judge what is being seen, without a directory."""

from workbench.diagnostics.finding import evaluate
from workbench.runs.live import LiveRun
from workbench.runs.snapshot import Host, Snapshot

MIB = 1024**2
INFO = {
    "run_id": "first",
    "maxmemory": 8 * MIB,
    "maxmemory_policy": "allkeys-lru",
    "evicted_keys": 0,
    "aof_enabled": 1,
}


def live(*evicted, **given):
    """A window whose counter of evictions stood so at each snapshot, 5 s apart."""
    snapshots = [
        Snapshot(unix_s=1000.0 + 5 * n, info=INFO | {"evicted_keys": count})
        for n, count in enumerate(evicted)
    ]
    rows = [{"unix_s": each.unix_s, "aof_enabled": 1, "run_id": "first"} for each in snapshots]
    return LiveRun(snapshots, rows, **given)


def verdict(run, rule):
    (found,) = evaluate(run, rule)
    return found.verdict


def test_rule_on_snapshots_judges_the_window():
    """What was evicted in it fails; what was evicted before does not."""
    assert verdict(live(3, 90), "evictions") == "fail"
    assert verdict(live(90, 90), "evictions") == "pass"
    assert verdict(live(90), "evictions") == "unknown"


def test_samples_are_a_frame_with_every_column():
    """What was not told is empty; tables of the load have no rows."""
    run = live(0, 0)

    assert run.samples["elapsed_s"].tolist() == [0.0, 5.0]
    assert run.samples["used_memory"].isna().all()
    assert run.operations.empty
    assert not run.loaded


def test_rules_on_the_load_do_not_apply():
    """It is a run that was only sampled."""
    assert verdict(live(0, 0), "lost-updates") == "not applicable"


def test_limit_that_was_given_is_the_limit():
    """Else that of the host, where it shows."""
    host = Host(memory_limit_bytes=9 * MIB, memory_limit_source="cgroup v2")
    seen = LiveRun([Snapshot(unix_s=1.0, host=host)], [])

    assert live(0, limit_bytes=7).manifest.host["memory_limit_source"] == "given"
    assert seen.manifest.host["memory_limit_bytes"] == 9 * MIB
    assert seen.host_seen
    assert not live(0).host_seen


def test_every_rule_can_be_asked():
    """None needs a directory: what it cannot tell it says."""
    assert {found.verdict for found in evaluate(live(0, 5))} <= {
        "pass",
        "fail",
        "unknown",
        "not applicable",
    }
    assert verdict(live(0, 5), "aof-truncated") == "unknown"
    assert verdict(live(0, 5), "error-patterns") == "unknown"
