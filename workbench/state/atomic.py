"""RedisAtomic: drives a transaction over a redis-py client."""

import sys
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any, TypeVar

from redis import Redis
from redis.exceptions import (
    BusyLoadingError,
    ConnectionError,
    RedisError,
    TimeoutError,
    WatchError,
)

from workbench.state import transactions as tx
from workbench.state.errors import StoreUnavailableError, store_error
from workbench.state.retry import RetryPolicy

__all__ = ["RedisAtomic"]

T = TypeVar("T")


class RedisAtomic:
    """
    One conversation, one atomic step: read it, or read, change and write it in one transaction.

    ``WATCH``, ``GET``, ``MULTI``, ``SET EX``, ``EXEC``: the read lies inside the watch, so a
    writer who comes between makes the transaction start again instead of being overwritten.

    Args:
        client: from ``connect``; decoded replies or raw ones.
        retry: how long to go on after lost races and lost connections.
    """

    def __init__(self, client: Redis, *, retry: RetryPolicy | None = None) -> None:
        self._client = client
        self._retry = retry or RetryPolicy()

    def read(self, key: str) -> tx.Document | None:
        """The document, or None; one round trip, never disturbed by writers."""
        return self._run(tx.read(key, retry=self._retry))

    def create(self, key: str, document: tx.Document, *, ttl_s: float) -> tx.Updated:
        """Write the document if there is none; else ConflictError."""
        return self._run(tx.create(key, document, ttl_s=ttl_s, retry=self._retry))

    def update(self, key: str, change: tx.Change, *, ttl_s: float) -> tx.Updated:
        """Read, change, write; StateMissingError if there is nothing to change."""
        return self._run(tx.update(key, change, ttl_s=ttl_s, retry=self._retry))

    def replace(
        self, key: str, change: Callable[[tx.Document | None], tx.Document], *, ttl_s: float
    ) -> tx.Updated:
        """Like ``update``, but ``change`` is given None where there is no conversation yet."""
        return self._run(tx.replace(key, change, ttl_s=ttl_s, retry=self._retry))

    def delete(self, key: str) -> bool:
        """Delete the conversation; False if there was none."""
        return self._run(tx.delete(key, retry=self._retry))

    def _run(self, transaction: tx.Transaction[T]) -> T:
        with closing(_Session(self._client)) as session:
            signal: Exception | None = None
            reply: Any = None
            while True:
                try:
                    step = transaction.throw(signal) if signal else transaction.send(reply)
                except StopIteration as end:
                    result: T = end.value
                    return result
                signal, reply = None, None
                try:
                    reply = session.carry_out(step)
                except (tx.NotSent, tx.Outpaced, tx.ReplyLost) as caught:
                    signal = caught


class _Session:
    """The connection of one transaction: a plain client, or a pipeline from Watch to Commit."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._pipe: Any = None

    def carry_out(self, step: tx.Step) -> Any:
        if isinstance(step, tx.Pause):
            self.close()
            time.sleep(step.seconds)
            return None
        if isinstance(step, tx.Commit):
            return self._commit(step)
        try:
            if isinstance(step, tx.Watch):
                self.close()
                self._pipe = self._client.pipeline()
                return self._pipe.watch(step.key)
            # As bytes: a foreign value that is no UTF-8 is then refused by the document's decoder.
            reader = self._client if self._pipe is None else self._pipe
            return reader.execute_command("GET", step.key, NEVER_DECODE=True)
        except WatchError as error:
            # The reply to the GET after WATCH was lost: nothing has been written yet.
            raise tx.NotSent(StoreUnavailableError("the connection was lost")) from error
        except RedisError as error:
            raise tx.NotSent(store_error(error)) from error

    def _commit(self, step: tx.Commit) -> None:
        pipe = self._pipe
        assert pipe is not None, "a Commit follows a Watch"
        pipe.multi()
        if step.text is None:
            pipe.delete(step.key)
        else:
            pipe.set(step.key, step.text, px=round(step.ttl_s * 1000))
        handled_by_caller = sys.exception()
        try:
            pipe.execute()
        except WatchError as error:
            # redis-py raises WatchError for a lost reply too, from within the handler of the
            # transport error, which it leaves in __context__. So does Python with an error that
            # our caller is handling, which says nothing about this commit.
            cause = error.__context__
            if isinstance(cause, RedisError) and cause is not handled_by_caller:
                raise _commit_failure(cause) from error
            raise tx.Outpaced from None
        except RedisError as error:
            raise _commit_failure(error) from error
        finally:
            self.close()

    def close(self) -> None:
        pipe, self._pipe = self._pipe, None
        if pipe is None:
            return
        try:
            pipe.reset()
        except RedisError:
            # UNWATCH went unanswered. The watch ends with its connection; what was found out until
            # here must not be hidden by this.
            if pipe.connection is not None:
                pipe.connection.disconnect()
            pipe.watching = False
            pipe.reset()


def _commit_failure(error: RedisError) -> tx.NotSent | tx.ReplyLost:
    """A reply that refuses the write says that it was not applied; no reply says nothing."""
    no_reply = isinstance(error, ConnectionError | TimeoutError)
    if no_reply and not isinstance(error, BusyLoadingError):
        return tx.ReplyLost(store_error(error))
    return tx.NotSent(store_error(error))
