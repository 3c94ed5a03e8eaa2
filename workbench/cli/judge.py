"""``workbench seal`` and ``check``: what is done with a run that was recorded."""

from pathlib import Path
from typing import Annotated

import typer

from workbench.cli.app import (
    AsJson,
    ExitZero,
    RunName,
    app,
    exit_code,
    near,
    tell,
)
from workbench.cli.outputs import Junit, Markdown, SloFile, read_outputs

__all__ = ["check", "name_skipped", "seal"]


@app.command()
def seal(
    run: Annotated[str, typer.Argument(help="A run that was never sealed: directory or name.")],
    as_json: AsJson = False,
) -> None:
    """
    Seal a run whose conductor was killed, as failed; then it can be judged and reported.

    What is half-written is removed, and what is whole is kept.

    \b
    Examples:
      workbench seal 2026-11-23T080000Z-demo-1f2e
    """
    from workbench.experiments.sealing import seal_abandoned
    from workbench.runs.run import find_run
    from workbench.telemetry.keyspace import NOTE, left_behind

    run_dir = find_run(run)
    manifest = seal_abandoned(run_dir)
    if (note := run_dir / NOTE).exists():
        typer.echo(left_behind(note), err=True)
    if as_json:
        told = {"run": str(run_dir.resolve()), "status": manifest.status, "why": manifest.why}
        tell({**told, "rows": manifest.rows})
        return
    typer.echo(f"{manifest.status}: {manifest.why}")
    typer.echo(", ".join(f"{rows:,} {name}" for name, rows in manifest.rows.items()))
    typer.echo(near(run_dir))


@app.command()
def check(
    run: RunName = "latest",
    slo: SloFile = None,
    markdown: Markdown = None,
    junit: Junit = None,
    exit_zero: ExitZero = False,
    as_json: AsJson = False,
) -> None:
    """
    Judge a sealed run; needs no server.

    With --slo by objectives as well: then these say what has to be known, and a rule that cannot
    tell fails nothing.

    \b
    Examples:
      workbench check
      workbench check 2026-11-23T080000Z-demo-1f2e --json
      workbench check --slo loadtests/slo.toml --markdown slo.md --junit slo.xml
    """
    from workbench.runs.run import open_run

    outputs = read_outputs(slo, markdown, junit)
    opened = open_run(run)
    name_skipped(run, opened.name)
    judged = outputs.judge(opened, quiet=as_json)
    if as_json:
        tell(judged.told)
    elif judged.file is not None:
        typer.echo(near(judged.file))
    if not exit_zero:
        raise typer.Exit(exit_code(opened, judged.findings, judged.slo))


def name_skipped(asked: str, taken: str) -> None:
    """Say which newer runs were not taken for the latest, since they are not sealed."""
    from workbench.runs.listing import every_run

    if Path(asked).name != "latest":
        return
    for entry in every_run():
        if entry.name > taken:
            typer.echo(f"{entry.name} is newer, and {entry.status}: {entry.why}", err=True)
