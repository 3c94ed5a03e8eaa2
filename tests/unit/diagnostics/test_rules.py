"""Each rule on a healthy run, a failing one, and one that cannot be told."""

import json
import shutil

import pytest

from tests.conftest import GOLDEN
from tests.frames import make_run
from workbench.diagnostics.finding import RULES, Finding, evaluate, worst_of, write_findings
from workbench.errors import UsageError
from workbench.runs.schema import TABLES

MIB = 1024**2
TURNS = [{"elapsed_s": 0.05 * number} for number in range(200)]
SECONDS = [{"elapsed_s": float(at)} for at in range(1, 11)]
POLLS = [{"elapsed_s": at / 2} for at in range(21)]
HOST = {"memory_limit_bytes": 100 * MIB, "memory_limit_source": "cgroup v2"}


def rising(column, to, *, since_s=5.0, **values):
    """Polls whose counter rises to a number in the run."""
    return [{**poll, **values, column: to if poll["elapsed_s"] >= since_s else 0} for poll in POLLS]


def gone(outcome, count=3, **values):
    """All turns well, but so many in the end."""
    return [*TURNS[:-count], *({**turn, "outcome": outcome, **values} for turn in TURNS[-count:])]


CALM = {"operations": TURNS, "samples": POLLS, "generator": SECONDS}
EVICTING = {"samples": rising("evicted_keys", 9, since_s=0.5)}
REWRITING = {"samples": rising("aof_rewrites", 2, aof_last_cow_size=MIB, used_memory=5 * MIB)}
RESTARTED = {"samples": [{**p, "run_id": str(p["elapsed_s"] > 5)} for p in POLLS]}
LATE = {"operations": [{**turn, "lag_us": 50_000.0, "response_us": 51_000.0} for turn in TURNS]}

CASES = {
    "live-state-evicted": {
        "pass": [EVICTING],
        "fail": [
            {"operations": gone("evicted"), "samples": rising("evicted_keys", 9, since_s=0.5)},
        ],
        "unknown": [
            {"operations": TURNS[:99]},
            {"operations": [{**turn, "operation": "write"} for turn in TURNS]},
            {"samples": []},
            {"samples": rising("evicted_keys", 9, since_s=9.5)},  # too few turns at the cap
            {},  # the cap was not reached
            {"operations": gone("evicted"), "samples": rising("evicted_keys", 2, since_s=0.5)},
        ],
    },
    "loss-explained": {
        "pass": [{}, {"operations": gone("evicted"), "samples": rising("evicted_keys", 3)}],
        "fail": [
            {"operations": gone("evicted"), "samples": rising("evicted_keys", 2)},
            {"operations": gone("missing"), "samples": rising("evicted_keys", 9)},
        ],
        "unknown": [RESTARTED, {"samples": POLLS[:1]}, {"operations": []}],
    },
    "memory-headroom": {
        "pass": [{**REWRITING, "host": HOST}],
        "fail": [{**REWRITING, "host": {**HOST, "memory_limit_bytes": 6 * MIB}}],
        "unknown": [
            {"host": HOST},  # no rewrite
            {"host": HOST, "samples": rising("aof_rewrites", 2)},  # the cap was not filled
            REWRITING,  # no limit
            {**REWRITING, "host": HOST, "ours": False},  # the limit of another container
            {"host": HOST, "samples": [{**poll, "maxmemory": 0} for poll in POLLS]},
        ],
    },
    "turns-failed": {
        "pass": [{}, {"operations": gone("evicted")}],
        "fail": [
            {"operations": gone(outcome, 1)}
            for outcome in ("refused", "timeout", "conflict", "duplicate", "error")
        ],
        "unknown": [{"operations": []}],
    },
    "aof-rewrite": {
        "pass": [REWRITING],
        "fail": [
            {"samples": rising("aof_rewrites", 1, latest_fork_usec=100_001)},
            {"samples": rising("aof_rewrites", 1, aof_last_bgrewrite_status="err")},
            {"samples": [{**poll, "aof_last_bgrewrite_status": "err"} for poll in POLLS]},
            {
                **REWRITING,
                "events": [
                    {"elapsed_s": 1.0, "kind": "aof_rewrite", "label": "ok", "duration_s": 2.5}
                ],
            },
        ],
        "unknown": [{}, {"samples": []}],
        "not applicable": [{"samples": [{**poll, "aof_current_size": None} for poll in POLLS]}],
    },
    "generator-validity": {
        "pass": [{}],
        "fail": [LATE, {"operations": gone("unsent", 10)}, {"samples": []}],
        "unknown": [{"operations": TURNS[:99]}, {"generator": []}, {"operations": []}],
    },
}

EACH = [
    pytest.param(rule, verdict, change, id=f"{rule}-{verdict}-{number}")
    for rule, verdicts in CASES.items()
    for verdict, changes in verdicts.items()
    for number, change in enumerate(changes)
]


def found_by(rule, run) -> Finding:
    (found,) = evaluate(run).only(rule)
    return found


@pytest.mark.parametrize(("rule", "verdict", "change"), EACH)
def test_rule_gives_the_verdict_that_the_run_calls_for(tmp_path, rule, verdict, change):
    """A calm run with one thing changed."""
    run = make_run(tmp_path, **{**CALM, **change})

    found = found_by(rule, run)

    assert found.verdict == verdict, found.says


@pytest.mark.parametrize("rule", list(RULES))
def test_every_rule_has_a_healthy_a_failing_and_an_unknown_case(rule):
    """A new rule is shown to be able to say each of them."""
    assert {"pass", "fail", "unknown"} <= set(CASES[rule])


@pytest.mark.parametrize("rule", list(RULES))
def test_every_rule_judges_the_golden_run(tiny_run, rule):
    """With a sentence, a source, and advice if anything is to be done."""
    found = found_by(rule, tiny_run)

    assert found.verdict in {"pass", "fail", "unknown", "not applicable"}
    assert found.says
    assert found.source
    assert found.title.endswith("?")
    assert found.advice or found.verdict != "fail"


@pytest.mark.parametrize("measured_s", [10.0, None], ids=["empty", "not begun"])
@pytest.mark.parametrize("rule", list(RULES))
def test_no_rule_passes_a_run_without_rows(tmp_path, rule, measured_s):
    """What nobody saw is unknown, never green."""
    found = found_by(rule, make_run(tmp_path, measured_s=measured_s))

    assert found.verdict in {"unknown", "not applicable"}
    assert "nan" not in found.says


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("rule", list(RULES))
def test_no_rule_passes_on_a_damaged_table_that_it_reads(tiny_run, rule, table):
    """A part that cannot be read makes the finding unknown, and the command goes on."""
    part = next((tiny_run.path / table).glob("part-*"))
    part.write_bytes(b"PAR1")

    found = found_by(rule, tiny_run)

    assert found.verdict != "pass" or table not in RULES[rule].needs


@pytest.mark.parametrize("rule", list(RULES))
def test_no_rule_breaks_on_a_server_that_tells_little(tmp_path, rule):
    """A managed server leaves fields of INFO out; no finding may rest on them, none may crash."""
    kept = {"unix_s", "sample_lag_s", "sample_us"}
    silent = {column.name: None for column in TABLES["samples"].columns if column.name not in kept}
    polls = [{**poll, **silent} for poll in POLLS]

    found = found_by(rule, make_run(tmp_path, **{**CALM, "samples": polls}))

    assert "nan" not in found.says.split()


def test_late_generator_turns_a_pass_that_rests_on_the_load_into_unknown(tmp_path):
    """Nobody lost anything, under a load that did not come when it should have."""
    found = found_by("live-state-evicted", make_run(tmp_path, **{**CALM, **EVICTING, **LATE}))

    assert found.verdict == "unknown"
    assert "that does not hold: the generator was late" in found.says


@pytest.mark.parametrize("status", ["interrupted", "failed"])
@pytest.mark.parametrize("rule", list(RULES))
def test_no_rule_passes_a_run_that_broke_off(tmp_path, rule, status):
    """What had not gone wrong by then might have gone wrong later."""
    run = make_run(tmp_path, **{**CALM, **REWRITING, "host": HOST, "status": status})

    assert found_by(rule, run).verdict == "unknown"


def test_late_generator_leaves_a_failure_as_it_is(tmp_path):
    """What was lost was lost, whenever it was asked for."""
    lost = [
        {**turn, **LATE["operations"][0], "elapsed_s": turn["elapsed_s"]}
        for turn in gone("evicted")
    ]
    run = make_run(
        tmp_path,
        **{
            **CALM,
            "operations": [{**t, "outcome": "evicted"} for t in lost],
            "samples": rising("evicted_keys", 500, since_s=0.5),
        },
    )

    assert found_by("generator-validity", run).verdict == "fail"
    assert found_by("live-state-evicted", run).verdict == "fail"


def test_late_generator_leaves_a_pass_that_does_not_rest_on_the_load(tmp_path):
    """Memory and rewrites are what the server says of itself."""
    run = make_run(tmp_path, **{**CALM, **LATE, **REWRITING, "host": HOST})

    for rule in ("memory-headroom", "aof-rewrite", "loss-explained"):
        assert found_by(rule, run).verdict == "pass"


def finding(verdict, severity="critical"):
    return Finding(rule="x", title="?", severity=severity, verdict=verdict, says="so")


@pytest.mark.parametrize(
    ("verdicts", "worst"),
    [
        (["pass", "unknown", "fail", "not applicable"], "fail"),
        (["pass", "unknown", "not applicable"], "unknown"),
        (["not applicable", "pass"], "pass"),
        (["not applicable"], "not applicable"),
        ([], "not applicable"),
    ],
)
def test_worst_verdict_is_fail_then_unknown_then_pass(verdicts, worst):
    """One failure is a failure; what is not known outweighs what is well."""
    assert worst_of(map(finding, verdicts)) == worst


def test_findings_of_severity_info_do_not_fail_a_run():
    """They are told, and judged by nobody."""
    assert worst_of([finding("fail", "info"), finding("pass", "warning")]) == "pass"


def test_gravest_finding_comes_first(tiny_run):
    """Failures before the rest, critical ones before warnings."""
    found = evaluate(tiny_run)

    gravity = ["fail", "unknown", "pass", "not applicable"]
    severity = ["critical", "warning", "info"]
    order = [(gravity.index(f.verdict), severity.index(f.severity)) for f in found]
    assert order == sorted(order)
    assert found.verdict == found[0].verdict


def test_only_of_an_unknown_rule_names_the_nearest(tiny_run):
    """A notebook's slip must not leave a finding out in silence."""
    with pytest.raises(UsageError, match="no rule 'los-explained'; did you mean 'loss-explained'"):
        evaluate(tiny_run).only("los-explained")


def test_same_run_gives_the_same_findings_byte_for_byte(tiny_run, tmp_path):
    """Judging is a function of the record."""
    other = make_run(tmp_path / "other")
    shutil.rmtree(other.path)
    again = type(tiny_run)(shutil.copytree(tiny_run.path, other.path))

    first = write_findings(tiny_run, evaluate(tiny_run)).read_bytes()

    assert first == write_findings(again, evaluate(again)).read_bytes()


def test_golden_run_is_judged_as_on_the_machine_that_recorded_it(tiny_run):
    """The same findings, to the last digit, wherever and whenever the run is opened."""
    committed = json.loads((GOLDEN / "findings.json").read_bytes())

    again = json.loads(write_findings(tiny_run, evaluate(tiny_run)).read_bytes())

    assert again == committed


def test_finding_shows_its_verdict_evidence_and_source():
    """By itself in a notebook as among the others; in a line where there is no notebook."""
    finding = Finding(
        rule="a-rule",
        title="Does it hold?",
        severity="info",
        verdict="fail",
        says="of <b>5</b> turns 3 failed",
        evidence={"turns": "5"},
        source="the run",
    )

    text = finding._repr_markdown_()

    assert repr(finding) == "<Finding a-rule, fail: Of <b>5</b> turns 3 failed.>"
    for part in ("**FAIL**", "Does it hold?", "turns: **5**", "*Source:* The run."):
        assert part in text
    assert "<b>" not in text


def test_findings_are_a_line_each_where_there_is_no_notebook(tiny_run):
    """Verdict and sentence; IPython shows a tuple by its repr, whatever else it offers."""
    findings = evaluate(tiny_run)

    lines = repr(findings).splitlines()

    assert lines == [f"{found.verdict}: {found.says}" for found in findings]
    assert findings._repr_mimebundle_()["text/plain"] == repr(findings)
