"""Latency within the server, command by command, as the server itself counts it."""

from collections.abc import Sequence
from typing import Final

import pandas as pd

from workbench.runs.snapshot import Snapshot

__all__ = ["command_latency"]

_CALLS: Final = "cmdstat_"
_PERCENTILES: Final = "latency_percentiles_usec_"
# Asked by those who look, and not by the load.
_OURS: Final = ("info", "config", "latency", "slowlog", "client", "acl", "memory", "hello", "ping")


def command_latency(looks: Sequence[Snapshot], *, most: int = 8) -> pd.DataFrame:
    """
    What the server took for each command, without the wait before it and the way to it.

    Calls and mean are of the time between the looks, percentiles since the server's start. Of a
    server that was restarted in between, both are since then.

    Args:
        looks: snapshots of one run, in the order of time.
        most: how many commands, those that took the most time first.

    Returns:
        One row per command: ``command``, ``calls``, ``mean``, ``p50``, ``p99``, ``p999`` (µs); NaN
        where the server does not say.
    """
    columns = ["command", "calls", "mean", "p50", "p99", "p999"]
    if not looks:
        return pd.DataFrame(columns=columns)
    last = looks[-1].info
    lived_on = len(looks) > 1 and looks[0].info.get("run_id") == last.get("run_id")
    before = looks[0].info if lived_on else {}
    rows = []
    for name, stat in last.items():
        if not name.startswith(_CALLS) or not isinstance(stat, dict):
            continue
        command = name.removeprefix(_CALLS)
        known = before.get(name, {})
        calls = int(stat.get("calls", 0)) - int(known.get("calls", 0))
        spent_us = float(stat.get("usec", float("nan"))) - float(known.get("usec", 0))
        told = last.get(f"{_PERCENTILES}{command}", {})
        if calls > 0 and command.partition("|")[0] not in _OURS:
            percentiles = [float(told.get(p, float("nan"))) for p in ("p50", "p99", "p99.9")]
            rows.append((command.upper(), calls, spent_us / calls, *percentiles, spent_us))
    frame = pd.DataFrame(rows, columns=[*columns, "spent_us"])
    frame = frame.sort_values("spent_us", ascending=False, kind="stable", ignore_index=True)
    return frame[columns].head(most)
