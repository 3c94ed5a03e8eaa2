"""
connect: the documented client settings, in their modern form.

========================================  =====================================================
``redis://:password@host:6379/0``         one server
``rediss://...``                          the same over TLS
``redis+sentinel://h1:26379,h2/name/0``   the primary that sentinels name; ``rediss+sentinel``
``redis+cluster://h1:6379,h2:6379``       a cluster, from any of its nodes; ``rediss+cluster``
========================================  =====================================================

Settings of redis-py may follow a ``?``, such as ``?socket_timeout=5``. User and password are those
of the server; for sentinels that ask for some, ``sentinel_username`` and ``sentinel_password`` are
given there. TLS is used towards both.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from inspect import signature
from typing import Any, Final, Literal
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import pybreaker
from redis import Redis
from redis import asyncio as redis_asyncio
from redis.asyncio.cluster import ClusterNode as AsyncClusterNode
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.connection import URL_QUERY_ARGUMENT_PARSERS
from redis.exceptions import RedisClusterException, RedisError
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry
from redis.sentinel import Sentinel

from workbench.state.errors import StoreUnavailableError
from workbench.state.health import keep, new_breaker

__all__ = ["connect", "connect_async"]

_SCHEMES: Final = (
    "redis", "rediss", "unix",
    "redis+sentinel", "rediss+sentinel",
    "redis+cluster", "rediss+cluster",
)  # fmt: skip
_SETTINGS: Final = frozenset(signature(Redis.__init__).parameters)
_OF_SENTINELS: Final = frozenset({"sentinel_username", "sentinel_password"})
_PORTS: Final = {"sentinel": 26379, "cluster": 6379}


@dataclass(frozen=True, slots=True)
class _Address:
    """A URL of sentinels or of a cluster, taken apart."""

    kind: str
    nodes: list[tuple[str, int]]
    service: str
    settings: dict[str, Any]
    of_sentinels: dict[str, Any]


def connect(
    url: str,
    *,
    timeout_s: float = 1.0,
    max_connections: int = 50,
    breaker: pybreaker.CircuitBreaker | Literal["own"] | None = "own",
) -> Redis:
    """
    A client with one connection pool, decoded replies and bounded waits.

    The documented ``retry_on_timeout=True`` is gone from redis-py 8; and its default of ten
    silent retries applies a write twice when only the reply was lost (60 of 1000 INCR at 5 % lost
    replies, redis-py 8.1). So the client itself never retries; ``RetryPolicy`` does, and knows
    what it may repeat.

    Args:
        url: see above. Of a cluster a RedisCluster is returned, which has the same commands.
        timeout_s: for connecting, and for each reply, s.
        max_connections: size of the pool; of a cluster, of the pool of each node.
        breaker: of the state layer; without one, five failures in a row open it for a second at a
            time. None leaves it out.

    Raises:
        ValueError: the URL is none of the above.
        StoreUnavailableError: no node of the cluster answers; the other kinds connect at their
            first use.
    """
    settings = _settings(timeout_s, max_connections, Retry(NoBackoff(), 0))
    address = _address(url)
    client: Any
    if address is None:
        client = _of_url(Redis, url, settings)
    elif address.kind == "sentinel":
        own = _of_sentinels(settings) | address.of_sentinels
        sentinel = Sentinel(address.nodes, sentinel_kwargs=own)  # type: ignore[no-untyped-call]
        client = sentinel.master_for(address.service, **(settings | address.settings))  # type: ignore[no-untyped-call]
    else:
        nodes = [ClusterNode(host, port) for host, port in address.nodes]  # type: ignore[no-untyped-call]
        try:
            client = RedisCluster(startup_nodes=nodes, **(settings | address.settings))
        except (RedisError, RedisClusterException, OSError):
            raise StoreUnavailableError("no node of the cluster answers") from None
    keep(client, new_breaker() if breaker == "own" else breaker)
    return client  # type: ignore[no-any-return]


def connect_async(
    url: str,
    *,
    timeout_s: float = 1.0,
    max_connections: int = 50,
    breaker: pybreaker.CircuitBreaker | Literal["own"] | None = "own",
) -> "redis_asyncio.Redis":
    """Like ``connect``, for asyncio. It connects at its first use, a cluster's client as well."""
    settings = _settings(timeout_s, max_connections, AsyncRetry(NoBackoff(), 0))
    address = _address(url)
    client: Any
    if address is None:
        client = _of_url(redis_asyncio.Redis, url, settings)
    elif address.kind == "sentinel":
        own = _of_sentinels(settings) | address.of_sentinels
        sentinel = AsyncSentinel(address.nodes, sentinel_kwargs=own)  # type: ignore[no-untyped-call]
        client = sentinel.master_for(address.service, **(settings | address.settings))
    else:
        nodes = [AsyncClusterNode(host, port) for host, port in address.nodes]
        client = redis_asyncio.RedisCluster(startup_nodes=nodes, **(settings | address.settings))
    keep(client, new_breaker() if breaker == "own" else breaker)
    return client  # type: ignore[no-any-return]


def _of_url(kind: Any, url: str, settings: dict[str, Any]) -> Any:
    try:
        return kind.from_url(url, **settings)
    except ValueError:
        raise _unreadable() from None  # the error's text has parts of the URL


def _unreadable() -> ValueError:
    return ValueError(
        "the URL cannot be read; write redis://HOST:PORT/0, with NAME:WORD@ before HOST where "
        "there is a login, and in these each of / ? # @ : % written as %2F %3F %23 %40 %3A %25"
    )


def _settings(timeout_s: float, max_connections: int, retry: Any) -> dict[str, Any]:
    return {
        "decode_responses": True,
        "health_check_interval": 30,
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "max_connections": max_connections,
        "retry": retry,
        # Both are answered with an error by Redis 7.0, which would count in its errorstats.
        "driver_info": None,
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }


def _of_sentinels(settings: dict[str, Any]) -> dict[str, Any]:
    names = ("socket_timeout", "socket_connect_timeout", "retry", "driver_info")
    return {name: settings[name] for name in names} | {"decode_responses": True}


def _address(url: str) -> _Address | None:
    scheme, separator, _ = url.partition("://")
    if not separator or scheme not in _SCHEMES:
        raise ValueError(
            f"the URL begins with none of {', '.join(_SCHEMES)}; write redis://HOST:PORT"
        )
    base, _, kind = scheme.partition("+")
    try:
        parts = urlsplit(url)
        address = _parsed(kind, base, parts) if kind else None
    except ValueError:
        raise _unreadable() from None
    known = _SETTINGS | _OF_SENTINELS if kind == "sentinel" else _SETTINGS
    if not {name for name, _ in parse_qsl(parts.query, keep_blank_values=True)} <= known:
        raise ValueError(
            "after its ? the URL has a setting that redis-py does not know; a ? in a password is "
            "written %3F"
        )
    if address is None:
        database = parts.path.strip("/")
        if base != "unix" and database and not database.isdecimal():
            raise _unreadable()
        return None
    if kind == "sentinel" and not address.service:
        raise ValueError("the URL of sentinels ends with /<name of the service>")
    return address


def _parsed(kind: str, base: str, parts: SplitResult) -> _Address:
    login, _, hosts = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    service, _, database = parts.path.strip("/").partition("/")
    read: Mapping[str, Any] = URL_QUERY_ARGUMENT_PARSERS
    settings: dict[str, Any] = {
        name: read.get(name, str)(text)
        for name, text in parse_qsl(parts.query, keep_blank_values=True)
    }
    of_sentinels = {
        name.removeprefix("sentinel_"): settings.pop(name)
        for name in _OF_SENTINELS
        if name in settings
    }
    of_sentinels |= {name: settings[name] for name in settings if name.startswith("ssl_")}
    settings |= {"username": unquote(user)} if user else {}
    settings |= {"password": unquote(password)} if password else {}
    if base == "rediss":
        settings["ssl"] = of_sentinels["ssl"] = True
    if kind == "sentinel":
        settings |= {"db": int(database)} if database else {}
    nodes = []
    for host in hosts.split(","):
        name, _, port = (
            host.rpartition(":") if host.rpartition(":")[2].isdigit() else (host, "", "")
        )
        nodes.append((name.strip("[]"), int(port or _PORTS[kind])))
    return _Address(kind, nodes, service, settings, of_sentinels)
