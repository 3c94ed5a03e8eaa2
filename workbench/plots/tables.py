"""Tables as people read them: rounded, with units, without an index."""

import math
import zlib
from collections.abc import Mapping
from html import escape
from typing import Any

import pandas as pd
from pandas.io.formats.style import Styler
from pandas.io.formats.style_render import CSSDict

from workbench.analysis.patterns import by_outcome
from workbench.units import format_count, format_duration, format_share

__all__ = [
    "Told",
    "answers_table",
    "conversation_table",
    "evicted_table",
    "latency_table",
    "loss_table",
    "patterns_table",
    "spikes_table",
]


class Told:
    """
    A table with the words that belong to it above; the words alone where it has no row.

    Args:
        said: in sentences; empty for none.
        rows: of the table.
        formats: of its columns, as a Styler takes them.
    """

    def __init__(self, said: str, rows: pd.DataFrame, formats: Mapping[str, Any]) -> None:
        self.said = said
        self.rows = rows
        self.formats = formats

    def _repr_html_(self) -> str:
        words = f"<p>{escape(self.said)}</p>" if self.said else ""
        if self.rows.empty:
            return words
        return words + _plain(self.rows).format(dict(self.formats), escape="html").to_html()

    def __repr__(self) -> str:
        rows = "" if self.rows.empty else self.rows.to_string(index=False)
        return f"{self.said}\n{rows}".strip()


def loss_table(by_step: pd.DataFrame) -> Styler:
    """
    Which messages found their conversation evicted.

    Args:
        by_step: as ``analysis.loss.loss_by_step`` makes it.
    """
    formats: dict[str, Any] = {"turns": "{:,}", "evicted": "{:,}", "share": format_share}
    return _plain(by_step.rename(columns={"evicted_share": "share"})).format(formats)


def latency_table(groups: pd.DataFrame) -> Styler:
    """
    How long each group of turns waited; a percentile of too few turns says so.

    Args:
        groups: with ``turns``, and percentiles in µs, as ``analysis.latency`` makes them.
    """
    waits = [str(name) for name in groups if name not in {"flow", "step", "turns"}]
    formats: dict[str, Any] = {"turns": "{:,}", **dict.fromkeys(waits, _wait)}
    return _plain(groups).format(formats)


def spikes_table(spikes: pd.DataFrame, *, said: str = "", most: int = 12) -> Told:
    """
    The highest spikes, each with its cause.

    Args:
        spikes: as ``plots.spikes.spikes_of`` makes them.
        said: words above the table.
        most: how many are shown.
    """
    shown = spikes.head(most)
    table = pd.DataFrame(
        {
            "of": shown["of"],
            "at, s": shown["at_s"],
            "lasted, s": shown["end_s"] - shown["elapsed_s"],
            "slow end": shown["slow_us"],
            "cause": shown["cause"],
        }
    )
    if (more := len(spikes) - len(shown)) > 0:
        said += f" {format_count(more, 'lower one')} are left out."
    formats: dict[str, Any] = {"at, s": "{:.1f}", "lasted, s": "{:.2f}", "slow end": _wait}
    return Told(said, table, formats)


def answers_table(answers: pd.DataFrame, *, said: str = "") -> Told:
    """
    What people were told.

    Args:
        answers: as ``analysis.outcomes.answers`` makes them.
        said: words above the table.
    """
    formats: dict[str, Any] = {"messages": "{:,}", "share": format_share}
    table = answers.rename(columns={"answer": "what a person got who sent a message"})
    return Told(said, table, formats)


def patterns_table(
    patterns: pd.DataFrame, *, start_unix_s: float, said: str = "", most: int = 15
) -> Told:
    """
    Errors by pattern, with the rule that judges each.

    Args:
        patterns: as ``analysis.run_errors.errors_of`` makes them.
        start_unix_s: from when elapsed time counts.
        said: words above the table.
        most: how many are shown.
    """
    shown = by_outcome(patterns).head(most)
    table = pd.DataFrame(
        {
            "times": shown["count"],
            "source": shown["source"].astype(str),
            "what": shown["template"].astype(str),
            "rule": shown["rule"].astype(str).replace("", "none"),
            "first, s": shown["first_unix_s"] - start_unix_s,
            "last, s": shown["last_unix_s"] - start_unix_s,
        }
    )
    formats: dict[str, Any] = {"times": "{:,}", "first, s": _at, "last, s": _at}
    return Told(said, table, formats)


def evicted_table(flows: pd.DataFrame, *, said: str = "") -> Told:
    """
    Whose conversations were evicted, how old they were, and what was left of their time.

    Args:
        flows: as ``analysis.whose.whose`` makes them.
        said: words above the table.
    """
    names = [str(name) for name in flows.columns[1:]]
    times = [name for name in names if name.startswith(("age", "time to live"))]
    counts = [name for name in names if name not in times]
    formats: dict[str, Any] = {**dict.fromkeys(counts, "{:,}"), **dict.fromkeys(times, _duration)}
    return Told(said, flows, formats)


def conversation_table(turns: pd.DataFrame, *, said: str = "") -> Told:
    """
    One conversation, turn by turn.

    Args:
        turns: as ``analysis.conversation.beside_causes`` makes them.
        said: words above the table.
    """
    table = pd.DataFrame(
        {
            "at, s": turns["elapsed_s"],
            "flow": turns["flow"],
            "step": turns["step"],
            "outcome": turns["outcome"].str.replace("_", " "),
            "wait": turns["response_us"],
            "pause before": turns["age_s"],
            "tries": turns["attempts"],
            "the server meanwhile": turns["meanwhile"],
        }
    )
    formats: dict[str, Any] = {"at, s": "{:.1f}", "wait": _wait, "pause before": _duration}
    return Told(said, table, formats)


def _at(elapsed_s: float) -> str:
    return "unknown" if math.isnan(elapsed_s) else f"{elapsed_s:.1f}"


def _duration(seconds: float) -> str:
    return "" if math.isnan(seconds) else format_duration(seconds)


def _wait(response_us: float) -> str:
    return "too few" if math.isnan(response_us) else format_duration(response_us / 1e6)


def _plain(frame: pd.DataFrame) -> Styler:
    words = [name for name in frame if not pd.api.types.is_numeric_dtype(frame[name])]
    left: list[CSSDict] = [{"selector": "", "props": [("text-align", "left")]}]
    # Its cells' ids are random unless it is named, and those of two tables on a page must differ.
    name = f"{zlib.crc32('|'.join(map(str, frame)).encode()):08x}"
    styled = frame.style.hide(axis="index").set_uuid(name)
    return styled.set_table_styles(dict.fromkeys(words, left))
