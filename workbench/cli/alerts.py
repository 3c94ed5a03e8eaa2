"""``workbench alerts`` and ``dashboard``: files for the systems that ``workbench export`` tells."""

from pathlib import Path
from typing import Annotated

import typer

from workbench.cli.app import app, near, positive_bytes
from workbench.errors import UsageError, nearest

__all__ = ["alerts", "dashboard"]

File = Annotated[
    Path | None,
    typer.Option("--out", help="Write it there, whole or not at all; default: print it."),
]


@app.command()
def alerts(
    for_system: Annotated[
        str, typer.Option("--format", help="For whom: prometheus or cloudwatch.")
    ],
    limit: Annotated[
        str | None,
        typer.Option(
            help="Memory of the server's container, such as 716mb, if the exporter is not told it."
        ),
    ] = None,
    maxmemory: Annotated[
        str | None,
        typer.Option(help="The cap of a server that refuses writes when it is full, likewise."),
    ] = None,
    out: File = None,
) -> None:
    """
    Print alert rules on the figures of `workbench export`, with the limits of the rules.

    For Prometheus a file for rule_files; for CloudWatch a template of CloudFormation, of which each
    server has a stack.

    \b
    Examples:
      workbench alerts --format prometheus
      workbench alerts --format cloudwatch --limit 716mb
    """
    from workbench.diagnostics.alerts import alerts as every
    from workbench.reports.alerting import cloudformation_template, prometheus_rules

    formats = {"prometheus": prometheus_rules, "cloudwatch": cloudformation_template}
    if for_system not in formats:
        raise UsageError(f"--format {for_system!r} is not known{nearest(for_system, formats)}")
    found = every(
        limit_bytes=None if limit is None else positive_bytes("--limit", limit),
        maxmemory_bytes=None if maxmemory is None else positive_bytes("--maxmemory", maxmemory),
    )
    _give(formats[for_system](found), out)


@app.command()
def dashboard(out: File = None) -> None:
    """
    Print a board of Grafana on the figures of `workbench export --to prometheus`.

    \b
    Examples:
      workbench dashboard
    """
    from workbench.reports.dashboard import dashboard as board

    _give(board(), out)


def _give(text: str, out: Path | None) -> None:
    from workbench.runs.files import write_whole

    if out is None:
        typer.echo(text, nl=False)
        return
    try:
        write_whole(out, text.encode())
    except OSError as error:
        raise UsageError(
            f"--out: {out} cannot be written: {error.strerror}; name a file in a folder that is "
            "there"
        ) from None
    typer.echo(near(out))
