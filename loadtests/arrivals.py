"""
When conversations arrive and when each of their turns is due: drawn in advance, from a seed.

Conversations arrive as a Poisson process; the turns of a conversation follow each other by think
times that are drawn at its arrival. So the offered load depends on the seed alone: a server that
stalls is not asked less. No locust in here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import log
from typing import Final

import numpy as np

from workbench.flows.model import FLOWS, Flow

__all__ = ["LoadPlan", "Schedule", "draw"]

_P95: Final = 1.6449
"""The standard normal distribution's 95th percentile."""

_LONGEST_SHARE: Final = 0.999


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
    """

    turns_per_s: float
    duration_s: float
    mix: Mapping[str, float]
    think_median_s: float
    think_p95_s: float
    seed: int


@dataclass(frozen=True, slots=True)
class Schedule:
    """
    Conversations and the intended times of their turns.

    Attributes:
        flows: the flows of the mix.
        flow: index into ``flows``, by conversation.
        first: index of a conversation's first turn in ``due_s``, by conversation, and the total.
        due_s: intended time of each turn, s from the start of the warm-up; negative before it.
        history_s: how long before 0 arrivals began: one longest conversation.
    """

    flows: tuple[Flow, ...]
    flow: np.ndarray
    first: np.ndarray
    due_s: np.ndarray
    history_s: float

    def script(self, conversation: int) -> Flow:
        """The flow that a conversation follows."""
        return self.flows[self.flow[conversation]]

    def turns(self, conversation: int) -> np.ndarray:
        """Intended times of a conversation's turns, s."""
        return self.due_s[self.first[conversation] : self.first[conversation + 1]]

    def due_between(self, start_s: float, stop_s: float) -> tuple[np.ndarray, np.ndarray]:
        """The turns due in ``[start_s, stop_s)``: their times in order, and their conversations."""
        chosen = np.flatnonzero((self.due_s >= start_s) & (self.due_s < stop_s))
        chosen = chosen[np.argsort(self.due_s[chosen], kind="stable")]
        return self.due_s[chosen], np.searchsorted(self.first, chosen, side="right") - 1


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
    turns = np.array([len(flow.steps) for flow in flows])
    sigma = log(plan.think_p95_s / plan.think_median_s) / _P95

    def think_s(count: int) -> np.ndarray:
        return random.lognormal(log(plan.think_median_s), sigma, count)

    longest = think_s(4000 * (turns.max() - 1)).reshape(4000, -1).sum(axis=1)
    history_s = float(np.quantile(longest, _LONGEST_SHARE)) if longest.size else 0.0
    conversations_per_s = plan.turns_per_s / float(shares @ turns)

    span_s = history_s + plan.duration_s
    count = random.poisson(conversations_per_s * span_s)
    arrival_s = np.sort(random.uniform(-history_s, plan.duration_s, count))
    flow = random.choice(len(flows), size=count, p=shares)
    first = np.concatenate([[0], np.cumsum(turns[flow])])
    steps = think_s(int(first[-1]))
    steps[first[:-1]] = arrival_s
    # A running sum within each conversation: the sum over all, less what came before it.
    total = np.cumsum(steps)
    before = np.concatenate([[0.0], total[first[1:-1] - 1]]) if count else np.zeros(0)
    due_s = total - np.repeat(before, turns[flow])
    return Schedule(flows, flow, first, due_s, history_s)
