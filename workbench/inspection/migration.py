"""A conversation is given a head and the present schema; its time to live goes on as it was."""

from typing import Final, Literal

from redis import Redis
from redis.exceptions import RedisError, WatchError

from workbench.inspection.stored import GONE, Kind, asked_for, made_out
from workbench.state import document as documents
from workbench.state.errors import ConflictError, store_error
from workbench.state.head import Head, name_of, new_update_id

__all__ = ["MIGRATED", "Outcome", "migrate"]

MIGRATED: Final[frozenset[Kind]] = frozenset({"headless", "older"})
"""What is migrated."""

Outcome = Literal["migrated", "written meanwhile", "without a time to live", "gone"] | Kind
"""
What became of it. ``written meanwhile``: somebody else has given it both. A kind: it is left alone,
since it is of that kind by now.
"""

_TRIES_MAX: Final = 10


def migrate(client: Redis, key: bytes, *, ttl_s: float | None = None) -> Outcome:
    """
    Migrate what lies there now, in one atomic step; what was seen there before counts for nothing.

    Args:
        client: of the server.
        key: the conversation.
        ttl_s: for one that has no time to live, which without this is left alone.

    Raises:
        InvalidStateError: with a head it is too large.
        ConflictError: others wrote it again and again.
        StateError: the server refuses, or does not answer.
    """
    written = b""
    for _ in range(_TRIES_MAX):
        try:
            with client.pipeline(transaction=True) as pipe:
                pipe.watch(key)  # type: ignore[no-untyped-call]
                text: bytes = pipe.execute_command(*asked_for(key), NEVER_DECODE=True)  # type: ignore[no-untyped-call]
                ttl_ms: int = pipe.pttl(key)
                if ttl_ms == GONE:
                    return "gone"
                kind = made_out(text, ttl_ms).kind
                if text == written:  # the reply was lost
                    return "migrated"
                if kind == "sound":
                    return "written meanwhile"
                if kind not in MIGRATED:
                    return kind
                if ttl_ms < 0 and ttl_s is None:
                    return "without a time to live"
                written = _migrated(text)
                pipe.multi()
                if ttl_ms < 0 and ttl_s is not None:
                    pipe.set(key, written, px=round(1000 * ttl_s), xx=True)  # workbench: raw
                else:
                    pipe.set(key, written, keepttl=True, xx=True)  # workbench: raw
                return "migrated" if pipe.execute()[0] else "gone"
        except WatchError:
            continue
        except RedisError as error:
            if "WRONGTYPE" in str(error):
                return "no conversation"
            # Without its text, in which the key and the value stand.
            raise store_error(error) from None
    raise ConflictError("others wrote it all the time; try again")


def _migrated(text: bytes) -> bytes:
    head = Head.of(text)
    body = documents.encode(documents.decode(text, foreign=not head.text))
    return head.followed_by(body, name_of(new_update_id()))[1]
