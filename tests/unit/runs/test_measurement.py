"""Measurements: written whole, read with care, one's own before those that come along."""

import json

import msgspec
import pytest

from workbench.errors import RunError
from workbench.runs import measurement as measurements
from workbench.runs.measurement import (
    Measurement,
    find_measurement,
    read_measurement,
    write_measurement,
)


@pytest.fixture
def made():
    """A table of two rows."""
    return Measurement(
        kind="memory-grid",
        command="workbench lab memory --seed 7",
        seed=7,
        made_at="2026-11-26T20:05:00Z",
        versions={"workbench": "0.1.0"},
        commit="",
        host={"cores": 2, "cpu": None},
        engines=[{"engine": "redis", "version": "7.0.15", "allocator": "jemalloc", "preload": ""}],
        rows=[{"peak_bytes": 1}, {"peak_bytes": 2, "killed": True}],
    )


def test_what_is_written_is_read(made, tmp_path):
    """With what was worked out from it; and nothing else lies beside it."""
    path = write_measurement(made.with_derived({"pages": 2.2}), tmp_path / "new" / "grid.json")

    found = read_measurement(path, "memory-grid")

    assert found == made.with_derived({"pages": 2.2})
    assert found.frame["peak_bytes"].tolist() == [1, 2]
    assert found.where.startswith("Redis 7.0.15 (jemalloc); 2 cores of an unknown processor")
    assert [each.name for each in path.parent.iterdir()] == ["grid.json"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"kind": "engines"}, "is a measurement of engines, and one of memory-grid is needed"),
        ({"schema_version": 9}, "version 9, and 1 is known: make it again: workbench lab memory"),
        ({"rows": 3}, r"is no measurement: Expected `array`.*rows"),
        ({"colour": "red"}, "unknown field `colour`"),
    ],
)
def test_what_is_none_is_refused_by_its_name(made, tmp_path, change, says):
    path = tmp_path / "grid.json"
    path.write_text(json.dumps(msgspec.to_builtins(made) | change))

    with pytest.raises(RunError, match=f"grid.json.*{says}"):
        read_measurement(path, "memory-grid")


def test_file_that_is_not_there_is_said(tmp_path):
    with pytest.raises(RunError, match=r"grid\.json cannot be read: No such file"):
        read_measurement(tmp_path / "grid.json", "memory-grid")


def test_ones_own_goes_first(made, runs_folder, tmp_path, monkeypatch):
    """And without one, that of the checkout is taken."""
    theirs = tmp_path / "measurements"
    write_measurement(made, theirs / "memory-grid.json")
    monkeypatch.setattr(measurements, "measurements_dir", lambda: theirs)
    assert find_measurement("memory-grid")[1].parent == theirs

    write_measurement(made)

    assert find_measurement("memory-grid")[1] == runs_folder / "memory-grid.json"
