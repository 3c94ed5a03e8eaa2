"""What a server's log says: its lines, and its AOF rewrites, to the millisecond."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

__all__ = ["LogLine", "RewriteSpan", "log_line", "logged_rewrites"]

# 2866:M 23 Nov 2026 08:50:24.908 * Background append only file rewriting started by pid 2871
# A collector of logs puts words of its own before it: redis-state-1  | 1:M 23 Nov 2026 …
_LINE = re.compile(
    r"(?:^|[\s|])\d+:[MCSX] (?P<time>\d+ \w{3} \d{4} \d\d:\d\d:\d\d\.\d{3}) "
    r"(?P<level>[.\-*#]) (?P<text>.*)"
)
_LEVELS = {".": "debug", "-": "verbose", "*": "notice", "#": "warning"}
_STARTED = "Background append only file rewriting started by pid"
_REFUSED = "Can't rewrite append only file in background: fork"
_SUCCEEDED = "Background AOF rewrite finished successfully"
# "terminated with success" is the child's end only: the parent has still to put its file in place.
_FAILED = re.compile(
    r"Background AOF rewrite (?:terminated (?!with success)|signal handler)"
    r"|Error trying to rename the temporary AOF|Can't .*AOF"
)
_COW = re.compile(r"Fork CoW for AOF rewrite: current (?P<mb>\d+) MB")


@dataclass(frozen=True, slots=True)
class LogLine:
    """
    One line of a server's log.

    Attributes:
        unix_s: when, if the server was started with ``TZ=UTC``: the log names no zone.
        level: ``debug``, ``verbose``, ``notice`` or ``warning``.
        text: what it says.
    """

    unix_s: float
    level: str
    text: str


def log_line(line: str) -> LogLine | None:
    """The line, taken apart; None for one that is not the log's own, such as a crash report's."""
    match = _LINE.search(line)
    if match is None:
        return None
    return LogLine(_unix_s(match["time"]), _LEVELS[match["level"]], match["text"])


@dataclass(frozen=True, slots=True)
class RewriteSpan:
    """
    One AOF rewrite, from its fork to the parent's last word on it.

    Attributes:
        unix_s, duration_s: when, and how long.
        outcome: ``ok``, ``err``, or ``open`` if the log ends before it did.
        detail: the child's own account of the memory it copied, if it gave one; what went wrong.
    """

    unix_s: float
    duration_s: float
    outcome: str
    detail: str = ""


def logged_rewrites(log: str, *, end_unix_s: float) -> Iterator[RewriteSpan]:
    """
    The AOF rewrites in a server's log, in the order of time.

    Args:
        log: its text. The server must have been started with ``TZ=UTC``: the log names no zone.
        end_unix_s: until when a rewrite that is still open is drawn.

    Source:
        Messages of Redis 7.0.15 and Valkey 9.1.2. Polling ``aof_rewrite_in_progress`` at 5 Hz
        misses most rewrites of a small server: they last 0.1 to 0.2 s.
    """
    started: float | None = None
    detail = ""
    for line in log.splitlines():
        found = log_line(line)
        if found is None:
            continue
        text, unix_s = found.text, found.unix_s
        if text.startswith(_STARTED):
            if started is not None:
                # One server rewrites once at a time: the first ended in a way that left no line,
                # as when the server was killed and started again on the same log.
                yield RewriteSpan(started, unix_s - started, "err", "the log does not say its end")
            started, detail = unix_s, ""
        elif text.startswith(_REFUSED):
            yield RewriteSpan(unix_s, 0.0, "err", text)
        elif started is None:
            continue
        elif cow := _COW.search(text):
            detail = f"copy-on-write {cow['mb']} MB"
        elif text.startswith(_SUCCEEDED):
            yield RewriteSpan(started, unix_s - started, "ok", detail)
            started = None
        elif _FAILED.search(text):
            yield RewriteSpan(started, unix_s - started, "err", text)
            started = None
    if started is not None:
        yield RewriteSpan(started, max(0.0, end_unix_s - started), "open", detail)


def _unix_s(text: str) -> float:
    return datetime.strptime(text, "%d %b %Y %H:%M:%S.%f").replace(tzinfo=UTC).timestamp()
