"""LiveRun: rules judge what is being seen, without a directory."""

from tests.frames import operations
from workbench.diagnostics.finding import evaluate
from workbench.runs.live import LiveRun, Turns
from workbench.runs.recorder import TableWriter
from workbench.runs.schema import TABLES
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


def test_time_can_count_from_another_moment():
    """So that a window that moves on keeps its place; then nothing is the measured phase."""
    run = live(0, 0, begun_unix_s=900.0)

    assert run.samples["elapsed_s"].tolist() == [100.0, 105.0]
    assert run.measured_s == 0


def test_turns_are_read_part_by_part_and_let_go_when_they_are_old(tmp_path):
    """Each part once; a part that is being written is not one yet."""
    writer = TableWriter(tmp_path, "operations", "worker0")
    turns = Turns(tmp_path, kept_s=10.0)
    none = turns.latest(begun_unix_s=100.0)

    write(writer, 101.0, 102.0)
    first = turns.latest(begun_unix_s=100.0)
    (tmp_path / "operations" / ".part-worker0-0001.parquet").write_bytes(b"half")
    write(writer, 111.5)
    second = turns.latest(begun_unix_s=100.0)

    assert none.empty
    assert first["elapsed_s"].tolist() == [1.0, 2.0]
    assert second["elapsed_s"].tolist() == [2.0, 11.5]
    assert second["response_us"].tolist() == [7.0, 7.0]


def write(writer, *unix_s):
    """Turns that were due then."""
    frame = operations([{"elapsed_s": 0, "unix_s": each, "response_us": 7.0} for each in unix_s])
    names = [column.name for column in TABLES["operations"].columns]
    for row in frame[names].itertuples(index=False):
        writer.append(tuple(row))
    writer.flush()
