"""The closed loop: each slot carries one conversation at a time, and waits for every answer."""

from collections.abc import Iterator
from typing import Any

import gevent
from gevent.event import Event

from loadtests.arrivals import LoadPlan, talk
from loadtests.scheduler import Conversation, Scheduler, Turn
from workbench.flows.model import Caller

__all__ = ["ClosedLoop"]


class ClosedLoop(Scheduler):
    """
    Turns that follow the answer to the one before by a think time: due is when they are sent.

    So a server that stalls is asked less, and what its stall did to people is not in the latency.

    Args:
        plan: its mix, think times, habits and duration; its rate has no say.
        first, step: this process takes the conversations first, first + step, …
    """

    def __init__(self, plan: LoadPlan, *, first: int = 0, step: int = 1) -> None:
        super().__init__(None, duration_s=plan.duration_s, seed=plan.seed)
        self._plan = plan
        self._next = first
        self._step = step
        self._talks: dict[object, Iterator[tuple[Conversation, float]]] = {}
        self._begun = Event()  # users may come before the start is known

    def play(self) -> None:
        """Wait until the time is over and the open turns are completed, or 10 s."""
        self._begun.set()
        gevent.sleep(max(0.0, self._duration_s - self.now_s()))
        self._drain()

    def take(self, slot: Any = None) -> Turn:
        """The next turn of the slot's conversation, after its think time; none after the end."""
        self._begun.wait()
        talk_of_slot = self._talks.setdefault(slot, self._conversations_on())
        conversation, pause_s = next(talk_of_slot)
        gevent.sleep(max(pause_s, -self.now_s()))
        if self.now_s() >= self._duration_s:
            Event().wait()  # until the slot is stopped
        now_s = self.now_s()
        turn = Turn(conversation, conversation.turns, now_s, now_s)
        conversation.turns += 1
        self.due += 1
        self._pending[turn] = None
        self._busy += 1
        self.busy_max = max(self.busy_max, self._busy)
        return turn

    def sent(self, turn: Turn) -> float:
        """Note that the turn is sent now, which is when it was due."""
        turn.due_s = turn.ready_s = super().sent(turn)
        return turn.due_s

    def deliver_again(self, turn: Turn, due_s: float) -> None:
        """Not here: what comes beside the loop would make it an open one."""

    def _conversations_on(self) -> Iterator[tuple[Conversation, float]]:
        """One conversation after the other: each turn's, and the pause before it, s."""
        pause_s = 0.0  # the first message is not waited for
        while True:
            number, self._next = self._next, self._next + self._step
            flow, script, pauses = talk(self._plan, number)
            conversation = Conversation(number, flow, script, Caller(self._seed, number))
            self._conversations[number] = conversation
            for following_s in pauses:
                yield conversation, pause_s
                pause_s = following_s
