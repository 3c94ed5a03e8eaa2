"""``workbench capacity``: the highest rate that meets the objectives."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from workbench.cli.app import AsJson, Out, app, near, progress, tell

if TYPE_CHECKING:
    from collections.abc import Callable

    from workbench.experiments.capacity import Capacity, Step

__all__ = ["capacity"]

_CODES: Final = {
    "found": 0,
    "highest met": 0,
    "lowest not met": 1,
    "unknown": 3,
    "failed": 4,
    "interrupted": 130,
}
_HEAD: Final = ("turns/s", "p99", "delivered", "lost", "verdict", "what broke · run")
_ROW: Final = "{:>14}  {:>8}  {:>9}  {:>7}  {:8}  {}"


@app.command()
def capacity(
    experiment: Annotated[
        str, typer.Argument(help="An experiment: a TOML file, or a name in loadtests/experiments.")
    ] = "capacity",
    slo: Annotated[
        Path | None, typer.Option(help="Objectives to meet; default: loadtests/slo.toml.")
    ] = None,
    lowest: Annotated[float, typer.Option("--from", help="Turns due a second, to begin with.")] = (
        100
    ),
    highest: Annotated[float, typer.Option("--to", help="Turns due a second, at most.")] = 20_000,
    resolution: Annotated[
        float, typer.Option(help="How far apart the two rates may be, of the lower one.")
    ] = 0.1,
    url: Annotated[
        str | None,
        typer.Option(
            envvar="REDIS_STATE_URL",
            help="Load this server, not a private one each; what a step leaves there stays.",
        ),
    ] = None,
    i_own: Annotated[
        str,
        typer.Option(
            metavar="HOST:PORT",
            help="Answer for the server of --url: then it may be another host's.",
        ),
    ] = "",
    duration: Annotated[
        str | None, typer.Option(help="Length of the measured phase of a step, such as 10s.")
    ] = None,
    users: Annotated[int | None, typer.Option(help="Most turns at work at once.")] = None,
    maxmemory: Annotated[str | None, typer.Option(help="The cap, such as 64mb.")] = None,
    profile: Annotated[
        str | None, typer.Option(help="Settings of the server: development, production or demo.")
    ] = None,
    engine: Annotated[
        str | None, typer.Option(help="Which server to start: redis or valkey.")
    ] = None,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """
    Search for the highest rate that meets the objectives.

    Each step is a run of its own at one rate, sealed and kept. Rates are doubled until a step does
    not meet the objectives, then halved in between. A step that failed by a quarter of a bound at
    most, or whose load was late, is run once more. The answer is a range, printed and written
    beside the runs; Ctrl-C ends the search with what is known so far.

    Exits 0 if a rate meets the objectives and the next one does not, or --to does; 1 if --from does
    not; 3 if it cannot be told, as where the generator was the limit.

    \b
    Examples:
      workbench capacity
      workbench capacity steady --from 200 --to 3200 --resolution 0.25
      workbench capacity --maxmemory 64mb --duration 30s --json
    """
    from workbench.checkout import runs_dir, slo_file
    from workbench.diagnostics.slo import read_slo
    from workbench.errors import UsageError
    from workbench.experiments.capacity import check_bounds, search, stepper
    from workbench.experiments.interrupts import one_interrupt
    from workbench.experiments.spec import read_experiment
    from workbench.units import parse_bytes, parse_duration

    check_bounds(lowest, highest, resolution)
    given = {"--maxmemory": maxmemory, "--profile": profile, "--engine": engine}
    for option in (option for option, value in given.items() if url and value):
        raise UsageError(
            f"{option} is for a private server, and --url (or REDIS_STATE_URL) names one whose "
            "settings stay as they are; leave one of them out"
        )
    if i_own and not url:
        raise UsageError("--i-own answers for the server of --url, and none is given")
    objectives = read_slo(slo or near(slo_file()))
    chosen = read_experiment(experiment).with_overrides(
        measure_s=parse_duration(duration) if duration else None,
        maxmemory_bytes=parse_bytes(maxmemory) if maxmemory else None,
        server_profile=profile,
        users=users,
    )
    folder = out or runs_dir()
    attempt = stepper(
        chosen,
        objectives,
        folder,
        url=url,
        i_own=i_own,
        engine=engine,
        say=(lambda _: None) if as_json else typer.echo,
        progress=progress,
    )
    if not as_json:
        typer.echo(f"{chosen.name} against {objectives.where}")
    with one_interrupt():
        found = search(
            attempt,
            lowest=lowest,
            highest=highest,
            resolution=resolution,
            say=(lambda _: None) if as_json else _teller(),
        )
    told = _told(found) | {"experiment": chosen.name, "slo": objectives.where}
    told |= {"from": lowest, "to": highest, "resolution": resolution}
    path = _written(folder, told)
    if as_json:
        tell(told | {"file": str(path.resolve())})
    else:
        typer.echo(found.says)
        typer.echo(near(path))
    raise typer.Exit(_CODES[found.ended])


def _teller() -> "Callable[[Step], None]":
    """What prints a line a step, and a head above the first."""
    from workbench.units import format_duration, format_share

    def share(value: float | None) -> str:
        return "unknown" if value is None else format_share(value)

    head = [_HEAD]

    def tell_step(step: "Step") -> None:
        while head:
            typer.echo(_ROW.format(*head.pop()))
        p99_us = step.response_us_p99
        cells = (
            f"{step.turns_per_s:,g}",
            "unknown" if p99_us is None else format_duration(p99_us / 1e6),
            share(step.delivered_share),
            share(step.lost_state_share),
            step.verdict,
            " · ".join(filter(None, [step.why, step.run])),
        )
        typer.echo(_ROW.format(*cells))

    return tell_step


def _told(found: "Capacity") -> dict[str, Any]:
    """What a program is told: the answer, then the steps that it rests on."""
    import msgspec

    return {
        "answer": found.says,
        "ended": found.ended,
        "exit_code": _CODES[found.ended],
        "met_turns_per_s": found.met.turns_per_s if found.met else None,
        "not_met_turns_per_s": found.not_met.turns_per_s if found.not_met else None,
        "limits": list(found.not_met.limits) if found.not_met else [],
        "why": found.why,
        "steps": msgspec.to_builtins(found.steps),
    }


def _written(folder: Path, told: dict[str, Any]) -> Path:
    """The answer as a file beside the runs that it rests on."""
    from datetime import UTC, datetime

    from workbench.runs.files import write_json

    path = folder / f"capacity-{datetime.now(UTC).strftime('%Y-%m-%dT%H%M%SZ')}.json"
    folder.mkdir(parents=True, exist_ok=True)
    write_json(path, told)
    return path
