"""A recorded run is played again: the same conversations, at the same times."""

import numpy as np
import pytest

from loadtests.arrivals import draw
from loadtests.replay import read_recorded
from tests.commands import workbench
from tests.frames import make_run
from workbench.errors import RunError, UsageError
from workbench.flows.model import FLOWS
from workbench.runs.manifest import read_manifest
from workbench.runs.run import Run


@pytest.fixture(scope="module")
def golden():
    """The golden run, and what is read of it."""
    from tests.conftest import GOLDEN

    return Run(GOLDEN), read_recorded(str(GOLDEN))


def recorded(tmp_path, rows, **experiment):
    """What is read of a hand-made run."""
    made = {"ttl_s": 300.0, "warm_up_s": 2.0, "measure_s": 10.0, **experiment}
    origin = {"elapsed_s": -2.0, "label": "origin"}
    run = make_run(tmp_path / "made", experiment=made, operations=rows, events=[origin])
    return read_recorded(str(run.path))


def test_every_turn_is_due_when_it_was(golden):
    """To the microsecond, by conversation; phases and time to live are the run's."""
    run, found = golden
    table = run.operations[run.operations["delivery"] == 0]
    due_s = found.schedule.due_s[found.schedule.due_between(0.0, 1e9)]
    origin = run.events["unix_s"][run.events["label"] == "origin"].min()

    assert np.allclose(due_s, np.sort(table["unix_s"] - origin), atol=1e-6)
    assert found.seed == run.manifest.seed
    assert found.measure_s == pytest.approx(run.measured_s, abs=0.1)


def test_conversations_send_what_they_sent(golden):
    """The recorded steps, and before them the straight way of those that were under way."""
    run, found = golden
    table = run.operations.sort_values(["conversation", "turn"])
    for number, turns in list(table.groupby("conversation"))[:200]:
        steps = list(turns["step"].astype(str))
        script = [step.name for step in found.schedule.scripts[number]]
        times = found.schedule.turns(number)

        assert script[-len(steps) :] == steps
        assert script[0] == "greeting"
        assert (np.diff(times) >= 0).all()
        assert (times[: len(script) - len(steps)] < 0).all()


def test_second_deliveries_come_again_and_those_after_a_failure_do_not(tmp_path):
    """What the provider tried anew was the recorded server's affair."""
    rows = [
        {"elapsed_s": 1.0, "turn": 0, "step": "greeting", "age_s": None},
        {"elapsed_s": 1.1, "turn": 0, "step": "greeting", "delivery": 1},
        {"elapsed_s": 4.0, "turn": 1, "step": "menu"},
    ]

    planned = recorded(tmp_path, rows).schedule
    tried_anew = recorded(tmp_path, rows, redelivery_s=1.0).schedule

    assert planned.again_s == pytest.approx([0.1, np.nan], nan_ok=True, abs=1e-6)
    assert np.isnan(tried_anew.again_s).all()
    assert planned.due_s == pytest.approx([3.0, 6.0], abs=1e-6)


@pytest.mark.parametrize("name", list(FLOWS))
def test_every_step_that_a_script_may_have_is_found_by_its_name(name):
    """Also what is not accepted, and the calls to the API."""
    from random import Random

    from workbench.flows.model import Habits

    flow = FLOWS[name]
    script = flow.script(Random(1), Habits(invalid_share=0.9, api_gap_s=1.0))

    assert all(flow.step(step.name).name == step.name for step in script)


def test_step_of_another_version_is_told(tmp_path):
    """By its flow and its name."""
    with pytest.raises(UsageError, match=r"offer_secured.*'shake hands'"):
        recorded(tmp_path, [{"elapsed_s": 1.0, "turn": 0, "step": "shake hands"}])


@pytest.mark.parametrize(
    ("rows", "experiment", "says"),
    [
        ([], {}, "no load"),
        ([{"elapsed_s": 1.0}], {"closed_loop": True}, "closed loop"),
        ([{"elapsed_s": 1.0}], {"scenario": ""}, "no load"),
    ],
)
def test_run_that_cannot_be_replayed_is_refused(tmp_path, rows, experiment, says):
    """It had no load, or one that followed its server's answers."""
    with pytest.raises(UsageError, match=says):
        recorded(tmp_path, rows, **experiment)


def test_run_that_is_not_there_is_told():
    """As everywhere."""
    with pytest.raises(RunError, match="there is no run 'nowhere'"):
        read_recorded("nowhere")


@pytest.mark.whole_command
def test_replayed_run_offers_the_recorded_turns_on_another_server(tmp_path, server_binary):
    """By the command; the record names the run, and not its path."""
    from tests.commands import only_run
    from tests.conftest import GOLDEN

    words = ["run", "demo", "--replay", GOLDEN, "--maxmemory", "64mb", "--no-report"]
    process = workbench(
        tmp_path, *words, "--exit-zero", WORKBENCH_REDIS_SERVER=str(server_binary.path)
    )
    _, err = process.communicate(timeout=90)
    run, before = Run(only_run(tmp_path)), Run(GOLDEN)

    def offered(run):
        table = run.operations[run.operations["delivery"] == 0]
        return table.groupby("conversation").size().to_dict()

    assert process.returncode == 0, err
    assert read_manifest(run.path).experiment["replay"] == GOLDEN.name
    assert offered(run) == offered(before)
    assert (before.operations["outcome"] == "evicted").any()
    assert not (run.operations["outcome"] == "evicted").any()


@pytest.mark.parametrize("option", ["--rate=5", "--duration=5s", "--seed=0", "--closed-loop"])
def test_what_a_replayed_run_says_is_not_said_twice(tmp_path, option):
    """It is refused by its name."""
    from tests.conftest import GOLDEN

    process = workbench(tmp_path, "run", "demo", "--replay", GOLDEN, option)
    _, err = process.communicate(timeout=60)

    assert process.returncode == 2
    assert option.partition("=")[0] in err


def test_drawn_and_recorded_schedules_have_one_form(golden):
    """What plays the one plays the other."""
    from tests.loadtests.test_arrivals import PLAN

    drawn, found = draw(PLAN), golden[1].schedule

    for schedule in (drawn, found):
        assert schedule.first[-1] == len(schedule.due_s)
        assert len(schedule.scripts) == len(schedule.flow) == len(schedule.first) - 1
