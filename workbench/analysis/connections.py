"""Connections to a server, and how soon it answers again after a time without answers."""

from collections.abc import Sequence

import pandas as pd

from workbench.analysis.windows import Turns, needed, needed_rows
from workbench.runs.schema import UNANSWERED
from workbench.runs.snapshot import Snapshot

__all__ = ["new_per_s", "recoveries", "slots"]


def new_per_s(looks: Sequence[Snapshot]) -> float | None:
    """
    Connections that were made, by the second, between the first look and the last.

    None without two looks at one life of the server: its count begins anew with it.
    """
    if len(looks) < 2:
        return None
    first, last = looks[0], looks[-1]
    name = "total_connections_received"
    lasted_s = last.unix_s - first.unix_s
    same = first.info.get("run_id") == last.info.get("run_id")
    if not same or name not in last.info or name not in first.info or lasted_s <= 0:
        return None
    made = int(last.info[name]) - int(first.info[name])
    return made / lasted_s if made >= 0 else None


def slots(generator: pd.DataFrame) -> pd.DataFrame:
    """
    Slots at work and turns that waited for one, all load processes together.

    Args:
        generator: columns ``elapsed_s`` (s), ``slots_busy``, ``turns_waiting`` and ``worker``.

    Returns:
        One row per second, indexed by its end rounded to a whole one: ``busy`` and ``waiting``.
        Each process counts the most at once, so their sum is an upper bound.
    """
    frame = needed(generator, "elapsed_s", "slots_busy", "turns_waiting")
    by_second = frame.groupby(frame["elapsed_s"].round())[["slots_busy", "turns_waiting"]].sum()
    return by_second.set_axis(["busy", "waiting"], axis="columns").astype(float)


def recoveries(turns: Turns, events: pd.DataFrame) -> pd.DataFrame:
    """
    When turns were carried out again after each fault that kept the server from answering.

    Args:
        turns: columns ``elapsed_s`` (s), ``response_us`` (µs) and ``outcome``.
        events: of the run.

    Returns:
        One row per such fault: ``cause``, ``elapsed_s``, ``end_s`` and ``after_s``: from its end to
        the completion of the first turn that was due since it began; NaN if none was.
    """
    rows = needed_rows(turns, "elapsed_s", "response_us", "outcome")
    away = events[events["detail"] == UNANSWERED]
    faults = pd.DataFrame(
        {
            "cause": away["label"].astype(str),
            "elapsed_s": away["elapsed_s"].astype(float),
            "end_s": (away["elapsed_s"] + away["duration_s"]).astype(float),
        }
    ).reset_index(drop=True)
    if faults.empty:
        return faults.assign(after_s=pd.Series(dtype=float))
    return rows.ask(
        "select faults.*, (select min(done_s) from (select elapsed_s + response_us / 1e6 as done_s "
        "from rows where outcome::varchar = 'ok') where done_s >= faults.end_s) - faults.end_s "
        "as after_s from faults order by elapsed_s",
        faults=faults,
    ).astype({"after_s": float})
