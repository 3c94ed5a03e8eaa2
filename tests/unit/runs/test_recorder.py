"""Rows become whole parts, each row once, and a half-written part is never one."""

import pyarrow.parquet as pq
import pytest

from workbench.runs import recorder
from workbench.runs.recorder import TableWriter
from workbench.runs.schema import TABLES

ROW = (1.0, 0.5, "phase", "measure", "")


def labels(folder):
    return [
        label
        for part in sorted(folder.glob("part-*"))
        for label in pq.read_table(part)["label"].to_pylist()
    ]


@pytest.fixture
def writer(tmp_path):
    return TableWriter(tmp_path, "events", "worker0")


def test_each_flush_writes_one_part_named_after_writer_and_number(tmp_path, writer):
    """Several processes write into one folder without a lock: their names keep them apart."""
    for _ in range(2):
        writer.append(ROW)
        writer.flush()

    names = sorted(path.name for path in (tmp_path / "events").iterdir())
    assert names == ["part-worker0-0000.parquet", "part-worker0-0001.parquet"]


def test_flush_of_no_rows_writes_no_part(tmp_path, writer):
    """A quiet writer leaves nothing that a reader must open."""
    writer.flush()

    assert list((tmp_path / "events").iterdir()) == []


def test_row_appended_while_a_part_is_written_goes_into_the_next(tmp_path, writer):
    """The writing may go on in another thread; what comes meanwhile is not lost, nor doubled."""

    def write_with_a_row_in_between(write):
        writer.append((2.0, 0.0, "phase", "late", ""))
        write()

    writer.append(ROW)
    writer.flush(write_with_a_row_in_between)
    writer.flush()

    assert labels(tmp_path / "events") == ["measure", "late"]


def test_part_has_the_types_of_the_schema(tmp_path, writer):
    """Every part of a table fits together with every other."""
    writer.append(ROW)
    writer.flush()

    part = next((tmp_path / "events").iterdir())
    assert pq.read_schema(part).equals(TABLES["events"].arrow)


def test_half_written_part_is_no_part(tmp_path, writer, monkeypatch):
    """A full disk leaves no part, and no temporary file either."""

    def breaks_off(table, path, **_):
        path.write_bytes(b"PAR1 and then")
        raise OSError("No space left on device")

    monkeypatch.setattr(recorder.pq, "write_table", breaks_off)
    writer.append(ROW)

    with pytest.raises(OSError, match="No space left"):
        writer.flush()

    assert list((tmp_path / "events").iterdir()) == []


@pytest.mark.parametrize("row", [ROW[:-1], (*ROW, "more")], ids=["short", "long"])
def test_row_of_another_length_is_refused_and_no_part_appears(tmp_path, writer, row):
    """Columns must not be shifted in silence."""
    writer.append(row)

    with pytest.raises(ValueError, match="argument"):
        writer.flush()

    assert list((tmp_path / "events").iterdir()) == []
