"""
A process that plays a small schedule with slots of a fixed service time, and prints the clocks.

Of its own, since gevent's loop must not mix with the tests'. Reads one JSON object: ``turns``, a
list of ``[conversation, due_s]`` or ``[conversation, due_s, again_s]``, or null for a closed loop;
``slots``; ``service_s``;
``duration_s``; ``stop_s`` or null.
"""

import json
import sys
from typing import Any

import gevent
import numpy as np

from loadtests.arrivals import LoadPlan, Schedule
from loadtests.closed import ClosedLoop
from loadtests.scheduler import Scheduler
from workbench.flows.offer_secured import OFFER_SECURED


def schedule_of(turns: list[list[float]]) -> Schedule:
    count = 1 + int(max(turn[0] for turn in turns))
    by_conversation = [[turn for turn in turns if turn[0] == number] for number in range(count)]
    first = np.concatenate([[0], np.cumsum([len(each) for each in by_conversation])])
    in_order = [turn for each in by_conversation for turn in each]
    due_s = np.array([turn[1] for turn in in_order])
    again_s = np.array([turn[2] if len(turn) > 2 else np.nan for turn in in_order])
    scripts = [OFFER_SECURED.steps] * count
    flow = np.zeros(count, dtype=int)
    return Schedule((OFFER_SECURED,), flow, scripts, first, due_s, 0.0, again_s)


def scheduler_of(orders: dict[str, Any]) -> Scheduler:
    if orders["turns"] is None:
        plan = LoadPlan(
            turns_per_s=1.0,
            duration_s=orders["duration_s"],
            mix={"offer_secured": 1},
            think_median_s=0.05,
            think_p95_s=0.1,
            seed=1,
        )
        return ClosedLoop(plan)
    return Scheduler(schedule_of(orders["turns"]), duration_s=orders["duration_s"], seed=1)


def main() -> None:
    orders = json.loads(sys.stdin.read())
    scheduler = scheduler_of(orders)
    clocks = []

    def slot(number: int) -> None:
        while True:
            turn = scheduler.take(number)
            turn.message.make(turn.conversation)
            send_s = scheduler.sent(turn)
            gevent.sleep(orders["service_s"])
            completed_s = scheduler.now_s()
            scheduler.done(turn, completed_s)
            clocks.append(
                {
                    "conversation": turn.conversation.number,
                    "turn": turn.number,
                    "delivery": turn.delivery,
                    "step": turn.message.step.name,
                    "due_s": turn.due_s,
                    "ready_s": turn.ready_s,
                    "send_s": send_s,
                    "completed_s": completed_s,
                }
            )

    slots = [gevent.spawn(slot, number) for number in range(orders["slots"])]
    gevent.sleep(0.02)  # users may be there before the start is known
    scheduler.start_at(scheduler.now_s() + 0.05)
    playing = gevent.spawn(scheduler.play)
    playing.join(timeout=orders["stop_s"])
    gevent.killall([playing, *slots])
    unsent = [[turn.conversation.number, turn.due_s] for turn in scheduler.unsent()]
    print(  # noqa: T201
        json.dumps(
            {
                "clocks": clocks,
                "unsent": unsent,
                "due": scheduler.due,
                "completed": scheduler.completed,
                "waiting_max": scheduler.waiting_max,
                "busy_max": scheduler.busy_max,
            }
        )
    )


if __name__ == "__main__":
    main()
