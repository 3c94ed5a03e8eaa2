"""``workbench serve``: a private server to explore."""

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from workbench.cli.app import AsJson, app, tell

__all__ = ["serve"]


@app.command()
def serve(
    profile: Annotated[
        str, typer.Option(help="Its settings: development, production or demo.")
    ] = "development",
    maxmemory: Annotated[str | None, typer.Option(help="The cap, such as 64mb.")] = None,
    task_memory: Annotated[
        str | None,
        typer.Option(help="Memory of the ECS task, such as 2gb: production's cap is a share."),
    ] = None,
    engine: Annotated[str | None, typer.Option(help="Which server: redis or valkey.")] = None,
    data: Annotated[
        Path | None, typer.Option(help="Keep its data in this folder; default: nowhere.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """
    Start a private server to explore, on this machine only; Ctrl-C stops it.

    It listens on a free port of the loopback, and ends with this command, however that ends.

    \b
    Examples:
      workbench serve
      workbench serve --profile production --task-memory 2gb
      workbench serve --maxmemory 64mb --data runs/explored
    """
    from workbench.errors import UsageError
    from workbench.experiments.interrupts import one_interrupt
    from workbench.experiments.serving import serving, until_stopped
    from workbench.server.profiles import profile as named
    from workbench.units import MIB, parse_bytes

    memory_mib = parse_bytes(task_memory) // MIB if task_memory else None
    settings = named(profile, task_memory_mib=memory_mib)
    if maxmemory:
        cap_bytes = parse_bytes(maxmemory)
        if cap_bytes < 2 * MIB:
            raise UsageError("--maxmemory is under 2mb: an empty server takes about 1mb")
        settings = settings.capped(cap_bytes)
    # Ctrl-C is the way to stop it, at any time.
    with (
        suppress(KeyboardInterrupt),
        one_interrupt() as interrupt,
        serving(settings, data, engine=engine) as server,
    ):
        if as_json:
            tell(
                {
                    "url": server.url,
                    "pid": server.pid,
                    "engine": server.binary.engine,
                    "version": server.binary.version,
                    "allocator": server.binary.allocator,
                    "maxmemory_bytes": settings.maxmemory_bytes,
                }
            )
        else:
            typer.echo(f"{server.binary.label}, {server.binary.found}, profile {settings.name}")
            typer.echo(f"It stops with Ctrl-C here, or: kill {os.getpid()}")
            typer.echo(f"Load it with: workbench run --url {server.url}")
            typer.echo(server.url)
        sys.stdout.flush()
        until_stopped(server, interrupt)
