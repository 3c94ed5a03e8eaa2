"""Finding, the ``rule`` decorator, and how the verdicts of a run are put together."""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from workbench.analysis.validity import Validity, validity
from workbench.errors import RunError
from workbench.registry import Registry
from workbench.runs.files import write_json
from workbench.runs.run import Run

if TYPE_CHECKING:
    from workbench.diagnostics.slo import SloFindings

__all__ = [
    "FINDINGS_MIME",
    "LATE",
    "RULES",
    "Finding",
    "Findings",
    "Judgement",
    "Remedy",
    "Rule",
    "Severity",
    "UntoldError",
    "Verdict",
    "broken_off",
    "by_name_only",
    "evaluate",
    "fail",
    "generator_validity",
    "lateness",
    "not_applicable",
    "ok",
    "overall",
    "remedies",
    "rule",
    "sentence",
    "unknown",
    "worst_of",
    "write_findings",
]

Verdict = Literal["pass", "fail", "unknown", "not applicable"]
Severity = Literal["critical", "warning", "info"]

_WHOLE_MAX: Final = 12

LATE: Final = "see generator-validity"
"""Advice of a rule that cannot tell since the load was late, as others cannot either."""

FINDINGS_MIME: Final = "application/vnd.workbench.findings+json"
"""Under this type a notebook's output holds the findings as data."""

_FIGURES: Final = re.compile(r"[:;].*")
_GRAVITY: Final[Sequence[Verdict]] = ("not applicable", "pass", "unknown", "fail")
_SHOWN: Final = ("fail", "unknown", "note", "pass", "not applicable")
_SNAPSHOTS_SINCE: Final = 5
_ROWS: Final = {"operations": "turns", "keys": "key_rows", "evictions": "eviction_rows"}
_SEVERITIES: Final[Sequence[Severity]] = ("critical", "warning", "info")


class Remedy(msgspec.Struct, frozen=True, kw_only=True):
    """
    What mends it, word for word, wherever the server is configured.

    Attributes:
        redis_conf: lines of redis.conf, or what to do instead.
        compose: keys of the service in docker-compose.yml.
        ecs: of the task or container definition on ECS.
    """

    redis_conf: str
    compose: str
    ecs: str

    @classmethod
    def directives(cls, *lines: str) -> "Remedy":
        """The remedy that is lines of redis.conf: flags of the same name elsewhere."""
        flags = [[f"--{line.partition(' ')[0]}", line.partition(" ")[2]] for line in lines]
        words = [word for flag in flags for word in flag]
        listed = ", ".join(json.dumps(word.strip('"')) for word in words)
        quoted = " ".join(f'"{word}"' if " " in word or not word else word for word in words)
        return cls(
            redis_conf="; ".join(lines),
            compose=f"command: redis-server … {quoted}",
            ecs=f'"command": ["redis-server", …, {listed}]',
        )


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a rule found.

    Attributes:
        rule: its id.
        title: the question that the rule answers.
        severity: ``critical``, ``warning`` or ``info``; info never fails a command.
        verdict: ``pass``, ``fail``, ``unknown`` or ``not applicable``.
        says: the finding in one sentence, with the values.
        evidence: the values seen, by name.
        advice: what to do; empty where nothing is to be done.
        why: what it means for people's conversations.
        remedy: the settings that mend it; None where none are needed.
        source: what the rule rests on.
    """

    rule: str
    title: str
    severity: Severity
    verdict: Verdict
    says: str
    evidence: dict[str, str] = msgspec.field(default_factory=dict)
    advice: str = ""
    why: str = ""
    remedy: Remedy | None = None
    source: str = ""

    @property
    def word(self) -> str:
        """The verdict as it is shown: a rule of severity info that fails is a ``note``."""
        return "note" if self.verdict == "fail" and self.severity == "info" else self.verdict

    def __repr__(self) -> str:
        return f"<Finding {self.rule}, {self.word}: {sentence(self.says)}>"

    def _repr_markdown_(self) -> str:
        return _paragraph(self)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a rule says of one run; ``ok``, ``fail``, ``unknown`` and ``not_applicable`` make it."""

    verdict: Verdict
    says: str
    evidence: Mapping[str, str]
    advice: str


@dataclass(frozen=True, slots=True)
class Rule:
    """
    A rule of the collection.

    Attributes:
        id: its name.
        title: the question that it answers.
        severity: of a failure.
        needs: tables of the run that it reads; empty ones make it unknown.
        holds_if_late: a pass holds although the generator was late.
        why: what a failure means for people's conversations.
        remedy: what mends it; None where nothing of the server's is wrong.
        judge: from the run to the finding.
    """

    id: str
    title: str
    severity: Severity
    needs: tuple[str, ...]
    holds_if_late: bool
    why: str
    remedy: Remedy | None
    source: str
    judge: Callable[[Run], Judgement]


RULES: "Registry[Rule]" = Registry("rule", "workbench.diagnostics")
"""Every rule by id."""


def rule(
    id: str,  # noqa: A002
    *,
    title: str,
    severity: Severity,
    needs: tuple[str, ...],
    why: str,
    remedy: Remedy | None,
    source: str,
    holds_if_late: bool | None = None,
) -> Callable[[Callable[[Run], Judgement]], Callable[[Run], Judgement]]:
    """
    Register a function of a run as a rule.

    Unless it is said, a pass holds although the generator was late where the rule reads snapshots
    alone: settings, limits and the host are what they are under any load.
    """
    holds = needs == ("snapshots",) if holds_if_late is None else holds_if_late

    def register(judge: Callable[[Run], Judgement]) -> Callable[[Run], Judgement]:
        RULES.add(id, Rule(id, title, severity, needs, holds, why, remedy, source, judge))
        return judge

    return register


class UntoldError(Exception):
    """Raised within a rule where something is not told: the judgement that follows from it."""

    def __init__(self, judgement: Judgement) -> None:
        super().__init__(judgement.says)
        self.judgement = judgement


def ok(says: str, evidence: Mapping[str, str], advice: str = "") -> Judgement:
    """The rule is kept."""
    return Judgement("pass", says, evidence, advice)


def fail(says: str, evidence: Mapping[str, str], advice: str) -> Judgement:
    """The rule is broken; the advice says what to do."""
    return Judgement("fail", says, evidence, advice)


def unknown(says: str, advice: str, evidence: Mapping[str, str] | None = None) -> Judgement:
    """There is too little to tell; the advice says how to get more."""
    return Judgement("unknown", says, evidence or {}, advice)


def not_applicable(says: str) -> Judgement:
    """The rule has nothing to say of this run."""
    return Judgement("not applicable", says, {}, "")


def generator_validity(run: Run) -> Validity:
    """Whether the run's load and sampling kept up."""
    return validity(
        run.measured_turns, run.generator, run.samples, run.events, measured_s=run.measured_s
    )


class Findings(tuple[Finding, ...]):
    """The findings of a run, the gravest first; shown as text in a notebook."""

    __slots__ = ()

    @property
    def verdict(self) -> Verdict:
        """The gravest verdict, findings of severity info left aside."""
        return worst_of(self)

    @property
    def head(self) -> Finding:
        """The one that the verdict rests on first."""
        weighing = (f for f in self if f.severity != "info" and f.verdict == self.verdict)
        return next(weighing, self[0])

    def to_markdown(self) -> str:
        """
        Verdict, sentence, evidence, advice and source of each.

        Of many rules those that passed or do not apply are named alone.
        """
        if len(self) <= _WHOLE_MAX:
            return "\n\n".join(_paragraph(found) for found in self)
        whole, names = by_name_only(self)
        told = [_paragraph(found) for found in whole]
        told += [f"**{len(some)} {word}:** {', '.join(some)}" for word, some in names.items()]
        return "\n\n".join(told)

    def __repr__(self) -> str:
        return "\n".join(f"{found.word}: {found.says}" for found in self)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        data = {"verdict": self.verdict, "findings": msgspec.to_builtins(list(self))}
        return {"text/markdown": self.to_markdown(), "text/plain": repr(self), FINDINGS_MIME: data}


class SampledFindings(Findings):
    """
    The findings of a server that was only looked at.

    Much of it does not show from outside, such as its host: what cannot be told is said, and weighs
    only where nothing else was.
    """

    __slots__ = ()

    @property
    def verdict(self) -> Verdict:
        """The gravest of what could be told."""
        told = worst_of(found for found in self if found.verdict != "unknown")
        return worst_of(self) if told == "not applicable" else told


def evaluate(run: Run, *rules: str) -> Findings:
    """
    Judge a run by every rule, or by some.

    A rule whose tables are empty is unknown, and so is one that the run's own damage keeps from
    judging; never a pass. A pass is unknown too where the run broke off, or where the generator was
    late and the rule rests on the load; a failure stands, since what was lost was lost. Where the
    server was only sampled, rules on the load are not applicable.

    Args:
        run: sealed.
        rules: their ids; all if none is given.

    Returns:
        the findings, the gravest first.

    Raises:
        UsageError: there is no such rule.
    """
    late = cache(lambda: lateness(run))  # a pass alone asks for it
    findings = [
        _judge(rule, run, late)
        for rule in ([RULES[each] for each in rules] if rules else RULES.values())
    ]
    kind = Findings if run.loaded else SampledFindings
    return kind(
        sorted(
            findings,
            key=lambda found: (_SHOWN.index(found.word), _SEVERITIES.index(found.severity)),
        )
    )


def by_name_only(findings: Iterable[Finding]) -> tuple[list[Finding], dict[str, list[str]]]:
    """
    The findings to tell whole, and of the others the rules' names, by what became of them.

    Told whole is what failed, what cannot be told, and what holds of the load.
    """
    whole, names = [], dict[str, list[str]]()
    for found in findings:
        on_load = "operations" in RULES[found.rule].needs and found.verdict == "pass"
        if on_load or found.verdict not in {"pass", "not applicable"}:
            whole.append(found)
        else:
            names.setdefault(found.verdict, []).append(found.rule)
    return whole, names


def remedies(remedy: Remedy) -> dict[str, str]:
    """The remedy by the name of where it is written."""
    return {"redis.conf": remedy.redis_conf, "compose": remedy.compose, "ECS": remedy.ecs}


def worst_of(findings: Iterable[Finding]) -> Verdict:
    """The gravest verdict, findings of severity info left aside; ``not applicable`` if none."""
    verdicts = [found.verdict for found in findings if found.severity != "info"]
    return max(verdicts, key=_GRAVITY.index, default="not applicable")


def overall(findings: Findings, slo: "SloFindings | None" = None) -> Verdict:
    """
    The verdict on a run by its rules and, where there are any, by its objectives.

    Objectives say what has to be known of a run: beside them a rule that cannot tell weighs
    nothing, and one that fails still fails.
    """
    if slo is None or findings.verdict == "fail":
        return findings.verdict
    return slo.verdict


def write_findings(run: Run, findings: Findings, slo: "SloFindings | None" = None) -> Path:
    """Write ``findings.json`` into the run directory, whole or not at all; returns its path."""
    path = run.path / "findings.json"
    told = {"verdict": overall(findings, slo), "findings": list(findings)}
    write_json(path, told if slo is None else told | {"slo": slo})
    return path


def sentence(text: str) -> str:
    """The text with a capital, unless it begins with the name of a setting, and a full stop."""
    first = text.partition(" ")[0]
    return f"{text}." if set("._-") & set(first) else f"{text[:1].upper()}{text[1:]}."


def broken_off(run: Run) -> str:
    """That the run did not come to its end, so that no pass holds; empty if it did."""
    status = run.manifest.status
    return f"the run was {status} before its end" if status in {"interrupted", "failed"} else ""


def lateness(run: Run) -> str:
    """
    Why no pass that rests on the load holds, in a few words; empty if it kept up.

    Empty too where there was no load. The figures stand in generator-validity: a dozen findings
    need not repeat them.
    """
    if not run.loaded:
        return ""
    try:
        return ", and ".join(_FIGURES.sub("", why) for why in generator_validity(run).reasons)
    except RunError as error:
        return f"whether the load kept up is not known: {error}"


def _judge(rule: Rule, run: Run, late: Callable[[], str]) -> Finding:
    try:
        judgement = _judged(rule, run)
    except UntoldError as untold:
        judgement = untold.judgement
    except RunError as error:
        judgement = unknown(f"the run cannot be judged: {error}", "run it again")
    if judgement.verdict == "pass":
        broken = broken_off(run)
        if doubt := broken or ("" if rule.holds_if_late else late()):
            judgement = unknown(
                f"{judgement.says}; but that does not hold: {doubt}",
                "run it again, to its end" if broken else LATE,
                judgement.evidence,
            )
    return Finding(
        rule=rule.id,
        title=rule.title,
        severity=rule.severity,
        verdict=judgement.verdict,
        says=judgement.says,
        evidence=dict(judgement.evidence),
        advice=judgement.advice,
        why=rule.why if judgement.verdict == "fail" else "",
        remedy=rule.remedy if judgement.verdict == "fail" else None,
        source=rule.source,
    )


def _judged(rule: Rule, run: Run) -> Judgement:
    if not run.loaded and {"operations", "generator"} & set(rule.needs):
        return not_applicable("the server was sampled, and not loaded by the workbench")
    empty = [name for name in rule.needs if not len(getattr(run, _ROWS.get(name, name)))]
    if empty == ["snapshots"] and run.manifest.schema_version < _SNAPSHOTS_SINCE:
        return not_applicable("the run was recorded before runs had snapshots")
    if empty:
        return unknown(f"the run has no {', no '.join(empty)}", "run it again, to its end")
    return rule.judge(run)


def _paragraph(found: Finding) -> str:
    lines = [f"**{found.word.upper()}** · {found.title}", sentence(found.says)]
    if found.evidence:
        lines.append(" · ".join(f"{name}: **{value}**" for name, value in found.evidence.items()))
    if found.why:
        lines.append(f"*Why it matters:* {sentence(found.why)}")
    if found.advice:
        lines.append(f"*Advice:* {sentence(found.advice)}")
    if found.remedy:
        lines += [f"*{where}:* `{what}`" for where, what in remedies(found.remedy).items()]
    lines.append(f"*Source:* {sentence(found.source)}")
    # A text that looks like a tag is shown, not obeyed.
    return escape("  \n".join(lines), quote=False)
