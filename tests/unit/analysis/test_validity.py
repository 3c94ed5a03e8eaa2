"""A run's figures hold, or there is a reason why not: each reason by itself."""

import pytest

from tests.frames import events, generator, operations, samples
from workbench.analysis.validity import reasons_against, validity

MEASURED_S = 10.0
SECONDS = [{"elapsed_s": float(at)} for at in range(1, 11)]
POLLS = [{"elapsed_s": at / 2} for at in range(21)]


def turns(count=200, **values):
    """So many calm turns, 0.05 s apart; ``values`` go to all of them."""
    return [{"elapsed_s": 0.05 * number, **values} for number in range(count)]


def judged(ops=None, seconds=SECONDS, polls=POLLS, marks=()):
    measured = operations(turns() if ops is None else ops)
    return validity(
        measured, generator(seconds), samples(polls), events(marks), measured_s=MEASURED_S
    )


def test_calm_run_is_valid():
    """All that came due was done, in time, under a watching sampler."""
    found = judged()

    assert found.valid
    assert found.reasons == ()
    assert (found.turns, found.delivered_share) == (200, 1.0)


def test_lag_under_the_floor_is_no_reason_even_if_it_is_most_of_the_response():
    """A calm run's response is mostly timers: a bare 10 % would fail every healthy run."""
    assert judged(turns(lag_us=4_900.0, response_us=5_000.0)).valid


def test_lag_over_a_tenth_of_the_response_is_a_reason():
    """6 ms of lag at a response of 50 ms: the generator is part of what was measured."""
    found = judged(turns(lag_us=6_000.0, response_us=50_000.0))

    assert [reason.partition(":")[0] for reason in found.reasons] == ["the generator was late"]


def test_lag_under_a_tenth_of_a_slow_response_is_no_reason():
    """Beside a server that stalls for a second, 20 ms of lag weigh little."""
    assert judged(turns(lag_us=20_000.0, response_us=1e6)).valid


def test_undelivered_turns_are_a_reason():
    """3 % of the turns due were never sent: the figures leave out the slowest."""
    found = judged([*turns(194), *turns(6, outcome="unsent")])

    assert found.delivered_share == pytest.approx(0.97)
    assert len(found.reasons) == 1
    assert "only 97 % of the turns due were completed" in found.reasons[0]


def test_a_few_undelivered_turns_are_no_reason():
    """1 % may be left at the end of a run."""
    assert judged([*turns(198), *turns(2, outcome="unsent")]).valid


def test_lost_conversation_is_a_turn_delivered():
    """What the server did to a turn says nothing against the generator."""
    assert judged(turns(outcome="evicted")).delivered_share == 1.0


def test_too_few_turns_are_a_reason():
    """99 turns have no p99."""
    found = judged(turns(99))

    assert found.reasons == ("only 99 turns came due in the measured phase: lengthen it",)


def test_no_turns_at_all_are_one_reason():
    """Nothing due, nothing delivered: said once."""
    assert judged([]).reasons == ("no turn came due in the measured phase: lengthen it",)


def test_single_turn_is_told_as_one():
    """Not "only 1 turns"."""
    assert judged(turns(1)).reasons[0].startswith("only 1 turn came due")


def test_turns_without_a_slot_at_a_fast_server_are_a_reason():
    """In 2 of 10 seconds turns waited although each took 1 ms: there were too few slots."""
    busy = [{**second, "turns_waiting": int(at < 2)} for at, second in enumerate(SECONDS)]

    found = judged(seconds=busy)

    assert len(found.reasons) == 1
    assert "raise --users" in found.reasons[0]


def test_turns_that_wait_through_a_stall_of_the_server_are_no_reason():
    """All slots were held by turns that the server kept for a second: it is the server's doing."""
    stalled = [
        {**second, "turns_waiting": 40 * (at in (4, 5))} for at, second in enumerate(SECONDS)
    ]
    held = [
        {"elapsed_s": 4.1, "service_us": 1_200_000.0, "response_us": 1_200_100.0} for _ in range(50)
    ]

    assert judged([*turns(), *held], seconds=stalled).valid


def test_stall_is_noticed_wherever_seconds_and_turns_begin():
    """The load's seconds end at odd times, and one turn holds its slot through three of them."""
    odd = [{"elapsed_s": at + 0.4, "turns_waiting": int(at in (4, 5))} for at in range(10)]
    held = {"elapsed_s": 3.2, "service_us": 2_500_000.0, "response_us": 2_500_100.0}

    assert judged([*turns(), held, held], seconds=odd).valid
    assert not judged(turns(), seconds=odd).valid


def test_load_that_uses_a_whole_core_is_a_reason():
    """Over 85 % of a core, its clocks are late before it can tell."""
    found = judged(seconds=[{**second, "cpu_share": 0.86} for second in SECONDS])

    assert found.reasons == ("the load used 86 % of a core; lower --rate",)


def test_busiest_of_several_processes_is_the_one_that_counts():
    """One core at 90 % beside one at 10 % is late, though the two together are half idle."""
    both = [
        {**second, "cpu_share": share, "worker": worker}
        for second in SECONDS
        for worker, share in enumerate((0.9, 0.1))
    ]

    assert judged(seconds=both).reasons == ("the load used 90 % of a core; lower --rate",)
    assert judged(seconds=[{**second, "cpu_share": 0.5} for second in both]).valid


def test_load_that_recorded_nothing_of_itself_is_a_reason():
    """What is not known is not taken for good."""
    found = judged(seconds=[])

    assert len(found.reasons) == 1
    assert "is not known" in found.reasons[0]


@pytest.mark.parametrize(
    "polls",
    [
        [p for p in POLLS if not 4 < p["elapsed_s"] < 6.5],
        [p for p in POLLS if p["elapsed_s"] > 2],
        [p for p in POLLS if p["elapsed_s"] < 7.9],
        [],
    ],
    ids=["in the middle", "at the start", "at the end", "all of it"],
)
def test_gap_of_the_sampler_is_a_reason(polls):
    """Over 2 s without a sample inside the phase, evictions may have come and gone unseen."""
    found = judged(polls=polls)

    assert found.sample_gap_max_s > 2
    assert len(found.reasons) == 1
    assert found.reasons[0].startswith("the sampler missed")


def test_gap_outside_the_measured_phase_is_no_reason():
    """What happens in the warm-up is left out."""
    assert judged(polls=[{"elapsed_s": -9.0}, *POLLS, {"elapsed_s": 19.0}]).valid


def test_reasons_add_up():
    """A person who mends one wants to know of the other."""
    found = judged(turns(outcome="unsent"), polls=[])

    assert len(found.reasons) == 2


def test_lost_worker_is_the_first_reason():
    """Whoever was lost took part of the load with it, however well the others did."""
    healthy = {
        "turns": 1000,
        "delivered_share": 1.0,
        "lag_us_p99": 100.0,
        "response_us_p99": 1000.0,
        "starved_share": 0.0,
        "cpu_share": 0.1,
    }

    assert reasons_against(**healthy) == ()
    (reason,) = reasons_against(**healthy, workers_lost=["load worker 1 of 2"])
    assert reason.startswith("load worker 1 of 2 was lost")


def test_run_during_which_the_clock_was_moved_is_invalid():
    """The server counts times to live by the wall clock: a step ends conversations at once."""
    found = judged(marks=[{"elapsed_s": 3.0, "kind": "clock_step", "label": "+3600.0 s"}])

    assert found.reasons == (
        "the machine's clock was moved by +3600.0 s: times to live, which the server counts by it, "
        "do not hold",
    )
