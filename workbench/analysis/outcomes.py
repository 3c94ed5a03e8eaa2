"""What became of turns over time, in how many tries, and what people were told in the end."""

from typing import Final

import pandas as pd

from workbench.analysis.failure import FAILED
from workbench.analysis.latency import LEAST, PERCENTILES
from workbench.analysis.windows import Turns, needed_rows

__all__ = [
    "ANSWERS",
    "AT_ONCE_US",
    "GONE",
    "answers",
    "failures_by_window",
    "outcomes_by_window",
    "tries",
]

GONE: Final = ("evicted", "expired", "restarted", "deleted", "missing", "elsewhere", "lost_update")
"""Outcomes of a turn whose conversation was not there, or not as it had been left."""

_ABSENT: Final = tuple(name for name in GONE if name != "lost_update")

AT_ONCE_US: Final = 50_000.0
"""What got no answer in less did not wait for one: as with an open breaker."""

ANSWERS: Final = {
    "their answer": "the first delivery was carried out",
    "their answer, after another delivery": "the first failed, and a further one was carried out",
    "to begin again": "the conversation was gone",
    "an error": "every delivery was refused, got no answer or went wrong",
    "nothing yet": "the run ended before it was sent",
}
"""What a person was told who sent a message, and when that is so."""


def outcomes_by_window(turns: Turns, *, window_s: float = 1.0) -> pd.DataFrame:
    """
    Turns by the second, by what became of them.

    Args:
        turns: columns ``elapsed_s`` (s), ``outcome``, ``attempts`` and ``delivery``.
        window_s: width of a window, s.

    Returns:
        One row per window, indexed by its start (s), each column by the second: ``due``, ``ok``
        (carried out, or applied before), ``gone``, ``lost_update`` (there without the turn before
        it), one for each of ``failure.FAILED``, ``unsent``, and besides ``retried`` (written in
        more than one try) and ``again`` (delivered again).
    """
    rows = needed_rows(turns, "elapsed_s", "outcome", "attempts", "delivery")
    each = ", ".join(
        f"{_count(_is(name))} as {name}" for name in ("lost_update", *FAILED, "unsent")
    )
    table = rows.ask(
        f"select floor(elapsed_s / $window_s) * $window_s as of_s, "
        f"count(*) / $window_s as due, {_count(_is('ok', 'duplicate'))} as ok, "
        f"{_count(_is(*_ABSENT))} as gone, {each}, "
        f"{_count('attempts > 1')} as retried, {_count('delivery > 0')} as again "
        "from rows group by of_s order by of_s",
        window_s=window_s,
    )
    return table.astype(float).set_index("of_s").rename_axis("elapsed_s")


def failures_by_window(turns: Turns, *, window_s: float = 1.0) -> pd.DataFrame:
    """
    Failed turns by the second: those that failed at once, those that waited first, the refused.

    A server that refuses a write, as a full one does under noeviction, has answered: no breaker
    opens for that, however quick it was.

    Args:
        turns: columns ``elapsed_s`` (s), ``outcome`` and ``service_us`` (µs).
        window_s: width of a window, s.

    Returns:
        One row per window with a failed turn, indexed by its start (s): ``at_once``, ``waited``
        and ``refused`` by the second, ``service_us_p50`` of those that were not refused.
    """
    rows = needed_rows(turns, "elapsed_s", "outcome", "service_us")
    refused = _is("refused")
    table = rows.where(_is(*FAILED)).ask(
        "select floor(elapsed_s / $window_s) * $window_s as of_s, "
        f"{_count(f'not {refused} and service_us < $at_once_us')} as at_once, "
        f"{_count(f'not {refused} and service_us >= $at_once_us')} as waited, "
        f"{_count(refused)} as refused, "
        f"quantile_disc(service_us, 0.5) filter (not {refused})::double as service_us_p50 "
        "from rows group by of_s order by of_s",
        window_s=window_s,
        at_once_us=AT_ONCE_US,
    )
    return table.astype(float).set_index("of_s").rename_axis("elapsed_s")


def tries(turns: Turns) -> pd.DataFrame:
    """
    How many tries writes took, and what that cost.

    Args:
        turns: columns ``attempts``, ``service_us`` and ``response_us`` (µs).

    Returns:
        One row per number of tries that was seen, from 1: ``tries``, ``turns``, and ``p50`` and
        ``p99`` of the response, ``service_us_p50``, in µs, NaN of too few turns. A turn that made
        no write is in none of them.
    """
    rows = needed_rows(turns, "attempts", "service_us", "response_us")
    return (
        rows.where("attempts > 0")
        .ask(
            "select attempts::int as tries, count(*) as turns, "
            f"{_percentile('response_us', 'p50')} as p50, "
            f"{_percentile('response_us', 'p99')} as p99, "
            f"{_percentile('service_us', 'p50')} as service_us_p50 "
            "from rows group by tries order by tries"
        )
        .astype({"tries": int, "turns": int, "p50": float, "p99": float, "service_us_p50": float})
    )


def answers(turns: Turns) -> pd.DataFrame:
    """
    What the people who sent messages were told in the end, all deliveries of one message together.

    Args:
        turns: columns ``conversation``, ``turn``, ``delivery`` and ``outcome``.

    Returns:
        One row per answer that was given, in the order of ANSWERS: ``answer``, ``messages``,
        ``share``.
    """
    rows = needed_rows(turns, "conversation", "turn", "delivery", "outcome")
    # A duplicate was carried out by another delivery, or by one whose reply was lost.
    done = _is("ok", "duplicate")
    counts = rows.ask(
        "select answer, count(*) as messages from (select case "
        f"when bool_or({done} and delivery = 0) then $first when bool_or({done}) then $again "
        f"when bool_or({_is(*GONE)}) then $gone when bool_or({_is(*FAILED)}) then $failed "
        "else $unsent end as answer from rows group by conversation, turn) group by answer",
        **dict(zip(("first", "again", "gone", "failed", "unsent"), ANSWERS, strict=True)),
    ).set_index("answer")["messages"]
    given = [answer for answer in ANSWERS if answer in counts.index]
    messages = counts.reindex(given).astype(int)
    return pd.DataFrame(
        {
            "answer": given,
            "messages": messages.to_numpy(),
            "share": (messages / max(1, int(messages.sum()))).to_numpy(dtype=float),
        }
    )


def _percentile(column: str, name: str) -> str:
    """Nearest rank, null where there are too few turns."""
    return (
        f"case when count(*) >= {LEAST[name]} "
        f"then quantile_disc({column}, {PERCENTILES[name]})::double end"
    )


def _is(*outcomes: str) -> str:
    return f"outcome::varchar in ({', '.join(repr(name) for name in outcomes)})"


def _count(condition: str) -> str:
    return f"count(*) filter ({condition}) / $window_s"
