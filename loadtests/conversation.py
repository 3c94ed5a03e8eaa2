"""
ConversationUser: the Locust user that is a slot for turns, and Locust's hooks around a load.

Options beside Locust's own are listed by ``locust -f loadtests/steady.py --help``. The target is
``--host`` or REDIS_STATE_URL; it is looked at before the first write, and refused unless it is an
empty server, or one of the workbench's, on this machine. ``--i-own HOST:PORT`` names another host.
"""

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gevent
from locust import User, events, task
from locust.env import Environment
from locust.runners import LocalRunner

from loadtests.arrivals import LoadPlan
from loadtests.load import Load
from workbench.errors import UsageError, WorkbenchError
from workbench.runs.clock import Clock
from workbench.server.guard import admit, mark
from workbench.state import connect

__all__ = ["ConversationUser"]


class ConversationUser(User):
    """A slot. A scenario is a subclass with a mix of its own."""

    abstract = True
    mix: Mapping[str, float]

    @task
    def turn(self) -> None:
        """Carry the next turn."""
        self.environment.workbench_load.carry(self)


def _mix(text: str) -> dict[str, float]:
    try:
        return {name: float(weight) for name, weight in (p.split("=") for p in text.split(","))}
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a mix; write it as login=35,offer_secured=25"
        ) from None


@events.init_command_line_parser.add_listener
def _add_options(parser: Any) -> None:
    group = parser.add_argument_group("workbench", "open-loop conversations against a Redis")
    group.add_argument("--turns-per-s", type=float, default=100.0, help="turns due a second")
    group.add_argument("--warm-up-s", type=float, default=2.0, help="left out of the figures, s")
    group.add_argument("--measure-s", type=float, default=30.0, help="the measured phase, s")
    group.add_argument("--think-median-s", type=float, default=8.0, help="think time, median, s")
    group.add_argument("--think-p95-s", type=float, default=45.0, help="think time, p95, s")
    group.add_argument("--ttl-s", type=float, default=300.0, help="time to live of a write, s")
    group.add_argument("--mix", type=_mix, default=None, help="flow=weight,…; of the scenario")
    group.add_argument("--seed", type=int, default=1, help="same seed, same conversations")
    group.add_argument(
        "--run-dir", type=Path, default=None, help="where to record; default: nowhere"
    )
    group.add_argument(
        "--clock-offset-s", type=float, default=None, help="unix less monotonic time, of the run, s"
    )
    group.add_argument(
        "--i-own", default="", metavar="HOST:PORT", help="load this server though it was refused"
    )


@events.init.add_listener
def _prepare(environment: Environment, **_: Any) -> None:
    if not isinstance(environment.runner, LocalRunner):
        sys.exit("conversations run in one load process: leave out --processes and --master")
    url = environment.host or os.environ.get("REDIS_STATE_URL")
    try:
        if not url:
            raise UsageError("no target: set REDIS_STATE_URL, or give --host redis://127.0.0.1:…")
        admit(url, i_own=environment.parsed_options.i_own)
    except WorkbenchError as error:
        # Locust logs what a listener raises and goes on; it must not.
        print(error, file=sys.stderr)  # noqa: T201
        sys.exit(2 if isinstance(error, UsageError) else 4)
    environment.workbench_url = url


@events.test_start.add_listener
def _start(environment: Environment, **_: Any) -> None:
    options = environment.parsed_options
    plan = LoadPlan(
        turns_per_s=options.turns_per_s,
        duration_s=options.warm_up_s + options.measure_s,
        mix=options.mix or environment.user_classes[0].mix,
        think_median_s=options.think_median_s,
        think_p95_s=options.think_p95_s,
        seed=options.seed,
    )
    mark(connect(environment.workbench_url))
    load = Load(
        environment,
        environment.workbench_url,
        plan,
        warm_up_s=options.warm_up_s,
        ttl_s=options.ttl_s,
        run_dir=options.run_dir,
        clock=Clock() if options.clock_offset_s is None else Clock(options.clock_offset_s),
    )
    environment.workbench_load = load
    gevent.spawn(load.run).link_exception(lambda failed: load.give_up(failed.exception))


@events.test_stop.add_listener
def _stop(environment: Environment, **_: Any) -> None:
    try:
        environment.workbench_load.finish()
    except OSError as error:
        environment.workbench_load.fail(error)
