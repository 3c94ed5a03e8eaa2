"""
Engines: the same turns on one server program after the other, and what each makes of them.

An engine and its allocator are two things, and each pair that is compared differs in one of them
where that can be had. Each is carried out several times, in turned order; by how much the runs of
one and the same differ is the noise that a difference has to stand out from.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import numpy as np
import pandas as pd

from workbench.analysis.commands import command_latency
from workbench.analysis.eviction import began_s
from workbench.analysis.latency import percentiles_us
from workbench.analysis.likeness import check_sides, trace_difference
from workbench.analysis.persistence import finished_rewrites, since_first_rewrite
from workbench.analysis.resampling import groups_of
from workbench.errors import UsageError
from workbench.runs.facts import html_table, markdown_table
from workbench.runs.run import Run
from workbench.units import MIB, format_bytes, format_duration, format_share

__all__ = ["FIGURES", "Apart", "EngineFigure", "Engines", "engine_row", "engines_of"]

Verdict = Literal["more", "less", "no difference seen", "unknown"]
Kind = Literal["times", "share", "seconds"]

_DOUBT: Final = 0.01
_ROUNDS_LEAST: Final = 2
ENGINE: Final = ("engine", "version", "allocator", "preload")
_AT_CAP: Final = 0.95


@dataclass(frozen=True, slots=True)
class EngineFigure:
    """
    One figure of a run that engines are compared by.

    Attributes:
        name: of its column, with its unit.
        title: as a person reads it.
        of: what it is about: ``sessions``, ``latency``, ``eviction``, ``rewrite``, ``memory``.
        kind: how two are compared: as ``times`` (of what is above 0), as a ``share`` in points, or
            in ``seconds``.
        of_load: whether it holds only if the load came in time.
    """

    name: str
    title: str
    of: str
    kind: Kind = "times"
    of_load: bool = False

    def told(self, value: float | None) -> str:
        """A value of it for people; ``unknown`` where there is none."""
        if value is None or not math.isfinite(value):
            return "unknown"
        if self.name.endswith("_us"):
            return format_duration(value / 1e6)
        if self.name.endswith("_s"):
            return format_duration(value)
        if self.name.endswith("_bytes"):
            return f"{value:,.0f} B" if value < 10_000 else format_bytes(value)
        if self.kind == "share":
            return format_share(value)
        return f"{value:,.3g}" if value < 1000 else f"{value:,.0f}"

    def changed(self, change: float) -> str:
        """A change of it for people: of what is compared as times, in per cent."""
        if self.kind == "share":
            return f"{100 * change:+.2f} points"
        if self.kind == "seconds":
            return f"{change:+.2f} s"
        return f"{100 * change:+.1f} %" if change < 2 else f"×{1 + change:.3g}"


FIGURES: Final = (
    EngineFigure("sessions_per_mib", "sessions by MiB of maxmemory", "sessions"),
    EngineFigure("session_bytes", "memory of a session", "sessions"),
    EngineFigure("response_p50_us", "response p50", "latency", of_load=True),
    EngineFigure("response_p99_us", "response p99", "latency", of_load=True),
    EngineFigure("service_p50_us", "service p50", "latency", of_load=True),
    EngineFigure("service_p99_us", "service p99", "latency", of_load=True),
    EngineFigure("server_mean_us", "in the server, a turn", "latency"),
    EngineFigure("evicting_from_s", "first eviction", "eviction", "seconds"),
    EngineFigure("evicted_keys", "keys evicted", "eviction"),
    EngineFigure("lost_share", "turns that lost their state", "eviction", "share"),
    EngineFigure("failed_share", "turns that failed", "eviction", "share"),
    EngineFigure("rewrite_s", "AOF rewrite", "rewrite"),
    EngineFigure("fork_us", "longest fork", "rewrite"),
    EngineFigure("cow_bytes", "copied on write", "rewrite"),
    EngineFigure("aof_base_bytes", "base of the AOF", "rewrite"),
    EngineFigure("used_memory_bytes", "used_memory at the cap", "memory"),
    EngineFigure("clients_bytes", "buffers of clients, at the cap", "memory"),
    EngineFigure("rss_bytes", "highest resident memory", "memory"),
    EngineFigure("fragmentation_ratio", "resident ÷ used, at the cap", "memory"),
)
"""Every figure that engines are compared by."""


@dataclass(frozen=True, slots=True)
class Apart:
    """
    How one figure differs between two that were tried.

    Attributes:
        figure: its name.
        by: what they differ in: ``engine``, ``allocator`` or ``engine and allocator``.
        baseline, other: which two.
        change: other against baseline, in the figure's kind; None if it is not known.
        low, high: bounds of the change; None if they are not known.
        verdict: of the other one.
        why: it is unknown; empty if it is known.
    """

    figure: str
    by: str
    baseline: str
    other: str
    change: float | None
    low: float | None
    high: float | None
    verdict: Verdict
    why: str = ""

    @property
    def told(self) -> str:
        """For people: the change with its bounds, and whether it is one."""
        figure = _BY_NAME[self.figure]
        if self.change is None:
            return f"unknown: {self.why}"
        if self.low is None or self.high is None:
            return f"{figure.changed(self.change)}, bounds unknown"
        if self.low == self.high == 0:
            return "no difference seen: the same in every run"
        bounds = f"({figure.changed(self.low)} to {figure.changed(self.high)})"
        if self.verdict == "no difference seen":
            return f"no difference seen {bounds}"
        return f"**{figure.changed(self.change)}** {bounds}"


_BY_NAME: Final = {figure.name: figure for figure in FIGURES}


class Engines:
    """
    What was measured of several engines, and how they differ.

    Args:
        rows: one a run, as of ``engine_row``; those of a measurement will do.

    Attributes:
        frame: the rows; a figure that is not known is NaN.
        names: of those that were tried, in order.
        apart: every figure of every pair.
    """

    def __init__(self, rows: Iterable[Mapping[str, Any]]) -> None:
        self.frame = pd.DataFrame(list(rows))
        if self.frame.empty:
            raise UsageError("no run of any engine: there is nothing to compare")
        for figure in FIGURES:
            told = self.frame.get(figure.name)
            self.frame[figure.name] = math.nan if told is None else told.astype(float)
        self._kinds = _in_order(self.frame.drop_duplicates("name").to_dict("records"))
        self.names: tuple[str, ...] = tuple(each["name"] for each in self._kinds)
        self.apart = tuple(
            self._apart(figure, by, first, second)
            for by, first, second in self.pairs
            for figure in FIGURES
        )

    @property
    def pairs(self) -> list[tuple[str, str, str]]:
        """
        What is held against what: by the engine, by the allocator, or by both where both differ.

        An engine is held against the first one that has the same allocator; with several
        allocators of one program, the others are held against jemalloc.
        """
        found: list[tuple[str, str, str]] = []
        for at, other in enumerate(self._kinds):
            before = self._kinds[:at]
            alike = [each for each in before if _program(each) == _program(other)]
            same = [
                each
                for each in before
                if each["allocates_with"] == other["allocates_with"] and each not in alike
            ]
            if same:
                found.append(("engine", same[0]["name"], other["name"]))
            if alike:
                found.append(("allocator", alike[0]["name"], other["name"]))
            if before and not (same or alike):
                found.append(("engine and allocator", before[0]["name"], other["name"]))
        return found

    def value(self, name: str, figure: str) -> float:
        """A figure of one that was tried, over its runs; NaN if none tells."""
        values = self._values(name, _BY_NAME[figure])
        if not values.size:
            return math.nan
        # Of times the middle is that of their logarithms.
        return float(np.exp(values.mean())) if self._by_logs(_BY_NAME[figure]) else values.mean()

    def noise(self, figure: str) -> float:
        """The standard deviation of a figure among runs of the same; NaN if there are too few."""
        return self._noise(_BY_NAME[figure])[0]

    def table(self) -> list[tuple[str, ...]]:
        """A row a figure: its title, its value in each that was tried, and the noise."""
        return [
            (
                figure.title,
                *(self._cell(name, figure) for name in self.names),
                self._noise_told(figure),
            )
            for figure in FIGURES
        ]

    @property
    def head(self) -> tuple[str, ...]:
        """Of ``table``."""
        return ("", *self.names, "noise of a run")

    def differences(self) -> list[tuple[str, ...]]:
        """A row a figure: its title, and how it differs in each pair."""
        rows = []
        for figure in FIGURES:
            of = [each for each in self.apart if each.figure == figure.name]
            rows.append((figure.title, *(each.told for each in of)))
        return rows

    @property
    def head_of_differences(self) -> tuple[str, ...]:
        """Of ``differences``."""
        return ("", *(f"{by}: {other} against {first}" for by, first, other in self.pairs))

    def told_apart(self) -> list[Apart]:
        """The differences that stand out from the noise."""
        return [each for each in self.apart if each.verdict in {"more", "less"}]

    def sentences(self) -> list[str]:
        """What was found, a sentence a pair; also where nothing was, or nothing can be told."""
        said = []
        for by, first, other in self.pairs:
            of = [each for each in self.apart if (each.baseline, each.other) == (first, other)]
            seen = [
                f"{_BY_NAME[each.figure].title} {_BY_NAME[each.figure].changed(each.change or 0)}"
                for each in of
                if each.verdict in {"more", "less"}
            ]
            known = any(each.verdict != "unknown" for each in of)
            none = "no difference seen" if known else "it cannot be told"
            said.append(f"{other} against {first}, by the {by}: {', '.join(seen) or none}")
        return said

    def notes(self) -> list[str]:
        """Why what is unknown is so, each reason once."""
        reasons = dict.fromkeys(each.why for each in self.apart if each.why)
        return [f"{why}: {', '.join(dict.fromkeys(self._titles(why)))}" for why in reasons]

    def _titles(self, why: str) -> list[str]:
        return [_BY_NAME[each.figure].title for each in self.apart if each.why == why]

    def to_text(self) -> str:
        """Both tables as text, and what is not known and why."""
        tables = [[self.head, *self.table()], *self._text_of_pairs()]
        return "\n\n".join(_aligned(rows) for rows in tables)

    def to_markdown(self) -> str:
        """Both tables as Markdown."""
        return "\n\n".join(
            (
                markdown_table(self.head, self.table()),
                markdown_table(self.head_of_differences, self.differences()),
            )
        )

    def told(self) -> dict[str, Any]:
        """What was worked out of the rows, for programs."""
        return {"differences": [asdict(each) for each in self.apart]}

    def __repr__(self) -> str:
        return self.to_text()

    def _repr_html_(self) -> str:
        plain = [tuple(cell.replace("**", "") for cell in row) for row in self.differences()]
        return html_table(self.table(), head=self.head) + html_table(
            plain, head=self.head_of_differences
        )

    def _text_of_pairs(self) -> list[list[tuple[str, ...]]]:
        tables = []
        for by, first, other in self.pairs:
            rows: list[tuple[str, ...]] = [(f"{by}: {other} against {first}", "")]
            rows += [
                (_BY_NAME[each.figure].title, each.told.replace("**", ""))
                for each in self.apart
                if (each.by, each.baseline, each.other) == (by, first, other)
            ]
            tables.append(rows)
        return tables

    def _cell(self, name: str, figure: EngineFigure) -> str:
        return figure.told(self.value(name, figure.name))

    def _noise_told(self, figure: EngineFigure) -> str:
        noise = self.noise(figure.name)
        if not math.isfinite(noise):
            return "unknown"
        if self._by_logs(figure):
            wide = math.exp(noise)
            return f"×÷{wide:.2g}" if wide > 1.5 else f"±{100 * (wide - 1):.2g} %"
        return f"±{100 * noise:.2g} points" if figure.kind == "share" else f"±{noise:.2g} s"

    def _by_logs(self, figure: EngineFigure) -> bool:
        """Whether it is compared as times, which of 0 or less cannot be."""
        known = self.frame[figure.name].dropna()
        return figure.kind == "times" and bool((known > 0).all())

    def _values(self, name: str, figure: EngineFigure) -> np.ndarray:
        values = self.frame.loc[self.frame["name"] == name, figure.name].dropna().to_numpy(float)
        return np.log(values) if self._by_logs(figure) else values

    def _noise(self, figure: EngineFigure) -> tuple[float, int]:
        """
        Standard deviation among runs of the same, of all that were tried together, and its freedom.

        Source:
            The pooled variance of a one-way analysis: a program's runs differ among themselves by
            what the machine does meanwhile, which is the same for all of them.
        """
        groups = [self._values(name, figure) for name in self.names]
        squares = sum(float(((each - each.mean()) ** 2).sum()) for each in groups if each.size)
        free = sum(max(0, each.size - 1) for each in groups)
        return (math.sqrt(squares / free) if free else math.nan), free

    def _apart(self, figure: EngineFigure, by: str, first: str, other: str) -> Apart:
        sides = [self._values(name, figure) for name in (first, other)]
        silent = [name for name, each in zip((first, other), sides, strict=True) if not each.size]
        if silent:
            why = f"no run of {' or of '.join(silent)} tells"
            return Apart(figure.name, by, first, other, None, None, None, "unknown", why)
        value = float(sides[1].mean() - sides[0].mean())
        by_logs = self._by_logs(figure)
        if figure.kind == "times" and not by_logs:
            # From nothing to something there is no such thing as times.
            why = "it is 0 in some runs"
            return Apart(figure.name, by, first, other, None, None, None, "unknown", why)
        told = math.expm1(value) if by_logs else value
        noise, free = self._noise(figure)
        if min(each.size for each in sides) < _ROUNDS_LEAST:
            why = "of one run it is not known by how much it varies"
            return Apart(figure.name, by, first, other, told, None, None, "unknown", why)
        from scipy.stats import t  # it takes a second to import

        half = float(t.ppf(1 - _DOUBT / 2, free)) * noise
        half *= math.sqrt(sum(1 / each.size for each in sides))
        low, high = value - half, value + half
        verdict: Verdict = "more" if low > 0 else "less" if high < 0 else "no difference seen"
        if by_logs:
            low, high = math.expm1(low), math.expm1(high)
        return Apart(figure.name, by, first, other, told, low, high, verdict)


def _in_order(kinds: list[dict[Any, Any]]) -> list[dict[Any, Any]]:
    """As they were tried, but jemalloc before the other allocators of the same program."""
    first = {_program(each): at for at, each in reversed([*enumerate(kinds)])}
    return sorted(
        kinds, key=lambda each: (first[_program(each)], each["allocates_with"] != "jemalloc")
    )


def engine_row(run: Run) -> dict[str, Any]:
    """
    The figures of one run, by name; what the server does not tell, or does not hold, is None.

    Sessions and memory are those of the second half of the measured phase, if the cap was reached
    by then. Of a run whose load was late the client's times do not hold.
    """
    server = run.manifest.server
    samples, events = run.samples, run.events
    measured = samples[samples["elapsed_s"].between(0, run.measured_s)]
    late = run.manifest.status != "complete"
    found: dict[str, Any] = {
        **_of_sessions(run, measured),
        **({} if late else _of_client(run)),
        "server_mean_us": _server_us(run),
        "evicting_from_s": began_s(measured) if len(measured) else None,
        "evicted_keys": _grown(measured, "evicted_keys"),
        **_of_turns(run),
        **_of_rewrites(events, samples),
        "rss_bytes": _number(measured["used_memory_rss"].max()),
    }
    return {
        "name": _name(server),
        "engine": str(server.get("engine", "unknown")),
        "version": str(server.get("version", "unknown")),
        "allocator": str(server.get("allocator", "unknown")),
        "preload": str(server.get("preload", "")),
        "allocates_with": _allocates_with(server),
        "run": run.name,
        "status": run.manifest.status,
        "document_bytes": _document_bytes(run),
        **{figure.name: found.get(figure.name) for figure in FIGURES},
    }


def engines_of(runs: Sequence[Run]) -> tuple[Engines, list[str]]:
    """
    Sealed runs of one load on several engines.

    Returns:
        the comparison, and what makes less of it than it seems, in sentences.

    Raises:
        RunError: they differ in more than engine and allocator, or one broke off.
        UsageError: there is none.
    """
    if not runs:
        raise UsageError("no run of any engine: there is nothing to compare")
    known = [name for name in ENGINE if _varies(runs, name)]
    for run in runs[1:]:
        check_sides(runs[:1], [run], varied=known)
    rows = [engine_row(run) for run in runs]
    counted: dict[str, int] = {}
    for row in rows:
        counted[row["name"]] = row["round"] = counted.get(row["name"], 0) + 1
    return Engines(rows), doubts(runs)


def doubts(runs: Sequence[Run]) -> list[str]:
    """What makes less of a comparison than it seems: a late load, other turns, a missing field."""
    said = []
    if late := [run.name for run in runs if run.manifest.status == "invalid"]:
        said.append(
            f"the load was late in {len(late)} of {len(runs)} runs, whose response and service are "
            "left out"
        )
    said += [
        f"{run.name} did not get the same turns as {runs[0].name}: {difference}"
        for run in runs[1:]
        if (difference := trace_difference(runs[0], run))
    ]
    return said


def _varies(runs: Sequence[Run], name: str) -> bool:
    return len({str(run.manifest.server.get(name, "")) for run in runs}) > 1


def _program(kind: Mapping[str, Any]) -> tuple[str, str, str]:
    """Engine, version, and the allocator that it was built with."""
    return str(kind["engine"]), str(kind["version"]), str(kind["allocator"])


def _allocates_with(server: Mapping[str, Any]) -> str:
    allocator = str(server.get("allocator", "unknown"))
    return "jemalloc" if server.get("preload") else allocator.partition("-")[0]


def _name(server: Mapping[str, Any]) -> str:
    how = _allocates_with(server) + (" preloaded" if server.get("preload") else "")
    engine = str(server.get("engine", "unknown")).capitalize()
    return f"{engine} {server.get('version', 'unknown')} {how}"


def _of_sessions(run: Run, measured: pd.DataFrame) -> dict[str, float | None]:
    full = measured[
        (measured["elapsed_s"] >= run.measured_s / 2)
        & (measured["used_memory"] >= _AT_CAP * measured["maxmemory"])
        & (measured["maxmemory"] > 0)
    ]
    if full.empty:
        return {}
    looks = run.snapshots
    startup = looks[-1].info.get("used_memory_startup") if looks else None
    keys, used = full["keys"].astype(float), full["used_memory"].astype(float)
    beside = full["mem_clients_normal"].fillna(0) + full["mem_aof_buffer"].fillna(0)
    held = None if startup is None else (used - beside - float(startup)) / keys
    return {
        "sessions_per_mib": _number((keys / (full["maxmemory"] / MIB)).median()),
        "session_bytes": None if held is None else _number(held.median()),
        "used_memory_bytes": _number(used.median()),
        "clients_bytes": _number(full["mem_clients_normal"].median()),
        "fragmentation_ratio": _number((full["used_memory_rss"] / used).median()),
    }


def _of_client(run: Run) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for clock in ("response", "service"):
        told = percentiles_us(run.measured_turns, f"{clock}_us")
        found |= {f"{clock}_{name}_us": _number(told[name]) for name in ("p50", "p99")}
    return found


def _server_us(run: Run) -> float | None:
    """Time in commands of the load, by turn, from the first look to the last: INFO commandstats."""
    told = command_latency(run.snapshots, most=1000)
    turns = len(run.turns)
    spent_us = float((told["calls"] * told["mean"]).sum())
    return spent_us / turns if turns and spent_us else None


def _of_turns(run: Run) -> dict[str, float | None]:
    sums = groups_of(run).sum()
    return {
        "lost_share": _number(sums["lost"] / sums["needing"]) if sums["needing"] else None,
        "failed_share": _number(sums["failed"] / sums["sent"]) if sums["sent"] else None,
    }


def _document_bytes(run: Run) -> float | None:
    """Mean length of the documents that turns wrote."""
    found = run.measured_turns.ask(
        "select avg(value_bytes) as bytes from rows where value_bytes > 0"
    )
    return _number(found["bytes"].iloc[0])


def _of_rewrites(events: pd.DataFrame, samples: pd.DataFrame) -> dict[str, float | None]:
    spans = finished_rewrites(events, samples)
    if spans.empty:
        return {}
    since = since_first_rewrite(events, samples)
    return {
        "rewrite_s": _number(spans["duration_s"].mean()),
        "fork_us": _number(since["latest_fork_usec"].max()),
        "cow_bytes": _number(since["aof_last_cow_size"].max()),
        "aof_base_bytes": _number(since["aof_base_size"].max()),
    }


def _grown(samples: pd.DataFrame, counter: str) -> float | None:
    told = samples[counter].dropna().astype(float)
    return float(told.diff().clip(lower=0).sum()) if len(told) > 1 else None


def _number(value: Any) -> float | None:
    return float(value) if pd.notna(value) and math.isfinite(float(value)) else None


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
