"""What a spike is, and which of the things that went on meanwhile is taken for its cause."""

import math

import pandas as pd
import pytest

from tests.frames import operations, samples
from workbench.analysis.spikes import (
    LATE,
    UNKNOWN,
    explained_share,
    labelled,
    sample_windows,
    spikes,
    threshold_us,
    turn_windows,
)


def windows(*slow_ms, late_share=0.0, from_s=0.0, due_s=0.5):
    """Windows of a second, one after the other; the slow turn of each was due so long within."""
    return pd.DataFrame(
        {
            "elapsed_s": [from_s + number for number in range(len(slow_ms))],
            "end_s": [from_s + number + 1.0 for number in range(len(slow_ms))],
            "slow_us": [1000.0 * ms for ms in slow_ms],
            "due_s": [from_s + number + due_s for number in range(len(slow_ms))],
            "late_share": [late_share] * len(slow_ms),
        }
    )


def cause(start_s, end_s, *, held_us=math.nan, kind="AOF rewrite", said="an AOF rewrite"):
    """One thing that went on."""
    return {"kind": kind, "cause": said, "elapsed_s": start_s, "end_s": end_s, "held_us": held_us}


def causes(*rows):
    """What went on, as a frame."""
    return pd.DataFrame(rows, columns=["kind", "cause", "elapsed_s", "end_s", "held_us"])


HIGH = windows(2, 2, 2, 80, 2, 2)


def of_one(*rows, high=HIGH):
    """What is taken for the cause of the one spike: of 80 ms, due at 3.5 s."""
    return labelled(spikes(high), causes(*rows))["cause"].item()


def test_a_calm_run_has_no_spike():
    """The control: windows that are alike."""
    assert spikes(windows(2, 3, 2, 4)).empty


@pytest.mark.parametrize(("ms", "found"), [(6.9, 0), (7.1, 1)])
def test_a_spike_is_five_milliseconds_over_the_median_at_least(ms, found):
    """Three times a median of 2 ms would be the trembling of timers."""
    assert len(spikes(windows(2, 2, 2, ms))) == found


@pytest.mark.parametrize(("ms", "found"), [(29, 0), (31, 1)])
def test_a_spike_is_three_times_the_median_at_least(ms, found):
    """Of a run whose turns take long anyway."""
    assert len(spikes(windows(10, 10, 10, ms))) == found


def test_neighbours_are_one_spike_and_its_worst_window_tells():
    """Otherwise one stall of three seconds would be three."""
    (spike,) = spikes(windows(2, 2, 2, 50, 90, 60, 2, 2)).to_dict("records")

    assert (spike["elapsed_s"], spike["end_s"]) == (3.0, 6.0)
    assert (spike["at_s"], spike["slow_us"]) == (4.0, 90_000)


def test_spikes_apart_are_two():
    """With a calm window in between."""
    assert len(spikes(windows(2, 2, 50, 2, 50, 2, 2))) == 2


def test_of_two_windows_nothing_stands_out():
    """There is no median to speak of."""
    assert math.isnan(threshold_us(windows(2, 900)))
    assert spikes(windows(2, 900)).empty
    assert spikes(windows()).empty


def test_a_spike_during_which_nothing_was_seen_is_unknown():
    """Also where something went on before and after."""
    told = labelled(spikes(HIGH), causes(cause(1.0, 1.2), cause(5.0, 5.5)))

    assert told["cause"].tolist() == [UNKNOWN]
    assert explained_share(told) == 0.0


def test_what_went_on_meanwhile_is_the_cause():
    """And all spikes are explained."""
    told = labelled(spikes(HIGH), causes(cause(3.2, 3.6)))

    assert told["cause"].tolist() == ["an AOF rewrite"]
    assert told["kind"].tolist() == ["AOF rewrite"]
    assert explained_share(told) == 1.0


def test_no_spike_has_no_share_that_is_explained():
    """It is None, and not all of them."""
    assert explained_share(labelled(spikes(windows(2, 2, 2)), causes())) is None


def test_of_several_the_longest_is_the_cause():
    """By its overlap with the wait, not by its own length."""
    long_but_outside = cause(0.0, 3.55, said="a long one")
    inside = cause(3.5, 3.57, said="a short one")

    assert of_one(long_but_outside, inside) == "a short one"
    assert of_one(long_but_outside) == "a long one"


def test_of_several_alike_the_nearest_is_the_cause():
    """That which began next to the wait."""
    high = windows(2, 2, 2, 40, 80, 2, 2, 2, 2)

    assert of_one(cause(3.1, 4.6, said="far"), cause(4.4, 4.6, said="near"), high=high) == "near"


def test_what_held_the_server_up_for_half_of_the_wait_comes_first():
    """A fork of 50 ms within a rewrite that goes on for longer."""
    rewrite, fork = cause(3.0, 3.9), cause(3.5, 3.55, held_us=50_000, said="a fork")

    assert of_one(rewrite, fork) == "a fork"
    assert of_one(rewrite, {**fork, "held_us": 30_000}) == "an AOF rewrite"


def test_a_trifle_is_no_cause():
    """What is known to have taken 2 ms explains no wait of 80."""
    assert of_one(cause(3.0, 4.0, held_us=2_000, said="a slow GET")) == UNKNOWN


def test_what_lasted_for_a_moment_of_a_long_wait_is_no_cause():
    """A rewrite of 0.15 s does not explain two seconds; one of 0.25 s with its queue may."""
    high = windows(2, 2, 2, 2000, 2, 2)

    assert of_one(cause(3.6, 3.75), high=high) == UNKNOWN
    assert of_one(cause(3.6, 3.85), high=high) == "an AOF rewrite"


def test_what_was_over_before_the_longest_wait_is_no_cause():
    """Of seconds that are one spike, what went on in the first says nothing of the third."""
    high = windows(*[2] * 9, 50, 60, 80, *[2] * 9)

    assert of_one(cause(9.0, 10.2), high=high) == UNKNOWN
    assert of_one(cause(9.0, 9.6, held_us=600_000, said="a freeze"), high=high) == UNKNOWN
    assert of_one(cause(9.0, 11.9), high=high) == "an AOF rewrite"


def test_what_touched_the_second_and_not_the_wait_is_no_cause():
    """A rewrite that ended 0.39 s before the slow turn of that second came."""
    assert of_one(cause(2.8, 3.11)) == UNKNOWN


def test_a_wait_lasts_until_it_was_answered():
    """Who came at 3.9 s and waited 2 s was held up by what began at 4.5 s."""
    high = windows(2, 2, 2, 2000, 2, 2, due_s=0.9)

    assert of_one(cause(4.5, 5.5), high=high) == "an AOF rewrite"


def test_lateness_of_the_load_is_not_blamed_on_the_server():
    """Even if a rewrite went on meanwhile."""
    late = windows(2, 2, 2, 80, 2, late_share=0.6)

    assert of_one(cause(3.0, 4.0), high=late) == LATE


def test_windows_of_turns_hold_the_slow_end_and_how_late_the_load_was():
    """Of under a hundred turns the slowest; the share is that of the slowest alone."""
    turns = operations(
        [
            {"elapsed_s": 0.1, "response_us": 1000.0, "lag_us": 900.0},
            {"elapsed_s": 0.9, "response_us": 8000.0, "lag_us": 2000.0},
            {"elapsed_s": 2.5, "response_us": 500.0, "lag_us": 0.0},
        ]
    )

    table = turn_windows(turns)

    assert table["elapsed_s"].tolist() == [0.0, 2.0]
    assert table["end_s"].tolist() == [1.0, 3.0]
    assert table["slow_us"].tolist() == [8000.0, 500.0]
    assert table["due_s"].tolist() == [0.9, 2.5]
    assert table["late_share"].tolist() == [0.25, 0.0]


def test_windows_of_turns_have_the_p99_where_there_are_enough():
    """Of two hundred the second slowest, by nearest rank."""
    turns = operations([{"elapsed_s": n / 256, "response_us": float(n)} for n in range(1, 201)])

    assert turn_windows(turns)["slow_us"].item() == 198.0
    assert turn_windows(turns)["due_s"].item() == 198 / 256


def test_no_turn_has_no_window():
    """And so no spike."""
    assert turn_windows(operations([])).empty


def test_a_window_of_the_sampler_is_its_question_to_the_reply():
    """So that what went on during a slow reply lies in it."""
    table = sample_windows(samples([{"elapsed_s": 4.0, "sample_us": 500_000.0}]))

    assert (table["elapsed_s"].item(), table["end_s"].item()) == (3.5, 4.0)
    assert table["due_s"].item() == 3.5
