"""How long a conversation that is left alone stays: the share still there after a pause."""

import math
import warnings
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from workbench.analysis.windows import Turns, needed_rows

__all__ = ["AT_RISK_LEAST", "Survival", "survival_by_ledger", "survival_by_turns"]

AT_RISK_LEAST: Final = 20
"""Conversations that a point of the curve rests on at least; it ends where there are fewer."""

_GROUPS_MOST: Final = 40
_LEVEL: Final = 0.95
# Of ten million pauses the curve of one in twenty is the same on paper, its interval a bit wider.
_PAUSES_MOST: Final = 500_000


@dataclass(frozen=True, slots=True)
class Survival:
    """
    A curve of conversations that are still there.

    Attributes:
        curve: one row per step: ``pause_s`` (s since the last write), ``share`` (still there),
            ``low`` and ``high`` (of the 95 % interval), ``at_risk`` (what the step rests on).
        evicted, present: pauses that ended in an eviction, and with the conversation there.
        expired: pauses that outlived the time to live without an eviction, where a ledger tells;
            their conversation was there as long as its time to live.
        exact: evictions are known to the moment, from the ledger.
    """

    curve: pd.DataFrame
    evicted: int
    present: int
    exact: bool
    expired: int = 0

    def pause_s_at(self, share: float) -> float | None:
        """The shortest pause after which no more than this share is still there; None if none."""
        low = self.curve[self.curve["share"] <= share]
        return None if low.empty else float(low["pause_s"].iloc[0])


def survival_by_ledger(traced: Turns, turns: Turns, keys: Turns, *, since_s: float) -> Survival:
    """
    The curve of a run that kept a ledger: each eviction is known to the moment.

    A pause that a turn ended, or that still went on when the run ended, says that the conversation
    was there so long, and no more: it is censored (Kaplan and Meier). One that outlived its time
    to live says so of that time, whether the server then expired the key or evicted it.

    Args:
        traced: events as ``analysis.ledger`` traces them, with ``elapsed_s``.
        turns: columns ``elapsed_s``, ``outcome``, ``age_s`` (s), ``ttl_s`` (s), ``operation``,
            ``delivery``, ``conversation``, ``queue_us`` and ``lag_us``.
        keys: the conversations that were looked for at the end, with ``elapsed_s``.
        since_s: when evictions began; pauses that began before it are left out, since nothing
            could have ended them at first.
    """
    died_s = (
        needed_rows(traced, "kind", "elapsed_s", "age_s", "ttl_left_s", "conversation")
        .ask(
            "select greatest(age_s::double, 0) as age_s from rows where kind = 'evicted' "
            "and age_s is not null and conversation is not null and elapsed_s - age_s >= $since_s "
            "and coalesce(ttl_left_s > 0, true)",
            since_s=since_s,
        )["age_s"]
        .to_numpy()
    )
    found = _pauses(turns, keys, since_s=since_s)[["pause_s", "present"]]
    outlived = _outlived(traced, turns, keys, since_s=since_s)
    evicted, present = len(died_s), int(found["present"].sum())
    expired = int(outlived["present"].sum())
    one_in = max(1, math.ceil((evicted + present + expired) / _PAUSES_MOST))
    died_s = np.sort(died_s)[::one_in]
    there_s = _every(pd.concat([found, outlived]).groupby("pause_s", as_index=False).sum(), one_in)
    if not len(died_s) or len(died_s) + len(there_s) < AT_RISK_LEAST:
        return Survival(_no_curve(), evicted, present, exact=True, expired=expired)
    from scipy import stats  # it takes a second to import, and few look at it

    found = stats.ecdf(stats.CensoredData(uncensored=died_s, right=there_s)).sf
    with warnings.catch_warnings():
        # Where all are there, and where none is, the formula has no interval; both are told below.
        warnings.simplefilter("ignore", RuntimeWarning)
        interval = found.confidence_interval(_LEVEL, method="log-log")
    ends_s = np.sort(np.concatenate([died_s, there_s]))
    curve = pd.DataFrame(
        {
            "pause_s": found.quantiles,
            "share": found.probabilities,
            # Before the first eviction there is no interval: all of them are there.
            "low": np.nan_to_num(interval.low.probabilities, nan=1.0),
            "high": np.nan_to_num(interval.high.probabilities, nan=1.0),
            "at_risk": one_in
            * (len(ends_s) - np.searchsorted(ends_s, found.quantiles, side="left")),
        }
    )
    curve = curve[curve["at_risk"] >= AT_RISK_LEAST]
    curve.loc[curve["share"] == 0, ["low", "high"]] = 0.0
    return Survival(_begin(curve), evicted, present, exact=True, expired=expired)


def survival_by_turns(turns: Turns, keys: Turns, *, since_s: float) -> Survival:
    """
    The curve of a run without a ledger: a turn tells only whether its conversation was there.

    When it went is not known: Kaplan and Meier's estimate would take each for gone when it was
    missed, and be too high. Estimated instead is the share found there among pauses of about the
    same length, made to fall, which for such "current status" data is the most likely curve
    (Groeneboom and Wellner). The interval is Wilson's, of each group of pauses.

    Args:
        turns: columns ``elapsed_s``, ``outcome``, ``age_s`` (s), ``operation``, ``delivery``.
        keys: the conversations that were looked for at the end, with ``elapsed_s``.
        since_s: when evictions began; pauses that began before it are left out.
    """
    pauses = _pauses(turns, keys, since_s=since_s)
    evicted, present = int(pauses["evicted"].sum()), int(pauses["present"].sum())
    total = evicted + present
    if total < AT_RISK_LEAST:
        return Survival(_no_curve(), evicted, present, exact=False)
    from scipy import optimize, stats  # see above

    groups = min(_GROUPS_MOST, max(1, total // (2 * AT_RISK_LEAST)))
    counts = pauses["present"] + pauses["evicted"]
    group = np.minimum((counts.cumsum() - 1) * groups // total, groups - 1)
    by_group = (
        pauses.assign(weighted_s=pauses["pause_s"] * counts)
        .groupby(group)[["weighted_s", "present", "evicted"]]
        .sum()
    )
    of = by_group["present"] + by_group["evicted"]
    share = (by_group["present"] / of).to_numpy(dtype=float)
    falling = optimize.isotonic_regression(share, weights=of.to_numpy(float), increasing=False).x
    bounds = [
        stats.binomtest(int(k), int(n)).proportion_ci(_LEVEL, method="wilson")
        for k, n in zip(by_group["present"], of, strict=True)
    ]
    curve = pd.DataFrame(
        {
            "pause_s": by_group["weighted_s"] / of,
            "share": falling,
            # Where falling moved the share out of its group's own interval, that reaches to it.
            "low": np.minimum([bound.low for bound in bounds], falling),
            "high": np.maximum([bound.high for bound in bounds], falling),
            "at_risk": of,
        }
    )
    curve = curve[curve["at_risk"] >= AT_RISK_LEAST]
    return Survival(_begin(curve), evicted, present, exact=False)


def _pauses(turns: Turns, keys: Turns, *, since_s: float) -> pd.DataFrame:
    """How many pauses of each length, to the ms, ended with the conversation there, or evicted."""
    rows = needed_rows(turns, "elapsed_s", "outcome", "age_s", "operation", "delivery")
    found = rows.ask(
        "select round(greatest(age_s::double, 0), 3) as pause_s, "
        "count(*) filter (where outcome = 'ok') as present, "
        "count(*) filter (where outcome = 'evicted') as evicted "
        "from rows where operation = 'update' and outcome in ('ok', 'evicted') and delivery = 0 "
        "and age_s is not null and elapsed_s - age_s >= $since_s group by pause_s",
        since_s=since_s,
    )
    looked = needed_rows(keys, "elapsed_s", "age_s", "state").ask(
        "select round(greatest(age_s::double, 0), 3) as pause_s, "
        "count(*) filter (where state = 'present') as present, "
        "count(*) filter (where state = 'evicted') as evicted "
        "from rows where state in ('present', 'evicted') and elapsed_s - age_s >= $since_s "
        "group by pause_s",
        since_s=since_s,
    )
    both = pd.concat([found, looked]).groupby("pause_s", as_index=False).sum()
    return both.astype({"pause_s": float, "present": int, "evicted": int})


def _outlived(traced: Turns, turns: Turns, keys: Turns, *, since_s: float) -> pd.DataFrame:
    """
    How many pauses outlived each time to live, to the ms, without an eviction before its end.

    A turn or the last look that comes after that time finds an evicted conversation expired as
    well: where the ledger has an eviction in the pause, that alone counts.
    """
    columns = ("elapsed_s", "age_s", "ttl_s", "conversation")
    outlived = needed_rows(
        turns, *columns, "outcome", "operation", "delivery", "queue_us", "lag_us"
    ).ask(
        """
        with ended as (
            select conversation, elapsed_s, elapsed_s + (queue_us + lag_us) / 1e6 as found_s,
            age_s, ttl_s from rows
            where operation = 'update' and outcome = 'expired' and delivery = 0
            union all
            select conversation, elapsed_s, elapsed_s as found_s, age_s, ttl_s from looked
            where state = 'expired'
        ), evicted as (
            select conversation, elapsed_s from traced where kind = 'evicted'
        )
        select round(greatest(least(ttl_s, age_s)::double, 0), 3) as pause_s, count(*) as present
        -- An event is stamped when it is read, a moment after the key went.
        from ended anti join evicted on evicted.conversation = ended.conversation
        and evicted.elapsed_s between ended.elapsed_s - ended.age_s and ended.found_s + 1
        where ttl_s is not null and elapsed_s - age_s >= $since_s group by pause_s
        """,
        since_s=since_s,
        looked=needed_rows(keys, *columns, "state"),
        traced=needed_rows(traced, "kind", "elapsed_s", "conversation"),
    )
    late = needed_rows(traced, "kind", "elapsed_s", "age_s", "ttl_left_s", "conversation").ask(
        "select round(greatest(age_s::double + ttl_left_s, 0), 3) as pause_s, "
        "count(*) as present from rows where kind = 'evicted' and conversation is not null "
        "and ttl_left_s <= 0 and elapsed_s - age_s >= $since_s group by pause_s",
        since_s=since_s,
    )
    both = pd.concat([outlived, late]).groupby("pause_s", as_index=False).sum()
    return both.astype({"pause_s": float, "present": int})


def _every(pauses: pd.DataFrame, one_in: int) -> npt.NDArray[np.float64]:
    """The pauses that ended with the conversation there, one in so many of them in their order."""
    ordered = pauses.sort_values("pause_s")
    taken = -(-ordered["present"].cumsum() // one_in)
    count = taken.diff().fillna(taken.iloc[:1]).astype(int)
    return np.repeat(ordered["pause_s"].to_numpy(dtype=float), count.to_numpy())


def _begin(curve: pd.DataFrame) -> pd.DataFrame:
    """All are there at the end of their last turn."""
    start = {"pause_s": 0.0, "share": 1.0, "low": 1.0, "high": 1.0, "at_risk": 0}
    if curve.empty or curve["pause_s"].iloc[0] <= 0:
        return curve.reset_index(drop=True)
    start["at_risk"] = int(curve["at_risk"].iloc[0])
    return pd.concat([pd.DataFrame([start]), curve], ignore_index=True)


def _no_curve() -> pd.DataFrame:
    return pd.DataFrame({name: [] for name in ("pause_s", "share", "low", "high", "at_risk")})
