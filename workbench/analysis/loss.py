"""Turns that found their conversation gone: how many, after what pause, for which cause."""

import math
from dataclasses import dataclass

import pandas as pd

from workbench.analysis.eviction import began_s
from workbench.analysis.windows import Turns, needed_rows
from workbench.runs.rows import Rows
from workbench.runs.schema import KEY_STATES

__all__ = [
    "PAUSES_S",
    "Loss",
    "at_cap",
    "evicted_pause_s",
    "key_states",
    "loss",
    "loss_by_pause",
    "loss_by_step",
    "lossy_pause_s",
    "run_out",
]

PAUSES_S = (0.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 40.0, 50.0, 60.0, 90.0, 120.0, 300.0)
"""Limits of the classes of pause, s, that charts and findings tell losses by."""

_SHARE_LEAST = 20
_GONE = ("evicted", "expired", "restarted", "deleted", "elsewhere", "missing")


@dataclass(frozen=True, slots=True)
class Loss:
    """
    Turns that needed a state, and those that found none.

    Attributes:
        turns: turns that went on with a conversation, and were sent.
        evicted, expired, restarted, deleted, elsewhere, missing: of these, turns without state, by
            cause.
        pause_s_p50, pause_s_least: since the last write of the evicted ones, s; NaN if none.
        ttl_left_s_p50: time to live that they had left, s; NaN if none.
    """

    turns: int
    evicted: int
    expired: int
    restarted: int
    deleted: int
    elsewhere: int
    missing: int
    pause_s_p50: float
    pause_s_least: float
    ttl_left_s_p50: float

    @property
    def gone(self) -> int:
        """Turns without state, whatever the cause."""
        return sum(getattr(self, cause) for cause in _GONE)

    @property
    def evicted_share(self) -> float | None:
        """Evicted turns of all that needed a state; None if none did."""
        return self.evicted / self.turns if self.turns else None

    @property
    def early(self) -> int:
        """Turns whose conversation was gone before its time to live was over, whatever took it."""
        return self.gone - self.expired


def at_cap(measured: Turns, samples: pd.DataFrame) -> Rows:
    """
    The turns that were due since evictions began; all of them if none did.

    Before the cap is reached nobody loses anything, so a share over all turns would tell more of
    the length of a run than of its server.

    Args:
        measured: turns due in the measured phase, column ``elapsed_s`` (s).
        samples: columns ``elapsed_s`` (s) and ``evicted_keys``.
    """
    rows = needed_rows(measured, "elapsed_s")
    start_s = began_s(samples)
    return rows if start_s is None else rows.where("elapsed_s >= $cap_s", cap_s=start_s)


def loss(turns: Turns) -> Loss:
    """
    Count the turns that found their conversation gone.

    Args:
        turns: columns ``operation``, ``outcome``, ``age_s`` (s), ``ttl_s`` (s).
    """
    counts = ", ".join(f"count(*) filter (outcome = '{cause}') as {cause}" for cause in _GONE)
    evicted = "filter (outcome = 'evicted')"
    found = _needing_state(turns).ask(
        f"select count(*) as turns, {counts}, median(age_s) {evicted} as pause_s_p50, "
        f"min(age_s) {evicted} as pause_s_least, "
        f"median(ttl_s - age_s) {evicted} as ttl_left_s_p50 from ({_NEEDING_STATE})"
    )
    (counted,) = found.to_dict("records")
    return Loss(
        turns=int(counted["turns"]),
        **{cause: int(counted[cause]) for cause in _GONE},
        pause_s_p50=float(counted["pause_s_p50"]),
        pause_s_least=float(counted["pause_s_least"]),
        ttl_left_s_p50=float(counted["ttl_left_s_p50"]),
    )


def loss_by_pause(turns: Turns, *, edges_s: tuple[float, ...] = PAUSES_S) -> pd.DataFrame:
    """
    The share of turns that found their conversation evicted, by the pause before the turn.

    Args:
        turns: as for ``loss``.
        edges_s: limits of the classes of pause, s, ascending.

    Returns:
        One row per class, in order: ``from_s``, ``to_s``, ``turns``, ``evicted`` and
        ``evicted_share`` (NaN in a class of fewer than 20 turns: too few to tell).
    """
    classes = pd.DataFrame({"from_s": edges_s[:-1], "to_s": edges_s[1:]}, dtype=float)
    # Each turn is put into its class first: to hold it against every class by a join is slow.
    within = " ".join(f"when age_s < {edge_s!r} then {edge_s!r}" for edge_s in classes["to_s"])
    counts = _needing_state(turns).ask(
        f"select case {within} end as to_s, count(*) as turns, "
        f"count(*) filter (outcome = 'evicted') as evicted from ({_NEEDING_STATE}) "
        f"where age_s >= {edges_s[0]!r} group by to_s"
    )
    table = classes.merge(counts.astype({"to_s": float}), how="left", on="to_s")
    table = table.fillna({"turns": 0, "evicted": 0}).astype({"turns": int, "evicted": int})
    told = table["turns"].where(table["turns"] >= _SHARE_LEAST, math.nan)
    return table.assign(evicted_share=table["evicted"] / told)


def lossy_pause_s(classes: pd.DataFrame) -> float | None:
    """
    The pause from which on most conversations are lost, s; None if there is none.

    There the class itself loses half or more of its turns, and so do all from there on together:
    a single class that lost most by chance, or a heavy end alone, does not count.

    Args:
        classes: as ``loss_by_pause`` makes them.
    """
    longer = classes[["turns", "evicted"]][::-1].cumsum()[::-1]
    most = longer["evicted"] >= 0.5 * longer["turns"]
    lossy = classes[most & (classes["evicted_share"] >= 0.5)]
    return None if lossy.empty else float(lossy["from_s"].iloc[0])


def loss_by_step(turns: Turns) -> pd.DataFrame:
    """
    Turns and losses of each step that needs a state.

    Returns:
        One row per flow and step, in the order of their turns, with columns ``flow``,
        ``step``, ``turns``, ``evicted``, ``evicted_share``.
    """
    return _needing_state(turns, "flow", "step").ask(
        "select flow::varchar as flow, step::varchar as step, count(*) as turns, "
        "count(*) filter (outcome = 'evicted') as evicted, evicted / turns as evicted_share "
        f"from ({_NEEDING_STATE}) group by flow, step order by median(turn), flow, step"
    )


def evicted_pause_s(turns: Turns, share: float) -> float | None:
    """The pause that this share of the turns found evicted had at most, s; None if none was."""
    pause_s = needed_rows(turns, "outcome", "age_s").ask(
        "select quantile_cont(age_s, $share) as pause_s from rows where outcome = 'evicted'",
        share=share,
    )["pause_s"]
    return None if pause_s.isna().all() else float(pause_s.iloc[0])


def run_out(turns: Turns, *, start_s: float) -> int:
    """
    Turns whose conversation was gone when its time to live had run out.

    Args:
        turns: all of the run.
        start_s: of the load; what had run out before that was never written.
    """
    rows = needed_rows(turns, "elapsed_s", "outcome", "queue_us", "lag_us", "age_s", "ttl_s")
    found = rows.ask(
        "select count(*) as count from rows where outcome = 'expired' "
        "and elapsed_s + (queue_us + lag_us) / 1e6 - age_s > $start_s - ttl_s",
        start_s=start_s,
    )
    return int(found["count"].iloc[0])


def key_states(keys: Turns) -> dict[str, int]:
    """How the conversations were found that were looked for at the end: how many of each state."""
    found = needed_rows(keys, "state").ask(
        "select state::varchar as state, count(*) as count from rows group by state"
    )
    return dict.fromkeys(KEY_STATES, 0) | dict(zip(found["state"], found["count"], strict=True))


def _needing_state(turns: Turns, *besides: str) -> Rows:
    columns = ("operation", "outcome", "age_s", "ttl_s", "conversation", "turn", "delivery")
    return needed_rows(turns, *columns, *besides)


# A turn that was refused, or got no answer, says nothing of whether its state was there. And a loss
# that several deliveries of one message find is the first one's.
_IS_GONE = f"outcome in {_GONE}"
_NEEDING_STATE = f"""
    select * from rows left join (
        select conversation, turn, min(delivery) as first from rows where {_IS_GONE}
        and (conversation, turn) in (
            select (conversation, turn) from rows where delivery > 0 and {_IS_GONE}
        ) group by all
    ) using (conversation, turn)
    where operation = 'update'
    and (outcome = 'ok' or {_IS_GONE} and (delivery = 0 or delivery = first))
"""
