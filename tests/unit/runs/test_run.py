"""A run is found by path, name or latest; its tables are whole or named as damaged."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.frames import START_UNIX_S, make_run
from workbench.errors import RunError
from workbench.runs.listing import every_run, list_runs
from workbench.runs.lock import hold
from workbench.runs.run import Run, open_run, open_run_or_example
from workbench.runs.schema import TABLES


def test_run_is_opened_by_path_by_name_and_as_latest(tiny_run, runs_folder, monkeypatch):
    """The same run, however a person names it."""
    monkeypatch.chdir(runs_folder.parent)

    found = {open_run(where).path.name for where in (tiny_run.path, "tiny", "runs/tiny", "latest")}

    assert found == {"tiny"}


def test_latest_is_the_sealed_run_that_began_last(runs_folder):
    """Names begin with the time; runs that are not sealed, and foreign folders, do not count."""
    make_run(runs_folder / "2026-11-23T080000Z-a")
    make_run(runs_folder / "2026-11-23T090000Z-a", status="failed")
    make_run(runs_folder / "2026-11-23T100000Z-a", status="running")
    (runs_folder / "2026-11-23T110000Z-a").mkdir()
    (runs_folder / "2026-11-23T120000Z-a").mkdir()
    (runs_folder / "2026-11-23T120000Z-a" / "manifest.json").write_text("{")

    names = [path.name for path in list_runs()]

    assert names == ["2026-11-23T080000Z-a", "2026-11-23T090000Z-a"]
    assert open_run("runs/latest").path.name == names[-1]


def test_unknown_name_is_answered_with_the_nearest(tiny_run):
    """A slip of the finger is named, not only refused."""
    with pytest.raises(RunError, match="no run 'tinny'; did you mean 'tiny'"):
        open_run("tinny")


def test_latest_of_no_runs_says_how_to_make_one(runs_folder):
    """A newcomer's first command may well be the wrong one."""
    for where in ("latest", "tiny"):
        with pytest.raises(RunError, match="make one with: workbench run"):
            open_run(where)


def test_notebook_without_any_run_is_shown_the_example(runs_folder):
    """It says so itself, in a line and as a table; a command does without."""
    run = open_run_or_example("runs/latest")

    assert run.is_example
    assert "the example of the tests" in repr(run)
    assert "not a run of yours" in run._repr_html_()
    with pytest.raises(RunError, match="make one with: workbench run"):
        open_run("runs/latest")


def test_example_is_for_the_latest_of_none_alone(runs_folder, tiny_run):
    """A run of one's own comes before it, and a slip of the finger is no reason to show it."""
    assert open_run_or_example("latest").path == tiny_run.path
    assert not open_run_or_example("latest").is_example
    with pytest.raises(RunError, match="no run 'tinny'"):
        open_run_or_example("tinny")


def test_running_run_is_refused(runs_folder):
    """Half a run has no verdict."""
    make_run(runs_folder / "half", status="running")

    with hold(runs_folder / "half"), pytest.raises(RunError, match="half is still running"):
        open_run("half")


def test_run_whose_conductor_was_killed_is_refused_with_the_way_to_seal_it(runs_folder):
    """Nobody is at work on it any more, so waiting would be in vain."""
    make_run(runs_folder / "half", status="running")

    with pytest.raises(RunError, match=r"never sealed.*workbench seal half"):
        open_run("half")


def test_every_run_is_listed_with_its_state(runs_folder):
    """Sealed, going on, left behind, and unreadable; the latest of the sealed is the latest."""
    for name, status in (("1", "complete"), ("2", "invalid"), ("3", "running"), ("4", "running")):
        make_run(runs_folder / name, status=status)
    (runs_folder / "5").mkdir()
    (runs_folder / "5" / "manifest.json").write_text("{")

    with hold(runs_folder / "3"):
        states = [entry.status for entry in every_run()]

    assert states == ["complete", "invalid", "running", "unsealed", "unreadable"]
    assert open_run("latest").path.name == "2"


def test_elapsed_counts_from_the_start_of_the_measured_phase(tmp_path):
    """One clock for all tables: negative before the phase, in the order of time."""
    rows = [{"elapsed_s": 2.5}, {"elapsed_s": -1.0}, {"elapsed_s": 0.0}]

    run = make_run(tmp_path, operations=rows, samples=rows)

    assert run.start_unix_s == START_UNIX_S
    assert run.operations["elapsed_s"].tolist() == [-1.0, 0.0, 2.5]
    assert run.samples["elapsed_s"].tolist() == [-1.0, 0.0, 2.5]


def test_measured_are_the_turns_due_from_its_start_to_before_its_end(tmp_path):
    """A turn due on the stroke of the end belongs to what follows."""
    rows = [{"elapsed_s": at} for at in (-0.5, 0.0, 9.5, 10.0, 10.5)]

    run = make_run(tmp_path, measured_s=10.0, operations=rows)

    assert run.measured["elapsed_s"].tolist() == [0.0, 9.5]


def test_run_that_did_not_come_to_its_measured_phase_counts_from_its_own_start(tmp_path):
    """It has times, and nothing that was measured."""
    run = make_run(tmp_path, measured_s=None, operations=[{"elapsed_s": 0.0}])

    assert run.measured_s == 0.0
    assert run.operations["elapsed_s"].tolist() == [2.0]
    assert run.measured.empty


@pytest.mark.parametrize("name", TABLES)
def test_table_without_parts_is_an_empty_frame_with_all_columns(tmp_path, name):
    """Who reads it need not ask whether there is a folder."""
    frame = getattr(make_run(tmp_path), name)

    assert frame.empty
    assert {"elapsed_s", *TABLES[name].arrow.names} == set(frame.columns)


@pytest.mark.parametrize("name", TABLES)
def test_golden_run_has_as_many_rows_as_its_manifest_says(tiny_run, name):
    """Parts of several writers are one table; what the run did not record has none."""
    rows = tiny_run.manifest.rows.get(name, 0)

    assert len(getattr(tiny_run, name)) == rows
    assert rows > 0 or name in {"evictions", "eviction_windows"}


def test_run_of_the_schema_before_is_read_without_the_tables_that_came_since(tiny_run):
    """Before there was a ledger, and before a run had snapshots."""
    manifest = json.loads((tiny_run.path / "manifest.json").read_bytes())
    (tiny_run.path / "manifest.json").write_text(json.dumps({**manifest, "schema_version": 4}))
    (tiny_run.path / "snapshots.json").unlink()

    older = Run(tiny_run.path)

    assert older.manifest.schema_version == 4
    assert older.evictions.empty
    assert older.eviction_windows.empty
    assert older.snapshots == []


def test_truncated_part_is_named(tiny_run):
    """One part that a full disk cut off: the message says which, the others can be rescued."""
    part = sorted((tiny_run.path / "operations").iterdir())[1]
    part.write_bytes(part.read_bytes()[:-100])

    with pytest.raises(RunError, match="cannot be read") as caught:
        _ = tiny_run.operations

    assert str(part) in str(caught.value)


def test_part_with_other_columns_is_named(tiny_run):
    """Somebody else's Parquet file under a part's name is not mixed in."""
    part = tiny_run.path / "events" / "part-foreign-0000.parquet"
    pq.write_table(pa.table({"unix_s": [1.0], "price": [2.0]}), part)

    with pytest.raises(RunError, match=r"part-foreign-0000.*columns .*price.* differ"):
        _ = tiny_run.events


def test_part_with_other_types_is_named(tiny_run):
    """The right names over the wrong types are no part of the table either."""
    part = tiny_run.path / "events" / "part-foreign-0000.parquet"
    names = TABLES["events"].arrow.names
    pq.write_table(pa.table({name: ["then"] for name in names}), part)

    with pytest.raises(RunError, match=r"part-foreign-0000\.parquet is not a part of this table"):
        _ = tiny_run.events


def test_temporary_part_is_not_read(tiny_run):
    """What a writer left half done when it was killed does not disturb the rest."""
    rows = len(tiny_run.samples)
    (tiny_run.path / "samples" / ".part-sampler-0009.parquet").write_bytes(b"PAR1 and then")

    assert len(Run(tiny_run.path).samples) == rows


def test_folder_named_like_a_partition_adds_no_column(tmp_path):
    """A run below a folder such as seed=7 is read as any other."""
    run = make_run(tmp_path / "seed=7", operations=[{"elapsed_s": 0.0}])

    assert "seed" not in run.operations
    assert len(run.operations) == 1


def test_every_column_of_the_golden_run_says_what_it_means():
    """The reference is made of the schema: no column without a meaning, no name twice."""
    for table in TABLES.values():
        names = [column.name for column in table.columns]

        assert len(set(names)) == len(names)
        assert all(column.meaning for column in table.columns)
