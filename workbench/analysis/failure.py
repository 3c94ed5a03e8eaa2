"""Turns that were refused, got no answer or went wrong: which outcomes, and their share."""

import pandas as pd

from workbench.analysis.windows import needed

__all__ = ["FAILED", "failed_share", "sent"]

FAILED = ("refused", "timeout", "conflict", "error")
"""
Outcomes of a turn that was not carried out. A conversation that is gone is none of them, nor is a
message that had been applied before.
"""


def sent(operations: pd.DataFrame) -> pd.DataFrame:
    """The turns that were sent; those that were only due say nothing of the server."""
    return operations[needed(operations, "outcome")["outcome"] != "unsent"]


def failed_share(operations: pd.DataFrame) -> float:
    """Failed turns of all that were sent; NaN if none was."""
    return float(sent(operations)["outcome"].isin(FAILED).mean())
