"""
How far the law of the peak is to be believed, on points that it was not fitted to.

Each point is a limit and a load. The law advises a maxmemory for it and foretells the peak; a
server with that maxmemory then really rewrites its file under that load inside that limit, and is
killed if the law was wrong to the bad side. As a control the documented maxmemory, 95 % of the
limit, is tried at some of the limits: the bench has to see those killed. And sessions are counted
under caps, against what the layout of each engine foretells.
"""

import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from workbench.analysis.sessions import sessions_that_fit
from workbench.analysis.sizing import (
    Peak,
    advised,
    demand_of,
    documented_maxmemory_bytes,
    law_of,
)
from workbench.benches.figure import BENCHES, Bench, Figure, Report, count, not_measured
from workbench.errors import LimitError, RunError, UsageError
from workbench.lab.calibrate import (
    KIND,
    calibrate,
    cells,
    engine_key,
    every_binary,
    layout_for,
)
from workbench.lab.memory import Cell, Measured
from workbench.lab.memory import measure as measure_cell
from workbench.lab.resident import KEY_BYTES, resident_sessions
from workbench.runs.measurement import Measurement, find_measurement, write_measurement
from workbench.server.binary import ServerBinary
from workbench.telemetry.circumstances import measurement
from workbench.units import MIB, format_bytes, format_share

if TYPE_CHECKING:
    from workbench.server.process import PrivateServer

__all__ = ["Point", "Resident", "figures_of", "measure", "page"]

_SEED: Final = 2027
_WITHIN: Final = 0.1
_KEPT_UP: Final = 0.8
_POINTS: Final = 12
_POINTS_OF_OTHERS: Final = 6
_CPU_SHARES: Final = (0.4, 0.6, 0.85)
_HOT_SHARES: Final = (0.1, 0.3, 0.7)
_SPREADS: Final = (0.0, 0.4, 0.6)
_LARGEST: Final = 320 * MIB
_CONTROLS: Final = 2
_CONTROL_WRITES_PER_S: Final = 1000
_RESIDENT: Final = (
    (24 * MIB, (1000,)),
    (40 * MIB, (300,)),
    (64 * MIB, (2600,)),
    (96 * MIB, (400, 1100, 2200, 2600, 2700, 2900)),
)
_QUICK_CELLS: Final = 8
_QUICK_LARGEST: Final = 20 * MIB
_QUICK_POINTS: Final = 3
_COMMAND: Final = "workbench bench sizing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """
    A held-out point: what the law said, and what came of it.

    Attributes:
        measured: the cell as it was carried out.
        key: the engine, version and allocator.
        control: its maxmemory is the documented one, not the advised one.
        predicted_bytes: of the peak of server and rewrite together.
        predicted_low_bytes, predicted_high_bytes: between which nineteen of twenty are to lie.
        predicted_rewrite_s: how long the rewrite is to take.
        again: it was carried out twice, since the server stood still the first time.
    """

    measured: Measured
    key: Mapping[str, str]
    control: bool
    predicted_bytes: int
    predicted_low_bytes: int
    predicted_high_bytes: int
    predicted_rewrite_s: float
    again: bool

    @property
    def error(self) -> float:
        """The predicted peak by the measured one, less 1."""
        return self.predicted_bytes / self.measured.peak_bytes - 1

    @property
    def spare_share(self) -> float:
        """Of the limit, what was left at the peak."""
        assert self.measured.limit_bytes is not None, "each point has a limit"
        return 1 - self.measured.peak_bytes / self.measured.limit_bytes

    def row(self) -> dict[str, Any]:
        """For a table: the cell, and what was foretold."""
        told = asdict(self)
        row: dict[str, Any] = told.pop("measured")
        told.pop("key")
        return row | told | {"engine_name": _name(self.key)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Resident:
    """
    Sessions counted under a cap, and as many as were foretold.

    Attributes:
        key: the engine, version and allocator.
        maxmemory_bytes: the cap.
        value_bytes: length of a document, on average.
        lengths: how many lengths there were.
        counted, predicted: sessions.
    """

    key: Mapping[str, str]
    maxmemory_bytes: int
    value_bytes: float
    lengths: int
    counted: int
    predicted: int

    @property
    def error(self) -> float:
        """Those foretold by those counted, less 1."""
        return self.predicted / self.counted - 1


def measure(
    server: "PrivateServer", *, quick: bool, say: Callable[[str], None] = lambda _: None
) -> Report:
    """
    On every engine and allocator that there is; quickly on that of ``server``, and small sizes.

    Args:
        server: ours; only its program is taken, since each point has a server of its own.
        quick: a law that is fitted in passing, three points, small caps.
        say: told what is measured next.
    """
    binaries = [server.binary] if quick else every_binary()
    with tempfile.TemporaryDirectory(prefix="workbench-sizing-") as name:
        folder = Path(name)
        fitted = _law(binaries, folder, quick=quick, say=say)
        points: list[Point] = []
        for at, binary in enumerate(binaries):
            number = _QUICK_POINTS if quick else _POINTS_OF_OTHERS if at else _POINTS
            points += _points(binary, fitted, folder, number, quick=quick, say=say)
        residents = [
            _resident(binary, folder, cap // (4 if quick else 1), lengths, say)
            for binary in binaries
            for cap, lengths in (_RESIDENT[:1] if quick else _RESIDENT)
        ]
        figures = figures_of(points, residents, quick=quick)
        made = measurement(
            "sizing",
            [point.row() for point in points if not point.control],
            command=_COMMAND,
            seed=_SEED,
            engines=binaries,
            folder=folder,
        ).with_derived(
            {
                "controls": [point.row() for point in points if point.control],
                "residents": [asdict(each) | {"error": each.error} for each in residents],
                "law": {"made_at": fitted.made_at, "where": fitted.where, "seed": fitted.seed},
                "figures": {figure.id: figure.value for figure in figures},
            }
        )
    details: dict[str, Any] = {
        "seed": _SEED,
        "points": [point.row() | {"error": point.error} for point in points],
        "residents": made.derived["residents"],
        "law": made.derived["law"],
        "where": made.where,
        "command": _COMMAND,
    }
    if not quick:
        path = write_measurement(made)
        say(f"written: {path}")
        details["measurement"] = str(path)
    return Report(
        "sizing",
        any(point.again for point in points),
        figures,
        "; ".join(binary.label for binary in binaries),
        details=details,
        table=_table(points, residents),
    )


def figures_of(
    points: Sequence[Point], residents: Sequence[Resident], *, quick: bool = False
) -> list[Figure]:
    """
    What held-out points and counted sessions come to.

    Args:
        points: with the controls.
        residents: what was counted.
        quick: the law was fitted in passing to small caps, so that nothing is asked of its peaks.
    """
    held = [point for point in points if not point.control]
    controls = [point for point in points if point.control]
    lived = [point for point in held if not point.measured.killed]
    within = sum(abs(point.error) <= _WITHIN for point in lived)
    figures = [
        count(
            "sizing_within_tenth_share",
            "held-out points whose predicted peak is within ±10 % of the measured",
            within / len(held),
            n=len(held),
            unit="share",
            must=None if quick else ">=0.9",
        ),
        count(
            "sizing_error_median",
            "of predicted peaks, the median of how far they are off",
            statistics.median(abs(point.error) for point in lived) if lived else 1.0,
            n=len(lived),
            unit="share",
        ),
        count(
            "sizing_over_reserve_median",
            "of the limit, what is left at the peak at the advised maxmemory, median",
            statistics.median(point.spare_share for point in held),
            n=len(held),
            unit="share",
            must=None if quick else "<=0.2",
        ),
        _killed(held),
        *_control(controls),
    ]
    names = sorted({_name(each.key) for each in residents})
    for name in names:
        own = [each for each in residents if _name(each.key) == name]
        figures.append(
            count(
                f"sizing_sessions_error_{_slug(name)}",
                f"sessions that stay under a cap, the furthest off of what is foretold, {name}",
                max(abs(each.error) for each in own),
                n=len(own),
                unit="share",
                must="<=0.03",
            )
        )
    return figures


def _killed(held: Sequence[Point]) -> Figure:
    title = "advised maxmemory that was killed, or went over its limit"
    over = sum(bool(point.measured.over_limit) for point in held)
    figure = count("sizing_killed", title, over, n=len(held), must="0")
    if any(not point.measured.watched_by.startswith("cgroup") for point in held):
        why = "no limit could be set here, so the peak was held against it"
        return replace(figure, why=why)
    return figure


def _control(controls: Sequence[Point]) -> list[Figure]:
    title = "control: documented maxmemory that was killed, or went over its limit"
    if not controls:
        return [not_measured("sizing_documented_killed", title, "quick", "count")]
    over = sum(bool(point.measured.over_limit) for point in controls)
    return [
        count(
            "sizing_documented_killed",
            title,
            over,
            n=len(controls),
            must=f"{len(controls)}",
        )
    ]


def _law(
    binaries: Sequence[ServerBinary],
    folder: Path,
    *,
    quick: bool,
    say: Callable[[str], None],
) -> Measurement:
    """The law that is kept; where there is none for an engine, and quickly, one fitted here."""
    if not quick:
        try:
            found, path = find_measurement(KIND)
        except RunError:
            say("no law is kept here: it is fitted first")
        else:
            known = {(each["engine"], each["allocator"]) for each in found.derived["laws"]}
            if {(engine_key(b)["engine"], engine_key(b)["allocator"]) for b in binaries} <= known:
                say(f"the law of {path}")
                return found
            say(f"{path} has no law for one of these engines: all are fitted first")
        return calibrate(binaries, folder, progress=say)
    return calibrate(
        binaries,
        folder,
        number=_QUICK_CELLS,
        largest=_QUICK_LARGEST,
        restarts=False,
        progress=say,
    )


def _points(
    binary: ServerBinary,
    fitted: Measurement,
    folder: Path,
    number: int,
    *,
    quick: bool,
    say: Callable[[str], None],
) -> list[Point]:
    key = engine_key(binary)
    layout = layout_for(binary, folder)
    law, _ = law_of(fitted, key["engine"], key["allocator"])
    drawn = cells(
        _SEED,
        number,
        largest=_QUICK_LARGEST if quick else _LARGEST,
        shares=() if quick else _CPU_SHARES,
        hot_shares=_HOT_SHARES,
        spreads=_SPREADS,
    )
    found = []
    for at, conditions in enumerate(drawn):
        say(f"{binary.label}: held-out point {at + 1} of {number}")
        # The size that was drawn is that of the limit.
        limit = conditions.maxmemory_bytes * 5 // 4
        try:
            advice = advised(law, layout, limit, demand_of(asdict(conditions)))
        except UsageError:
            continue  # no maxmemory is safe there, which the law says by itself
        cell = replace(conditions, limit_bytes=limit, maxmemory_bytes=advice.maxmemory_bytes)
        found.append(_tried(cell, binary, advice.peak, folder))
    if quick or binary.engine != "redis":
        return found
    for at in range(_CONTROLS):
        say(f"{binary.label}: control {at + 1} of {_CONTROLS}, the documented maxmemory")
        limit = (128 + 64 * at) * MIB
        cell = Cell(
            maxmemory_bytes=documented_maxmemory_bytes(limit),
            limit_bytes=limit,
            writes_per_s=_CONTROL_WRITES_PER_S,
            value_bytes=1024,
            length_spread=0.5,
            seed=_SEED,
        )
        peak = law.peak(layout, cell.maxmemory_bytes, demand_of(asdict(cell)))
        found.append(_tried(cell, binary, peak, folder, control=True))
    return found


def _tried(
    cell: Cell, binary: ServerBinary, peak: Peak, folder: Path, *, control: bool = False
) -> Point:
    measured = _carried_out(cell, binary, folder)
    again = _stood_still(measured)
    if again:
        measured = _carried_out(cell, binary, folder)
    rest = peak.bytes - peak.anonymous_bytes
    return Point(
        measured=measured,
        key=engine_key(binary),
        control=control,
        predicted_bytes=peak.anonymous_bytes,
        predicted_low_bytes=peak.low_bytes - rest,
        predicted_high_bytes=peak.high_bytes - rest,
        predicted_rewrite_s=peak.rewrite_s,
        again=again,
    )


def _carried_out(cell: Cell, binary: ServerBinary, folder: Path) -> Measured:
    try:
        return measure_cell(cell, binary=binary, folder=folder)
    except LimitError:
        return measure_cell(replace(cell, cpu_share=None), binary=binary, folder=folder)


def _stood_still(measured: Measured) -> bool:
    """Whether writes did not come through, as where a disk is slow: then the load was another."""
    if measured.killed or measured.written_per_s is None:
        return False
    return measured.written_per_s < _KEPT_UP * measured.writes_per_s


def _resident(
    binary: ServerBinary,
    folder: Path,
    cap: int,
    lengths: Sequence[int],
    say: Callable[[str], None],
) -> Resident:
    say(f"{binary.label}: sessions under {format_bytes(cap)}")
    layout = layout_for(binary, folder)
    counted = resident_sessions(
        cap, value_bytes=list(lengths), folder=folder, binary=binary, seed=_SEED
    )
    fit = sessions_that_fit(layout, cap, value_bytes=lengths, key_bytes=KEY_BYTES)
    return Resident(
        key=engine_key(binary),
        maxmemory_bytes=cap,
        value_bytes=counted.value_bytes,
        lengths=len(lengths),
        counted=counted.sessions,
        predicted=fit.sessions,
    )


def _name(key: Mapping[str, str]) -> str:
    return f"{key['engine'].capitalize()} {key['version']}, {key['allocator']}"


def _slug(name: str) -> str:
    return "_".join(name.lower().replace(",", "").replace(".", "_").split())


def _table(points: Sequence[Point], residents: Sequence[Resident]) -> str:
    rows = [_POINT_HEAD, *(_point_cells(point.row()) for point in points)]
    lines = [*_aligned(rows), ""]
    rows = [_RESIDENT_HEAD, *(_resident_cells(asdict(each)) for each in residents)]
    return "\n".join(lines + _aligned(rows))


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


_POINT_HEAD: Final = (
    *("server", "limit", "maxmemory", "writes/s", "length", "on a tenth", "vCPU"),
    *("predicted", "measured", "off by", "left", "outcome"),
)
_RESIDENT_HEAD: Final = ("server", "maxmemory", "length", "counted", "predicted", "off by")


def _point_cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    spread = f" ± {format_share(row['length_spread'])}" if row["length_spread"] else ""
    survived = "killed" if row["killed"] else "survived"
    if not row["killed"] and row["peak_bytes"] >= row["limit_bytes"]:
        survived = "over the limit"
    return (
        row["engine_name"],
        format_bytes(row["limit_bytes"]),
        format_bytes(row["maxmemory_bytes"]) + (", documented" if row["control"] else ""),
        f"{row['writes_per_s']:,.0f}" + (", new" if row["new_keys"] else ""),
        f"{row['value_bytes']:,} B{spread}",
        format_share(row["hot_share"]),
        "–" if row["cpu_share"] is None else f"{row['cpu_share']:g}",
        format_bytes(row["predicted_bytes"]),
        "–" if row["killed"] else format_bytes(row["peak_bytes"]),
        "–" if row["killed"] else _signed(row["predicted_bytes"] / row["peak_bytes"] - 1),
        "–" if row["killed"] else format_share(max(0, 1 - row["peak_bytes"] / row["limit_bytes"])),
        survived + (", at the second try" if row["again"] else ""),
    )


def _resident_cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    lengths = f", of {row['lengths']} lengths" if row["lengths"] > 1 else ""
    return (
        _name(row["key"]),
        format_bytes(row["maxmemory_bytes"]),
        f"{row['value_bytes']:,.0f} B{lengths}",
        f"{row['counted']:,}",
        f"{row['predicted']:,}",
        _signed(row["predicted"] / row["counted"] - 1),
    )


def _signed(share: float) -> str:
    return f"{100 * share:+.1f} %"


_PAGE: Final = """# How far the law of the peak is to be believed

<!-- Written by `{command} --markdown docs/reference/sizing.md`: run it anew. -->

`workbench size` advises the largest maxmemory whose peak, while the append-only file is rewritten
under writes, stays under a limit. Here it is held against points that its law was not fitted to:
other sizes, rates, lengths, skew and shares of a core. Each is a server that was filled to the
advised maxmemory inside the limit and rewrote its file once under the load.

Measured on {where}; seed {seed}. The law is that of {law}.

## In figures

| figure | value | of | must |
| --- | --- | --- | --- |
{figures}

## Held-out points

*predicted* and *measured* are the peak of server and rewrite together: anonymous memory, without
what the kernel keeps for page tables. *left* is what the limit had left at the peak. Where the
maxmemory is the documented one, 95 % of the limit, the point is a control: it has to be killed.

| {point_head} |
|{point_dashes}
{points}

## Sessions under a cap

Worked out from how each engine keeps a session and what its allocator rounds that up to; nothing
here is fitted.

| {resident_head} |
|{resident_dashes}
{residents}
"""


def page(report: Mapping[str, Any]) -> str:
    """
    The page of documentation that a report of ``as_dict`` makes.

    Args:
        report: of every engine, not a quick one.
    """
    figures = [
        f"| {each['title']} | {_value(each)} | {each['n']} | {each['must'] or ''} |"
        for each in report["figures"]
    ]
    return _PAGE.format(
        command=report["command"],
        where=report["where"],
        seed=report["seed"],
        law=f"{report['law']['where']}, seed {report['law']['seed']}",
        figures="\n".join(figures),
        point_head=" | ".join(_POINT_HEAD),
        point_dashes=" --- |" * len(_POINT_HEAD),
        points="\n".join(f"| {' | '.join(_point_cells(row))} |" for row in report["points"]),
        resident_head=" | ".join(_RESIDENT_HEAD),
        resident_dashes=" --- |" * len(_RESIDENT_HEAD),
        residents="\n".join(
            f"| {' | '.join(_resident_cells(row))} |" for row in report["residents"]
        ),
    )


def _value(figure: Mapping[str, Any]) -> str:
    if figure["value"] is None:
        return f"not measured: {figure['why']}"
    return format_share(figure["value"]) if figure["unit"] == "share" else f"{figure['value']:g}"


BENCHES.add("sizing", Bench(measure, takes="about five minutes", page=page))
