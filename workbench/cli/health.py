"""``workbench health``: for the health check of a container, an exit code and a reason."""

from typing import Annotated

import typer

from workbench.cli.app import AsJson, app, positive_bytes, tell

__all__ = ["health"]


@app.command()
def health(
    url: Annotated[
        str, typer.Option(envvar="REDIS_STATE_URL", help="The server.")
    ] = "redis://127.0.0.1:6379",
    timeout: Annotated[str, typer.Option(help="For connecting, and for each reply.")] = "2s",
    max_memory_share: Annotated[
        float,
        typer.Option(
            help="Of the cap, where the policy refuses writes, and of the container's limit: a "
            "share of 1."
        ),
    ] = 0.95,
    max_rewrite_failures: Annotated[
        int, typer.Option(help="AOF rewrites that may not fail one after another.")
    ] = 3,
    limit: Annotated[
        str | None,
        typer.Option(help="Memory of its container, such as 716mb, where it does not show."),
    ] = None,
    write_probe: Annotated[
        bool,
        typer.Option(
            "--write-probe",
            help="Also write, read and delete a key wb:health:… of its own, which expires in 10 s.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """
    Ask a server whether it is fit to hold conversations now, for health checks.

    By PING, which must be answered by PONG, and INFO: loading, persistence, memory. Exits 0 if it
    is healthy, 1 if not, 3 if INFO is refused, 4 if nothing answers. Writes nothing but with
    --write-probe.

    \b
    Examples:
      workbench health
      workbench health --url redis://127.0.0.1:6379 --limit 716mb --json
      workbench health --write-probe --timeout 500ms
    """
    from workbench.errors import UsageError
    from workbench.telemetry.health import check_health
    from workbench.units import parse_duration

    timeout_s = parse_duration(timeout)
    if not 0.01 <= timeout_s <= 60:
        raise UsageError(f"--timeout is {timeout}, outside 10ms to 60s")
    if not 0 < max_memory_share <= 1:
        raise UsageError(
            f"--max-memory-share is {max_memory_share:g}, outside 0 to 1; 95 % is 0.95"
        )
    if max_rewrite_failures < 1:
        raise UsageError(f"--max-rewrite-failures is {max_rewrite_failures}; 1 is the least")
    limit_bytes = None if limit is None else positive_bytes("--limit", limit)
    found = check_health(
        url,
        timeout_s=timeout_s,
        memory_share_max=max_memory_share,
        rewrite_failures_max=max_rewrite_failures,
        limit_bytes=limit_bytes,
        write_probe=write_probe,
    )
    if as_json:
        tell(
            {
                "server": found.server,
                "status": found.status,
                "exit_code": found.exit_code,
                "reasons": found.reasons,
                "checks": list(found.checks),
            }
        )
    else:
        for check in found.checks:
            typer.echo(f"{check.verdict.upper():14}  {check.name}: {check.says}")
        typer.echo(found.status)
    raise typer.Exit(found.exit_code)
