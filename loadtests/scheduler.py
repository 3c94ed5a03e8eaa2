"""
Hands each turn that is due to a free slot, and keeps the four clocks of a turn apart.

A slot is a Locust user: a connection, not a conversation. Any number of conversations share the
slots; within a conversation, a turn waits until the one before it is completed.
"""

import time
from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Final

import gevent
import numpy as np
from gevent.event import Event
from gevent.queue import Queue

from loadtests.arrivals import Schedule
from workbench.flows.model import Caller, Edit, Flow, Step

__all__ = ["Conversation", "Message", "Scheduler", "Turn"]

_DRAIN_S: Final = 10.0
_ANSWER_S: Final = 5.0


@dataclass(slots=True)
class Conversation:
    """
    What the generator knows of a conversation.

    Attributes:
        position: index of the step that the next turn carries out; 0 again after a loss.
        written_s: when its state was last written, s from the start; None if there is none.
        expires_s: when its time to live may have run out at the earliest, s from the start.
        acknowledged: the message whose write was acknowledged last; None if there is none.
        name: of that write, as the document's head holds it; empty if there is none.
        settled: number of the turn that was carried out last; -1 if none was.
        task: index of the server that holds its state, where there is one for each task.
        unsure: a later write got no answer.
        gone: why its state was found gone last; empty if it was written since.
        turns: turns handed out so far.
        waiting: turns that came due while one was still open.
    """

    number: int
    flow: Flow
    script: tuple[Step, ...]
    caller: Caller
    position: int = 0
    written_s: float | None = None
    expires_s: float = 0.0
    acknowledged: str | None = None
    name: bytes = b""
    settled: int = -1
    task: int = 0
    unsure: bool = False
    gone: str = ""
    turns: int = 0
    open: bool = False
    waiting: "deque[Turn]" = field(default_factory=deque)

    @property
    def step(self) -> Step:
        """The step that the next turn carries out."""
        return self.script[self.position]


@dataclass(slots=True)
class Message:
    """
    What a turn delivers: made when it is sent for the first time, the same whenever it is again.

    Attributes:
        step: that it carries out; None until it is sent.
        position: of that step in the conversation.
        edit: what it changes in the state.
        sent_s: when it was sent first, s; None until it is.
        gone: why its conversation was gone; empty if it was not.
        deliveries: so far.
    """

    step: Step | None = None
    position: int = 0
    edit: Edit | None = None
    sent_s: float | None = None
    gone: str = ""
    deliveries: int = 1

    def make(self, conversation: Conversation) -> tuple[Step, Edit]:
        """The step and its edit, as the conversation stands now if it was not sent before."""
        if self.step is None or self.edit is None:
            self.step, self.position = conversation.step, conversation.position
            self.edit = self.step.edit(conversation.caller)
        return self.step, self.edit

    @property
    def begins(self) -> bool:
        """Whether it is a greeting, which begins the conversation if there is none."""
        greets = self.edit is not None and self.edit.reset
        answers = self.step is not None and self.step.answers
        return self.position == 0 or (greets and not answers)


@dataclass(slots=True, eq=False)
class Turn:
    """
    One turn on its way to a slot. Times in s from the start of the warm-up.

    Attributes:
        due_s: its intended time.
        ready_s: when its conversation was free for it, and a slot.
        sent_s: when it was sent; None if it was not yet.
        message: what is delivered, which further turns may deliver again.
        delivery: 0 for the first of its message, then 1, 2, …
        beside: it does not wait for other turns of its conversation, nor they for it.
    """

    conversation: Conversation
    number: int
    due_s: float
    ready_s: float
    sent_s: float | None = None
    message: Message = field(default_factory=Message)
    delivery: int = 0
    beside: bool = False


class Scheduler:
    """
    Plays a schedule in real time.

    Args:
        schedule: conversations and their turns; None where a subclass makes them.
        duration_s: until when turns come due, s.
        seed: of the callers.
        part: w and n: only conversations whose number leaves w when divided by n are played.

    Attributes:
        due, completed: turns so far.
        waiting_max, busy_max: most at once since the last ``peaks``.
    """

    def __init__(
        self,
        schedule: Schedule | None,
        *,
        duration_s: float,
        seed: int,
        part: tuple[int, int] = (0, 1),
    ) -> None:
        self._schedule = schedule
        self._duration_s = duration_s
        self._seed = seed
        self.part = part
        self._started_s = 0.0
        self._ready: Queue[Turn] = Queue()
        self._conversations: dict[int, Conversation] = {}
        self._pending: dict[Turn, None] = {}  # in the order in which they were due
        self._busy = self._idle = 0
        self._over = False
        self.due = self.completed = self.waiting_max = self.busy_max = 0

    @property
    def started_s(self) -> float:
        """The instant that all times count from, by the monotonic clock."""
        return self._started_s

    @property
    def conversations(self) -> Collection[Conversation]:
        """Those that were handed out so far."""
        return self._conversations.values()

    def now_s(self) -> float:
        """Seconds since the start of the warm-up; negative before it."""
        return time.monotonic() - self._started_s

    def conversation(self, number: int) -> Conversation:
        """The conversation of that number, as the generator knows it."""
        known = self._conversations.get(number)
        if known is None:
            flow, script = self._schedule.flow_of(number), self._schedule.scripts[number]
            known = Conversation(number, flow, script, Caller(self._seed, number))
            self._conversations[number] = known
        return known

    def start_at(self, monotonic_s: float) -> None:
        """Set the instant that all times count from."""
        self._started_s = monotonic_s

    def postpone(self, monotonic_s: float, others: Iterable[Conversation] = ()) -> None:
        """Set that instant later; what was written by then, others too, is older than planned."""
        later_s = monotonic_s - self._started_s
        self._started_s = monotonic_s
        for conversation in (*self._conversations.values(), *others):
            if conversation.written_s is not None:
                conversation.written_s -= later_s
                conversation.expires_s -= later_s

    def play(self) -> None:
        """
        Have every turn come due in its time, then wait until all are completed, or 10 s.

        Nothing is sent any more when it returns.
        """
        schedule = self._schedule
        turns = schedule.due_between(0.0, self._duration_s)
        conversations = schedule.conversations_of(turns)
        ours = conversations % self.part[1] == self.part[0]
        turns, conversations = turns[ours], conversations[ours]
        times = schedule.due_s[turns]
        again_s = (
            np.full(len(turns), np.nan) if schedule.again_s is None else schedule.again_s[turns]
        )
        rows = (times.tolist(), conversations.tolist(), again_s.tolist())
        for due_s, number, later_s in zip(*rows, strict=True):
            wait_s = due_s - self.now_s()
            if wait_s > 0:
                gevent.sleep(wait_s)
            turn = self._come_due(self.conversation(number), due_s)
            if later_s >= 0:  # and not NaN
                self.deliver_again(turn, due_s + later_s)
        self._drain()

    def deliver_again(self, turn: Turn, due_s: float) -> None:
        """Have the turn's message come due once more, s; not at all after the end."""
        if due_s < self._duration_s:
            message = turn.message
            again = Turn(
                turn.conversation,
                turn.number,
                due_s,
                due_s,
                message=message,
                delivery=message.deliveries,
                beside=True,
            )
            message.deliveries += 1
            gevent.spawn_later(max(0.0, due_s - self.now_s()), self._come_due_again, again)

    def _drain(self) -> None:
        drained_by_s = self._duration_s + _DRAIN_S
        while (self._pending or self.now_s() < self._duration_s) and self.now_s() < drained_by_s:
            gevent.sleep(0.01)
        # From here on nothing is sent: what is looked for afterwards must not change meanwhile.
        self._over = True
        while self.in_service() and self.now_s() < drained_by_s + _ANSWER_S:
            gevent.sleep(0.01)
        for turn in self._pending:
            turn.conversation.unsure |= turn.sent_s is not None

    def take(self, slot: object = None) -> Turn:
        """The next turn for a free slot, waiting for one."""
        free_s = time.monotonic()
        self._idle += 1
        turn = self._ready.get()
        if self._over:
            Event().wait()  # until the slot is stopped
        self._idle -= 1
        self._busy += 1
        self.busy_max = max(self.busy_max, self._busy)
        turn.ready_s = max(turn.ready_s, free_s - self._started_s)
        return turn

    def sent(self, turn: Turn) -> float:
        """Note that the turn is sent now, s."""
        turn.sent_s = self.now_s()
        if turn.message.sent_s is None:
            turn.message.sent_s = turn.sent_s
        return turn.sent_s

    def done(self, turn: Turn, completed_s: float) -> None:
        """Take the turn back from its slot; the conversation's next may go."""
        self._busy -= 1
        self.completed += 1
        del self._pending[turn]
        if turn.beside:
            return
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

    def in_service(self) -> list[float]:
        """When the turns were sent that the server has not answered yet, s."""
        return [turn.sent_s for turn in self._pending if turn.sent_s is not None]

    def peaks(self) -> tuple[int, int]:
        """Most turns without a slot, and most slots at work, at once since the last call."""
        peaks = self.waiting_max, self.busy_max
        self.waiting_max, self.busy_max = self._without_slot(), self._busy
        return peaks

    def _come_due(self, conversation: Conversation, due_s: float) -> Turn:
        turn = Turn(conversation, conversation.turns, due_s, due_s)
        conversation.turns += 1
        self.due += 1
        self._pending[turn] = None
        if conversation.open:
            conversation.waiting.append(turn)
        else:
            conversation.open = True
            self._make_ready(turn)
        return turn

    def _come_due_again(self, turn: Turn) -> None:
        if self._over:
            return
        self.due += 1
        self._pending[turn] = None
        if turn.message.step is None:  # the first delivery still waits itself: behind it
            turn.beside = False
            turn.conversation.waiting.append(turn)
        else:
            self._make_ready(turn)

    def _make_ready(self, turn: Turn) -> None:
        self._ready.put(turn)
        self.waiting_max = max(self.waiting_max, self._without_slot())

    def _without_slot(self) -> int:
        return max(0, self._ready.qsize() - self._idle)
