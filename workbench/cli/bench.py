"""``workbench bench``: what the workbench's own parts cost."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli.app import AsJson, app, near, progress, tell

if TYPE_CHECKING:
    from workbench.benches.figure import Bench, Figure, Report

__all__ = ["bench"]


@app.command("bench")
def bench(
    name: Annotated[
        str,
        typer.Argument(
            help="Which bench: analysis, diagnosis, ledger, load, overhead, sizing, state, whatif."
        ),
    ] = "state",
    quick: Annotated[bool, typer.Option("--quick", help="Fewer rounds, same figures.")] = False,
    markdown: Annotated[
        Path | None,
        typer.Option(help="Where to write the page of documentation that a bench makes."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """
    Measure on a private server what our own parts cost, as ratios, interleaved in one run.

    Exits 1 if a figure that must hold does not.

    \b
    Examples:
      workbench bench state --quick
      workbench bench state --json
      workbench bench load
      workbench bench ledger --quick
      workbench bench analysis --quick
      workbench bench diagnosis --markdown docs/reference/diagnosis.md
            help="Which bench: analysis, diagnosis, ledger, load, overhead, sizing, state, whatif."
    """
    from workbench.benches.figure import BENCHES
    from workbench.server.process import PrivateServer
    from workbench.server.profiles import profile

    chosen = BENCHES[name]
    if markdown is not None:
        _check_page(name, chosen, markdown, quick=quick)
    with tempfile.TemporaryDirectory(prefix="workbench-bench-") as folder:
        progress("measuring on a private server" + ("" if quick else f"; {chosen.takes}"))
        with PrivateServer(profile("demo"), Path(folder)) as server:
            report = chosen.measure(server, quick=quick, say=progress)
    if as_json:
        tell(report.as_dict())
    else:
        _print(report)
    if markdown is not None and chosen.page is not None:
        _write(markdown, chosen.page(report.as_dict()))
        if not as_json:
            typer.echo(near(markdown))
    if report.failed:
        raise typer.Exit(1)


def _check_page(name: str, chosen: "Bench", markdown: Path, *, quick: bool) -> None:
    """Refuse before minutes are spent on a page that cannot be written."""
    from workbench.benches.figure import BENCHES
    from workbench.errors import UsageError

    if chosen.page is None:
        makers = ", ".join(each for each in BENCHES if BENCHES[each].page)
        raise UsageError(f"the bench {name} makes no page; --markdown is for: {makers}")
    if quick:
        raise UsageError("a page is made of all figures: leave out --quick, or --markdown")
    if not markdown.parent.is_dir() or markdown.is_dir():
        raise UsageError(f"--markdown is {markdown}: name a file in a folder that is there")


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}")
    temporary.write_text(text)
    temporary.replace(path)


def _print(report: "Report") -> None:
    typer.echo(f"{report.server}{', on a noisy machine' if report.noisy else ''}")
    if report.table:
        typer.echo(report.table)
    for figure in report.figures:
        typer.echo(f"{_value(figure):>24}  {figure.title}")
        if figure.must is not None:
            typer.echo(f"{'':24}  {_verdict(figure)}")
    must = [figure for figure in report.figures if figure.must is not None]
    for holds, means in ((False, "do NOT hold"), (None, "cannot be told")):
        which = [figure.id for figure in must if figure.holds is holds]
        if which:
            typer.echo(f"{len(which)} of {len(must)} {means}: {', '.join(which)}")
    if all(figure.holds for figure in must):
        typer.echo(f"all {len(must)} that must hold do")


def _value(figure: "Figure") -> str:
    if figure.value is None:
        return f"not measured: {figure.why}"
    unit = "" if figure.unit in ("ratio", "count", "share") else f" {figure.unit}"
    value = f"{figure.value:,.0f}" if figure.unit == "count" else f"{figure.value:.3g}"
    spread = "" if figure.low is None else f" ({figure.low:.3g} to {figure.high:.3g})"
    return f"{value}{unit}{spread}"


def _verdict(figure: "Figure") -> str:
    said = {True: "holds", False: "does NOT hold", None: "cannot be told"}
    goal = f", goal {figure.goal}" if figure.goal else ""
    return f"must be {figure.must}{goal}: {said[figure.holds]}"
