"""Turns wait for their conversation and for a slot; whose fault a wait is, the clocks tell."""

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

SERVICE_S = 0.2


def played(turns, *, slots, duration_s=0.3, service_s=SERVICE_S, stop_s=None):
    """Play a schedule in a process of its own."""
    orders = {
        "turns": turns,
        "slots": slots,
        "service_s": service_s,
        "duration_s": duration_s,
        "stop_s": stop_s,
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.loadtests.scheduling"],
        input=json.dumps(orders),
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def queued():
    """One conversation of three turns that come faster than they are served; slots enough."""
    return played([[0, 0.0], [0, 0.02], [0, 0.04]], slots=5)


@pytest.fixture(scope="module")
def crowded():
    """Six conversations due at once, and two slots."""
    return played([[number, 0.0] for number in range(6)], slots=2)


def lag_s(clock):
    return clock["send_s"] - clock["ready_s"]


def queue_s(clock):
    return clock["ready_s"] - clock["due_s"]


def test_turn_waits_for_the_one_before_it_in_its_conversation(queued):
    """Two messages of one person are never worked on at once, and keep their order."""
    clocks = queued["clocks"]

    assert [clock["turn"] for clock in clocks] == [0, 1, 2]
    for before, after in pairwise(clocks):
        assert before["completed_s"] <= after["ready_s"] <= after["send_s"]


def test_waiting_for_ones_own_conversation_is_queue_not_lag(queued):
    """The third turn waited for two services, of which the generator is to blame for none."""
    third = queued["clocks"][2]

    assert queue_s(third) > SERVICE_S
    assert lag_s(third) < SERVICE_S / 2


def test_waiting_for_ones_own_conversation_takes_no_slot(queued):
    """Slots are free for others meanwhile: none of these turns waited for one."""
    assert queued["waiting_max"] == 0
    assert queued["busy_max"] == 1


def test_waiting_for_a_slot_is_queue_not_lag(crowded):
    """A server that stalls keeps the slots busy: that is its own doing, not the generator's."""
    clocks = crowded["clocks"]

    assert sum(queue_s(clock) > SERVICE_S / 2 for clock in clocks) == 4
    assert all(lag_s(clock) < SERVICE_S / 2 for clock in clocks)


def test_no_more_turns_are_at_work_than_there_are_slots(crowded):
    """And the rest is seen to wait."""
    assert crowded["busy_max"] == 2
    assert crowded["waiting_max"] == 4
    assert crowded["completed"] == crowded["due"] == 6


def test_due_turns_are_drained_after_the_last_has_come_due(crowded):
    """Three services one after the other last longer than the schedule; none is lost."""
    assert crowded["unsent"] == []
    assert max(clock["completed_s"] for clock in crowded["clocks"]) > 0.3


def test_turns_of_a_load_that_is_stopped_are_kept_as_unsent():
    """What came due and was not completed is known, in the order in which it was due."""
    turns = [[0, 0.0], [0, 0.01], [1, 0.02], [1, 9.0]]

    stopped = played(turns, slots=1, duration_s=10.0, service_s=60.0, stop_s=0.5)

    assert stopped["clocks"] == []
    assert stopped["unsent"] == [[0, 0.0], [0, 0.01], [1, 0.02]]
    assert (stopped["due"], stopped["completed"]) == (3, 0)


@pytest.fixture(scope="module")
def closed():
    """Two slots in a closed loop for a second, at a think time of about 50 ms."""
    return {
        service_s: played(None, slots=2, duration_s=1.0, service_s=service_s)
        for service_s in (0.01, SERVICE_S)
    }


def test_closed_loop_asks_a_slow_server_less(closed):
    """That is what the label warns of: the open loop's count follows from the seed alone."""
    fast, slow = (closed[service_s]["due"] for service_s in (0.01, SERVICE_S))

    assert slow < fast / 2


def test_turns_of_a_closed_loop_are_due_when_they_are_sent(closed):
    """So there is neither queue nor lag, and no slot works on two at once."""
    clocks = closed[SERVICE_S]["clocks"]

    assert len(clocks) > 2
    assert all(clock["due_s"] == clock["ready_s"] == clock["send_s"] for clock in clocks)
    assert closed[SERVICE_S]["busy_max"] == 2


def test_users_of_a_closed_loop_who_come_early_wait_for_its_start(closed):
    """They came before the start was known, and took it for the end: nothing was ever sent."""
    for played_out in closed.values():
        assert round(min(clock["send_s"] for clock in played_out["clocks"]), 2) >= 0


def test_conversations_of_a_closed_loop_go_turn_by_turn(closed):
    """Each slot carries one to its end before the next; numbers are not given twice."""
    by_conversation = {}
    for clock in closed[0.01]["clocks"]:
        by_conversation.setdefault(clock["conversation"], []).append(clock)

    assert len(by_conversation) > 2
    for clocks in by_conversation.values():
        assert [clock["turn"] for clock in clocks] == list(range(len(clocks)))
        assert all(a["completed_s"] <= b["send_s"] for a, b in pairwise(clocks))


def test_closed_loop_ends_with_its_time(closed):
    """What was sent before the end is completed; nothing is taken up after it."""
    for played_out in closed.values():
        # A busy machine may come between looking at the clock and sending.
        assert all(clock["send_s"] < 1.0 + SERVICE_S for clock in played_out["clocks"])
        assert played_out["completed"] == played_out["due"]
        assert played_out["unsent"] == []


def by_delivery(clocks):
    return {(clock["turn"], clock["delivery"]): clock for clock in clocks}


def test_message_that_comes_again_waits_for_nobody():
    """On another slot, while the first delivery is still being carried out: the same message."""
    clocks = by_delivery(played([[0, 0.0, 0.05], [0, 0.1]], slots=5)["clocks"])

    again = clocks[0, 1]

    assert set(clocks) == {(0, 0), (0, 1), (1, 0)}
    assert again["due_s"] == pytest.approx(0.05)
    assert queue_s(again) < SERVICE_S / 2
    assert again["send_s"] < clocks[0, 0]["completed_s"]
    assert again["step"] == clocks[0, 0]["step"]
    assert clocks[1, 0]["ready_s"] == pytest.approx(clocks[0, 0]["completed_s"], abs=0.02)


def test_message_that_comes_again_before_it_was_sent_comes_behind_itself():
    """Its first delivery waits for a slot of its conversation's turn before it."""
    done = played([[0, 0.0], [0, 0.02, 0.01]], slots=5)
    clocks = by_delivery(done["clocks"])

    assert clocks[1, 1]["ready_s"] >= clocks[1, 0]["completed_s"]
    assert done["due"] == done["completed"] == 3


def test_nothing_comes_again_after_the_end():
    """What would be delivered then is not due any more."""
    done = played([[0, 0.0, 5.0]], slots=5)

    assert (done["due"], done["completed"], done["unsent"]) == (1, 1, [])
