"""``workbench lab``: take private servers to their edge, and measure there."""

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli.app import AsJson, app, near, positive_bytes, progress, tell
from workbench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from workbench.lab.memory import Cell
    from workbench.runs.measurement import Measurement

__all__ = ["lab"]

lab = typer.Typer(
    help="Take private servers to their edge, and measure there.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(lab, name="lab")

_QUICK = "memory-quick"
_STANDARD = "memory"
_SPREAD = 0.5
_OF_A_GRID = ("--out", "--markdown", "--resume")


@lab.callback()
def _lab() -> None:
    """Take private servers to their edge, and measure there."""


@lab.command()
def memory(
    maxmemory: Annotated[
        str | None, typer.Option(help="The cap, such as 340mb; of --limit 95 % by default.")
    ] = None,
    limit: Annotated[
        str | None,
        typer.Option(help="The memory limit of its container, such as 358.4mb; default: none."),
    ] = None,
    writes_per_s: Annotated[
        float | None, typer.Option(help="Sessions written a second meanwhile; default: 200.")
    ] = None,
    value_bytes: Annotated[
        str | None, typer.Option(help="Length of a session, such as 2600 or 4kb; default: 1024.")
    ] = None,
    length_spread: Annotated[
        float | None,
        typer.Option(
            help="How far lengths lie from that at most, of it; default: 0.5, as of conversations. "
            "0: all alike, the best case for the allocator."
        ),
    ] = None,
    hot_share: Annotated[
        float | None,
        typer.Option(help="Of the writes, what goes to a tenth of the sessions; default: 0.1."),
    ] = None,
    new_keys: Annotated[
        bool, typer.Option("--new-keys", help="Write new sessions, for which others are evicted.")
    ] = False,
    vcpu: Annotated[
        float | None, typer.Option(help="Its share of one core, such as 0.35; default: no limit.")
    ] = None,
    grid: Annotated[
        str | None,
        typer.Option(help="Measure a grid: a TOML file, or a name in loadtests/grids: memory."),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="The grid memory-quick: small sizes, 15 s.")
    ] = False,
    engine: Annotated[
        str | None, typer.Option(help="Which server to start: redis or valkey.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Same seed, same sessions; default: 1.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Where a grid is written; default: memory-grid.json among the runs, and "
            "memory-grid-<name>.json of another grid than memory."
        ),
    ] = None,
    markdown: Annotated[
        Path | None,
        typer.Option(help="Where to write the page of documentation that a grid makes."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a grid; what is measured is kept.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """
    Measure what a rewrite of the append-only file takes of a server's memory.

    A private server in a real memory limit (a cgroup, for which one has to be root), filled to
    maxmemory; then one rewrite while sessions are written: how much memory server and child take,
    and whether the kernel kills them. Without options it is the documented production task of 1 GB,
    under 200 writes a second. Where no cgroup can be had, the same is measured without the kill,
    and held against the limit.

    Exits 1 if a grid's expectation did not hold, 3 if a cell of it could not be measured.

    \b
    Examples:
      workbench lab memory
      workbench lab memory --maxmemory 268mb --limit 358.4mb --writes-per-s 1000 --vcpu 0.35
      workbench lab memory --maxmemory 64mb --writes-per-s 5000 --hot-share 0.9 --json
      workbench lab memory --quick
      workbench lab memory --grid memory --markdown docs/reference/memory-grid.md
    """
    of_a_cell = {
        "--maxmemory": maxmemory,
        "--limit": limit,
        "--writes-per-s": writes_per_s,
        "--value-bytes": value_bytes,
        "--length-spread": length_spread,
        "--hot-share": hot_share,
        "--new-keys": new_keys or None,
        "--vcpu": vcpu,
    }
    given = [option for option, value in of_a_cell.items() if value is not None]
    if quick and grid is not None:
        raise UsageError(f"--quick is the grid {_QUICK}; leave it or --grid out")
    if quick or grid is not None:
        if given:
            raise UsageError(f"{given[0]} is for one cell, and a grid has its own; leave it out")
        _grid(grid or _QUICK, engine, seed, out, markdown, resume=resume, as_json=as_json)
        return
    for option, value in zip(_OF_A_GRID, (out, markdown, resume or None), strict=True):
        if value is not None:
            raise UsageError(f"{option} is for a grid; name one: --grid {_STANDARD}")
    _one(_cell(of_a_cell, seed), engine, as_json=as_json)


def _cell(given: "Mapping[str, Any]", seed: int | None) -> "Cell":
    import math

    from workbench.lab.memory import Cell
    from workbench.server.profiles import LIMIT_SHARE, profile
    from workbench.units import MIB, parse_bytes

    task_mib = 1024
    maxmemory, limit = given["--maxmemory"], given["--limit"]
    limit_bytes = None if limit is None else positive_bytes("--limit", limit)
    if maxmemory is not None:
        maxmemory_bytes = positive_bytes("--maxmemory", maxmemory)
    elif limit_bytes is not None:
        maxmemory_bytes = math.floor(0.95 * limit_bytes)
    else:
        maxmemory_bytes = profile("production", task_memory_mib=task_mib).maxmemory_bytes
        limit_bytes = round(task_mib * LIMIT_SHARE * MIB)
    value, spread = given["--value-bytes"], given["--length-spread"]
    chosen = {
        "writes_per_s": given["--writes-per-s"],
        "value_bytes": None if value is None else parse_bytes(value),
        "length_spread": _SPREAD if spread is None else spread,
        "hot_share": given["--hot-share"],
        "new_keys": given["--new-keys"],
        "cpu_share": given["--vcpu"],
        "seed": seed,
    }
    return Cell(
        maxmemory_bytes=maxmemory_bytes,
        limit_bytes=limit_bytes,
        **{name: value for name, value in chosen.items() if value is not None},
    )


def _one(cell: "Cell", engine: str | None, *, as_json: bool) -> None:
    from workbench.experiments.interrupts import one_interrupt
    from workbench.lab.memory import measure
    from workbench.server.binary import find_binary

    binary = find_binary(engine)
    with (
        one_interrupt(),
        tempfile.TemporaryDirectory(prefix="workbench-lab-") as folder,
    ):
        found = measure(cell, binary=binary, folder=Path(folder), progress=progress)
    told = asdict(found) | {"over_limit": found.over_limit, "why": ""}
    if as_json:
        tell(told)
        return
    typer.echo(binary.label)
    _tell_one(told)


def _tell_one(told: "Mapping[str, Any]") -> None:
    from workbench.lab.page import conditions, outcome
    from workbench.units import format_bytes, format_duration, format_rate

    def size(value: int) -> str:
        return f"{format_bytes(value):9} {value / told['maxmemory_bytes']:.3f} of the cap"

    typer.echo(conditions(told))
    forms: dict[str, tuple[str, Callable[[Any], str]]] = {
        "sessions": ("keys", "{:,}".format),
        "before the fork": ("before_bytes", size),
        "peak, last seen" if told["killed"] else "peak": ("peak_bytes", size),
        "copied": ("cow_bytes", size),
        "fork": ("fork_s", format_duration),
        "rewrite": ("rewrite_s", format_duration),
        "written": ("written_per_s", format_rate),
    }
    for name, (field, form) in forms.items():
        if told[field] is not None:  # of one that was killed not all is known
            typer.echo(f"  {name:16}  {form(told[field])}")
    if told["limit_bytes"] is not None:
        typer.echo(outcome(told))
    if told["why_no_cgroup"]:
        typer.echo(f"measured by {told['watched_by']}, without a limit: {told['why_no_cgroup']}")


def _grid(
    name: str,
    engine: str | None,
    seed: int | None,
    out: Path | None,
    markdown: Path | None,
    *,
    resume: bool,
    as_json: bool,
) -> None:
    from workbench.checkout import runs_dir
    from workbench.experiments.interrupts import one_interrupt
    from workbench.lab.grid import KIND, carry_out, partial, read_grid
    from workbench.lab.page import grid_page
    from workbench.server.binary import find_binary

    chosen = read_grid(name, seed=seed)
    if engine is not None:
        find_binary(engine)
        chosen = chosen.on(engine)
    file = KIND if chosen.name == _STANDARD else f"{KIND}-{chosen.name.removeprefix('memory-')}"
    path = out or runs_dir() / f"{file}.json"
    if path.is_dir() or (out is not None and not path.parent.is_dir()):
        raise UsageError(f"--out is {path}: name a file in a folder that is there")
    if markdown is not None and (markdown.is_dir() or not markdown.parent.is_dir()):
        raise UsageError(f"--markdown is {markdown}: name a file in a folder that is there")
    kept = partial(path)
    if kept.exists() and not resume:
        raise UsageError(
            f"{near(kept)} is a grid that broke off: go on with it by --resume, or delete it"
        )
    words = ["workbench lab memory", "--quick" if name == _QUICK else f"--grid {name}"]
    words += [f"--engine {engine}"] if engine else []
    words += [f"--seed {seed}"] if seed is not None else []
    words += [f"--out {near(out)}"] if out else []
    words += [f"--markdown {near(markdown)}"] if markdown else []
    head = [""]

    def told(row: "Mapping[str, Any]") -> None:
        if not as_json:
            _tell_row(row, head)

    try:
        with (
            one_interrupt(),
            tempfile.TemporaryDirectory(prefix="workbench-lab-") as folder,
        ):
            made = carry_out(
                chosen,
                path,
                command=" ".join(words),
                folder=Path(folder),
                resume=resume,
                tell=told,
                progress=progress,
            )
    except KeyboardInterrupt:
        if kept.exists():
            typer.echo(f"what is measured is kept in {near(kept)}; go on by --resume", err=True)
        raise
    if markdown is not None:
        from workbench.runs.files import write_whole

        write_whole(markdown, grid_page(made).encode())
    if as_json:
        import msgspec

        tell(msgspec.to_builtins(made) | {"file": str(path.resolve())})
    else:
        _tell_grid(made)
        for each in (path, markdown):
            if each is not None:
                typer.echo(near(each))
    raise typer.Exit(_code(made))


def _tell_row(row: "Mapping[str, Any]", head: list[str]) -> None:
    from workbench.lab.page import conditions, outcome

    if row["label"] != head[0]:
        head[0] = row["label"]
        typer.echo(head[0])
    peak = row.get("peak_bytes")
    ratio = "" if peak is None else f"{peak / row['maxmemory_bytes']:.3f}"
    mark = {False: "  NOT AS EXPECTED", True: ""}.get(row["held"], "")
    server = row["engine"].capitalize()
    typer.echo(f"  {server:7} {conditions(row):52}  peak {ratio:6}  {outcome(row)}{mark}")


def _tell_grid(made: "Measurement") -> None:
    derived = made.derived
    typer.echo(f"{made.where}")
    typer.echo(
        f"{derived['cells_measured']} of {derived['cells_planned']} cells measured; "
        f"{derived['expectations_held']} of {derived['expectations']} expectations held"
    )
    reasons = {row["why_no_cgroup"] for row in made.rows if row.get("why_no_cgroup")}
    for reason in sorted(reasons):
        typer.echo(f"without a limit, peaks held against it: {reason}")


def _code(made: "Measurement") -> int:
    if any(row["held"] is False for row in made.rows):
        return 1
    return 3 if any(row["why"] for row in made.rows) else 0
