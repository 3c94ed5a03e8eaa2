"""render: from notebooks and sealed runs to executed copies and self-contained pages."""

import os
import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import nbformat

from workbench.diagnostics.finding import Findings, overall
from workbench.diagnostics.slo import SloFindings
from workbench.errors import ReportError
from workbench.reports.execution import Executor
from workbench.reports.notebook import Notebook, parameters_of, reporting
from workbench.reports.page import Section, answers, page_of_run, page_of_runs, section
from workbench.runs.lock import hold, passing_folder
from workbench.runs.run import Run

__all__ = [
    "DEFAULT_NOTEBOOKS",
    "PAGE",
    "Report",
    "judged",
    "render",
    "render_each",
    "render_together",
]

DEFAULT_NOTEBOOKS: Final = ("10-eviction", "20-latency", "30-aof-rewrite")
PAGE: Final = "report.html"

_UNFINISHED: Final = ".unfinished"
_JUDGING: Final = {
    "parameters": 'run_dir: str = ""  # a sealed run',
    "verdict": "from workbench.diagnostics.finding import evaluate\n"
    "from workbench.runs.run import open_run\n\nevaluate(open_run(run_dir))",
}


@dataclass(frozen=True, slots=True)
class Report:
    """
    What was made.

    Attributes:
        runs: of which it reports; several if a notebook took all of them.
        page: the file of HTML.
        notebooks: the executed copies, beside it.
        verdict: that the page begins with; empty if its notebook has none.
    """

    runs: tuple[Run, ...]
    page: Path
    notebooks: tuple[Path, ...]
    verdict: str


def render(
    run: Run,
    notebooks: str | Sequence[str] = DEFAULT_NOTEBOOKS,
    *,
    parameters: Mapping[str, Any] | None = None,
    findings: Findings | None = None,
    slo: SloFindings | None = None,
) -> Path:
    """
    Execute notebooks on a run and write its page.

    All files are made in a folder of their own and moved: what lies in ``report/`` is finished.
    What an execution that was killed left there is removed by the next.

    Args:
        run: a sealed run.
        notebooks: files of ``notebooks/``, with or without their ending.
        parameters: of the notebooks, besides ``run_dir``; each goes to those that have it.
        findings: of the run, if they are at hand.
        slo: of the run, if it was held against objectives.

    Returns:
        the page: ``<run>/report/report.html``.

    Raises:
        ParameterError: no such notebook, one that does not report on a run, no such parameter, or
            not of its type.
        ReportError: a notebook failed; the message says in which cell, and why.
    """
    names = [notebooks] if isinstance(notebooks, str) else notebooks
    chosen = reporting(names)
    values = parameters_of(chosen, parameters or {})
    with Executor() as executor:
        return render_each(run, chosen, values, executor, findings=findings, slo=slo).page


def render_each(
    run: Run,
    notebooks: Sequence[Notebook],
    values: Mapping[str, Mapping[str, Any]],
    executor: Executor,
    *,
    findings: Findings | None = None,
    slo: SloFindings | None = None,
) -> Report:
    """
    The report of one run, of notebooks that take one.

    ``values`` are parameters by the name of the notebook.

    Raises:
        ReportError: as ``render`` does.
    """
    found = findings or judged(run, executor)
    with _made_in(run) as scratch:
        sections = [
            _executed(notebook, scratch, {**values[notebook.name], "run_dir": run.where}, executor)
            for notebook in notebooks
        ]
        # The page of one notebook does not take the place of the whole report.
        name = f"{notebooks[0].name}.html" if len(notebooks) == 1 else PAGE
        html = page_of_run(run, found, slo, sections, again=_again([run], notebooks, values, slo))
        files = _kept(scratch, run, name, html, sections)
    return Report((run,), files[-1], tuple(files[:-1]), overall(found, slo))


def _again(
    runs: Sequence[Run],
    notebooks: Sequence[Notebook],
    values: Mapping[str, Mapping[str, Any]],
    slo: SloFindings | None = None,
) -> str:
    """The command that makes the same page again."""
    words = ["workbench report", *(run.name for run in runs)]
    if [each.name for each in notebooks] != list(DEFAULT_NOTEBOOKS):
        words += [f"--notebook {each.name}" for each in notebooks]
    given = {name: value for each in notebooks for name, value in values[each.name].items()}
    words += [f"-p {shlex.quote(f'{name}={_word(value)}')}" for name, value in given.items()]
    return " ".join(words + ([f"--slo {shlex.quote(slo.slo)}"] if slo else []))


def _word(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ",".join(map(_word, value))
    return (
        "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    )


def judged(run: Run, executor: Executor) -> Findings:
    """
    The findings, by the process that executes notebooks: these ask again much of what rules ask.

    Of a run of ten million turns that saves half a minute of processor time (2 cores, 2026-11-26).

    Raises:
        ReportError: the rules could not be carried out.
    """
    cells = [nbformat.v4.new_code_cell(source, id=name) for name, source in _JUDGING.items()]  # type: ignore[no-untyped-call]
    cells[0].metadata["tags"] = ["parameters"]
    with _made_in(run) as scratch:
        source = scratch / "rules" / "judging.ipynb"
        source.parent.mkdir()
        told = {"kernelspec": {"name": "python3", "display_name": "", "language": "python"}}
        rules = nbformat.v4.new_notebook(cells=cells, metadata=told)  # type: ignore[no-untyped-call]
        nbformat.write(rules, source)  # type: ignore[no-untyped-call]
        executed = executor.execute(source, scratch, {"run_dir": run.where})
    return answers({str(cell.id): cell for cell in executed.cells}["verdict"])


def render_together(
    runs: Sequence[Run],
    notebook: Notebook,
    values: Mapping[str, Any],
    executor: Executor,
    *,
    named: bool = True,
) -> Report:
    """
    The report of a notebook that takes several runs; it is kept in the last one's folder.

    Unless they were ``named``, the notebook takes those that it takes by itself.

    Raises:
        ReportError: as ``render`` does.
    """
    last = runs[-1]
    with _made_in(last) as scratch:
        given = {**values, "runs": [run.where for run in runs] if named else []}
        shown = _executed(notebook, scratch, given, executor)
        page = page_of_runs(runs, shown, again=_again(runs, [notebook], {notebook.name: values}))
        files = _kept(scratch, last, f"{notebook.name}.html", page, [shown])
    verdict = shown.answers.verdict if shown.answers else ""
    return Report(tuple(runs), files[-1], tuple(files[:-1]), verdict)


@contextmanager
def _made_in(run: Run) -> Iterator[Path]:
    """A folder for what is not finished, beside what is; it goes however this ends."""
    parent = run.reports / _UNFINISHED
    made = not parent.parent.exists()
    parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as after:
        if made:
            after.callback(_remove_if_empty, parent.parent)
        after.callback(_remove_if_empty, parent)
        scratch = passing_folder(parent)
        scratch.mkdir()
        after.callback(shutil.rmtree, scratch, ignore_errors=True)
        with hold(scratch):
            yield scratch


def _remove_if_empty(folder: Path) -> None:
    if folder.exists() and not any(folder.iterdir()):
        folder.rmdir()


def _executed(
    notebook: Notebook, scratch: Path, values: Mapping[str, Any], executor: Executor
) -> Section:
    executed = executor.execute(notebook.path, scratch, values)
    nbformat.write(executed, scratch / notebook.path.name)  # type: ignore[no-untyped-call]
    return section(notebook.path.name, executed)


def _kept(scratch: Path, run: Run, name: str, html: str, sections: Sequence[Section]) -> list[Path]:
    """Moved into the report's folder: the notebooks, then the page that links to them."""
    (scratch / name).write_text(html)
    files = [run.reports / file for file in [*(part.file for part in sections), name]]
    for file in files:
        if file.is_dir():
            raise ReportError(f"{file} is a folder, and a file of the report belongs there")
        os.replace(scratch / file.name, file)  # noqa: PTH105
    files[-1].with_suffix(".pdf").unlink(missing_ok=True)  # it was printed of the page of before
    return files
