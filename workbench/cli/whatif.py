"""``workbench whatif``: the turns of a run on a server of another size, policy or time to live."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer

from workbench.cli.app import AsJson, RunName, app, near, progress, tell

if TYPE_CHECKING:
    from workbench.analysis.whatif import Point, WhatIf
    from workbench.lab.verify import Verified

__all__ = ["whatif"]

_POINTS_MOST: Final = 200
_SAMPLES_MOST: Final = 64
_SHARES: Final = ("evicted", "expired", "refused")

T = TypeVar("T")


@app.command("whatif")
def whatif(
    run: RunName = "latest",
    maxmemory: Annotated[
        list[str] | None,
        typer.Option(help="A size, such as 8mb; several times. Default: a ladder round its own."),
    ] = None,
    policy: Annotated[
        list[str] | None,
        typer.Option(help="An eviction policy, such as allkeys-lfu; several times. Default: its."),
    ] = None,
    samples: Annotated[
        list[int] | None,
        typer.Option(help="Keys drawn for an eviction (maxmemory-samples); several times."),
    ] = None,
    ttl: Annotated[
        list[str] | None, typer.Option(help="Time to live, such as 5m; several times.")
    ] = None,
    ttl_renewal: Annotated[
        str, typer.Option(help="From when it runs: creation, write, or touch (read or write).")
    ] = "write",
    verify: Annotated[
        bool,
        typer.Option(
            "--verify", help="Replay two of the points on private servers, a minute each."
        ),
    ] = False,
    seed: Annotated[int, typer.Option(help="Of what the simulated server draws.")] = 0,
    chart: Annotated[
        Path | None, typer.Option(help="Write the curve as a picture: a file .svg or .png.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """
    Ask what would become of a run's turns at other sizes, policies and times to live.

    The server's eviction is simulated over the turns as they came: keys drawn, pooled and evicted
    as Redis and Valkey do it. The run's own settings are simulated beside what was measured, and
    exactly the least recently used key beside the server's guess of it. What keys cost is
    calibrated by the run's samples.

    \b
    Examples:
      workbench whatif
      workbench whatif latest --maxmemory 4mb --maxmemory 8mb --policy allkeys-lfu
      workbench whatif latest --ttl 5m --ttl 15m --ttl-renewal touch
      workbench whatif latest --verify --chart whatif.svg
    """
    from workbench.analysis.whatif import what_if
    from workbench.runs.run import open_run

    _check_chart(chart)
    combinations = _combinations(policy, samples, ttl, ttl_renewal)
    sizes = _sizes(maxmemory)
    opened = open_run(run)
    progress(f"reading the turns of {opened.name}")
    found = what_if(opened)
    asked = [*product(combinations, sizes or found.sizes_bytes)]
    _check_count(len(asked))
    for settings, size in asked:
        found.with_settings(size, **settings)  # refuses what has no room, before minutes are spent
    points: list[Point] = []
    for at, (settings, size) in enumerate(asked):
        progress(f"simulating {at + 1} of {len(asked)}: {len(found.accesses):,} accesses")
        points.append(found.point(size, seed=seed, **settings))
    own = next((point for point in points if point.own), None) or found.point(
        found.maxmemory_bytes, seed=seed
    )
    verified: list[Verified] = []
    if verify:
        from workbench.lab.verify import verified_points

        engine = str(opened.manifest.server.get("engine", "")) or None
        verified = verified_points(found, points, engine=engine, seed=seed, progress=progress)
    written = _draw(chart, opened, found, points) if chart else None
    if as_json:
        tell(_told(opened.where, found, own, points, verified, seed, written))
        return
    _print(found, own, points, verified)
    if written is not None:
        typer.echo(near(written))


def _combinations(
    policies: list[str] | None, samples: list[int] | None, ttls: list[str] | None, renewal: str
) -> list[dict[str, Any]]:
    """Each set of settings but the size; None stands for the run's own."""
    from workbench.analysis.key_sizes import KeySizes
    from workbench.analysis.simulator import Settings
    from workbench.errors import UsageError
    from workbench.units import parse_duration

    found: list[dict[str, Any]] = []
    for policy, count, ttl in product(_or_own(policies), _or_own(samples), _or_own(ttls)):
        ttl_s = None if ttl is None else parse_duration(ttl)
        if ttl_s is not None and ttl_s <= 0:
            raise UsageError(f"--ttl is {ttl}: a state that lives for no time is none")
        if count is not None and not 1 <= count <= _SAMPLES_MOST:
            raise UsageError(f"--samples is {count}; it is 5 by default, {_SAMPLES_MOST} at most")
        settings = {"policy": policy, "samples": count, "ttl_s": ttl_s, "renewal": renewal}
        given: Any = {name: value for name, value in settings.items() if value is not None}
        Settings(sizes=KeySizes("redis", "libc", 1), **given)  # refuses what makes no sense
        found.append(settings)
    return found


def _or_own(values: "Sequence[T] | None") -> "list[T | None]":
    return [*values] if values else [None]


def _sizes(texts: list[str] | None) -> list[int]:
    from workbench.cli.app import positive_bytes

    return [positive_bytes("--maxmemory", text) for text in texts or []]


def _check_count(count: int) -> None:
    from workbench.errors import UsageError

    if count > _POINTS_MOST:
        raise UsageError(
            f"{count:,} combinations are asked for, and {_POINTS_MOST} at most are simulated at "
            "once: name fewer sizes, policies, samples or times to live"
        )


def _check_chart(chart: Path | None) -> None:
    from workbench.errors import UsageError

    if chart is None:
        return
    if chart.suffix not in {".svg", ".png"} or chart.is_dir() or not chart.parent.is_dir():
        raise UsageError(f"--chart is {chart}: name a file .svg or .png in a folder that is there")


def _draw(chart: Path, run: Any, found: "WhatIf", points: "Sequence[Point]") -> Path:
    from workbench.plots.whatif import figure_what_if

    drawn = figure_what_if(run, found, points)
    temporary = chart.with_name(f".{chart.stem}.part{chart.suffix}")
    if chart.suffix == ".svg":
        temporary.write_text(drawn.svg())
    else:
        drawn.save_png(temporary)
    temporary.replace(chart)
    return chart


def _told(
    where: str,
    found: "WhatIf",
    own: "Point",
    points: "Sequence[Point]",
    verified: "Sequence[Verified]",
    seed: int,
    chart: Path | None,
) -> dict[str, Any]:
    from dataclasses import asdict

    measured = found.measured
    return {
        "run": where,
        "seed": seed,
        "accesses": len(found.accesses),
        "fixed_bytes": round(found.fixed_bytes),
        "key_cost_scale": found.settings.sizes.scale,
        "calibrated": found.calibrated,
        "cautions": list(found.cautions),
        "measured": {
            "maxmemory_bytes": found.maxmemory_bytes,
            "turns": measured.turns,
            "evicted_share": measured.evicted / measured.turns if measured.turns else None,
            "expired_share": measured.expired / measured.turns if measured.turns else None,
        },
        "simulated": _finite(asdict(own)),
        "points": [_finite(asdict(point)) for point in points],
        "verified": [_finite(each.as_dict()) for each in verified],
        "chart": str(chart.resolve()) if chart else None,
    }


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    """JSON has no NaN and no infinity: what is not known is null."""
    import math

    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in values.items()
    }


def _print(
    found: "WhatIf", own: "Point", points: "Sequence[Point]", verified: "Sequence[Verified]"
) -> None:
    from workbench.units import format_bytes, format_share

    measured = found.measured
    typer.echo(
        f"{len(found.accesses):,} accesses of {found.accesses.keys:,} conversations; "
        f"{measured.turns:,} turns of the measured phase needed a state"
    )
    typer.echo(found.calibrated)
    for caution in found.cautions:
        typer.echo(f"mind: {caution}")
    if measured.turns:
        evicted, expired = measured.evicted / measured.turns, measured.expired / measured.turns
        typer.echo(
            f"at its own {format_bytes(found.maxmemory_bytes)} {own.policy}: measured "
            f"{format_share(evicted)} evicted, {format_share(expired)} expired; simulated "
            f"{format_share(own.evicted_share)} and {format_share(own.expired_share)}"
        )
    typer.echo()
    _table(points)
    for each in verified:
        typer.echo(each.says)


def _table(points: "Sequence[Point]") -> None:
    from workbench.units import format_bytes, format_duration, format_share

    settings, shares = ("maxmemory", "policy", "samples", "TTL", "from"), _SHARES
    head = (*settings, *shares, "keys", "exact LRU", "")
    rows = [
        (
            format_bytes(point.maxmemory_bytes),
            point.policy,
            str(point.samples),
            format_duration(point.ttl_s),
            point.renewal,
            *map(format_share, (point.evicted_share, point.expired_share, point.refused_share)),
            f"{point.keys:,}",
            format_share(point.exact_share),
            "its own" if point.own else "",
        )
        for point in points
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        cells = [f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)]
        typer.echo("  ".join(cells).rstrip())
