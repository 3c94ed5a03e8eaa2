"""Changes of findings: what is told, and what is not worth telling."""

from workbench.diagnostics.changes import Changes
from workbench.diagnostics.finding import Finding


def finding(rule="evictions", verdict="fail", says="3 keys were evicted"):
    return Finding(rule=rule, title="", severity="critical", verdict=verdict, says=says)


def told(changes, *findings, at):
    return [(each.what, each.finding.rule) for each in changes.take(findings, unix_s=at)]


def test_failure_is_new_once_and_cleared_once():
    """And it is remembered since when it stood."""
    changes = Changes()

    assert told(changes, finding(), at=1.0) == [("new", "evictions")]
    assert told(changes, finding(), at=2.0) == []
    assert [each.since_unix_s for each in changes.standing] == [1.0]
    assert told(changes, finding(verdict="pass"), at=3.0) == [("cleared", "evictions")]
    assert changes.standing == []
    assert told(changes, finding(verdict="pass"), at=4.0) == []


def test_other_figures_are_no_change_and_other_words_are():
    """A rate differs at every look."""
    changes = Changes()
    changes.take([finding()], unix_s=1.0)

    assert told(changes, finding(says="9,000 keys were evicted"), at=2.0) == []
    assert changes.standing[0].finding.says == "9,000 keys were evicted"
    assert told(changes, finding(says="the cap is too small"), at=3.0) == [("changed", "evictions")]
    assert changes.standing[0].since_unix_s == 1.0


def test_what_can_no_longer_be_told_is_not_said_to_be_over():
    """Unknown is a verdict."""
    changes = Changes()
    changes.take([finding()], unix_s=1.0)

    assert told(changes, finding(verdict="unknown"), at=2.0) == [("untold", "evictions")]


def test_rules_that_pass_or_do_not_apply_are_not_mentioned():
    """The control of the tests above."""
    passing = [finding(verdict=verdict) for verdict in ("pass", "unknown", "not applicable")]

    assert told(Changes(), *passing, at=1.0) == []
