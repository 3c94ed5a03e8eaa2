"""Sealing what a run left behind, whatever state it is in."""

import pytest

from tests.frames import START_UNIX_S, make_run
from workbench.errors import RunError
from workbench.experiments.sealing import seal, seal_abandoned
from workbench.runs.lock import hold
from workbench.runs.manifest import read_manifest, write_manifest
from workbench.runs.run import Run, open_run
from workbench.runs.schema import TABLES

TURNS = [{"elapsed_s": n / 100} for n in range(200)]
POLLS = [{"elapsed_s": n / 4} for n in range(-4, 16)]
SECONDS = [{"elapsed_s": float(n)} for n in range(1, 5)]
ORIGIN = {"elapsed_s": -1.0, "label": "origin"}


@pytest.fixture
def abandoned(runs_folder):
    """A run whose conductor was killed 4 s into its measured phase, 30 s before its end."""
    run = make_run(
        runs_folder / "left",
        status="running",
        measured_s=None,
        operations=TURNS,
        samples=POLLS,
        generator=SECONDS,
        events=[{"elapsed_s": -3.0, "duration_s": 1.0, "label": "prefill"}, ORIGIN],
    )
    manifest = read_manifest(run.path)
    manifest.experiment |= {"warm_up_s": 1.0, "measure_s": 30.0}
    write_manifest(run.path, manifest)
    (run.path / "server").mkdir()
    (run.path / "server" / "appendonly.aof").write_text("data")
    (run.path / "samples" / ".part-sampler-0009.parquet").write_text("PAR1 and then")
    return run.path


def test_what_a_killed_conductor_left_is_sealed_as_failed(abandoned):
    """It can be opened from then on, and says that it was cut off."""
    manifest = seal_abandoned(abandoned)

    run = open_run("left")
    assert manifest.status == "failed"
    assert manifest.why == "its conductor was killed"
    rows = {"operations": 200, "keys": 0, "samples": 20, "events": 2, "generator": 4}
    assert run.manifest.rows == rows | {"evictions": 0, "eviction_windows": 0}


def test_phases_of_a_killed_load_are_the_planned_ones_cut_off(abandoned):
    """Time counts from the measured phase, although nobody was left to record it."""
    seal_abandoned(abandoned)

    run = Run(abandoned)
    assert [phase.name for phase in run.manifest.phases] == ["prefill", "warm-up", "measure"]
    assert run.start_unix_s == START_UNIX_S
    assert run.measured_s == pytest.approx(4.0)


def test_sealing_removes_the_servers_data_and_what_is_half_written(abandoned):
    """Neither is part of the record."""
    seal_abandoned(abandoned)

    assert not (abandoned / "server").exists()
    assert list(abandoned.rglob(".*")) == []


def test_sealed_run_is_not_sealed_again(abandoned):
    """It is read-only from its seal on."""
    seal_abandoned(abandoned)

    with pytest.raises(RunError, match="sealed already: failed"):
        seal_abandoned(abandoned)


def test_run_that_goes_on_is_not_sealed(abandoned):
    """Its conductor does that."""
    with hold(abandoned), pytest.raises(RunError, match="still being written"):
        seal_abandoned(abandoned)

    assert read_manifest(abandoned).status == "running"
    assert (abandoned / "server").exists()


@pytest.mark.parametrize("table", ["operations", "samples", "events", "generator"])
def test_run_with_a_truncated_part_is_sealed_as_failed_with_the_part_named(abandoned, table):
    """Its other tables are counted, and can be read."""
    part = next((abandoned / table).glob("part-*"))
    part.write_bytes(part.read_bytes()[:100])
    manifest = read_manifest(abandoned)
    manifest.stopped_unix_s = START_UNIX_S + 4

    seal(abandoned, manifest, "complete")

    sealed = read_manifest(abandoned)
    assert sealed.status == "failed"
    assert part.name in sealed.why
    assert "cannot be read" in sealed.why
    assert table not in sealed.rows
    assert len(sealed.rows) == len(TABLES) - 1


def test_run_with_a_foreign_file_among_its_parts_is_sealed_as_failed(abandoned):
    """A part that holds other columns is no part of the table."""
    other = next((abandoned / "events").glob("part-*"))
    (abandoned / "samples" / "part-other-0000.parquet").write_bytes(other.read_bytes())

    sealed = seal_abandoned(abandoned)

    assert "part-other-0000.parquet is not a part of this table" in sealed.why
    assert "samples" not in sealed.rows


def test_manifest_of_another_schema_version_is_left_alone(abandoned):
    """A newer workbench knows what it means; this one does not."""
    path = abandoned / "manifest.json"
    path.write_text(path.read_text().replace('"schema_version": ', '"schema_version": 9'))
    before = path.read_bytes()

    with pytest.raises(RunError, match="has schema version 9"):
        seal_abandoned(abandoned)

    assert path.read_bytes() == before


def test_log_is_not_asked_for_rewrites_when_the_clock_was_moved(abandoned):
    """The log goes by the wall clock, and would put them where they were not."""
    log = (
        "1:M 14 Nov 2023 22:13:21.000 * Background append only file rewriting started by pid 7\n"
        "1:M 14 Nov 2023 22:13:21.200 * Background AOF rewrite finished successfully\n"
    )
    (abandoned / "logs").mkdir()
    (abandoned / "logs" / "redis.log").write_text(log)
    moved = make_run(
        abandoned.parent / "moved",
        status="running",
        samples=POLLS,
        events=[{"elapsed_s": 1.0, "kind": "clock_step", "label": "+3600.0 s"}],
    ).path
    (moved / "logs").mkdir()
    (moved / "logs" / "redis.log").write_text(log)

    kinds = {}
    for path in (abandoned, moved):
        manifest = read_manifest(path)
        manifest.stopped_unix_s = START_UNIX_S + 4
        seal(path, manifest, "interrupted")
        kinds[path.name] = set(Run(path).events["kind"])

    assert kinds == {"left": {"phase", "aof_rewrite"}, "moved": {"clock_step"}}
