"""
What may be loaded: a server that we started, or one that is plainly nobody's.

The look is read-only. Only a target that passed it is marked, and only a marked or empty one is
loaded. The mark is an empty Function library, not a key: under an allkeys policy a key would be
evicted with the rest.
"""

import ipaddress
import socket
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from redis import Redis
from redis.exceptions import RedisError

from workbench.errors import ServerNotReadyError, TargetRefusedError, UsageError
from workbench.flows.model import IDENTIFIER_PREFIX
from workbench.state import connect, redact

__all__ = ["KEY_PREFIX", "Target", "admit", "inspect_target", "mark", "parse_target"]

KEY_PREFIX: Final = f"channel:{IDENTIFIER_PREFIX}"
"""How every key of our load begins. A key that begins otherwise is somebody else's."""

_MARK: Final = "workbench_sandbox"
_MARK_CODE: Final = (
    f"#!lua name={_MARK}\n"
    f"redis.register_function{{function_name='{_MARK}', callback=function() return 1 end, "
    "flags={'no-writes'}}"
)
_LOOKS: Final = 32


@dataclass(frozen=True, slots=True)
class Target:
    """
    A server that somebody named, as it was found.

    Attributes:
        url: with its password taken out, for messages and records.
        objections: why it may not be loaded, a sentence each; empty if it may.
        marked: it was loaded by the workbench before.
        ownable: the objections fall if somebody answers for the server by naming it.
    """

    url: str
    objections: tuple[str, ...] = field(default=())
    marked: bool = False
    ownable: bool = False


def inspect_target(url: str, *, i_own: str = "") -> Target:
    """
    Look at a server by read-only commands: INFO, FUNCTION LIST, RANDOMKEY.

    Args:
        url: of the server.
        i_own: its ``host:port``, from somebody who answers for it: then it may be another host's,
            and may have replicas. Nothing else is waived; foreign keys never are.

    Raises:
        TargetRefusedError: the URL makes no sense.
        UsageError: ``i_own`` does not name this server.
        ServerNotReadyError: nothing answers there, or not to this user.
    """
    far = _address_objections(url)
    owned = bool(i_own) and _is_named(url, i_own)
    if far and not owned:
        return Target(redact(url), tuple(far), ownable=True)  # not even a connection is made
    with connect(url, timeout_s=5.0) as client:
        try:
            return _look(client, redact(url), owned=owned)
        except RedisError as error:
            raise ServerNotReadyError(
                f"{redact(url)} cannot be looked at: {redact(str(error))}"
            ) from None


def admit(url: str, *, i_own: str = "") -> Target:
    """
    The target, if it may be loaded.

    Args:
        url: of the server.
        i_own: its ``host:port``, from somebody who answers for it; see ``inspect_target``.

    Raises:
        TargetRefusedError: it may not; the message says why, and what to do.
        UsageError: ``i_own`` does not name this server.
        ServerNotReadyError: nothing answers there, or not to this user.
    """
    target = inspect_target(url, i_own=i_own)
    if target.objections:
        reasons = "\n".join(f"  - {objection}" for objection in target.objections)
        owner = (
            f"If it is yours, and nobody else's, name it in full: --i-own {_host_port(url)}\n"
            if target.ownable
            else ""
        )
        raise TargetRefusedError(
            f"{target.url} is not loaded:\n{reasons}\n{owner}"
            "Leave out --url and REDIS_STATE_URL to have a private server started, or name an "
            "empty server on this machine:\n"
            "  redis-server --port 7777 --save ''\n"
            "  workbench run --url redis://127.0.0.1:7777"
        )
    return target


def mark(client: Redis) -> None:
    """Leave the mark that says: this server is a sandbox of the workbench."""
    client.function_load(_MARK_CODE, replace=True)


def parse_target(url: str) -> SplitResult:
    """
    The parts of a server's URL.

    Raises:
        TargetRefusedError: it makes no sense.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port  # looked at when it is asked for
    except ValueError:
        # The error's own text has parts of the URL, and so perhaps of a password.
        raise _nonsense(
            url,
            ": in a login each of / ? # @ : % is written as %2F %3F %23 %40 %3A %25",
        ) from None
    if parts.path.strip("/") and not parts.path.strip("/").isdecimal():
        raise _nonsense(url, ": what stands after the port is the number of a database")
    try:
        Redis.from_url(url).close()  # connects to nothing: it has the options after ? looked at
    except ValueError as error:
        raise _nonsense(url, f": {redact(str(error))}") from None
    if parts.scheme not in {"redis", "rediss"} or not parts.hostname:
        raise _nonsense(url)
    return parts


def _address_objections(url: str) -> list[str]:
    parts = parse_target(url)
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port or 6379, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise TargetRefusedError(f"{redact(url)} does not resolve: {error}") from None
    addresses = {str(entry[4][0]) for entry in found}
    far = sorted(a for a in addresses if not ipaddress.ip_address(a.split("%")[0]).is_loopback)
    if far:
        where = "" if far == [parts.hostname] else f" ({', '.join(far)})"
        return [f"{parts.hostname}{where} is not this machine's loopback"]
    return []


def _host_port(url: str) -> str:
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{host}:{parts.port or 6379}"


def _is_named(url: str, i_own: str) -> bool:
    if i_own != _host_port(url):
        raise UsageError(
            f"--i-own {redact(i_own)!r} does not name the server of the URL; write it in full: "
            f"--i-own {_host_port(url)}"
        )
    return True


def _nonsense(url: str, why: str = "") -> TargetRefusedError:
    return TargetRefusedError(
        f"{redact(url)!r} is not the URL of a server{why}; write redis://127.0.0.1:6379"
    )


def _look(client: Redis, url: str, *, owned: bool) -> Target:
    info = client.info()
    objections = []
    version = str(info.get("redis_version", "unknown"))
    major = version.partition(".")[0]
    if not major.isdecimal() or int(major) < 7:
        objections.append(f"it is version {version}; the workbench needs 7.0")
    if info.get("role") != "master":
        objections.append(f"its role is {info.get('role')}: it is somebody's replica")
    if info.get("cluster_enabled"):
        objections.append("it is a node of a cluster")
    ownable = not objections
    if info.get("connected_slaves") and not owned:
        objections.append(f"it has {info['connected_slaves']} replicas")
    if objections:
        return Target(url, tuple(objections), ownable=ownable)
    marked = bool(client.function_list(library=_MARK))
    keys = {name: db["keys"] for name, db in client.info("keyspace").items()}
    chosen = f"db{client.connection_pool.connection_kwargs.get('db') or 0}"
    if keys and not marked:
        total = sum(keys.values())
        objections.append(f"it holds {total} keys and does not carry the workbench's mark")
    elif keys.keys() - {chosen}:
        objections.append(f"it holds keys in other databases: {', '.join(sorted(keys))}")
    elif keys:
        foreign = _foreign_keys(client)
        if foreign:
            objections.append(
                f"it carries the workbench's mark, but {foreign} of {_LOOKS} keys looked at are "
                "not the workbench's"
            )
    return Target(url, tuple(objections), marked)


def _foreign_keys(client: Redis) -> int:
    pipe: Any = client.pipeline(transaction=False)
    for _ in range(_LOOKS):
        pipe.execute_command("RANDOMKEY", NEVER_DECODE=True)  # a foreign key may be no UTF-8
    ours = KEY_PREFIX.encode()
    return sum(key is not None and not key.startswith(ours) for key in pipe.execute())
