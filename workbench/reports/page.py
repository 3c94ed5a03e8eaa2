"""The page: verdict, findings, charts and circumstances as one file of HTML that loads nothing."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import nbformat
from jinja2 import Environment, PackageLoader, select_autoescape
from markupsafe import Markup
from nbconvert import HTMLExporter

from workbench.diagnostics.finding import (
    FINDINGS_MIME,
    LATE,
    Finding,
    Findings,
    overall,
    remedies,
    sentence,
)
from workbench.diagnostics.slo import SloFindings
from workbench.runs.facts import run_facts
from workbench.runs.manifest import STATUSES, Manifest
from workbench.runs.run import Run
from workbench.state.redaction import redact

__all__ = ["Section", "answers", "page_of_run", "page_of_runs", "section", "template"]

_TITLED: Final = re.compile(r'(<img [^>]*data-title="([^"]*)")')
_HIDDEN: Final = {"question", "parameters", "setup", "run", "verdict"}
"""The cells that the page shows itself, or that only matter to someone who edits."""


@dataclass(frozen=True, slots=True)
class Section:
    """
    What the page shows of an executed notebook.

    Attributes:
        file: the executed copy, beside the page.
        question: that it asks; ``intro`` is why it matters.
        answers: the findings of its last cell.
        body: charts, tables and readings.
    """

    file: str
    question: str
    intro: str
    answers: Findings
    body: Markup

    @property
    def anchor(self) -> str:
        """Where the page has it."""
        return Path(self.file).stem


def section(file: str, executed: nbformat.NotebookNode) -> Section:
    """The section of a notebook that was executed, and freed of secrets."""
    cells = {str(cell.id): cell for cell in executed.cells}
    first, _, rest = str(cells["question"].source if "question" in cells else file).partition("\n")
    shown = nbformat.from_dict({**executed, "cells": []})  # type: ignore[no-untyped-call]
    shown.cells = [
        cell
        for cell in executed.cells
        if cell.id not in _HIDDEN and "injected-parameters" not in cell.metadata.get("tags", [])
    ]
    exporter = HTMLExporter(  # type: ignore[no-untyped-call]
        template_name="basic", exclude_input=True, mathjax_url="", require_js_url=""
    )
    body, _ = exporter.from_notebook_node(shown)
    # On a phone a chart is scrolled sideways; its title, the finding, is read without that.
    body = _TITLED.sub(r'<p class="chart-title">\2</p>\1', body)
    return Section(
        file=file,
        question=first.lstrip("# ").strip(),
        intro=" ".join(re.sub(r"[*`_]", "", rest).split()),
        answers=answers(cells.get("verdict")),
        body=Markup(body),  # noqa: S704  (nbconvert escapes what it is given)
    )


def page_of_run(
    run: Run,
    findings: Findings,
    slo: SloFindings | None,
    sections: Sequence[Section],
    *,
    again: str,
) -> str:
    """The page of one run; ``again`` is the command that makes it."""
    manifest = run.manifest
    broken = slo is not None and findings.verdict != "fail"
    return _page(
        asked=sections[0].question if len(sections) == 1 else _asked(manifest),
        run=run.name,
        invalid=manifest.status == "invalid",
        verdict=overall(findings, slo),
        head=findings.head if findings and not broken else None,
        says=slo.says if slo is not None and broken else "",
        told=_told(manifest),
        slo=slo,
        findings=findings,
        sections=sections,
        circumstances=[run_facts(run)],
        differences=manifest.differences,
        again=again,
    )


def page_of_runs(runs: Sequence[Run], shown: Section, *, again: str) -> str:
    """The page of a notebook that was executed once for several runs; see ``page_of_run``."""
    findings = shown.answers
    return _page(
        asked=shown.question,
        run="",
        invalid=False,
        verdict=findings.verdict if findings else "",
        head=findings.head if findings else None,
        says="",
        told="",
        slo=None,
        findings=findings,
        sections=[shown],
        circumstances=[run_facts(run) for run in runs],
        differences=sorted({told for run in runs for told in run.manifest.differences}),
        again=again,
    )


def template(name: str) -> Any:
    """A template of this folder: every text that it is given is escaped, and holds no secret."""
    environment = Environment(
        loader=PackageLoader("workbench.reports", "."),
        autoescape=select_autoescape(["j2"]),
        # What is marked as HTML was made here, of texts that are without secrets already.
        finalize=lambda value: (
            redact(value) if isinstance(value, str) and not isinstance(value, Markup) else value
        ),
        trim_blocks=True,
    )
    environment.filters["sentence"] = sentence
    return environment.get_template(name)


def _page(*, findings: Findings, **shown: Any) -> str:
    by_word: Mapping[str, list[Finding]] = {
        word: [found for found in findings if found.word == word]
        for word in ("fail", "unknown", "note", "pass", "not applicable")
    }
    html: str = template("page.html.j2").render(
        **shown,
        grave=by_word["fail"] + [found for found in by_word["unknown"] if not _late(found)],
        late=[found for found in by_word["unknown"] if _late(found)],
        notes=by_word["note"],
        passed=by_word["pass"],
        idle=by_word["not applicable"],
        shown={found.rule for found in findings},
        tally=_tally(by_word),
        remedies=remedies,
    )
    return html


def _late(found: Finding) -> bool:
    """Whether it would be known, had the load been in time: all of these say the same."""
    return found.advice == LATE


def _tally(by_word: Mapping[str, Iterable[Finding]]) -> str:
    told = {"fail": "failed", "unknown": "cannot tell", "note": "noted", "pass": "passed"}
    counts = {words: len(list(by_word[word])) for word, words in told.items()}
    of = ", ".join(f"{count} {words}" for words, count in counts.items() if count)
    return f"Of the rules {of}." if of else ""


def _asked(manifest: Manifest) -> str:
    experiment = manifest.experiment
    return str(experiment.get("question") or experiment.get("name") or manifest.run_id)


def _told(manifest: Manifest) -> str:
    if manifest.status == "complete":
        return ""
    return (
        f"The run is {manifest.status}: {(manifest.why or STATUSES[manifest.status]).rstrip('.')}"
    )


def answers(verdict: nbformat.NotebookNode | None) -> Findings:
    """The findings that an executed cell shows; none if it shows none."""
    outputs = [] if verdict is None else verdict.get("outputs", [])
    held = [
        output.data[FINDINGS_MIME] for output in outputs if FINDINGS_MIME in output.get("data", {})
    ]
    told = [found for data in held for found in data["findings"]]
    return Findings(msgspec.convert(told, list[Finding]))
