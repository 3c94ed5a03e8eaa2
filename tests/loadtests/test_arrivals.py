"""The offered load follows from the seed, and is as heavy at the start as at the end."""

from dataclasses import replace
from math import sqrt

import numpy as np
import pytest

from loadtests.arrivals import LoadPlan, draw
from workbench.flows.model import Habits

PLAN = LoadPlan(
    turns_per_s=200.0,
    duration_s=120.0,
    mix={"login": 35, "offer_secured": 25},
    think_median_s=8.0,
    think_p95_s=45.0,
    seed=7,
)
TURNS_MEAN = (35 * 1 + 25 * 5) / 60
TURNS_SQUARE_MEAN = (35 * 1 + 25 * 25) / 60


@pytest.fixture(scope="module")
def schedule():
    return draw(PLAN)


def sigma(turns: float) -> float:
    """
    Standard deviation of a count of turns: they come in conversations, so they vary more than a
    Poisson count does, at most by E[n²] ÷ E[n].
    """
    return sqrt(turns * TURNS_SQUARE_MEAN / TURNS_MEAN)


def due(schedule, start_s: float, stop_s: float) -> int:
    return len(schedule.due_between(start_s, stop_s))


def test_same_seed_draws_the_same_schedule(schedule):
    """A run can be repeated turn for turn."""
    again = draw(PLAN)

    assert np.array_equal(again.due_s, schedule.due_s)
    assert np.array_equal(again.flow, schedule.flow)


def test_another_seed_draws_another_schedule(schedule):
    """Three runs of three seeds are three trials."""
    assert not np.array_equal(draw(replace(PLAN, seed=8)).due_s[:100], schedule.due_s[:100])


def test_rate_is_that_of_the_plan(schedule):
    """Over the whole time the turns due differ from rate × time by chance alone."""
    expected = PLAN.turns_per_s * PLAN.duration_s

    assert abs(due(schedule, 0, PLAN.duration_s) - expected) < 5 * sigma(expected)


def test_first_quarter_is_as_heavy_as_the_last(schedule):
    """Arrivals begin long before 0, so nothing has to fill up first."""
    quarter_s = PLAN.duration_s / 4
    first = due(schedule, 0, quarter_s)
    last = due(schedule, PLAN.duration_s - quarter_s, PLAN.duration_s)

    assert abs(first - last) < 5 * sqrt(2) * sigma(PLAN.turns_per_s * quarter_s)


def test_as_many_conversations_are_under_way_at_the_start_as_later(schedule):
    """What is prefilled is what a server in service would hold."""
    begins_s = schedule.due_s[schedule.first[:-1]]
    ends_s = schedule.due_s[schedule.first[1:] - 1]

    alive = [int(((begins_s < at) & (ends_s >= at)).sum()) for at in (0.0, 40.0, 80.0)]

    # The conversations alive at a time are a Poisson count.
    assert max(alive) - min(alive) < 5 * sqrt(2 * max(alive))


def test_turns_of_a_conversation_follow_each_other(schedule):
    """Think times are positive: no turn comes before the one that it answers."""
    within = np.ones(len(schedule.due_s), dtype=bool)
    within[schedule.first[:-1]] = False

    assert (np.diff(schedule.due_s)[within[1:]] > 0).all()


def test_each_conversation_has_the_turns_of_its_flow(schedule):
    """First and last turn of every conversation, by its own script."""
    for conversation in range(0, len(schedule.flow), 97):
        steps = schedule.flow_of(conversation).steps

        assert schedule.scripts[conversation] == steps
        assert len(schedule.turns(conversation)) == len(steps)


HUMAN = replace(
    PLAN,
    mix={"offer_secured": 25, "view_ledger": 10, "onboard": 5},
    habits=Habits(invalid_share=0.1, next_page_share=0.5, away_share=0.03),
)


def test_rate_is_that_of_the_plan_whatever_people_do():
    """Messages that are not accepted, and further pages, are turns like the others."""
    human = draw(HUMAN)
    turns = np.diff(human.first)
    expected = PLAN.turns_per_s * PLAN.duration_s
    deviation = sqrt(expected * float((turns**2).mean() / turns.mean()))

    assert abs(due(human, 0, PLAN.duration_s) - expected) < 5 * deviation
    assert turns.tolist() == [len(script) for script in human.scripts]


def test_some_come_back_when_their_state_has_expired():
    """One pause of one to two times the time to live, in the share of conversations asked for."""
    human = draw(HUMAN)
    within = np.ones(len(human.due_s), dtype=bool)
    within[human.first[:-1]] = False
    conversation = np.repeat(np.arange(len(human.flow)), np.diff(human.first))[within]
    long = np.diff(human.due_s)[within[1:]] > HUMAN.ttl_s
    away = len(set(conversation[long].tolist())) / len(human.flow)

    # Some pauses are as long by themselves: 0.03 % of the lognormal's.
    assert abs(away - 0.03) < 5 * sqrt(0.03 / len(human.flow)) + 0.003


SHAPES = {
    "burst": ((0.0, 1.0), (0.4, 1.0), (0.4, 3.0), (0.6, 3.0), (0.6, 1.0), (1.0, 1.0)),
    "ramp": ((0.0, 0.1), (1.0, 2.0)),
}


@pytest.mark.parametrize(
    ("shape", "start", "stop", "factor"),
    [
        ("burst", -0.2, 0.4, 1.0),
        ("burst", 0.4, 0.6, 3.0),
        ("burst", 0.6, 1.0, 1.0),
        ("ramp", -0.2, 0.0, 0.1),
        ("ramp", 0.0, 0.2, 0.29),
        ("ramp", 0.8, 1.0, 1.81),
    ],
)
def test_new_conversations_come_as_the_shape_says(shape, start, stop, factor):
    """Also before the start, where the rate is that of the start; and at once where it jumps."""
    plan = replace(PLAN, shape=SHAPES[shape], think_p95_s=9.0)
    schedule = draw(plan)
    begins_s = schedule.due_s[schedule.first[:-1]]
    start_s, stop_s = start * plan.duration_s, stop * plan.duration_s

    found = int(((begins_s >= start_s) & (begins_s < stop_s)).sum())

    since_s = max(start_s, -schedule.history_s)
    expected = factor * plan.turns_per_s / TURNS_MEAN * (stop_s - since_s)
    assert abs(found - expected) < 5 * sqrt(expected) + 0.01 * expected


def test_same_seed_draws_the_same_messages():
    """And another seed others."""
    human = draw(HUMAN)

    assert draw(HUMAN).scripts == human.scripts
    assert draw(replace(HUMAN, seed=8)).scripts[:50] != human.scripts[:50]


def test_think_times_have_the_median_and_p95_of_the_plan(schedule):
    """Half are longer than the median, one in twenty longer than the p95."""
    within = np.ones(len(schedule.due_s), dtype=bool)
    within[schedule.first[:-1]] = False
    think_s = np.diff(schedule.due_s)[within[1:]]

    for limit_s, share in ((PLAN.think_median_s, 0.5), (PLAN.think_p95_s, 0.05)):
        deviation = sqrt(share * (1 - share) / len(think_s))
        assert abs((think_s > limit_s).mean() - share) < 5 * deviation


def test_mix_is_by_conversation(schedule):
    """35 of 60 conversations log in and do no more."""
    names = [flow.name for flow in schedule.flows]
    share = (schedule.flow == names.index("login")).mean()

    assert abs(share - 35 / 60) < 5 * sqrt(0.25 / len(schedule.flow))


def test_turns_between_two_times_come_in_order_with_their_conversations(schedule):
    """From the start on, and up to before the end."""
    turns = schedule.due_between(10.0, 12.0)
    times_s, conversations = schedule.due_s[turns], schedule.conversations_of(turns)

    assert (np.diff(times_s) >= 0).all()
    assert times_s[0] >= 10.0
    assert times_s[-1] < 12.0
    for due_s, number in zip(times_s[::50], conversations[::50], strict=True):
        assert due_s in schedule.turns(number)


@pytest.mark.parametrize("seed", range(20))
def test_shortest_and_slowest_plan_can_be_drawn(seed):
    """A turn a second for a second may well be none at all."""
    plan = replace(PLAN, turns_per_s=1.0, duration_s=1.0, mix={"login": 1}, seed=seed)

    schedule = draw(plan)

    assert len(schedule.due_s) == len(schedule.flow)
    assert schedule.history_s == 0.0


def test_api_answers_after_a_gap_of_its_own():
    """A lognormal one, of 30 s at most; think times are as they were."""
    schedule = draw(replace(PLAN, habits=Habits(api_gap_s=0.6)))
    answers = np.array([step.answers for script in schedule.scripts for step in script])
    pauses = np.diff(schedule.due_s, prepend=0.0)
    inner = np.ones(len(pauses), dtype=bool)
    inner[schedule.first[:-1]] = False
    gaps_s, thought_s = pauses[answers], pauses[inner & ~answers]

    assert abs(np.median(gaps_s) - 0.6) < 0.03
    assert abs(np.quantile(gaps_s, 0.95) - 1.8) < 0.15
    assert 0 < gaps_s.min() <= gaps_s.max() <= 30
    assert abs(np.median(thought_s) - PLAN.think_median_s) < 0.5


def test_one_message_in_fifty_comes_twice():
    """Within the time that was said; what the API answers is no message."""
    habits = Habits(duplicate_share=0.02, duplicate_within_s=0.2, api_gap_s=0.6)
    schedule = draw(replace(PLAN, habits=habits))
    answers = np.array([step.answers for script in schedule.scripts for step in script])
    again_s = schedule.again_s[~np.isnan(schedule.again_s)]
    messages = (~answers).sum()

    assert abs(len(again_s) / messages - 0.02) < 5 * sqrt(0.02 / messages)
    assert 0 <= again_s.min() <= again_s.max() < 0.2
    assert np.isnan(schedule.again_s[answers]).all()
    assert np.array_equal(draw(replace(PLAN, habits=habits)).again_s, schedule.again_s, True)
    assert draw(PLAN).again_s is None


def test_nobody_is_away_between_a_message_and_the_answer_of_the_api():
    """Who is away has read the answer, or has not written yet."""
    habits = Habits(away_share=0.5, api_gap_s=0.6)
    schedule = draw(replace(PLAN, habits=habits, ttl_s=100.0))
    answers = np.array([step.answers for script in schedule.scripts for step in script])
    pauses = np.diff(schedule.due_s, prepend=0.0)

    assert (pauses[~answers] >= 100).any()
    assert pauses[answers].max() <= 30
