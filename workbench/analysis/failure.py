"""Turns that were refused, got no answer or went wrong: which outcomes, and their share."""

import math

from workbench.analysis.windows import Turns, needed_rows
from workbench.runs.rows import Rows

__all__ = ["FAILED", "failed_share", "outcomes", "sent"]

FAILED = ("refused", "timeout", "conflict", "error")
"""
Outcomes of a turn that was not carried out. A conversation that is gone is none of them, nor is a
message that had been applied before.
"""


def sent(turns: Turns) -> Rows:
    """The turns that were sent; those that were only due say nothing of the server."""
    return needed_rows(turns, "outcome").where("outcome != 'unsent'")


def outcomes(turns: Turns) -> dict[str, int]:
    """How many turns came to each outcome; one that none came to is left out."""
    found = needed_rows(turns, "outcome").ask(
        "select outcome::varchar as outcome, count(*) as count from rows group by outcome"
    )
    return dict(zip(found["outcome"], found["count"], strict=True))


def failed_share(turns: Turns) -> float:
    """Failed turns of all that were sent; NaN if none was."""
    counts = outcomes(sent(turns))
    total = sum(counts.values())
    return sum(counts.get(name, 0) for name in FAILED) / total if total else math.nan
