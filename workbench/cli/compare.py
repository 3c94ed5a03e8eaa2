"""``workbench compare``: what changed between two runs, or two groups of them."""

from typing import Annotated

import typer

from workbench.cli.app import AsJson, ExitZero, app, tell

__all__ = ["compare"]


@app.command()
def compare(
    baseline: Annotated[
        str,
        typer.Argument(
            help="The run before: directory or name; several with commas, a folder, a pattern."
        ),
    ],
    other: Annotated[str, typer.Argument(help="What is held against it, likewise.")],
    varied: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="What was meant to differ: maxmemory-policy; one a time."
        ),
    ] = None,
    accept_unlike: Annotated[
        bool, typer.Option("--accept-unlike", help="Compare them whatever differs.")
    ] = False,
    tolerance: Annotated[
        float, typer.Option(help="By which share a figure may be worse, of 1.")
    ] = 0.1,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print it for a pull request.")
    ] = False,
    exit_zero: ExitZero = False,
    as_json: AsJson = False,
) -> None:
    """
    Say what changed between two runs, and whether it is more than chance; needs no server.

    With three runs or more on each side it tells of what was changed, else of these runs alone.
    Exits 1 if a figure that weighs is worse beyond its bounds, and 3 if there is too little to
    tell.

    \b
    Examples:
      workbench compare 2026-11-23T080000Z-demo-1f2e latest
      workbench compare 'before/*' 'after/*' --varied maxmemory-policy
      workbench compare before after --tolerance 0.2 --markdown
    """
    from workbench.analysis.comparison import compare as compared
    from workbench.diagnostics.comparison import judge_comparison
    from workbench.runs.several import open_runs

    found = compared(
        open_runs(baseline),
        open_runs(other),
        varied=varied or (),
        accept_unlike=accept_unlike,
        tolerance=tolerance,
    )
    findings = judge_comparison(found)
    code = {"fail": 1, "unknown": 3}.get(findings.verdict, 0)
    if as_json:
        tell({"verdict": findings.verdict, "exit_code": code, **found.told(), "findings": findings})
    elif markdown:
        typer.echo(f"**{findings.verdict.upper()}**\n\n{found.to_markdown()}")
    else:
        typer.echo(found.to_text())
        typer.echo(f"{findings.verdict.upper()}: {findings.head.says}")
    if not exit_zero:
        raise typer.Exit(code)
