"""``workbench errors``: what went wrong in a run, or by a server's log, grouped by pattern."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli.app import AsJson, app, tell

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["errors"]


@app.command()
def errors(
    run: Annotated[
        str | None,
        typer.Argument(help="A run: its directory, its name, or 'latest', which is the default."),
    ] = None,
    log: Annotated[
        Path | None,
        typer.Option(help="Instead of a run: the log of a Redis or Valkey server; - for stdin."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """
    Group errors by pattern: how often, since when, how fast, and which rule judges them.

    Of a run: the logs of its server, load and sampler, the turns that were not ok, and the error
    replies between its first and its last look at INFO. Numbers, addresses, ids, paths and quoted
    text are masked. Needs no server. What is found changes no exit code: `workbench check` judges.

    \b
    Examples:
      workbench errors
      workbench errors latest --json
      workbench errors --log /var/log/redis/redis-server.log
    """
    from workbench.errors import UsageError

    if run is not None and log is not None:
        raise UsageError("--log FILE is given instead of a run: leave one of them out")
    if log is not None:
        what, found, clock = str(log), _of_log(log), "THE LOG'S CLOCK"
    else:
        from workbench.analysis.run_errors import errors_of
        from workbench.runs.run import open_run

        opened = open_run(run or "latest")
        what, found, clock = opened.name, errors_of(opened), "UTC"
    if as_json:
        tell({"of": what, "patterns": _records(found)})
    else:
        _print(found, what, clock=clock)


def _of_log(log: Path) -> "pd.DataFrame":
    """Line by line: a log may be larger than memory."""
    import sys

    from workbench.analysis.patterns import patterns, server_entries
    from workbench.errors import UsageError
    from workbench.telemetry.serverlog import log_line

    understood = 0

    def counted(lines: Iterable[str]) -> Iterator[str]:
        nonlocal understood
        for line in lines:
            understood += not understood and log_line(line) is not None
            yield line

    try:
        if str(log) == "-":
            found = patterns(server_entries(counted(sys.stdin), "log"))
        else:
            with log.open(errors="replace") as lines:
                found = patterns(server_entries(counted(lines), log.name))
    except OSError as error:
        raise UsageError(f"{log} cannot be read: {error.strerror}; name a server's log") from None
    if not understood:
        raise UsageError(
            f"{log} has no line of a Redis or Valkey log, such as "
            "'1:M 23 Nov 2026 08:50:24.908 * Ready to accept connections'; of Valkey's formats "
            "only log-format legacy with log-timestamp-format legacy is read"
        )
    return found


def _records(found: "pd.DataFrame") -> list[dict[str, object]]:
    import pandas as pd

    return [
        {str(name): None if pd.isna(value) else value for name, value in row.items()}
        for row in found.to_dict("records")
    ]


def _print(found: "pd.DataFrame", what: str, *, clock: str) -> None:
    import textwrap

    if found.empty:
        typer.echo(f"no errors in {what}")
        return
    width = max(map(len, found["rule"]))
    typer.echo(f"{'COUNT':>7}  {'RULE':{width}}  WHAT, AND WHEN BY {clock}")
    for source, rows in found.groupby("source", sort=False):
        typer.echo(source)
        for row in rows.to_dict("records"):
            head = f"{row['count']:>7,}  {row['rule'] or '-':{width}}  "
            indent = " " * len(head)
            text = textwrap.fill(
                f"{head}{row['template']}", 100, subsequent_indent=indent, break_on_hyphens=False
            )
            typer.echo(text)
            if when := _when(row["first_unix_s"], row["last_unix_s"], row["rate_per_s"]):
                typer.echo(f"{indent}{when}")


def _when(first_s: float, last_s: float, rate_per_s: float) -> str:
    """2026-11-26 10:36:59 to 10:37:20, 3.1/s; empty if the log does not say."""
    import math
    from datetime import UTC, datetime

    from workbench.units import format_rate

    if math.isnan(first_s):
        return ""
    first, last = (datetime.fromtimestamp(each, UTC) for each in (first_s, last_s))
    told = f"{first:%Y-%m-%d %H:%M:%S}"
    if f"{last:%c}" != f"{first:%c}":
        told += (
            f" to {last:%H:%M:%S}"
            if last.date() == first.date()
            else f" to {last:%Y-%m-%d %H:%M:%S}"
        )
    return told if math.isnan(rate_per_s) else f"{told}, {format_rate(rate_per_s)}"
