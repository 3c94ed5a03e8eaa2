"""
Steps of a transaction, carried out on a redis-py client; and what its errors say of how far a
step got.

An exception of the client library does not tell whether the command was sent. Where it was raised
does: while connecting nothing was, while reading it may have reached the server. Sending differs:
a socket that failed has not taken the whole command, but asyncio's transport takes it at once, and
may still send it after we gave up.
"""

import asyncio
import sys
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Final

from redis.exceptions import (
    BusyLoadingError,
    ConnectionError,
    MaxConnectionsError,
    NoPermissionError,
    RedisClusterException,
    RedisError,
    ResponseError,
    TimeoutError,
    WatchError,
)

from workbench.state import functions
from workbench.state import transactions as tx
from workbench.state.errors import InvalidStateError, StateError, StoreUnavailableError, store_error
from workbench.state.health import Record
from workbench.state.live_index import Found

__all__ = ["AsyncSession", "Session", "lost", "outpaced", "refused", "swap_arguments"]

STORE_ERRORS: Final = (RedisError, RedisClusterException, OSError, UnicodeError)

_FUNCTION: Final = functions.NAME.encode()

# Of redis-py: no whole command has left while one of these is on the stack.
_BEFORE_SENT: Final = frozenset({"get_connection", "acquire_connection", "send_packed_command"})
_BEFORE_SENT_ASYNC: Final = frozenset(
    {"get_connection", "acquire_connection", "connect_check_health", "check_health"}
)
_NOT_ALLOWED: Final = ("The user executing the script", "ACL failure in script")


class _Session:
    """The connection of one transaction: a client, or a pipeline from Watch to Commit."""

    def __init__(self, client: Any, record: Record) -> None:
        self._client = client
        self._record = record
        # A command of ours goes over a connection of the pool, past redis-py's execute_command, and
        # in one piece: that is 9 % less time of a SET, and 3 % more at 9.7 KB (redis-py 8.1).
        # Clients without one pool take the long way.
        own = getattr(client, "connection", None) is None
        self._pool = getattr(client, "connection_pool", None) if own else None
        self._pipe: Any = None
        self._loads = 0
        self.round_trips = 0

    def _swap_arguments(self, step: tx.Swap) -> tuple[Any, ...]:
        self._loads = self._record.loads
        return swap_arguments(step)

    def _swapped(self, reply: Any) -> Any:
        self._record.functions = True
        return True if reply == 1 else reply

    def _opened(self) -> Any:
        self._pipe = self._client.pipeline(transaction=True)
        return self._pipe

    def _queued(self, step: tx.Commit) -> Any:
        pipe = self._pipe
        assert pipe is not None, "a Commit follows a Watch"
        pipe.multi()
        if step.text is None:
            pipe.delete(step.key)
        else:
            pipe.set(step.key, step.text, px=round(step.ttl_s * 1000))
        if step.entry is not None:
            pipe.hdel(step.entry.index, step.entry.field)
        return pipe

    def _committed(self, replies: list[Any]) -> None:
        # What became of the index, which comes second, changes nothing about the write.
        if isinstance(replies[0], Exception):
            raise replies[0]

    def _asked(self, step: tx.LookUp) -> Any:
        pipe = self._client.pipeline(transaction=False)
        pipe.hget(step.entry.index, step.entry.field)
        pipe.time()
        pipe.info("stats")
        return pipe

    def _found(self, replies: list[Any]) -> Found | None:
        until_ms, (now_s, now_us), stats = replies
        if until_ms is None:
            return None
        evicted = int(stats.get("evicted_keys", 0))
        return Found(int(until_ms), now_s * 1000 + now_us // 1000, evicted)


class Session(_Session):
    """On a client that waits for its replies."""

    def carry_out(self, step: tx.Step) -> Any:
        """
        The step's result.

        Raises:
            NotSent, ReplyLost, Outpaced, FunctionMissing, FunctionRefused: signals for the
                transaction.
        """
        if isinstance(step, tx.Pause):
            self.close()
            self._record.retries += 1
            time.sleep(step.seconds)
            return None
        self.round_trips += 1
        handled = sys.exception()
        try:
            reply = self._sent(step)
        except STORE_ERRORS as error:
            # Without its cause, whose text may hold a key and a value.
            raise _signal(error, step, handled, self._record, _BEFORE_SENT) from None
        self._record.succeeded()
        return reply

    def _sent(self, step: tx.Step) -> Any:
        if isinstance(step, tx.Swap):
            return self._swapped(self._command(*self._swap_arguments(step)))
        if isinstance(step, tx.Get):
            if self._pipe is None:
                return self._command(b"GET", step.key)
            return self._pipe.execute_command("GET", step.key, NEVER_DECODE=True)
        if isinstance(step, tx.Watch):
            self.close()
            return self._opened().watch(step.key)
        if isinstance(step, tx.Commit):
            try:
                return self._committed(self._queued(step).execute(raise_on_error=False))
            finally:
                self.close()
        if isinstance(step, tx.LookUp):
            return self._found(self._asked(step).execute())
        if isinstance(step, tx.Drop):
            return self._client.delete(step.key)
        with self._record.loading:
            if self._loads == self._record.loads:  # nobody did since we missed it
                self._client.execute_command("FUNCTION LOAD", "REPLACE", functions.SOURCE)
                self._record.loads += 1
        return None

    def _command(self, *arguments: Any) -> Any:
        """The reply, as bytes: the document's own decoder refuses what is no UTF-8."""
        pool = self._pool
        if pool is None:
            return self._client.execute_command(
                arguments[0].decode(), *arguments[1:], NEVER_DECODE=True
            )
        connection = pool.get_connection()
        try:
            connection.send_packed_command([_packed(arguments, connection.encoder)])
            return connection.read_response(disable_decoding=True)
        finally:
            pool.release(connection)

    def close(self) -> None:
        """Give the connection back, watching nothing."""
        pipe, self._pipe = self._pipe, None
        if pipe is None:
            return
        try:
            pipe.reset()
        except STORE_ERRORS:
            # UNWATCH went unanswered. The watch ends with its connection; what was found out until
            # here must not be hidden by this.
            if pipe.connection is not None:
                pipe.connection.disconnect()
            pipe.watching = False
            pipe.reset()


class AsyncSession(_Session):
    """On a client of asyncio."""

    async def carry_out(self, step: tx.Step) -> Any:
        """Like ``Session.carry_out``."""
        if isinstance(step, tx.Pause):
            await self.close()
            self._record.retries += 1
            await asyncio.sleep(step.seconds)
            return None
        self.round_trips += 1
        handled = sys.exception()
        try:
            reply = await self._sent(step)
        except STORE_ERRORS as error:
            raise _signal(error, step, handled, self._record, _BEFORE_SENT_ASYNC) from None
        self._record.succeeded()
        return reply

    async def _sent(self, step: tx.Step) -> Any:
        if isinstance(step, tx.Swap):
            return self._swapped(await self._command(*self._swap_arguments(step)))
        if isinstance(step, tx.Get):
            if self._pipe is None:
                return await self._command(b"GET", step.key)
            return await self._pipe.execute_command("GET", step.key, NEVER_DECODE=True)
        if isinstance(step, tx.Watch):
            await self.close()
            await self._client.initialize()  # a cluster's pipeline does not do it by itself
            return await self._opened().watch(step.key)
        if isinstance(step, tx.Commit):
            try:
                return self._committed(await self._queued(step).execute(raise_on_error=False))
            finally:
                await self.close()
        if isinstance(step, tx.LookUp):
            return self._found(await self._asked(step).execute())
        if isinstance(step, tx.Drop):
            return await self._client.delete(step.key)
        async with self._record.loading_async:
            if self._loads == self._record.loads:
                await self._client.execute_command("FUNCTION LOAD", "REPLACE", functions.SOURCE)
                self._record.loads += 1
        return None

    async def _command(self, *arguments: Any) -> Any:
        pool = self._pool
        if pool is None:
            return await self._client.execute_command(
                arguments[0].decode(), *arguments[1:], NEVER_DECODE=True
            )
        connection = await pool.get_connection()
        try:
            await connection.send_packed_command([_packed(arguments, connection.encoder)])
            return await connection.read_response(disable_decoding=True)
        finally:
            await asyncio.shield(pool.release(connection))

    async def close(self) -> None:
        """Give the connection back, watching nothing, also if the task is cancelled meanwhile."""
        pipe, self._pipe = self._pipe, None
        if pipe is not None:
            await asyncio.shield(asyncio.ensure_future(_reset(pipe)))


def swap_arguments(step: tx.Swap) -> tuple[Any, ...]:
    """The words of the command that carries out the step."""
    entry = step.entry
    written = (step.head, b"%d" % round(step.ttl_s * 1000), step.text or b"")
    if entry is None:
        return (b"FCALL", _FUNCTION, b"1", step.key, *written)
    return (b"FCALL", _FUNCTION, b"2", step.key, entry.index, *written, entry.field)


def _packed(arguments: tuple[Any, ...], encoder: Any) -> bytes:
    """The command as the protocol has it."""
    encoded = [each if isinstance(each, bytes) else encoder.encode(each) for each in arguments]
    parts = [b"$%d\r\n%b\r\n" % (len(each), each) for each in encoded]
    return b"*%d\r\n%b" % (len(parts), b"".join(parts))


async def _reset(pipe: Any) -> None:
    try:
        await pipe.reset()
    except STORE_ERRORS:
        if pipe.connection is not None:
            await pipe.connection.disconnect()
        pipe.watching = False
        await pipe.reset()


def _signal(
    error: Exception,
    step: tx.Step,
    handled: BaseException | None,
    record: Record,
    before_sent: frozenset[str],
) -> Exception:
    """
    What the failure means for the transaction.

    ``handled`` is what our caller was handling, which Python puts into the chain of causes;
    ``before_sent`` names functions that were left before the whole command had left.
    """
    if isinstance(error, UnicodeError):
        return tx.NotSent(InvalidStateError("the key, or a text, cannot be written as UTF-8"))
    chain = list(_chain(error, handled))
    if isinstance(error, WatchError):
        # redis-py raises WatchError also for a reply that was lost between WATCH and EXEC.
        cause = next((each for each in chain if _is_transport(each)), None)
        if cause is None:
            return outpaced(record)
        failure: StateError = StoreUnavailableError("the connection was lost")
    elif isinstance(error, ResponseError | BusyLoadingError):
        return refused(error, step, record)
    else:
        failure = store_error(error)
        if isinstance(error, MaxConnectionsError):
            return tx.NotSent(failure)  # our own pool is busy, which says nothing of the store
    # A cluster's client raises what came of asking the other nodes, and has the loss in its chain.
    transport = [each for each in chain if _is_transport(each)] or [error]
    return lost(
        failure, step, record, sent=not all(_is_before(each, before_sent) for each in transport)
    )


def outpaced(record: Record) -> tx.Outpaced:
    """Another writer touched what was watched."""
    record.conflicts += 1
    return tx.Outpaced()


def refused(error: RedisError, step: tx.Step, record: Record) -> Exception:
    """The server answered with an error: the signal that stands for it."""
    if isinstance(step, tx.Swap | tx.Load):
        text = str(error)
        if "Function not found" in text:
            return tx.FunctionMissing(store_error(error))
        # A refusal of this key says nothing of the function, nor of other keys.
        forbidden = isinstance(error, NoPermissionError) and "to run the" in text
        # The function's first command is refused to this user, so it has written nothing.
        if forbidden or "unknown command" in text or any(each in text for each in _NOT_ALLOWED):
            record.functions = False
            return tx.FunctionRefused(store_error(error))
    failure = store_error(error)
    record.failed(failure)
    return tx.NotSent(failure)


def lost(failure: StateError, step: tx.Step, record: Record, *, sent: bool) -> Exception:
    """No answer came: the signal that stands for it, by whether the step may have been sent."""
    record.failed(failure)
    if sent and isinstance(step, tx.Swap | tx.Commit | tx.Drop):
        record.lost_replies += 1
        return tx.ReplyLost(failure)
    return tx.NotSent(failure)


def _chain(error: BaseException, until: BaseException | None) -> Iterator[BaseException]:
    each: BaseException | None = error
    while each is not None and each is not until:
        yield each
        each = each.__context__


def _is_transport(error: BaseException) -> bool:
    """No reply came. A server that loads says so: that is a reply."""
    return isinstance(error, ConnectionError | TimeoutError) and not isinstance(
        error, BusyLoadingError
    )


def _is_before(error: BaseException, before_sent: frozenset[str]) -> bool:
    trace: TracebackType | None = error.__traceback__
    while trace is not None:
        name = trace.tb_frame.f_code.co_name
        if name == "reset":
            return False  # of a pipeline, after its EXEC failed: what came of that is not seen here
        if name in before_sent:
            return True
        trace = trace.tb_next
    return False
