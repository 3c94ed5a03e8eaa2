"""
The probe: when the load is over, every conversation that is thought to be there is looked for.

Of a document only its head is read: it holds the names of the last eight updates, so the last one
that was acknowledged must be among them. No locust in here.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from redis import Redis
from redis.exceptions import RedisError

from loadtests.scheduler import Conversation
from loadtests.witness import Witness
from workbench.state.head import HEAD_BYTES, names_in

__all__ = ["Found", "probe"]

# Replies of so many heads fit a client's own buffer in the server, 16 KB. More would be allocated,
# count as used memory, and evict keys under the eyes of who counts them.
_BATCH: Final = 100
_TIME_MAX_S: Final = 60.0
_AGAIN_MAX: Final = 3


@dataclass(frozen=True, slots=True)
class Found:
    """
    A conversation as it was found.

    Attributes:
        state: one of the schema's KEY_STATES.
        update: ``kept``, ``lost`` or ``unsure``; empty if there was no document.
        at_s: when it was looked for, by the monotonic clock.
    """

    conversation: Conversation
    state: str
    update: str
    at_s: float


def probe(
    client: Redis, conversations: Iterable[Conversation], witness: Witness, *, started_s: float
) -> list[Found]:
    """
    Look for every conversation that was written and not found gone.

    Evictions go on as long as memory is short, and reading is a command as any other; so those that
    were there are looked for again until nothing was evicted meanwhile.

    Args:
        client: of the server; its replies are not decoded.
        conversations: that the load knows.
        witness: says what became of one that is gone.
        started_s: the monotonic instant that the conversations' times count from.
    """
    deadline_s = time.monotonic() + _TIME_MAX_S
    written = [each for each in conversations if each.name]
    found = {each.number: Found(each, "unread", "", time.monotonic()) for each in written}
    for _ in range(1 + _AGAIN_MAX):
        witness.look()
        evicted_before = witness.evicted_keys
        for each in _look(client, written, witness, started_s, deadline_s):
            found[each.conversation.number] = each
        witness.look()
        if witness.evicted_keys == evicted_before or time.monotonic() > deadline_s:
            break
        written = [each.conversation for each in found.values() if each.state == "present"]
    return list(found.values())


def _look(
    client: Redis,
    conversations: Sequence[Conversation],
    witness: Witness,
    started_s: float,
    deadline_s: float,
) -> Iterator[Found]:
    rest = iter(conversations)
    while (batch := list(islice(rest, _BATCH))) and time.monotonic() < deadline_s:
        pipe = client.pipeline(transaction=False)
        for conversation in batch:
            pipe.getrange(
                f"channel:{conversation.caller.identifier}", 0, HEAD_BYTES - 1
            )  # workbench: raw
        try:
            heads = pipe.execute()
        except RedisError:
            return
        now_s = time.monotonic()
        for conversation, head in zip(batch, heads, strict=True):
            if head:
                yield Found(conversation, "present", _update(conversation, head), now_s)
            elif now_s - started_s >= conversation.expires_s:
                yield Found(conversation, "expired", "", now_s)
            else:
                written_s = started_s + (conversation.written_s or 0.0)
                yield Found(conversation, witness.why_gone(written_s), "", now_s)


def _update(conversation: Conversation, head: bytes) -> str:
    if conversation.name in names_in(head):
        return "kept"
    return "unsure" if conversation.unsure else "lost"
