"""Latency as a map: how many turns of each window of time fell into each class of latency."""

from typing import Final

import pandas as pd

from workbench.analysis.windows import Turns, needed_rows

__all__ = ["CLASSES_PER_DECADE", "latency_cells", "window_for_cells_s"]

CLASSES_PER_DECADE: Final = 8
"""Classes of latency in a factor of ten: each reaches 33 % higher than the one below."""

# As many windows as a chart of 9 inches shows apart.
_WINDOWS_MOST: Final = 150
_WINDOWS_S: Final = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0)


def window_for_cells_s(turns: Turns) -> float:
    """The narrowest window, s, of which a run has few enough to be told apart in a picture."""
    rows = needed_rows(turns, "elapsed_s")
    (span,) = rows.ask(
        "select min(elapsed_s) as first_s, max(elapsed_s) as last_s from rows"
    ).to_dict("records")
    lasts_s = float(span["last_s"] - span["first_s"])
    for window_s in _WINDOWS_S:
        if lasts_s / window_s <= _WINDOWS_MOST:
            return window_s
    return _WINDOWS_S[-1] if lasts_s > 0 else 1.0


def latency_cells(
    turns: Turns, *, window_s: float = 1.0, column: str = "response_us"
) -> pd.DataFrame:
    """
    Turns by window of time and by logarithmic class of latency; cells without a turn are left out.

    A clock that shows 0 or less is counted in the class of 1 µs.

    Args:
        turns: columns ``elapsed_s`` (s) and the clock.
        window_s: width of a window, s.
        column: which clock, µs.

    Returns:
        One row per cell, by time and then latency: ``from_s`` (s; the window is ``window_s`` wide),
        ``class`` (number of the class of latency, from 1 µs on), its ``from_us`` and ``to_us``
        (µs), ``turns``, and ``share`` of the turns of its window. Classes are compared by their
        numbers: their bounds are powers, which are rounded.
    """
    rows = needed_rows(turns, "elapsed_s", column)
    cells = rows.ask(
        f"select floor(elapsed_s / $window_s) * $window_s as from_s, "
        f"floor($classes * log10(greatest({column}::double, 1.0))) as class, count(*) as turns "
        f"from rows where {column} is not null group by all order by from_s, class",
        window_s=window_s,
        classes=CLASSES_PER_DECADE,
    ).astype({"from_s": float, "class": int, "turns": int})
    of_window = cells.groupby("from_s")["turns"].transform("sum")
    return pd.DataFrame(
        {
            "from_s": cells["from_s"],
            "class": cells["class"],
            "from_us": 10 ** (cells["class"] / CLASSES_PER_DECADE),
            "to_us": 10 ** ((cells["class"] + 1) / CLASSES_PER_DECADE),
            "turns": cells["turns"],
            "share": cells["turns"] / of_window,
        }
    )
