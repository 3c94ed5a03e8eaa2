"""
The reference driver: a turn as the chat service would do it, by the state manager over redis-py.

Each slot has a client of its own with one connection, which it does not take from a pool: redis-py
asks the kernel after each connection that it takes from one, and under gevent that question costs
as much as the command.
"""

from typing import Any

from redis import ConnectionPool, MaxConnectionsError, Redis

from loadtests.drivers.turn import GONE, Done, apply, failed
from workbench.flows.model import Edit
from workbench.state import StateError, StateManager, connect

__all__ = ["GONE", "Done", "ReferenceSlot", "apply", "carry_out", "open_slot"]


def open_slot(url: str, *, ttl_s: float, timeout_s: float = 1.0) -> "ReferenceSlot":
    """See ``loadtests.drivers.OpenSlot``; every URL that the state manager takes."""
    client = connect(url, max_connections=1, timeout_s=timeout_s)
    pool = getattr(client, "connection_pool", None)
    if type(pool) is ConnectionPool:
        client.connection_pool = _OneConnection(
            pool.connection_class, max_connections=1, **pool.connection_kwargs
        )
    return ReferenceSlot(client, ttl_s)


class ReferenceSlot:
    """
    A client of one Locust user.

    Attributes:
        client: it.
    """

    def __init__(self, client: Redis, ttl_s: float) -> None:
        self.client = client
        self._ttl_s = ttl_s

    def carry_out(
        self, identifier: str, message_id: str, edit: Edit, *, begins: bool, follows: str | None
    ) -> Done:
        """See ``loadtests.drivers.Slot``."""
        return carry_out(
            self.client,
            identifier,
            message_id,
            edit,
            begins=begins,
            follows=follows,
            ttl_s=self._ttl_s,
        )

    def close(self) -> None:
        """See ``loadtests.drivers.Slot``."""
        self.client.close()


class _OneConnection(ConnectionPool):
    """A pool of one connection, for one user at a time, that is not looked at before each use."""

    _only: Any = None
    _taken = False

    def get_connection(self, *_: Any, **__: Any) -> Any:
        if self._taken:
            raise MaxConnectionsError("the slot has one connection, and it is in use")
        if self._only is None:
            self._only = self.make_connection()
            self._in_use_connections.add(self._only)
        self._taken = True  # it connects when a command is sent over it
        return self._only

    def release(self, connection: Any) -> None:
        self._taken = False


def carry_out(
    client: Redis,
    identifier: str,
    message_id: str,
    edit: Edit,
    *,
    begins: bool,
    follows: str | None,
    ttl_s: float,
) -> Done:
    """
    One message: one read, and one write unless the conversation is gone.

    Args:
        client: from ``workbench.state.connect``.
        identifier: of the caller.
        message_id: of the message; the same when it is delivered again.
        edit: what the message changes.
        begins: it is a greeting, which begins the conversation if there is none.
        follows: the message of the conversation that was acknowledged last; if the conversation
            is there and does not remember it, an update was lost.
        ttl_s: time to live from this write on, s.
    """
    manager = StateManager(f"channel:{identifier}", client, ttl_s=ttl_s)
    try:
        with manager.message(message_id) as work:
            if work.duplicate:
                return Done("duplicate")
            if begins:
                work.initialize_channel("whatsapp", identifier)
            elif not work.exists:
                return Done(GONE)
            apply(work, edit)
    except StateError as error:
        return failed(error)
    if work.duplicate:
        return Done("duplicate")  # another delivery of it was written meanwhile
    written = work.written
    assert written is not None, "a message that edits the state writes it"
    kept = follows is None or not work.exists or work.follows(follows)
    outcome = "ok" if kept else "lost_update"
    return Done(
        outcome,
        attempts=written.attempts,
        value_bytes=written.value_bytes,
        name=written.head.names[0],
    )
