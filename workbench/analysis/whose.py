"""Whose conversations were evicted: by the ledger if the run kept one, else by its turns."""

import math

import pandas as pd

from workbench.analysis.ledger import ledger_by, lost_by_flow, traced
from workbench.analysis.windows import Turns

__all__ = ["whose"]


def whose(evictions: Turns, turns: Turns, keys: Turns, *, by: str = "flow") -> pd.DataFrame:
    """
    Whose keys went, how old they were, and what was left of their time, as a table for people.

    Args:
        evictions: the ledger; empty if the run kept none.
        turns: all of the run.
        keys: the conversations that were looked for at the end.
        by: ``flow``; or ``prefix``, of a server whose load was not ours.

    Returns:
        One row per flow or prefix, those with the most first. By the ledger: ``evicted``, ``live``
        (awaited, or with time to live left), ``age p50`` and ``time to live left p50`` (s; NaN if
        not known). By the turns, which find fewer, and later: ``found by turns``,
        ``found at the end``, ``age when found p50``.
    """
    if not len(evictions):
        table = lost_by_flow(turns, keys)
        return table.set_axis(
            ["flow", "found by turns", "found at the end", "age when found p50"], axis="columns"
        )
    parts = ledger_by(traced(evictions, turns, keys), by)
    return pd.DataFrame(
        [
            (
                name,
                part.evicted,
                part.live,
                part.age_s["p50"] if part.age_s else math.nan,
                part.ttl_left_s["p50"] if part.ttl_left_s else math.nan,
            )
            for name, part in parts.items()
            if part.evicted
        ],
        columns=[by, "evicted", "live", "age p50", "time to live left p50"],
    )
