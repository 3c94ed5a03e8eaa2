"""The command line of a load beside Locust's own, and the plan that follows from it."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from loadtests.arrivals import LoadPlan, Shape
from loadtests.drivers import driver
from loadtests.replay import read_recorded
from workbench.errors import UsageError, nearest
from workbench.flows.mix import Mix

__all__ = ["add_options", "plan_of", "settle_phases"]

_HABITS: Final = {
    "invalid_share": "answers that are not accepted, of 1",
    "next_page_share": "pages after which the next one is asked for, of 1",
    "away_share": "conversations with a pause longer than the time to live, of 1",
    "duplicate_share": "messages that are delivered again, of 1; open loop only",
    "duplicate_within_s": "how long after the first time at most, s",
    "redelivery_s": "after which a message that got no answer, or a refusal, is delivered again, "
    "three times at most, s; 0: never; open loop only",
    "api_gap_s": "median of a call to the API, between two writes, s; 0: calls are left out",
}
_MEASURE_S: Final = 30.0
_DAY_S: Final = 86_400


def _mix(text: str) -> dict[str, float]:
    try:
        return {name: float(weight) for name, weight in (p.split("=") for p in text.split(","))}
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a mix; write it as login=35,offer_secured=25"
        ) from None


def _within(least: float, most: float, *, kind: type[float] = float) -> Callable[[str], float]:
    """Take a number of these bounds."""

    def number(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            what = "whole number" if kind is int else "number"
            raise argparse.ArgumentTypeError(f"{text!r} is not a {what}") from None
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text} is outside {least:g} to {most:g}")
        return value

    return number


def _driver(name: str) -> str:
    try:
        driver(name)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return name


def add_options(parser: Any) -> None:
    """Add the workbench's options to Locust's parser."""
    group = parser.add_argument_group("workbench", "conversations against a Redis")
    group.add_argument(
        "--rate",
        type=_within(1, 100_000),
        default=100.0,
        help="turns that come due a second, over all processes; --users caps how many are at work",
    )
    group.add_argument(
        "--closed-loop",
        action="store_true",
        help="each user sends its next turn a think time after the answer to the one before: a "
        "slow server is asked less, --rate has no say, and latency is counted from the send",
    )
    group.add_argument(
        "--warm-up-s", type=_within(0, _DAY_S), default=2.0, help="left out of the figures, s"
    )
    group.add_argument(
        "--measure-s",
        type=_within(0, _DAY_S),
        default=None,
        help=f"the measured phase, s; default {_MEASURE_S:g}, or --run-time less the warm-up",
    )
    group.add_argument(
        "--think-median-s",
        type=_within(0.001, _DAY_S),
        default=None,
        help="think time, median, s; of the scenario",
    )
    group.add_argument(
        "--think-p95-s",
        type=_within(0.001, _DAY_S),
        default=None,
        help="think time, p95, s; of the scenario",
    )
    group.add_argument(
        "--compression", type=_within(1, 1000), default=1.0, help="think times are divided by this"
    )
    for name, what in _HABITS.items():
        option = f"--{name.replace('_', '-')}"
        bounds = _within(0, 0.99 if name.endswith("_share") else 3600)
        group.add_argument(option, type=bounds, default=None, help=f"{what}; of the scenario")
    group.add_argument(
        "--ttl-s", type=_within(1, 365 * _DAY_S), default=300.0, help="time to live of a write, s"
    )
    group.add_argument("--mix", type=_mix, default=None, help="flow=weight,…; of the scenario")
    group.add_argument(
        "--driver",
        type=_driver,
        default="reference",
        help="how turns are carried: reference, by the state manager over redis-py; fast, the same "
        "over a raw socket",
    )
    group.add_argument(
        "--pool",
        type=_within(0, 10_000, kind=int),
        default=0,
        help="connections that all slots of a process share, as in a chat service; 0: each its own",
    )
    group.add_argument(
        "--prefill-share",
        type=_within(0, 0.99),
        default=0.0,
        help="write idle sessions until so much of the server's maxmemory is used, of 1",
    )
    group.add_argument(
        "--seed", type=_within(0, 2**63, kind=int), default=1, help="same seed, same conversations"
    )
    group.add_argument(
        "--replay",
        default=None,
        metavar="RUN",
        help="the conversations of this sealed run, with their times, instead of drawn ones; its "
        "phases and its time to live as well",
    )
    # A text, not a path: options travel to workers as msgpack.
    group.add_argument("--run-dir", default=None, help="where to record; default: nowhere")
    group.add_argument(
        "--clock-offset-s", type=float, default=None, help="unix less monotonic time, of the run, s"
    )
    group.add_argument(
        "--i-own", default="", metavar="HOST:PORT", help="load this server though it was refused"
    )


def settle_phases(options: argparse.Namespace) -> None:
    """
    Fill in how long is measured: what a replayed run says, or the command line.

    Locust's --run-time is warm-up and measured phase together.

    It is taken away from Locust, which would cut off the turns that are still open at its end.

    Raises:
        UsageError: both are given, or nothing is left to measure; the run cannot be replayed.
        RunError: it cannot be read.
    """
    if options.closed_loop and options.prefill_share:
        raise UsageError("--prefill-share is for an open loop: a closed one begins with nobody")
    if options.replay:
        if options.closed_loop:
            raise UsageError(
                "--replay says when each turn is due, and a closed loop does not heed it"
            )
        recorded = read_recorded(options.replay)
        options.run_time, options.seed = None, recorded.seed
        options.ttl_s = recorded.ttl_s
        options.warm_up_s, options.measure_s = recorded.warm_up_s, recorded.measure_s
        return
    if options.run_time is not None:
        if options.measure_s is not None:
            raise UsageError("--run-time and --measure-s both say how long: leave one of them out")
        options.measure_s = options.run_time - options.warm_up_s
        options.run_time = None
    elif options.measure_s is None:
        options.measure_s = _MEASURE_S
    if options.measure_s <= 0:
        raise UsageError(
            f"nothing is left to measure after a warm-up of {options.warm_up_s:g} s: give a longer "
            "--run-time, or a shorter --warm-up-s"
        )


def plan_of(options: argparse.Namespace, mix: Mix, shape: Shape) -> LoadPlan:
    """
    The load that is offered: the scenario's, with what the command line says otherwise.

    Raises:
        UsageError: a tag is no flow of the mix, or the tags leave none; pauses make no sense.
    """

    def given(*names: str) -> dict[str, Any]:
        return {n: getattr(options, n) for n in names if getattr(options, n) is not None}

    chosen = replace(mix, **given("think_median_s", "think_p95_s"))
    if chosen.think_p95_s <= chosen.think_median_s:
        raise UsageError("--think-p95-s is not above the median, --think-median-s")
    return LoadPlan(
        turns_per_s=options.rate,
        duration_s=options.warm_up_s + options.measure_s,
        mix=_tagged(options.mix or chosen.weights, options.tags, options.exclude_tags),
        think_median_s=chosen.think_median_s / options.compression,
        think_p95_s=chosen.think_p95_s / options.compression,
        seed=options.seed,
        habits=replace(mix.habits, **given(*_HABITS)),
        ttl_s=options.ttl_s,
        shape=shape,
    )


def _tagged(
    mix: Mapping[str, float], tags: Sequence[str] | None, exclude: Sequence[str] | None
) -> dict[str, float]:
    """What Locust's tags leave of a mix: each flow is tagged with its name."""
    for tag in (*(tags or ()), *(exclude or ())):
        if tag not in mix:
            raise UsageError(f"no flow of the mix is tagged {tag!r}{nearest(tag, mix)}")
    left = {
        flow: weight
        for flow, weight in mix.items()
        if (not tags or flow in tags) and flow not in (exclude or ())
    }
    if not left:
        raise UsageError("the tags leave no flow of the mix: name fewer in --exclude-tags")
    return left
