"""``workbench aof``: what a server's append-only files tell of its keys, without the server."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli.app import AsJson, app, progress, tell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workbench.telemetry.aofdir import AofFolder, Increment, PrefixTotals

__all__ = ["aof"]

_SHOWN = 20
_LIMITS_S = (0, 60, 300, 600, 3600, 86_400)
_QUANTILES = {"p10": 0.1, "p50": 0.5, "p90": 0.9}


@app.command()
def aof(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="A server's appendonlydir, or a copy of it.")
    ],
    prefix_depth: Annotated[
        int, typer.Option(help="Parts of a key's name, up to so many colons, that make its prefix.")
    ] = 1,
    lazyfree: Annotated[
        bool,
        typer.Option(
            "--lazyfree",
            help="The server has lazyfree-lazy-eviction yes and lazyfree-lazy-expire no: then "
            "evictions are UNLINK, and expiries DEL.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """
    Print what append-only files tell of the keys in them, by prefix; the server is not asked.

    Of the base file keys, lengths, times to live and idle times, as they were when it was made; of
    the incremental files which commands followed. No name beyond its prefix, and no value.

    \b
    Examples:
      workbench aof /var/lib/redis/appendonlydir
      workbench aof copy/appendonlydir --lazyfree --json
    """
    from workbench.errors import UsageError
    from workbench.telemetry.aofdir import read_aof_folder

    if not 0 <= prefix_depth <= 8:
        raise UsageError(f"--prefix-depth is {prefix_depth}, outside 0 to 8")
    found = read_aof_folder(folder, prefix_depth=prefix_depth, say=progress)
    if as_json:
        tell(_as_dict(folder, found, lazyfree=lazyfree))
    else:
        _print(found, lazyfree=lazyfree)
        typer.echo(folder)


def _as_dict(folder: Path, found: "AofFolder", *, lazyfree: bool) -> dict[str, Any]:
    header = found.header
    return {
        "folder": str(folder.resolve()),
        "base": {
            "file": found.base,
            "length_bytes": found.base_length_bytes,
            "format": header.magic if header else None,
            "facts": header.facts if header else {},
            "checksum": "holds" if found.checked else "none",
        },
        "increments": [
            {
                "file": each.name,
                "length_bytes": each.length_bytes,
                "truncated_at": each.truncated_at,
            }
            for each in found.increments
        ],
        "timestamps_s": found.timestamps_s,
        "commands": dict(found.commands.most_common()),
        "unlink_is": "evicted or unlinked" if lazyfree else "a deletion of any kind",
        "del_is": "expired or deleted" if lazyfree else "a deletion of any kind",
        "prefixes": {name: _totals(totals) for name, totals in _sorted(found)},
    }


def _totals(totals: "PrefixTotals") -> dict[str, Any]:
    with_ttl = len(totals.ttl_left_s)
    return {
        "keys": totals.keys,
        "length_bytes": totals.length_bytes,
        "without_ttl": totals.keys - with_ttl,
        "ttl_left_s": _quantiles(totals.ttl_left_s),
        "ttl_left_classes": _classes(totals.ttl_left_s),
        "idle_s": _quantiles(totals.idle_s),
        "unlinked": totals.unlinked,
        "deleted": totals.deleted,
        "written": totals.written,
    }


def _print(found: "AofFolder", *, lazyfree: bool) -> None:
    typer.echo(_base(found))
    for each in found.increments:
        typer.echo(_increment(each))
    if found.timestamps_s:
        first_s, last_s = found.timestamps_s
        typer.echo(f"its commands were noted from {_at(first_s)} to {_at(last_s)}")
    if found.commands:
        commands = ", ".join(f"{number:,} {name}" for name, number in found.commands.most_common(8))
        typer.echo(f"commands since the base file: {commands}")
    typer.echo(_deletions(found, lazyfree=lazyfree))
    _table(found)


def _base(found: "AofFolder") -> str:
    from workbench.units import format_bytes, format_count

    if not found.base:
        return "there is no base file: keys, times to live and idle times are not known"
    length = format_bytes(found.base_length_bytes)
    header = found.header
    if header is None:
        return (
            f"{found.base}: {length} of commands (aof-use-rdb-preamble no): keys, times to live "
            "and idle times are not read from that"
        )
    versions = [value for name, value in header.facts.items() if name.endswith("-ver")]
    keys = sum(totals.keys for totals in found.prefixes.values())
    made = f", made {_at(header.made_unix_s)}" if header.made_unix_s else ""
    checked = "its checksum holds" if found.checked else "not verified: it has no checksum"
    return (
        f"{found.base}: {format_count(keys, 'key')}, {length}, {header.magic} of "
        f"{versions[0] if versions else 'unknown version'}{made}; {checked}"
    )


def _increment(each: "Increment") -> str:
    from workbench.units import format_bytes

    told = f"{each.name}: {format_bytes(each.length_bytes)}"
    if each.truncated_at is None:
        return told
    return f"{told}, TRUNCATED: the command that begins at byte {each.truncated_at:,} is not whole"


def _deletions(found: "AofFolder", *, lazyfree: bool) -> str:
    unlinked = sum(totals.unlinked for totals in found.prefixes.values())
    deleted = sum(totals.deleted for totals in found.prefixes.values())
    if lazyfree:
        return (
            f"{unlinked:,} keys evicted, or unlinked by a client; {deleted:,} expired, or deleted "
            "by one"
        )
    return (
        f"deletions: {unlinked:,} keys by UNLINK, {deleted:,} by DEL; which of them were evicted, "
        "only the settings tell: see --lazyfree"
    )


def _table(found: "AofFolder") -> None:
    from workbench.units import format_bytes

    rows = [
        (
            "prefix", "keys", "in the file", "no TTL", "TTL left p10/p50/p90",
            "idle p10/p50/p90", "UNLINK", "DEL", "writes",
        )
    ]  # fmt: skip
    ordered = _sorted(found)
    rows += [
        (
            name or "(none)",
            f"{each.keys:,}",
            format_bytes(each.length_bytes),
            f"{each.keys - len(each.ttl_left_s):,}",
            _spread(each.ttl_left_s),
            _spread(each.idle_s),
            f"{each.unlinked:,}",
            f"{each.deleted:,}",
            f"{each.written:,}",
        )
        for name, each in ordered[:_SHOWN]
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    typer.echo()
    for row in rows:
        cells = [f"{row[0]:{widths[0]}}"]
        cells += [f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True)]
        typer.echo("  ".join(cells).rstrip())
    if len(ordered) > _SHOWN:
        typer.echo(f"and {len(ordered) - _SHOWN:,} more prefixes; --json has them all")
    typer.echo(
        "\nLengths are those in the file, packed, and not the memory that the keys take; times are "
        "as of\nwhen the base file was made, and writes count commands whose first word is a key."
    )


def _sorted(found: "AofFolder") -> "list[tuple[str, PrefixTotals]]":
    return sorted(
        found.prefixes.items(),
        key=lambda part: (-part[1].length_bytes, -part[1].unlinked - part[1].deleted, part[0]),
    )


def _spread(values_s: "Sequence[float]") -> str:
    from workbench.units import format_duration

    found = _quantiles(values_s)
    if found is None:
        return "unknown"
    return " / ".join(format_duration(each) if each >= 0 else "over" for each in found.values())


def _quantiles(values_s: "Sequence[float]") -> dict[str, float] | None:
    import numpy as np

    if not values_s:
        return None
    found = np.quantile(np.asarray(values_s), list(_QUANTILES.values()))
    return dict(zip(_QUANTILES, map(float, found), strict=True))


def _classes(values_s: "Sequence[float]") -> dict[str, int]:
    """How many there are below each limit, and from the one before it on."""
    import numpy as np

    counts, _ = np.histogram(values_s, bins=[-np.inf, *_LIMITS_S, np.inf])
    names = [*(f"<{limit}s" for limit in _LIMITS_S), f">={_LIMITS_S[-1]}s"]
    return dict(zip(names, map(int, counts), strict=True))


def _at(unix_s: int) -> str:
    from datetime import UTC, datetime

    return f"{datetime.fromtimestamp(unix_s, UTC):%Y-%m-%d %H:%M:%S} UTC"
