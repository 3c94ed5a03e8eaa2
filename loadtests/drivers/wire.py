"""
Wire: one connection to a Redis, on gevent's loop, without redis-py.

A socket is watched for as long as it is open, so that one that the server closed while nobody used
it is noticed, and so that waiting for a reply starts and stops nothing.
"""

import time
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import gevent
import hiredis
from gevent import monkey, socket
from redis import exceptions as rx

from workbench.errors import UsageError

__all__ = ["Address", "LostError", "Wire", "read_address"]

_Socket: Final = monkey.get_original("socket", "socket")
_BUFFER: Final = bytearray(256 * 1024)
_NOT_YET: Final = object()
_READ: Final = 1
_LOGIN: Final = ("NOAUTH", "WRONGPASS")


class Address:
    """
    Where a Redis is, and how to log in there.

    Args:
        host, port: of it.
        user, password: empty if there is none.
        database: its number.
    """

    __slots__ = ("database", "host", "password", "port", "user")

    def __init__(self, host: str, port: int, user: str, password: str, database: int) -> None:
        self.host = host
        self.port = port
        self.user = user
        self.password = password
        self.database = database

    def greeting(self) -> list[tuple[str, ...]]:
        """Commands that a new connection begins with."""
        greeting: list[tuple[str, ...]] = []
        if self.password:
            login = (self.user, self.password) if self.user else (self.password,)
            greeting.append(("AUTH", *login))
        if self.database:
            greeting.append(("SELECT", str(self.database)))
        return greeting


def read_address(url: str) -> Address:
    """
    The address that a URL names.

    Raises:
        UsageError: it is not redis://; the message holds nothing of it but its scheme.
    """
    scheme = url.partition("://")[0]
    if scheme != "redis":
        raise UsageError(
            f"the fast driver speaks to one server over TCP, redis://, and not {scheme[:20]}://; "
            "choose --driver reference"
        )
    try:
        parts = urlsplit(url)
        database = int(parts.path.strip("/") or 0)
        host, port = parts.hostname or "localhost", parts.port or 6379
    except ValueError:
        raise UsageError(
            "the URL cannot be read; write redis://user:password@host:port/database"
        ) from None
    if parts.query:
        raise UsageError(
            "the fast driver takes no settings after ? in the URL; choose --driver reference"
        )
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    return Address(host, port, user, password, database)


class LostError(Exception):
    """
    No reply came.

    Attributes:
        sent: the whole of what was to be sent had left.
        late: it did not come in time; else the connection was lost or refused.
    """

    def __init__(self, *, sent: bool, late: bool) -> None:
        super().__init__("no reply in time" if late else "the connection was lost")
        self.sent = sent
        self.late = late


class Wire:
    """
    One connection, for one greenlet at a time. It connects when it is first used, and again after
    it was lost.

    Args:
        address: of the server.
        timeout_s: for connecting, and for each reply, s.
    """

    def __init__(self, address: Address, timeout_s: float) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._socket: Any = None
        self._send: Any = None
        self._reader: Any = None
        self._watcher: Any = None
        self._timer: Any = None
        self._hub: Any = None
        self._waiting: Any = None
        self._due_s = 0.0
        self._late = False
        self._wanted = 0
        self._replies: list[Any] = []

    @property
    def connected(self) -> bool:
        """Whether it is connected, as far as is known."""
        return self._socket is not None

    def ask(self, packed: bytes, replies: int = 1) -> list[Any]:
        """
        The replies to commands, of which those that are errors are exceptions of redis-py.

        Args:
            packed: one or more commands, as ``hiredis.pack_command`` packs them.
            replies: how many there will be.

        Raises:
            LostError: not all of them came.
            ResponseError: the server refused the login, or the database.
        """
        if self._socket is None:
            self._connect()
        return self._exchanged(packed, replies)

    def close(self) -> None:
        """Close the connection; the next command opens another one."""
        if self._socket is None:
            return
        for watcher in (self._watcher, self._timer):
            watcher.stop()
            watcher.close()
        self._socket.close()
        self._socket = self._send = self._reader = self._watcher = self._timer = None

    def _connect(self) -> None:
        address = self._address
        try:
            opened = socket.create_connection((address.host, address.port), self._timeout_s)
        except OSError as error:
            raise LostError(sent=False, late=isinstance(error, TimeoutError)) from None
        # Of the standard library's own kind, as it is only ever used without waiting.
        self._socket = _Socket(fileno=opened.detach())
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._send = self._socket.send
        self._reader = hiredis.Reader(notEnoughData=_NOT_YET, replyError=_error)
        self._hub = gevent.get_hub()
        self._watcher = self._hub.loop.io(self._socket.fileno(), _READ)
        self._watcher.start(self._readable)
        self._set_timer(self._timeout_s)
        self._greet(address.greeting())

    def _greet(self, greeting: list[tuple[str, ...]]) -> None:
        if not greeting:
            return
        try:
            replies = self._exchanged(b"".join(map(hiredis.pack_command, greeting)), len(greeting))
        except LostError as error:
            raise LostError(sent=False, late=error.late) from None
        for reply in replies:
            if isinstance(reply, rx.RedisError):
                self.close()
                raise reply

    def _exchanged(self, packed: bytes, wanted: int) -> list[Any]:
        self._late = False
        self._due_s = time.monotonic() + self._timeout_s
        self._wanted = wanted
        self._replies = replies = []
        try:
            try:
                sent = self._send(packed)
            except BlockingIOError:
                sent = 0
            except OSError:
                self.close()
                raise LostError(sent=False, late=False) from None
            if sent < len(packed):
                self._send_rest(packed, sent)
            if len(replies) < wanted:
                self._waiting = gevent.getcurrent()
                if not self._hub.switch():
                    raise LostError(sent=True, late=self._late)
        except LostError:
            raise
        except BaseException:  # the greenlet is killed: what is still to come belongs to nobody
            self.close()
            raise
        finally:
            self._waiting = None
            self._wanted = 0
        return replies

    def _send_rest(self, packed: bytes, sent: int) -> None:
        rest = memoryview(packed)
        while sent < len(packed):
            try:
                left_s = max(0.0, self._due_s - time.monotonic())
                socket.wait_write(self._socket.fileno(), timeout=left_s)
                if self._socket is None:  # it was lost meanwhile
                    raise LostError(sent=False, late=self._late)
                sent += self._send(rest[sent:])
            except BlockingIOError:
                continue
            except OSError as error:
                self.close()
                late = self._late or isinstance(error, TimeoutError)
                raise LostError(sent=False, late=late) from None

    def _readable(self) -> None:
        """Called by the loop when there is something to read, or the connection ended."""
        try:
            count = self._socket.recv_into(_BUFFER)
        except BlockingIOError:
            return
        except OSError:
            count = 0
        if not count or not self._wanted:  # also what nobody asked for
            self._end()
            return
        reader, replies = self._reader, self._replies
        reader.feed(_BUFFER, 0, count)
        try:
            while (reply := reader.gets()) is not _NOT_YET:
                replies.append(reply)
        except hiredis.ProtocolError:
            self._end()
            return
        if len(replies) >= self._wanted and self._waiting is not None:
            self._waiting.switch(True)

    def _set_timer(self, seconds: float) -> None:
        # It runs on while nobody waits, which is cheaper than to start and stop it each time.
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()
        self._timer = self._hub.loop.timer(max(0.001, seconds), ref=False)
        self._timer.start(self._rang)

    def _rang(self) -> None:
        """Called by the loop when a reply may be late."""
        left_s = self._due_s - time.monotonic() if self._wanted else self._timeout_s
        if left_s > 0:
            self._set_timer(left_s)
        else:
            self._late = True
            self._end()

    def _end(self) -> None:
        waiting = self._waiting
        self.close()
        if waiting is not None:
            waiting.switch(False)


def _error(text: str) -> rx.RedisError:
    """The exception of redis-py for the server's text."""
    code = text.partition(" ")[0]
    if code in _LOGIN:
        return rx.AuthenticationError(text)
    if code == "NOPERM":
        return rx.NoPermissionError(text)
    return rx.ResponseError(text)
