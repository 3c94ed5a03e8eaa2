"""Load: a schedule, the slots that carry it, and the ledger that keeps what became of it."""

import gc
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from random import Random
from typing import Final

import gevent
from locust import User
from locust.env import Environment
from redis import Redis

from loadtests.arrivals import LoadPlan, Schedule, draw
from loadtests.closed import ClosedLoop
from loadtests.crew import Share
from loadtests.drivers import Slot, driver
from loadtests.drivers.turn import GONE, Done
from loadtests.ledger import Ledger, Second
from loadtests.prefill import prefill
from loadtests.probe import Found, probe
from loadtests.scheduler import Conversation, Scheduler, Turn
from loadtests.tally import Tally
from loadtests.witness import Witness
from workbench.runs.clock import Clock
from workbench.state import connect

__all__ = ["Load"]

_FLUSH_S: Final = 5.0
_START_IN_S: Final = 0.5
_WATCH_S: Final = 1.0
_DELIVERIES_AGAIN_MAX: Final = 3
_GOOD: Final = ("ok", "duplicate")
_UNKNOWN_NAME: Final = b"?"
"""Of a write of which only is known that it was made; no head has it."""
_OVERDUE_S: Final = 1.0


class StateLostError(Exception):
    """What Locust's own statistics are told of a turn that found no state."""


class Load:
    """
    One load: a schedule, the slots that carry it, and the ledger that keeps it.

    Args:
        environment: Locust's.
        urls: of the server; or of several, one for each task, any of which gets a turn.
        plan: what is offered.
        share: the part of it that this process carries.
        wait_for_others: at a stage that all processes must have reached.
        schedule: what is played; drawn from the plan if None.
        closed_loop: turns follow the answers, not the plan's rate.
        warm_up_s: how much of the plan comes before the measured phase, s.
        run_dir: where to record; nowhere if None.
        clock: the run's.
    """

    def __init__(
        self,
        environment: Environment,
        urls: Sequence[str],
        plan: LoadPlan,
        *,
        schedule: Schedule | None = None,
        share: Share,
        wait_for_others: Callable[[str], None] | None,
        closed_loop: bool,
        warm_up_s: float,
        run_dir: Path | None,
        clock: Clock,
    ) -> None:
        self._environment = environment
        self._plan = plan
        self._warm_up_s = warm_up_s
        self._ttl_s = plan.ttl_s
        self._urls = urls
        options = environment.parsed_options
        self._driver = driver(options.driver, pool=options.pool)
        self._prefill_share = options.prefill_share
        self._schedule = None if closed_loop else schedule or draw(plan)
        self._scheduler = (
            Scheduler(
                self._schedule,
                duration_s=plan.duration_s,
                seed=plan.seed,
                part=(share.index, share.count),
            )
            if self._schedule
            else ClosedLoop(plan, first=share.index, step=share.count)
        )
        measured_s = (warm_up_s, plan.duration_s)
        self._ledger = Ledger(run_dir, share.index, ttl_s=plan.ttl_s, measured_s=measured_s)
        self._witnesses = [Witness(connect(url, max_connections=2, breaker=None)) for url in urls]
        self._idle: list[Conversation] = []
        self._finished = False
        self._clock = clock
        # Ids are remembered in the state: those of an earlier run with this seed are not these.
        self._token = share.token
        self._wait_for_others = wait_for_others
        # The phases are told once, by the first.
        self._tells_phases = share.index == 0

    @property
    def tally(self) -> Tally:
        """The figures so far."""
        return self._ledger.tally

    def so_far(self) -> Tally:
        """The figures so far, with the turns of the measured phase that are overdue now."""
        if not self._finished:
            due_by_s = min(self._scheduler.now_s() - _OVERDUE_S, self._plan.duration_s)
            dues_s = (turn.due_s for turn in self._scheduler.unsent())
            self.tally.overdue = sum(self._warm_up_s <= due_s < due_by_s for due_s in dues_s)
        return self.tally

    def open_slots(self) -> list[Slot]:
        """What carries one user's turns: a slot for each server."""
        return [self._driver(url, ttl_s=self._ttl_s) for url in self._urls]

    def run(self) -> None:
        """Prefill, play the schedule, record it, and look for what it left."""
        self._look()
        self._prefill()
        # What was drawn stays to the end: keep the collector from walking it in mid-load.
        gc.collect()
        gc.freeze()
        if self._wait_for_others:
            self._wait_for_others("play")
        if self._scheduler.now_s() > -_START_IN_S / 2 or self._wait_for_others:
            self._scheduler.postpone(time.monotonic() + _START_IN_S, self._idle)
        self._ledger.unix_at_zero_s = self._clock.unix_s() - self._scheduler.now_s()
        # Without its end, in case there is nobody left to write that.
        if self._tells_phases:
            self._ledger.event(self._ledger.unix_at_zero_s, 0.0, "origin")
        helpers = [gevent.spawn(self._record_seconds), gevent.spawn(self._watch)]
        for helper in helpers:
            helper.link_exception(lambda failed: self.give_up(failed.exception))
        self._scheduler.play()
        gevent.killall(helpers)
        if self._wait_for_others:  # whose turns would evict what was looked at
            self._wait_for_others("probe")
        self._probe()

    def fail(self, why: BaseException | None) -> None:
        """Have Locust exit with 4: what was measured is not all on record."""
        print(f"the load broke off: {why!r}", file=sys.stderr)  # noqa: T201
        self._environment.process_exit_code = 4

    def give_up(self, why: BaseException | None) -> None:
        """Fail, and end the load at once."""
        self.fail(why)
        self._environment.runner.quit()

    def carry(self, slot: User) -> None:
        """Carry one turn: wait for it, send it, record it."""
        turn = self._scheduler.take(slot)
        conversation = turn.conversation
        step, edit = turn.message.make(conversation)
        begins = turn.message.begins
        message_id = f"{self._token}-{conversation.number}-{turn.number}"
        send_s = self._scheduler.sent(turn)
        task = self._task(turn)
        done = slot.slots[task].carry_out(
            conversation.caller.identifier,
            message_id,
            edit,
            begins=begins,
            # Of a message that was applied already the document always knows.
            follows=None if conversation.acknowledged == message_id else conversation.acknowledged,
        )
        completed_s = self._scheduler.now_s()
        age_s = None if conversation.written_s is None else send_s - conversation.written_s
        outcome = self._settle(turn, message_id, done, task, send_s, completed_s)
        self._scheduler.done(turn, completed_s)
        self._ledger.turn(
            turn,
            step.name,
            outcome,
            done,
            begins=begins,
            sent_s=send_s,
            completed_s=completed_s,
            age_s=age_s,
        )
        slot.environment.events.request.fire(
            request_type="TURN",
            name=f"{conversation.flow.name}/{step.name}",
            response_time=1e3 * (completed_s - turn.due_s),
            response_length=done.value_bytes,
            exception=None if outcome in _GOOD else StateLostError(done.error or outcome),
            context={},
        )

    def finish(self) -> None:
        """
        Record what is left: also called when the load is stopped early, and more than once.

        Raises:
            OSError: it cannot be written.
        """
        if self._finished:
            return
        self._finished = True
        self.tally.overdue = 0
        now_s = self._scheduler.now_s()
        if self._ledger.unix_at_zero_s:
            self._ledger.unsent(self._scheduler.unsent(), now_s)
            self._record_phases(now_s)
        self._ledger.flush()

    def _prefill(self) -> None:
        if self._schedule is None:  # a closed loop begins with nobody under way
            self._scheduler.start_at(time.monotonic() + _START_IN_S)
            return
        began_s = self._clock.unix_s()
        count, self._idle = prefill(
            self._urls,
            self._schedule,
            self._scheduler,
            ttl_s=self._ttl_s,
            token=self._token,
            share=self._prefill_share,
        )
        took_s = self._clock.unix_s() - began_s
        idle = f", {len(self._idle)} idle ones" if self._idle else ""
        self._ledger.event(began_s, took_s, "prefill", f"{count} conversations{idle}")

    def _settle(
        self,
        turn: Turn,
        message_id: str,
        done: Done,
        task: int,
        send_s: float,
        completed_s: float,
    ) -> str:
        """Name the outcome, and where the conversation goes from here."""
        conversation = turn.conversation
        elsewhere = task != conversation.task
        if done.outcome in {"ok", "lost_update"}:
            # One that is delivered again may come to its end after the one that follows it. Then it
            # changes nothing here, unless it began anew what was gone by then.
            late = turn.number < conversation.settled
            if not late or done.begun:
                # The server counts from some time between the two.
                self._wrote(conversation, completed_s, send_s, done.name, task)
            if not late:
                self._go_on(turn, message_id)
            elif done.begun:
                conversation.acknowledged = None
            return "elsewhere" if elsewhere and done.outcome == "lost_update" else done.outcome
        if done.outcome == "duplicate":  # another delivery was carried out, whoever was told so
            if turn.number > conversation.settled:
                first_s = send_s if turn.message.sent_s is None else turn.message.sent_s
                self._wrote(conversation, first_s, first_s, _UNKNOWN_NAME, task)
                self._go_on(turn, message_id)
                conversation.unsure = True
            return done.outcome
        if done.outcome == GONE:
            return self._lost(turn, task, completed_s, elsewhere=elsewhere)
        conversation.unsure |= done.unsure
        self._deliver_again(turn, completed_s)
        return done.outcome

    def _lost(self, turn: Turn, task: int, completed_s: float, *, elsewhere: bool) -> str:
        """Name why there is no state; the next turn greets, in its own time."""
        conversation, message = turn.conversation, turn.message
        if message.gone:  # as another delivery has found out
            return message.gone
        # "Your session has expired, send hi".
        written_s, expired = conversation.written_s, completed_s >= conversation.expires_s
        ours = bool(conversation.name)  # not of one whose time had run out before the start
        conversation.position = 0
        conversation.acknowledged = conversation.written_s = None
        conversation.name, conversation.unsure = b"", False
        if written_s is None:  # as an earlier turn has found out already, if any has
            return conversation.gone or "missing"
        if expired:
            cause = "expired"
        elif elsewhere:
            cause = "elsewhere"
        else:
            cause = self._witnesses[task].why_gone(self._scheduler.started_s + written_s)
        if ours:
            self._ledger.lost(cause)
        message.gone = conversation.gone = cause
        return cause

    def _wrote(
        self, conversation: Conversation, written_s: float, since_s: float, name: bytes, task: int
    ) -> None:
        """Note the conversation's last write, whose time to live may run from ``since_s`` on."""
        conversation.written_s, conversation.expires_s = written_s, since_s + self._ttl_s
        conversation.name, conversation.task = name, task

    def _go_on(self, turn: Turn, message_id: str) -> None:
        """The turn was carried out: what follows is the step after it."""
        conversation = turn.conversation
        conversation.acknowledged, conversation.settled = message_id, turn.number
        conversation.unsure, conversation.gone = False, ""
        last = len(conversation.script) - 1
        conversation.position = min(turn.message.position + 1, last)

    def _deliver_again(self, turn: Turn, completed_s: float) -> None:
        """As the provider does with a message that was not answered as it should be."""
        again_s = self._plan.habits.redelivery_s
        undone = turn.number > turn.conversation.settled
        if again_s and undone and turn.message.deliveries <= _DELIVERIES_AGAIN_MAX:
            self._scheduler.deliver_again(turn, completed_s + again_s)

    def _task(self, turn: Turn) -> int:
        """Which of the servers gets the turn: callers are not sticky."""
        if len(self._urls) == 1:
            return 0
        drawn = f"{self._plan.seed}/{turn.conversation.number}/{turn.number}/{turn.delivery}"
        return Random(drawn).randrange(len(self._urls))

    def _look(self) -> None:
        for witness in self._witnesses:
            witness.look()

    def _watch(self) -> None:
        while True:
            gevent.sleep(_WATCH_S)
            self._look()

    def _probe(self) -> None:
        scheduler = self._scheduler
        found: list[Found] = []
        for task, (url, witness) in enumerate(zip(self._urls, self._witnesses, strict=True)):
            here = [each for each in (*scheduler.conversations, *self._idle) if each.task == task]
            with Redis.from_url(url, socket_timeout=10.0) as client:  # heads are bytes, no text
                found += probe(client, here, witness, started_s=scheduler.started_s)
        for each in found:
            at_s = each.at_s - scheduler.started_s
            unix_s = self._ledger.unix_at_zero_s + at_s
            self._ledger.key(each, unix_s=unix_s, age_s=at_s - (each.conversation.written_s or 0.0))
        self.tally.evicted_keys = _sum(each.evicted_keys for each in self._witnesses)
        self.tally.expired_keys = _sum(each.expired_keys for each in self._witnesses)

    def _record_seconds(self) -> None:
        scheduler = self._scheduler
        cpu_s, at_s, due, completed = time.process_time(), scheduler.now_s(), 0, 0
        flushed_s = at_s
        while True:
            gevent.sleep(max(0.0, at_s + 1.0 - scheduler.now_s()))
            now_cpu_s, now_s = time.process_time(), scheduler.now_s()
            waiting, busy = scheduler.peaks()
            self._ledger.second(
                Second(
                    at_s,
                    now_s,
                    cpu_share=(now_cpu_s - cpu_s) / (now_s - at_s),
                    due=scheduler.due - due,
                    completed=scheduler.completed - completed,
                    waiting=waiting,
                    busy=busy,
                    in_service=scheduler.in_service(),
                )
            )
            cpu_s, at_s, due, completed = now_cpu_s, now_s, scheduler.due, scheduler.completed
            if now_s - flushed_s > _FLUSH_S:
                flushed_s = now_s
                self._ledger.flush(gevent.get_hub().threadpool.apply)

    def _record_phases(self, stopped_s: float) -> None:
        planned = (
            ("warm-up", 0.0, self._warm_up_s),
            ("measure", self._warm_up_s, self._plan.duration_s),
            ("cool-down", self._plan.duration_s, stopped_s),
        )
        for name, start_s, stop_s in planned:
            if start_s < stopped_s:
                length_s = min(stop_s, stopped_s) - start_s
                if self._tells_phases:
                    self._ledger.event(self._ledger.unix_at_zero_s + start_s, length_s, name)
                if name == "measure":
                    self.tally.measured_s = length_s


def _sum(counts: Iterable[int | None]) -> int | None:
    """Of all; None if one is not known."""
    total = 0
    for count in counts:
        if count is None:
            return None
        total += count
    return total
