"""
The law of the peak: what a rewrite under writes makes of ``maxmemory``, and which cap is safe.

The peak is what the cap counts, what the allocator and the program hold beyond that, and the pages
that a rewrite copies. A page is copied when a key on it is written before the rewrite ends. How
many are is worked out, and not fitted: how many keys are written how often follows from the writes
and the skew, how many lie on a page from what a session takes. Values and the small objects that
lead to them lie apart. Hundreds of small ones share a page, so their pages are all copied soon;
that is why the pages per write fall as writes go on. What is fitted is how fast a rewrite is, what
is held beside ``used_memory``, and by which factor the copied pages differ from those worked out.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import msgspec
import numpy as np
import pandas as pd
from scipy.optimize import least_squares, nnls

from workbench.analysis.sessions import Fit, Layout, sessions_that_fit
from workbench.analysis.windows import needed
from workbench.errors import RunError, UsageError
from workbench.runs.measurement import Measurement
from workbench.units import MIB, format_bytes

__all__ = [
    "COLUMNS",
    "Advice",
    "Demand",
    "Law",
    "Peak",
    "Term",
    "advised",
    "cross_checked",
    "demand_of",
    "documented_maxmemory_bytes",
    "fit_law",
    "law_of",
    "with_loading",
]

COLUMNS: Final = (
    *("maxmemory_bytes", "writes_per_s", "value_bytes", "hot_share", "cpu_share", "new_keys"),
    *(
        "length_spread",
        "keys",
        "used_memory_bytes",
        "before_bytes",
        "peak_bytes",
        "aof_buffer_bytes",
    ),
    *("rewrite_s", "written_per_s", "killed"),
)
"""What is needed of a cell to fit a law to it."""

CELLS_MIN: Final = 8
"""Of fewer cells no law is fitted."""

_PAGE: Final = 4096
_HOT_KEYS: Final = 0.1
_COMMAND_BYTES: Final = 60
_BACKLOG_BYTES: Final = MIB
_UNLIMITED_CORES: Final = 2.0  # one for the server, one for the rewrite
_SHARE_OF_NOTHING: Final = 0.03
_KEPT_UP: Final = 0.8
_SMALLEST: Final = 4
_LENGTHS: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """
    What a server is asked to do.

    Attributes:
        writes_per_s: of sessions, while a rewrite runs.
        value_bytes: length of a value, on average.
        length_spread: how far lengths lie from that at most, of it, evenly; 0 if all are equal.
        lengths: of values, if they are known; then the spread follows from them.
        hot_share: of the writes, that goes to a tenth of the sessions; 0.1 is none preferred.
        cpu_share: of one core, that server and rewrite have together; None is a core for each.
        new_share: of the writes, those that begin a session, and so evict another.
        key_bytes: length of a key's name.
        clients: connections that are in use.
        replicas: that are attached.
    """

    writes_per_s: float
    value_bytes: float
    length_spread: float = 0.0
    lengths: tuple[int, ...] = ()
    hot_share: float = 0.1
    cpu_share: float | None = None
    new_share: float = 0.0
    key_bytes: int = 20
    clients: int = 1
    replicas: int = 0

    @property
    def each_length(self) -> tuple[int, ...]:
        """Lengths of values, evenly many."""
        if self.lengths:
            return self.lengths
        if not self.length_spread:
            return (round(self.value_bytes),)
        steps = (2 * (at + 0.5) / _LENGTHS - 1 for at in range(_LENGTHS))
        return tuple(
            max(1, round(self.value_bytes * (1 + step * self.length_spread))) for step in steps
        )

    @property
    def spread(self) -> float:
        """How far lengths lie from their mean at most, if they lay evenly."""
        if not self.lengths:
            return self.length_spread
        apart = np.abs(np.array(self.lengths) - np.mean(self.lengths)).mean()
        return float(min(1.0, 2 * apart / np.mean(self.lengths)))


@dataclass(frozen=True, slots=True)
class Term:
    """
    One part of the peak.

    Attributes:
        name: for programs: ``copy_on_write``.
        title: for people.
        bytes: how large.
        counted: whether ``maxmemory`` counts it.
        basis: ``fitted``, ``worked out`` or ``documented``.
    """

    name: str
    title: str
    bytes: int
    counted: bool
    basis: str


@dataclass(frozen=True, slots=True)
class Peak:
    """
    What the law says of one cap.

    Attributes:
        terms: from the bottom up.
        low_bytes, high_bytes: of the peak, between which nineteen of twenty lie.
        fit: how many sessions are there.
        rewrite_s: how long a rewrite takes.
        written_per_s: writes that the server gets done meanwhile.
        writes_of_rewrite: how many those are.
    """

    terms: tuple[Term, ...]
    low_bytes: int
    high_bytes: int
    fit: Fit
    rewrite_s: float
    written_per_s: float
    writes_of_rewrite: float

    @property
    def bytes(self) -> int:
        """The peak that is expected."""
        return sum(term.bytes for term in self.terms)

    @property
    def anonymous_bytes(self) -> int:
        """Of it, what the laboratory measures: without what the kernel keeps."""
        return self.bytes - self.of("page_tables") - self.of("replica_buffers")

    def of(self, name: str) -> int:
        """One term, bytes."""
        return sum(term.bytes for term in self.terms if term.name == name)


@dataclass(frozen=True, slots=True)
class Advice:
    """
    The safe cap under a limit.

    Attributes:
        maxmemory_bytes: it.
        limit_bytes: the limit.
        even_bytes: the cap whose expected peak meets the limit: above or below as often.
        peak: what the law says of the safe cap.
        outside: which of the inputs lie outside of what the law was fitted to, a sentence each.
    """

    maxmemory_bytes: int
    limit_bytes: int
    even_bytes: int
    peak: Peak
    outside: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    """
    The law of one engine and allocator, as fitted to cells.

    Attributes:
        program_bytes: that the process holds beside ``used_memory``.
        fragmentation: of ``used_memory``, what is held beyond it.
        gaps: likewise, where lengths differ; times the root of their spread.
        floor_bytes: that a rewrite takes without any write.
        values_factor, objects_factor: copied pages by those worked out.
        renewed_factor: of values, where sessions begin and others are evicted: the oldest lie side
            by side.
        touches: pages of small objects that a write changes.
        key_us, byte_ns: that a rewrite works on a key and on a byte of the dataset.
        write_us: that the server works on a write.
        aof_s: for how long writes stay in the AOF's buffer.
        load_key_us, load_byte_ns: that a restart works on a key and on a byte of the dataset.
        load_factor: the most that is resident meanwhile, by what is used in the end.
        before_error, growth_error: of the memory before a rewrite and of what it adds, the share
            by which nineteen of twenty cells differ from what the others foretell; low and high.
        cells: how many it rests on.
        ranges: of each input, the least and the most.
    """

    program_bytes: float
    fragmentation: float
    gaps: float
    floor_bytes: float
    values_factor: float
    objects_factor: float
    renewed_factor: float
    touches: float
    key_us: float
    byte_ns: float
    write_us: float
    aof_s: float
    load_key_us: float = 0.0
    load_byte_ns: float = 0.0
    load_factor: float = 1.0
    before_error: tuple[float, float] = (0.0, 0.0)
    growth_error: tuple[float, float] = (0.0, 0.0)
    cells: int = 0
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def peak(self, layout: Layout, maxmemory_bytes: int, demand: Demand) -> Peak:
        """What happens at a cap that has been reached, when a rewrite runs under the writes."""
        fit = sessions_that_fit(
            layout,
            maxmemory_bytes,
            value_bytes=demand.each_length,
            key_bytes=demand.key_bytes,
            clients=demand.clients,
        )
        sessions = fit.sessions
        headers = layout.header_bytes * sessions * (3 if layout.engine == "redis" else 2)
        rewrite_s, written = self.rewrite(sessions, maxmemory_bytes, demand)
        writes = rewrite_s * written
        values, objects = touched_bytes(fit, writes, demand, touches=self.touches)
        of_values = _blend(demand.new_share, self.renewed_factor, self.values_factor)
        copied = self.floor_bytes + of_values * values + self.objects_factor * objects
        command = demand.value_bytes + demand.key_bytes + _COMMAND_BYTES
        aof = written * command * self.aof_s
        gaps = self.fragmentation + self.gaps * math.sqrt(demand.spread)
        beyond = gaps * maxmemory_bytes + headers
        before = maxmemory_bytes + beyond + self.program_bytes
        growth = copied + aof
        clients = demand.clients * layout.client_bytes
        data = maxmemory_bytes - clients - layout.startup_bytes - fit.tables_bytes
        backlog = (_BACKLOG_BYTES + written * command * rewrite_s) if demand.replicas else 0.0
        tables = 2 * before / 512
        terms = (
            Term("sessions", "sessions", round(data), True, "worked out"),
            Term("key_tables", "tables of keys", fit.tables_bytes, True, "worked out"),
            Term("clients", "client buffers", clients, True, "measured"),
            Term("startup", "empty server", layout.startup_bytes, True, "measured"),
            Term("program", "the program itself", round(self.program_bytes), False, "fitted"),
            Term("fragmentation", "fragmentation", round(beyond), False, "fitted"),
            Term("aof_buffer", "AOF buffer", round(aof), False, "fitted"),
            Term("copy_on_write", "copy-on-write", round(copied), False, "fitted"),
            Term("replica_buffers", "replica buffers", round(backlog), False, "documented"),
            Term("page_tables", "page tables", round(tables), False, "worked out"),
        )
        rest = backlog + tables
        low, high = (
            before * (1 + self.before_error[side])
            + growth
            + (growth + _SHARE_OF_NOTHING * before) * self.growth_error[side]
            + rest
            for side in (0, 1)
        )
        return Peak(terms, round(low), round(high), fit, rewrite_s, written, writes)

    def rewrite(self, keys: float, used_bytes: float, demand: Demand) -> tuple[float, float]:
        """
        How long a rewrite takes, s, and the writes that are carried out meanwhile, 1/s.

        Server and rewrite share what there is of a core; each gets half if both want more.
        """
        granted = _UNLIMITED_CORES if demand.cpu_share is None else demand.cpu_share
        wanted = demand.writes_per_s * self.write_us / 1e6
        left = min(1.0, max(granted - wanted, granted / 2))
        done = 1e6 * min(1.0, granted - left) / max(self.write_us, 1e-9)
        return self.work_s(keys, used_bytes) / left, min(demand.writes_per_s, done)

    def work_s(self, keys: float, used_bytes: float) -> float:
        """What a rewrite takes on a core of its own, s."""
        return keys * self.key_us / 1e6 + used_bytes * self.byte_ns / 1e9

    def load_s(self, keys: float, used_bytes: float, cpu_share: float | None) -> float:
        """How long a restart reads, s."""
        work_s = keys * self.load_key_us / 1e6 + used_bytes * self.load_byte_ns / 1e9
        return work_s / min(1.0, cpu_share or 1.0)

    def load_bytes(self, used_bytes: float) -> float:
        """What a restart holds at most, bytes; it does not look at ``maxmemory``."""
        return used_bytes * self.load_factor + self.program_bytes

    def outside(self, maxmemory_bytes: int, demand: Demand) -> tuple[str, ...]:
        """Which inputs lie outside of what the law was fitted to, a sentence each."""
        given: dict[str, float] = {
            "maxmemory_bytes": maxmemory_bytes,
            "writes_per_s": demand.writes_per_s,
            "value_bytes": demand.value_bytes,
            "hot_share": demand.hot_share,
            "length_spread": demand.spread,
            "cpu_share": 1.0 if demand.cpu_share is None else demand.cpu_share,
        }
        said = []
        for name, value in given.items():
            low, high = self.ranges.get(name, (-math.inf, math.inf))
            if not low * 0.999 <= value <= high * 1.001:
                is_size = name == "maxmemory_bytes"
                show = format_bytes if is_size else lambda number: f"{number:,g}"
                said.append(
                    f"{name.removesuffix('_bytes') if is_size else name} {show(value)} is outside "
                    f"of what was measured, {show(low)} to {show(high)}"
                )
        return tuple(said)


def touched_bytes(
    fit: Fit, writes: float, demand: Demand, *, touches: float
) -> tuple[float, float]:
    """
    Pages that so many writes have copied, bytes: those of values, and those of what leads there.

    A page of values stays as it is while none of them is written: the share of keys that are not
    written, to the power of how many lie on a page. Of the small objects a write touches some here
    and there: its own, those beside it in a chain, and places in the tables.

    Args:
        fit: the sessions that are there.
        writes: while the rewrite runs.
        demand: their skew.
        touches: pages of small objects by a write.
    """
    keys, session = fit.sessions, fit.session
    if not keys or writes <= 0:
        return 0.0, 0.0
    # What begins is written wherever room was made for it.
    hot = _blend(demand.new_share, _HOT_KEYS, min(max(demand.hot_share, 0.0), 1.0))
    unwritten = _HOT_KEYS * math.exp(-writes * hot / (_HOT_KEYS * keys)) + (
        1 - _HOT_KEYS
    ) * math.exp(-writes * (1 - hot) / ((1 - _HOT_KEYS) * keys))
    if unwritten <= 0:
        return keys * session.value, keys * small_bytes(fit, demand)
    values = keys * session.value
    copied = -math.expm1(math.log(unwritten) * (1 + _PAGE / session.value))
    if released := fit.layout.released_share(demand.each_length):
        # A rewrite gives a value's whole pages back once it has written them: they are copied only
        # if the write comes first. Over the rewrite that is so for a share of them.
        each = -math.log(unwritten)
        earlier = 1 - (1 - unwritten) / each if each > 1e-6 else each / 2
        copied = (1 - released) * copied + released * earlier
    pages = keys * small_bytes(fit, demand) / _PAGE
    objects = -math.expm1(-touches * keys * (1 - unwritten) / pages)
    return values * copied, pages * _PAGE * objects


def small_bytes(fit: Fit, demand: Demand) -> float:
    """What a session has beside its value and writes change: objects, its share of the tables."""
    tables = fit.tables_bytes / fit.sessions if fit.sessions else 0.0
    return max(1.0, fit.session.objects + tables + demand.new_share * fit.session.key)


def _blend(share: float, of_new: float, of_others: float) -> float:
    return share * of_new + (1 - share) * of_others


def advised(
    law: Law, layout: Layout, limit_bytes: int, demand: Demand, *, spare_share: float = 0.0
) -> Advice:
    """
    The largest cap, in whole MiB, whose peak stays under the limit at the upper end of the law.

    Args:
        law: of the engine.
        layout: of the engine and its allocator.
        limit_bytes: of the container or task.
        demand: what the server is asked to do.
        spare_share: of the limit, to be left on top of that.

    Raises:
        UsageError: no cap is safe there.
    """
    room = limit_bytes * (1 - spare_share)

    def largest(end: Callable[[Peak], int]) -> int:
        """The most MiB whose peak, at one end of what the law says, leaves the room."""
        least, most = 0, limit_bytes // MIB + 1
        while most - least > 1:
            middle = (least + most) // 2
            if end(law.peak(layout, middle * MIB, demand)) <= room:
                least = middle
            else:
                most = middle
        return least

    safe = largest(lambda peak: peak.high_bytes)
    if safe < _SMALLEST:
        needs = law.peak(layout, _SMALLEST * MIB, demand).high_bytes
        raise UsageError(
            f"no maxmemory is safe under {format_bytes(limit_bytes)}: {_SMALLEST} MiB of it may "
            f"come to {format_bytes(needs)} while a rewrite runs; raise the limit, or lower the "
            "writes or the connections"
        )
    return Advice(
        safe * MIB,
        limit_bytes,
        largest(lambda peak: peak.bytes) * MIB,
        law.peak(layout, safe * MIB, demand),
        law.outside(safe * MIB, demand),
    )


def law_of(fitted: Measurement, engine: str, allocator: str) -> tuple[Law, Mapping[str, Any]]:
    """
    The law of an engine and allocator in a measurement of kind ``sizing-fit``.

    Args:
        fitted: the measurement.
        engine: ``redis`` or ``valkey``.
        allocator: ``jemalloc`` or ``libc``.

    Returns:
        the law, and which engine, version and allocator it was fitted on: of the same engine, else
        of the same allocator, else of any.

    Raises:
        RunError: there is no law in it.
    """
    told = list(fitted.derived.get("laws") or [])
    if not told:
        raise RunError(f"the measurement of {fitted.made_at} has no law: {fitted.command}")
    best = max(
        told,
        key=lambda each: 2 * (each["engine"] == engine) + (each["allocator"] == allocator),
    )
    try:
        return msgspec.convert(best["law"], Law), best
    except msgspec.ValidationError as error:
        raise RunError(
            f"the law in the measurement of {fitted.made_at} cannot be read ({error}); make it "
            f"again: {fitted.command}"
        ) from None


def documented_maxmemory_bytes(limit_bytes: int) -> int:
    """The documented production rule: 95 % of the container's share of 35 %, in whole MiB."""
    return math.floor(limit_bytes * 0.95 / MIB) * MIB


def fit_law(cells: pd.DataFrame, layout: Layout) -> Law:
    """
    The law that cells of one engine and allocator follow.

    Args:
        cells: a row each, with COLUMNS; those that were killed are left out.
        layout: of the engine and its allocator.

    Raises:
        UsageError: there are too few.
        ColumnMissingError: a needed column is absent.
    """
    whole = needed(cells, *COLUMNS)
    whole = whole[~whole["killed"].astype(bool) & (whole["peak_bytes"] > 0)].reset_index(drop=True)
    if len(whole) < CELLS_MIN:
        raise UsageError(
            f"a law needs {CELLS_MIN} cells that were not killed, and there are {len(whole)}"
        )
    law = _fitted(whole, layout)
    # One whose server stood still, as for a slow disk, was not written to as it was to be.
    kept_up = whole.index[whole["written_per_s"] >= _KEPT_UP * whole["writes_per_s"]]
    errors = [
        _errors(_fitted(whole.drop(index=index), layout), whole.loc[index], layout)
        for index in (kept_up if len(kept_up) >= CELLS_MIN else whole.index)
    ]
    before, growth = (np.array(each) for each in zip(*errors, strict=True))
    shares = whole["cpu_share"].astype(float).fillna(1.0)
    ranges = {
        name: (float(values.min()), float(values.max()))
        for name, values in {
            **{name: whole[name].astype(float) for name in (*COLUMNS[:4], "length_spread")},
            "cpu_share": shares,
        }.items()
    }
    return Law(
        **_coefficients(law),
        before_error=_bounds(before),
        growth_error=_bounds(growth),
        cells=len(whole),
        ranges=ranges,
    )


def with_loading(law: Law, restarts: pd.DataFrame, layout: Layout) -> Law:
    """
    The law, with what restarts took.

    Args:
        law: of the engine.
        restarts: a row each: ``value_bytes``, ``used_memory_bytes``, ``load_s`` and
            ``rss_bytes_peak``.
        layout: of the engine and its allocator.
    """
    whole = needed(restarts, "value_bytes", "used_memory_bytes", "load_s", "rss_bytes_peak")
    used = whole["used_memory_bytes"].to_numpy(dtype=float)
    each = [layout.session(float(value), key_bytes=20).total for value in whole["value_bytes"]]
    matrix = np.column_stack([used / np.array(each) / 1e6, used / 1e9])
    took = whole["load_s"].to_numpy(dtype=float)
    (key_us, byte_ns), _ = nnls(matrix / used[:, None], took / used)
    resident = whole["rss_bytes_peak"].to_numpy(dtype=float)
    factor = np.nanmax((resident - law.program_bytes) / used) if len(resident) else 1.0
    return replace(
        law,
        load_key_us=float(key_us),
        load_byte_ns=float(byte_ns),
        load_factor=max(1.0, float(factor)) if math.isfinite(factor) else 1 + law.fragmentation,
    )


_COEFFICIENTS: Final = (
    *("program_bytes", "fragmentation", "gaps", "floor_bytes", "values_factor"),
    *("objects_factor", "renewed_factor", "touches", "key_us", "byte_ns", "write_us", "aof_s"),
)


def _coefficients(law: Law) -> dict[str, Any]:
    return {name: getattr(law, name) for name in _COEFFICIENTS}


def _bounds(errors: np.ndarray) -> tuple[float, float]:
    """Between which nineteen of twenty lie; never on one side of 0, and wider for few."""
    wider = 1 + 2 / len(errors)
    low, high = np.quantile(errors, (0.025, 0.975)) * wider
    return min(0.0, float(low)), max(0.0, float(high))


def demand_of(cell: Mapping[str, Any] | pd.Series, *, as_achieved: bool = False) -> Demand:
    """What the server of a cell was asked to do; or what it did, as far as that was measured."""
    share = cell["cpu_share"]
    writes = cell["written_per_s"] if as_achieved else cell["writes_per_s"]
    return Demand(
        writes_per_s=float(writes),
        value_bytes=float(cell["value_bytes"]),
        hot_share=float(cell["hot_share"]),
        cpu_share=None if share is None or pd.isna(share) else float(share),
        new_share=float(bool(cell["new_keys"])),
        length_spread=float(cell["length_spread"]),
    )


def _fitted(cells: pd.DataFrame, layout: Layout) -> Law:
    used, before = cells["used_memory_bytes"].astype(float), cells["before_bytes"].astype(float)
    pieces = layout.header_bytes * cells["keys"] * (3 if layout.engine == "redis" else 2)
    # Relative errors count: a cell of 64 MiB as much as one of 512.
    weights = 1 / before
    spread = np.sqrt(cells["length_spread"].astype(float))
    matrix = np.column_stack([np.ones(len(cells)), used, spread * used])
    matrix *= weights.to_numpy()[:, None]
    (program, fragmentation, gaps), _ = nnls(
        matrix, ((before - used - pieces) * weights).to_numpy()
    )
    return Law(
        program_bytes=float(program),
        fragmentation=float(fragmentation),
        gaps=float(gaps),
        aof_s=_aof_s(cells),
        **_fitted_copies(cells, layout),
        **_fitted_rewrite(cells),
    )


def _fitted_copies(cells: pd.DataFrame, layout: Layout) -> dict[str, Any]:
    demands = [demand_of(cell, as_achieved=True) for _, cell in cells.iterrows()]
    fits = [_fit_of(cell, layout) for _, cell in cells.iterrows()]
    seconds = cells["rewrite_s"].astype(float).to_numpy()
    peaks = cells["peak_bytes"].astype(float).to_numpy()
    aof = cells["aof_buffer_bytes"].astype(float).fillna(0.0).to_numpy()
    added = peaks - cells["before_bytes"].astype(float).to_numpy() - aof

    def wrong(logs: np.ndarray) -> np.ndarray:
        floor, overwritten, of_objects, touches, renewed = (float(each) for each in np.exp(logs))
        told = []
        for demand, fit, rewrite_s in zip(demands, fits, seconds.tolist(), strict=True):
            writes = demand.writes_per_s * rewrite_s
            values, objects = touched_bytes(fit, writes, demand, touches=touches)
            of_values = _blend(demand.new_share, renewed, overwritten)
            told.append(floor + of_values * values + of_objects * objects)
        return np.concatenate([20 * (np.array(told) - added) / peaks, 0.1 * (logs - usual)])

    usual = np.log([MIB, 1.0, 1.0, 3.0, 0.8])
    found = least_squares(wrong, usual, loss="soft_l1", f_scale=0.5)
    names = ("floor_bytes", "values_factor", "objects_factor", "touches", "renewed_factor")
    return dict(zip(names, (float(each) for each in np.exp(found.x)), strict=True))


def _fit_of(cell: Mapping[str, Any] | pd.Series, layout: Layout) -> Fit:
    """The sessions of a cell, as many as there were."""
    demand = demand_of(cell)
    worked_out = sessions_that_fit(
        layout,
        int(cell["maxmemory_bytes"]),
        value_bytes=demand.each_length,
        key_bytes=demand.key_bytes,
    )
    return replace(worked_out, sessions=int(cell["keys"]))


def _fitted_rewrite(cells: pd.DataFrame) -> dict[str, Any]:
    keys = cells["keys"].to_numpy(dtype=float)
    used = cells["used_memory_bytes"].to_numpy(dtype=float)
    took = np.log(cells["rewrite_s"].to_numpy(dtype=float))
    demands = [demand_of(cell, as_achieved=True) for _, cell in cells.iterrows()]

    def wrong(logs: np.ndarray) -> np.ndarray:
        key_us, byte_ns, write_us = np.exp(logs)
        law = Law(
            **{
                **dict.fromkeys(_COEFFICIENTS, 0.0),
                "key_us": key_us,
                "byte_ns": byte_ns,
                "write_us": write_us,
            }
        )
        told = [law.rewrite(keys[at], used[at], demand)[0] for at, demand in enumerate(demands)]
        # A faint pull to what is usual, where the cells leave one of the three open.
        usual = np.log([1.0, 4.0, 20.0])
        return np.concatenate([np.log(told) - took, 0.03 * (logs - usual)])

    found = least_squares(wrong, np.log([1.0, 4.0, 20.0]), loss="soft_l1", f_scale=0.2)
    key_us, byte_ns, write_us = np.exp(found.x)
    return {"key_us": float(key_us), "byte_ns": float(byte_ns), "write_us": float(write_us)}


def _aof_s(cells: pd.DataFrame) -> float:
    """For how long writes stay in the AOF's buffer, s."""
    bytes_per_s = cells["written_per_s"] * (cells["value_bytes"] + 20 + _COMMAND_BYTES)
    known = cells["aof_buffer_bytes"].notna() & (bytes_per_s > 0)
    if not known.any():
        return 0.0
    return float((cells["aof_buffer_bytes"][known] / bytes_per_s[known]).median())


def _errors(law: Law, cell: pd.Series, layout: Layout) -> tuple[float, float]:
    """By which share a cell differs from what a law says: before the rewrite, and what it adds."""
    peak = law.peak(layout, int(cell["maxmemory_bytes"]), demand_of(cell))
    growth = peak.of("copy_on_write") + peak.of("aof_buffer")
    before = peak.anonymous_bytes - growth
    added = float(cell["peak_bytes"]) - float(cell["before_bytes"])
    # What adds next to nothing differs by a large share of it, which means little.
    scale = growth + _SHARE_OF_NOTHING * before
    return float(cell["before_bytes"]) / before - 1, (added - growth) / scale


def cross_checked(cells: pd.DataFrame, layout: Layout) -> Sequence[float]:
    """For each cell, the peak by what the others foretell, less 1."""
    whole = needed(cells, *COLUMNS)
    whole = whole[~whole["killed"].astype(bool)].reset_index(drop=True)
    found = []
    for index in whole.index:
        law, cell = _fitted(whole.drop(index=index), layout), whole.loc[index]
        peak = law.peak(layout, int(cell["maxmemory_bytes"]), demand_of(cell))
        found.append(float(cell["peak_bytes"]) / peak.anonymous_bytes - 1)
    return found
