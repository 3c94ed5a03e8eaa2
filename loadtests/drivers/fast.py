"""
The fast driver: the state manager's own transactions, over a raw socket, on held documents.

A turn sends its read and its write together, in one round trip: it writes on what this process
wrote last, which it holds, and the server refuses that where something else stands. So the same
commands reach the server as from ``reference``, and the same documents stand there.
"""

from base64 import urlsafe_b64encode
from random import Random
from typing import Any, Final
from weakref import WeakValueDictionary

import gevent
import hiredis
from redis import exceptions as rx

from loadtests.drivers.text import Held, held_of, named
from loadtests.drivers.turn import GONE, Done, apply, failed
from loadtests.drivers.wire import Address, LostError, Wire, read_address
from workbench.flows.model import Edit
from workbench.state import StateError, StoreUnavailableError, functions
from workbench.state import transactions as tx
from workbench.state.atomic import Transactions
from workbench.state.attempts import Attempts
from workbench.state.conversation import AppliedMeanwhileError, Message, remembers
from workbench.state.head import OWN
from workbench.state.health import Record, new_breaker
from workbench.state.steps import lost, outpaced, refused

__all__ = ["FastSlot", "Kept", "open_slot"]

_KEPT_BYTES_MAX: Final = 256 * 1024 * 1024
_NAMES: Final = 64


def open_slot(url: str, *, ttl_s: float, timeout_s: float = 1.0) -> "FastSlot":
    """See ``loadtests.drivers.OpenSlot``; redis:// only."""
    return FastSlot(read_address(url), _kept_of(url), ttl_s=ttl_s, timeout_s=timeout_s)


class FastSlot:
    """
    A connection of one Locust user.

    Args:
        address: of the server.
        kept: shared by the slots of a process.
        ttl_s: time to live from each write on, s.
        timeout_s: for connecting, and for each reply, s.
    """

    def __init__(self, address: Address, kept: "Kept", *, ttl_s: float, timeout_s: float) -> None:
        self._kept = kept
        self._ttl_s = ttl_s
        self._random = Random()  # of its own: names must differ though somebody seeds the other
        self._names: list[bytes] = []
        self._record = Record(new_breaker())
        self._session = _Session(Wire(address, timeout_s), self._record)
        self._states = Attempts(Transactions(self._record, tx.Writing()), ttl_s)

    def carry_out(
        self, identifier: str, message_id: str, edit: Edit, *, begins: bool, follows: str | None
    ) -> Done:
        """See ``loadtests.drivers.Slot``."""
        key = f"channel:{identifier}"
        held = self._kept.take(key)
        name = self._fresh_name()
        try:
            next_one = came = None
            if held is not None and self._record.functions is not False:
                next_one = held.followed_by(named(message_id), edit, name)
            if next_one is not None:
                self._record.admit()
                came = self._answer(tx.Swap(key, held.head.text, next_one[1], self._ttl_s))
                if came is True:
                    return self._told(key, next_one[0], name, follows)
            message = Message(message_id)
            if begins:
                message.initialize_channel("whatsapp", identifier)
            apply(message, edit)
            update_id = f"{OWN}{name.decode()}"
            written = self._written(key, message, held, update_id, came, begins=begins)
        except AppliedMeanwhileError:
            return Done("duplicate")
        except StateError as error:
            return failed(error)
        if written is None:
            return Done(GONE)
        return self._told_by_state_manager(key, written, follows)

    def _told(self, key: str, left: Held, name: bytes, follows: str | None) -> Done:
        """What became of a turn that left this, which is held from now on."""
        self._kept.keep(key, left)
        kept = follows is None or named(follows) in left.metadata.messages
        outcome, begun = "ok" if kept else "lost_update", left.head.revision == 1
        return Done(outcome, 1, left.value_bytes, name=name, begun=begun)

    def _told_by_state_manager(self, key: str, written: tx.Updated, follows: str | None) -> Done:
        text = self._session.text
        left = None if text is None else held_of(written.head, text)
        if left is not None:
            self._kept.keep(key, left)
        begun = written.revision == 1
        kept = follows is None or begun or remembers(written.document, follows)
        outcome = "ok" if kept else "lost_update"
        return Done(
            outcome,
            written.attempts,
            written.value_bytes,
            name=written.head.names[0],
            begun=begun,
        )

    def _answer(self, step: tx.Swap) -> Any:
        """What came of a step: its result, or a signal; never None."""
        self._session.text = None
        try:
            came = self._session.carry_out(step)
        except tx.SIGNALS as signal:
            return signal
        return _NOTHING if came is None else came

    def _fresh_name(self) -> bytes:
        """A name for an update: 48 random bits, as the state manager's have, made many at once."""
        if not self._names:
            names = urlsafe_b64encode(self._random.randbytes(6 * _NAMES))
            self._names = [names[at : at + 8] for at in range(0, len(names), 8)]
        return self._names.pop()

    def _written(
        self,
        key: str,
        message: Message,
        held: Held | None,
        update_id: str,
        came: Any,
        *,
        begins: bool,
    ) -> tx.Updated | None:
        """
        What the message left behind, by the state manager's transaction; None if there is no
        conversation for it.

        If the turn was sent already, the transaction is told what came of that, as if it had sent
        it: its first step is the same, and so is the name of its update.
        """
        if isinstance(came, tx.FunctionRefused):
            came = None  # so nothing was written, and from now on it is done by watch
        if held is not None:
            try:
                snapshot = tx.written(held.head, held.text)
                return self._run(self._rewritten(key, message, snapshot, update_id), came)
            except AppliedMeanwhileError:
                if came is not None:
                    raise
                # What is held says so; whether it still stands is not known.
        if held is not None or not begins:
            found = self._run(self._states.read(key))
            if found is None and not begins:
                return None
        else:
            found = None
        return self._run(self._rewritten(key, message, found, update_id))

    def _rewritten(
        self, key: str, message: Message, snapshot: tx.Snapshot | None, update_id: str
    ) -> tx.Transaction[tx.Updated]:
        return self._states.rewrite(
            key,
            message.applied_to,
            operation="message",
            snapshot=snapshot,
            absent=snapshot is None,
            update_id=update_id,
        )

    def _run(self, transaction: tx.Transaction[Any], came: Any = None) -> Any:
        """Carry out a transaction, as RedisAtomic does. ``came`` is what came of its first step."""
        record, session = self._record, self._session
        session.text = None
        try:
            if came is None:
                record.admit()
            step = next(transaction)
            while True:
                try:
                    reply = session.carry_out(step) if came is None else _given(came)
                except tx.SIGNALS as signal:
                    caught, came = signal, None
                else:
                    came = None
                    step = transaction.send(reply)
                    continue
                step = transaction.throw(caught)
        except StopIteration as end:
            return end.value
        except StateError as error:
            record.errors[error.code] += 1
            raise
        finally:
            session.unwatch()
            transaction.close()

    def close(self) -> None:
        """See ``loadtests.drivers.Slot``."""
        self._session.close()


_NOTHING: Final = object()
"""Stands for the answer that nothing stands there."""


def _given(came: Any) -> Any:
    if isinstance(came, Exception):
        raise came
    return None if came is _NOTHING else came


class Kept:
    """
    What this process wrote last under each key. What was not used for longest is let go when it is
    too much.
    """

    def __init__(self) -> None:
        self._by_key: dict[str, Held] = {}
        self._bytes = 0

    def take(self, key: str) -> Held | None:
        """What is held, once: what becomes of a write that fails is not known here."""
        found = self._by_key.pop(key, None)
        if found is not None:
            self._bytes -= found.value_bytes
        return found

    def keep(self, key: str, left: Held) -> None:
        """Hold what was written."""
        self.take(key)  # of another slot, which wrote meanwhile
        self._bytes += left.value_bytes
        self._by_key[key] = left
        while self._bytes > _KEPT_BYTES_MAX:
            self.take(next(iter(self._by_key)))


_shared: "WeakValueDictionary[str, Kept]" = WeakValueDictionary()


def _kept_of(url: str) -> Kept:
    """What the slots of this process hold together, as long as there are any."""
    return _shared.setdefault(url, Kept())


_GET: Final = b"*2\r\n$3\r\nGET\r\n"
_FCALL: Final = b"".join(
    [
        b"*7\r\n",
        *(b"$%d\r\n%b\r\n" % (len(e), e) for e in (b"FCALL", functions.NAME.encode(), b"1")),
    ]
)


def _packed(step: tx.Swap) -> bytes:
    """
    A read and a write in one packet. What the read will say is known: the server does its work for
    it, as for the state manager's.

    Put together here in a third of the time that ``hiredis.pack_command`` takes for both.
    """
    assert step.text is not None, "a message deletes nothing"
    name = step.key.encode()
    key = b"$%d\r\n%b\r\n" % (len(name), name)
    ttl_ms = b"%d" % round(step.ttl_s * 1000)
    head = b"$%d\r\n%b\r\n" % (len(step.head), step.head)
    ttl = b"$%d\r\n%b\r\n$%d\r\n" % (len(ttl_ms), ttl_ms, len(step.text))
    return b"".join((_GET, key, _FCALL, key, head, ttl, step.text, b"\r\n"))


class _Session:
    """
    Carries out the steps of a transaction over one wire. What a failure means follows from how far
    the wire got, as it does for redis-py's in ``workbench.state.steps``.

    Attributes:
        text: what the last step wrote; None if it wrote nothing.
    """

    def __init__(self, wire: Wire, record: Record) -> None:
        self._wire = wire
        self._record = record
        self._watching = False
        self._loads = 0
        self.text: bytes | None = None

    def carry_out(self, step: tx.Step) -> Any:
        """
        The step's result.

        Raises:
            NotSent, ReplyLost, Outpaced, FunctionMissing, FunctionRefused: signals for the
                transaction.
        """
        if isinstance(step, tx.Pause):
            self.unwatch()
            self._record.retries += 1
            gevent.sleep(step.seconds)
            return None
        try:
            reply = self._sent(step)
        except LostError as error:
            self._watching = False
            late = "the store did not answer within the timeout"
            gone = "the store cannot be reached; is it running?"
            failure = StoreUnavailableError(late if error.late else gone)
            raise lost(failure, step, self._record, sent=error.sent) from None
        except rx.RedisError as error:
            raise refused(error, step, self._record) from None
        self._record.succeeded()
        return reply

    def _sent(self, step: tx.Step) -> Any:
        if isinstance(step, tx.Swap):
            self._loads = self._record.loads
            reply = self._wire.ask(_packed(step), 2)[1]
            if reply == 1:
                self._record.functions = True
                self.text = step.text
                return True
            if isinstance(reply, rx.RedisError):
                raise reply
            self._record.functions = True
            return reply
        if isinstance(step, tx.Get):
            return self._asked(hiredis.pack_command((b"GET", step.key)), 1)
        if isinstance(step, tx.Watch):
            self.unwatch()
            reply = self._asked(hiredis.pack_command((b"WATCH", step.key)), 1)
            self._watching = True
            return reply
        if isinstance(step, tx.Commit):
            return self._committed(step)
        if isinstance(step, tx.Load):
            if self._loads == self._record.loads:  # nobody did since we missed it
                words = (b"FUNCTION", b"LOAD", b"REPLACE", functions.SOURCE)
                self._asked(hiredis.pack_command(words), 1)
                self._record.loads += 1
            return None
        raise AssertionError(f"no message takes a step of the kind {type(step).__name__}")

    def _committed(self, step: tx.Commit) -> None:
        if not (self._watching and self._wire.connected):
            raise LostError(sent=False, late=False)  # and the watch with it
        assert step.text is not None, "a message deletes nothing"
        ttl_ms = b"%d" % round(step.ttl_s * 1000)
        commands = ((b"MULTI",), (b"SET", step.key, step.text, b"PX", ttl_ms), (b"EXEC",))
        replies = self._wire.ask(b"".join(map(hiredis.pack_command, commands)), 3)
        self._watching = False
        for reply in replies:
            if isinstance(reply, rx.RedisError):
                raise reply
        executed = replies[-1]
        if executed is None:
            raise outpaced(self._record)
        if isinstance(executed[0], rx.RedisError):
            raise executed[0]
        self.text = step.text

    def _asked(self, packed: bytes, replies: int) -> Any:
        """The last reply."""
        if self._watching and not self._wire.connected:
            raise LostError(sent=False, late=False)  # what was watched is not any more
        reply = self._wire.ask(packed, replies)[-1]
        if isinstance(reply, rx.RedisError):
            raise reply
        return reply

    def unwatch(self) -> None:
        """Watch nothing any more."""
        if not self._watching:
            return
        self._watching = False
        if not self._wire.connected:
            return
        try:
            self._wire.ask(hiredis.pack_command((b"UNWATCH",)))
        except (LostError, rx.RedisError):
            self._wire.close()  # the watch ends with its connection

    def close(self) -> None:
        """Give up the connection."""
        self._wire.close()
