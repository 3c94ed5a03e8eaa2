"""
When conversations arrive and when each of their turns is due: drawn in advance, from a seed.

Conversations arrive as a Poisson process; the turns of a conversation follow each other by think
times that are drawn at its arrival. So the offered load depends on the seed alone: a server that
stalls is not asked less. No locust in here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log
from random import Random
from typing import Final

import numpy as np

from workbench.flows.model import FLOWS, Flow, Habits, Step

__all__ = ["LoadPlan", "Schedule", "Shape", "draw", "talk"]

_P95: Final = 1.6449
"""The standard normal distribution's 95th percentile."""

_LONGEST_SHARE: Final = 0.999
_SAMPLES: Final = 4000
_CELLS: Final = 20_000
_GAP_MAX_S: Final = 30.0
_GAP_SIGMA: Final = log(3.0) / _P95
"""Of the logarithm of an API call's time, of which the 95th percentile is three medians."""

Shape = Sequence[tuple[float, float]]
"""Corners of a rate over time: shares of the duration, and factors."""


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """
    The load that is to be offered. Times are in seconds from the start of the warm-up.

    Args:
        turns_per_s: turns that come due a second, over all conversations.
        duration_s: warm-up and measured phase together.
        mix: weight of each flow, by conversation.
        think_median_s, think_p95_s: of the lognormal time from one intended turn to the next.
        seed: the same seed, the same conversations at the same times.
        habits: what people do besides the straight way.
        ttl_s: time to live of a write; who is away stays away for one to two times as long.
        shape: how the rate of new conversations changes, as corners: share of the duration, and
            factor of the rate; straight lines lie between them. Before 0 it is as at 0.
    """

    turns_per_s: float
    duration_s: float
    mix: Mapping[str, float]
    think_median_s: float
    think_p95_s: float
    seed: int
    habits: Habits = Habits()  # noqa: RUF009  (it is frozen)
    ttl_s: float = 300.0
    shape: Shape = ((0.0, 1.0), (1.0, 1.0))


@dataclass(frozen=True, slots=True)
class Schedule:
    """
    Conversations and the intended times of their turns.

    Attributes:
        flows: the flows of the mix.
        flow: index into ``flows``, by conversation.
        scripts: the messages of each conversation.
        first: index of a conversation's first turn in ``due_s``, by conversation, and the total.
        due_s: intended time of each turn, s from the start of the warm-up; negative before it.
        history_s: how long before 0 arrivals began: one longest conversation.
        again_s: how long after each turn its message is delivered again, s; NaN for most; None if
            none is.
    """

    flows: tuple[Flow, ...]
    flow: np.ndarray
    scripts: Sequence[tuple[Step, ...]]
    first: np.ndarray
    due_s: np.ndarray
    history_s: float
    again_s: np.ndarray | None = None

    def flow_of(self, conversation: int) -> Flow:
        """The flow that a conversation follows."""
        return self.flows[self.flow[conversation]]

    def turns(self, conversation: int) -> np.ndarray:
        """Intended times of a conversation's turns, s."""
        return self.due_s[self.first[conversation] : self.first[conversation + 1]]

    def due_between(self, start_s: float, stop_s: float) -> np.ndarray:
        """Indices of the turns due in ``[start_s, stop_s)``, in the order of their times."""
        chosen = np.flatnonzero((self.due_s >= start_s) & (self.due_s < stop_s))
        return chosen[np.argsort(self.due_s[chosen], kind="stable")]

    def conversations_of(self, turns: np.ndarray) -> np.ndarray:
        """The conversations that the turns of these indices belong to."""
        return np.searchsorted(self.first, turns, side="right") - 1


def draw(plan: LoadPlan) -> Schedule:
    """
    All conversations that have a turn in the plan's time, and those that ended shortly before.

    Arrivals begin one longest conversation before 0, so that at 0 as many conversations are under
    way as at any later time; a history cut at 60 s costs about 5 % of the rate.
    """
    random = np.random.default_rng(plan.seed)
    flows = tuple(FLOWS[name] for name in plan.mix)
    weights = np.array(list(plan.mix.values()), dtype=float)
    shares = weights / weights.sum()

    # How long conversations are, in turns and in time, is found by drawing some of each flow.
    samples = [_scripts(plan, [each] * _SAMPLES, f"sample {each.name}") for each in flows]
    turns_mean = [sum(map(len, scripts)) / _SAMPLES for scripts in samples]
    conversations_per_s = plan.turns_per_s / float(shares @ np.array(turns_mean))
    longest_s = 0.0
    for scripts in samples:
        first = _first(scripts)
        pauses = _pauses(plan, scripts, first, random)
        pauses[first[:-1]] = 0.0
        each_s = np.add.reduceat(pauses, first[:-1])
        longest_s = max(longest_s, float(np.quantile(each_s, _LONGEST_SHARE)))

    arrival_s = _arrivals(plan, conversations_per_s, longest_s, random)
    count = len(arrival_s)
    flow = random.choice(len(flows), size=count, p=shares)
    scripts = _scripts(plan, [flows[index] for index in flow], "conversations")
    first = _first(scripts)
    pauses = _pauses(plan, scripts, first, random)
    pauses[first[:-1]] = arrival_s
    # A running sum within each conversation: the sum over all, less what came before it.
    total = np.cumsum(pauses)
    before = np.concatenate([[0.0], total[first[1:-1] - 1]]) if count else np.zeros(0)
    due_s = total - np.repeat(before, np.diff(first))
    return Schedule(flows, flow, scripts, first, due_s, longest_s, _again(plan, scripts, random))


def talk(plan: LoadPlan, number: int) -> tuple[Flow, tuple[Step, ...], list[float]]:
    """
    One conversation for a closed loop, where the server has a say in when it comes.

    Args:
        plan: its mix, think times, habits and seed.
        number: of the conversation; the same one, the same conversation.

    Returns:
        its flow, its messages, and the pause after each, s.
    """
    random = Random(f"{plan.seed}/closed/{number}")
    flow = FLOWS[random.choices(list(plan.mix), weights=list(plan.mix.values()))[0]]
    script = flow.script(random, plan.habits)
    mu, sigma = log(plan.think_median_s), _sigma(plan)
    pauses = [random.lognormvariate(mu, sigma) for _ in script]
    for index, following in enumerate(script[1:]):
        if following.answers:
            gap_s = random.lognormvariate(log(plan.habits.api_gap_s), _GAP_SIGMA)
            pauses[index] = min(gap_s, _GAP_MAX_S)
    # Nobody is away between a message and the API's answer.
    pausing = [index for index, following in enumerate(script[1:]) if not following.answers]
    if pausing and random.random() < plan.habits.away_share:
        pauses[random.choice(pausing)] = plan.ttl_s * random.uniform(1.0, 2.0)
    return flow, script, pauses


def _arrivals(
    plan: LoadPlan, per_s: float, history_s: float, random: np.random.Generator
) -> np.ndarray:
    """Times at which conversations begin, s: a Poisson process whose rate has the plan's shape."""
    share, factor = np.array(plan.shape, dtype=float).T
    edges_s = np.linspace(-history_s, plan.duration_s, _CELLS + 1)
    middle_s = (edges_s[1:] + edges_s[:-1]) / 2
    rate = per_s * np.interp(middle_s, share * plan.duration_s, factor)
    expected = np.concatenate([[0.0], np.cumsum(rate * np.diff(edges_s))])
    drawn = np.sort(random.uniform(0.0, expected[-1], random.poisson(expected[-1])))
    return np.interp(drawn, expected, edges_s)


def _scripts(plan: LoadPlan, flows: Sequence[Flow], of: str) -> list[tuple[Step, ...]]:
    random = Random(f"{plan.seed}/{of}")
    return [flow.script(random, plan.habits) for flow in flows]


def _first(scripts: Sequence[tuple[Step, ...]]) -> np.ndarray:
    """Where each conversation's turns begin in a table of all, and the total."""
    return np.concatenate([[0], np.cumsum([len(script) for script in scripts], dtype=int)])


def _pauses(
    plan: LoadPlan,
    scripts: Sequence[Sequence[Step]],
    first: np.ndarray,
    random: np.random.Generator,
) -> np.ndarray:
    """The pause before each turn, s; the one before a conversation's first means nothing."""
    pauses = random.lognormal(log(plan.think_median_s), _sigma(plan), int(first[-1]))
    answers = _answers(scripts)
    if plan.habits.api_gap_s > 0:
        gaps_s = random.lognormal(log(plan.habits.api_gap_s), _GAP_SIGMA, int(answers.sum()))
        pauses[answers] = np.minimum(gaps_s, _GAP_MAX_S)
    turns = np.diff(first)
    away = np.flatnonzero((random.random(len(turns)) < plan.habits.away_share) & (turns > 1))
    after = first[away] + 1 + (random.random(len(away)) * (turns[away] - 1)).astype(int)
    away_s = plan.ttl_s * random.uniform(1.0, 2.0, len(away))
    # Nobody is away between a message and the API's answer: then it is before the message.
    after -= answers[after]
    stays = after > first[away]
    pauses[after[stays]] = away_s[stays]
    return pauses


def _again(
    plan: LoadPlan, scripts: Sequence[Sequence[Step]], random: np.random.Generator
) -> np.ndarray | None:
    """How long after each turn its message is delivered again, s; NaN where it is not."""
    if plan.habits.duplicate_share == 0:
        return None
    answers = _answers(scripts)
    again_s = random.uniform(0.0, plan.habits.duplicate_within_s, len(answers))
    again_s[random.random(len(answers)) >= plan.habits.duplicate_share] = np.nan
    again_s[answers] = np.nan  # the API's answer is no message of anybody's
    return again_s


def _answers(scripts: Sequence[Sequence[Step]]) -> np.ndarray:
    """Which turns of a table of all are answers of the API."""
    return np.array([step.answers for script in scripts for step in script], dtype=bool)


def _sigma(plan: LoadPlan) -> float:
    """Standard deviation of the logarithm of a think time."""
    return log(plan.think_p95_s / plan.think_median_s) / _P95
