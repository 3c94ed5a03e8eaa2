"""
The board: what one look after another at a server shows, as values, rows of text, and one line.

Pure: from the replies to INFO and PING to what a person reads. It asks no server and knows no
terminal. A counter that went back gives no rate, and what a server does not tell is None, and never
0.
"""

import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from workbench.units import format_bytes, format_count, format_duration, format_rate, format_share

__all__ = [
    "KEPT",
    "Aof",
    "Board",
    "Boards",
    "Reading",
    "Row",
    "bar",
    "clock",
    "head",
    "line",
    "rows",
    "sparkline",
]

KEPT: Final = 60
"""How many looks a sparkline shows."""

_WINDOW_S: Final = 10.0
_BUSIEST: Final = 3
_NUMBER_MAX: Final = 2**63
_RESIDENT_SHARE_MAX: Final = 0.9
_SPARKS: Final = "▁▂▃▄▅▆▇"  # not to the top: the rows would run into each other
_EIGHTHS: Final = " ▏▎▍▌▋▊▉"


@dataclass(frozen=True, slots=True)
class Reading:
    """
    What came of one look.

    Attributes:
        unix_s: when.
        info: INFO everything; None if the server did not answer.
        ping_us: from PING to its reply, as this client saw it.
        refused: with which error it answered PING, by prefix, such as MISCONF; empty if with none.
        error: why it did not answer.
    """

    unix_s: float
    info: Mapping[str, Any] | None = None
    ping_us: float | None = None
    refused: str = ""
    error: str = ""


class Aof(msgspec.Struct, frozen=True, kw_only=True):
    """The AOF at one look; sizes in B, by Redis's own names."""

    aof_current_size: int | None
    aof_base_size: int | None
    aof_last_cow_size: int | None
    rewriting_s: int | None
    """Since the rewrite that goes on began; None if none does."""
    delayed_fsyncs: int | None
    """Since the watch began."""
    last_write_ok: bool
    last_rewrite_ok: bool


class Board(msgspec.Struct, frozen=True, kw_only=True):
    """
    One look at a server, and what changed since the one before.

    Rates are None at the first look, after a restart, and where a counter went back.

    Attributes:
        unix_s: when.
        answered: whether the server did; else all below is as it was last seen, without rates.
        error: why it did not.
        silent_s: for how long it has not.
        restarted: it is another process than at the look before.
        server: engine and version.
        hits_share: reads that found their key, of the last ten seconds.
        p99_us: of the commands with the most calls, since the server's start or its last reset.
        ping_us, ping_us_worst: round trip of a PING, as this client saw it; the worst kept.
        ping_refused: the prefix of the error that PING was answered with; empty if with none.
        client_bytes: memory of ordinary clients' buffers.
        errors_per_s: error replies by prefix, those that came since the look before.
    """

    unix_s: float
    answered: bool = True
    error: str = ""
    silent_s: float = 0.0
    restarted: bool = False
    server: str = ""
    run_id: str = ""
    uptime_s: int | None = None
    loading: bool = False
    used_memory: int | None = None
    used_memory_rss: int | None = None
    maxmemory: int | None = None
    maxmemory_policy: str = ""
    evicted_per_s: float | None = None
    expired_per_s: float | None = None
    hits_share: float | None = None
    commands_per_s: float | None = None
    p99_us: dict[str, float] = {}
    ping_us: float | None = None
    ping_us_worst: float | None = None
    ping_refused: str = ""
    aof: Aof | None = None
    fork_us: int | None = None
    forks: int | None = None
    clients: int | None = None
    blocked: int | None = None
    client_bytes: int | None = None
    errors_per_s: dict[str, float] = {}


class Boards:
    """The last looks at one server; ``take`` each reading."""

    def __init__(self) -> None:
        self._boards: deque[Board] = deque(maxlen=KEPT)
        self._readings: deque[Reading] = deque(maxlen=KEPT)  # of one life of the server
        self._answered_s: float | None = None
        self._fsyncs = 0

    @property
    def last(self) -> Board:
        """The latest."""
        return self._boards[-1]

    def trail(self, name: str) -> list[float | None]:
        """A field of the last looks; None where it is not known, as while it did not answer."""
        return [getattr(board, name) if board.answered else None for board in self._boards]

    def take(self, reading: Reading) -> Board:
        """Take a reading; the board that follows from it."""
        board = self._silent(reading) if reading.info is None else self._of(reading, reading.info)
        self._boards.append(board)
        return board

    def _silent(self, reading: Reading) -> Board:
        was = self._boards[-1] if self._boards else Board(unix_s=reading.unix_s)
        silent_s = reading.unix_s - (self._answered_s or reading.unix_s)
        # A rate over the gap would be one of a time in which nobody looked.
        return msgspec.structs.replace(
            was,
            unix_s=reading.unix_s,
            answered=False,
            error=reading.error,
            silent_s=max(0.0, silent_s),
            restarted=False,
            evicted_per_s=None,
            expired_per_s=None,
            hits_share=None,
            commands_per_s=None,
            ping_us=None,
            ping_refused="",
            errors_per_s={},
        )

    def _of(self, reading: Reading, info: Mapping[str, Any]) -> Board:
        before = self._readings[-1] if self._readings else None
        restarted = before is not None and _differ(before.info, info, "run_id")
        if restarted:
            self._readings.clear()
            before = None
        elif before is not None and _went_back(before.info, info):
            self._readings.clear()  # CONFIG RESETSTAT: the last ten seconds begin anew
        pings_us = [*(self.trail("ping_us")), reading.ping_us][-KEPT:]
        delayed = _grown(before, info, "aof_delayed_fsync")
        self._fsyncs += int(delayed or 0)
        self._readings.append(reading)
        self._answered_s = reading.unix_s
        return Board(
            unix_s=reading.unix_s,
            restarted=restarted,
            server=_server(info),
            run_id=str(info.get("run_id", "")),
            uptime_s=_number(info, "uptime_in_seconds"),
            loading=bool(info.get("loading")),
            used_memory=_number(info, "used_memory"),
            used_memory_rss=_number(info, "used_memory_rss"),
            maxmemory=_number(info, "maxmemory"),
            maxmemory_policy=str(info.get("maxmemory_policy", "")),
            evicted_per_s=_rate(before, reading, "evicted_keys"),
            expired_per_s=_rate(before, reading, "expired_keys"),
            hits_share=self._hits_share(reading),
            commands_per_s=_rate(before, reading, "total_commands_processed"),
            p99_us=_p99_us(before.info if before else None, info),
            ping_us=reading.ping_us,
            ping_us_worst=max((each for each in pings_us if each is not None), default=None),
            ping_refused=reading.refused,
            aof=_aof(info, self._fsyncs if "aof_delayed_fsync" in info else None),
            fork_us=_number(info, "latest_fork_usec"),
            forks=_number(info, "total_forks"),
            clients=_number(info, "connected_clients"),
            blocked=_number(info, "blocked_clients"),
            client_bytes=_number(info, "mem_clients_normal"),
            errors_per_s=_errors_per_s(before, reading),
        )

    def _hits_share(self, reading: Reading) -> float | None:
        info = reading.info or {}
        # The first look that is no older than the window; with a longer interval the one before.
        young = (each for each in self._readings if reading.unix_s - each.unix_s <= _WINDOW_S)
        start = next(young, reading)
        if start is reading and len(self._readings) > 1:
            start = self._readings[-2]
        hits, misses = (_grown(start, info, f"keyspace_{name}") for name in ("hits", "misses"))
        if hits is None or misses is None or not hits + misses:
            return None
        return hits / (hits + misses)


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """
    A row for people.

    Attributes:
        label: what it is about.
        text: the values, with units.
        share: of a bar, 0…1; None for a row without one.
        trail: for a sparkline; empty for a row without one.
        grave: whether it is bad news.
    """

    label: str
    text: str
    share: float | None = None
    trail: Sequence[float | None] = ()
    grave: bool = False


def rows(boards: Boards, *, limit_bytes: int | None = None, limit_source: str = "") -> list[Row]:
    """
    The rows of the latest board.

    Args:
        boards: with one or more.
        limit_bytes: memory of the server's container, or of its host, B; None if not known.
        limit_source: of the limit: ``given``, ``cgroup v2``, ``RAM`` …
    """
    now = boards.last
    found = [
        _memory(now, boards),
        _resident(now, boards, limit_bytes, limit_source),
        _rated("evictions", now.evicted_per_s, boards.trail("evicted_per_s"), grave=True),
        _rated("expiries", now.expired_per_s, boards.trail("expired_per_s")),
        Row(
            label="hits",
            text="no reads"
            if now.hits_share is None
            else f"{format_share(now.hits_share)} of reads in 10 s",
            trail=boards.trail("hits_share"),
        ),
        _rated("commands", now.commands_per_s, boards.trail("commands_per_s")),
        _p99(now),
        _ping(now, boards),
        *_aof_rows(now),
        _forks(now),
        _clients(now, boards),
        _errors(now),
    ]
    return [row for row in found if row is not None]


def head(board: Board) -> str:
    """The server, and since when it runs; or that it does not answer."""
    if not board.answered:
        return f"unreachable for {format_duration(board.silent_s)}: {board.error}"
    up = "" if board.uptime_s is None else f", up {_duration(board.uptime_s)}"
    return f"{board.server}{up}{', loading its data' if board.loading else ''}"


def line(board: Board) -> str:
    """The board in one line, for a log or a pipe."""
    if not board.answered:
        return f"{clock(board.unix_s)}  {head(board)}"
    cap = f"/{format_bytes(board.maxmemory)}" if board.maxmemory else ""
    parts = [
        clock(board.unix_s),
        *(["restarted"] if board.restarted else []),
        f"memory {_told(board.used_memory, format_bytes)}{cap}",
        f"resident {_told(board.used_memory_rss, format_bytes)}",
        f"evicted {_told(board.evicted_per_s, format_rate)}",
        f"expired {_told(board.expired_per_s, format_rate)}",
        f"hits {_told(board.hits_share, format_share)}",
        f"commands {_told(board.commands_per_s, format_rate)}",
        f"ping {board.ping_refused or _told(board.ping_us, _us)}",
    ]
    if board.aof:
        parts.append(f"aof {_told(board.aof.aof_current_size, format_bytes)}")
        if board.aof.rewriting_s is not None:
            parts.append(f"rewriting {_duration(board.aof.rewriting_s)}")
    parts.append(f"clients {_told(board.clients, _count)}")
    parts += [f"{name} {format_rate(rate)}" for name, rate in board.errors_per_s.items()]
    return "  ".join(parts)


def clock(unix_s: float) -> str:
    """The time of day, UTC."""
    return f"{datetime.fromtimestamp(unix_s, UTC):%H:%M:%S}"


def sparkline(values: Sequence[float | None], width: int) -> str:
    """
    The last values as text, one character each, from 0 to the largest; a blank where none is known.

    The latest stands at the right end.
    """
    shown = list(values)[-width:] if width > 0 else []
    top = max((each for each in shown if each is not None), default=0.0)
    return "".join(_spark(each, top) for each in shown).rjust(max(0, width))


def _spark(value: float | None, top: float) -> str:
    if value is None:
        return " "
    if top <= 0 or value <= 0:
        return _SPARKS[0]
    return _SPARKS[min(len(_SPARKS) - 1, math.ceil(value / top * (len(_SPARKS) - 1)))]


def bar(share: float, width: int) -> str:
    """A bar of so many characters, filled to the eighth of one; full above 1."""
    eighths = round(8 * width * min(1.0, max(0.0, share)))
    whole, part = divmod(eighths, 8)
    return ("█" * whole + (_EIGHTHS[part] if part else "")).ljust(width, "░")


def _memory(now: Board, boards: Boards) -> Row:
    used, cap = now.used_memory, now.maxmemory
    text = f"{_told(used, format_bytes)} used"
    if used is None or not cap:
        return Row(label="memory", text=f"{text}, no cap", trail=boards.trail("used_memory"))
    share = used / cap
    return Row(
        label="memory",
        text=f"{format_bytes(used)} of {format_bytes(cap)}, {format_share(share)} of the cap",
        share=share,
        trail=boards.trail("used_memory"),
    )


def _resident(now: Board, boards: Boards, limit_bytes: int | None, source: str) -> Row:
    resident = now.used_memory_rss
    text = f"{_told(resident, format_bytes)} resident"
    if resident is None or not limit_bytes:
        text = f"{text}; limit unknown, see --limit"
        return Row(label="resident", text=text, trail=boards.trail("used_memory_rss"))
    share = resident / limit_bytes
    return Row(
        label="resident",
        text=f"{format_bytes(resident)} of {format_bytes(limit_bytes)} {source}, "
        f"{format_share(share)}",
        share=share,
        trail=boards.trail("used_memory_rss"),
        grave=share > _RESIDENT_SHARE_MAX,
    )


def _rated(
    label: str, rate: float | None, trail: Sequence[float | None], *, grave: bool = False
) -> Row:
    text = _told(rate, format_rate)
    return Row(label=label, text=text, trail=trail, grave=grave and bool(rate))


def _p99(now: Board) -> Row:
    told = " · ".join(f"{name} {_us(each)}" for name, each in now.p99_us.items())
    return Row(
        label="p99",
        text=f"{told} (since start)" if told else "the server does not tell",
    )


def _ping(now: Board, boards: Boards) -> Row:
    if now.ping_refused:
        text = f"PING is answered by {now.ping_refused}"
    else:
        text = _told(now.ping_us, _us)
    worst = f", worst {_us(now.ping_us_worst)}" if now.ping_us_worst is not None else ""
    return Row(
        label="ping",
        text=f"{text}{worst}, seen by this client",
        trail=boards.trail("ping_us"),
        grave=bool(now.ping_refused),
    )


def _aof_rows(now: Board) -> list[Row]:
    aof = now.aof
    if aof is None:
        return [Row(label="aof", text="off")]
    base = _told(aof.aof_base_size, format_bytes)
    size = f"{_told(aof.aof_current_size, format_bytes)}, base {base}"
    if aof.rewriting_s is not None:
        size += f"; rewriting for {_duration(aof.rewriting_s)}"
    cow = f"latest rewrite copied {_told(aof.aof_last_cow_size, format_bytes)}"
    fsyncs = "" if aof.delayed_fsyncs is None else format_count(aof.delayed_fsyncs, "late fsync")
    failed = [] if aof.last_write_ok else ["the latest write FAILED"]
    failed += [] if aof.last_rewrite_ok else ["the latest rewrite FAILED"]
    more = "; ".join(filter(None, [*failed, cow, fsyncs]))
    grave = bool(failed) or bool(aof.delayed_fsyncs)
    return [Row(label="aof", text=size), Row(label="", text=more, grave=grave)]


def _forks(now: Board) -> Row | None:
    if now.fork_us is None:
        return None
    times = "" if now.forks is None else f", {format_count(now.forks, 'fork')} since its start"
    text = f"{_us(now.fork_us)} the latest{times}" if now.forks != 0 else "none yet"
    return Row(label="fork", text=text)


def _clients(now: Board, boards: Boards) -> Row:
    text = f"{_told(now.clients, _count)} connected, {_told(now.blocked, _count)} blocked"
    if now.client_bytes is not None:
        text += f", buffers {format_bytes(now.client_bytes)}"
    return Row(label="clients", text=text, trail=boards.trail("clients"))


def _errors(now: Board) -> Row:
    told = " · ".join(f"{name} {format_rate(rate)}" for name, rate in now.errors_per_s.items())
    return Row(label="errors", text=told or "none", grave=bool(told))


def _told(value: Any, form: Any) -> str:
    return "–" if value is None else str(form(value))


def _count(number: float) -> str:
    return f"{number:,}"


def _us(number: float) -> str:
    return format_duration(number / 1e6)


def _duration(seconds: float) -> str:
    """As a person says it: 40 s, 3 min, 5 h, 12 days."""
    for unit, length_s in (("days", 2 * 86_400), ("h", 2 * 3600), ("min", 120)):
        if seconds >= length_s:
            return f"{seconds // (length_s // 2):.0f} {unit}"
    return f"{seconds:.0f} s"


def _server(info: Mapping[str, Any]) -> str:
    engine = str(info.get("server_name", "redis"))
    return f"{engine} {info.get('valkey_version', info.get('redis_version', ''))}".strip()


def _number(info: Mapping[str, Any] | None, name: str) -> int | None:
    """A field that is a number and can be true: a server may tell nearly 2^64, for less than 0."""
    value = (info or {}).get(name)
    return int(value) if isinstance(value, int | float) and 0 <= value < _NUMBER_MAX else None


def _differ(before: Mapping[str, Any] | None, after: Mapping[str, Any], name: str) -> bool:
    return (before or {}).get(name) != after.get(name)


def _went_back(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> bool:
    name = "total_commands_processed"
    was, now = _number(before, name), _number(after, name)
    return was is not None and now is not None and now < was


def _grown(before: Reading | None, info: Mapping[str, Any], name: str) -> int | None:
    was = None if before is None else _number(before.info, name)
    now = _number(info, name)
    return None if was is None or now is None or now < was else now - was


def _rate(before: Reading | None, reading: Reading, name: str) -> float | None:
    grown = _grown(before, reading.info or {}, name)
    if grown is None or before is None or reading.unix_s <= before.unix_s:
        return None
    return grown / (reading.unix_s - before.unix_s)


def _family(info: Mapping[str, Any] | None, prefix: str) -> Iterable[tuple[str, dict[str, Any]]]:
    for name, values in (info or {}).items():
        if name.startswith(prefix) and isinstance(values, dict):
            yield name.removeprefix(prefix), values


def _p99_us(before: Mapping[str, Any] | None, info: Mapping[str, Any]) -> dict[str, float]:
    was = {name: values.get("calls", 0) for name, values in _family(before, "cmdstat_")}
    calls = {name: values.get("calls", 0) for name, values in _family(info, "cmdstat_")}
    # The busiest now; if nothing but this watch is at work, of all time.
    own = {"info", "ping"}
    now = {name: count - was.get(name, 0) for name, count in calls.items() if name not in own}
    if before is None or not any(count > 0 for count in now.values()):
        now = {name: count for name, count in calls.items() if name not in own}
    told = {}
    for name, values in _family(info, "latency_percentiles_usec_"):
        if now.get(name, 0) > 0 and "p99" in values:
            told[name] = float(values["p99"])
    busiest = sorted(told, key=lambda name: -now[name])[:_BUSIEST]
    return {name: told[name] for name in busiest}


def _aof(info: Mapping[str, Any], fsyncs: int | None) -> Aof | None:
    if not info.get("aof_enabled"):
        return None
    going = bool(info.get("aof_rewrite_in_progress"))
    since_s = _number(info, "aof_current_rewrite_time_sec") if going else None
    return Aof(
        aof_current_size=_number(info, "aof_current_size"),
        aof_base_size=_number(info, "aof_base_size"),
        aof_last_cow_size=_number(info, "aof_last_cow_size"),
        rewriting_s=(since_s or 0) if going else None,
        delayed_fsyncs=fsyncs,
        last_write_ok=info.get("aof_last_write_status", "ok") == "ok",
        last_rewrite_ok=info.get("aof_last_bgrewrite_status", "ok") == "ok",
    )


def _errors_per_s(before: Reading | None, reading: Reading) -> dict[str, float]:
    if before is None or reading.unix_s <= before.unix_s:
        return {}
    # INFO names those only that came up: what it did not name before grew from 0.
    was = {name: values.get("count", 0) for name, values in _family(before.info, "errorstat_")}
    found = {}
    for name, values in _family(reading.info, "errorstat_"):
        grown = values.get("count", 0) - was.get(name, 0)
        if grown > 0:
            found[name] = grown / (reading.unix_s - before.unix_s)
    return dict(sorted(found.items(), key=lambda pair: -pair[1]))
