"""Read a run directory: its manifest, and its tables as frames."""

from functools import cached_property, lru_cache
from pathlib import Path
from typing import Final

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from workbench.checkout import example_run_dir, runs_dir
from workbench.errors import RunError, nearest
from workbench.runs.facts import html_table, run_facts, server_name
from workbench.runs.listing import every_run, list_runs
from workbench.runs.lock import is_held
from workbench.runs.manifest import Manifest, read_manifest
from workbench.runs.rows import Rows
from workbench.runs.schema import TABLES
from workbench.runs.snapshot import Snapshot, read_snapshots
from workbench.runs.storage import is_far

__all__ = ["Run", "find_run", "open_run", "open_run_or_example"]

_LATEST: Final = "latest"
_EXAMPLE: Final = (
    "This is the example that comes with the tests, not a run of yours: make one with "
    "`workbench run`, or in the notebook 00-tour."
)


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
        self._folder = path
        self.manifest: Manifest = read_manifest(path)

    @property
    def path(self) -> Path:
        """The run directory."""
        return self._folder

    @property
    def name(self) -> str:
        """Of its directory, by which commands find it."""
        return self._folder.name

    @property
    def where(self) -> str:
        """The run directory, for people and programs."""
        return str(self._folder.resolve())

    @property
    def is_example(self) -> bool:
        """Whether it is the run that comes with the tests."""
        return self._folder.resolve() == example_run_dir()

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

    @property
    def latency_since(self) -> str:
        """From when its latencies are counted; a closed loop's have not what a stall does."""
        closed = self.manifest.experiment.get("closed_loop")
        return "closed loop: from the send" if closed else "from the intended start"

    @cached_property
    def turns(self) -> Rows:
        """Every turn, as many as there may be; what looks at turns asks here."""
        return self._rows_of("operations")

    @cached_property
    def measured_turns(self) -> Rows:
        """The turns that were due in the measured phase."""
        return self.turns.where(
            "elapsed_s >= 0 and elapsed_s < $measured_s", measured_s=self.measured_s
        )

    @cached_property
    def key_rows(self) -> Rows:
        """The conversations looked for when the load was over, as many as there may be."""
        return self._rows_of("keys")

    @cached_property
    def eviction_rows(self) -> Rows:
        """Every key that the server said it took away, as many as there may be."""
        return self._rows_of("evictions")

    @cached_property
    def operations(self) -> pd.DataFrame:
        """Every turn at once, as a frame to explore, in the order in which they were due."""
        return self._table("operations")

    @cached_property
    def measured(self) -> pd.DataFrame:
        """The turns that were due in the measured phase, as a frame to explore."""
        due_s = self.operations["elapsed_s"]
        return self.operations[(due_s >= 0) & (due_s < self.measured_s)]

    @cached_property
    def keys(self) -> pd.DataFrame:
        """The conversations that were looked for when the load was over, as a frame to explore."""
        return self._table("keys")

    @cached_property
    def samples(self) -> pd.DataFrame:
        """Every INFO of the server."""
        return self._table("samples")

    @cached_property
    def events(self) -> pd.DataFrame:
        """Phases, faults, AOF rewrites, settings that were changed and put back."""
        return self._table("events")

    @cached_property
    def generator(self) -> pd.DataFrame:
        """Every second of the load processes."""
        return self._table("generator")

    @cached_property
    def evictions(self) -> pd.DataFrame:
        """Every key that the server said it took away, as a frame to explore."""
        return self._table("evictions")

    @cached_property
    def eviction_windows(self) -> pd.DataFrame:
        """The ledger's windows: what was seen, against what the server counted."""
        return self._table("eviction_windows")

    @cached_property
    def snapshots(self) -> list[Snapshot]:
        """Whole looks at the server: one from the start of the run, one from its end."""
        return read_snapshots(self._folder)

    @property
    def reports(self) -> Path:
        """The folder of its reports; it may be missing."""
        return self._folder / "report"

    @property
    def logs(self) -> Path:
        """The folder of the logs; it may be missing."""
        return self._folder / "logs"

    @property
    def server_logs(self) -> list[Path]:
        """The logs of the servers that were started for it, the sampled one's first."""
        return sorted(self.logs.glob("redis*.log"), key=lambda log: (len(log.name), log))

    @property
    def host_seen(self) -> bool:
        """Whether the manifest's host is the server's own, as far as it shows."""
        return bool(self.manifest.server.get("ours", True) or self.manifest.server.get("here"))

    def __repr__(self) -> str:
        manifest = self.manifest
        example = ", the example of the tests" if self.is_example else ""
        return (
            f"<Run {manifest.run_id}: {manifest.status}, {server_name(manifest.server)}{example}>"
        )

    def _repr_html_(self) -> str:
        why = {"Why": self.manifest.why} if self.manifest.why else {}
        example = f"<p><strong>{_EXAMPLE}</strong></p>" if self.is_example else ""
        return example + html_table((run_facts(self) | why).items())

    def _parts(self, table: str) -> list[Path]:
        return sorted((self._folder / table).glob("part-*"))

    def _rows_of(self, table: str) -> Rows:
        schema = TABLES[table].arrow
        parts = self._parts(table)
        if not parts:
            empty = schema.empty_table().to_pandas()
            empty.insert(1, "elapsed_s", empty["unix_s"])
            return Rows(empty)
        for part in parts:
            _check_part(part, schema)
        written = tuple((str(part), part.stat().st_mtime_ns) for part in parts)
        return _rows_of_files(written, self.start_unix_s)

    def _table(self, name: str) -> pd.DataFrame:
        schema = TABLES[name].arrow
        parts = [_read_part(path, schema) for path in self._parts(name)]
        table = pa.concat_tables(parts) if parts else schema.empty_table()
        frame: pd.DataFrame = table.to_pandas().sort_values(
            "unix_s", kind="stable", ignore_index=True
        )
        frame.insert(1, "elapsed_s", frame["unix_s"] - self.start_unix_s)
        return frame


def open_run(where: str | Path) -> Run:
    """
    A sealed run.

    Args:
        where: its directory, its name among the runs, or ``latest`` (also as ``runs/latest``); or
            the URL of its directory in an object store, ``s3://bucket/runs/x``.

    Raises:
        RunError: there is none, it is still running, or it cannot be read.
        PlaceError: its store does not answer, or refuses.
        UsageError: nothing here speaks the URL's protocol, or there are no credentials.
    """
    if is_far(where):
        return _open_far(str(where))
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


def _open_far(url: str) -> Run:
    from workbench.runs.far import FarRun  # which is a run itself

    run = FarRun(url)
    if run.manifest.status == "running":
        raise RunError(
            f"{run.where} was not sealed before it was copied, and only a sealed run can be "
            "judged: seal it where it was made, and copy it again"
        )
    return run


def find_run(where: str | Path) -> Path:
    """
    The directory of a run, sealed or not; ``latest`` is the latest that is sealed.

    Raises:
        RunError: there is none.
    """
    if is_far(where):
        raise RunError(f"{where} is not on this machine: copy it to a folder first")
    path = Path(where)
    if path.name == _LATEST and not path.exists():
        known = list_runs()
        if not known:
            raise RunError(f"there is no run in {runs_dir()}; make one with: workbench run")
        path = known[-1].path
    elif not path.exists() and (runs_dir() / path.name).exists():
        path = runs_dir() / path.name
    if not path.exists():
        names = [entry.name for entry in every_run()]
        hint = nearest(path.name, names) if names else "; make one with: workbench run"
        raise RunError(f"there is no run {str(where)!r}{hint}")
    return path


def open_run_or_example(where: str | Path) -> Run:
    """
    A sealed run, for a notebook: the example if the latest is asked for and there is none at all.

    Whoever opens a notebook before the first run sees charts, and the run says that it is the
    example. A verdict on that would answer nobody's question, so commands use ``open_run``.

    Raises:
        RunError: as ``open_run`` does.
    """
    path = Path(where)
    wants_latest = path.name == _LATEST and not path.exists()
    if wants_latest and not list_runs() and example_run_dir().is_dir():
        return Run(example_run_dir())
    return open_run(where)


@lru_cache(maxsize=6)  # the three large tables of two runs
def _rows_of_files(written: tuple[tuple[str, int], ...], start_unix_s: float) -> Rows:
    """
    The rows of files as they were written then, with what was asked of them before.

    Each notebook of a report opens its run anew, and asks much that another has asked.
    """
    return Rows.of_parts([path for path, _ in written], start_unix_s=start_unix_s)


def _check_part(path: Path, schema: pa.Schema) -> None:
    try:
        names = pq.read_schema(path).names
    except (pa.ArrowException, OSError) as error:
        raise RunError(f"{path} cannot be read: {error}; the other parts are intact") from None
    if names != schema.names:
        odd = sorted(set(names) ^ set(schema.names))
        raise RunError(f"{path} is not a part of this table: columns {', '.join(odd)} differ")


def _read_part(path: Path, schema: pa.Schema) -> pa.Table:
    _check_part(path, schema)
    try:
        # By its own name alone: a folder called a=b would be read as a column of the table.
        table = pq.read_table(path, partitioning=None)
    except (pa.ArrowException, OSError) as error:
        raise RunError(f"{path} cannot be read: {error}; the other parts are intact") from None
    try:
        return table.cast(schema)
    except pa.ArrowException as error:
        raise RunError(f"{path} is not a part of this table: {error}") from None
