"""connect: the documented client settings, in their modern form."""

from redis import Redis
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

__all__ = ["connect"]


def connect(url: str, *, timeout_s: float = 1.0, max_connections: int = 50) -> Redis:
    """
    A client with one connection pool, decoded replies and bounded waits.

    The documented ``retry_on_timeout=True`` is gone from redis-py 8; and its default of ten
    silent retries applies a write twice when only the reply was lost (60 of 1000 INCR at 5 % lost
    replies, redis-py 8.1). So the client itself never retries; ``RetryPolicy`` does, and knows
    what it may repeat.

    Args:
        url: ``redis://`` or ``rediss://``.
        timeout_s: for connecting, and for each reply, s.
        max_connections: size of the pool.
    """
    return Redis.from_url(
        url,
        decode_responses=True,
        health_check_interval=30,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        max_connections=max_connections,
        retry=Retry(NoBackoff(), 0),
        # Both are answered with an error by Redis 7.0, which would count in its errorstats.
        driver_info=None,
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
    )
