"""Documents: their length, and updates that were acknowledged and not there afterwards."""

from tests.frames import keys, operations
from workbench.analysis.documents import Updates, document_bytes, updates


def test_update_counts_as_looked_at_if_the_turn_before_was_looked_for():
    """Not a first turn, which has none before it, nor one that found nothing to look in."""
    turns = operations(
        [
            {"elapsed_s": 0.0, "age_s": None},
            {"elapsed_s": 1.0},
            {"elapsed_s": 2.0, "outcome": "lost_update"},
            {"elapsed_s": 3.0, "outcome": "evicted"},
        ]
    )
    looked = keys(
        {"elapsed_s": 9.0, "update": update} for update in ("kept", "kept", "lost", "unsure", "")
    )

    assert updates(turns, looked) == Updates(looked_at=2, lost=1, looked_at_last=3, lost_last=1)


def test_nothing_is_lost_where_nothing_was_written():
    assert updates(operations([]), keys([])) == Updates(0, 0, 0, 0)


def test_length_is_that_of_the_largest_and_of_the_middle_one():
    turns = operations({"elapsed_s": 0.0, "value_bytes": size} for size in (10, 20, 90))

    assert document_bytes(turns) == (90, 20)
    assert document_bytes(operations([])) is None
