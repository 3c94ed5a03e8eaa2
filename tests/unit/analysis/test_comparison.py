"""Comparing runs: what is told apart, what is not, and how often that is wrong."""

import math

import numpy as np
import pytest

from tests.frames import make_run, samples
from tests.unit.analysis.simulated import simulated
from workbench.analysis.comparison import FIGURES, compare
from workbench.analysis.latency import percentiles_us
from workbench.analysis.loss import loss
from workbench.analysis.resampling import Spread, blocks_of, groups_of, interval
from workbench.diagnostics.comparison import judge_comparison
from workbench.errors import RunError, UsageError
from workbench.runs.rows import Rows
from workbench.runs.run import Run


def told_apart(comparison):
    """The figures whose bounds leave out that nothing changed."""
    return {
        each.figure.name
        for each in comparison.differences
        if math.isfinite(each.low) and (each.low > 0 or each.high < 0)
    }


def naive_p50_differs(before, after, *, resamples=300):
    """Each turn by itself is drawn again, as if it told nothing of the next one."""
    random = np.random.default_rng(1)

    def medians(run):
        values = run.frame["response_us"].to_numpy()
        return [np.median(random.choice(values, len(values))) for _ in range(resamples)]

    differences = np.subtract(medians(after), medians(before))
    low, high = np.quantile(differences, [0.025, 0.975])
    return low > 0 or high < 0


def false_alarms(pairs, *, first=0, **drawn):
    """Pairs of runs that were drawn alike."""
    for pair in range(first, first + pairs):
        yield simulated(2 * pair, **drawn), simulated(2 * pair + 1, **drawn)


def test_runs_that_were_drawn_alike_are_seldom_told_apart():
    """In twenty comparisons one may find something in any figure; four in fourteen are too many."""
    found = [told_apart(compare([a], [b])) for a, b in false_alarms(14, seconds=60, per_s=20)]

    assert sum(map(bool, found)) <= 3


def test_turns_drawn_again_one_by_one_cry_wolf():
    """The control: a bootstrap that takes each turn for a witness finds differences in most."""
    found = [naive_p50_differs(a, b) for a, b in false_alarms(10, seconds=60)]

    assert sum(found) >= 5


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [40, 120])
def test_false_differences_are_as_rare_as_is_said(seconds):
    """All figures together, in 200 comparisons: about one of twenty."""
    found = [told_apart(compare([a], [b])) for a, b in false_alarms(200, seconds=seconds)]

    assert sum(map(bool, found)) / len(found) <= 0.10


@pytest.mark.slow
def test_false_differences_of_groups_are_as_rare_as_is_said():
    """Three runs on each side that differ from run to run, as those of one machine do."""
    random = np.random.default_rng(7)

    def group(number):
        return [
            simulated(1000 * number + each, seconds=30, times=float(np.exp(0.1 * random.normal())))
            for each in range(3)
        ]

    found = [told_apart(compare(group(2 * at), group(2 * at + 1))) for at in range(100)]

    assert sum(map(bool, found)) / len(found) <= 0.10


def test_fifth_slower_is_found_and_is_a_failure():
    """Five minutes of 50 turns a second are enough for a true 20 % in the median."""
    found = [
        compare(
            [simulated(2 * at, seconds=300, alike=0.3)],
            [simulated(2 * at + 1, seconds=300, alike=0.3, times=1.2)],
        )
        for at in range(2)
    ]

    assert [each["response_us_p50"].verdict for each in found] == ["worse"] * 2
    assert all(each["response_us_p50"].low < 0.2 < each["response_us_p50"].high for each in found)
    assert {judge_comparison(each).verdict for each in found} == {"fail"}


def test_faster_is_better_and_no_failure():
    """The other way round nothing is worse."""
    slow, fast = (simulated(at, seconds=300, times=1.5 - at / 2) for at in (0, 1))

    found = compare([slow], [fast])

    assert found["response_us_p50"].verdict == "better"
    assert "fail" not in {each.verdict for each in judge_comparison(found)}


def test_runs_of_a_side_are_drawn_again_from_three_on():
    """What differs from run to run is in the bounds then, and only then."""
    levels = (0.8, 1.0, 1.25)
    before = [
        simulated(at, seconds=60, alike=0.0, spread=0.1, times=level)
        for at, level in enumerate(levels)
    ]
    after = [
        simulated(9 + at, seconds=60, alike=0.0, spread=0.1, times=1.2 * level)
        for at, level in enumerate(levels)
    ]

    alone = compare(before[:1], after[:1])
    groups = compare(before, after)

    assert alone["response_us_p50"].low > 0
    assert groups["response_us_p50"].verdict == "unknown"
    assert "3 runs of" in groups.how
    assert "runs on each side would do" in groups["response_us_p50"].why
    assert any("these runs alone" in doubt for doubt in alone.doubts)
    assert not groups.doubts


def test_too_short_a_run_has_no_bounds_and_says_how_long_it_takes():
    """Fifteen seconds are three blocks."""
    found = compare([simulated(0, seconds=15)], [simulated(1, seconds=15)])

    assert judge_comparison(found).verdict == "unknown"
    assert found["response_us_p50"].why == (
        "not enough data: 15 s are 3 blocks, and it takes 6: measure 30 s"
    )
    assert math.isfinite(found["response_us_p50"].change)


def test_percentile_of_too_few_turns_has_no_bounds():
    """Ten turns beyond it are the least that a percentile rests on."""
    found = compare([simulated(0, seconds=40, per_s=20)], [simulated(1, seconds=40, per_s=20)])

    assert found["response_us_p99"].why == (
        "not enough data: 800 turns, and it takes 1,000 on each side"
    )
    assert "it takes 10,000" in found["response_us_p999"].why
    assert math.isfinite(found["response_us_p50"].low)


def test_wide_bounds_say_how_much_more_would_do():
    """A number, and not only that there is too little."""
    found = compare([simulated(0, seconds=40)], [simulated(1, seconds=40)])
    unsure = [each for each in found.differences if "measured on each side would do" in each.why]

    assert unsure
    assert all(each.verdict == "unknown" for each in unsure)


def test_none_of_some_thousand_is_known_to_be_no_worse():
    """By the rule of three; and of a few hundred it is not."""
    many = compare([simulated(0)], [simulated(1)])
    few = compare([simulated(0, per_s=5)], [simulated(1, per_s=5)])

    assert many["failed_share"].verdict == "no worse"
    assert 0 < many["failed_share"].high < 0.001
    assert few["failed_share"].verdict == "unknown"


@pytest.mark.parametrize(("ttl_s", "weighs"), [(4.0, True), (300.0, False)])
def test_state_that_expires_weighs_where_the_times_to_live_differ(ttl_s, weighs):
    """A short one loses nobody to eviction, and is worse."""
    before, after = (
        simulated(at, experiment={"ttl_s": each}) for at, each in enumerate((300.0, ttl_s))
    )
    outcome = np.where(after.frame.index % 3, "ok", "expired")
    after.measured_turns = Rows(after.frame.assign(outcome=outcome))

    found = compare([before], [after], varied=["load.ttl_s"])

    assert found["lost_state_share"].verdict == "better"
    assert found["expired_share"].verdict == "worse"
    assert (judge_comparison(found).verdict == "fail") is weighs


def test_time_without_a_rewrite_is_no_sample():
    """It was watched from end to end: no rule of three makes three seconds of it."""
    polls = samples([{"elapsed_s": float(at)} for at in range(61)])
    runs = [simulated(at, seconds=60) for at in (0, 1)]
    for run in runs:
        run.samples = polls

    found = compare(runs[:1], runs[1:])["rewriting_share"]

    assert (found.low, found.high, found.verdict) == (0.0, 0.0, "no worse")


def test_turns_that_fail_are_found():
    """Of a hundred turns two are refused that were carried out before."""
    found = compare([simulated(0)], [simulated(1, failed=0.02)])

    assert found["failed_share"].verdict == "worse"
    assert judge_comparison(found).head.rule == "compare-failed-share"


def test_same_run_on_both_sides_is_said(tiny_run):
    """It is no worse than itself, which is no answer."""
    found = compare([tiny_run], [tiny_run])
    verdict = judge_comparison(found)

    assert verdict.verdict == "unknown"
    assert "the same run stands on both sides" in verdict.head.says
    assert all(each.verdict == "unknown" for each in found.differences)


def test_invalid_run_s_latencies_have_no_bounds():
    """What was lost was lost; how long it took is not known."""
    late = simulated(1, status="invalid", why="the generator was late")

    found = compare([simulated(0)], [late])

    assert "do not hold: the generator was late" in found["response_us_p50"].why
    assert math.isfinite(found["lost_state_share"].low)
    assert any("invalid" in doubt for doubt in found.doubts)


@pytest.mark.parametrize("status", ["failed", "interrupted"])
def test_run_that_broke_off_is_refused(status):
    """Half a run is not like a whole one."""
    with pytest.raises(RunError, match=f"1 was {status} before its end"):
        compare([simulated(0)], [simulated(1, status=status)])


def test_unlike_runs_are_refused_and_each_difference_is_named():
    """Another engine and another rate: the message says how to mean it."""
    other = simulated(
        1, server={"engine": "valkey"}, experiment={"name": "other", "turns_per_s": 50.0}
    )
    before = simulated(
        0, server={"engine": "redis"}, experiment={"name": "one", "turns_per_s": 40.0}
    )

    with pytest.raises(RunError) as refused:
        compare([before], [other])
    varied = compare([before], [other], varied=["engine", "load.turns_per_s"])
    accepted = compare([before], [other], accept_unlike=True)

    assert "engine: redis | valkey" in str(refused.value)
    assert "load.turns_per_s: 40 | 50" in str(refused.value)
    assert 'varied=["engine", "load.turns_per_s"]' in str(refused.value)
    assert [each.name for each in varied.unlike] == ["engine", "load.turns_per_s"]
    assert accepted.unlike == varied.unlike


def test_settings_that_are_not_known_are_not_alike():
    """Not of one side: refused by name; not of both: said."""
    plain = {"engine": "redis", "version": "7.0.15"}
    known = simulated(0, server={**plain, "config": {"hz": "10", "maxmemory": "0"}})
    blank, other = (simulated(at, server=plain) for at in (1, 2))

    with pytest.raises(RunError, match=r"settings: known \| unknown") as refused:
        compare([known], [blank])
    meant = compare([known], [blank], varied=["settings"])
    both = compare([blank], [other])

    assert "hz" not in str(refused.value)
    for found in (meant, both):
        assert "Not known of all runs, so that they may be unlike in it: settings." in found.doubts
    assert not any("Not known" in each for each in compare([known], [known]).doubts)


@pytest.mark.parametrize(("version", "refused"), [("7.0.15", True), ("7.2.0", False)])
def test_setting_that_one_side_lacks_is_alike_only_if_its_version_has_it_not(version, refused):
    """Of the same version it was not told, and may be anything."""
    before = simulated(0)
    config = {"hz": "10", "new-setting": "yes"}
    after = simulated(1, server={"engine": "redis", "version": version, "config": config})

    if refused:
        with pytest.raises(RunError, match=r"new-setting: absent \| yes"):
            compare([before], [after], varied=[])
    else:
        assert [each.name for each in compare([before], [after], varied=["version"]).unlike] == [
            "version"
        ]


def test_part_of_what_differs_is_not_enough():
    """What was not meant to differ is still refused."""
    config = [{"config": {"maxmemory-policy": name, "hz": hz}} for name, hz in ("a1", "b2")]
    before, after = (simulated(at, server=config[at]) for at in (0, 1))

    with pytest.raises(RunError, match=r"hz: 1 \| 2") as refused:
        compare([before], [after], varied=["maxmemory-policy"])

    assert "maxmemory-policy:" not in str(refused.value)


def test_circumstance_that_is_none_is_refused_with_the_nearest():
    """A typing error is not consent."""
    server = {"config": {"maxmemory-policy": "allkeys-lru"}}

    with pytest.raises(UsageError, match="did you mean 'maxmemory-policy'"):
        compare(
            [simulated(0, server=server)], [simulated(1, server=server)], varied=["maxmemory-p"]
        )


def test_place_and_aliases_make_no_difference():
    """Another port is no other server; a setting's second name counts once."""
    config = [
        {"config": {"port": str(at), "hz": "10", "ziplist-x": str(at), "requirepass": str(at)}}
        for at in (0, 1)
    ]

    found = compare([simulated(0, server=config[0])], [simulated(1, server=config[1])])

    assert found.unlike == ()


def test_seeds_may_differ_within_a_side_and_not_between_them():
    """Three repetitions have three seeds, and the other side has the same three."""
    before = [simulated(at, seconds=30, drawn_by=at) for at in range(3)]
    after = [simulated(9 + at, seconds=30, drawn_by=at) for at in range(3)]
    others = [simulated(9 + at, seconds=30, drawn_by=5 + at) for at in range(3)]

    compare(before, after)
    with pytest.raises(RunError, match=r"seed: 0, 1, 2 \| 5, 6, 7"):
        compare(before, others)


def test_side_of_two_kinds_is_refused():
    """Its mean would be nobody's."""
    mixed = [simulated(at, server={"engine": name}) for at, name in enumerate(["redis", "valkey"])]

    with pytest.raises(RunError, match="the baseline are unlike themselves: engine"):
        compare(mixed, [simulated(9)])


@pytest.mark.parametrize("tolerance", [0, -1, 2, math.nan])
def test_tolerance_that_makes_no_sense_is_refused(tolerance):
    """It is a share."""
    with pytest.raises(UsageError, match="tolerance"):
        compare([simulated(0)], [simulated(1)], tolerance=tolerance)


def test_figures_are_those_of_the_run(tiny_run):
    """By classes of half a percent, and losses as the rules count them, of all turns measured."""
    found = compare([tiny_run], [tiny_run])
    true = percentiles_us(tiny_run.measured_turns)
    lost = loss(tiny_run.measured_turns)

    for name in ("p50", "p99", "p999"):
        assert found[f"response_us_{name}"].baseline == pytest.approx(true[name], rel=0.005)
    assert found["lost_state_share"].baseline == lost.early / lost.turns
    assert len(found.differences) == len(FIGURES)


def test_message_delivered_again_loses_its_state_once(tmp_path):
    """As the rules count it."""
    turn = {"conversation": 1, "turn": 2, "outcome": "evicted"}
    rows = [{"elapsed_s": 1.0, **turn}, {"elapsed_s": 1.1, **turn, "delivery": 1}]
    run = make_run(tmp_path / "again", operations=[*rows, {"elapsed_s": 2.0}])

    sums = blocks_of(run).sums.sum()

    assert (sums["lost"], sums["needing"], sums["sent"]) == (1, 2, 2)


def test_message_refused_and_delivered_again_fails_once_or_not_at_all(tmp_path):
    """Three refusals of one message are one turn that failed; one carried out then is none."""
    rows = [
        {"elapsed_s": at, "conversation": number, "delivery": delivery, "outcome": outcome}
        for number, outcomes in enumerate(
            [
                ["refused", "refused", "refused"],
                ["refused", "ok"],
                ["timeout", "evicted", "refused"],
                ["unsent"],
                ["ok"],
            ]
        )
        for delivery, (at, outcome) in enumerate(zip((1.0, 2.0, 3.0), outcomes, strict=False))
    ]
    run = make_run(tmp_path / "again", operations=rows)

    for sums in (blocks_of(run).sums.sum(), groups_of(run).sum()):
        assert (sums["sent"], sums["failed"]) == (4, 1)
        assert (sums["needing"], sums["lost"]) == (3, 1)


def test_losses_are_shares_of_all_turns_measured_as_where_settings_are_compared(tmp_path):
    """Who evicts late and then many is better than who evicts some all along, in both figures."""
    found = {}
    for name, begin_s, every in (("early", 2, 5), ("late", 50, 3)):
        rows = [
            {
                "elapsed_s": at / 10,
                "conversation": at,
                "outcome": "evicted" if at / 10 >= begin_s and at % every == 0 else "ok",
            }
            for at in range(600)
        ]
        polls = [{"elapsed_s": float(at), "evicted_keys": max(0, at - begin_s)} for at in range(61)]
        run = make_run(tmp_path / name, measured_s=60.0, operations=rows, samples=polls)
        found[name] = run

    compared = compare([found["early"]], [found["late"]])["lost_state_share"]
    groups = [groups_of(run).sum() for run in found.values()]

    assert [sums["lost"] / sums["needing"] for sums in groups] == [
        compared.baseline,
        compared.other,
    ]
    assert compared.change < -0.1


def test_blocks_are_longer_where_seconds_are_alike():
    """Half as many of them, and never under five seconds."""
    free, alike = (blocks_of(simulated(1, seconds=300, alike=each)) for each in (0.0, 0.9))

    assert len(free) == 60
    assert len(alike) < 40


def test_bounds_of_few_parts_are_wider_than_of_many():
    """Student's t: with three parts chance is not known so well."""
    few, many = (
        interval(Spread(0.0, 1.0, parts), Spread(0.0, 1.0, parts), doubt=0.05) for parts in (3, 300)
    )

    assert few.high > 1.3 * many.high
    assert many.high == pytest.approx(1.96 * math.sqrt(2), rel=0.01)


def test_sampled_run_has_the_server_s_figures_alone(tmp_path):
    """No turn, no latency; and no error."""
    polls = [{"elapsed_s": float(at), "evicted_keys": 3 * at} for at in range(61)]
    runs = [
        make_run(tmp_path / name, measured_s=60.0, samples=polls, experiment={"scenario": ""})
        for name in ("a", "b")
    ]

    found = compare(runs[:1], runs[1:])

    assert found["response_us_p50"].why == "there is none in a and in b"
    assert found["evicted_keys_per_s"].baseline == pytest.approx(3.0)
    assert found["evicted_keys_per_s"].verdict == "no worse"


def test_run_without_a_measured_phase_is_refused(tmp_path):
    """There is nothing to compare."""
    run = Run(make_run(tmp_path / "none", measured_s=None).path)

    with pytest.raises(RunError, match="none has no measured phase"):
        compare([run], [run])
