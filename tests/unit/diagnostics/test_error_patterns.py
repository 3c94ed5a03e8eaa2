"""The rule on a server's log: warnings that nobody else judges."""

import pytest

from tests.frames import make_run
from workbench.analysis.patterns import _OUTCOMES, _REPLIES, MESSAGES, UNCLAIMED
from workbench.diagnostics.finding import RULES, evaluate

START = "1:M 26 Nov 2026 10:36:59.202 # Server initialized\n"
OVERCOMMIT = "1:M 26 Nov 2026 10:36:59.202 # WARNING Memory overcommit must be enabled! Without\n"
CRASH = "1:M 26 Nov 2026 10:37:01.000 # Redis 7.0.15 crashed by signal: 11, si_code: 0\n"
LOST = "1:M 26 Nov 2026 10:37:02.000 # Connection with replica 10.0.0.7:6379 lost.\n"
NOTICE = "1:M 26 Nov 2026 10:37:02.000 * Connection with replica 10.0.0.7:6379 lost.\n"


def judged(folder, *logs):
    """The finding on a run with these logs."""
    run = make_run(folder / "run", samples=[{"elapsed_s": 1.0}])
    (run.path / "logs").mkdir()
    for number, text in enumerate(logs):
        name = f"redis-task{number}.log" if number else "redis.log"
        (run.path / "logs" / name).write_text(text)
    (found,) = evaluate(run, "error-patterns")
    return found


@pytest.mark.parametrize("text", ["", START, START + OVERCOMMIT + NOTICE])
def test_ordinary_lines_and_those_of_other_rules_pass(tmp_path, text):
    """A start, what overcommit judges, and what is no warning."""
    assert judged(tmp_path, text).verdict == "pass"


def test_warning_that_nobody_judges_fails_with_its_pattern(tmp_path):
    """Said masked, and counted."""
    found = judged(tmp_path, START + LOST + LOST + CRASH)

    assert found.verdict == "fail"
    assert found.severity == "warning"
    assert found.evidence["Connection with replica <address> lost"] == "2 lines"
    assert "10.0.0.7" not in str(found)


def test_every_tasks_log_is_read(tmp_path):
    """A run of several tasks has a server for each."""
    assert judged(tmp_path, START, START + CRASH).verdict == "fail"


def test_run_without_a_servers_log_is_unknown(tmp_path):
    """As that of a server which was only sampled."""
    found = judged(tmp_path)

    assert found.verdict == "unknown"
    assert "workbench errors --log FILE" in found.advice


def test_every_rule_that_a_pattern_names_is_there():
    """A renamed rule would leave its messages to nobody."""
    assert {*MESSAGES.values(), *_REPLIES.values(), *_OUTCOMES.values(), UNCLAIMED} <= set(RULES)
