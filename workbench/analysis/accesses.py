"""
The accesses of a run: which conversation was asked for when, and what was written to it.

What became of an access is not in here: that is what a simulation finds, for a server of another
size or policy. Only when turns came, and how long what they write is, is taken from the run.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from workbench.analysis.windows import Turns, needed_rows
from workbench.errors import RunError

__all__ = ["Accesses", "accesses_of"]

_AT_ONCE: Final = 65_536
# What was never sent, or may or may not have been carried out, is not known to have touched a key.
_LEFT_OUT: Final = ("unsent", "timeout", "error")
_READS: Final = ("duplicate", "conflict")


@dataclass(frozen=True, slots=True, kw_only=True)
class Accesses:
    """
    Accesses in the order of time, and what the server held before the first.

    An access that writes is a turn: it reads its conversation, changes it and writes it back. Keys
    are numbered from 0.

    Attributes:
        origin_unix_s: what ``at_s`` counts from.
        at_s: when, s; ascending.
        key: which.
        writes: whether it writes what it found; else it only reads.
        value_bytes: length of what it writes if it found the state.
        fresh_bytes: length of what it writes if it begins the conversation, or begins it anew.
        ttl_s: time to live that a write gives; infinite for none.
        counted: whether it counts in the shares, as turns of the measured phase do.
        held_key, held_s, held_bytes, held_ttl_s: what was written before the first access: which
            key, when on the clock of ``at_s`` (below 0), how long, and its time to live; in the
            order in which the keys were last written.
        keys: how many there are.
        rewrites: a turn that finds its state gone writes it anew; else it only tells the person so,
            and the next turn begins anew, as the workbench's load does.
        touches: how often a turn touches its key, for LFU: its reads, and the write.
    """

    origin_unix_s: float
    at_s: NDArray[np.float64]
    key: NDArray[np.int32]
    writes: NDArray[np.bool_]
    value_bytes: NDArray[np.int32]
    fresh_bytes: NDArray[np.int32]
    ttl_s: NDArray[np.float32]
    counted: NDArray[np.bool_]
    held_key: NDArray[np.int32]
    held_s: NDArray[np.float64]
    held_bytes: NDArray[np.int32]
    held_ttl_s: NDArray[np.float32]
    keys: int
    rewrites: bool = False
    touches: int = 3

    def __len__(self) -> int:
        return len(self.at_s)

    @classmethod
    def of(
        cls,
        at_s: Any,
        key: Any,
        *,
        value_bytes: Any = 1000,
        fresh_bytes: Any = None,
        writes: Any = True,
        ttl_s: Any = np.inf,
        counted: Any = True,
        origin_unix_s: float = 0.0,
        rewrites: bool = False,
        touches: int = 3,
    ) -> Self:
        """Accesses by arrays, or values that hold for all; nothing was there before the first."""
        count = len(at_s)

        def column(values: Any, kind: Any) -> Any:
            return np.ascontiguousarray(np.broadcast_to(np.asarray(values, dtype=kind), count))

        keys = column(key, np.int32)
        return cls(
            origin_unix_s=origin_unix_s,
            at_s=column(at_s, np.float64),
            key=keys,
            writes=column(writes, np.bool_),
            value_bytes=column(value_bytes, np.int32),
            fresh_bytes=column(value_bytes if fresh_bytes is None else fresh_bytes, np.int32),
            ttl_s=column(ttl_s, np.float32),
            counted=column(counted, np.bool_),
            held_key=np.empty(0, np.int32),
            held_s=np.empty(0, np.float64),
            held_bytes=np.empty(0, np.int32),
            held_ttl_s=np.empty(0, np.float32),
            keys=int(keys.max()) + 1 if count else 0,
            rewrites=rewrites,
            touches=touches,
        )

    def parts(self) -> Iterator[slice]:
        """Slices of the accesses, in order: of some ten thousands, to hold in memory as objects."""
        for start in range(0, len(self), _AT_ONCE):
            yield slice(start, start + _AT_ONCE)


def accesses_of(
    turns: Turns, keys: Turns, *, start_unix_s: float, measured_s: float, touches: int = 3
) -> Accesses:
    """
    The accesses of a run.

    A turn touches its conversation when it is sent. How long a conversation is that begins anew is
    taken from the turns of its flow that began one; the length of what a turn would have written
    that found nothing, from the turn before it or from its flow.

    Args:
        turns: all of the run, columns ``unix_s``, ``operation``, ``outcome``, ``flow``,
            ``queue_us``, ``lag_us``, ``value_bytes``, ``age_s``, ``ttl_s``, ``conversation``.
        keys: the conversations that were looked for at the end: of those without a turn in the run
            it is known from them when they were written.
        start_unix_s: of the measured phase.
        measured_s: its length.
        touches: how often a turn touches its key.

    Raises:
        RunError: the run has no turns.
    """
    columns = "unix_s operation outcome flow queue_us lag_us value_bytes age_s ttl_s conversation"
    rows = needed_rows(turns, *columns.split())
    table = rows.ask(
        f"""
        with sent as (
            select unix_s + (queue_us + lag_us) / 1e6 as at_s, unix_s as due_s, conversation,
            operation = 'write' as begins, outcome::varchar not in {_READS} as writes,
            nullif(value_bytes, 0) as bytes, age_s, ttl_s, flow::varchar as flow
            from rows where outcome::varchar not in {_LEFT_OUT}
        ), usual as (
            select flow, median(bytes) filter (begins) as fresh, median(bytes) as later
            from sent group by flow
        ), all_flows as (
            select median(bytes) filter (begins) as fresh, median(bytes) as later from sent
        )
        select at_s, due_s, conversation, begins, writes, age_s, ttl_s,
        coalesce(
            bytes, last_value(bytes ignore nulls) over (
                partition by conversation order by at_s rows unbounded preceding
            ), usual.later, all_flows.later, 0
        )::int as value_bytes,
        coalesce(
            case when begins then bytes end, usual.fresh, all_flows.fresh, usual.later,
            all_flows.later, 0
        )::int as fresh_bytes
        from sent join usual using (flow), all_flows order by at_s, conversation
        """
    )
    if table.empty:
        raise RunError("the run has no turns that touched a key: there is nothing to simulate")
    looked = needed_rows(keys, "unix_s", "conversation", "age_s", "ttl_s").ask(
        "select conversation, unix_s - age_s as written_s, ttl_s from rows where age_s is not null"
    )
    origin_s = float(table["at_s"].iloc[0])
    first = table.drop_duplicates("conversation")
    under_way = first[~first["begins"] & first["age_s"].notna()]
    never = looked[
        ~looked["conversation"].isin(first["conversation"]) & (looked["written_s"] < origin_s)
    ]
    written_s = np.concatenate(
        [under_way["at_s"] - under_way["age_s"].astype(float), never["written_s"]]
    )
    held = np.concatenate([under_way["conversation"], never["conversation"]]).astype(np.int64)
    # Of those without a turn it is taken that they greeted and left.
    usual = int(table["fresh_bytes"].median())
    held_bytes = np.concatenate([under_way["value_bytes"], np.full(len(never), usual)])
    held_ttl_s = np.concatenate([under_way["ttl_s"], never["ttl_s"]])
    order = np.argsort(written_s, kind="stable")
    names, numbers = np.unique(
        np.concatenate([table["conversation"].to_numpy(np.int64), held]), return_inverse=True
    )
    due_s = table["due_s"].to_numpy() - start_unix_s
    return Accesses(
        origin_unix_s=origin_s,
        at_s=table["at_s"].to_numpy() - origin_s,
        key=numbers[: len(table)].astype(np.int32),
        writes=table["writes"].to_numpy(bool),
        value_bytes=table["value_bytes"].to_numpy(np.int32),
        fresh_bytes=table["fresh_bytes"].to_numpy(np.int32),
        ttl_s=table["ttl_s"].to_numpy(np.float32),
        counted=(due_s >= 0) & (due_s < measured_s) & table["writes"].to_numpy(bool),
        held_key=numbers[len(table) :][order].astype(np.int32),
        held_s=(written_s - origin_s)[order],
        held_bytes=held_bytes[order].astype(np.int32),
        held_ttl_s=held_ttl_s[order].astype(np.float32),
        keys=len(names),
        touches=touches,
    )
