"""Read a run directory: its manifest, and its tables as frames."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from workbench.checkout import runs_dir
from workbench.errors import RunError, nearest
from workbench.runs.lock import is_held
from workbench.runs.manifest import MANIFEST, STATUSES, Manifest, read_manifest
from workbench.runs.schema import TABLES

__all__ = ["Entry", "Run", "every_run", "find_run", "list_runs", "open_run"]

_LATEST: Final = "latest"


class Run:
    """
    One run, read-only. Tables are read when they are first asked for.

    Each frame has ``elapsed_s`` besides the columns of the schema: seconds from the start of the
    measured phase, negative before it.

    Args:
        path: the run directory.

    Raises:
        RunError: it is no run directory, or one of another version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.manifest: Manifest = read_manifest(path)

    @property
    def start_unix_s(self) -> float:
        """The start of the measured phase; of the run, if it did not come to that."""
        measure = self.manifest.phase("measure")
        return measure.start_unix_s if measure else self.manifest.started_unix_s

    @property
    def measured_s(self) -> float:
        """Length of the measured phase, s; 0 if the run did not come to it."""
        measure = self.manifest.phase("measure")
        return measure.stop_unix_s - measure.start_unix_s if measure else 0.0

    @property
    def loaded(self) -> bool:
        """Whether the workbench put load on the server; else it was only sampled."""
        return bool(self.manifest.experiment.get("scenario"))

    @cached_property
    def operations(self) -> pd.DataFrame:
        """Every turn, in the order in which they were due."""
        return self._table("operations")

    @cached_property
    def measured(self) -> pd.DataFrame:
        """The turns that were due in the measured phase."""
        due_s = self.operations["elapsed_s"]
        return self.operations[(due_s >= 0) & (due_s < self.measured_s)]

    @cached_property
    def samples(self) -> pd.DataFrame:
        """Every INFO of the server."""
        return self._table("samples")

    @cached_property
    def events(self) -> pd.DataFrame:
        """Phases, AOF rewrites."""
        return self._table("events")

    @cached_property
    def generator(self) -> pd.DataFrame:
        """Every second of the load processes."""
        return self._table("generator")

    def _table(self, name: str) -> pd.DataFrame:
        schema = TABLES[name].arrow
        parts = [_read_part(path, schema) for path in sorted((self.path / name).glob("part-*"))]
        table = pa.concat_tables(parts) if parts else schema.empty_table()
        frame: pd.DataFrame = table.to_pandas().sort_values("unix_s", kind="stable", ignore_index=True)
        frame.insert(1, "elapsed_s", frame["unix_s"] - self.start_unix_s)
        return frame


def open_run(where: str | Path) -> Run:
    """
    A sealed run.

    Args:
        where: its directory, its name among the runs, or ``latest`` (also as ``runs/latest``).

    Raises:
        RunError: there is none, it is still running, or it cannot be read.
    """
    path = find_run(where)
    run = Run(path)
    if run.manifest.status == "running":
        if is_held(path):
            raise RunError(f"{path} is still running, and only a sealed run can be judged: wait")
        raise RunError(
            f"{path} was never sealed: its conductor was killed; seal what it left with: "
            f"workbench seal {path.name}"
        )
    return run


def find_run(where: str | Path) -> Path:
    """
    The directory of a run, sealed or not; ``latest`` is the latest that is sealed.

    Raises:
        RunError: there is none.
    """
    path = Path(where)
    if path.name == _LATEST and not path.exists():
        known = list_runs()
        if not known:
            raise RunError(f"there is no run in {runs_dir()}; make one with: workbench run")
        path = known[-1]
    elif not path.exists() and (runs_dir() / path.name).exists():
        path = runs_dir() / path.name
    if not path.exists():
        names = [entry.path.name for entry in every_run()]
        hint = nearest(path.name, names) if names else "; make one with: workbench run"
        raise RunError(f"there is no run {str(where)!r}{hint}")
    return path


@dataclass(frozen=True, slots=True)
class Entry:
    """
    A run in the list of runs.

    Attributes:
        path: its directory.
        state: its status; ``unsealed`` if its conductor was killed, ``unreadable`` if its manifest
            cannot be read.
        why: more about the state; empty if it is complete.
        manifest: None if it cannot be read.
    """

    path: Path
    state: str
    why: str
    manifest: Manifest | None


def every_run() -> list[Entry]:
    """All runs, sealed or not, the latest last."""
    return [_entry(manifest.parent) for manifest in sorted(runs_dir().glob(f"*/{MANIFEST}"))]


def list_runs() -> list[Path]:
    """The directories of all sealed runs, the latest last."""
    return [entry.path for entry in every_run() if entry.state in STATUSES.keys() - {"running"}]


def _entry(path: Path) -> Entry:
    try:
        manifest = read_manifest(path)
    except RunError as error:
        return Entry(path, "unreadable", str(error), None)
    if manifest.status == "running" and not is_held(path):
        return Entry(path, "unsealed", f"workbench seal {path.name}", manifest)
    return Entry(path, manifest.status, manifest.why, manifest)


def _read_part(path: Path, schema: pa.Schema) -> pa.Table:
    try:
        # By its own name alone: a folder called a=b would be read as a column of the table.
        table = pq.read_table(path, partitioning=None)
    except (pa.ArrowException, OSError) as error:
        raise RunError(f"{path} cannot be read: {error}; the other parts are intact") from None
    if table.schema.names != schema.names:
        odd = sorted(set(table.schema.names) ^ set(schema.names))
        raise RunError(f"{path} is not a part of this table: columns {', '.join(odd)} differ")
    try:
        return table.cast(schema)
    except pa.ArrowException as error:
        raise RunError(f"{path} is not a part of this table: {error}") from None
