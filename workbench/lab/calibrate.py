"""
Cells from which the law of the peak is fitted, and the fit as a measurement.

The cells are spread over sizes, rates, lengths of values, skew and shares of a core, so that each
of these has many values, and no two go together.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from random import Random
from typing import Any, Final

import pandas as pd

from workbench.analysis.sessions import LAYOUTS, Layout, layout_of, sampled_layout
from workbench.analysis.sizing import cross_checked, fit_law, with_loading
from workbench.errors import LimitError, ServerMissingError, UsageError
from workbench.lab.memory import Cell, measure
from workbench.lab.resident import Restart, restart, sampled_session_bytes
from workbench.runs.measurement import Measurement
from workbench.server.binary import ENGINES, ServerBinary, find_binary
from workbench.telemetry.circumstances import measurement
from workbench.units import MIB, format_bytes, format_rate

__all__ = ["KIND", "calibrate", "cells", "engine_key", "every_binary", "layout_for"]

KIND: Final = "sizing-fit"
"""The kind of the measurement."""

_MAXMEMORY: Final = (48 * MIB, 256 * MIB)
_WRITES_PER_S: Final = (100.0, 20_000.0)
_VALUE_BYTES: Final = (300, 8000)
_WRITTEN_BYTES_PER_S: Final = 30e6  # more than that the one that writes may not keep up with
_CPU_SHARES: Final = (0.35, 0.5, 0.7, 1.0)
_HOT_SHARES: Final = (0.1, 0.1, 0.1, 0.5, 0.9)
_SPREADS: Final = (0.0, 0.0, 0.3, 0.5, 0.8)
_RESTARTS: Final = ((300, 48 * MIB), (2600, 96 * MIB))


def cells(
    seed: int,
    number: int,
    *,
    largest: int = _MAXMEMORY[1],
    shares: Sequence[float] = _CPU_SHARES,
    hot_shares: Sequence[float] = _HOT_SHARES,
    spreads: Sequence[float] = _SPREADS,
) -> list[Cell]:
    """
    Conditions that are spread over what the law is to hold for.

    Args:
        seed: another one gives others.
        number: how many.
        largest: cap among them, bytes.
        shares: of a core, that half of them have; only a cgroup can grant one.
        hot_shares: of the writes, that go to a tenth of the sessions.
        spreads: of lengths.
    """
    random = Random(f"cells {seed}")
    smallest = min(_MAXMEMORY[0], largest // 2)

    def spread() -> list[float]:
        places = [(at + random.random()) / number for at in range(number)]
        random.shuffle(places)
        return places

    found = []
    for size, rate, length, skew, cpu, new, apart in zip(
        *(spread() for _ in range(7)), strict=True
    ):
        value = round(_between(_VALUE_BYTES, length))
        writes = min(_between(_WRITES_PER_S, rate), _WRITTEN_BYTES_PER_S / value)
        share = shares[int((cpu - 0.5) * 2 * len(shares))] if cpu >= 0.5 and shares else None
        found.append(
            Cell(
                maxmemory_bytes=int(_between((smallest, largest), size)) // MIB * MIB,
                writes_per_s=0.0 if rate < 1 / 16 else float(round(writes)),
                value_bytes=value,
                hot_share=hot_shares[int(skew * len(hot_shares))],
                cpu_share=share,
                new_keys=new > 0.8,
                length_spread=spreads[int(apart * len(spreads))],
                seed=seed,
            )
        )
    return found


def calibrate(
    binaries: Sequence[ServerBinary],
    folder: Path,
    *,
    seed: int = 1,
    number: int = 24,
    largest: int = _MAXMEMORY[1],
    restarts: bool = True,
    command: str = "workbench size --calibrate",
    progress: Callable[[str], None] = lambda _: None,
) -> Measurement:
    """
    Carry out the cells on each server program, and fit a law to each one's.

    Args:
        binaries: the programs.
        folder: below which the servers' files are kept meanwhile; on a disk, not in memory.
        seed: of the cells.
        number: of cells for each.
        largest: cap among them, bytes.
        restarts: time restarts as well.
        command: what makes the measurement again.
        progress: told what is done.

    Returns:
        a measurement: rows are the cells, and ``derived`` has ``laws``, one for each program.

    Raises:
        UsageError: the machine has not the memory or the disk for it.
        ServerError: a server cannot be started.
    """
    rows: list[dict[str, Any]] = []
    laws: list[dict[str, Any]] = []
    for binary in binaries:
        layout = layout_for(binary, folder)
        own = _measured(binary, folder, seed, number, largest, progress)
        frame = pd.DataFrame(own)
        law = fit_law(frame, layout)
        timed = [
            asdict(_restarted(binary, folder, value, min(size, largest), progress))
            | {"value_bytes": value}
            for value, size in (_RESTARTS if restarts else ())
        ]
        if timed:
            law = with_loading(law, pd.DataFrame(timed), layout)
        within = [abs(error) <= 0.1 for error in cross_checked(frame, layout)]
        laws.append(
            engine_key(binary)
            | {
                "law": asdict(law),
                "restarts": timed,
                "within_tenth_share": sum(within) / len(within),
            }
        )
        rows += own
    made = measurement(KIND, rows, command=command, seed=seed, engines=binaries, folder=folder)
    return made.with_derived({"laws": laws})


def layout_for(binary: ServerBinary, folder: Path | None = None) -> Layout:
    """
    How a server program keeps sessions: as it is known, else as a live sample of it shows.

    Args:
        binary: the program.
        folder: below which the sample's files are kept meanwhile; None where none is to be made.

    Raises:
        UsageError: it is not known, and no sample is to be made.
    """
    told = (binary.engine, binary.version, binary.allocator)
    known = layout_of(*told, preload=binary.preload)
    if known is not None:
        return known
    if folder is None:
        names = "; ".join(layout.name for layout in LAYOUTS)
        raise UsageError(
            f"how {binary.label} keeps a session is not known (known: {names}); have it sampled "
            "with --calibrate"
        )
    length = 1000
    return sampled_layout(
        *told[:2],
        engine_key(binary)["allocator"],
        session_bytes=sampled_session_bytes(value_bytes=length, folder=folder, binary=binary),
        value_bytes=length,
    )


def every_binary() -> list[ServerBinary]:
    """
    The server programs that there are, as differing in engine and allocator.

    One that was built without jemalloc is there twice where the machine has a jemalloc to preload.

    Raises:
        ServerMissingError: none is there.
    """
    found: list[ServerBinary] = []
    for engine in ENGINES:
        try:
            binary = find_binary(engine)
        except ServerMissingError:
            continue
        found.append(binary)
        if binary.preload:
            found.append(replace(binary, preload=""))
    return found or [find_binary()]


def engine_key(binary: ServerBinary) -> dict[str, str]:
    """By what a law is found again: ``engine``, ``version`` and ``allocator``."""
    libc = binary.allocator == "libc" and not binary.preload
    return {
        "engine": binary.engine,
        "version": binary.version,
        "allocator": "libc" if libc else "jemalloc",
    }


def _measured(
    binary: ServerBinary,
    folder: Path,
    seed: int,
    number: int,
    largest: int,
    progress: Callable[[str], None],
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    todo = cells(seed, number, largest=largest)
    without_shares = cells(seed, number, largest=largest, shares=())
    for at in range(number):
        progress(f"{binary.label}: cell {at + 1} of {number}, {_told(todo[at])}")
        try:
            found = measure(todo[at], binary=binary, folder=folder)
        except LimitError:  # no cgroup can be had here
            todo = without_shares
            found = measure(todo[at], binary=binary, folder=folder)
        rows.append(asdict(found))
    return rows


def _restarted(
    binary: ServerBinary, folder: Path, value: int, size: int, progress: Callable[[str], None]
) -> Restart:
    return restart(size, value_bytes=value, folder=folder, binary=binary, progress=progress)


def _told(cell: Cell) -> str:
    share = "" if cell.cpu_share is None else f", {cell.cpu_share:g} of a core"
    return (
        f"{format_bytes(cell.maxmemory_bytes)}, {format_rate(cell.writes_per_s)} of "
        f"{format_bytes(cell.value_bytes)}{share}"
    )


def _between(bounds: tuple[float, float], share: float) -> float:
    low, high = bounds
    return float(low * (high / low) ** share)
