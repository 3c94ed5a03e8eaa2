"""Every turn is in one cell, and in the right one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.frames import operations
from workbench.analysis.heatmap import CLASSES_PER_DECADE, latency_cells, window_for_cells_s
from workbench.errors import ColumnMissingError

TURNS = st.lists(
    st.tuples(
        st.floats(-5, 50, allow_nan=False, width=32), st.floats(1, 1e7, allow_nan=False, width=32)
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=30, deadline=None)
@given(TURNS)
def test_every_turn_lies_in_one_cell(turns):
    """Their counts add up, and a cell holds the turns of its window and class."""
    cells = latency_cells(
        operations([{"elapsed_s": at, "response_us": us} for at, us in turns]), window_s=2.0
    )

    assert cells["turns"].sum() == len(turns)
    for at, us in turns:
        inside = (cells["from_s"] <= at) & (at < cells["from_s"] + 2.0)
        # A rounding's width at the edges, which are powers.
        inside &= (cells["from_us"] * (1 - 1e-9) <= us) & (us <= cells["to_us"] * (1 + 1e-9))
        assert inside.any()


def test_shares_are_of_the_window():
    """Three of four turns of the first second are fast, all of the second."""
    turns = [{"elapsed_s": 0.1 * n, "response_us": 1000.0} for n in range(3)]
    turns += [{"elapsed_s": 0.9, "response_us": 50_000.0}, {"elapsed_s": 1.5}]

    cells = latency_cells(operations(turns), window_s=1.0)

    assert cells["share"].tolist() == pytest.approx([0.75, 0.25, 1.0])
    assert cells["from_s"].tolist() == [0.0, 0.0, 1.0]
    assert cells["to_us"].div(cells["from_us"]).to_numpy() == pytest.approx(
        10 ** (1 / CLASSES_PER_DECADE)
    )


def test_wait_of_nothing_is_counted_with_the_shortest():
    """A logarithm has no zero."""
    cells = latency_cells(operations([{"elapsed_s": 0.0, "response_us": 0.0}]))

    assert cells["from_us"].tolist() == [1.0]


def test_no_turns_have_no_cells():
    """And the columns are there."""
    cells = latency_cells(operations([]))

    assert cells.empty
    assert {"from_s", "class", "from_us", "to_us", "turns", "share"} == set(cells)


@pytest.mark.parametrize(("lasts_s", "window_s"), [(10, 0.2), (60, 0.5), (3600, 30.0)])
def test_windows_are_as_many_as_can_be_told_apart(lasts_s, window_s):
    """A run of ten hours has no more of them than one of a minute."""
    turns = operations([{"elapsed_s": 0.0}, {"elapsed_s": float(lasts_s)}])

    assert window_for_cells_s(turns) == window_s


@pytest.mark.parametrize("turns", [[], [{"elapsed_s": 3.0}]])
def test_window_of_one_turn_or_none_is_a_width(turns):
    """Not a NaN."""
    assert np.isfinite(window_for_cells_s(operations(turns)))


def test_missing_clock_is_named():
    """An error that says which column."""
    with pytest.raises(ColumnMissingError, match="nope"):
        latency_cells(operations([{"elapsed_s": 0.0}]), column="nope")
