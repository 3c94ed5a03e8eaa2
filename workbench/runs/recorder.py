"""Append rows to a table of a run directory: whole Parquet parts, under a temporary name first."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from workbench.runs.schema import TABLES

__all__ = ["TableWriter"]


class TableWriter:
    """
    One process's rows of one table.

    Rows are kept in memory until ``flush``, which writes them as one part; so a crash loses at
    most the rows since the last flush, and several processes need no lock.

    Args:
        run_dir: the run directory.
        table: a name of TABLES.
        writer: names the process in the parts' names: ``worker0``, ``sampler``.
    """

    def __init__(self, run_dir: Path, table: str, writer: str) -> None:
        self._schema = TABLES[table].arrow
        self._folder = run_dir / table
        self._folder.mkdir(parents=True, exist_ok=True)
        self._writer = writer
        self._rows: list[Sequence[Any]] = []
        self._parts = 0

    def append(self, row: Sequence[Any]) -> None:
        """Add one row: the values in the order of the table's columns."""
        self._rows.append(row)

    def flush(self, run: Callable[[Callable[[], None]], object] | None = None) -> None:
        """
        Write the rows so far as one part; nothing if there are none.

        Args:
            run: what carries out the writing, for a caller that must not wait for it: a thread
                pool's ``apply``. The rows are taken before, so none can slip in between.
        """
        if not self._rows:
            return
        rows, self._rows = self._rows, []
        name = f"part-{self._writer}-{self._parts:04d}.parquet"
        self._parts += 1
        if run is None:
            self._write(rows, name)
        else:
            run(lambda: self._write(rows, name))

    def _write(self, rows: list[Sequence[Any]], name: str) -> None:
        columns = [
            pa.array(values, type=field.type)
            for values, field in zip(zip(*rows, strict=True), self._schema, strict=True)
        ]
        temporary = self._folder / f".{name}"
        try:
            pq.write_table(pa.table(columns, schema=self._schema), temporary, compression="zstd")
            temporary.replace(self._folder / name)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
