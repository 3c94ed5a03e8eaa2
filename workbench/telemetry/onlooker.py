"""
Onlooker: the client that looks at a server, also at one that refuses everything else.

A server that cannot write to its disk, and one that loads, answer INFO, and refuse PING with
MISCONF or LOADING. redis-py sends a PING of its own on a connection that is new or was idle, so
that a client as handlers have it cannot look at the very servers that somebody asks about.
"""

from typing import Any

from redis import Redis

from workbench.state import connect

__all__ = ["onlooker"]


def onlooker(url: str, *, timeout_s: float, max_connections: int = 50) -> Redis:
    """
    A client that sends what it is told to, and no PING of its own.

    Args:
        url: of one server, ``redis://`` or ``rediss://``.
        timeout_s: for connecting, and for each reply, s.
        max_connections: size of the pool.

    Raises:
        ValueError: the URL is none.
    """
    client = connect(url, timeout_s=timeout_s, max_connections=max_connections, breaker=None)
    settings: dict[str, Any] = client.connection_pool.connection_kwargs
    settings["health_check_interval"] = 0
    return client
