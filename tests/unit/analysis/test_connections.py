"""Connections, slots, and how soon a server is there again."""

import math

import pytest

from tests.frames import events, generator, operations, snapshot
from workbench.analysis.connections import new_per_s, recoveries, slots
from workbench.runs.schema import UNANSWERED


def looks(*, before=10, after=40, lasted_s=10.0, run_id="first"):
    """Two looks at a server."""
    name = "total_connections_received"
    return [
        snapshot(0.0, info={name: before}),
        snapshot(lasted_s, info={name: after, "run_id": run_id}),
    ]


def test_new_connections_are_told_by_the_second():
    """From the first look to the last."""
    assert new_per_s(looks()) == 3.0


@pytest.mark.parametrize(
    "seen",
    [[], looks()[:1], looks(run_id="second"), looks(after=5), looks(lasted_s=0.0)],
    ids=["no look", "one look", "restarted", "reset", "at once"],
)
def test_new_connections_are_not_known_without_two_looks_at_one_count(seen):
    """A count that began anew says nothing of the time before."""
    assert new_per_s(seen) is None


def test_slots_of_all_processes_are_added_up():
    """Second by second."""
    rows = [
        {"elapsed_s": 1.02, "slots_busy": 3, "turns_waiting": 1, "worker": 0},
        {"elapsed_s": 0.97, "slots_busy": 4, "turns_waiting": 0, "worker": 1},
        {"elapsed_s": 2.01, "slots_busy": 5, "turns_waiting": 0, "worker": 0},
    ]

    table = slots(generator(rows))

    assert table.index.tolist() == [1.0, 2.0]
    assert table["busy"].tolist() == [7.0, 5.0]
    assert table["waiting"].tolist() == [1.0, 0.0]


def away(start_s, lasted_s, detail=UNANSWERED):
    """A fault."""
    return {
        "elapsed_s": start_s,
        "duration_s": lasted_s,
        "kind": "fault",
        "label": "freeze",
        "detail": detail,
    }


def test_a_recovery_is_the_first_answer_after_the_fault_s_end():
    """Of a turn that was carried out; one that failed is none."""
    turns = operations(
        [
            {"elapsed_s": 1.0, "response_us": 1000.0},
            {"elapsed_s": 3.5, "response_us": 1.6e6, "outcome": "timeout"},
            {"elapsed_s": 3.0, "response_us": 2.5e6},
        ]
    )

    (found,) = recoveries(turns, events([away(2.0, 3.0)])).to_dict("records")

    assert found["after_s"] == pytest.approx(0.5)


def test_a_server_that_did_not_come_back_has_no_recovery():
    """It is not known, and not at once."""
    turns = operations([{"elapsed_s": 1.0}])

    assert math.isnan(recoveries(turns, events([away(2.0, 3.0)]))["after_s"].item())


def test_only_faults_that_leave_people_without_an_answer_count():
    """A rewrite that was asked for is none."""
    assert recoveries(operations([{"elapsed_s": 1.0}]), events([away(2.0, 0.1, "")])).empty
    assert recoveries(operations([]), events([])).empty
