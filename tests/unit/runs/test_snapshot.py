"""Snapshots of a run: written whole, read back, and a damaged file is an error that names it."""

import pytest

from tests.frames import snapshot
from workbench.errors import RunError
from workbench.runs.snapshot import read_snapshots, write_snapshots


def test_snapshots_come_back_as_they_were_written(tmp_path):
    """In the order of time, and none where there is no file."""
    looks = [snapshot(0.0), snapshot(10.0, host=None, refused={"scan": "NOPERM"})]
    before = read_snapshots(tmp_path)

    write_snapshots(tmp_path, looks)

    assert before == []
    assert read_snapshots(tmp_path) == looks


@pytest.mark.parametrize("content", [b"", b"[", b"{}", b'[{"unix_s": "now"}]', b"\xff"])
def test_damaged_snapshots_are_named(tmp_path, content):
    """A rule that needs them is unknown then, and says why."""
    (tmp_path / "snapshots.json").write_bytes(content)

    with pytest.raises(RunError, match=r"snapshots\.json cannot be read"):
        read_snapshots(tmp_path)


def test_servers_of_our_own_are_watched_by_instruments_and_it_is_on_record(tiny_run):
    """The latency monitor and the tracking of latencies; another's keeps its own."""
    assert tiny_run.manifest.server["instruments"] == {
        "latency-monitor-threshold": "10",
        "latency-tracking": "yes",
    }
    assert [look.config["latency-monitor-threshold"] for look in tiny_run.snapshots] == ["10", "10"]
    assert {look.config["latency-tracking"] for look in tiny_run.snapshots} == {"yes"}


def test_snapshot_of_a_run_holds_no_path_and_no_secret(tiny_run):
    """It is committed, sent around and attached to issues."""
    text = (tiny_run.path / "snapshots.json").read_text()

    for name in ("executable", "config_file", '"dir"', "logfile", "requirepass", "masterauth"):
        assert name not in text
