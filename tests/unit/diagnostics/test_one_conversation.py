"""What is said of one conversation."""

import pytest

from tests.frames import make_run
from workbench.diagnostics.one_conversation import judge_conversation

AT = {"conversation": 4, "elapsed_s": 3.0}


def judged(path, *rows, evictions=(), keys=()):
    """The finding on conversation 4 of a run of these turns."""
    made = make_run(path, operations=rows, evictions=evictions, keys=keys)
    (finding,) = judge_conversation(made, 4)
    return finding


@pytest.mark.parametrize(
    ("row", "verdict", "says"),
    [
        ({}, "pass", "conversation 4 kept its state, and each of its turns was carried out"),
        (
            {"outcome": "evicted", "step": "amount"},
            "fail",
            "conversation 4 was there no more at amount: evicted",
        ),
        ({"outcome": "lost_update"}, "fail", "lacked the turn before it at amount"),
        ({"outcome": "timeout"}, "fail", "1 turn of conversation 4 failed"),
        ({"outcome": "expired"}, "pass", "found gone when its time to live was over"),
        ({"outcome": "unsent"}, "unknown", "not sent before the end of the run"),
    ],
)
def test_verdict_on_a_conversation_is_that_of_its_turns(tmp_path, row, verdict, says):
    """A state that expired is the price of a long pause, and no failure."""
    finding = judged(tmp_path, {**AT, **row})

    assert finding.verdict == verdict
    assert says in finding.says
    assert bool(finding.advice) == (verdict != "pass")


def test_eviction_that_nobody_noticed_is_unknown(tmp_path):
    """Whether the person comes back is not in the run."""
    taken = [{"elapsed_s": 8.0, "conversation": 4}]

    finding = judged(tmp_path, AT, evictions=taken)

    assert finding.verdict == "unknown"
    assert finding.evidence["evicted, by the ledger"] == "8.0 s"


@pytest.mark.parametrize(
    ("key", "verdict", "says"),
    [
        ({}, "pass", "kept its state"),
        ({"state": "expired", "update": None}, "pass", "kept its state"),
        ({"state": "evicted", "update": None}, "unknown", "gone at the end of the run, evicted"),
        ({"state": "restarted", "update": None}, "unknown", "nobody came back"),
        ({"update": "lost"}, "fail", "the last acknowledged turn of conversation 4"),
        ({"conversation": 5, "state": "evicted", "update": None}, "pass", "kept its state"),
    ],
)
def test_what_was_gone_at_the_end_did_not_keep_its_state(tmp_path, key, verdict, says):
    """Also where no ledger saw it go; another conversation's end is none of its."""
    finding = judged(tmp_path, AT, keys=[{"elapsed_s": 9.0, "conversation": 4, **key}])

    assert finding.verdict == verdict
    assert says in finding.says


def test_run_without_turns_has_no_conversation_to_judge(tmp_path):
    """It is unknown, and says how to get one."""
    (finding,) = judge_conversation(make_run(tmp_path))

    assert finding.verdict == "unknown"
    assert "workbench run" in finding.advice
