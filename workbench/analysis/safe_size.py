"""
How much memory is safe under one limit and load: what was measured of it, and what follows.

The grid says what rewrites took, the law what they will take, and the held-out points how far the
law is to be believed. What has not been measured is left open, with the command that measures it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pandas as pd

from workbench.analysis.sessions import LAYOUTS, Fit, Layout, named_layout, sessions_that_fit
from workbench.analysis.sizing import (
    Advice,
    Demand,
    Peak,
    advised,
    documented_maxmemory_bytes,
    law_of,
)
from workbench.checkout import measurements_dir, runs_dir
from workbench.errors import UsageError
from workbench.runs.facts import html_table
from workbench.runs.measurement import Measurement, find_measurement, read_measurement
from workbench.units import MIB, format_bytes, parse_bytes

__all__ = ["COMMANDS", "KEY_BYTES", "WITHIN", "SafeSize", "safe_size"]

COMMANDS: Final[Mapping[str, str]] = {
    "memory-grid": "workbench lab memory --grid memory",
    "sizing-fit": "workbench size --calibrate",
    "sizing": "workbench bench sizing",
}
"""What makes each measurement that is read here, by its kind."""

WITHIN: Final = 0.1
"""By which share a predicted peak may differ from the measured one."""

KEY_BYTES: Final = 20
"""Length of a session's key."""

_CLIENTS: Final = 50
_SPREAD_MAX: Final = 0.9
_LIMIT_MIN: Final = 32 * MIB
_HEAD: Final = ("", "made", "on", "by")


@dataclass(frozen=True, slots=True, eq=False)
class SafeSize:
    """
    What is known of one limit under one load.

    Attributes:
        limit_bytes: of the server's container.
        demand: what the server is asked to do.
        layout: of the engine and allocator that is advised on.
        documented_bytes: ``maxmemory`` by the documented production formula.
        cells: a row a trial of the grid that told something: its own columns, ``limit_ratio``
            (peak by limit; NaN without one), ``cap_ratio`` (peak by maxmemory), ``documented``
            (whether the cap is that of the documented formula), and in ``label`` the engine too
            where a label has several. Empty without a grid.
        points: a row a held-out point at the cap that was advised for it: ``measured_bytes``,
            ``predicted_bytes``, ``ratio``, ``killed``, and ``near`` for a prediction that holds.
            Empty without any.
        advice: the safe cap by the law; None where there is none.
        documented: what the law says of the documented cap; None without a law.
        why: there is no advice; empty if there is one.
        fitted_on: what the law was fitted on.
        sources: the measurements that were read, with their files, by kind.
        missing: what makes those that are not there, by kind.
    """

    limit_bytes: int
    demand: Demand
    layout: Layout
    documented_bytes: int
    cells: pd.DataFrame
    points: pd.DataFrame
    advice: Advice | None = None
    documented: Peak | None = None
    why: str = ""
    fitted_on: str = ""
    sources: Mapping[str, tuple[Measurement, Path]] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)

    @property
    def cap_bytes(self) -> int:
        """The cap that sessions are counted under: the advised one, else the documented one."""
        return self.advice.maxmemory_bytes if self.advice else self.documented_bytes

    @property
    def fits(self) -> list[Fit]:
        """How many sessions there are under that cap, by engine and allocator."""
        return [
            sessions_that_fit(
                layout,
                self.cap_bytes,
                value_bytes=self.demand.each_length,
                key_bytes=self.demand.key_bytes,
                clients=self.demand.clients,
            )
            for layout in LAYOUTS
        ]

    @property
    def load(self) -> str:
        """For people: limit, writes, length, share of a core."""
        share = self.demand.cpu_share
        cores = "a core for each process" if share is None else f"{share:g} of a core"
        return (
            f"{format_bytes(self.limit_bytes)}, {self.demand.writes_per_s:,.0f} writes/s of "
            f"{self.demand.value_bytes:,.0f} B, {cores}"
        )

    def rows(self) -> list[tuple[str, ...]]:
        """One row a measurement, for people: what it is, or what makes it."""
        return [
            *(
                (kind, found.made_at[:10], found.where, found.command)
                for kind, (found, _) in self.sources.items()
            ),
            *((kind, "not measured yet", "", command) for kind, command in self.missing.items()),
        ]

    def __repr__(self) -> str:
        return "\n".join("  ".join(row) for row in (_HEAD, *self.rows()))

    def _repr_html_(self) -> str:
        return html_table(self.rows(), head=_HEAD)


def safe_size(
    limit: str | int,
    *,
    writes_per_s: float,
    value_bytes: float,
    length_spread: float = 0.5,
    vcpu: float | None = None,
    engine: str = "redis, jemalloc",
    grid: str | Path = "",
    fit: str | Path = "",
    predictions: str | Path = "",
) -> SafeSize:
    """
    What is known of a limit under a load.

    Args:
        limit: of the server's container: bytes, or such as ``716mb``.
        writes_per_s: sessions that are written a second while a rewrite runs.
        value_bytes: length of a session, on average.
        length_spread: how far lengths lie from that at most, of it.
        vcpu: share of one core that server and rewrite have; None, or 0, for a core for each.
        engine: and allocator, by a part of their names.
        grid: a file of trials; the measurement that is kept if empty.
        fit: likewise the law.
        predictions: likewise the law on points that it had not seen.

    Raises:
        UsageError: a value makes no sense.
        RunError: a file that was named is not there, or a measurement cannot be read.
    """
    limit_bytes = parse_bytes(limit)
    if limit_bytes < _LIMIT_MIN:
        raise UsageError(f"limit is {limit}, under 32mb; write it with its unit, such as 716mb")
    for name, value, least in (
        ("writes_per_s", writes_per_s, 0.0),
        ("value_bytes", value_bytes, 1.0),
        ("vcpu", vcpu or 0.0, 0.0),
    ):
        if not least <= value < math.inf:
            raise UsageError(f"{name} is {value:g}, and {least:g} is the least")
    if not 0 <= length_spread <= _SPREAD_MAX:
        raise UsageError(f"length_spread is {length_spread:g}, outside 0 to {_SPREAD_MAX:g}")
    demand = Demand(
        writes_per_s=writes_per_s,
        value_bytes=value_bytes,
        length_spread=length_spread,
        cpu_share=vcpu or None,
        key_bytes=KEY_BYTES,
        clients=_CLIENTS,
    )
    layout = named_layout(engine)
    given = {"memory-grid": grid, "sizing-fit": fit, "sizing": predictions}
    found = {kind: _read(kind, path) for kind, path in given.items()}
    sources = {kind: each for kind, each in found.items() if each is not None}
    told = _of_law(sources, layout, limit_bytes, demand)
    return SafeSize(
        limit_bytes=limit_bytes,
        demand=demand,
        layout=layout,
        documented_bytes=documented_maxmemory_bytes(limit_bytes),
        cells=_cells(sources),
        points=_points(sources),
        sources=sources,
        missing={kind: COMMANDS[kind] for kind in given if kind not in sources},
        **told,
    )


def _read(kind: str, path: str | Path) -> tuple[Measurement, Path] | None:
    """The measurement that was named, or the one that is kept; None where there is none."""
    if path:
        return read_measurement(Path(path), kind), Path(path)
    kept = [folder / f"{kind}.json" for folder in (runs_dir(), measurements_dir())]
    return find_measurement(kind) if any(each.exists() for each in kept) else None


def _of_law(
    sources: Mapping[str, tuple[Measurement, Path]],
    layout: Layout,
    limit_bytes: int,
    demand: Demand,
) -> dict[str, Any]:
    if "sizing-fit" not in sources:
        return {"why": f"no law is fitted here: {COMMANDS['sizing-fit']}"}
    law, of = law_of(sources["sizing-fit"][0], layout.engine, layout.allocator)
    told: dict[str, Any] = {
        "documented": law.peak(layout, documented_maxmemory_bytes(limit_bytes), demand),
        "fitted_on": f"{str(of['engine']).capitalize()} {of['version']}, {of['allocator']}",
    }
    try:
        return told | {"advice": advised(law, layout, limit_bytes, demand)}
    except UsageError as error:
        return told | {"why": str(error)}


def _cells(sources: Mapping[str, tuple[Measurement, Path]]) -> pd.DataFrame:
    if "memory-grid" not in sources:
        return pd.DataFrame()
    frame = sources["memory-grid"][0].frame
    if frame.empty or "peak_bytes" not in frame:
        return pd.DataFrame()
    whole = frame[frame["peak_bytes"].notna()].reset_index(drop=True)
    limits = whole["limit_bytes"].astype(float)
    whole["limit_ratio"] = whole["peak_bytes"].astype(float) / limits
    whole["cap_ratio"] = whole["peak_bytes"].astype(float) / whole["maxmemory_bytes"].astype(float)
    documented = limits.map(
        lambda limit: math.nan if math.isnan(limit) else documented_maxmemory_bytes(int(limit))
    )
    # The formula takes whole MiB of the task, and not of its share.
    off = (whole["maxmemory_bytes"].astype(float) - documented).abs()
    whole["documented"] = off <= MIB
    whole["killed"] = whole["killed"].astype(bool)
    if "label" not in whole:
        whole["label"] = ""
    several = whole.groupby("label")["engine"].transform("nunique") > 1
    with_engine = whole["label"] + ", " + whole["engine"].str.capitalize()
    whole["label"] = whole["label"].where(~several, with_engine)
    return whole


def _points(sources: Mapping[str, tuple[Measurement, Path]]) -> pd.DataFrame:
    if "sizing" not in sources:
        return pd.DataFrame()
    frame = sources["sizing"][0].frame
    if not {"peak_bytes", "predicted_bytes"} <= set(frame):
        return pd.DataFrame()
    told = frame[frame["peak_bytes"].notna() & frame["predicted_bytes"].notna()]
    points = told.reset_index(drop=True).rename(columns={"peak_bytes": "measured_bytes"})
    points["ratio"] = points["predicted_bytes"].astype(float) / points["measured_bytes"]
    points["killed"] = points["killed"].astype(bool) if "killed" in points else False
    # Of one that was killed the peak is what was last seen before.
    points["near"] = ((points["ratio"] - 1).abs() <= WITHIN) & ~points["killed"]
    return points
