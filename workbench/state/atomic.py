"""RedisAtomic and AsyncRedisAtomic: one conversation, one atomic step."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from redis import Redis
from redis import asyncio as redis_asyncio
from redis.cluster import RedisCluster

from workbench.state import transactions as tx
from workbench.state.errors import SessionLostError, StateError
from workbench.state.head import Fate, new_update_id
from workbench.state.health import Record, record_of
from workbench.state.retry import RetryPolicy
from workbench.state.steps import AsyncSession, Session

__all__ = ["AsyncRedisAtomic", "Call", "Hook", "RedisAtomic", "Transactions"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """
    What a hook is told of a call that ended. Neither key nor value is in it.

    Attributes:
        operation: the transaction: ``read``, ``create``, ``update``, ``replace``, ``delete``,
            ``resolve``, ``adopt``; of an AtomicStateManager also ``get`` and
            ``validation_state``; of a StateManager ``begin``, ``refresh``, ``edit`` and ``end``.
        elapsed_s: from its begin, pauses included.
        round_trips: commands that were waited for.
        error: the code of the StateError that ended it, or the class of another one; None if it
            went well.
    """

    operation: str
    elapsed_s: float
    round_trips: int
    error: str | None


Hook = Callable[[Call], None]


class Transactions:
    """
    The transactions of a RedisAtomic, not yet carried out: pure.

    Args:
        record: of the client; it knows whether the server takes functions.
        writing: how.
    """

    def __init__(self, record: Record, writing: tx.Writing) -> None:
        self._record = record
        self._writing = writing
        self._by_watch: tx.Writing | None = None  # most never need it

    @property
    def _how(self) -> tx.Writing:
        if self._record.functions is not False or self._writing.strategy != "auto":
            return self._writing
        if self._by_watch is None:
            self._by_watch = replace(self._writing, strategy="watch")
        return self._by_watch

    def read(self, key: str) -> tx.Transaction[tx.Snapshot | None]:
        """See RedisAtomic."""
        return tx.read(key, retry=self._writing.retry)

    def create(
        self, key: str, document: tx.Document, *, ttl_s: float, update_id: str | None = None
    ) -> tx.Transaction[tx.Updated]:
        """See RedisAtomic."""
        own_id = update_id or new_update_id()
        return tx.create(key, document, ttl_s=ttl_s, update_id=own_id, writing=self._how)

    def update(
        self,
        key: str,
        change: tx.Change,
        *,
        ttl_s: float,
        update_id: str | None = None,
        snapshot: tx.Snapshot | None = None,
        plain: bool = False,
    ) -> tx.Transaction[tx.Updated]:
        """See RedisAtomic."""
        own_id, how = update_id or new_update_id(), self._how
        return tx.update(
            key,
            change,
            ttl_s=ttl_s,
            update_id=own_id,
            writing=how,
            snapshot=snapshot,
            plain=plain,
        )

    def replace(
        self,
        key: str,
        change: Callable[[tx.Document | None], tx.Document],
        *,
        ttl_s: float,
        update_id: str | None = None,
        snapshot: tx.Snapshot | None = None,
        absent: bool = False,
        plain: bool = False,
    ) -> tx.Transaction[tx.Updated]:
        """Like ``update``; see ``transactions.replace``."""
        own_id, how = update_id or new_update_id(), self._how
        return tx.replace(
            key,
            change,
            ttl_s=ttl_s,
            update_id=own_id,
            writing=how,
            snapshot=snapshot,
            absent=absent,
            plain=plain,
        )

    def delete(self, key: str, *, snapshot: tx.Snapshot | None = None) -> tx.Transaction[bool]:
        """See RedisAtomic."""
        return tx.delete(key, writing=self._how, snapshot=snapshot)

    def why_lost(self, key: str, *, known: bool) -> tx.Transaction[SessionLostError | None]:
        """Why there is no conversation; None if there never was one, as far as is known."""
        return tx.why_lost(key, known=known, live_index=self._writing.live_index)

    def resolve(self, key: str, update_id: str, since: str) -> tx.Transaction[Fate]:
        """See RedisAtomic."""
        return tx.resolve(key, update_id, since, retry=self._writing.retry)

    def adopt(self, key: str, *, ttl_s: float) -> tx.Transaction[tx.Updated]:
        """See RedisAtomic."""
        return tx.adopt(key, ttl_s=ttl_s, update_id=new_update_id(), writing=self._how)


class _Driver:
    """What both drivers keep."""

    def __init__(
        self,
        client: Any,
        strategy: tx.Strategy,
        retry: RetryPolicy | None,
        hooks: Sequence[Hook],
        live_index: bool,
    ) -> None:
        self._client = client
        self._record = record_of(client)
        self._hooks = hooks
        if live_index and isinstance(client, RedisCluster | redis_asyncio.RedisCluster):
            raise ValueError(
                "a cluster keeps no live index: the index would lie in another slot than the "
                "conversation; leave live_index out, and lost conversations are 'unknown'"
            )
        writing = tx.Writing(strategy, retry or RetryPolicy(), live_index)
        self.transactions = Transactions(self._record, writing)

    def _ended(self, transaction: Any, begun_s: float, trips: int, error: str | None) -> None:
        call = Call(transaction.__name__, time.monotonic() - begun_s, trips, error)
        for hook in self._hooks:
            hook(call)


class RedisAtomic(_Driver):
    """
    Read a conversation, or read, change and write it in one atomic step.

    Args:
        client: from ``connect``; or any client of redis-py whose own retries are off.
        strategy: ``function``, one round trip; ``watch``, three, for servers without functions;
            ``auto`` takes the function where the server has it. Both can be used on the same keys
            at the same time.
        retry: how long to go on after lost races and lost connections.
        hooks: called with each call that ended, in its thread; what they raise is the caller's.
        live_index: keep an index of what is to live until when, so that a conversation that is gone
            can be told apart as evicted, expired or deleted; certain under ``volatile-*`` policies,
            if nobody deletes conversations without it. It is written by the function only, and not
            on a cluster.
    """

    def __init__(
        self,
        client: Redis | RedisCluster,
        *,
        strategy: tx.Strategy = "auto",
        retry: RetryPolicy | None = None,
        hooks: Sequence[Hook] = (),
        live_index: bool = False,
    ) -> None:
        super().__init__(client, strategy, retry, hooks, live_index)

    def read(self, key: str) -> tx.Snapshot | None:
        """The conversation, or None; one round trip, never disturbed by writers."""
        return self.run(self.transactions.read(key))

    def create(
        self, key: str, document: tx.Document, *, ttl_s: float, update_id: str | None = None
    ) -> tx.Updated:
        """Write the document if there is none; else ConflictError."""
        return self.run(self.transactions.create(key, document, ttl_s=ttl_s, update_id=update_id))

    def update(
        self,
        key: str,
        change: tx.Change,
        *,
        ttl_s: float,
        update_id: str | None = None,
        snapshot: tx.Snapshot | None = None,
        plain: bool = False,
    ) -> tx.Updated:
        """
        Read, change, write.

        Args:
            key: the conversation.
            change: from the document to what it is to be; it may run again.
            ttl_s: time to live from this write on, s.
            update_id: of the update; one that is among the last eight is not applied again.
            snapshot: from ``read`` or an earlier write; if it still stands, nothing is read. It is
                used up by this.
            plain: you know that the change alters nothing in place, and puts in only text, numbers
                but NaN and the infinite, true, false, None, lists and dicts with text for keys.
                Then neither is looked at, and a part that the change passes on as the same object
                is not written as JSON again. Where you are wrong, what was altered is not stored,
                and a value may read back as another.

        Raises:
            StateMissingError: there is nothing to change; nothing is begun.
            SchemaTooNewError: a newer service wrote it.
            RetriesExhaustedError: others won until the deadline.
            AmbiguousWriteError: it may be applied or not; ask ``resolve``.
        """
        return self.run(
            self.transactions.update(
                key, change, ttl_s=ttl_s, update_id=update_id, snapshot=snapshot, plain=plain
            )
        )

    def delete(self, key: str, *, snapshot: tx.Snapshot | None = None) -> bool:
        """
        Delete the conversation, readable or not; False if there was none.

        Args:
            key: the conversation.
            snapshot: delete only what it shows; else ConflictError.
        """
        return self.run(self.transactions.delete(key, snapshot=snapshot))

    def resolve(self, key: str, update_id: str, since: str) -> Fate:
        """
        What became of an update that ended in AmbiguousWriteError.

        Args:
            key: the conversation.
            update_id: of the error.
            since: of the error.

        Returns:
            ``applied``, ``not applied``, or ``unknowable`` if the conversation is gone or was
            written more than seven times since.
        """
        return self.run(self.transactions.resolve(key, update_id, since))

    def adopt(self, key: str, *, ttl_s: float = 300) -> tx.Updated:
        """
        Take over a document that is damaged, or that somebody changed and kept its head.

        A document without any head needs none of this: the first update adopts it.

        Raises:
            StateMissingError: there is nothing.
            InvalidStateError: it is no conversation; delete it.
        """
        return self.run(self.transactions.adopt(key, ttl_s=ttl_s))

    def run(self, transaction: tx.Transaction[T]) -> T:
        """Carry out a transaction, as those of ``workbench.state.transactions``."""
        begun_s = time.monotonic()
        session = Session(self._client, self._record)
        failed: str | None = None
        try:
            self._record.admit()
            step = next(transaction)
            while True:
                try:
                    reply = session.carry_out(step)
                except tx.SIGNALS as signal:
                    caught = signal
                else:
                    step = transaction.send(reply)
                    continue
                step = transaction.throw(caught)
        except StopIteration as end:
            result: T = end.value
            return result
        except StateError as error:
            failed = error.code
            self._record.errors[error.code] += 1
            raise
        except BaseException as error:
            failed = type(error).__name__
            raise
        finally:
            session.close()
            transaction.close()
            if self._hooks:
                self._ended(transaction, begun_s, session.round_trips, failed)


class AsyncRedisAtomic(_Driver):
    """RedisAtomic for asyncio: the same calls, awaited. See there."""

    def __init__(
        self,
        client: "redis_asyncio.Redis | redis_asyncio.RedisCluster",
        *,
        strategy: tx.Strategy = "auto",
        retry: RetryPolicy | None = None,
        hooks: Sequence[Hook] = (),
        live_index: bool = False,
    ) -> None:
        super().__init__(client, strategy, retry, hooks, live_index)

    async def read(self, key: str) -> tx.Snapshot | None:
        """See RedisAtomic."""
        return await self.run(self.transactions.read(key))

    async def create(
        self, key: str, document: tx.Document, *, ttl_s: float, update_id: str | None = None
    ) -> tx.Updated:
        """See RedisAtomic."""
        return await self.run(
            self.transactions.create(key, document, ttl_s=ttl_s, update_id=update_id)
        )

    async def update(
        self,
        key: str,
        change: tx.Change,
        *,
        ttl_s: float,
        update_id: str | None = None,
        snapshot: tx.Snapshot | None = None,
        plain: bool = False,
    ) -> tx.Updated:
        """See RedisAtomic."""
        return await self.run(
            self.transactions.update(
                key, change, ttl_s=ttl_s, update_id=update_id, snapshot=snapshot, plain=plain
            )
        )

    async def delete(self, key: str, *, snapshot: tx.Snapshot | None = None) -> bool:
        """See RedisAtomic."""
        return await self.run(self.transactions.delete(key, snapshot=snapshot))

    async def resolve(self, key: str, update_id: str, since: str) -> Fate:
        """See RedisAtomic."""
        return await self.run(self.transactions.resolve(key, update_id, since))

    async def adopt(self, key: str, *, ttl_s: float = 300) -> tx.Updated:
        """See RedisAtomic."""
        return await self.run(self.transactions.adopt(key, ttl_s=ttl_s))

    async def run(self, transaction: tx.Transaction[T]) -> T:
        """See RedisAtomic."""
        begun_s = time.monotonic()
        session = AsyncSession(self._client, self._record)
        failed: str | None = None
        try:
            self._record.admit()
            step = next(transaction)
            while True:
                try:
                    reply = await session.carry_out(step)
                except tx.SIGNALS as signal:
                    caught = signal
                else:
                    step = transaction.send(reply)
                    continue
                step = transaction.throw(caught)
        except StopIteration as end:
            result: T = end.value
            return result
        except StateError as error:
            failed = error.code
            self._record.errors[error.code] += 1
            raise
        except BaseException as error:
            failed = type(error).__name__
            raise
        finally:
            await session.close()
            transaction.close()
            if self._hooks:
                self._ended(transaction, begun_s, session.round_trips, failed)
