"""StateManager and its async twin: one conversation, by accessors and validated updates."""

from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from redis import Redis
from redis import asyncio as redis_asyncio
from redis.cluster import RedisCluster

from workbench.state import document as documents
from workbench.state.atomic import AsyncRedisAtomic, RedisAtomic
from workbench.state.attempts import (
    TTL_S,
    AsyncAtomicStateManager,
    AtomicStateManager,
    ValidationState,
)
from workbench.state.conversation import (
    Conversation,
    Edit,
    OnLost,
    UnitOfWork,
    VerifyToken,
    View,
    edits,
)
from workbench.state.transactions import Document, Strategy

__all__ = ["AsyncStateManager", "StateManager"]


class StateManager(View):
    """
    The state of one conversation, as the application sees it.

    It reads once, when it is first asked, and again on ``refresh``; what it writes is read,
    changed and written in one atomic step, so that what it has in hand may be old without anything
    being overwritten.

    Args:
        key: ``channel:<identifier>``.
        client: from ``connect``.
        ttl_s: time to live, s; every write refreshes it.
        strategy: see RedisAtomic.
        verify_token: says whether a token is one of ours, and still good; without it none is. See
            ``jwt_verifier``.
        on_lost: an update of a conversation that this manager knew and that is gone raises
            SessionLostError; or, with ``reset``, begins it anew with the same channel.
        live_index: see RedisAtomic.

    Attributes:
        work: the last message that was worked on, for whoever handles what it raised.

    Raises:
        InvalidStateError: the key does not begin with ``channel:``.
    """

    def __init__(
        self,
        key: str,
        client: Redis | RedisCluster,
        *,
        ttl_s: float = TTL_S,
        strategy: Strategy = "auto",
        verify_token: VerifyToken | None = None,
        on_lost: OnLost = "raise",
        live_index: bool = False,
    ) -> None:
        super().__init__(None, verify_token=verify_token)
        self._conversation = Conversation(key, on_lost)
        self.key = key
        self.work: UnitOfWork | None = None
        self.atomic_state = AtomicStateManager(
            RedisAtomic(client, strategy=strategy, live_index=live_index), ttl=ttl_s
        )

    def initialize_channel(self, channel_type: str, identifier: str) -> None:
        """Begin the conversation; nothing happens if it exists."""
        states = self.atomic_state
        states.run(self._conversation.begin(states.transactions, channel_type, identifier))

    def refresh(self) -> None:
        """Read the conversation again."""
        states = self.atomic_state
        states.run(self._conversation.refresh(states.transactions))

    @property
    def version(self) -> int:
        """How often the conversation was written since it began, as far as is known here."""
        return self._read().revision

    @property
    def in_hand(self) -> Document | None:
        """A copy of the document that was last read or written here. Nothing is read for it."""
        document: Document | None = documents.copied(self._conversation.last)
        return document

    @property
    def validation_state(self) -> ValidationState:
        """What was tried on the conversation, over all processes."""
        return self.atomic_state.validation_state(self.key)

    def update_state(self, updates: Mapping[str, Any]) -> None:
        """
        Merge whole parts: ``flow_data.data`` one level deep, the rest replaced.

        Raises:
            InvalidStateError: a part that may not be updated, or one without its validation; the
                message names the right way.
            StateMissingError: there is no such conversation.
        """
        self._edit(edits.update_state(updates), "update_state")

    def update_flow_state(
        self, context: str, component: str, data: Mapping[str, Any] | None = None
    ) -> None:
        """Move on to a step of a flow; counts the attempts at this step."""
        self._edit(edits.update_flow_state(context, component, data), "update_flow_state")

    def update_flow_data(self, data: Mapping[str, Any]) -> None:
        """
        Merge data into the step that the conversation is at.

        Raises:
            InvalidStateError: the conversation is in no flow.
        """
        self._edit(edits.update_flow_data(data), "update_flow_data")

    def clear_flow_state(self) -> None:
        """Leave the flow; what is known of the member stays."""
        self._edit(edits.clear_flow_state(), "clear_flow_state")

    def clear_all_state(self) -> None:
        """Forget everything but the channel, as a greeting does."""
        self._edit(edits.clear_all_state(), "clear_all_state")

    def authenticate(self, token: str) -> None:
        """
        Keep the token of a member who has logged in.

        Raises:
            InvalidStateError: ``verify_token`` does not accept it.
        """
        self._edit(edits.authenticate(token, self._verify_token), "authenticate")

    def log_out(self) -> None:
        """Forget the token and what is known of the member; the flow stays."""
        self._edit(edits.log_out(), "log_out")

    @contextmanager
    def message(self, update_id: str) -> Iterator[UnitOfWork]:
        """
        Work on one inbound message: one read now, one write at the end of the block.

        Nothing is written when the block raises, when it edits nothing, or when the message was
        applied before. A conversation that is known to be lost is treated as ``on_lost`` says.

        Args:
            update_id: the provider's id, which is the same when the message is delivered twice.
        """
        self.refresh()
        work = self._conversation.work(update_id, self._verify_token)
        self.work = work
        yield work
        states = self.atomic_state
        states.run(self._conversation.end(states.transactions, work))

    def _edit(self, edit: Edit, operation: str) -> None:
        states = self.atomic_state
        states.run(self._conversation.edit(states.transactions, edit, operation))

    def _loaded(self) -> Document:
        self._document = self._read().document
        return super()._loaded()

    def _read(self) -> Conversation:
        if not self._conversation.known:
            self.refresh()
        return self._conversation.refuse_lost()


class AsyncStateManager:
    """StateManager for asyncio: the same calls, awaited; ``message`` is entered with async with."""

    def __init__(
        self,
        key: str,
        client: "redis_asyncio.Redis | redis_asyncio.RedisCluster",
        *,
        ttl_s: float = TTL_S,
        strategy: Strategy = "auto",
        verify_token: VerifyToken | None = None,
        on_lost: OnLost = "raise",
        live_index: bool = False,
    ) -> None:
        self._conversation = Conversation(key, on_lost)
        self._verify_token = verify_token
        self.key = key
        self.work: UnitOfWork | None = None
        atomic = AsyncRedisAtomic(client, strategy=strategy, live_index=live_index)
        self.atomic_state = AsyncAtomicStateManager(atomic, ttl=ttl_s)

    async def initialize_channel(self, channel_type: str, identifier: str) -> None:
        """See StateManager."""
        states = self.atomic_state
        await states.run(self._conversation.begin(states.transactions, channel_type, identifier))

    async def refresh(self) -> None:
        """See StateManager."""
        states = self.atomic_state
        await states.run(self._conversation.refresh(states.transactions))

    @property
    def version(self) -> Awaitable[int]:
        """See StateManager."""
        return self._version()

    @property
    def in_hand(self) -> Document | None:
        """A copy of the document that was last read or written here. Nothing is read for it."""
        document: Document | None = documents.copied(self._conversation.last)
        return document

    @property
    def validation_state(self) -> Awaitable[ValidationState]:
        """See StateManager."""
        return self.atomic_state.validation_state(self.key)

    async def get_channel_id(self) -> str:
        """See StateManager."""
        return (await self._view()).get_channel_id()

    async def get_channel_type(self) -> str:
        """See StateManager."""
        return (await self._view()).get_channel_type()

    async def is_authenticated(self) -> bool:
        """See StateManager."""
        return (await self._view()).is_authenticated()

    async def get_member_id(self) -> str | None:
        """See StateManager."""
        return (await self._view()).get_member_id()

    async def get_flow_state(self) -> Document | None:
        """See StateManager."""
        return (await self._view()).get_flow_state()

    async def get_context(self) -> str | None:
        """See StateManager."""
        return (await self._view()).get_context()

    async def get_component(self) -> str | None:
        """See StateManager."""
        return (await self._view()).get_component()

    async def get_flow_data(self) -> Document:
        """See StateManager."""
        return (await self._view()).get_flow_data()

    async def get(self, part: str) -> Any:
        """See StateManager."""
        return (await self._view()).get(part)

    async def update_state(self, updates: Mapping[str, Any]) -> None:
        """See StateManager."""
        await self._edit(edits.update_state(updates), "update_state")

    async def update_flow_state(
        self, context: str, component: str, data: Mapping[str, Any] | None = None
    ) -> None:
        """See StateManager."""
        await self._edit(edits.update_flow_state(context, component, data), "update_flow_state")

    async def update_flow_data(self, data: Mapping[str, Any]) -> None:
        """See StateManager."""
        await self._edit(edits.update_flow_data(data), "update_flow_data")

    async def clear_flow_state(self) -> None:
        """See StateManager."""
        await self._edit(edits.clear_flow_state(), "clear_flow_state")

    async def clear_all_state(self) -> None:
        """See StateManager."""
        await self._edit(edits.clear_all_state(), "clear_all_state")

    async def authenticate(self, token: str) -> None:
        """See StateManager."""
        await self._edit(edits.authenticate(token, self._verify_token), "authenticate")

    async def log_out(self) -> None:
        """See StateManager."""
        await self._edit(edits.log_out(), "log_out")

    @asynccontextmanager
    async def message(self, update_id: str) -> AsyncIterator[UnitOfWork]:
        """See StateManager. The unit of work itself does no I/O: nothing in it is awaited."""
        await self.refresh()
        work = self._conversation.work(update_id, self._verify_token)
        self.work = work
        yield work
        states = self.atomic_state
        await states.run(self._conversation.end(states.transactions, work))

    async def _edit(self, edit: Edit, operation: str) -> None:
        states = self.atomic_state
        await states.run(self._conversation.edit(states.transactions, edit, operation))

    async def _version(self) -> int:
        return (await self._read()).revision

    async def _view(self) -> View:
        return View((await self._read()).document, verify_token=self._verify_token)

    async def _read(self) -> Conversation:
        if not self._conversation.known:
            await self.refresh()
        return self._conversation.refuse_lost()
