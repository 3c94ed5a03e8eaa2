"""summary: the verdict on a run as Markdown, short enough for the summary of a CI job."""

from collections.abc import Iterable, Iterator, Sequence
from html import escape

from workbench.diagnostics.finding import Findings, by_name_only, overall, sentence
from workbench.diagnostics.slo import SloFindings
from workbench.runs.facts import markdown_table, run_facts
from workbench.runs.manifest import STATUSES
from workbench.runs.run import Run
from workbench.state.redaction import redact
from workbench.units import format_count

__all__ = ["summary"]


def summary(run: Run, findings: Findings, slo: SloFindings | None = None) -> str:
    """The verdict on top, then a table of the objectives, one of the rules, and the run's facts."""
    manifest = run.manifest
    asked = manifest.experiment.get("question") or manifest.experiment.get("name", "")
    told = f"The run is {manifest.status}: {manifest.why or STATUSES[manifest.status]}"
    invalid = "invalid run · " if manifest.status == "invalid" else ""
    parts = [
        f"## {overall(findings, slo).upper()} · {invalid}{_line(asked)}",
        _line(sentence(told.rstrip("."))),
    ]
    if slo is not None:
        parts.append(f"### Objectives of {_line(slo.slo)}: {slo.verdict}")
        parts.append(markdown_table(slo.head, _redacted(slo.rows())))
    whole, names = by_name_only(findings)
    rules = [(found.word, found.rule, sentence(found.says)) for found in whole]
    rules += [
        (verdict, format_count(len(some), "rule"), f"{', '.join(some)}.")
        for verdict, some in names.items()
    ]
    parts.append(f"### Rules: {findings.verdict}")
    parts.append(markdown_table(("verdict", "rule", "what was found"), _redacted(rules)))
    facts = _redacted(run_facts(run).items())
    parts.append("### The run\n\n" + markdown_table(("", ""), facts))
    return "\n\n".join(parts) + "\n"


def _redacted(rows: Iterable[Sequence[str]]) -> Iterator[list[str]]:
    return ([redact(cell) for cell in row] for row in rows)


def _line(text: object) -> str:
    return escape(" ".join(redact(str(text)).split()), quote=False)
