"""``workbench bench``: what the workbench's own parts cost."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli.app import AsJson, app, progress, tell
from workbench.errors import UsageError

if TYPE_CHECKING:
    from workbench.benches.figure import Figure, Report

__all__ = ["bench"]

_BENCHES = ("state",)


@app.command("bench")
def bench(
    name: Annotated[str, typer.Argument(help="Which bench: state.")] = "state",
    quick: Annotated[bool, typer.Option("--quick", help="Fewer rounds, same figures.")] = False,
    as_json: AsJson = False,
) -> None:
    """
    Measure on a private server, as ratios to the bare command, interleaved in one run.

    Exits 1 if a figure that must hold does not.

    \b
    Examples:
      workbench bench state --quick
      workbench bench state --json
    """
    if name not in _BENCHES:
        raise UsageError(f"there is no bench {name!r}; there is: {', '.join(_BENCHES)}")
    from workbench.benches import state
    from workbench.server.process import PrivateServer
    from workbench.server.profiles import profile

    with tempfile.TemporaryDirectory(prefix="workbench-bench-") as folder:
        progress("measuring on a private server" + ("" if quick else "; about ten minutes"))
        with PrivateServer(profile("demo"), Path(folder)) as server:
            report = state.measure(server, quick=quick)
    if as_json:
        tell(report.as_dict())
    else:
        _print(report)
    if report.failed:
        raise typer.Exit(1)


def _print(report: "Report") -> None:
    typer.echo(f"{report.server}{', on a noisy machine' if report.noisy else ''}")
    width = max(len(figure.title) for figure in report.figures)
    for figure in report.figures:
        typer.echo(f"{figure.title:{width}}  {_value(figure):>24}  {_verdict(figure)}".rstrip())


def _value(figure: "Figure") -> str:
    unit = "" if figure.unit in ("ratio", "count", "share") else f" {figure.unit}"
    value = f"{figure.value:,.0f}" if figure.unit == "count" else f"{figure.value:.3g}"
    spread = "" if figure.low is None else f" ({figure.low:.3g} to {figure.high:.3g})"
    return f"{value}{unit}{spread}"


def _verdict(figure: "Figure") -> str:
    if figure.must is None:
        return f"n={figure.n:,}"
    said = {True: "holds", False: "does NOT hold", None: f"cannot be told: {figure.why}"}
    goal = f", goal {figure.goal}" if figure.goal else ""
    return f"must be {figure.must}{goal}: {said[figure.holds]}; n={figure.n:,}"
