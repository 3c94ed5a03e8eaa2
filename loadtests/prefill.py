"""
What a server that has been in service would hold at the start: the conversations under way.

Their states are written by the state manager and then given their true age, by DUMP and RESTORE
with IDLETIME: written in one burst, they would all look equally old to an LRU clock of 1 s.
"""

import time

import numpy as np
from redis import Redis

from loadtests.arrivals import Schedule
from loadtests.drivers.reference import apply
from loadtests.scheduler import Conversation, Scheduler
from workbench.state import StateManager, connect

__all__ = ["prefill", "under_way"]

# What is evicted between its DUMP and its RESTORE is back, and counted as evicted: so few at once.
_BATCH = 20
_AGING_S_PER_KEY = 0.0002


def prefill(url: str, schedule: Schedule, scheduler: Scheduler, *, ttl_s: float, token: str) -> int:
    """
    Write the conversations that have turns both before and after 0, and age them.

    Conversations that ended before 0 are left out: nobody will ask for them again.

    Args:
        url: of the server.
        schedule: whose turns before 0 are taken as done.
        scheduler: is told where each conversation stands, and when 0 will be.
        ttl_s: time to live of a write, s.
        token: of this run, for the ids of its messages.

    Returns:
        how many were written.
    """
    numbers, done, last_s = under_way(schedule, scheduler.part)
    client = connect(url, max_connections=1)
    written = []
    for index in np.argsort(last_s):
        conversation = scheduler.conversation(int(numbers[index]))
        conversation.position = conversation.turns = int(done[index])
        conversation.written_s = float(last_s[index])
        conversation.expires_s = conversation.written_s + ttl_s
        if -conversation.written_s < ttl_s:
            _write(client, conversation, ttl_s, token)
            written.append(conversation)
    scheduler.start_at(time.monotonic() + 0.5 + len(written) * _AGING_S_PER_KEY)
    _age(url, scheduler, written, ttl_s)
    return len(written)


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


def _age(url: str, scheduler: Scheduler, written: list[Conversation], ttl_s: float) -> None:
    # DUMP answers bytes that are no text, so replies are not decoded here.
    with Redis.from_url(url, socket_timeout=10.0) as raw:
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
                pipe.restore(
                    key, left_ms, dump, replace=True, idletime=max(0, int(age_s))
                )  # workbench: raw
            pipe.execute()
