"""The search for the highest rate, on servers that are a formula."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.frames import make_run
from workbench.analysis.validity import Validity, reasons_against
from workbench.diagnostics.slo import Slo, judge
from workbench.errors import RunFailedError, ServerNotReadyError, UsageError
from workbench.experiments.capacity import Step, blamed, check_bounds, judged, search

CALM = {
    "turns": 1000,
    "delivered_share": 1.0,
    "lag_us_p99": 100.0,
    "response_us_p99": 1000.0,
    "starved_share": 0.0,
    "cpu_share": 0.2,
}


def step(rate, verdict, **more):
    broken = {"limits": ("response_p99",), "why": "too slow"} if verdict == "not met" else {}
    return Step(turns_per_s=rate, verdict=verdict, **{**broken, **more})


def server(threshold):
    """One that meets its objectives up to a rate."""
    return lambda rate: step(rate, "met" if rate <= threshold else "not met")


def bounded(lowest, highest, resolution):
    """The most steps that a search may take where none has to be repeated."""
    doublings = math.ceil(math.log2(highest / lowest)) + 1
    halvings = math.ceil(math.log2(math.log(2) / math.log(1 + resolution)))
    # A rate is rounded to three digits, which can make one side the wider.
    return doublings + halvings + 1


@given(
    lowest=st.floats(1, 500),
    factor=st.floats(1, 1000),
    place=st.floats(0, 1.2),
    resolution=st.floats(0.02, 1),
)
def test_answer_brackets_the_true_threshold(lowest, factor, place, resolution):
    """Whatever the threshold: below it is met, above it is not, near enough, in bounded steps."""
    highest = min(lowest * factor, 100_000)
    threshold = lowest * 0.9 * (highest / lowest) ** place

    found = search(server(threshold), lowest=lowest, highest=highest, resolution=resolution)

    rates = [each.turns_per_s for each in found.steps]
    assert len(rates) == len(set(rates)) <= bounded(lowest, highest, resolution)
    assert all(lowest <= rate <= highest for rate in rates)
    if threshold < lowest:
        assert (found.ended, found.met, len(rates)) == ("lowest not met", None, 1)
    elif threshold >= highest:
        assert (found.ended, found.met.turns_per_s) == ("highest met", highest)
    else:
        assert found.ended == "found"
        met, not_met = found.met.turns_per_s, found.not_met.turns_per_s
        assert met <= threshold < not_met <= (1 + resolution) * met


@given(place=st.floats(0.01, 0.99), flaky=st.sets(st.integers(0, 12)))
def test_one_unlucky_try_of_a_step_changes_nothing(place, flaky):
    """A step that was broken narrowly, or whose load was late, is tried again, and that counts."""
    true = server(100 * 2 ** (7 * place))
    tries = []

    def attempt(rate):
        tries.append(rate)
        first = tries.count(rate) == 1
        if first and len(set(tries)) in flaky and true(rate).verdict == "met":
            return step(rate, "not met" if len(tries) % 2 else "unknown", narrow=True)
        return true(rate)

    found = search(attempt, lowest=100, highest=12_800, resolution=0.1)

    calm = search(true, lowest=100, highest=12_800, resolution=0.1)
    assert (found.ended, found.met, found.not_met) == (calm.ended, calm.met, calm.not_met)
    assert max(map(tries.count, tries)) <= 2


def test_step_that_is_broken_by_far_is_not_repeated():
    """Nor one of which a second try would tell no more."""
    broken = search(server(50), lowest=100, highest=800, resolution=0.1)
    dumb = search(lambda rate: step(rate, "unknown"), lowest=100, highest=800, resolution=0.1)

    assert [len(broken.steps), len(dumb.steps)] == [1, 1]


def test_step_broken_twice_narrowly_is_broken():
    """The second try confirms the first, or cannot be told and leaves it standing."""
    for second in ("not met", "unknown"):
        verdicts = iter(["not met", second])
        found = search(
            lambda rate, verdicts=verdicts: step(rate, next(verdicts), narrow=True),
            lowest=100,
            highest=800,
            resolution=0.1,
        )

        assert (found.ended, found.not_met.turns_per_s) == ("lowest not met", 100)
        assert len(found.steps) == 2
        assert "lower --from" in found.says


def test_generator_that_is_late_twice_ends_the_search():
    """What is known below stands, and it is said that the server was not the limit."""
    late = {"why": "the generator, not the server, was the limit: late", "narrow": True}

    found = search(
        lambda rate: step(rate, "met") if rate < 400 else step(rate, "unknown", **late),
        lowest=100,
        highest=3200,
        resolution=0.1,
    )

    assert [each.turns_per_s for each in found.steps] == [100, 200, 400, 400]
    assert (found.ended, found.met.turns_per_s, found.not_met) == ("unknown", 200, None)
    assert "met at 200 turns/s" in found.says
    assert "at 400 turns/s it cannot be told: the generator, not the server" in found.says


@pytest.mark.parametrize(
    ("failure", "ended", "said"),
    [
        (KeyboardInterrupt(), "interrupted", "interrupted before its end"),
        (RunFailedError("redis://x:secret@h:1 died"), "failed", "it broke off: "),
    ],
)
def test_search_that_breaks_off_keeps_what_it_knows(failure, ended, said):
    """And no password gets into it."""

    def attempt(rate):
        if rate > 200:
            raise failure
        return step(rate, "met")

    found = search(attempt, lowest=100, highest=3200, resolution=0.1)

    assert (found.ended, found.met.turns_per_s) == (ended, 200)
    assert said in found.says
    assert "secret" not in found.says


def test_search_whose_first_step_cannot_be_made_says_why():
    """There is nothing known that would have to be kept."""

    def attempt(rate):
        raise ServerNotReadyError("nothing answers")

    with pytest.raises(ServerNotReadyError, match="nothing answers"):
        search(attempt, lowest=100, highest=3200, resolution=0.1)


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        ((0, 100, 0.1), "--from is 0, outside 1 to"),
        ((math.nan, 100, 0.1), "--from is nan"),
        ((100, 1e9, 0.1), "--to is 1e\\+09, outside"),
        ((200, 100, 0.1), "--from 200 is above --to 100"),
        ((100, 200, 0.001), "--resolution is 0.001, outside"),
        ((100, 200, math.nan), "--resolution is nan"),
    ],
)
def test_bounds_that_make_no_sense_are_refused(bounds, said):
    """By the name of the option."""
    with pytest.raises(UsageError, match=said):
        check_bounds(*bounds)


def turns(count, **values):
    return [{"elapsed_s": n / 100, **values} for n in range(count)]


def judged_run(path, slo, *, status="complete", **tables):
    """A hand-made run as a step; the load and the sampler did their part."""
    seconds = [{"elapsed_s": float(n)} for n in range(11)]
    run = make_run(path, status=status, samples=seconds, generator=seconds, **tables)
    return judged(run, 100, judge(run, slo))


def test_run_that_keeps_the_objectives_is_met(tmp_path):
    """With the figures that are printed."""
    slo = Slo("slo.toml", response_p99_s=0.1, lost_state_share=0.001)

    found = judged_run(tmp_path, slo, operations=turns(900))

    assert (found.verdict, found.why, found.limits) == ("met", "", ())
    assert (found.response_us_p99, found.delivered_share, found.lost_state_share) == (1000, 1, 0)


@pytest.mark.parametrize(("response_us", "narrow"), [(110_000, True), (200_000, False)])
def test_objective_broken_by_a_quarter_is_broken_narrowly(tmp_path, response_us, narrow):
    """It says which one and what was measured."""
    slo = Slo("slo.toml", response_p50_s=0.1, response_p99_s=0.1)
    slow = turns(900, response_us=response_us, service_us=response_us)

    found = judged_run(tmp_path, slo, operations=slow)

    assert (found.verdict, found.narrow) == ("not met", narrow)
    assert found.limits == ("response_p99", "response_p50")
    assert f"response_p99 is {response_us / 1000:g} ms, at most 100 ms" in found.why


def test_lost_update_is_never_narrow(tmp_path):
    """Where nothing is allowed a second try is no excuse."""
    rows = [*turns(899), {"elapsed_s": 8.99, "outcome": "lost_update"}]

    found = judged_run(tmp_path, Slo("slo.toml", lost_updates=0), operations=rows)

    assert (found.verdict, found.limits, found.narrow) == ("not met", ("lost_updates",), False)


@pytest.mark.parametrize(
    "wrong",
    [{"lag_us_p99": 9e5}, {"starved_share": 0.5}, {"cpu_share": 0.99}],
    ids=["late", "starved", "busy"],
)
def test_generator_is_blamed_by_each_of_its_own_reasons(wrong):
    """The reasons are told in another room: the words must be those that are looked for."""
    reasons = reasons_against(**{**CALM, **wrong})

    assert len(reasons) == 1
    assert blamed(Validity(reasons, 1000, 1.0, 0, 0, 0, 0)).startswith("the generator, not")


def test_sampler_that_missed_something_is_not_the_generator():
    """Nor is a clock that was moved."""
    reasons = reasons_against(**CALM, sample_gap_max_s=9.0, clock_steps=("+1 s",))

    assert len(reasons) == 2
    assert blamed(Validity(reasons, 1000, 1.0, 0, 0, 0, 9)) == ""


def test_late_generator_is_unknown_and_worth_a_second_try(tmp_path):
    """Whatever its objectives say: what was offered was not the rate."""
    late = turns(900, lag_us=500_000.0, response_us=501_000.0)

    found = judged_run(
        tmp_path, Slo("slo.toml", response_p99_s=0.1), status="invalid", operations=late
    )

    assert (found.verdict, found.narrow, found.limits) == ("unknown", True, ())
    assert found.why.startswith("the generator, not the server, was the limit: ")


def test_turns_that_the_server_left_over_are_the_servers(tmp_path):
    """The generator was in time: the objectives are not met, and nobody else is blamed."""
    rows = [*turns(800), *turns(100, outcome="unsent")]

    found = judged_run(
        tmp_path, Slo("slo.toml", response_p99_s=0.1), status="invalid", operations=rows
    )

    assert (found.verdict, found.limits) == ("not met", ("delivered_share",))
    assert found.why == "only 88.9 % of the turns due were completed"
