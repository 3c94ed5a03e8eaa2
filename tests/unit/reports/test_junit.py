"""The verdict as JUnit XML: read back, it counts what the verdict counts."""

from xml.etree import ElementTree

import pytest

from tests.frames import make_run
from workbench.diagnostics.finding import Finding, Findings
from workbench.diagnostics.slo import Slo, judge
from workbench.reports.junit import junit

TURNS = [{"elapsed_s": 0.05 * number} for number in range(200)]
POLLS = [{"elapsed_s": at / 2} for at in range(21)]
SECONDS = [{"elapsed_s": float(at)} for at in range(1, 11)]
CALM = {"operations": TURNS, "samples": POLLS, "generator": SECONDS}

# What junit-10.xsd of Jenkins' xUnit plugin allows, of what is used here.
CHILDREN = {
    "testsuites": {"testsuite"},
    "testsuite": {"testcase"},
    "testcase": {"failure", "error", "skipped", "system-out"},
}
COUNTS = {"name", "time", "tests", "failures", "errors"}
TOLD = {"message", "type"}
ATTRIBUTES = {
    "testsuites": COUNTS,
    "testsuite": COUNTS | {"skipped", "timestamp"},
    "testcase": {"name", "classname", "time"},
    "failure": TOLD,
    "error": TOLD,
    "skipped": TOLD,
    "system-out": set(),
}


def finding(verdict, severity="critical", **values):
    given = {"rule": "x", "title": "?", "says": "so", **values}
    return Finding(severity=severity, verdict=verdict, **given)


def outcomes(root):
    """What became of each test, by suite and name."""
    return {
        (suite.get("name"), test.get("name")): test[0].tag
        for suite in root
        for test in suite.iter("testcase")
    }


def parsed(run, findings, slo=None):
    """Read back; each count is that of the elements below, and the schema allows each of them."""
    root = ElementTree.fromstring(junit(run, Findings(findings), slo))
    for element in root.iter():
        assert set(element.attrib) == ATTRIBUTES[element.tag]
        assert {child.tag for child in element} <= CHILDREN.get(element.tag, set())
    for counted in [root, *root]:
        assert int(counted.get("tests")) == len(list(counted.iter("testcase")))
        for tag, count in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
            if count in counted.attrib:
                assert int(counted.get(count)) == len(list(counted.iter(tag)))
    return root


def test_run_each_objective_and_each_rule_is_a_test(tmp_path):
    """What passed says what was measured."""
    run = make_run(tmp_path, **CALM)
    slo = judge(run, Slo("slo.toml", response_p99_s=1.0, lost_updates=0))

    root = parsed(run, [finding("pass", rule="a"), finding("pass", rule="b")], slo)

    assert outcomes(root) == dict.fromkeys(
        [
            ("workbench.run", "figures"),
            ("workbench.slo", "response_p99"),
            ("workbench.slo", "lost_updates"),
            ("workbench.rules", "a"),
            ("workbench.rules", "b"),
        ],
        "system-out",
    )
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("5", "0", "0")


def test_broken_objective_is_a_failure_that_says_by_how_much(tmp_path):
    """One that is not known is an error that says why."""
    run = make_run(tmp_path, **CALM)
    slo = judge(run, Slo("slo.toml", response_p99_s=0.0005, response_p999_s=1.0))

    root = parsed(run, [], slo)

    (failure,), (error,) = root.iter("failure"), root.iter("error")
    assert failure.get("message") == (
        "1 ms, and the bound is at most 500 µs: 500 µs over, 2 times the bound"
    )
    assert error.get("message").startswith("unknown: only 200 turns to tell by")


@pytest.mark.parametrize(
    ("verdict", "severity", "alone", "beside"),
    [
        ("pass", "critical", "system-out", "system-out"),
        ("fail", "critical", "failure", "failure"),
        ("fail", "warning", "failure", "failure"),
        ("fail", "info", "skipped", "skipped"),
        ("unknown", "critical", "error", "skipped"),
        ("unknown", "info", "skipped", "skipped"),
        ("not applicable", "critical", "skipped", "skipped"),
    ],
)
def test_rule_is_what_the_exit_code_makes_of_it(tmp_path, verdict, severity, alone, beside):
    """Beside objectives a rule that cannot tell is skipped."""
    run = make_run(tmp_path, **CALM)
    slo = judge(run, Slo("slo.toml", lost_updates=0))
    key = ("workbench.rules", "x")

    assert outcomes(parsed(run, [finding(verdict, severity)]))[key] == alone
    assert outcomes(parsed(run, [finding(verdict, severity)], slo))[key] == beside


@pytest.mark.parametrize("status", ["invalid", "interrupted", "failed"])
def test_run_whose_figures_do_not_hold_is_an_error(tmp_path, status):
    """So is each objective, and each rule that cannot tell."""
    run = make_run(tmp_path, **CALM, status=status)
    slo = judge(run, Slo("slo.toml", lost_updates=0))

    root = parsed(run, [finding("unknown")], slo)

    assert set(outcomes(root).values()) == {"error"}
    assert next(root.iter("error")).get("message").startswith(f"{status}: ")


def test_any_text_makes_xml_and_holds_no_secret(tmp_path):
    """What a log said may stand in a finding, control characters and all."""
    says = 'a\x00b\x1b[31m <x y="z">&]]>\ud800 redis://:hunter2@host'
    found = finding("fail", says=says, evidence={"log": "token=hunter2"}, advice="see channel:2637")

    root = parsed(make_run(tmp_path, **CALM), [found])

    failure = next(root.iter("failure"))
    assert failure.get("message") == (
        'fail: a\ufffdb\ufffd[31m <x y="z">&]]>\ufffd redis://[redacted]@host'
    )
    assert failure.text == "log: token=[redacted]\nAdvice: See channel:[redacted]"
