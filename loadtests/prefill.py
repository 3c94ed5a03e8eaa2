"""
What a server that has been in service would hold at the start.

The conversations under way are written by the state manager. If a share of the cap is to be used,
idle sessions follow: people who logged in and left, by pipelined writes. All are then given their
true age, by DUMP and RESTORE with IDLETIME: written in one burst, they would look equally old to an
LRU clock of 1 s. Where the least frequently used are evicted, they are given the FREQ that their
age has left them.
"""

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import count, islice
from random import Random
from typing import Final

import numpy as np
from redis import Redis

from loadtests.arrivals import Schedule
from loadtests.drivers.turn import apply
from loadtests.scheduler import Conversation, Scheduler
from workbench.errors import UsageError
from workbench.flows.login import LOGIN, logged_in
from workbench.flows.model import Caller
from workbench.state import StateManager, connect
from workbench.state import document as documents
from workbench.state.head import ABSENT, name_of

__all__ = ["prefill", "under_way"]

# What is evicted between its DUMP and its RESTORE is back, and counted as evicted: so few at once.
_BATCH: Final = 20
_AGING_S_PER_KEY: Final = 0.0002
_IDLE_BATCH: Final = 200
# A write and some reads make 6 of the 5 that a key begins with; each idle minute takes one away
# (lfu-log-factor 10, lfu-decay-time 1: the defaults).
_FREQUENCY: Final = 6
_DECAY_S: Final = 60
_IDLE_FROM: Final = 500_000_000
"""Number of the first idle session, beyond those of any conversation."""


def prefill(
    urls: Sequence[str],
    schedule: Schedule,
    scheduler: Scheduler,
    *,
    ttl_s: float,
    token: str,
    share: float = 0.0,
) -> tuple[int, list[Conversation]]:
    """
    Write the conversations that have turns both before and after 0, and age them.

    Conversations that ended before 0 are left out: nobody will ask for them again. If a share of
    the cap is given, idle sessions, as old as such are, stand for them.

    Args:
        urls: of the servers; the conversations go to one after the other.
        schedule: whose turns before 0 are taken as done.
        scheduler: is told where each conversation stands, and when 0 will be.
        ttl_s: time to live of a write, s.
        token: of this run, for the ids of its messages.
        share: of maxmemory, that is to be used before the start; 0 for no idle sessions.

    Returns:
        how many conversations were written, and the idle sessions.

    Raises:
        UsageError: there is no maxmemory, of which a share could be used.
    """
    numbers, done, last_s = under_way(schedule, scheduler.part)
    clients = [connect(url, max_connections=1) for url in urls]
    written: list[Conversation] = []
    for index in np.argsort(last_s):
        conversation = scheduler.conversation(int(numbers[index]))
        conversation.position = conversation.turns = int(done[index])
        conversation.written_s = float(last_s[index])
        conversation.expires_s = conversation.written_s + ttl_s
        conversation.task = conversation.number % len(urls)
        if -conversation.written_s < ttl_s:
            _write(clients[conversation.task], conversation, ttl_s, token)
            written.append(conversation)
    idle: list[Conversation] = []
    if share > 0:
        for task, client in enumerate(clients):
            idle += _idle(client, task, scheduler.part, ttl_s=ttl_s, share=share)
    aged = written + sorted(idle, key=lambda each: each.written_s or 0.0)
    scheduler.start_at(time.monotonic() + 0.5 + len(aged) * _AGING_S_PER_KEY)
    for task, url in enumerate(urls):
        _age(url, scheduler, [each for each in aged if each.task == task], ttl_s)
    return len(written), idle


def under_way(
    schedule: Schedule, part: tuple[int, int] = (0, 1)
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Numbers of the conversations, their turns before 0, and the time of the last of these."""
    past = np.concatenate([[0], np.cumsum(schedule.due_s < 0)])
    done = np.diff(past[schedule.first])
    turns = np.diff(schedule.first)
    numbers = np.flatnonzero((done > 0) & (done < turns))
    numbers = numbers[numbers % part[1] == part[0]]
    last_s = schedule.due_s[schedule.first[numbers] + done[numbers] - 1]
    return numbers, done[numbers], last_s


def _write(client: Redis, conversation: Conversation, ttl_s: float, token: str) -> None:
    identifier = conversation.caller.identifier
    manager = StateManager(f"channel:{identifier}", client, ttl_s=ttl_s)
    conversation.acknowledged = f"{token}-prefill"
    with manager.message(conversation.acknowledged) as work:
        work.initialize_channel("whatsapp", identifier)
        for step in conversation.script[: conversation.position]:
            apply(work, step.edit(conversation.caller))
    assert work.written is not None, "a prefill edits the state"
    conversation.name = work.written.head.names[0]


def _idle(
    client: Redis, task: int, part: tuple[int, int], *, ttl_s: float, share: float
) -> list[Conversation]:
    """Sessions that nobody will go on with, until the share of the cap is used."""
    cap_bytes = int(client.info("memory")["maxmemory"])
    if not cap_bytes:
        raise UsageError(
            "the server has no maxmemory, of which --prefill-share could be used: give it one, or "
            "leave the option out"
        )
    sessions: list[Conversation] = []
    drawn = _sessions(task, part, ttl_s)
    expire_s = time.monotonic() + ttl_s
    while int(client.info("memory")["used_memory"]) < share * cap_bytes:
        pipe = client.pipeline(transaction=False)
        for session, text in islice(drawn, _IDLE_BATCH):
            pipe.set(
                f"channel:{session.caller.identifier}", text, px=round(1000 * ttl_s)
            )  # workbench: raw
            sessions.append(session)
        pipe.execute()
        if time.monotonic() > expire_s:
            raise UsageError(
                "idle sessions expire before --prefill-share of the cap is used: ask for less, or "
                "raise the time to live"
            )
    return sessions


def _sessions(
    task: int, part: tuple[int, int], ttl_s: float
) -> Iterator[tuple[Conversation, bytes]]:
    """One idle session after the other, and its text: of people who greeted, and left."""
    now, random = datetime.now(UTC), Random(f"idle {task} {part}")
    edit = logged_in(Caller(0, _IDLE_FROM))  # of all of them: their texts are as long
    for index in count():
        number = _IDLE_FROM + 10_000_000 * task + part[0] + part[1] * index
        caller = _Named(number)
        document = {
            **documents.new_document("whatsapp", caller.identifier, now),
            **edit.parts,
            "flow_data": {
                "context": edit.context,
                "component": edit.component,
                "data": edit.data,
                "validation": {"in_progress": False, "attempts": 0, "last_attempt": None},
            },
        }
        head, text = ABSENT.followed_by(documents.encode(document), name_of(f"idle {number}"))
        session = Conversation(number, LOGIN, (), caller, task=task)
        session.written_s = -random.uniform(0.0, ttl_s)
        session.expires_s = session.written_s + ttl_s
        session.name = head.names[0]
        yield session, text


class _Named(Caller):
    """A caller of whom only the identifier is needed: 100 bytes instead of 3 KB."""

    __slots__ = ()

    def __init__(self, number: int) -> None:
        self.identifier = self.identifier_of(number)


def _age(url: str, scheduler: Scheduler, written: list[Conversation], ttl_s: float) -> None:
    # DUMP answers bytes that are no text, so replies are not decoded here.
    with Redis.from_url(url, socket_timeout=10.0) as raw:
        by_frequency = "lfu" in str(raw.info("memory")["maxmemory_policy"])
        for start in range(0, len(written), _BATCH):
            batch = written[start : start + _BATCH]
            keys = [f"channel:{conversation.caller.identifier}" for conversation in batch]
            pipe = raw.pipeline(transaction=False)
            for key in keys:
                pipe.dump(key)  # workbench: raw
            dumps = pipe.execute()
            for conversation, key, dump in zip(batch, keys, dumps, strict=True):
                if dump is None:  # evicted while the others were written
                    continue
                age_s = scheduler.now_s() - (conversation.written_s or 0.0)
                left_ms = max(1, round(1000 * (ttl_s - age_s)))
                aged = {"idletime": max(0, int(age_s))}
                if by_frequency:
                    aged = {"frequency": max(0, _FREQUENCY - int(age_s / _DECAY_S))}
                pipe.restore(key, left_ms, dump, replace=True, **aged)  # workbench: raw
            pipe.execute()
