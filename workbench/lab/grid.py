"""
A grid: many cells from one file, carried out one after the other, each kept as soon as it is done.

A table of the file is as many cells as the lists in it have combinations. What is expected of a
cell is said beside it, and held against what came of it.
"""

import itertools
import math
import re
import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import msgspec

from workbench.checkout import grids_dir
from workbench.errors import GridError, ServerError, UsageError, WorkbenchError, nearest
from workbench.lab.memory import Cell, Measured, measure
from workbench.runs.files import write_json
from workbench.runs.measurement import Measurement, read_measurement
from workbench.server.binary import ENGINES, ServerBinary, find_binary
from workbench.server.profiles import LIMIT_SHARE, profile
from workbench.telemetry.circumstances import measurement
from workbench.units import MIB, parse_bytes

__all__ = ["KIND", "Grid", "Planned", "carry_out", "partial", "read_grid"]

KIND: Final = "memory-grid"
"""Of the measurement that a grid makes."""

_EXPECTED: Final = ("killed", "survives")
_TOP: Final = ("name", "question", "seed", "cells")
_SIZES: Final = ("maxmemory", "limit", "task_memory")
_NUMBERS: Final = ("maxmemory_share", "writes_per_s", "hot_share", "length_spread", "vcpu")
_LISTED: Final = (*_SIZES, *_NUMBERS, "value_bytes", "new_keys", "engine")
_CELL: Final = (*_LISTED, "label", "expected", "repeat")
_NAME: Final = re.compile(r"[A-Za-z0-9][\w.-]{0,59}", re.ASCII)
_REPEAT_MAX: Final = 100
_CELLS_MAX: Final = 1000
_START_BYTES: Final = 20 * MIB  # a cell takes as long before it begins as to fill so much


@dataclass(frozen=True, slots=True)
class Planned:
    """
    A cell, and what is expected of it.

    Attributes:
        cell: its conditions.
        engine: ``redis`` or ``valkey``; empty for whichever is found.
        label: for people.
        expected: ``killed``, ``survives``, or empty for nothing.
    """

    cell: Cell
    engine: str = ""
    label: str = ""
    expected: str = ""

    @property
    def effort(self) -> float:
        """How long it takes, beside others."""
        cell = self.cell
        return (_START_BYTES + cell.maxmemory_bytes) / min(1.0, cell.cpu_share or 1.0)


@dataclass(frozen=True, slots=True)
class Grid:
    """
    Cells in their order.

    Attributes:
        name: as in the name of what it makes.
        question: that it is to answer.
        seed: of its cells; a repeat has the next one.
        planned: its cells.
    """

    name: str
    question: str
    seed: int
    planned: tuple[Planned, ...]

    def on(self, engine: str) -> "Grid":
        """The same cells on one engine, each once."""
        planned = dict.fromkeys(replace(each, engine=engine) for each in self.planned)
        return replace(self, planned=tuple(planned))


def read_grid(where: str | Path, *, seed: int | None = None) -> Grid:
    """
    A grid by its file, or by its name among those of ``loadtests/grids``.

    Args:
        where: it.
        seed: instead of the file's.

    Raises:
        GridError: it is not there, an unknown key, a value that makes no sense; the message names
            the file, the table, the key and the nearest right one.
    """
    path = Path(where)
    if not path.suffix:
        path = grids_dir() / f"{where}.toml"
    try:
        content = tomllib.loads(path.read_text())
    except FileNotFoundError:
        if path.parent != grids_dir():
            raise GridError(f"there is no file {path}") from None
        known = [found.stem for found in grids_dir().glob("*.toml")]
        raise GridError(f"there is no grid {str(where)!r}{nearest(path.stem, known)}") from None
    except tomllib.TOMLDecodeError as error:
        raise GridError(f"{path} is not TOML: {error}") from None
    except RecursionError:
        raise GridError(f"{path} is nested too deeply to be a grid") from None
    except (OSError, ValueError) as error:  # also text that is not UTF-8, and names that hold NUL
        raise GridError(f"{path} cannot be read: {error}") from None
    try:
        return _grid(content, path, seed)
    except GridError:
        raise
    except UsageError as error:
        raise GridError(f"{path}: {error}") from None


def carry_out(
    grid: Grid,
    out: Path,
    *,
    command: str,
    folder: Path,
    resume: bool = False,
    tell: Callable[[Mapping[str, Any]], None] = lambda _: None,
    progress: Callable[[str], None] = lambda _: None,
    measured_by: Callable[..., Measured] = measure,
) -> Measurement:
    """
    Measure the cells that are still missing, and write all to ``out``.

    What is measured is kept beside ``out`` after each cell, so that a grid that broke off can be
    gone on with: see ``partial``.

    Args:
        grid: it.
        out: the file.
        command: what makes it again.
        folder: below which the servers' files are kept meanwhile.
        resume: take over what is kept of the same cells, seed, engine and version; of a grid that
            was finished too.
        tell: told each row, of those taken over as well.
        progress: told how far it is, and how long it still takes.
        measured_by: what carries out a cell.

    Raises:
        RunError: what is kept is no measurement of a grid.
        ServerError: there is no server at all.
        UsageError: what is kept was measured on another machine.
    """
    binaries = _binaries(grid)
    kept, earlier = _kept(out) if resume else ({}, None)
    rows: list[dict[str, Any]] = []
    clock = _TimeLeft([each.effort for each in grid.planned])
    engines = {each: None for each in binaries.values() if isinstance(each, ServerBinary)}
    base = measurement(KIND, [], command=command, seed=grid.seed, engines=engines, folder=folder)
    if earlier is not None and _machine(earlier) != _machine(base):
        raise UsageError(
            f"what is kept beside {out} was measured on another machine: leave out --resume, and "
            "delete it"
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    for index, planned in enumerate(grid.planned):
        row = kept.get(_identity(planned, binaries[planned.engine]))
        if row is None:
            where = f"cell {index + 1} of {len(grid.planned)}{clock.left(index)}"
            with_where = _prefixed(progress, where)
            row = _row(planned, binaries[planned.engine], folder, with_where, measured_by)
            clock.took(index)
            earlier = None
        rows.append(_judged(row, planned))
        write_json(partial(out), _made(base, grid, rows))
        tell(rows[-1])
    if earlier is not None:  # nothing was measured anew, so it was made then
        base = msgspec.structs.replace(earlier, command=command)
    made = _made(base, grid, rows)
    write_json(out, made)
    partial(out).unlink(missing_ok=True)
    return made


def partial(out: Path) -> Path:
    """Where a grid is kept until it is finished."""
    return out.with_name(f"{out.stem}.part.json")


def _made(base: Measurement, grid: Grid, rows: Sequence[Mapping[str, Any]]) -> Measurement:
    told = [row for row in rows if row["expected"]]
    return msgspec.structs.replace(base, rows=[dict(row) for row in rows]).with_derived(
        {
            "grid": grid.name,
            "question": grid.question,
            "cells_planned": len(grid.planned),
            "cells_measured": sum(not row["why"] for row in rows),
            "expectations": len(told),
            "expectations_held": sum(row["held"] is True for row in told),
        }
    )


def _machine(measured: Measurement) -> tuple[Any, ...]:
    return tuple(measured.host.get(name) for name in ("cpu", "cores", "ram_bytes", "kernel"))


def _row(
    planned: Planned,
    binary: ServerBinary | str,
    folder: Path,
    progress: Callable[[str], None],
    measured_by: Callable[..., Measured],
) -> dict[str, Any]:
    """What was measured of a cell, or why nothing was."""
    if isinstance(binary, str):
        return {**asdict(planned.cell), "engine": planned.engine, "why": binary}
    try:
        found = measured_by(planned.cell, binary=binary, folder=folder, progress=progress)
    except WorkbenchError as error:  # it is told in the row, and the others go on
        named = {"engine": binary.engine, "version": binary.version}
        return {**asdict(planned.cell), **named, "why": str(error)}
    return {**asdict(found), "over_limit": found.over_limit, "why": ""}


def _judged(row: Mapping[str, Any], planned: Planned) -> dict[str, Any]:
    held = None
    if planned.expected and not row["why"] and row["over_limit"] is not None:
        held = row["over_limit"] is (planned.expected == "killed")
    return {**row, "label": planned.label, "expected": planned.expected, "held": held}


def _binaries(grid: Grid) -> dict[str, ServerBinary | str]:
    """The program of each engine that is asked for, or why there is none."""
    found: dict[str, ServerBinary | str] = {}
    for engine in dict.fromkeys(each.engine for each in grid.planned):
        try:
            found[engine] = find_binary(engine or None)
        except ServerError as error:
            if not engine:
                raise
            found[engine] = str(error)
    return found


def _kept(out: Path) -> tuple[dict[Any, dict[str, Any]], Measurement | None]:
    """What is kept of an earlier time, by what makes two rows the same; and the last of it."""
    paths = [path for path in (out, partial(out)) if path.exists()]
    found = [read_measurement(path, KIND) for path in paths]
    rows = {
        _identity_of({name: row.get(name) for name in _IDENTITY}): row
        for each in found
        for row in each.rows
        if not row["why"]
    }
    return rows, found[-1] if found else None


_IDENTITY: Final = (*(each for each in Cell.__dataclass_fields__), "engine", "version")


def _identity(planned: Planned, binary: ServerBinary | str) -> Any:
    named = (
        {"engine": planned.engine, "version": ""}
        if isinstance(binary, str)
        else {"engine": binary.engine, "version": binary.version}
    )
    return _identity_of(asdict(planned.cell) | named)


def _identity_of(row: Mapping[str, Any]) -> Any:
    return tuple(row[name] for name in _IDENTITY)


class _TimeLeft:
    """How long the cells still take, by those that are done."""

    def __init__(self, efforts: Sequence[float]) -> None:
        self._efforts = efforts
        self._since_s = time.monotonic()
        self._took_s = self._done = 0.0

    def took(self, index: int) -> None:
        now_s = time.monotonic()
        self._took_s += now_s - self._since_s
        self._done += self._efforts[index]
        self._since_s = now_s

    def left(self, index: int) -> str:
        if not self._done:
            return ""
        left_s = self._took_s / self._done * sum(self._efforts[index:])
        return f", {left_s:.0f} s left" if left_s < 120 else f", {left_s / 60:.0f} min left"


def _prefixed(progress: Callable[[str], None], where: str) -> Callable[[str], None]:
    return lambda text: progress(f"{where}: {text}")


def _grid(content: Mapping[str, Any], path: Path, seed: int | None) -> Grid:
    for key in content:
        if key not in _TOP:
            raise GridError(f"{path}: unknown key {key!r}{nearest(key, _TOP)}")
    name, question = content.get("name", path.stem), content.get("question", "")
    for key, value in (("name", name), ("question", question)):
        if not isinstance(value, str):
            raise GridError(f"{path}: {key} is {value!r}, and not a text")
    if not _NAME.fullmatch(name):
        raise GridError(
            f"{path}: name is {name!r}; a file is named after it, so it has letters, digits and ._-"
        )
    given = content.get("seed", 1)
    if not isinstance(given, int) or isinstance(given, bool) or given < 0:
        raise GridError(f"{path}: seed is {given!r}, and not a whole number")
    tables = content.get("cells")
    if not isinstance(tables, list) or not tables:
        raise GridError(f"{path} has no [[cells]]")
    chosen = given if seed is None else seed
    planned: list[Planned] = []
    for number, table in enumerate(tables, start=1):
        where = f"{path}: the {_ordinal(number)} [[cells]]"
        if not isinstance(table, dict):
            raise GridError(f"{where} is {table!r}, and not a table")
        planned += _planned(table, where, chosen)
    if len(planned) > _CELLS_MAX:
        raise GridError(f"{path} has {len(planned)} cells, more than {_CELLS_MAX}")
    if len(set(planned)) < len(planned):
        twice = next(each for each in planned if planned.count(each) > 1)
        raise GridError(f"{path}: the same cell is there twice: {twice.cell}; use repeat")
    return Grid(name, question, chosen, tuple(planned))


def _planned(table: Mapping[str, Any], where: str, seed: int) -> list[Planned]:
    for key in table:
        if key not in _CELL:
            raise GridError(f"{where}: unknown key {key!r}{nearest(key, _CELL)}")
    label, expected, repeat = table.get("label", ""), table.get("expected", ""), table.get("repeat")
    if not isinstance(label, str):
        raise GridError(f"{where}: label is {label!r}, and not a text")
    if expected not in ("", *_EXPECTED):
        raise GridError(f"{where}: expected is {expected!r}{nearest(str(expected), _EXPECTED)}")
    repeat = 1 if repeat is None else repeat
    if not isinstance(repeat, int) or isinstance(repeat, bool) or not 1 <= repeat <= _REPEAT_MAX:
        raise GridError(f"{where}: repeat is {repeat!r}, and not 1 to {_REPEAT_MAX}")
    lists = {key: _listed(table[key], key, where) for key in table if key in _LISTED}
    found = []
    for values in itertools.product(*lists.values()):
        for round_ in range(repeat):
            named = dict(zip(lists, values, strict=True))
            engine = named.pop("engine", "")
            if engine not in ("", *ENGINES):
                raise GridError(f"{where}: engine is {engine!r}{nearest(str(engine), ENGINES)}")
            try:
                cell = _cell(named, where, seed + round_)
            except GridError:
                raise
            except UsageError as error:
                raise GridError(f"{where}: {error}") from None
            if expected and cell.limit_bytes is None:
                raise GridError(f"{where}: {expected} is expected, and there is no limit")
            found.append(Planned(cell, engine, label, expected))
    return found


def _listed(value: Any, key: str, where: str) -> list[Any]:
    if value == []:
        raise GridError(f"{where}: {key} is an empty list")
    return value if isinstance(value, list) else [value]


def _cell(given: dict[str, Any], where: str, seed: int) -> Cell:
    for key in _SIZES:
        if key in given:
            given[key] = parse_bytes(_text_or_int(given[key], key, where))
    for key in _NUMBERS:
        if key in given and (
            isinstance(given[key], bool) or not isinstance(given[key], int | float)
        ):
            raise GridError(f"{where}: {key} is {given[key]!r}, and not a number")
    if "new_keys" in given and not isinstance(given["new_keys"], bool):
        raise GridError(f"{where}: new_keys is {given['new_keys']!r}, and not true or false")
    maxmemory, limit = _sizes(given, where)
    value = given.get("value_bytes", Cell.__dataclass_fields__["value_bytes"].default)
    if "writes_per_s" not in given:
        raise GridError(f"{where}: writes_per_s is missing")
    return Cell(
        maxmemory_bytes=maxmemory,
        limit_bytes=limit,
        writes_per_s=given["writes_per_s"],
        value_bytes=parse_bytes(_text_or_int(value, "value_bytes", where)),
        hot_share=given.get("hot_share", 0.1),
        cpu_share=given.get("vcpu"),
        new_keys=given.get("new_keys", False),
        length_spread=given.get("length_spread", 0.0),
        seed=seed,
    )


def _sizes(given: Mapping[str, Any], where: str) -> tuple[int, int | None]:
    """The cap and the limit, by one of three ways to say them."""
    ways = [key for key in ("maxmemory", "maxmemory_share", "task_memory") if key in given]
    if len(ways) != 1:
        raise GridError(
            f"{where}: {' and '.join(ways) or 'none of them'} is given; give one of maxmemory, "
            "maxmemory_share (of the limit) and task_memory (of the documented formula)"
        )
    limit = given.get("limit")
    if ways == ["maxmemory"]:
        return given["maxmemory"], limit
    if ways == ["task_memory"]:
        if limit is not None:
            raise GridError(f"{where}: task_memory says the limit as well; leave limit out")
        task_mib = given["task_memory"] // MIB
        capped = profile("production", task_memory_mib=task_mib).maxmemory_bytes
        return capped, round(task_mib * LIMIT_SHARE * MIB)
    share = given["maxmemory_share"]
    if limit is None or not 0 < share <= 1:
        raise GridError(
            f"{where}: maxmemory_share is {share}"
            + (", and there is no limit" if limit is None else ", outside 0 to 1")
        )
    return math.floor(share * limit), limit


def _text_or_int(value: Any, key: str, where: str) -> str | int:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise GridError(f"{where}: {key} is {value!r}, and not a size such as 340mb")
    return value


def _ordinal(number: int) -> str:
    named = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth")
    return named[number - 1] if number <= len(named) else f"{number}th"
