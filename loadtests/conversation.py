"""
ConversationUser: the Locust user that is a slot for turns, and Locust's hooks around a load.

Options beside Locust's own are listed in docs/reference/load.md. The target is
``--host`` or REDIS_STATE_URL; it is looked at before the first write, and refused unless it is an
empty server, or one of the workbench's, on this machine. ``--i-own HOST:PORT`` names another host.

By hand the figures are printed at the end, and the exit code is 3 if they do not hold, 1 if updates
were lost. With ``--run-dir`` whoever started the load judges it.
"""

import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
from locust import User, events, stats, tag, task
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from loadtests.arrivals import Shape
from loadtests.crew import Crew, Member, Share
from loadtests.drivers import driver
from loadtests.figures import Figures
from loadtests.load import Load
from loadtests.options import add_options, plan_of, settle_phases
from loadtests.page import Page
from loadtests.replay import read_recorded
from loadtests.tally import Tally
from workbench.errors import UsageError, WorkbenchError
from workbench.flows.mix import Mix
from workbench.flows.model import FLOWS
from workbench.runs.clock import Clock
from workbench.server.guard import admit, mark
from workbench.state import connect

__all__ = ["ConversationUser"]


class ConversationUser(User):
    """A slot. A scenario is a subclass with a mix of its own, and perhaps a shape of the rate."""

    abstract = True
    mix: Mix
    shape: Shape = ((0.0, 1.0), (1.0, 1.0))

    def on_start(self) -> None:
        """Open the slot's connection, or one to each server."""
        load = self.environment.workbench_load
        self.slots = load.open_slots() if load else []

    def on_stop(self) -> None:
        """Close it."""
        for slot in self.slots:
            slot.close()

    @tag(*FLOWS)
    @task
    def turn(self) -> None:
        """Carry the next turn."""
        load = self.environment.workbench_load
        if load is None:  # this process has no part in the load
            gevent.sleep(1.0)
        else:
            load.carry(self)


def _bucket(response_ms: float) -> float:
    """Locust's own, but to 0.1 ms below 100 ms: whole milliseconds say nothing of a Redis."""
    return round(response_ms, 1) if response_ms < 100 else _whole_ms(response_ms)


_whole_ms = stats.bucket_response_time
stats.bucket_response_time = _bucket

events.init_command_line_parser.add_listener(add_options)


@events.init.add_listener
def _prepare(environment: Environment, **_: Any) -> None:
    environment.workbench_load = None
    environment.workbench_crew = None
    # Tags choose among the flows of the mix, not among tasks: there is one, which has all of them.
    environment.exclude_tags = []
    if isinstance(environment.runner, WorkerRunner):
        # Its target and its options come from the master, with the first users.
        environment.workbench_member = Member(environment)
        return
    try:
        options = environment.parsed_options
        settle_phases(options)
        for scenario in environment.user_classes:
            plan_of(options, scenario.mix, scenario.shape)  # refuses what makes no sense
        environment.workbench_urls = urls = _admitted(environment)
        open_slot = driver(options.driver, pool=options.pool)
        for url in urls:
            open_slot(url, ttl_s=options.ttl_s).close()  # refuses what it cannot reach
    except WorkbenchError as error:
        # Locust logs what a listener raises and goes on; it must not.
        print(error, file=sys.stderr)  # noqa: T201
        sys.exit(_code(error))
    if isinstance(environment.runner, MasterRunner):
        environment.workbench_crew = Crew(environment, end=lambda: _end(environment))
    if environment.web_ui:
        Page(environment).open()


def _admitted(environment: Environment) -> list[str]:
    """
    The URL of the server, which may be loaded; or of several, with blanks between, one a task.

    Raises:
        UsageError: none is given, or its server is refused.
    """
    urls = (environment.host or os.environ.get("REDIS_STATE_URL") or "").split()
    if not urls:
        raise UsageError("no target: set REDIS_STATE_URL, or give --host redis://127.0.0.1:…")
    for url in urls:
        admit(url, i_own=environment.parsed_options.i_own)
    return urls


def _code(error: WorkbenchError) -> int:
    return 2 if isinstance(error, UsageError) else 4


@events.test_start.add_listener
def _start(environment: Environment, **_: Any) -> None:
    environment.workbench_load = None
    runner = environment.runner
    if isinstance(runner, WorkerRunner):
        _start_share(environment, environment.workbench_member)
        return
    for url in environment.workbench_urls:
        mark(connect(url))
    if environment.workbench_crew:
        environment.workbench_crew.begin()
        return
    load = _load(environment, Share(users=runner.target_user_count))
    gevent.spawn(_carry_out, environment, load).link_exception(
        lambda failed: load.give_up(failed.exception)
    )


def _start_share(environment: Environment, member: Member) -> None:
    share = member.take_share()
    if share is None:
        logging.warning("this worker came when the load had begun: it has no part in it")
        return
    try:
        environment.workbench_urls = _admitted(environment)
    except WorkbenchError as error:
        member.break_off(str(error), _code(error))
        return
    load = _load(environment, share, member.wait_for_others)
    if share.watched:
        member.keep_telling(load.so_far)

    def carry_out() -> None:
        load.run()
        load.finish()
        member.hand_over(load.tally)

    def give_up(failed: gevent.Greenlet) -> None:
        load.fail(failed.exception)
        member.break_off(repr(failed.exception), 4)

    gevent.spawn(carry_out).link_exception(give_up)


def _load(
    environment: Environment, share: Share, wait_for_others: Callable[[str], None] | None = None
) -> Load:
    options = environment.parsed_options
    scenario = environment.user_classes[0]
    load = Load(
        environment,
        environment.workbench_urls,
        plan_of(options, scenario.mix, scenario.shape),
        schedule=read_recorded(options.replay).schedule if options.replay else None,
        share=share,
        wait_for_others=wait_for_others,
        closed_loop=options.closed_loop,
        warm_up_s=options.warm_up_s,
        run_dir=Path(options.run_dir) if options.run_dir else None,
        clock=Clock() if options.clock_offset_s is None else Clock(options.clock_offset_s),
    )
    environment.workbench_load = load
    return load


def _carry_out(environment: Environment, load: Load) -> None:
    load.run()
    _end(environment)


def _end(environment: Environment) -> None:
    """End the test as Locust would at the end of its run time."""
    runner, options = environment.runner, environment.parsed_options
    if options.csv_prefix:  # whose rows are written about once a second, and not at the end
        gevent.sleep(2 * stats.CSV_STATS_INTERVAL_SEC + 0.1)
    if options.headless:
        runner.quit()
        return
    runner.stop()
    if options.autostart and options.autoquit >= 0:
        gevent.sleep(options.autoquit)
        runner.quit()
        environment.web_ui.stop()


@events.test_stop.add_listener
def _stop(environment: Environment, **_: Any) -> None:
    load = environment.workbench_load
    if load is None:
        return
    try:
        load.finish()
    except OSError as error:
        load.fail(error)
    if isinstance(environment.runner, WorkerRunner):
        environment.workbench_member.hand_over(load.tally)
    elif not environment.parsed_options.run_dir:
        _tell(environment, load.tally)


def _tell(environment: Environment, tally: Tally, workers_lost: tuple[str, ...] = ()) -> None:
    """Print the figures; the exit code is theirs, unless the load broke off."""
    options = environment.parsed_options
    figures = Figures(
        tally, options.rate, closed_loop=options.closed_loop, workers_lost=workers_lost
    )
    print(f"\n{figures}\n", flush=True)  # noqa: T201
    if environment.process_exit_code is None:
        environment.process_exit_code = figures.exit_code


@events.quitting.add_listener
def _quit(environment: Environment, **_: Any) -> None:
    # Ctrl-C comes here first: the users are stopped, and what they left is written down.
    if environment.workbench_load is not None:
        environment.runner.stop()
    # Of a master this is called after the workers have quit, and handed over what they had.
    crew = environment.workbench_crew
    if crew is None or not crew.began:
        return
    if crew.failed:
        why, environment.process_exit_code = crew.failed
        print(f"a worker broke off: {why}", file=sys.stderr)  # noqa: T201
    _tell(environment, crew.tally, crew.workers_lost)
