"""One conversation of a run: which, its turns, and the time to live that it had left."""

from typing import Final

import pandas as pd

from workbench.analysis.outcomes import GONE
from workbench.analysis.windows import Turns, needed_rows
from workbench.errors import ParameterError

__all__ = [
    "EARLY",
    "beside_causes",
    "chosen",
    "evicted_at_s",
    "found_at_end",
    "life",
    "time_left",
    "turns_of",
]

EARLY: Final = ("evicted", "restarted", "deleted", "missing")
"""How a key is found at the end that went before its time to live was over."""

_COLUMNS: Final = (
    "elapsed_s",
    "flow",
    "step",
    "operation",
    "outcome",
    "response_us",
    "service_us",
    "attempts",
    "value_bytes",
    "age_s",
    "ttl_s",
    "turn",
    "delivery",
)


def chosen(turns: Turns, wanted: int = -1) -> int | None:
    """
    The number of the conversation to look at.

    Args:
        turns: columns ``conversation``, ``outcome`` and ``elapsed_s``.
        wanted: its number; -1 for one that lost its state before its time was over, else one that
            lost it at all, else any; of several the one with the most turns.

    Returns:
        Its number; None if there are no turns.

    Raises:
        ParameterError: it is no number, or the run has no turn of such a conversation.
    """
    if isinstance(wanted, bool) or not isinstance(wanted, int):
        raise ParameterError(f"conversation must be a whole number, not {wanted!r}; -1: whichever")
    rows = needed_rows(turns, "conversation", "outcome", "elapsed_s")
    gone = ", ".join(repr(name) for name in GONE)
    if wanted == -1:
        best = rows.ask(
            "select conversation, count(*) as turns, "
            f"max(case when outcome::varchar = 'expired' then 1 when outcome::varchar in ({gone}) "
            "then 2 else 0 end) as lost from rows group by conversation "
            "order by lost desc, turns desc, conversation limit 1"
        )
        return None if best.empty else int(best["conversation"].iloc[0])
    if len(rows.where("conversation = $wanted", wanted=wanted)):
        return wanted
    near = rows.ask(
        "select conversation from (select distinct conversation from rows) "
        "order by abs(conversation - $wanted), conversation limit 3",
        wanted=wanted,
    )["conversation"]
    if near.empty:
        raise ParameterError(f"the run has no turns, so it has no conversation {wanted}")
    known = ", ".join(str(number) for number in near)
    raise ParameterError(f"the run has no turn of conversation {wanted}; the nearest are {known}")


def turns_of(turns: Turns, conversation: int | None) -> pd.DataFrame:
    """The turns of one conversation, in the order in which they were due."""
    rows = needed_rows(turns, *_COLUMNS, "conversation")
    names = ", ".join(f"{n}::varchar as {n}" if n in _WORDS else n for n in _COLUMNS)
    return rows.where(
        "conversation = $number", number=-1 if conversation is None else conversation
    ).ask(f"select {names} from rows order by elapsed_s, delivery")


def life(turns: pd.DataFrame) -> tuple[float, float]:
    """From when to when one conversation was seen, elapsed s, its last answer included."""
    ends_s = turns["elapsed_s"] + turns["response_us"] / 1e6
    return float(turns["elapsed_s"].min()), float(ends_s.max())


def time_left(turns: pd.DataFrame, *, until_s: float) -> pd.DataFrame:
    """
    The time to live that a conversation had left: each write sets it anew, and then it runs out.

    Args:
        turns: of one conversation, as ``turns_of`` makes them.
        until_s: until when it is told, elapsed s.

    Returns:
        The corners of the line: ``elapsed_s`` and ``left_s``. Before the first write of the run it
        is known from the age that the turn found, if there was one.
    """
    corners: list[tuple[float, float]] = []
    written = [
        (due_s + response_us / 1e6, ttl_s)
        for due_s, response_us, value_bytes, ttl_s in zip(
            turns["elapsed_s"],
            turns["response_us"],
            turns["value_bytes"],
            turns["ttl_s"],
            strict=True,
        )
        if value_bytes > 0
    ]
    first = turns.iloc[:1]
    if len(first) and first["age_s"].notna().iloc[0]:
        due_s, age_s = float(first["elapsed_s"].iloc[0]), float(first["age_s"].iloc[0])
        written.insert(0, (due_s - age_s, float(first["ttl_s"].iloc[0])))
    if not written:
        return pd.DataFrame(columns=["elapsed_s", "left_s"]).astype(float)
    ends_s = [at_s for at_s, _ in written[1:]] + [max([until_s, *(at_s for at_s, _ in written)])]
    for (at_s, ttl_s), end_s in zip(written, ends_s, strict=True):
        corners.append((at_s, float(ttl_s)))
        corners.append((min(end_s, at_s + ttl_s), max(0.0, ttl_s - (end_s - at_s))))
        if end_s > at_s + ttl_s:
            corners.append((end_s, 0.0))
    return pd.DataFrame(corners, columns=["elapsed_s", "left_s"]).astype(float)


def beside_causes(turns: pd.DataFrame, causes: pd.DataFrame) -> pd.DataFrame:
    """
    The turns, each with what the server was seen to do between its due time and its answer.

    Args:
        turns: of one conversation, as ``turns_of`` makes them.
        causes: as ``causes.causes`` makes them.

    Returns:
        ``turns`` with ``meanwhile``; empty where nothing was seen.
    """
    told = []
    for due_s, response_us in zip(turns["elapsed_s"], turns["response_us"], strict=True):
        until_s = due_s + response_us / 1e6
        near = causes[(causes["elapsed_s"] <= until_s) & (causes["end_s"] >= due_s)]
        told.append(", ".join(dict.fromkeys(near["cause"])))
    return turns.assign(meanwhile=pd.Series(told, index=turns.index, dtype=object))


def evicted_at_s(evictions: Turns, conversation: int | None) -> list[float]:
    """When the ledger saw the conversation's key evicted, elapsed s."""
    if conversation is None:
        return []
    taken = needed_rows(evictions, "elapsed_s", "kind", "conversation").ask(
        "select elapsed_s from rows where conversation = $number and kind::varchar = 'evicted' "
        "order by elapsed_s",
        number=conversation,
    )
    return [float(at_s) for at_s in taken["elapsed_s"]]


def found_at_end(keys: Turns, conversation: int | None) -> tuple[str, str]:
    """
    How the conversation was found when the load was over: its state, and its last update.

    Args:
        keys: of the run, columns ``conversation``, ``state`` and ``update``.
        conversation: its number.

    Returns:
        As the schema names them, such as ``("evicted", "")``; both empty if it was not looked for,
        as one that a turn had found gone.
    """
    if conversation is None:
        return "", ""
    looked = needed_rows(keys, "elapsed_s", "conversation", "state", "update").ask(
        "select state::varchar as state, coalesce(update::varchar, '') as update from rows "
        "where conversation = $number order by elapsed_s desc limit 1",
        number=conversation,
    )
    return ("", "") if looked.empty else (looked["state"].iloc[0], looked["update"].iloc[0])


_WORDS: Final = ("flow", "step", "operation", "outcome")
