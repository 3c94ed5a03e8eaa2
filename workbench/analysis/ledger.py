"""The ledger of evictions: whose keys went, how old they were, and what was left of their time."""

from dataclasses import dataclass

import pandas as pd

from workbench.analysis.windows import needed

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

_QUANTILES = {"p10": 0.1, "p50": 0.5, "p90": 0.9}


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


def traced(evictions: pd.DataFrame, operations: pd.DataFrame, keys: pd.DataFrame) -> pd.DataFrame:
    """
    The events, each with what the run's own turns know of the conversation.

    An event is stamped when it is read, some hundredths of a second after the key went.

    Args:
        evictions: columns ``unix_s`` (s), ``kind``, ``prefix``, ``conversation``.
        operations: the run's turns, from which the last write before the event is known, also one
            before the first turn: each turn says how old its conversation was.
        keys: the conversations that were looked for at the end, which say it as well.

    Returns:
        the rows of ``evictions`` in the order of time, and ``flow``, ``age_s`` and ``ttl_left_s``
        (s; NaN if not known), ``awaited`` (whether the conversation's next turn was to go on with
        it).
    """
    needed(evictions, "unix_s", "kind", "prefix", "conversation")
    events = evictions.sort_values("unix_s", kind="stable", ignore_index=True)
    events["prefix"] = events["prefix"].astype(str).replace("", NO_PREFIX)
    known = events["conversation"].notna()
    # A number that no conversation has stands for the keys that are not the load's.
    events["conversation"] = events["conversation"].fillna(-1).astype("int64")
    told = pd.merge_asof(
        events,
        _writes(operations, keys),
        left_on="unix_s",
        right_on="written_s",
        by="conversation",
    )
    told = pd.merge_asof(
        told,
        _turns(operations),
        left_on="unix_s",
        right_on="completed_s",
        by="conversation",
        direction="forward",
    )
    flows = operations.drop_duplicates("conversation").set_index("conversation")["flow"].astype(str)
    told["flow"] = told["conversation"].map(flows).astype(object).fillna(NO_FLOW)
    told["age_s"] = told["unix_s"] - told["written_s"]
    told["ttl_left_s"] = told["ttl_s"] - told["age_s"]
    told["awaited"] = told["goes_on"].eq(True) & known
    told["conversation"] = told["conversation"].where(known)
    return told.drop(columns=["written_s", "ttl_s", "completed_s", "goes_on"])


def ledger(traced: pd.DataFrame) -> Ledger:
    """Sum up events that were traced, all of them or those of one flow or prefix."""
    evicted = traced[traced["kind"] == "evicted"]
    left_s = evicted["ttl_left_s"].dropna()
    before_ttl = evicted["ttl_left_s"] > 0
    return Ledger(
        evicted=len(evicted),
        expired=int((traced["kind"] == "expired").sum()),
        known=len(left_s),
        before_ttl=int(before_ttl.sum()),
        awaited=int(evicted["awaited"].sum()),
        live=int((evicted["awaited"] | before_ttl).sum()),
        age_s=_quantiles(evicted["age_s"]),
        ttl_left_s=_quantiles(left_s),
    )


def ledger_by(traced: pd.DataFrame, column: str) -> dict[str, Ledger]:
    """The same of each ``flow`` or each ``prefix``, those with the most evicted keys first."""
    parts = {str(name): ledger(part) for name, part in traced.groupby(column, observed=True)}
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


def lost_by_flow(operations: pd.DataFrame, keys: pd.DataFrame) -> pd.DataFrame:
    """
    What a run without a ledger knows: conversations found gone by a turn, or looked for at its end.

    Args:
        operations: the turns.
        keys: the conversations that were looked for at the end.

    Returns:
        One row per flow, those with the most first: ``flow``, ``by_turns`` and ``at_the_end``
        (conversations found evicted), ``age_s_p50`` (s since the last write when they were found:
        they went before that).
    """
    turns = operations[operations["outcome"] == "evicted"]
    looked = keys[keys["state"] == "evicted"]
    flows = operations.drop_duplicates("conversation").set_index("conversation")["flow"].astype(str)
    found = pd.concat(
        [
            turns[["conversation", "age_s"]].assign(by_turns=1, at_the_end=0),
            looked[["conversation", "age_s"]].assign(by_turns=0, at_the_end=1),
        ]
    )
    found["flow"] = found["conversation"].map(flows).astype(object).fillna(NO_FLOW)
    table = found.groupby("flow", as_index=False).agg(
        by_turns=("by_turns", "sum"),
        at_the_end=("at_the_end", "sum"),
        age_s_p50=("age_s", "median"),
    )
    most = (table["by_turns"] + table["at_the_end"]).sort_values(ascending=False, kind="stable")
    return table.loc[most.index].reset_index(drop=True)


def _writes(operations: pd.DataFrame, keys: pd.DataFrame) -> pd.DataFrame:
    """When each conversation was written, and the time to live that it was given."""
    written = operations[operations["value_bytes"] > 0]
    sent_s = operations["unix_s"] + (operations["queue_us"] + operations["lag_us"]) / 1e6
    times_s = [
        (written, written["unix_s"] + written["response_us"] / 1e6),
        (operations, sent_s - operations["age_s"]),
        (keys, keys["unix_s"] - keys["age_s"]),
    ]
    frames = [
        pd.DataFrame(
            {
                "written_s": at_s.astype("float64"),
                "conversation": frame["conversation"].astype("int64"),
                "ttl_s": frame["ttl_s"].astype("float64"),
            }
        )
        for frame, at_s in times_s
    ]
    return pd.concat(frames).dropna(subset=["written_s"]).sort_values("written_s", kind="stable")


def _turns(operations: pd.DataFrame) -> pd.DataFrame:
    """When each turn was over, and whether it was to go on with a conversation."""
    return pd.DataFrame(
        {
            "completed_s": operations["unix_s"] + operations["response_us"].astype(float) / 1e6,
            "conversation": operations["conversation"].astype("int64"),
            "goes_on": operations["operation"].astype(str) == "update",
        }
    ).sort_values("completed_s", kind="stable")


def _quantiles(values_s: pd.Series) -> dict[str, float] | None:
    values_s = values_s.dropna()
    if values_s.empty:
        return None
    return {name: float(values_s.quantile(share)) for name, share in _QUANTILES.items()}
