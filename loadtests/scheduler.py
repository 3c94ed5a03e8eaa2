"""
Hands each turn that is due to a free slot, and keeps the four clocks of a turn apart.

A slot is a Locust user: a connection, not a conversation. Any number of conversations share the
slots; within a conversation, a turn waits until the one before it is completed.
"""

import time
from collections import deque
from dataclasses import dataclass, field
from typing import Final

import gevent
from gevent.queue import Queue

from loadtests.arrivals import Schedule
from workbench.flows.model import Caller, Flow, Step

__all__ = ["Conversation", "Scheduler", "Turn"]

_DRAIN_S: Final = 10.0


@dataclass(slots=True)
class Conversation:
    """
    What the generator knows of a conversation.

    Attributes:
        position: index of the step that the next turn carries out; 0 again after a loss.
        written_s: when its state was last written, s from the start; None if never.
        acknowledged: the message whose write was acknowledged last; None if there is none.
        turns: turns handed out so far.
        waiting: turns that came due while one was still open.
    """

    number: int
    flow: Flow
    caller: Caller
    position: int = 0
    written_s: float | None = None
    acknowledged: str | None = None
    turns: int = 0
    open: bool = False
    waiting: "deque[Turn]" = field(default_factory=deque)

    @property
    def step(self) -> Step:
        """The step that the next turn carries out."""
        return self.flow.steps[self.position]


@dataclass(slots=True, eq=False)
class Turn:
    """
    One turn on its way to a slot. Times in s from the start of the warm-up.

    Attributes:
        due_s: its intended time.
        ready_s: when its conversation was free for it.
    """

    conversation: Conversation
    number: int
    due_s: float
    ready_s: float


class Scheduler:
    """
    Plays a schedule in real time.

    Args:
        schedule: conversations and their turns.
        duration_s: until when turns come due, s.
        seed: of the callers.

    Attributes:
        due, completed: turns so far.
        waiting_max, busy_max: most at once since the last ``peaks``.
    """

    def __init__(self, schedule: Schedule, *, duration_s: float, seed: int) -> None:
        self._schedule = schedule
        self._duration_s = duration_s
        self._seed = seed
        self._started_s = 0.0
        self._ready: Queue[Turn] = Queue()
        self._conversations: dict[int, Conversation] = {}
        self._pending: dict[Turn, None] = {}  # in the order in which they were due
        self._busy = self._idle = 0
        self.due = self.completed = self.waiting_max = self.busy_max = 0

    def now_s(self) -> float:
        """Seconds since the start of the warm-up; negative before it."""
        return time.monotonic() - self._started_s

    def conversation(self, number: int) -> Conversation:
        """The conversation of that number, as the generator knows it."""
        known = self._conversations.get(number)
        if known is None:
            caller = Caller(self._seed, number)
            known = Conversation(number, self._schedule.script(number), caller)
            self._conversations[number] = known
        return known

    def start_at(self, monotonic_s: float) -> None:
        """Set the instant that all times count from."""
        self._started_s = monotonic_s

    def play(self) -> None:
        """Have every turn come due in its time, then wait until all are completed, or 10 s."""
        times, conversations = self._schedule.due_between(0.0, self._duration_s)
        for due_s, number in zip(times.tolist(), conversations.tolist(), strict=True):
            wait_s = due_s - self.now_s()
            if wait_s > 0:
                gevent.sleep(wait_s)
            self._come_due(self.conversation(number), due_s)
        drained_by_s = self._duration_s + _DRAIN_S
        while (self._pending or self.now_s() < self._duration_s) and self.now_s() < drained_by_s:
            gevent.sleep(0.01)

    def take(self) -> tuple[Turn, float]:
        """
        The next turn for a free slot, waiting for one.

        Returns:
            the turn, and when both it and the slot were ready for it, s.
        """
        free_s = time.monotonic()
        self._idle += 1
        turn = self._ready.get()
        self._idle -= 1
        self._busy += 1
        self.busy_max = max(self.busy_max, self._busy)
        return turn, max(turn.ready_s, free_s - self._started_s)

    def done(self, turn: Turn, completed_s: float) -> None:
        """Take the turn back from its slot; the conversation's next may go."""
        self._busy -= 1
        self.completed += 1
        del self._pending[turn]
        conversation = turn.conversation
        if conversation.waiting:
            following = conversation.waiting.popleft()
            following.ready_s = completed_s
            self._make_ready(following)
        else:
            conversation.open = False

    def unsent(self) -> list[Turn]:
        """Turns that came due and were not completed, in the order in which they were due."""
        return list(self._pending)

    def peaks(self) -> tuple[int, int]:
        """Most turns without a slot, and most slots at work, at once since the last call."""
        peaks = self.waiting_max, self.busy_max
        self.waiting_max, self.busy_max = self._without_slot(), self._busy
        return peaks

    def _come_due(self, conversation: Conversation, due_s: float) -> None:
        turn = Turn(conversation, conversation.turns, due_s, due_s)
        conversation.turns += 1
        self.due += 1
        self._pending[turn] = None
        if conversation.open:
            conversation.waiting.append(turn)
        else:
            conversation.open = True
            self._make_ready(turn)

    def _make_ready(self, turn: Turn) -> None:
        self._ready.put(turn)
        self.waiting_max = max(self.waiting_max, self._without_slot())

    def _without_slot(self) -> int:
        return max(0, self._ready.qsize() - self._idle)
