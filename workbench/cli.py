"""The command line: parse, call, print. What a command does is in the rooms below."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from workbench.errors import RunError, UsageError, WorkbenchError

if TYPE_CHECKING:
    from workbench.diagnostics.finding import Findings
    from workbench.runs.run import Run

__all__ = ["EXIT_CODES", "app", "main"]

EXIT_CODES: Final = {
    0: "every rule passed, or `--exit-zero` was given and all was carried out",
    1: "a rule of severity critical or warning failed",
    2: "the request is wrong, or its target was refused; nothing was started",
    3: "the run is invalid, or there is too little to tell",
    4: "no server can be had, or the run failed",
    130: "interrupted",
}
"""What each exit code means, for every command."""

# Rooms are imported inside the commands: pandas alone takes longer than --help may.

app = typer.Typer(
    name="workbench",
    help="Find out by experiment what a memory-capped Redis does to the conversations in it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # drawing the help with rich would cost another 0.3 s
)

_RUN = Annotated[str, typer.Argument(help="A run: its directory, its name, or 'latest'.")]
_EXIT_ZERO = Annotated[
    bool, typer.Option("--exit-zero", help="Exit 0 whatever the verdict, if all was carried out.")
]


@app.command()
def run(
    experiment: Annotated[
        str, typer.Argument(help="An experiment: a TOML file, or a name in loadtests/experiments.")
    ] = "demo",
    url: Annotated[
        str | None,
        typer.Option(
            envvar="REDIS_STATE_URL",
            help="Load this server, not a private one; it must be on this machine, and empty.",
        ),
    ] = None,
    duration: Annotated[
        str | None, typer.Option(help="Length of the measured phase, such as 90s.")
    ] = None,
    rate: Annotated[float | None, typer.Option(help="Turns due a second.")] = None,
    users: Annotated[int | None, typer.Option(help="Most turns at work at once.")] = None,
    maxmemory: Annotated[str | None, typer.Option(help="The cap, such as 64mb.")] = None,
    seed: Annotated[int | None, typer.Option(help="Same seed, same conversations.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Where to make the run directory; default: WORKBENCH_RUNS, else runs/."),
    ] = None,
    report: Annotated[bool, typer.Option(help="Write the report as well.")] = True,
    exit_zero: _EXIT_ZERO = False,
) -> None:
    """
    Run an experiment, judge it, and write its report.

    Prints what it found, then the path of the run, then that of the report.

    \b
    Examples:
      workbench run
      workbench run demo --duration 60s --maxmemory 64mb
    """
    from workbench.checkout import runs_dir
    from workbench.diagnostics.finding import evaluate, write_findings
    from workbench.experiments.runner import carry_out
    from workbench.experiments.spec import read_experiment
    from workbench.runs.run import Run
    from workbench.units import parse_bytes, parse_duration

    chosen = read_experiment(experiment).with_overrides(
        measure_s=parse_duration(duration) if duration else None,
        maxmemory_bytes=parse_bytes(maxmemory) if maxmemory else None,
        turns_per_s=rate,
        users=users,
        seed=seed,
    )
    run_dir = carry_out(chosen, out or runs_dir(), url=url, say=typer.echo, progress=_progress)
    finished = Run(run_dir)
    findings = evaluate(finished)
    write_findings(finished, findings)
    _print(finished, findings)
    typer.echo(_near(run_dir))
    if report:
        from workbench.reports.render import render

        _progress("writing the report")
        typer.echo(_near(render(finished, findings=findings)))
    if not exit_zero or finished.manifest.status == "interrupted":
        raise typer.Exit(_exit_code(finished, findings))


@app.command()
def check(run: _RUN = "latest", exit_zero: _EXIT_ZERO = False) -> None:
    """
    Judge a sealed run; needs no server.

    \b
    Examples:
      workbench check
      workbench check runs/2026-11-23T080000Z-demo-1f2e
    """
    from workbench.diagnostics.finding import evaluate, write_findings
    from workbench.runs.run import open_run

    opened = open_run(run)
    findings = evaluate(opened)
    _print(opened, findings)
    typer.echo(_near(write_findings(opened, findings)))
    if not exit_zero:
        raise typer.Exit(_exit_code(opened, findings))


@app.command()
def report(
    run: _RUN = "latest",
    notebook: Annotated[
        str, typer.Option(help="A notebook of notebooks/, without its ending.")
    ] = "10-eviction",
) -> None:
    """
    Write a report on a sealed run; needs no server.

    Executes a notebook on the run, and puts it on one page that holds all that it shows.

    \b
    Examples:
      workbench report
      workbench report latest --notebook 10-eviction
    """
    from workbench.reports.render import render
    from workbench.runs.run import open_run

    typer.echo(_near(render(open_run(run), notebook)))


def main() -> None:
    """The entry point: a foreseen failure is a message on stderr and an exit code."""
    try:
        app()
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        sys.exit(130)
    except OSError as error:  # a folder that may not be written to, a full disk
        typer.echo(f"workbench: {error}", err=True)
        sys.exit(2)
    except WorkbenchError as error:
        from workbench.state.redaction import redact

        typer.echo(redact(f"workbench: {error}"), err=True)
        sys.exit(_code_of(error))


def _code_of(error: WorkbenchError) -> int:
    if isinstance(error, UsageError | RunError):
        return 2
    return 4


def _exit_code(run: "Run", findings: "Findings") -> int:
    if run.manifest.status == "interrupted":
        return 130
    if run.manifest.status == "failed":
        return 4
    if run.manifest.status == "invalid":
        return 3
    return {"fail": 1, "unknown": 3}.get(findings.verdict, 0)


def _print(run: "Run", findings: "Findings") -> None:
    from workbench.diagnostics.finding import sentence

    manifest = run.manifest
    typer.echo(f"{manifest.status}: {manifest.why}" if manifest.why else manifest.status)
    width = max(len(found.verdict) for found in findings)
    for found in findings:
        typer.echo(f"{found.verdict.upper():{width}}  {found.rule}: {sentence(found.says)}")
        if found.advice and found.verdict != "pass":
            typer.echo(f"{'':{width}}  → {sentence(found.advice)}")


def _near(path: Path) -> Path:
    """The path as seen from here, if it lies below; else whole."""
    whole = path.resolve()
    here = Path.cwd()
    return whole.relative_to(here) if whole.is_relative_to(here) else whole


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        typer.echo(text, err=True)


if __name__ == "__main__":
    main()
