"""
LiveRun: what is being seen of a server, as a run that has no directory and no end. Turns: the
latest turns of a run that goes on.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from workbench.runs.manifest import Manifest, Phase
from workbench.runs.rows import Rows
from workbench.runs.run import Run
from workbench.runs.schema import TABLES
from workbench.runs.snapshot import Snapshot

__all__ = ["LiveRun", "Turns"]


class LiveRun(Run):
    """
    A window of what was seen of a server, for the rules that need no more than that.

    It is a run that was only sampled: tables of the load are empty, and there are no logs.

    Args:
        snapshots: the first and the last of the window, or one alone.
        samples: rows of ``samples``, by column; what a row does not name is empty.
        limit_bytes: memory of the server's container, if it was given, B.
        begun_unix_s: what elapsed time counts from; the first snapshot, and so the window's start,
            if None.
    """

    def __init__(
        self,
        snapshots: Sequence[Snapshot],
        samples: Iterable[Mapping[str, Any]],
        *,
        limit_bytes: int | None = None,
        begun_unix_s: float | None = None,
    ) -> None:
        first, last = snapshots[0], snapshots[-1]
        host = {} if last.host is None else msgspec.structs.asdict(last.host)
        given: dict[str, Any] = {}
        if limit_bytes:
            given["memory_limit_bytes"] = limit_bytes
        self._folder = Path()
        self.manifest = Manifest(
            run_id="live",
            status="complete",
            experiment={"name": "watch", **given},
            seed=0,
            started_unix_s=first.unix_s if begun_unix_s is None else begun_unix_s,
            stopped_unix_s=last.unix_s,
            host=host | (given | {"memory_limit_source": "given"} if given else {}),
            server={"ours": False, "here": last.host is not None, "config": last.config},
            phases=[Phase("measure", first.unix_s, last.unix_s)] if begun_unix_s is None else [],
        )
        self.snapshots = list(snapshots)
        self._rows = [dict(row) for row in samples]

    @property
    def server_logs(self) -> list[Path]:
        """None: it has no directory."""
        return []

    def _rows_of(self, name: str) -> Rows:
        return Rows(self._table(name))

    def _table(self, name: str) -> pd.DataFrame:
        rows = self._rows if name == "samples" else []
        table = pa.Table.from_pylist(rows, schema=TABLES[name].arrow)
        frame: pd.DataFrame = table.to_pandas()
        frame.insert(1, "elapsed_s", frame["unix_s"] - self.start_unix_s)
        return frame


class Turns:
    """
    The turns of a run that goes on, as far as its load has written them; each part is read once.

    Args:
        run_dir: of the run.
        kept_s: turns that are older than the latest by more are let go, s.
    """

    def __init__(self, run_dir: Path, *, kept_s: float) -> None:
        self._folder = run_dir / "operations"
        self._kept_s = kept_s
        self._seen: set[str] = set()
        self._turns = pd.DataFrame({"unix_s": [], "response_us": []}, dtype=float)

    def latest(self, *, begun_unix_s: float) -> pd.DataFrame:
        """Columns ``unix_s``, ``elapsed_s`` since the given time (s), and ``response_us``."""
        parts = [path for path in self._folder.glob("part-*") if path.name not in self._seen]
        if parts:
            # By its own name alone: a folder called a=b would be read as a column of the table.
            columns = ["unix_s", "response_us"]
            new = [pq.read_table(path, columns=columns, partitioning=None) for path in parts]
            self._seen |= {path.name for path in parts}
            both = pd.concat([self._turns, *(table.to_pandas() for table in new)])
            kept = both[both["unix_s"] >= both["unix_s"].max() - self._kept_s]
            self._turns = kept.sort_values("unix_s", ignore_index=True)
        return self._turns.assign(elapsed_s=self._turns["unix_s"] - begun_unix_s)
