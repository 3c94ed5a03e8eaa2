"""Documents that turns wrote: how long they are, and whether each held the write before it."""

from dataclasses import dataclass

from workbench.analysis.windows import Turns, needed_rows

__all__ = ["Updates", "document_bytes", "updates"]


@dataclass(frozen=True, slots=True)
class Updates:
    """
    Updates that were acknowledged, and whether they were there afterwards.

    Attributes:
        looked_at: turns that were written on a document in which the turn before was looked for.
        lost: of these, those that lacked it.
        looked_at_last: documents in which the last turn was looked for when the load was over.
        lost_last: of these, those that lacked it.
    """

    looked_at: int
    lost: int
    looked_at_last: int
    lost_last: int


def updates(turns: Turns, keys: Turns) -> Updates:
    """
    Count the updates that were looked for, and those that were lost.

    Args:
        turns: columns ``outcome`` and ``age_s``.
        keys: column ``update``.
    """
    found = needed_rows(turns, "outcome", "age_s").ask(
        "select count(*) filter (age_s is not null) as looked_at, "
        "count(*) filter (outcome = 'lost_update') as lost "
        "from rows where outcome in ('ok', 'lost_update')"
    )
    last = needed_rows(keys, "update").ask(
        """select count(*) as looked_at_last, count(*) filter ("update" = 'lost') as lost_last """
        """from rows where "update" in ('kept', 'lost')"""
    )
    return Updates(
        looked_at=int(found["looked_at"].iloc[0]),
        lost=int(found["lost"].iloc[0]),
        looked_at_last=int(last["looked_at_last"].iloc[0]),
        lost_last=int(last["lost_last"].iloc[0]),
    )


def document_bytes(turns: Turns) -> tuple[int, int] | None:
    """Length of the largest document, and the median over all turns, B; None if there is none."""
    found = needed_rows(turns, "value_bytes").ask(
        "select max(value_bytes) as largest, median(value_bytes) as median from rows"
    )
    if found["largest"].isna().all():
        return None
    return int(found["largest"].iloc[0]), int(found["median"].iloc[0])
