"""``workbench compare-engines``: the same turns on one engine after the other, side by side."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli.app import AsJson, Out, app, near, progress, tell
from workbench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workbench.analysis.engines import Engines

__all__ = ["compare_engines"]

_ROUNDS_MOST = 20


@app.command("compare-engines")
def compare_engines(
    engine: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ENGINE",
            help="A further one: the path of a server, with +libc or +jemalloc behind it if one "
            "allocator alone is meant; one a time.",
        ),
    ] = None,
    rounds: Annotated[
        int | None, typer.Option(help="How often each is tried; 3, with --quick 2.")
    ] = None,
    maxmemory: Annotated[str | None, typer.Option(help="The cap, such as 64mb.")] = None,
    seed: Annotated[int | None, typer.Option(help="Same seed, same conversations.")] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Small and short, to see that it works; not kept.")
    ] = False,
    runs: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RUN",
            help="Sealed runs to read instead of making some: names, folders or patterns.",
        ),
    ] = None,
    out: Out = None,
    markdown: Annotated[
        Path | None, typer.Option(help="Write the page of documentation there.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """
    Try the same turns on Redis, on Valkey with either allocator, and on others; side by side.

    Each runs on a private server, with memory full and two AOF rewrites: how many sessions stay,
    latency, evictions, rewrites, memory. A difference is told with its bounds, by what the runs of
    one and the same differ. About five minutes; --quick takes one. One that does not start is told,
    and the others go on.

    \b
    Examples:
      workbench compare-engines --quick
      workbench compare-engines --engine /opt/redis-8/bin/redis-server
      workbench compare-engines --runs '*-compare_engines-*'
    """
    _check(rounds, maxmemory, seed, out, engine, runs, markdown, quick=quick)
    if runs:
        _read(runs, as_json=as_json)
        return
    from workbench.checkout import runs_dir
    from workbench.cli.app import positive_bytes
    from workbench.experiments.engines import ROUNDS, contestants, page
    from workbench.experiments.engines import compare_engines as compared
    from workbench.runs.files import write_whole
    from workbench.runs.measurement import write_measurement

    cap_bytes = positive_bytes("--maxmemory", maxmemory) if maxmemory else None
    who, missing = contestants(engine or ())
    folder = out or runs_dir()
    found = compared(
        who,
        missing=missing,
        rounds=rounds or (2 if quick else ROUNDS),
        quick=quick,
        seed=seed,
        maxmemory_bytes=cap_bytes,
        out=folder,
        say=(lambda text: typer.echo(text, err=True)) if as_json else typer.echo,
        progress=progress,
    )
    command = _command(engine or (), rounds, maxmemory, found.experiment.seed, quick=quick)
    measured = found.measurement(command, folder)
    made = folder
    if not quick:
        made = write_measurement(measured, folder / f"{measured.kind}.json")
    if markdown is not None:
        write_whole(markdown, page(measured).encode())
        made = markdown
    if as_json:
        tell({"measurement": measured, "path": str(made.resolve())})
        return
    _print(found.engines, found.doubts)
    typer.echo(near(made))


def _check(
    rounds: int | None,
    maxmemory: str | None,
    seed: int | None,
    out: Path | None,
    engine: "Sequence[str] | None",
    runs: "Sequence[str] | None",
    markdown: Path | None,
    *,
    quick: bool,
) -> None:
    """Refuse before minutes are spent on what cannot be carried out as it was put."""
    if rounds is not None and not 1 <= rounds <= _ROUNDS_MOST:
        raise UsageError(f"--rounds is {rounds}, outside 1 to {_ROUNDS_MOST}")
    making = {
        "--rounds": rounds is not None,
        "--maxmemory": maxmemory is not None,
        "--seed": seed is not None,
        "--quick": quick,
        "--engine": bool(engine),
        "--out": out is not None,
        "--markdown": markdown is not None,
    }
    if runs and (given := [option for option, is_given in making.items() if is_given]):
        raise UsageError(f"{given[0]} is for runs that are made, and --runs names some: leave one")
    if markdown is not None:
        if quick:
            raise UsageError("a page is made of the whole comparison: leave out --quick")
        if not markdown.parent.is_dir() or markdown.is_dir():
            raise UsageError(f"--markdown is {markdown}: name a file in a folder that is there")


def _read(runs: "Sequence[str]", *, as_json: bool) -> None:
    from workbench.analysis.engines import engines_of
    from workbench.runs.several import open_runs

    engines, doubts = engines_of(open_runs(list(runs)))
    if as_json:
        rows = engines.frame.astype(object).where(engines.frame.notna(), None).to_dict("records")
        tell({"rows": rows, **engines.told(), "doubts": doubts})
    else:
        _print(engines, doubts)


def _print(engines: "Engines", doubts: "Sequence[str]") -> None:
    typer.echo(engines.to_text())
    notes = [*doubts, *engines.notes()]
    if notes:
        typer.echo("\n" + "\n".join(notes))
    typer.echo("\n" + "\n".join(engines.sentences()))


def _command(
    engine: "Sequence[str]",
    rounds: int | None,
    maxmemory: str | None,
    seed: int,
    *,
    quick: bool,
) -> str:
    """What makes it again; of a path the name alone, since others have it elsewhere."""
    words = ["workbench compare-engines", f"--seed {seed}"]
    words += [f"--engine {Path(each).name}" for each in engine]
    words += [f"--rounds {rounds}"] if rounds else []
    words += [f"--maxmemory {maxmemory}"] if maxmemory else []
    return " ".join([*words, *(["--quick"] if quick else [])])
