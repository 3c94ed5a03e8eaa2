"""Turns that found their conversation gone: how many, after what pause, for which cause."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from workbench.analysis.eviction import began_s
from workbench.analysis.windows import needed

__all__ = [
    "PAUSES_S",
    "Loss",
    "at_cap",
    "loss",
    "loss_by_pause",
    "loss_by_step",
    "lossy_pause_s",
]

PAUSES_S = (0.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 40.0, 50.0, 60.0, 90.0, 120.0, 300.0)
"""Limits of the classes of pause, s, that charts and findings tell losses by."""

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


def at_cap(measured: pd.DataFrame, samples: pd.DataFrame) -> pd.DataFrame:
    """
    The turns that were due since evictions began; all of them if none did.

    Before the cap is reached nobody loses anything, so a share over all turns would tell more of
    the length of a run than of its server.

    Args:
        measured: operations due in the measured phase, column ``elapsed_s`` (s).
        samples: columns ``elapsed_s`` (s) and ``evicted_keys``.
    """
    start_s = began_s(samples)
    return measured if start_s is None else measured[measured["elapsed_s"] >= start_s]


def loss(operations: pd.DataFrame) -> Loss:
    """
    Count the turns that found their conversation gone.

    Args:
        operations: columns ``operation``, ``outcome``, ``age_s`` (s), ``ttl_s`` (s).
    """
    turns = _needing_state(operations)
    counts = turns["outcome"].value_counts()
    evicted = turns[turns["outcome"] == "evicted"]
    return Loss(
        turns=len(turns),
        **{cause: int(counts.get(cause, 0)) for cause in _GONE},
        pause_s_p50=float(evicted["age_s"].median()),
        pause_s_least=float(evicted["age_s"].min()),
        ttl_left_s_p50=float((evicted["ttl_s"] - evicted["age_s"]).median()),
    )


def loss_by_pause(
    operations: pd.DataFrame, *, edges_s: tuple[float, ...] = PAUSES_S
) -> pd.DataFrame:
    """
    The share of turns that found their conversation evicted, by the pause before the turn.

    Args:
        operations: as for ``loss``.
        edges_s: limits of the classes of pause, s, ascending.

    Returns:
        One row per class, in order: ``from_s``, ``to_s``, ``turns``, ``evicted`` and
        ``evicted_share`` (NaN in a class of fewer than 20 turns: too few to tell).
    """
    turns = _needing_state(operations).dropna(subset=["age_s"])
    classes = pd.cut(turns["age_s"], list(edges_s), right=False, labels=False)
    evicted = (turns["outcome"] == "evicted").groupby(classes)
    counts = evicted.agg(["size", "sum"]).reindex(range(len(edges_s) - 1), fill_value=0)
    share = counts["sum"] / counts["size"].where(counts["size"] >= 20, np.nan)
    return pd.DataFrame(
        {
            "from_s": edges_s[:-1],
            "to_s": edges_s[1:],
            "turns": counts["size"].to_numpy(),
            "evicted": counts["sum"].to_numpy(),
            "evicted_share": share.to_numpy(),
        }
    )


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


def loss_by_step(operations: pd.DataFrame) -> pd.DataFrame:
    """
    Turns and losses of each step that needs a state.

    Returns:
        One row per flow and step, in the order of their turns, with columns ``flow``,
        ``step``, ``turns``, ``evicted``, ``evicted_share``.
    """
    turns = _needing_state(operations)
    if turns.empty:
        return pd.DataFrame(columns=["flow", "step", "turns", "evicted", "evicted_share"])
    keys = ["flow", "step"]
    table = (
        turns.assign(evicted=turns["outcome"] == "evicted", position=turns["turn"])
        .groupby(keys, observed=True)
        .agg(turns=("evicted", "size"), evicted=("evicted", "sum"), position=("position", "median"))
        .sort_values("position", kind="stable")
        .reset_index()
    )
    table["evicted_share"] = table["evicted"] / table["turns"]
    return table[[*keys, "turns", "evicted", "evicted_share"]]


def _needing_state(operations: pd.DataFrame) -> pd.DataFrame:
    frame = needed(
        operations,
        *("operation", "outcome", "age_s", "ttl_s", "conversation", "turn", "delivery"),
    )
    # A turn that was refused, or got no answer, says nothing of whether its state was there.
    gone = frame["outcome"].isin(_GONE)
    counts = (frame["outcome"] == "ok") | gone
    counts[_found_before(frame[gone])] = False
    return frame[(frame["operation"] == "update") & counts]


def _found_before(gone: pd.DataFrame) -> pd.Index:
    """The turns whose loss a delivery of the same message before them had found already."""
    message = ["conversation", "turn"]
    first = pd.MultiIndex.from_frame(gone.loc[gone["delivery"] == 0, message])
    again = gone[gone["delivery"] > 0].sort_values("delivery", kind="stable")
    known = pd.MultiIndex.from_frame(again[message]).isin(first)
    found: pd.Index = again.index[known | again.duplicated(message).to_numpy()]
    return found
