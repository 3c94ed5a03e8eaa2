"""
Errors by pattern: lines of logs, outcomes of turns and error replies, grouped by what they say.

Numbers, addresses, ids, paths and quoted text are masked, so that what differs only in these is
one pattern; what is secret is taken out first. Each pattern has the rule that judges the matter,
where there is one: the messages of a server by ``MESSAGES``, every other warning of it is for the
rule ``error-patterns``.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import pandas as pd

from workbench.analysis.windows import Turns, needed_rows
from workbench.telemetry.serverlog import LogLine, log_line

__all__ = [
    "COLUMNS",
    "MESSAGES",
    "ORDINARY",
    "UNCLAIMED",
    "Entry",
    "by_outcome",
    "load_entries",
    "outcome_patterns",
    "patterns",
    "reply_patterns",
    "sampler_entries",
    "server_entries",
    "template",
]

COLUMNS: Final = (
    "source",
    "level",
    "rule",
    "template",
    "count",
    "first_unix_s",
    "last_unix_s",
    "rate_per_s",
)
"""Of every frame of patterns; times and rates are NaN where they are not known."""

UNCLAIMED: Final = "error-patterns"
"""The rule for warnings of a server that no other rule judges."""

MESSAGES: Final[Mapping[str, str]] = {
    # Part of a message, as it stands in the programs of Redis 7.0.15 and Valkey 9.1.2: the rule.
    "Error writing to the AOF file: ": "aof-write",
    "Short write while writing to the AOF file: ": "aof-write",
    "Fail to fsync the AOF file: ": "aof-write",
    "AOF write error looks solved": "aof-write",
    "Can't recover from AOF write error when the AOF fsync policy is 'always'": "aof-write",
    "Error trying to rename the temporary AOF ": "aof-rewrite",
    "Error trying to write the temporary AOF manifest file ": "aof-rewrite",
    "Can't open or create append-only dir ": "aof-rewrite",
    "Background AOF rewrite terminated with error": "aof-rewrite",
    "Background AOF rewrite terminated by signal ": "aof-rewrite",
    "Background AOF rewrite has repeatedly failed and triggered the limit": "aof-rewrite",
    "Can't rewrite append only file in background: fork: ": "overcommit",
    "Memory overcommit must be enabled!": "overcommit",
    "Asynchronous AOF fsync is taking too long": "fsync-late",
    "!!! Truncating the AOF ": "aof-truncated",
    "!!! Warning: short read while loading the AOF file ": "aof-truncated",
    "loaded anyway because aof-load-truncated is enabled": "aof-truncated",
    "You have Transparent Huge Pages (THP) support enabled in your kernel": "huge-pages",
    "WARNING: The TCP backlog setting of ": "accept-backlog",
    "You requested maxclients of ": "refused-clients",
    "Server can't set maximum open files to ": "refused-clients",
    "maxclients has been reduced to ": "refused-clients",
    "scheduled to be closed ASAP for overcoming of output buffer limits": "dropped-clients",
    "closed for overcoming of output buffer limits": "dropped-clients",
    "Evicting client: ": "dropped-clients",
    "WARNING: the new maxmemory value set via CONFIG SET ": "over-cap",
}
"""What a server writes into its log, and the rule that judges it."""

ORDINARY: Final = (
    # At the level of warnings, although nothing is wrong: start, shutdown, what a person asked for.
    " is starting oO0OoO0OoO0Oo",
    " version=",
    "Configuration loaded",
    "Server initialized",
    "arning: no config file specified",
    "arning: No config file specified",
    "User requested shutdown...",
    " is now ready to exit, bye bye...",
    "There is a child rewriting the AOF. Killing it!",
    "There is a child saving an .rdb. Killing it!",
    "CONFIG REWRITE executed with success",
    "Setting secondary replication ID to ",
    "Cluster state changed: ok",
    "New configEpoch set to ",
)
"""Parts of messages that warn of nothing (Redis 7.0.15, Valkey 9.1.2)."""

_REPLIES: Final[Mapping[str, str]] = {
    "MISCONF": "aof-write",
    "OOM": "refuses-when-full",
    "LOADING": "loading",
}
_OUTCOMES: Final[Mapping[str, str]] = {
    "evicted": "live-state-evicted",
    "expired": "loss-explained",
    "restarted": "loss-explained",
    "deleted": "loss-explained",
    "missing": "loss-explained",
    "elsewhere": "state-elsewhere",
    "lost_update": "lost-updates",
    "conflict": "turns-failed",
    "refused": "turns-failed",
    "timeout": "turns-failed",
    "error": "turns-failed",
    "unsent": "generator-validity",
}
_TEMPLATE_CHARACTERS: Final = 240

_MASKS: Final = (
    (re.compile(r"\b[a-z][\w+.-]*://[^\s'\")]*[^\s'\").,;]", re.I), "<url>"),
    # id=14 addr=127.0.0.1:50530 name= age=0 …: a client, as the server describes it.
    (re.compile(r"(?:[\w-]+=\S*\s+){2,}[\w-]+=\S*"), "<fields>"),
    # Quoted, but no apostrophe.
    (re.compile(r"(?<!\w)'[^']*'(?!\w)|\"[^\"]*\""), "'<text>'"),
    (re.compile(r"(?<![\w<.])/(?:[\w.+@-]+/)*[\w.+@-]+"), "<path>"),
    (re.compile(r"\[[0-9a-f]*:[0-9a-f:]+\](?::\d+)?", re.I), "<address>"),
    (re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b"), "<address>"),
    (re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.I), "<id>"),
    (re.compile(r"\b(?:0x[0-9a-f]+|[0-9a-f]{16,})\b", re.I), "<id>"),
    # user:17:cart, localhost:6379: a key, or a host with its port.
    (re.compile(r"(?<![\w<.])[\w.-]+(?::[\w.{}-]+)+"), "<name>"),
    (re.compile(r"\d+(?:[.,]\d+)*"), "<n>"),
)

# [2026-11-26 10:37:00,186] vm/INFO/locust.main: Starting Locust
_LOAD_LINE: Final = re.compile(
    r"^\[(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3})\] [^/]*/(?P<level>[A-Z]+)/\S+: (?P<text>.*)"
)
_TRACEBACK: Final = "Traceback (most recent call last)"
# redis.exceptions.ConnectionError: Error 111 connecting to …: the last line of a traceback.
_EXCEPTION: Final = re.compile(r"^[A-Za-z_][\w.]*(?:: .*)?$")
_CRASH: Final = re.compile(r"=== \w+ BUG REPORT (START|END)")
_CONFIGURATION: Final = "FATAL CONFIG FILE ERROR"


@dataclass(frozen=True, slots=True)
class Entry:
    """
    One error that something wrote into its log.

    Attributes:
        source: the log.
        level: ``warning`` and so on; a server's ``notice`` is here if it tells of an error.
        text: what it says.
        rule: the rule that judges it; empty if none does.
        unix_s: when, by the clock of the log; NaN if it does not say.
    """

    source: str
    level: str
    text: str
    rule: str
    unix_s: float = math.nan


def template(text: str) -> str:
    """The text without secrets, and without what differs from one time to the next."""
    # With the package of the state manager comes the client library, which reading a run does not
    # need: it is asked for when there is an error to tell.
    from workbench.state.redaction import redact

    text = redact(text)
    for pattern, mask in _MASKS:
        text = pattern.sub(mask, text)
    text = " ".join(text.split())
    over = len(text) > _TEMPLATE_CHARACTERS
    return f"{text[:_TEMPLATE_CHARACTERS].rsplit(maxsplit=1)[0]} …" if over else text


def server_entries(lines: Iterable[str], source: str = "redis.log") -> Iterator[Entry]:
    """
    What a server's log tells of errors.

    That is what it wrote at its level ``warning`` (``#``), start and shutdown left out, and what it
    wrote at a lower one although it is an error. Of a crash report the first lines count, which
    say what happened; stack, registers and INFO do not.

    Args:
        lines: of the log.
        source: what the log is called.
    """
    crashed = silent = False
    for line in lines:
        if mark := _CRASH.search(line):
            crashed, silent = mark[1] == "START", False
            continue
        found = log_line(line)
        if found is None:
            silent = crashed and (silent or line.startswith("------"))
            if _CONFIGURATION in line:
                yield Entry(source, "warning", line.strip(" *\n"), UNCLAIMED)
            continue
        if " is starting oO0O" in found.text:
            crashed = silent = False  # the report was cut off
        if not silent and (rule := _rule_of(found)):
            yield Entry(source, found.level, found.text, rule, found.unix_s)


def _rule_of(line: LogLine) -> str:
    for part, rule in MESSAGES.items():
        if part in line.text:
            return rule
    warns = line.level == "warning" and line.text.strip()
    return UNCLAIMED if warns and not any(part in line.text for part in ORDINARY) else ""


def load_entries(
    lines: Iterable[str], source: str = "locust.log", *, started_unix_s: float | None = None
) -> Iterator[Entry]:
    """
    What the load's log tells of errors: warnings and worse, and the last line of each traceback.

    Args:
        lines: of the log.
        source: what the log is called.
        started_unix_s: when the run began. The log names no zone: that is found by its first line.
    """
    unix_s = zone_s = math.nan
    in_traceback = False
    for line in lines:
        if match := _LOAD_LINE.match(line):
            at = datetime.strptime(match["time"], "%Y-%m-%d %H:%M:%S,%f").replace(tzinfo=UTC)
            if math.isnan(zone_s):
                away_s = at.timestamp() - started_unix_s if started_unix_s is not None else 0.0
                zone_s = 900.0 * round(away_s / 900)  # no zone is finer than a quarter of an hour
            unix_s = at.timestamp() - zone_s
            if match["level"] in {"WARNING", "ERROR", "CRITICAL"}:
                yield Entry(source, match["level"].lower(), match["text"], "", unix_s)
            in_traceback = _TRACEBACK in match["text"]
        elif _TRACEBACK in line:
            in_traceback = True
        elif in_traceback and _EXCEPTION.match(line.rstrip()):
            in_traceback = False
            yield Entry(source, "error", line.rstrip(), "", unix_s)


def sampler_entries(lines: Iterable[str], source: str = "sampler.log") -> Iterator[Entry]:
    """What the sampler's log tells of errors: it writes nothing else, and no times."""
    in_traceback = False
    for line in lines:
        text = line.rstrip()
        if _TRACEBACK in text:
            in_traceback = True
        elif text and not (in_traceback and not _EXCEPTION.match(text)):
            in_traceback = False
            yield Entry(source, "error", text, "")


def patterns(entries: Iterable[Entry]) -> pd.DataFrame:
    """
    The entries by source, level and template, the most frequent first.

    ``rate_per_s`` is that between the first and the last of a pattern; NaN of a single one.
    """
    found: dict[tuple[str, str, str, str], tuple[int, float, float]] = {}
    for entry in entries:
        key = (entry.source, entry.level, entry.rule, template(entry.text))
        count, first_s, last_s = found.get(key, (0, entry.unix_s, entry.unix_s))
        found[key] = (count + 1, min(first_s, entry.unix_s), max(last_s, entry.unix_s))
    rows = [(*key, *seen, _rate(*seen)) for key, seen in found.items()]
    return _frame(rows)


def outcome_patterns(turns: Turns) -> pd.DataFrame:
    """The turns that were not ok, by outcome and step; ``duplicate`` is no error."""
    found = needed_rows(turns, "unix_s", "outcome", "flow", "step").ask(
        "select outcome::varchar as outcome, flow || '/' || step as step, count(*) as count, "
        "min(unix_s) as first_s, max(unix_s) as last_s from rows "
        "where outcome not in ('ok', 'duplicate') group by all"
    )
    rows: list[tuple[Any, ...]] = []
    for outcome, step, *seen in found.itertuples(index=False):
        told = ("operations", "outcome", _OUTCOMES.get(outcome, ""), f"{outcome} at {step}")
        rows.append((*told, *seen, _rate(*seen)))
    return _frame(rows)


def by_outcome(found: pd.DataFrame) -> pd.DataFrame:
    """
    The patterns, turns of one outcome as one whatever their step; the most frequent first.

    Args:
        found: patterns of any source; those of turns as ``outcome_patterns`` makes them.
    """
    of_turns = found["source"].astype(str) == "operations"
    rows = [tuple(row) for row in found[~of_turns][list(COLUMNS)].itertuples(index=False)]
    turns = found[of_turns]
    for outcome, steps in turns.groupby(turns["template"].str.split(" at ").str[0], sort=False):
        seen = (
            int(steps["count"].sum()),
            float(steps["first_unix_s"].min()),
            float(steps["last_unix_s"].max()),
        )
        text = f"{outcome}, at {len(steps)} steps" if len(steps) > 1 else steps["template"].iloc[0]
        rows.append(("operations", "outcome", steps["rule"].iloc[0], text, *seen, _rate(*seen)))
    return _frame(rows)


def reply_patterns(
    before: Mapping[str, Any], after: Mapping[str, Any], *, first_unix_s: float, last_unix_s: float
) -> pd.DataFrame:
    """
    The error replies between two looks at INFO, by prefix.

    Args:
        before: INFO with its section ``errorstats``.
        after: the same, later in the same life of the server.
        first_unix_s: when the one was taken.
        last_unix_s: when the other was; each reply was sent in between.
    """
    rows: list[tuple[Any, ...]] = []
    for name, values in after.items():
        if not name.startswith("errorstat_") or not isinstance(values, Mapping):
            continue
        count = int(values["count"]) - int(before.get(name, {}).get("count", 0))
        if count > 0:
            prefix = name.removeprefix("errorstat_")
            rule, window_s = _REPLIES.get(prefix, "error-replies"), last_unix_s - first_unix_s
            rate_per_s = count / window_s if window_s > 0 else math.nan
            told = (f"replied with {template(prefix)}", count, first_unix_s, last_unix_s)
            rows.append(("INFO", "reply", rule, *told, rate_per_s))
    return _frame(rows)


def _rate(count: int, first_unix_s: float, last_unix_s: float) -> float:
    span_s = last_unix_s - first_unix_s
    return (count - 1) / span_s if span_s > 0 else math.nan


def _frame(rows: list[tuple[Any, ...]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    times = dict.fromkeys(("first_unix_s", "last_unix_s", "rate_per_s"), float)
    return frame.astype({"count": int, **times}).sort_values(
        ["count", "source", "template"], ascending=[False, True, True], ignore_index=True
    )
