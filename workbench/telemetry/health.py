"""
Health: is the server fit to hold conversations at this moment? For health checks of containers.

It is asked every few seconds, so this file imports redis-py and nothing heavier: no pandas, and
not the state layer. It passes on no text of the server's or of the URL, and so needs no redaction:
what was answered is told by the first word of an error, in this file's own words.
"""

import re
import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar
from urllib.parse import urlsplit

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ConnectionError,
    InvalidResponse,
    RedisError,
    ResponseError,
    TimeoutError,
)
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

from workbench.errors import UsageError
from workbench.telemetry.host import container_limit_bytes, process_of_server
from workbench.units import format_bytes, format_duration, format_share

__all__ = ["ACL_LINE", "ACL_LINE_PROBE", "PROBE_PREFIX", "Check", "Checkup", "check_health"]

PROBE_PREFIX: Final = "wb:health:"
"""How the key of a write probe begins."""

ACL_LINE: Final = "ACL SETUSER health on >changeme resetkeys resetchannels -@all +ping +info"
"""The least that the user of a health check must be allowed."""

ACL_LINE_PROBE: Final = f"{ACL_LINE} ~{PROBE_PREFIX}* +set +get +del"
"""The same, where a write is tried as well."""

Verdict = Literal["pass", "fail", "unknown", "not applicable"]

# The first word of an error reply, and what it means here.
_MEANING: Final = {
    "MISCONF": "it refuses writes: its disk is full or failing",
    "LOADING": "it is loading its data",
    "NOAUTH": "it asks for a password, and the URL has none",
    "WRONGPASS": "it knows no such user, or not with this password",
    "NOPERM": "the user may not ask that: see the ACL line of the how-to",
    "MASTERDOWN": "it is a replica that has lost its primary",
    "READONLY": "it is a replica, and takes no writes",
    "OOM": "it refuses writes: its memory is full, and nothing may be evicted",
    "NOREPLICAS": "it refuses writes: too few replicas are in step",
    "BUSY": "a script keeps it busy",
    "DENIED": "it is in protected mode, and lets in this machine alone",
    "CLUSTERDOWN": "its cluster is down",
}
_PROBE_TTL_S: Final = 10

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: what came out, in words."""

    name: str
    verdict: Verdict
    says: str


@dataclass(frozen=True, slots=True)
class Checkup:
    """
    What was found.

    Attributes:
        server: host and port, or the path of its socket.
        status: ``healthy``, ``unhealthy``, ``unreachable``; ``unknown`` if nothing failed, and
            something cannot be told.
        checks: in the order in which they were made.
    """

    server: str
    status: Literal["healthy", "unhealthy", "unreachable", "unknown"]
    checks: tuple[Check, ...]

    @property
    def exit_code(self) -> int:
        """The exit code of the command for it."""
        return {"healthy": 0, "unhealthy": 1, "unknown": 3, "unreachable": 4}[self.status]

    @property
    def reasons(self) -> list[str]:
        """Why it is not healthy; empty if it is."""
        wrong = [each for each in self.checks if each.verdict == "fail"]
        wrong = wrong or [each for each in self.checks if each.verdict == "unknown"]
        return [each.says for each in wrong]


class _RefusedError(Exception):
    """The server answered by an error; the text is ours."""


class _UnreachableError(Exception):
    """Nothing answered; the text is ours."""


def check_health(
    url: str,
    *,
    timeout_s: float = 2.0,
    memory_share_max: float = 0.95,
    rewrite_failures_max: int = 3,
    limit_bytes: int | None = None,
    write_probe: bool = False,
) -> Checkup:
    """
    Ask a server by PING and INFO whether it is well; see ``Checkup``.

    Args:
        url: of one server.
        timeout_s: for connecting, and for each reply, s.
        memory_share_max: of the cap of a server that refuses writes when it is full, and of its
            container's limit: more is unhealthy.
        rewrite_failures_max: AOF rewrites that may not fail one after another.
        limit_bytes: memory of its container; as its host shows if None, if it runs on this one.
        write_probe: also write, read and delete a key of our own, which expires after 10 s.

    Raises:
        UsageError: the URL is none of a server.
    """
    client, server = _client(url, timeout_s)
    checks: list[Check] = []
    try:
        with client:
            checks += _pinged(client)
            checks += _looked_at(
                client,
                share_max=memory_share_max,
                failures_max=rewrite_failures_max,
                limit_bytes=limit_bytes,
            )
            if write_probe:
                checks.append(_written(client))
    except _UnreachableError as error:
        nobody = not checks
        checks.append(Check("answer", "fail", f"{server} {error}"))
        if nobody:
            return Checkup(server, "unreachable", tuple(checks))
    verdicts = {check.verdict for check in checks}
    if "fail" in verdicts:
        return Checkup(server, "unhealthy", tuple(checks))
    return Checkup(server, "unknown" if "unknown" in verdicts else "healthy", tuple(checks))


def _client(url: str, timeout_s: float) -> tuple[Redis, str]:
    try:
        parts = urlsplit(url)
        port = parts.port or 6379
        client = Redis.from_url(
            url,
            protocol=2,  # no HELLO, which a server before 6.0 does not know
            decode_responses=True,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),
            # Both are answered with an error by Redis 7.0, which would count in its errorstats.
            driver_info=None,
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
        )
    except ValueError:
        raise _nonsense() from None  # the error's text has parts of the URL
    if parts.scheme == "unix":
        return client, parts.path
    if parts.scheme not in {"redis", "rediss"} or not parts.hostname:
        client.close()
        raise _nonsense()
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return client, f"{host}:{port}"


def _nonsense() -> UsageError:
    return UsageError(
        "the URL is not one of a single server; write redis://HOST:PORT/0, with NAME:WORD@ before "
        "HOST where there is a login, and in these each of / ? # @ : % written as %2F %3F %23 %40 "
        "%3A %25"
    )


def _answer(ask: Callable[[], _T]) -> _T:
    """What the server answers; ``_RefusedError`` for an error, ``_UnreachableError`` for none."""
    try:
        return ask()
    except (BusyLoadingError, AuthenticationError, ResponseError) as error:
        raise _RefusedError(_meaning(error)) from None
    except InvalidResponse:
        raise _RefusedError("what answers there does not speak the protocol of Redis") from None
    except TimeoutError:
        raise _UnreachableError("did not answer in time") from None
    except ConnectionError as error:
        if "max number of clients" in str(error):
            raise _RefusedError("it lets no further client in: maxclients is reached") from None
        raise _UnreachableError(_unreachable(error)) from None
    except RedisError:
        raise _RefusedError("it answered what no client understands") from None
    except UnicodeError:
        raise _RefusedError("it answered by bytes that are no text") from None


def _meaning(error: RedisError) -> str:
    code = str(getattr(error, "status_code", None) or str(error).partition(" ")[0])
    if not re.fullmatch(r"[A-Z]{2,20}", code):
        code = "ERR"
    return f"{_MEANING.get(code, 'it answered by an error')} ({code})"


def _unreachable(error: ConnectionError) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, socket.gaierror | OSError) and cause.strerror:
            return f"cannot be reached: {cause.strerror}"
        cause = cause.__cause__ or cause.__context__
    return "closed the connection without an answer, as a server does at its maxclients"


def _pinged(client: Redis) -> list[Check]:
    ask: Any = client.execute_command  # ping() says False for whatever else is answered
    try:
        reply: object = _answer(lambda: ask("PING"))
    except _RefusedError as error:
        return [Check("ping", "fail", f"PING is not answered by PONG: {error}")]
    if reply not in (True, "PONG"):
        return [Check("ping", "fail", "PING is answered, but not by PONG")]
    return [Check("ping", "pass", "PING is answered by PONG")]


def _looked_at(
    client: Redis, *, share_max: float, failures_max: int, limit_bytes: int | None
) -> list[Check]:
    try:
        info: dict[str, Any] = _answer(client.info)
    except _RefusedError as error:
        return [Check("info", "unknown", f"INFO is refused: {error}")]
    if limit_bytes is None and (process := process_of_server(client.connection_pool, info)):
        limit_bytes = container_limit_bytes(process)
    return [
        _loading(info),
        _persistence(info, failures_max),
        _cap(info, share_max),
        _limit(info, limit_bytes, share_max),
    ]


def _loading(info: dict[str, Any]) -> Check:
    if "loading" not in info:
        return Check("loading", "unknown", "INFO does not say whether it is loading")
    if not info["loading"]:
        return Check("loading", "pass", "its data is loaded")
    left = info.get("loading_eta_seconds")
    more = f"; about {format_duration(left)} are left" if isinstance(left, int | float) else ""
    return Check("loading", "fail", f"it is loading its data{more}")


def _persistence(info: dict[str, Any], failures_max: int) -> Check:
    name = "persistence"
    if "aof_enabled" not in info:
        return Check(name, "unknown", "INFO does not say whether it keeps an AOF")
    if not info["aof_enabled"]:
        return Check(name, "not applicable", "it keeps no AOF")
    if info.get("aof_last_write_status", "ok") != "ok":
        return Check(name, "fail", "its last write to the AOF failed: the disk is full or failing")
    if info.get("aof_last_bgrewrite_status", "ok") == "ok":
        return Check(name, "pass", "its AOF is written and rewritten")
    # One failure is no reason to restart a container that serves: the next may succeed. After
    # three Redis itself waits 1 minute, then 2, 4, up to 60 (AOF_REWRITE_LIMITE_THRESHOLD, aof.c).
    failures = info.get("aof_rewrites_consecutive_failures")
    if failures is None:
        return Check(name, "fail", "its last AOF rewrite failed")
    verdict: Verdict = "fail" if failures >= failures_max else "pass"
    return Check(name, verdict, f"its AOF is written, but its last {failures} rewrites failed")


def _cap(info: dict[str, Any], share_max: float) -> Check:
    name = "memory-cap"
    cap, policy = info.get("maxmemory"), str(info.get("maxmemory_policy", ""))
    if not isinstance(cap, int) or not isinstance(info.get("used_memory"), int):
        return Check(name, "unknown", "INFO does not tell its memory")
    if not cap:
        return Check(name, "not applicable", "it has no maxmemory")
    refuses = policy == "noeviction" or (policy.startswith("volatile-") and not _expiring(info))
    if not refuses:
        return Check(name, "not applicable", f"a full cap is no harm: it evicts ({policy})")
    counted = info["used_memory"] - int(info.get("mem_not_counted_for_evict", 0))
    says = f"{format_share(counted / cap)} of maxmemory is used ({policy})"
    if counted > share_max * cap:
        return Check(name, "fail", f"{says}: a full server refuses every write")
    return Check(name, "pass", says)


def _expiring(info: dict[str, Any]) -> int:
    databases = [v for k, v in info.items() if k[:2] == "db" and k[2:].isdigit()]
    return sum(int(each["expires"]) for each in databases)


def _limit(info: dict[str, Any], limit_bytes: int | None, share_max: float) -> Check:
    name = "memory-limit"
    if not limit_bytes:
        return Check(name, "not applicable", "no memory limit of its container shows or was given")
    resident = info.get("used_memory_rss")
    if not isinstance(resident, int):
        return Check(name, "unknown", "INFO does not tell its resident memory")
    says = f"{format_bytes(resident)} of its container's {format_bytes(limit_bytes)} are resident"
    if resident > share_max * limit_bytes:
        return Check(name, "fail", f"{says}: beyond it the kernel kills the server")
    return Check(name, "pass", says)


def _written(client: Redis) -> Check:
    name = "write"
    key, token = f"{PROBE_PREFIX}{secrets.token_hex(8)}", secrets.token_hex(8)
    try:
        _answer(lambda: client.set(key, token, ex=_PROBE_TTL_S))
        found: object = _answer(lambda: client.get(key))
        _answer(lambda: client.delete(key))
    except _RefusedError as error:
        return Check(name, "fail", f"a key cannot be written, read and deleted: {error}")
    if found != token:
        return Check(name, "fail", "what was written a moment ago is not what is read")
    return Check(name, "pass", "a key was written, read and deleted")
