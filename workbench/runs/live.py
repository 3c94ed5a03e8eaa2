"""LiveRun: what is being seen of a server, as a run that has no directory and no end."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import pyarrow as pa

from workbench.runs.manifest import Manifest, Phase
from workbench.runs.rows import Rows
from workbench.runs.run import Run
from workbench.runs.schema import TABLES
from workbench.runs.snapshot import Snapshot

__all__ = ["LiveRun"]


class LiveRun(Run):
    """
    A window of what was seen of a server, for the rules that need no more than that.

    It is a run that was only sampled: tables of the load are empty, and there are no logs.

    Args:
        snapshots: the first and the last of the window, or one alone.
        samples: rows of ``samples``, by column; what a row does not name is empty.
        limit_bytes: memory of the server's container, if it was given, B.
    """

    def __init__(
        self,
        snapshots: Sequence[Snapshot],
        samples: Iterable[Mapping[str, Any]],
        *,
        limit_bytes: int | None = None,
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
            started_unix_s=first.unix_s,
            stopped_unix_s=last.unix_s,
            host=host | (given | {"memory_limit_source": "given"} if given else {}),
            server={"ours": False, "here": last.host is not None, "config": last.config},
            phases=[Phase("measure", first.unix_s, last.unix_s)],
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
