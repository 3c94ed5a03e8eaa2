"""The index: the runs of a folder with their verdicts, as one page of HTML."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from workbench.diagnostics.finding import Finding, Findings, Verdict
from workbench.diagnostics.slo import SloFindings
from workbench.errors import UsageError
from workbench.reports.page import template
from workbench.runs.files import write_whole
from workbench.runs.listing import RunEntry, every_run

__all__ = ["INDEX", "write_index"]

INDEX: Final = "index.html"

_NOT_JUDGED: Final = "not judged"


class _Judged(msgspec.Struct):
    """What ``findings.json`` holds."""

    verdict: Verdict
    findings: list[Finding]
    slo: SloFindings | None = None


@dataclass(frozen=True, slots=True)
class _Row:
    entry: RunEntry
    verdict: str
    says: str
    pages: tuple[str, ...]


def write_index(folder: Path) -> Path:
    """
    Write ``index.html`` into a folder of runs, whole or not at all, the latest run first.

    It executes and judges nothing: the verdict is the one that ``run`` or ``check`` wrote, and a
    page is linked to if it is there.

    Raises:
        UsageError: the folder is not there, or holds no run.
    """
    if not folder.is_dir():
        raise UsageError(f"--index: {folder} is no folder; name one that holds runs")
    rows = [_row(entry, folder) for entry in reversed(every_run(folder))]
    if not rows:
        raise UsageError(f"--index: {folder} holds no run; make one with: workbench run")
    counts = Counter(row.verdict for row in rows)
    path = folder / INDEX
    html = template("index.html.j2").render(rows=rows, counts=counts)
    write_whole(path, html.encode(errors="replace"))
    return path


def _row(entry: RunEntry, folder: Path) -> _Row:
    verdict, says = _judged(entry.path)
    report = entry.path / "report"
    # A run's own page first, then those of notebooks that took several.
    pages = sorted(report.glob("[!.]*.html"), key=lambda page: (page.stem != "report", page.name))
    return _Row(entry, verdict, says, tuple(str(page.relative_to(folder)) for page in pages))


def _judged(run_dir: Path) -> tuple[str, str]:
    """The verdict and its sentence by findings.json; that there is none, if there is none."""
    try:
        judged = msgspec.json.decode((run_dir / "findings.json").read_bytes(), type=_Judged)
    except (OSError, msgspec.DecodeError):
        return _NOT_JUDGED, ""
    findings = Findings(judged.findings)
    if judged.slo is not None and findings.verdict != "fail":
        return judged.verdict, judged.slo.says
    return judged.verdict, findings.head.says if findings else ""
