"""The ledger of evictions: whose keys went, how old they were, and what was left of their time."""

from dataclasses import dataclass

import pandas as pd

from workbench.analysis.windows import Turns, needed, needed_rows
from workbench.runs.rows import Rows

__all__ = [
    "NO_FLOW",
    "NO_PREFIX",
    "Ledger",
    "Reconciliation",
    "ledger",
    "ledger_by",
    "lost_by_flow",
    "reconciliation",
    "traced",
]

NO_FLOW = "(no turn)"
"""Stands for the flow of a conversation that had no turn in the run, as an idle session."""

NO_PREFIX = "(none)"
"""Stands for the prefix of a key whose name has no colon."""

_EVENTS_AT_ONCE = 3_000_000
_QUANTILES = {"p10": 0.1, "p50": 0.5, "p90": 0.9}
_COUNTS = ("evicted", "expired", "known", "before_ttl", "awaited", "live")


@dataclass(frozen=True, slots=True)
class Ledger:
    """
    What became of some keys; what is not known is None, and counted nowhere.

    Attributes:
        evicted, expired: keys.
        known: evicted keys whose last write is known, so that their age and time are.
        before_ttl: of the known, those that had time to live left.
        awaited: evicted conversations of the load for which a later turn was due.
        live: evicted conversations that were awaited or had time to live left.
        age_s, ttl_left_s: of the known, at their eviction, s: the 10th, 50th and 90th percentile.
    """

    evicted: int
    expired: int
    known: int
    before_ttl: int
    awaited: int
    live: int
    age_s: dict[str, float] | None
    ttl_left_s: dict[str, float] | None

    @property
    def before_ttl_share(self) -> float | None:
        """Of the evicted keys that are known; None if none is."""
        return self.before_ttl / self.known if self.known else None


_NOTHING = Ledger(0, 0, 0, 0, 0, 0, None, None)


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """
    Events that were seen, against what the server counted.

    Attributes:
        windows, complete: in all, and those in which both agree.
        evicted_seen, evicted_keys, expired_seen, expired_keys: over the windows in which the server
            was not restarted.
        why: windows that are not complete, by reason.
    """

    windows: int
    complete: int
    evicted_seen: int
    evicted_keys: int
    expired_seen: int
    expired_keys: int
    why: dict[str, int]

    @property
    def complete_share(self) -> float | None:
        """Of all windows; None if there is none."""
        return self.complete / self.windows if self.windows else None

    @property
    def difference(self) -> int:
        """Keys that the server counted, and no event told of; negative if more were told of."""
        counted = self.evicted_keys + self.expired_keys
        return counted - self.evicted_seen - self.expired_seen


def traced(evictions: Turns, turns: Turns, keys: Turns) -> Rows:
    """
    The events, each with what the run's own turns know of the conversation.

    An event is stamped when it is read, some hundredths of a second after the key went.

    Args:
        evictions: columns ``unix_s`` (s), ``kind``, ``prefix``, ``conversation``.
        turns: all of the run, from which the last write before the event is known, also one
            before the first turn: each turn says how old its conversation was.
        keys: the conversations that were looked for at the end, which say it as well.

    Returns:
        the rows of ``evictions``, and ``flow``, ``age_s`` and ``ttl_left_s`` (s; NaN if not known),
        ``awaited`` (whether the conversation's next turn was to go on with it).
    """
    events = needed_rows(evictions, "unix_s", "kind", "prefix", "conversation")
    return events.keep(
        f"""
        with events as materialized (
            select *, row_number() over () as number from rows
            where coalesce(conversation, 0) % $parts = $part
        ),
        told as not materialized (
            -- Flows by their hash, since what is gathered for each event is to be small.
            select conversation, unix_s as due_s, hash(flow::varchar) as flow_hash, ttl_s,
            unix_s + response_us / 1e6 as completed_s,
            case when value_bytes > 0 then completed_s end as wrote_s,
            unix_s + (queue_us + lag_us) / 1e6 - age_s as found_s,
            operation = 'update' as goes_on
            from turns where conversation % $parts = $part
            union all by name
            select conversation, ttl_s, unix_s - age_s as found_s from keys
            where conversation % $parts = $part
        ), pairs as not materialized (
            select events.number, told.*, completed_s >= events.unix_s as later, greatest(
                case when wrote_s <= events.unix_s then wrote_s end,
                case when found_s <= events.unix_s then found_s end
            ) as written_s
            from told join events on events.conversation = told.conversation
        ), known as (
            select number, arg_min(flow_hash, due_s) as flow_hash,
            max(written_s) as written_s, arg_max(ttl_s, written_s) as ttl_s,
            arg_min(goes_on, completed_s) filter (later) as awaited
            from pairs group by number
        ), flows as (
            select distinct flow::varchar as flow, hash(flow::varchar) as flow_hash from turns
        )
        select events.* exclude (number)
        replace (case when prefix = '' then '{NO_PREFIX}' else prefix::varchar end as prefix),
        coalesce(flow, '{NO_FLOW}') as flow, unix_s - written_s as age_s,
        ttl_s - (unix_s - written_s) as ttl_left_s, coalesce(awaited, false) as awaited
        from events left join known using (number) left join flows using (flow_hash)
        """,
        parts=1 + len(events) // _EVENTS_AT_ONCE,
        turns=needed_rows(turns, "unix_s", "conversation", "flow", "operation", "age_s", "ttl_s"),
        keys=needed_rows(keys, "unix_s", "conversation", "age_s", "ttl_s"),
    )


def ledger(traced: Turns) -> Ledger:
    """Sum up events that were traced, all of them or those of one flow or prefix."""
    return _ledgers(traced, "''").get("", _NOTHING)


def ledger_by(traced: Turns, column: str) -> dict[str, Ledger]:
    """The same of each ``flow`` or each ``prefix``, those with the most evicted keys first."""
    parts = _ledgers(traced, f"{column}::varchar")
    return dict(sorted(parts.items(), key=lambda part: (-part[1].evicted, part[0])))


def reconciliation(windows: pd.DataFrame) -> Reconciliation:
    """Sum up the windows: columns as in ``eviction_windows``."""
    needed(windows, "evicted_seen", "evicted_keys", "expired_seen", "expired_keys", "complete")
    counted = windows[windows["evicted_keys"].notna()]
    why = windows["why"][~windows["complete"].astype(bool)].astype(str).value_counts()
    return Reconciliation(
        windows=len(windows),
        complete=int(windows["complete"].sum()),
        evicted_seen=int(counted["evicted_seen"].sum()),
        evicted_keys=int(counted["evicted_keys"].sum()),
        expired_seen=int(counted["expired_seen"].sum()),
        expired_keys=int(counted["expired_keys"].sum()),
        why={str(reason): int(count) for reason, count in why.items()},
    )


def lost_by_flow(turns: Turns, keys: Turns) -> pd.DataFrame:
    """
    What a run without a ledger knows: conversations found gone by a turn, or looked for at its end.

    Args:
        turns: all of the run.
        keys: the conversations that were looked for at the end.

    Returns:
        One row per flow, those with the most first: ``flow``, ``by_turns`` and ``at_the_end``
        (conversations found evicted), ``age_s_p50`` (s since the last write when they were found:
        they went before that).
    """
    rows = needed_rows(turns, "unix_s", "flow", "outcome", "conversation", "age_s")
    return rows.ask(
        f"""
        with found as (
            select conversation, age_s, 1 as by_turns from rows where outcome = 'evicted'
            union all
            select conversation, age_s, 0 as by_turns from keys where state = 'evicted'
        ), flows as (
            select conversation, arg_min(flow::varchar, unix_s) as flow from rows
            where conversation in (select conversation from found) group by conversation
        )
        select coalesce(flow, '{NO_FLOW}') as flow, sum(by_turns)::bigint as by_turns,
        sum(1 - by_turns)::bigint as at_the_end, median(age_s)::double as age_s_p50
        from found left join flows using (conversation) group by 1 order by count(*) desc, flow
        """,
        keys=needed_rows(keys, "conversation", "age_s", "state"),
    )


def _ledgers(traced: Turns, name: str) -> dict[str, Ledger]:
    rows = needed_rows(traced, "kind", "age_s", "ttl_left_s", "awaited")
    found = rows.ask(
        f"""
        select {name} as name, count(*) filter (gone) as evicted,
        count(*) filter (kind = 'expired') as expired, count(ttl_left_s) filter (gone) as known,
        count(*) filter (gone and early) as before_ttl,
        count(*) filter (gone and awaited) as awaited,
        count(*) filter (gone and (awaited or early)) as live
        from (
            select *, kind = 'evicted' as gone, coalesce(ttl_left_s > 0, false) as early from rows
        ) group by 1
        """
    )
    age_s, ttl_left_s = (_quantiles(rows, name, column) for column in ("age_s", "ttl_left_s"))
    return {
        str(part["name"]): Ledger(
            **{column: int(part[column]) for column in _COUNTS},
            age_s=age_s.get(part["name"]),
            ttl_left_s=ttl_left_s.get(part["name"]),
        )
        for part in found.to_dict("records")
    }


def _quantiles(rows: Rows, name: str, column: str) -> dict[str, dict[str, float]]:
    # One column at a time, and each value in four bytes: all of them are in memory at once.
    found = rows.ask(
        f"select {name} as name, quantile_cont({column}::float, $shares) as values_s "
        f"from rows where kind = 'evicted' and {column} is not null group by 1",
        shares=list(_QUANTILES.values()),
    )
    return {
        part_name: dict(zip(_QUANTILES, map(float, values_s), strict=True))
        for part_name, values_s in zip(found["name"], found["values_s"], strict=True)
    }
