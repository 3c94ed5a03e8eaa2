"""What a run tells of what its server was asked to do, as far as sizing needs it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import pandas as pd

from workbench.analysis.windows import needed, needed_rows
from workbench.errors import RunError
from workbench.runs.run import Run
from workbench.units import MIB

__all__ = ["Workload", "workload_of"]

_LENGTHS_MAX: Final = 512
_USED_LEAST: Final = 64 * MIB  # below it the program itself is a good part of what is resident


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """
    What was asked of a server.

    Attributes:
        value_bytes: lengths of the documents that conversations had at the end, evenly many.
        writes_per_s: documents that were written.
        sessions_per_s: conversations that began.
        ttl_s: that each write gives; None if none was seen.
        clients: connections, most at once; None if none was sampled.
        fragmentation: resident memory beyond ``used_memory``, of it; None where too little was
            used for that to mean anything.
        sources: where each is from, by name.
    """

    value_bytes: Sequence[int]
    writes_per_s: float
    sessions_per_s: float
    ttl_s: float | None
    clients: int | None
    fragmentation: float | None
    sources: Mapping[str, str] = field(default_factory=dict)


def workload_of(run: Run) -> Workload:
    """
    What a run's turns and samples tell.

    Raises:
        RunError: no turn of it wrote anything, so that it tells nothing of values or rates.
    """
    turns = needed_rows(run.turns, "value_bytes", "conversation", "operation", "ttl_s")
    last = turns.ask(
        "select arg_max(value_bytes, unix_s) as length from rows "
        "where value_bytes > 0 group by conversation order by length"
    )["length"]
    if last.empty or not run.measured_s:
        raise RunError(
            f"no turn of {run.name} wrote a document, so it tells nothing of values or rates; "
            "leave out --from, or name a run that had load"
        )
    counted = run.measured_turns.ask(
        "select count(*) filter (where value_bytes > 0) as written, "
        "count(*) filter (where value_bytes > 0 and operation = 'write') as begun, "
        "max(ttl_s) as ttl_s from rows"
    ).iloc[0]
    clients, fragmentation, why = _of_samples(run.samples)
    ttl_s = None if pd.isna(counted["ttl_s"]) else float(counted["ttl_s"])
    places = range(min(len(last), _LENGTHS_MAX))
    even = [int(last.iloc[at * len(last) // len(places)]) for at in places]
    return Workload(
        value_bytes=even,
        writes_per_s=float(counted["written"]) / run.measured_s,
        sessions_per_s=float(counted["begun"]) / run.measured_s,
        ttl_s=ttl_s,
        clients=clients,
        fragmentation=fragmentation,
        sources={
            "value_bytes": f"the last document of {len(last):,} conversations",
            "writes_per_s": f"documents written in {run.measured_s:,.0f} s",
            "sessions_per_s": f"conversations begun in {run.measured_s:,.0f} s",
            "ttl_s": "the turns" if ttl_s is not None else "not in the run",
            "clients": "the samples" if clients is not None else "not in the run",
            "fragmentation": why,
        },
    )


def _of_samples(samples: pd.DataFrame) -> tuple[int | None, float | None, str]:
    samples = needed(samples, "connected_clients", "used_memory", "used_memory_rss")
    clients = samples["connected_clients"].dropna() if len(samples) else pd.Series(dtype=float)
    most = None if clients.empty else int(clients.max())
    full = samples[samples["used_memory"] >= _USED_LEAST] if len(samples) else samples
    if full.empty:
        return most, None, "the law, since the run used less than 64 MiB"
    late = full.tail(max(1, len(full) // 3))
    beyond = (late["used_memory_rss"] / late["used_memory"] - 1).median()
    return most, max(0.0, float(beyond)), "the run's samples, their last third"
