"""Load: a schedule, the slots that carry it, and the tables that keep what became of it."""

import gc
import secrets
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import gevent
from locust import User
from locust.env import Environment

from loadtests.arrivals import LoadPlan, draw
from loadtests.drivers.reference import GONE, Done, carry_out
from loadtests.prefill import prefill
from loadtests.scheduler import Conversation, Scheduler, Turn
from workbench.runs.clock import Clock
from workbench.runs.recorder import TableWriter
from workbench.state import connect

__all__ = ["Load"]

_FLUSH_S: Final = 5.0
_WORKER: Final = 0


class StateLostError(Exception):
    """What Locust's own statistics are told of a turn that found no state."""


@dataclass(frozen=True, slots=True)
class _Clocks:
    """When a turn could go, was sent and was completed, s from the start of the warm-up."""

    ready_s: float
    send_s: float
    completed_s: float


class Load:
    """
    One load: a schedule, the slots that carry it, and the tables that keep it.

    Args:
        environment: Locust's.
        url: of the server.
        plan: what is offered.
        warm_up_s: how much of the plan comes before the measured phase, s.
        ttl_s: time to live of a write, s.
        run_dir: where to record; nowhere if None.
        clock: the run's.
    """

    def __init__(
        self,
        environment: Environment,
        url: str,
        plan: LoadPlan,
        *,
        warm_up_s: float,
        ttl_s: float,
        run_dir: Path | None,
        clock: Clock,
    ) -> None:
        self._environment = environment
        self._plan = plan
        self._warm_up_s = warm_up_s
        self._ttl_s = ttl_s
        self._url = url
        users = environment.parsed_options.num_users or 1
        self._client = connect(url, max_connections=users + 1)
        self._schedule = draw(plan)
        self._scheduler = Scheduler(self._schedule, duration_s=plan.duration_s, seed=plan.seed)
        self._tables = _Tables(run_dir)
        self._clock = clock
        self._unix_at_zero_s = 0.0
        # Ids are remembered in the state: those of an earlier run with this seed are not these.
        self._token = secrets.token_hex(4)

    def run(self) -> None:
        """Prefill, play the schedule, record, and end the test."""
        began_s = self._clock.unix_s()
        count = prefill(
            self._url, self._schedule, self._scheduler, ttl_s=self._ttl_s, token=self._token
        )
        took_s = self._clock.unix_s() - began_s
        self._tables.event(began_s, took_s, "prefill", f"{count} conversations")
        # What was drawn stays to the end: keep the collector from walking it in mid-load.
        gc.collect()
        gc.freeze()
        self._unix_at_zero_s = self._clock.unix_s() - self._scheduler.now_s()
        # Without its end, in case there is nobody left to write that.
        self._tables.event(self._unix_at_zero_s, 0.0, "origin")
        recorder = gevent.spawn(self._record_seconds)
        recorder.link_exception(lambda failed: self.give_up(failed.exception))
        self._scheduler.play()
        recorder.kill()
        self._environment.runner.quit()

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
        turn, ready_s = self._scheduler.take()
        conversation = turn.conversation
        step, begins = conversation.step, conversation.position == 0
        edit = step.edit(conversation.caller)
        message_id = f"{self._token}-{conversation.number}-{turn.number}"
        send_s = self._scheduler.now_s()
        done = carry_out(
            self._client,
            conversation.caller.identifier,
            message_id,
            edit,
            begins=begins,
            follows=conversation.acknowledged,
            ttl_s=self._ttl_s,
        )
        completed_s = self._scheduler.now_s()
        age_s = None if conversation.written_s is None else send_s - conversation.written_s
        outcome = self._settle(conversation, message_id, done, age_s, completed_s)
        self._scheduler.done(turn, completed_s)
        clocks = _Clocks(ready_s, send_s, completed_s)
        self._record(turn, step.name, begins, outcome, clocks, done, age_s)
        slot.environment.events.request.fire(
            request_type="TURN",
            name=f"{conversation.flow.name}/{step.name}",
            response_time=1e3 * (completed_s - turn.due_s),
            response_length=done.value_bytes,
            exception=None if outcome == "ok" else StateLostError(done.error or outcome),
            context={},
        )

    def _record(
        self,
        turn: Turn,
        step: str,
        begins: bool,
        outcome: str,
        clocks: "_Clocks",
        done: Done,
        age_s: float | None,
    ) -> None:
        self._tables.operations.append(
            (
                self._unix_at_zero_s + turn.due_s,
                turn.conversation.flow.name,
                step,
                "write" if begins else "update",
                outcome,
                1e6 * (clocks.completed_s - turn.due_s),
                1e6 * (clocks.ready_s - turn.due_s),
                1e6 * (clocks.send_s - clocks.ready_s),
                1e6 * (clocks.completed_s - clocks.send_s),
                done.attempts,
                done.value_bytes,
                age_s,
                self._ttl_s,
                turn.conversation.number,
                turn.number,
                _WORKER,
            )
        )

    def _settle(
        self,
        conversation: Conversation,
        message_id: str,
        done: Done,
        age_s: float | None,
        completed_s: float,
    ) -> str:
        """Name the outcome, and where the conversation goes from here."""
        if done.outcome in {"ok", "lost_update"}:
            conversation.written_s = completed_s
            conversation.acknowledged = message_id
            last = len(conversation.flow.steps) - 1
            conversation.position = min(conversation.position + 1, last)
            return done.outcome
        if done.outcome != GONE:
            return done.outcome
        # "Your session has expired, send hi": the next turn greets, in its own time.
        conversation.position = 0
        conversation.acknowledged = None
        if age_s is None:
            return "missing"
        return "evicted" if age_s < self._ttl_s else "expired"

    def finish(self) -> None:
        """
        Record what is left: also called when the load is stopped early.

        Raises:
            OSError: it cannot be written.
        """
        now_s = self._scheduler.now_s()
        if self._unix_at_zero_s:
            cut_off = _Clocks(now_s, now_s, now_s)
            for turn in self._scheduler.unsent():
                conversation = turn.conversation
                begins = conversation.position == 0
                name = conversation.step.name
                self._record(turn, name, begins, "unsent", cut_off, Done("unsent"), None)
            self._record_phases(now_s)
        self._tables.flush()

    def _record_seconds(self) -> None:
        scheduler = self._scheduler
        cpu_s, at_s, due, completed = time.process_time(), scheduler.now_s(), 0, 0
        flushed_s = at_s
        while True:
            gevent.sleep(max(0.0, at_s + 1.0 - scheduler.now_s()))
            now_cpu_s, now_s = time.process_time(), scheduler.now_s()
            waiting, busy = scheduler.peaks()
            self._tables.generator.append(
                (
                    self._unix_at_zero_s + now_s,
                    (now_cpu_s - cpu_s) / (now_s - at_s),
                    scheduler.due - due,
                    scheduler.completed - completed,
                    waiting,
                    busy,
                    _WORKER,
                )
            )
            cpu_s, at_s, due, completed = now_cpu_s, now_s, scheduler.due, scheduler.completed
            if now_s - flushed_s > _FLUSH_S:
                flushed_s = now_s
                self._tables.flush(gevent.get_hub().threadpool.apply)

    def _record_phases(self, stopped_s: float) -> None:
        planned = (
            ("warm-up", 0.0, self._warm_up_s),
            ("measure", self._warm_up_s, self._plan.duration_s),
            ("cool-down", self._plan.duration_s, stopped_s),
        )
        for name, start_s, stop_s in planned:
            if start_s < stopped_s:
                length_s = min(stop_s, stopped_s) - start_s
                self._tables.event(self._unix_at_zero_s + start_s, length_s, name)


class _Tables:
    """The tables of a load process; rows go nowhere when there is no run directory."""

    def __init__(self, run_dir: Path | None) -> None:
        if run_dir is None:
            self.operations = self.generator = self._events = _Nowhere()
            return
        self.operations = TableWriter(run_dir, "operations", f"worker{_WORKER}")
        self.generator = TableWriter(run_dir, "generator", f"worker{_WORKER}")
        self._events = TableWriter(run_dir, "events", f"worker{_WORKER}")

    def event(self, unix_s: float, duration_s: float, label: str, detail: str = "") -> None:
        self._events.append((unix_s, duration_s, "phase", label, detail))
        self._events.flush()

    def flush(self, run: Any = None) -> None:
        for table in (self.operations, self.generator, self._events):
            table.flush(run)


class _Nowhere:
    """Takes rows and keeps none."""

    def append(self, row: Any) -> None: ...

    def flush(self, run: Any = None) -> None: ...
