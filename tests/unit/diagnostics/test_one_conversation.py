"""What is said of one conversation."""

import pytest

from tests.frames import make_run
from workbench.diagnostics.one_conversation import judge_conversation

AT = {"conversation": 4, "elapsed_s": 3.0}


def judged(path, *rows, evictions=()):
    """The finding on conversation 4 of a run of these turns."""
    (finding,) = judge_conversation(make_run(path, operations=rows, evictions=evictions), 4)
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


def test_run_without_turns_has_no_conversation_to_judge(tmp_path):
    """It is unknown, and says how to get one."""
    (finding,) = judge_conversation(make_run(tmp_path))

    assert finding.verdict == "unknown"
    assert "workbench run" in finding.advice
