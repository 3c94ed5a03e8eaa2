"""
How far the simulated eviction of ``workbench whatif`` is from what real servers do.

Workloads that a seed makes up are replayed on private servers, at several sizes under several
policies, and simulated at the times at which they were replayed: by memory, from the cap and what
the empty server took; and, to tell the policy's part of an error from that of the sizes, by as
many keys as the server held. Exactly the least recently used key stands beside it.
"""

import math
import multiprocessing
import resource
import signal
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from workbench.analysis.accesses import Accesses
from workbench.analysis.key_sizes import KeySizes
from workbench.analysis.simulator import EXACT_LRU, Outcome, Settings, simulate
from workbench.benches.figure import BENCHES, Bench, Figure, Report, count, not_measured
from workbench.benches.workloads import WORKLOADS, sessions
from workbench.errors import ServerMissingError
from workbench.lab.replay import NAME_BYTES, replay
from workbench.runs.measurement import write_measurement
from workbench.server.binary import ENGINES, ServerBinary, find_binary
from workbench.telemetry.circumstances import measurement
from workbench.units import MIB, format_bytes, format_share

if TYPE_CHECKING:
    from workbench.server.process import PrivateServer

__all__ = ["POLICIES", "Cell", "error", "measure", "measured_cell", "page"]

POLICIES: Final = ("allkeys-lru", "volatile-lru", "allkeys-lfu", "volatile-ttl")
"""What is compared; the other policies draw keys as these do, or at random."""

_SEED: Final = 20261127
_SHARES: Final = (0.3, 0.42, 0.54, 0.66, 0.8)
_QUICK_SHARES: Final = (0.35, 0.6)
_ACCESSES: Final = 96_000
_QUICK_ACCESSES: Final = 30_000
_FIXED_GUESS: Final = 1_150_000
_AT_ONCE: Final = 2
_MANY: Final = 10_000_000
_QUICK_MANY: Final = 400_000
_TURNS_PER_S: Final = 5000.0
_SPEED_SHARE: Final = 0.35
_COMMAND: Final = "workbench bench whatif --markdown docs/reference/what-if.md"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """
    One comparison.

    Attributes:
        binary: on which server.
        workload: which of WORKLOADS.
        accesses: how many of it.
        policy: of eviction.
        maxmemory_bytes: the cap.
        faster: how many times faster than it is made for.
        folder: of the servers' data.
    """

    binary: ServerBinary
    workload: str
    accesses: int
    policy: str
    maxmemory_bytes: int
    faster: float
    folder: Path


def measure(
    server: "PrivateServer", *, quick: bool, say: Callable[[str], None] = lambda _: None
) -> Report:
    """On every engine that there is; quickly on that of ``server``, and less of each."""
    binaries = [server.binary] if quick else _binaries()
    with tempfile.TemporaryDirectory(prefix="workbench-whatif-") as folder:
        cells = list(_cells(binaries, Path(folder), quick=quick))
        say(f"{len(cells)} replays, {_AT_ONCE} at once")
        rows = _measured(cells, say)
        speed = _speed(_QUICK_MANY if quick else _MANY, say)
        if not quick:
            kept = measurement(
                "what-if",
                rows,
                command=_COMMAND,
                seed=_SEED,
                engines=binaries,
                folder=Path(folder),
            ).with_derived({**_derived(rows), "speed": speed})
            say(f"written: {write_measurement(kept)}")
    table = pd.DataFrame(rows)
    return Report(
        "whatif",
        False,
        [*_figures(table), *_speed_figures(speed)],
        "; ".join(binary.label for binary in binaries),
        details={"seed": _SEED, "rows": rows, "speed": speed},
        table=_summary(table),
    )


def measured_cell(cell: Cell) -> dict[str, Any]:
    """Replay one, and simulate what was replayed; a row of the table."""
    accesses = WORKLOADS[cell.workload](cell.accesses, _SEED)
    binary = cell.binary
    with tempfile.TemporaryDirectory(dir=cell.folder) as folder:
        real = replay(
            accesses,
            binary=binary,
            folder=Path(folder),
            maxmemory_bytes=cell.maxmemory_bytes,
            policy=cell.policy,
            faster=cell.faster,
        )
    sizes = KeySizes.of(binary.engine, binary.allocator, NAME_BYTES, preload=binary.preload)
    settings = Settings(sizes=sizes, policy=cell.policy, capacity_bytes=real.capacity_bytes)
    exact = Settings(sizes=sizes, policy=EXACT_LRU, capacity_bytes=real.capacity_bytes)
    keys = real.outcome.keys_p50
    floor = Settings(
        sizes=sizes, policy=cell.policy, keys_max=keys if math.isfinite(keys) else math.inf
    )
    simulated, by_keys, lru = (
        simulate(real.accesses, each, seed=_SEED) for each in (settings, floor, exact)
    )
    return {
        "engine": binary.engine,
        "workload": cell.workload,
        "policy": cell.policy,
        "maxmemory_bytes": cell.maxmemory_bytes,
        "turns": real.outcome.needing,
        "evicted_share": real.outcome.evicted_share,
        "expired_share": real.outcome.expired_share,
        "simulated_evicted_share": simulated.evicted_share,
        "simulated_expired_share": simulated.expired_share,
        "keys": keys if math.isfinite(keys) else None,
        "simulated_keys": simulated.keys_p50 if simulated.evicted_keys else None,
        "error": error(simulated, real.outcome),
        "error_by_keys": error(by_keys, real.outcome),
        "error_exact_lru": error(lru, real.outcome),
        "accesses_per_s": len(accesses) / real.took_s,
    }


def error(simulated: Outcome, real: Outcome) -> float:
    """How far a simulation is off: in turns found evicted and in turns found expired together."""
    return abs(simulated.evicted_share - real.evicted_share) + abs(
        simulated.expired_share - real.expired_share
    )


def _binaries() -> list[ServerBinary]:
    found = []
    for engine in ENGINES:
        try:
            found.append(find_binary(engine))
        except ServerMissingError:
            continue
    return found


def _cells(binaries: Iterable[ServerBinary], folder: Path, *, quick: bool) -> Iterable[Cell]:
    accesses = _QUICK_ACCESSES if quick else _ACCESSES
    for workload in WORKLOADS:
        peak = _peak_bytes(WORKLOADS[workload](accesses, _SEED))
        for binary in binaries:
            for policy in POLICIES:
                for share in _QUICK_SHARES if quick else _SHARES:
                    yield Cell(
                        binary=binary,
                        workload=workload,
                        accesses=accesses,
                        policy=policy,
                        maxmemory_bytes=round(_FIXED_GUESS + share * peak),
                        faster=2.0 if quick else 1.0,
                        folder=folder,
                    )


def _peak_bytes(accesses: Accesses) -> float:
    """What all keys would take at most, if nothing were evicted."""
    looks = np.linspace(0, float(accesses.at_s[-1]), 25)
    sizes = KeySizes.of("redis", "jemalloc-5.3.0", NAME_BYTES)
    seen = simulate(accesses, Settings(sizes=sizes), look_at_s=looks).used_at
    return max(used for _, _, used in seen)


def _measured(cells: Sequence[Cell], say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Some at once, each in a process of its own; none is left when this ends, however it ends."""
    rows: list[dict[str, Any]] = []
    context = multiprocessing.get_context("spawn")
    with context.Pool(_AT_ONCE, initializer=_ignore_ctrl_c) as pool:
        # Leaving the block ends the processes, and their servers end with them.
        for row in pool.imap(measured_cell, cells):
            rows.append(row)
            if len(rows) % 10 == 0:
                say(f"{len(rows)} of {len(cells)} replayed")
    return rows


def _ignore_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _speed(accesses: int, say: Callable[[str], None]) -> dict[str, float]:
    """How long so many accesses take, on one core, and a plain loop over as many."""
    say(f"simulating {accesses:,} accesses")
    made = sessions(accesses, _SEED, keys=accesses // 20)
    # At the pace of a busy server, so that its clock moves as often as there.
    made = replace(made, at_s=np.arange(accesses) / _TURNS_PER_S)
    sizes = KeySizes.of("redis", "jemalloc-5.3.0", NAME_BYTES)
    _, first = np.unique(made.key, return_index=True)
    cost = sizes.key_bytes(
        made.value_bytes[first].astype(np.int64), volatile=np.isfinite(made.ttl_s[first])
    )
    capacity_bytes = _SPEED_SHARE * float(cost.sum())
    began_s = time.process_time()
    outcome = simulate(made, Settings(sizes=sizes, capacity_bytes=capacity_bytes), seed=_SEED)
    took_s = time.process_time() - began_s
    began_s = time.process_time()
    total = 0
    for part in made.parts():
        for key, length in zip(
            made.key[part].tolist(), made.value_bytes[part].tolist(), strict=True
        ):
            total += length if key & 1 else -length
    loop_s = time.process_time() - began_s
    return {
        "accesses": accesses,
        "cpu_s": took_s,
        "loop_cpu_s": loop_s,
        "evicted_share": outcome.evicted_share,
        "evicted_keys": outcome.evicted_keys,
        "peak_rss_bytes": 1024.0 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    }


def _figures(table: pd.DataFrame) -> Iterable[Figure]:
    for engine, of_engine in table.groupby("engine", sort=False):
        yield count(
            f"error_{engine}",
            f"mean absolute error of the share of turns without state, {engine}",
            float(of_engine["error"].mean()),
            n=len(of_engine),
            unit="share",
            must="<=0.01",
            goal="<=0.005",
        )
        for policy, rows in of_engine.groupby("policy", sort=False):
            yield count(
                f"error_{policy}_{engine}",
                f"the same under {policy}, {engine}",
                float(rows["error"].mean()),
                n=len(rows),
                unit="share",
                goal="<=0.005",
            )
        worst = of_engine.sort_values("error").iloc[-1]
        yield count(
            f"error_worst_{engine}",
            f"the largest of them ({worst['workload']}, {worst['policy']}), {engine}",
            float(worst["error"]),
            n=len(of_engine),
            unit="share",
        )
        for column, title in (
            ("error_by_keys", "mean error with as many keys as the server held"),
            ("error_exact_lru", "mean error of exact LRU"),
        ):
            yield count(
                f"{column}_{engine}",
                f"{title}, {engine}",
                float(of_engine[column].mean()),
                n=len(of_engine),
                unit="share",
            )
        yield _keys_figure(str(engine), of_engine)


def _keys_figure(engine: str, table: pd.DataFrame) -> Figure:
    figure_id, title = f"keys_{engine}", f"keys that fit: mean relative error, {engine}"
    known = table.dropna(subset=["keys", "simulated_keys"])
    if known.empty:
        return not_measured(figure_id, title, "nothing was evicted", "share")
    off = known["simulated_keys"].astype(float) / known["keys"].astype(float) - 1
    return count(
        figure_id, title, float(off.abs().mean()), n=len(known), unit="share", goal="<=0.03"
    )


def _speed_figures(speed: Mapping[str, float]) -> Iterable[Figure]:
    scale = _MANY / speed["accesses"]
    yield count(
        "ten_million_s",
        "ten million accesses, time of one core",
        scale * speed["cpu_s"],
        n=int(speed["accesses"]),
        unit="s",
        must="<=60",
    )
    yield count(
        "ten_million_ratio",
        "the same, in times of a loop that only adds",
        speed["cpu_s"] / speed["loop_cpu_s"],
        n=int(speed["accesses"]),
        unit="ratio",
    )
    yield count(
        "ten_million_mib",
        "resident memory of the process at most",
        speed["peak_rss_bytes"] / MIB,
        n=1,
        unit="MiB",
    )


def _derived(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    table = pd.DataFrame(rows)
    named = table["engine"] + " " + table["policy"]
    return {"mean_error": table["error"].groupby(named).mean().to_dict()}


def _summary(table: pd.DataFrame) -> str:
    """A row an engine and policy, a column a workload: the mean error of its sizes."""
    head, *rows = _means(table)
    lines = [f"{'mean error':26}" + "".join(f"{name:>11}" for name in head[2:])]
    lines += [
        f"{engine:8}{policy:18}" + "".join(f"{value:>11}" for value in values)
        for engine, policy, *values in rows
    ]
    return "\n".join(lines)


def _means(table: pd.DataFrame) -> list[list[str]]:
    """A head, then a row an engine and policy with the mean error of each workload."""
    means = table.pivot_table(
        index=["engine", "policy"], columns="workload", values="error", sort=False
    )
    records = means.reset_index().to_dict("records")
    return [
        ["engine", "policy", *map(str, means.columns)],
        *(
            [value if isinstance(value, str) else f"{value:.4f}" for value in record.values()]
            for record in records
        ),
    ]


_PAGE: Final = """# What if: the simulation held against real servers

<!-- Written by `{command}`: run it anew. -->

`workbench whatif` simulates eviction. Here {replays} replays on private servers are held against
it: workloads made up by the seed {seed}, each at {sizes} sizes under {policies} policies. The
simulation is told the cap, what the server took without keys, and the times at which the accesses
were replayed.

Measured on {server}; {system}, {cpus} cores.

- The *error* is how far the share of turns that found their state evicted is off, and that of those
  that found it expired, added up.
- *By keys* is the error of a simulation that is told how many keys the server held: the policy's
  part of it alone.
- *Exact LRU* is the error of evicting exactly the least recently used key, from the same memory.
- *Keys* is how many fit, simulated and on the server.

The workloads last for six seconds each, so that the server's clock of whole seconds is coarse for
them: in service, where states live for minutes, it matters less. Replays write without an AOF.

## In figures

| figure | value | of | must | goal |
| --- | --- | --- | --- | --- |
{figures}

## Mean errors

| engine | policy | {workloads} |
| --- | --- |{dashes}
{means}

## Every replay

| engine | workload | policy | maxmemory | evicted | simulated | expired | simulated | keys | \
simulated | error | by keys | exact LRU |
| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
{rows}
"""


def page(report: Mapping[str, Any]) -> str:
    """
    The page of documentation that a report of ``as_dict`` makes.

    Args:
        report: of every engine, not a quick one.
    """
    table = pd.DataFrame(report["rows"])
    head, *means = _means(table)
    machine = report["machine"]
    return _PAGE.format(
        command=_COMMAND,
        replays=len(table),
        seed=report["seed"],
        sizes=table.groupby("workload")["maxmemory_bytes"].nunique().max(),
        policies=table["policy"].nunique(),
        server=machine["server"],
        system=machine["system"],
        cpus=machine["cpus"],
        figures="\n".join(map(_figure_row, report["figures"])),
        workloads=" | ".join(head[2:]),
        dashes=" ---: |" * len(head[2:]),
        means="\n".join(f"| {' | '.join(cells)} |" for cells in means),
        rows="\n".join(map(_row, report["rows"])),
    )


def _figure_row(figure: Mapping[str, Any]) -> str:
    if figure["value"] is None:
        value = f"not measured: {figure['why']}"
    elif figure["unit"] == "share":
        value = f"{figure['value']:.4f}"
    else:
        value = f"{figure['value']:.3g}"
    unit = "" if figure["unit"] in {"share", "ratio", "count"} else f" {figure['unit']}"
    return (
        f"| {figure['title']} | {value}{unit} | {figure['n']:,} | {figure['must'] or ''} "
        f"| {figure['goal'] or ''} |"
    )


def _row(row: Mapping[str, Any]) -> str:
    cells = [
        row["engine"],
        row["workload"],
        row["policy"],
        format_bytes(row["maxmemory_bytes"]),
        *(
            format_share(row[name])
            for name in (
                "evicted_share",
                "simulated_evicted_share",
                "expired_share",
                "simulated_expired_share",
            )
        ),
        *("–" if row[name] is None else f"{row[name]:,.0f}" for name in ("keys", "simulated_keys")),
        *(f"{row[name]:.4f}" for name in ("error", "error_by_keys", "error_exact_lru")),
    ]
    return f"| {' | '.join(cells)} |"


BENCHES.add("whatif", Bench(measure, takes="about eight minutes", page=page))
