"""junit: the verdict on a run as JUnit XML, which CI systems show test by test."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from workbench.diagnostics.finding import Finding, Findings, Verdict, sentence
from workbench.diagnostics.slo import Objective, SloFindings
from workbench.runs.manifest import STATUSES
from workbench.runs.run import Run
from workbench.state.redaction import redact

__all__ = ["junit"]

# What XML 1.0 cannot hold, not even escaped.
_UNSPEAKABLE: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


_Outcome = Literal["", "failure", "error", "skipped"]

_OUTCOMES: Final[Mapping[Verdict, _Outcome]] = {
    "pass": "",
    "fail": "failure",
    "unknown": "error",
    "not applicable": "skipped",
}


@dataclass(frozen=True, slots=True)
class _Case:
    """One test: what became of it (empty if it passed), why in a line, and the rest."""

    name: str
    outcome: _Outcome
    says: str
    more: str = ""


def junit(run: Run, findings: Findings, slo: SloFindings | None = None) -> str:
    """
    One test for the run itself, one for each objective and one for each rule.

    The run is an error unless it is complete. An objective that was broken is a failure, and one
    that is not known an error. So it is with rules, only that beside objectives a rule that cannot
    tell is skipped where the run is complete; rules of severity info, and those that do not apply,
    are never more than skipped. Thus something is a failure or an error wherever the command's exit
    code is not 0.
    """
    complete = run.manifest.status == "complete"
    suites = {"run": [_of_run(run)]}
    if slo is not None:
        suites["slo"] = [_of_objective(each) for each in slo.objectives]
    tolerant = complete and slo is not None
    suites["rules"] = [_of_rule(found, tolerant=tolerant) for found in findings]

    root = _counting(
        "testsuites", "workbench", [case for cases in suites.values() for case in cases]
    )
    for name, cases in suites.items():
        suite = _counting("testsuite", f"workbench.{name}", cases)
        suite.set("skipped", str(_count(cases, "skipped")))
        suite.set("timestamp", f"{datetime.fromtimestamp(run.manifest.started_unix_s, UTC):%FT%T}")
        suite.extend(_test(f"workbench.{name}", case) for case in cases)
        root.append(suite)
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _of_run(run: Run) -> _Case:
    manifest = run.manifest
    says = f"{manifest.status}: {manifest.why or STATUSES[manifest.status]}"
    return _Case("figures", "" if manifest.status == "complete" else "error", says)


def _of_objective(each: Objective) -> _Case:
    says = f"{each.measured}, and the bound is {each.bound}"
    if each.verdict == "fail":
        return _Case(each.objective, "failure", f"{says}: {each.broken_by}", each.meaning)
    if each.verdict == "unknown":
        return _Case(each.objective, "error", f"unknown: {each.why}; {says}", each.meaning)
    return _Case(each.objective, "", says)


def _of_rule(found: Finding, *, tolerant: bool) -> _Case:
    bearable = found.severity == "info" or (found.verdict == "unknown" and tolerant)
    outcome = _OUTCOMES[found.verdict]
    if outcome and bearable:
        outcome = "skipped"
    evidence = "\n".join(f"{name}: {value}" for name, value in found.evidence.items())
    advice = f"Advice: {sentence(found.advice)}" if found.advice else ""
    says = f"{found.verdict}: {found.says}"
    return _Case(found.rule, outcome, says, "\n".join(filter(None, [evidence, advice])))


def _test(classname: str, case: _Case) -> Element:
    test = Element("testcase", name=_clean(case.name), classname=classname, time="0")
    if not case.outcome:
        SubElement(test, "system-out").text = _clean(case.says)
        return test
    kind = "broken" if case.outcome == "failure" else case.says.partition(":")[0]
    told = SubElement(test, case.outcome, message=_clean(case.says), type=kind)
    told.text = _clean(case.more)
    return test


def _counting(tag: str, name: str, cases: Sequence[_Case]) -> Element:
    element = Element(tag, name=name, tests=str(len(cases)), time="0")
    element.set("failures", str(_count(cases, "failure")))
    element.set("errors", str(_count(cases, "error")))
    return element


def _count(cases: Sequence[_Case], outcome: str) -> int:
    return sum(case.outcome == outcome for case in cases)


def _clean(text: str) -> str:
    return _UNSPEAKABLE.sub("\ufffd", redact(text))
