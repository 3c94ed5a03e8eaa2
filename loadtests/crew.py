"""
Crew: a load that several processes carry, by Locust's own master and workers.

The master gives each worker its share before the users are spawned: number w of n. Each draws the
whole schedule, takes the conversations whose number leaves w when divided by n, and waits for the
others before it plays them, and again before it looks for what it left. So the sum of the parts is
the whole. A worker that is lost takes its part with it: the run is invalid.
"""

import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import gevent
from gevent.event import Event
from locust.dispatch import UsersDispatcher
from locust.env import Environment
from locust.runners import STATE_MISSING, MasterRunner, WorkerRunner

from loadtests.tally import Tally

__all__ = ["Crew", "Member", "Share"]

_PLAN: Final = "workbench-plan"
_REACHED: Final = "workbench-reached"
_GO: Final = "workbench-go"
_DONE: Final = "workbench-done"
_FAILED: Final = "workbench-failed"
_SO_FAR: Final = "workbench-so-far"  # in the report that Locust makes every three seconds
_POLL_S: Final = 0.2
# A worker that draws or prefills is silent for longer than Locust's three seconds.
_SILENCE_MAX: Final = -60


@dataclass(frozen=True, slots=True)
class Share:
    """
    The part of a load that one process carries.

    Args:
        index: of the process, from 0.
        count: of processes.
        token: of the run, for the ids of its messages.
        users: slots of all processes together.
        watched: the figures are looked at before the end, so they are told as they grow.
    """

    index: int = 0
    count: int = 1
    token: str = field(default_factory=lambda: secrets.token_hex(4))
    users: int = 1
    watched: bool = False


class _FixedCrew(UsersDispatcher):
    """Locust's, but slots stay where they are when a worker comes or goes: so do the turns."""

    def add_worker(self, worker_node: Any) -> None:
        logging.warning(
            "worker %s came when the load had begun: it has no part in it", worker_node.id
        )

    def remove_worker(self, worker_node: Any) -> None:
        pass


@dataclass(slots=True)
class _Hand:
    """What the master knows of one worker with a share."""

    name: str
    stage: str = ""
    tally: Tally | None = None
    so_far: Tally | None = None
    lost: bool = False


class Crew:
    """
    The master's side: gives shares, opens the gates, collects the tallies, ends the test.

    Args:
        environment: Locust's.
        end: ends the test as Locust would.

    Attributes:
        failed: what broke a worker off, and its exit code; None if nothing did.
    """

    def __init__(self, environment: Environment, end: Callable[[], None]) -> None:
        self._runner: MasterRunner = environment.runner
        self._watched = environment.web_ui is not None
        self._end = end
        self._hands: dict[str, _Hand] = {}
        self._gone_through: set[str] = set()
        self.failed: tuple[str, int] | None = None
        environment.dispatcher_class = _FixedCrew
        self._runner.register_message(_REACHED, self._reached)
        self._runner.register_message(_DONE, self._done)
        self._runner.register_message(_FAILED, self._broke_off)
        environment.events.worker_report.add_listener(self._told)

    @property
    def began(self) -> bool:
        """Whether a load was shared out at all."""
        return bool(self._hands)

    @property
    def tally(self) -> Tally:
        """The figures of all workers, as if one had counted all."""
        return Tally.merged(hand.tally for hand in self._hands.values() if hand.tally)

    @property
    def so_far(self) -> Tally:
        """The figures up to now: of each worker what it told last; at the end, all."""
        parts = (hand.tally or hand.so_far for hand in self._hands.values())
        return Tally.merged(part for part in parts if part)

    @property
    def missing(self) -> tuple[str, ...]:
        """Workers with a share that are lost by now, by name."""
        return tuple(hand.name for hand in self._hands.values() if hand.lost)

    @property
    def workers_lost(self) -> tuple[str, ...]:
        """Workers with a share that ended before their time, by name."""
        return tuple(hand.name for hand in self._hands.values() if hand.tally is None)

    def begin(self) -> None:
        """Give each worker that is ready its share, and follow them."""
        ready = self._runner.clients.ready
        self.failed = None
        self._gone_through.clear()
        self._hands = {
            client.id: _Hand(f"load worker {index + 1} of {len(ready)}")
            for index, client in enumerate(ready)
        }
        token = secrets.token_hex(4)
        for index, client in enumerate(ready):
            share = {
                "index": index,
                "count": len(ready),
                "token": token,
                "users": self._runner.target_user_count,
                "watched": self._watched,
            }
            self._runner.send_message(_PLAN, share, client_id=client.id)
        gevent.spawn(self._follow, self._hands)

    def _follow(self, hands: dict[str, _Hand]) -> None:
        while hands is self._hands:
            gevent.sleep(_POLL_S)
            for client_id, hand in hands.items():
                hand.lost = hand.lost or (hand.tally is None and self._is_lost(client_id))
            self._open_gates()
            if self.failed or all(hand.tally or hand.lost for hand in hands.values()):
                self._end()
                return

    def _is_lost(self, client_id: str) -> bool:
        client = self._runner.clients.get(client_id)
        if client is None:
            return True
        playing = "play" in self._gone_through
        return client.state == STATE_MISSING and (playing or client.heartbeat < _SILENCE_MAX)

    def _open_gates(self) -> None:
        there = [hand for hand in self._hands.values() if not hand.lost and hand.tally is None]
        stages = {hand.stage for hand in there}
        if len(stages) == 1 and (stage := stages.pop()) and stage not in self._gone_through:
            self._gone_through.add(stage)
            for client_id, hand in self._hands.items():
                if hand in there:
                    self._runner.send_message(_GO, {"stage": stage}, client_id=client_id)

    def _reached(self, msg: Any, **_: Any) -> None:
        if msg.node_id in self._hands:
            self._hands[msg.node_id].stage = msg.data["stage"]
            self._open_gates()

    def _told(self, client_id: str, data: dict[str, Any], **_: Any) -> None:
        if _SO_FAR in data and client_id in self._hands:
            self._hands[client_id].so_far = Tally.of_message(data[_SO_FAR])

    def _done(self, msg: Any, **_: Any) -> None:
        if msg.node_id in self._hands:
            self._hands[msg.node_id].tally = Tally.of_message(msg.data)

    def _broke_off(self, msg: Any, **_: Any) -> None:
        self.failed = msg.data["why"], msg.data["code"]


class Member:
    """
    A worker's side: takes its share, waits at the gates, hands over its tally.

    Args:
        environment: Locust's.
    """

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._runner: WorkerRunner = environment.runner
        self._share: Share | None = None
        self._gates: dict[str, Event] = {}
        self._handed_over = False
        self._so_far: Callable[[], Tally] | None = None
        self._runner.register_message(_PLAN, self._plan)
        self._runner.register_message(_GO, self._go)
        environment.events.report_to_master.add_listener(self._tell)

    def take_share(self) -> Share | None:
        """The share of the run that begins now; None if it began without this worker."""
        share, self._share = self._share, None
        return share

    def wait_for_others(self, stage: str) -> None:
        """Say that this stage is reached, and wait until all have reached it."""
        gate = self._gates[stage]
        self._runner.send_message(_REACHED, {"stage": stage})
        gate.wait()

    def keep_telling(self, so_far: Callable[[], Tally]) -> None:
        """Give the master the figures so far, every three seconds until they are handed over."""
        self._so_far = so_far

    def hand_over(self, tally: Tally) -> None:
        """Give the master the figures, and what Locust's own statistics still hold: once a run."""
        if self._handed_over:
            return
        self._handed_over = True
        self._so_far = None
        # At its end Locust waits half a second for the last report, which may come later than that.
        report: dict[str, Any] = {}
        self._environment.events.report_to_master.fire(
            client_id=self._runner.client_id, data=report
        )
        self._runner.send_message("stats", report)
        self._runner.send_message(_DONE, tally.as_message())

    def break_off(self, why: str, code: int) -> None:
        """Have the master end the run with this exit code."""
        self._runner.send_message(_FAILED, {"why": why, "code": code})

    def _tell(self, data: dict[str, Any], **_: Any) -> None:
        if self._so_far:
            data[_SO_FAR] = self._so_far().as_message()

    def _plan(self, msg: Any, **_: Any) -> None:
        self._share = Share(**msg.data)
        self._gates = {"play": Event(), "probe": Event()}
        self._handed_over = False

    def _go(self, msg: Any, **_: Any) -> None:
        self._gates[msg.data["stage"]].set()
