"""Client-side latency: percentiles of raw operations, never of percentiles."""

import pandas as pd

from workbench.analysis.windows import Turns, needed_rows
from workbench.runs.rows import Rows

__all__ = [
    "LEAST",
    "PARTS",
    "PERCENTILES",
    "clocks_by_step",
    "latency_by_rewrite",
    "latency_by_step",
    "latency_by_window",
    "parts_by_window",
    "parts_us",
    "percentiles_us",
    "slowest",
    "window_wide_enough_s",
    "windows_in_sight_s",
]

PERCENTILES = {"p50": 0.50, "p99": 0.99, "p999": 0.999}
"""Name and share of each percentile that is reported."""

PARTS = ("service_us", "lag_us", "queue_us")
"""What a response is the sum of, turn by turn: the clocks that the generator keeps."""

_WINDOWS_S = (1.0, 2.0, 5.0, 10.0, 20.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
_WINDOWS_MOST = 600

LEAST = {"p50": 2, "p99": 100, "p999": 1000}
"""Operations that each percentile needs; it is not known of fewer."""


def percentiles_us(turns: Turns, column: str = "response_us") -> dict[str, float]:
    """
    Nearest-rank percentiles of one clock over all turns, µs; NaN where there are too few.

    Source:
        Percentiles are taken over raw turns: those of windows or workers cannot be averaged
        (Tene, "How NOT to Measure Latency").
    """
    rows = needed_rows(turns, column)
    (found,) = rows.ask(f"select {_percentiles(column)} from rows").to_dict("records")
    return {name: float(found[name]) for name in PERCENTILES}


def latency_by_window(
    turns: Turns, *, window_s: float = 1.0, column: str = "response_us"
) -> pd.DataFrame:
    """
    Latency percentiles of each window.

    A window with fewer than 100 turns has no p99, one with fewer than 1000 no p99.9: the
    cell is NaN, not a guess.

    Args:
        turns: columns ``elapsed_s`` (s) and the clock.
        window_s: width of a window, s.
        column: which clock, µs.

    Returns:
        One row per window, indexed by its start (s); columns ``p50 p99 p999`` in µs and ``count``.
    """
    rows = needed_rows(turns, "elapsed_s", column)
    table = rows.ask(
        f"select {_WINDOW} as window_start_s, {_percentiles(column)}, count(*) as count "
        "from rows group by window_start_s order by window_start_s",
        window_s=window_s,
    )
    return table.set_index("window_start_s").rename_axis("elapsed_s").astype(_KINDS)


def windows_in_sight_s(turns: Turns) -> tuple[float, ...]:
    """The narrowest windows of which a run has few enough to be told apart: 1, 2, 5 s or more."""
    rows = needed_rows(turns, "elapsed_s")
    (lasts_s,) = rows.ask("select max(elapsed_s) - min(elapsed_s) as s from rows")["s"]
    wide = [window_s for window_s in _WINDOWS_S[:-3] if not lasts_s / window_s > _WINDOWS_MOST]
    at = _WINDOWS_S.index(wide[0]) if wide else -3
    return _WINDOWS_S[at:][:3]


def window_wide_enough_s(turns: Turns) -> float:
    """The narrowest window in sight of which most have a p99.9; else the narrowest of all."""
    rows = needed_rows(turns, "elapsed_s")
    windows_s = windows_in_sight_s(rows)
    for window_s in windows_s:
        counts = rows.ask(
            f"select count(*) as count from rows group by {_WINDOW}", window_s=window_s
        )["count"]
        if counts.median() >= LEAST["p999"]:
            return window_s
    return windows_s[0]


def latency_by_step(turns: Turns) -> pd.DataFrame:
    """
    Response percentiles of each step.

    Args:
        turns: columns ``flow``, ``step``, ``turn`` and ``response_us`` (µs).

    Returns:
        One row per flow and step, by flow and in the order of its turns; columns ``flow``,
        ``step``, ``turns``, ``p50``, ``p99`` in µs, NaN where there are too few turns.
    """
    rows = needed_rows(turns, "flow", "step", "turn", "response_us")
    return rows.ask(
        "select flow::varchar as flow, step::varchar as step, count(*) as turns, "
        f"{_percentiles('response_us', 'p50', 'p99')} "
        "from rows group by all order by flow, median(turn), step"
    ).astype({"turns": int, "p50": float, "p99": float})


def clocks_by_step(turns: Turns) -> pd.DataFrame:
    """
    Response percentiles of each step, and the p99 of each part of it.

    The p99 of the parts need not be those of the same turns, so they add up to no p99.

    Args:
        turns: as for ``latency_by_step``, and the parts (µs).

    Returns:
        As ``latency_by_step``, and columns ``service p99``, ``lag p99`` and ``queue p99`` in µs.
    """
    rows = needed_rows(turns, "flow", "step", "turn", "response_us", *PARTS)
    parts = ", ".join(
        f"case when count(*) >= {LEAST['p99']} then quantile_disc({part}, 0.99)::double end "
        f'as "{part.removesuffix("_us")} p99"'
        for part in PARTS
    )
    found = rows.ask(
        "select flow::varchar as flow, step::varchar as step, count(*) as turns, "
        f"{_percentiles('response_us', 'p50', 'p99')}, {parts} "
        "from rows group by all order by flow, median(turn), step"
    )
    clocks = dict.fromkeys(found.columns[3:], float)
    return found.astype({"turns": int, **clocks})


def latency_by_rewrite(turns: Turns, spans: pd.DataFrame) -> pd.DataFrame:
    """
    Response percentiles of the turns that were due during an AOF rewrite, and of all others.

    A turn belongs where it was due. Were it put where it ended, or wherever it overlaps, slow
    turns would fall into rewrites only because they last longer.

    Args:
        turns: columns ``elapsed_s`` (s) and ``response_us`` (µs).
        spans: columns ``elapsed_s`` and ``duration_s`` (s), as ``persistence.rewrite_spans``.

    Returns:
        Two rows, ``during a rewrite`` and ``at other times``; columns ``turns``, ``p50`` and
        ``p99`` in µs, NaN where there are too few turns.
    """
    rows = needed_rows(turns, "elapsed_s", "response_us")
    found = rows.ask(
        "select coalesce(rows.elapsed_s < spans.elapsed_s + spans.duration_s, false) as during, "
        f"count(*) as turns, {_percentiles('response_us', 'p50', 'p99')} "
        # The last that had begun: a server rewrites once at a time.
        "from rows asof left join spans on rows.elapsed_s >= spans.elapsed_s group by during",
        spans=spans[["elapsed_s", "duration_s"]].astype(float),
    ).set_index("during")
    sides = found.reindex([True, False])
    sides.index = pd.Index(["during a rewrite", "at other times"])
    return sides.fillna({"turns": 0}).astype({"turns": int, "p50": float, "p99": float})


def slowest(turns: Turns) -> Rows:
    """The slowest 1 % of turns: those that took the p99 or longer; none of fewer than 100."""
    rows = needed_rows(turns, "response_us")
    return rows.where("response_us >= $least_us", least_us=percentiles_us(rows)["p99"])


def parts_us(turns: Turns) -> dict[str, float]:
    """Mean of each part of the response, µs: these add up to its mean; percentiles would not."""
    rows = needed_rows(turns, *PARTS)
    (found,) = rows.ask(f"select {_MEANS} from rows").to_dict("records")
    return {part: float(found[part]) for part in PARTS}


def parts_by_window(
    turns: Turns, *, window_s: float = 1.0, only_slowest: bool = False
) -> pd.DataFrame:
    """
    Mean of each part of the response in each window.

    Args:
        turns: columns ``elapsed_s`` (s), ``response_us`` and the parts (µs).
        window_s: width of a window, s.
        only_slowest: of each window only its slowest 1 %; a window of fewer than 100 turns has
            none, and is left out.

    Returns:
        One row per window, indexed by its start (s); columns ``service_us lag_us queue_us``.
    """
    rows = needed_rows(turns, "elapsed_s", "response_us", *PARTS)
    slow = (
        f"join (select {_WINDOW} as of_s, {_percentiles('response_us', 'p99')} from rows "
        f"group by of_s) on of_s = {_WINDOW} where response_us >= p99"
    )
    table = rows.ask(
        f"select {_WINDOW} as window_start_s, {_MEANS} from rows {slow if only_slowest else ''} "
        "group by window_start_s order by window_start_s",
        window_s=window_s,
    )
    return table.set_index("window_start_s").rename_axis("elapsed_s")


_WINDOW = "floor(elapsed_s / $window_s) * $window_s"
_MEANS = ", ".join(f"avg({part}::double) as {part}" for part in PARTS)
_KINDS = {**dict.fromkeys(PERCENTILES, float), "count": int}


def _percentiles(column: str, *names: str) -> str:
    """Nearest-rank percentiles in SQL, each null where there are too few turns."""
    named = names or tuple(PERCENTILES)
    # All of one list: each by itself would keep all values of its own.
    shares = [PERCENTILES[name] for name in named]
    return ", ".join(
        f"case when count({column}) >= {LEAST[name]} "
        f"then quantile_disc({column}, {shares})[{at}]::double end as {name}"
        for at, name in enumerate(named, start=1)
    )
