"""How long evicted conversations had been left alone, and what was left of their time to live."""

from dataclasses import dataclass

import pandas as pd

from workbench.analysis.windows import Turns, needed_rows

__all__ = ["Ages", "ages_by_ledger", "ages_by_turns"]


@dataclass(frozen=True, slots=True)
class Ages:
    """
    Ages of evicted conversations.

    Attributes:
        age_s: since the last write, s.
        ttl_left_s: time to live that was left, s; below 0 if it was over.
        exact: from the ledger, at the eviction itself; else when a turn or the last look found the
            conversation gone, and it went before that.
        unknown: evicted keys whose last write is not known, and which are not among them.
    """

    age_s: pd.Series
    ttl_left_s: pd.Series
    exact: bool
    unknown: int

    def __len__(self) -> int:
        return len(self.age_s)


def ages_by_ledger(traced: Turns) -> Ages:
    """The ages at the eviction itself, of events as ``analysis.ledger`` traces them."""
    evicted = needed_rows(traced, "kind", "age_s", "ttl_left_s").ask(
        "select age_s::double as age_s, ttl_left_s::double as ttl_left_s from rows "
        "where kind = 'evicted'"
    )
    known = evicted.dropna()
    return Ages(
        age_s=known["age_s"].reset_index(drop=True),
        ttl_left_s=known["ttl_left_s"].reset_index(drop=True),
        exact=True,
        unknown=len(evicted) - len(known),
    )


def ages_by_turns(turns: Turns, keys: Turns) -> Ages:
    """
    What a run without a ledger knows: the ages at which conversations were found evicted.

    Args:
        turns: columns ``outcome``, ``age_s`` (s), ``ttl_s`` (s), ``delivery``.
        keys: the conversations that were looked for at the end, likewise with ``state``.
    """
    rows = needed_rows(turns, "outcome", "age_s", "ttl_s", "delivery")
    found = rows.ask(
        "select age_s::double as age_s, ttl_s::double as ttl_s from rows "
        "where outcome = 'evicted' and delivery = 0"
    )
    looked = needed_rows(keys, "state", "age_s", "ttl_s").ask(
        "select age_s::double as age_s, ttl_s::double as ttl_s from rows where state = 'evicted'"
    )
    both = pd.concat([found, looked], ignore_index=True)
    known = both.dropna().reset_index(drop=True)
    return Ages(
        age_s=known["age_s"],
        ttl_left_s=known["ttl_s"] - known["age_s"],
        exact=False,
        unknown=len(both) - len(known),
    )
