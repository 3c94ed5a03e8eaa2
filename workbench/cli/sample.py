"""``workbench sample``: record a server that is not ours, read-only."""

from typing import Annotated

import typer

from workbench.cli.app import (
    AsJson,
    ExitZero,
    Out,
    app,
    exit_code,
    near,
    progress,
    tell,
    tell_findings,
    verdict,
)

__all__ = ["sample"]


@app.command()
def sample(
    url: Annotated[
        str, typer.Option(envvar="REDIS_STATE_URL", help="The server; any that can be read.")
    ],
    seconds: Annotated[str, typer.Option("--for", help="How long, such as 60s or 2h.")] = "60s",
    interval: Annotated[str, typer.Option(help="From one sample to the next.")] = "1s",
    keyspace_events: Annotated[
        bool,
        typer.Option(
            "--keyspace-events",
            help="Record evictions by the prefixes of their keys: changes the setting "
            "notify-keyspace-events meanwhile, and puts it back.",
        ),
    ] = False,
    prefix_depth: Annotated[
        int,
        typer.Option(
            help="Parts of a key's name, up to so many colons, that are recorded; 0: none."
        ),
    ] = 1,
    out: Out = None,
    exit_zero: ExitZero = False,
    as_json: AsJson = False,
) -> None:
    """
    Record a server that is not ours, read-only, and judge what was seen.

    Sends INFO over and over, and what `workbench doctor` sends at the start and at the end; writes
    nothing to the server, unless --keyspace-events is given. Rules on turns do not apply.

    \b
    Examples:
      workbench sample --url redis://127.0.0.1:6379 --for 60s
      workbench sample --url redis://127.0.0.1:6379 --for 10m --keyspace-events
    """
    from workbench.checkout import runs_dir
    from workbench.diagnostics.finding import evaluate, write_findings
    from workbench.errors import UsageError
    from workbench.experiments.runner import sample as record
    from workbench.runs.run import Run
    from workbench.units import parse_duration

    interval_s, length_s = parse_duration(interval), parse_duration(seconds)
    if not 0.05 <= interval_s <= 60:
        raise UsageError(f"--interval is {interval}, outside 50ms to 60s")
    if not 2 * interval_s <= length_s <= 7 * 86_400:
        raise UsageError(f"--for is {seconds}, outside two intervals to 7 days")
    if not 0 <= prefix_depth <= 8:
        raise UsageError(f"--prefix-depth is {prefix_depth}, outside 0 to 8")
    run_dir = record(
        url,
        out or runs_dir(),
        seconds=length_s,
        interval_s=interval_s,
        keyspace_events=keyspace_events,
        prefix_depth=prefix_depth,
        say=(lambda _: None) if as_json else typer.echo,
        progress=progress,
    )
    finished = Run(run_dir)
    findings = evaluate(finished)
    write_findings(finished, findings)
    if as_json:
        tell(verdict(finished, findings))
    else:
        tell_findings(finished, findings)
        typer.echo(near(run_dir))
    if not exit_zero or finished.manifest.status == "interrupted":
        raise typer.Exit(exit_code(finished, findings))
