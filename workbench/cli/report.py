"""``workbench report``: pages of runs, and the index of a folder of them."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli.app import AsJson, app, near, progress, tell
from workbench.cli.judge import name_skipped
from workbench.cli.outputs import Outputs, SloFile, read_outputs
from workbench.errors import UsageError

if TYPE_CHECKING:
    from workbench.place import Place
    from workbench.reports.render import Report
    from workbench.runs.run import Run

__all__ = ["report"]


@app.command()
def report(
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RUN]...",
            help="Runs: directories, names, or 'latest', which is the default. With --index: the "
            "folder of runs; default: WORKBENCH_RUNS, else runs/.",
        ),
    ] = None,
    notebook: Annotated[
        list[str] | None,
        typer.Option(
            help="A notebook of notebooks/, without its ending; one a time. Default: 10-eviction, "
            "20-latency and 30-aof-rewrite.",
        ),
    ] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option(
            "--parameter", "-p", metavar="NAME=VALUE", help="Of the notebooks; one a time."
        ),
    ] = None,
    pdf: Annotated[
        bool, typer.Option("--pdf", help="Print the page to a PDF too, by an installed Chromium.")
    ] = False,
    markdown: Annotated[
        Path | None, typer.Option(help="Write the verdicts there, for a pull request.")
    ] = None,
    slo: SloFile = None,
    index: Annotated[
        bool,
        typer.Option("--index", help="Write index.html of a folder of runs, and nothing else."),
    ] = False,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Copy what was made there, as it lies among the runs: a folder, s3://bucket/path.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """
    Write reports on sealed runs; needs no server.

    Executes notebooks on each run, and puts them on one page that holds all that it shows:
    report/report.html in the run. A notebook that takes several runs is executed once for all of
    them; its page lies in the last one's folder.

    \b
    Examples:
      workbench report
      workbench report latest --notebook 20-latency --pdf
      workbench report 2026-11-23T080000Z-demo-1f2e latest --markdown report.md
      workbench report --index
      workbench report --slo loadtests/slo.toml --out s3://bucket/reports
    """
    if index:
        _index(runs, out, as_json, _given(notebook, parameter, pdf, markdown, slo))
        return
    from workbench.checkout import find_notebook
    from workbench.runs.storage import is_far

    opened = _opened(runs or ["latest"])
    outputs = read_outputs(slo, markdown, None)
    place = _place(out)
    _refuse_far(opened, out)
    for name in notebook or ():  # before the seconds that what executes them takes to be imported
        find_notebook(name)
    if pdf:
        from workbench.browser import chromium_or_refuse

        chromium_or_refuse()
    told = []
    for made in _made(opened, notebook, parameter or [], outputs, named=bool(runs)):
        files = [*made.notebooks, made.page]
        if pdf:
            from workbench.browser import print_page

            progress(f"printing {near(made.page)}")
            files.insert(-1, print_page(made.page, made.page.with_suffix(".pdf")))
        copies = _copied(files, made.runs[-1], place)
        told.append(_told(made, files, copies))
        if not as_json:
            # Of a run that is not here the files go with this process; the copies stay.
            here = [] if is_far(made.runs[-1].where) else files
            for path in (*(near(file) for file in here if file.suffix != ".ipynb"), *copies[-1:]):
                typer.echo(path)
    written = {} if outputs.markdown is None else {"markdown": str(outputs.markdown)}
    if as_json:
        tell({"reports": told} | written)
    elif outputs.markdown is not None:
        typer.echo(near(outputs.markdown))


def _opened(asked: Sequence[str]) -> "list[Run]":
    """Each run once, in the order in which they were named."""
    from workbench.runs.run import open_run

    opened = {}
    for where in asked:
        run = open_run(where)
        name_skipped(where, run.name)
        opened[run.where] = run
    return list(opened.values())


def _refuse_far(runs: "Sequence[Run]", out: str | None) -> None:
    from workbench.runs.storage import is_far

    far = [run for run in runs if is_far(run.where)]
    if far and out is None:
        parent = far[0].where.rpartition("/")[0]
        raise UsageError(
            f"{far[0].where} is not on this machine, and is only read: say where its report goes, "
            f"such as --out {parent}"
        )


def _made(
    runs: "Sequence[Run]",
    names: Sequence[str] | None,
    words: Sequence[str],
    outputs: Outputs,
    *,
    named: bool,
) -> "Iterator[Report]":
    """Each report as soon as it is made; what was asked for is looked at before the first."""
    from workbench.diagnostics.slo import judge
    from workbench.reports.execution import Executor
    from workbench.reports.notebook import parameters_of, read_parameters, reporting
    from workbench.reports.render import DEFAULT_NOTEBOOKS, judged, render_each, render_together
    from workbench.reports.summary import summary
    from workbench.runs.files import write_whole
    from workbench.units import format_count

    notebooks = reporting(names or DEFAULT_NOTEBOOKS)
    values = parameters_of(notebooks, read_parameters(notebooks, words))
    of_one = [notebook for notebook in notebooks if not notebook.takes_several]
    summaries = []
    with Executor() as executor:
        for run in runs if of_one or outputs.markdown else ():
            findings = judged(run, executor)
            slo = None if outputs.slo is None else judge(run, outputs.slo)
            summaries.append(summary(run, findings, slo))
            if of_one:
                progress(f"{run.name}: {', '.join(notebook.name for notebook in of_one)}")
                yield render_each(run, of_one, values, executor, findings=findings, slo=slo)
        for notebook in notebooks:
            if notebook.takes_several:
                progress(f"{format_count(len(runs), 'run')}: {notebook.name}")
                of_it = values[notebook.name]
                yield render_together(runs, notebook, of_it, executor, named=named)
    if outputs.markdown is not None:
        write_whole(outputs.markdown, "\n---\n\n".join(summaries).encode(errors="replace"))


def _index(runs: list[str] | None, out: str | None, as_json: bool, others: Sequence[str]) -> None:
    if others:
        raise UsageError(
            f"--index writes the index of a folder of runs, and nothing else: leave out {others[0]}"
            ", or ask for it by a command of its own"
        )
    if runs and len(runs) > 1:
        raise UsageError(f"--index takes one folder of runs, not {len(runs)}")
    from workbench.checkout import local_folder, runs_dir

    folder = local_folder("--index", runs[0]) if runs else runs_dir()
    place = _place(out)
    from workbench.reports.index import write_index

    page = write_index(folder)
    copies = [str(place.put(page, page.name))] if place else []
    if as_json:
        tell({"index": str(page.resolve())} | ({"copies": copies} if copies else {}))
        return
    for path in (near(page), *copies):
        typer.echo(path)


def _given(
    notebook: list[str] | None,
    parameter: list[str] | None,
    pdf: bool,
    markdown: Path | None,
    slo: Path | None,
) -> list[str]:
    values = {
        "--notebook": notebook,
        "--parameter": parameter,
        "--pdf": pdf,
        "--markdown": markdown,
        "--slo": slo,
    }
    return [option for option, value in values.items() if value]


def _place(out: str | None) -> "Place | None":
    if out is None:
        return None
    from workbench.place import Place

    return Place(out)


def _copied(files: Sequence[Path], run: "Run", place: "Place | None") -> list[str]:
    """The page last, so that whoever finds it finds what it links to."""
    if place is None:
        return []
    here = place.at(run.name).at("report")
    return [str(here.put(file, file.name)) for file in files]


def _told(made: "Report", files: Sequence[Path], copies: Sequence[str]) -> dict[str, Any]:
    paths = {file.suffix[1:]: str(file.resolve()) for file in files if file.suffix == ".pdf"}
    return {
        "runs": [run.where for run in made.runs],
        "verdict": made.verdict,
        "report": str(made.page.resolve()),
        "notebooks": [str(path.resolve()) for path in made.notebooks],
        **paths,
        **({"copies": list(copies)} if copies else {}),
    }
