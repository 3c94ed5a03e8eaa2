"""``workbench backup`` and ``workbench restore``: copy a server's data, and rehearse their use."""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli.app import AsJson, app, progress, tell

if TYPE_CHECKING:
    from collections.abc import Mapping

    from redis import Redis

    from workbench.server.backup.record import Backup
    from workbench.server.backup.rehearse import Rehearsal

__all__ = ["backup", "restore"]

_IN_PRODUCTION = {
    "aof": """\
  1. stop whatever writes, and then the server: it would write over the files
  2. move its {dirname} and dump away; do not remove them
  3. copy {where}/data/* into the server's dir, owned by its user
  4. start it, of {engine} {version} or newer, with appendonly yes
  5. compare INFO keyspace with {keys:,} keys, less those that expired since""",
    "rdb": """\
  1. stop whatever writes, and then the server: it would write over the files
  2. move its {dirname} and dump away; do not remove them
  3. copy {where}/data/* into the server's dir, owned by its user
  4. start it, of {engine} {version} or newer, with appendonly no: with an AOF it would not look at
     the dump, and start empty
  5. CONFIG SET appendonly yes, wait for aof_rewrite_in_progress:0, and only then set it in its
     configuration as well
  6. compare INFO keyspace with {keys:,} keys, less those that expired since""",
}


@app.command()
def backup(
    url: Annotated[str, typer.Option(envvar="REDIS_STATE_URL", help="The server, read-only.")],
    to: Annotated[
        str, typer.Option(help="The place for backups: a folder, or s3://bucket/redis and such.")
    ],
    kind: Annotated[
        str, typer.Option(help="aof: its AOF as it is; rdb: send BGSAVE, and copy the dump.")
    ] = "aof",
    folder: Annotated[
        Path | None,
        typer.Option("--dir", help="Where the server's dir is mounted here; default: as it says."),
    ] = None,
    keep: Annotated[
        int | None,
        typer.Option(help="Remove this server's oldest backups over so many, once this is whole."),
    ] = None,
    rewrite: Annotated[
        bool, typer.Option("--rewrite", help="Send BGREWRITEAOF first: a smaller AOF.")
    ] = False,
    wait: Annotated[
        str, typer.Option(help="How long to wait for a rewrite or a save, such as 5m.")
    ] = "5m",
    as_json: AsJson = False,
) -> None:
    """
    Copy a live server's data, so that they can be restored.

    Without --rewrite and --kind rdb the server is only read: PING, INFO, CONFIG GET, and its files,
    which must be reachable here. An interrupted backup has no backup.json, and is none.

    \b
    Examples:
      workbench backup --url redis://127.0.0.1:6379 --to /backup/redis
      workbench backup --url redis://127.0.0.1:6379 --to /backup/redis --keep 7 --json
      workbench backup --url redis://127.0.0.1:6379 --to /backup/redis --kind rdb
    """
    from workbench.experiments.interrupts import one_interrupt
    from workbench.server.backup.take import take_backup
    from workbench.units import format_bytes, format_count, parse_duration

    with one_interrupt():
        taken = take_backup(
            url,
            to,
            kind=kind,
            folder=folder,
            keep=keep,
            rewrite=rewrite,
            wait_s=parse_duration(wait),
            progress=progress,
        )
    made = taken.backup
    if as_json:
        tell({"path": str(taken.here), "backup": made, "removed": taken.removed})
        return
    near_by = f", give or take {made.keys_off_max:,}" if made.keys_off_max else ""
    typer.echo(
        f"{made.engine.capitalize()} {made.version}: {format_count(len(made.files), 'file')}, "
        f"{format_bytes(made.bytes)}; {format_count(made.keys, 'key')}{near_by}, {made.expires:,} "
        "of them with a time to live"
    )
    for name in taken.removed:
        typer.echo(f"removed {name}")
    typer.echo(str(taken.here))


@app.command()
def restore(
    where: Annotated[
        str,
        typer.Argument(metavar="BACKUP", help="Its folder; or the folder of backups and /latest."),
    ],
    rehearsal: Annotated[
        bool, typer.Option("--rehearse", help="Load a copy in a private server, and look at it.")
    ] = False,
    maxmemory: Annotated[
        str | None, typer.Option(help="The cap to hold it against, such as 512mb.")
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option(
            help="Cap and policy: development, production or demo; default: the source's."
        ),
    ] = None,
    wait: Annotated[str, typer.Option(help="How long the load may take, such as 10m.")] = "10m",
    as_json: AsJson = False,
) -> None:
    """
    Rehearse the restore of a backup: in a private server, on a copy.

    Checksums are verified, keys counted and conversations read; told are the time to load, and the
    memory against the cap. Exits 1 if the counts differ or it is over the cap, 2 if the backup is
    damaged. It writes to no server that is not its own: without --rehearse it says what to do.

    \b
    Examples:
      workbench restore /backup/redis/latest --rehearse
      workbench restore /backup/redis/latest --rehearse --maxmemory 512mb --json
    """
    from workbench.checkout import runs_dir
    from workbench.errors import UsageError
    from workbench.experiments.interrupts import one_interrupt
    from workbench.runs.lock import passing_folder
    from workbench.server.backup.record import find_backup
    from workbench.server.backup.rehearse import rehearse
    from workbench.server.profiles import profile as named
    from workbench.units import MIB, parse_bytes, parse_duration

    cap_bytes = parse_bytes(maxmemory) if maxmemory else None
    if cap_bytes is not None and cap_bytes < 2 * MIB:
        raise UsageError("--maxmemory is under 2mb: an empty server takes about 1mb")
    settings = named(profile) if profile else None
    here, made = find_backup(where)
    if not rehearsal:
        raise UsageError(
            f"{here} is not restored: the workbench writes to no server that is not its own. "
            f"Rehearse it with --rehearse. To restore it:\n{_steps(str(here), made)}"
        )
    folder = passing_folder(runs_dir() / ".rehearse")
    with one_interrupt():
        found = rehearse(
            here,
            made,
            folder,
            settings=settings,
            maxmemory_bytes=cap_bytes,
            wait_s=parse_duration(wait),
            look=_by_kind,
            progress=progress,
        )
    with suppress(OSError):  # another rehearsal is in it
        folder.parent.rmdir()
    code = 1 if found.problems else 0
    if as_json:
        tell({"rehearsal": found, "backup": made, "exit_code": code})
    else:
        _tell(found, made)
    raise typer.Exit(code)


def _steps(where: str, made: "Backup") -> str:
    return _IN_PRODUCTION[made.kind].format(
        where=where,
        dirname=made.settings["appenddirname"],
        engine=made.engine.capitalize(),
        version=made.version,
        keys=made.keys,
    )


def _by_kind(client: "Redis") -> "Mapping[str, int]":
    """How many conversations of each kind a database has."""
    from workbench.inspection.stored import KINDS, looked_at, scan

    counts = dict.fromkeys(map(str, KINDS), 0)
    for batch in scan(client):
        for _, stored in looked_at(client, batch):
            counts[stored.kind] += 1
        progress(f"{sum(counts.values()):,} conversations looked at")
    return counts


def _tell(found: "Rehearsal", made: "Backup") -> None:
    from workbench.units import format_bytes, format_duration

    kinds = [f"{count:,} {kind}" for kind, count in found.conversations.items() if count]
    cap = format_bytes(found.maxmemory_bytes) if found.maxmemory_bytes else "none"
    lines = {
        "backup": f"{made.kind} of {made.source}, {made.taken_at}",
        "server": found.server,
        "loaded in": format_duration(found.load_s),
        "keys": f"{found.keys:,}, and {found.keys_expired:,} expired since; recorded "
        f"{found.keys_recorded:,}",
        "with a ttl": f"{found.expires:,}; recorded {found.expires_recorded:,}",
        "conversations": ", ".join(kinds) or "none",
        "used_memory": f"{format_bytes(found.used_memory)}; of the source "
        f"{format_bytes(found.source_used_memory)}",
        "rss": format_bytes(found.used_memory_rss),
        "cap": f"{cap}, {found.maxmemory_policy}",
    }
    for name, value in lines.items():
        typer.echo(f"{name:14} {value}")
    for problem in found.problems:
        typer.echo(f"FAIL  {problem}")
    if not found.problems:
        typer.echo("PASS  everything that was recorded is there, and it fits")
    typer.echo(found.backup)
