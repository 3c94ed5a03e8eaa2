"""What a load by hand tells at its end, and by which code it exits."""

import pytest

from loadtests.figures import Figures
from loadtests.tally import Tally
from tests.loadtests.test_tally import rows


def tally(turns=None, **values):
    """Ten calm seconds."""
    made = Tally()
    made.fold(rows(500, seed=1) if turns is None else turns)
    made.measured_s = 10.0
    for _ in range(10):
        made.add_second(values.get("cpu_share", 0.1), starved=values.get("starved", False))
    return made


def calm(count=500, **values):
    """Turns that the generator sent in time."""
    return [(*row[:7], 10.0, *row[8:]) for row in rows(count, seed=1, **values)]


def test_calm_load_leaves_the_exit_code_to_locust():
    """It is valid, and nothing was lost."""
    figures = Figures(tally(calm()), 50.0)

    assert figures.reasons == ()
    assert figures.exit_code is None
    assert "INVALID" not in str(figures)


def test_table_tells_every_clock_from_the_intended_start():
    """Response, queue, lag and service, each with its percentiles."""
    lines = str(Figures(tally(calm()), 50.0)).splitlines()

    assert lines[0] == "open loop, 50 turns/s: 500 turns in 10 s measured (50.0/s), 100 % completed"
    assert lines[2].split() == ["p50", "p99", "p99.9"]
    assert [line.split()[0] for line in lines[3:7]] == ["response", "queue", "lag", "service"]
    assert lines[3].endswith("from the intended start")


def test_closed_loop_is_labelled_where_its_latency_is_told():
    """So that nobody holds it beside that of an open loop."""
    told = str(Figures(tally(calm()), 50.0, closed_loop=True))

    assert "closed loop: from the send" in told
    assert "intended start" not in told
    assert "turns/s" not in told


@pytest.mark.parametrize(
    ("made", "lost", "advice"),
    [
        (tally(calm(99)), (), "lengthen it"),
        (tally([*calm(90), *calm(10, outcome="unsent")]), (), "lower --rate"),
        (tally(calm(), cpu_share=0.9), (), "lower --rate"),
        (tally(calm(), starved=True), (), "raise --users"),
        (tally(calm()), ("load worker 1 of 2",), "run it again"),
    ],
    ids=["too few", "undelivered", "busy", "starved", "worker lost"],
)
def test_load_that_did_not_keep_up_exits_with_3_and_says_what_to_do(made, lost, advice):
    """The limits are those of a run that the workbench judges."""
    figures = Figures(made, 50.0, workers_lost=lost)

    assert figures.exit_code == 3
    assert advice in str(figures).split("INVALID: ")[1]


def test_lost_update_is_exit_code_1_however_late_the_load_was():
    """What was lost was lost."""
    figures = Figures(tally(calm(99, outcome="lost_update")), 50.0)

    assert figures.reasons
    assert figures.exit_code == 1
    assert "99 acknowledged updates lost" in str(figures)


def test_losses_stand_beside_what_the_server_counted():
    """Each loss once: by the turn that found it, or by the look at the end."""
    made = tally(calm())
    assert "not looked for" in str(Figures(made, 50.0))
    made.evicted_turns, made.evicted_keys, made.expired_keys = 4, 11, 3
    made.keys.update({"present": 90, "evicted": 5, "expired": 5})

    told = str(Figures(made, 50.0))

    assert "present 90 · evicted 5 · expired 5" in told
    assert "4 found by turns, 5 at the end: 9, and 2 found after their time to live" in told
    assert told.splitlines()[-2].endswith("the server evicted 11: they agree")
    made.evicted_keys = 12
    assert "the server evicted 12: 1 more" in str(Figures(made, 50.0))


def test_update_that_is_lost_in_the_end_counts_too():
    """No turn came that could have seen it."""
    made = tally(calm())
    made.updates.update({"kept": 90, "lost": 1})

    assert Figures(made, 50.0).exit_code == 1


def test_losses_are_told_by_cause():
    """Of the turns that needed a state: greetings need none."""
    turns = [*calm(300), *calm(7, outcome="evicted"), *calm(193, operation="write")]

    assert "lost      7 of 307 turns that needed a state: evicted 7" in str(
        Figures(tally(turns), 50.0)
    )
