"""
The reference driver: a turn as the chat service would do it, by the state manager over redis-py.

Each slot has a client of its own with one connection, which it does not take from a pool: redis-py
asks the kernel after each connection that it takes from one, and under gevent that question costs
as much as the command.
"""

from typing import TYPE_CHECKING, Any

from redis import ConnectionPool, MaxConnectionsError, Redis
from redis.maint_notifications import MaintNotificationsConfig

from loadtests.drivers.turn import GONE, Done, apply, failed
from workbench.flows.model import Edit
from workbench.state import StateError, StateManager, connect

if TYPE_CHECKING:
    from loadtests.drivers import OpenSlot

__all__ = ["ReferenceSlot", "carry_out", "open_slot", "sharing"]


def open_slot(url: str, *, ttl_s: float, timeout_s: float = 1.0) -> "ReferenceSlot":
    """See ``loadtests.drivers.OpenSlot``; every URL that the state manager takes."""
    client = connect(url, max_connections=1, timeout_s=timeout_s)
    pool = getattr(client, "connection_pool", None)
    if type(pool) is ConnectionPool:
        client.connection_pool = _OneConnection(
            pool.connection_class,
            max_connections=1,
            # A pool keeps it from its connections; left out, each would ask, and Redis 7.0 refuse.
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
            **pool.connection_kwargs,
        )
    return ReferenceSlot(client, ttl_s)


def sharing(connections: int) -> "OpenSlot":
    """Slots whose turns share a pool and a breaker, as those of a chat service's process do."""
    clients: dict[str, Redis] = {}

    def open_sharing(url: str, *, ttl_s: float, timeout_s: float = 1.0) -> "ReferenceSlot":
        if url not in clients:
            clients[url] = connect(url, max_connections=connections, timeout_s=timeout_s)
        return ReferenceSlot(clients[url], ttl_s, shared=True)

    return open_sharing


class ReferenceSlot:
    """
    A client of one Locust user, or of all.

    Attributes:
        client: it.
    """

    def __init__(self, client: Redis, ttl_s: float, *, shared: bool = False) -> None:
        self.client = client
        self._ttl_s = ttl_s
        self._shared = shared

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
        """See ``loadtests.drivers.Slot``; what is shared stays open."""
        if not self._shared:
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
        identifier: and what follows: see ``loadtests.drivers.Slot``.
        message_id: likewise.
        edit: likewise.
        begins: likewise.
        follows: likewise.
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
        begun=written.revision == 1,
    )
