"""Hand-made measurements of rewrites, and a law that they could have been fitted by."""

from pathlib import Path
from typing import Any

import msgspec

from workbench.analysis.sizing import Law
from workbench.runs.measurement import Measurement, write_measurement
from workbench.units import MIB

__all__ = ["LAW", "cell", "kept", "law_of_redis", "point"]

LAW = Law(
    program_bytes=6e6,
    fragmentation=0.02,
    gaps=0.02,
    floor_bytes=2e6,
    values_factor=1.0,
    objects_factor=1.0,
    renewed_factor=0.8,
    touches=3.0,
    key_us=1.0,
    byte_ns=4.0,
    write_us=20.0,
    aof_s=0.3,
    before_error=(-0.02, 0.03),
    growth_error=(-0.1, 0.12),
    cells=20,
)
"""As of a machine like those that the laboratory has seen."""

REDIS = {"engine": "redis", "version": "7.0.15", "allocator": "jemalloc-5.3.0", "preload": ""}


def cell(
    label: str,
    *,
    maxmemory_mib: float = 340,
    limit_mib: float | None = 358.4,
    writes_per_s: float = 200,
    peak_mib: float = 357,
    killed: bool = False,
    engine: str = "redis",
) -> dict[str, Any]:
    """A row of a grid."""
    return {
        **REDIS,
        "engine": engine,
        "label": label,
        "maxmemory_bytes": int(maxmemory_mib * MIB),
        "limit_bytes": None if limit_mib is None else int(limit_mib * MIB),
        "writes_per_s": writes_per_s,
        "value_bytes": 1024,
        "cpu_share": None,
        "peak_bytes": int(peak_mib * MIB),
        "killed": killed,
        "watched_by": "cgroup v1",
        "why": "",
    }


def point(ratio: float, *, measured_mib: float = 256, killed: bool = False) -> dict[str, Any]:
    """A held-out point, whose prediction is so many times what was measured."""
    return {
        "peak_bytes": int(measured_mib * MIB),
        "predicted_bytes": int(ratio * measured_mib * MIB),
        "killed": killed,
    }


def law_of_redis(law: Law = LAW) -> dict[str, Any]:
    """What a measurement of the kind ``sizing-fit`` derives."""
    told = {"engine": "redis", "version": "7.0.15", "allocator": "jemalloc"}
    return {"laws": [{**told, "law": msgspec.to_builtins(law)}]}


def kept(
    folder: Path, kind: str, rows: list[dict[str, Any]], derived: dict[str, Any] | None = None
) -> Path:
    """Write a measurement of a kind; returns its path."""
    made = Measurement(
        kind=kind,
        command=f"workbench make {kind}",
        seed=1,
        made_at="2026-11-26T20:00:00Z",
        versions={},
        commit="",
        host={"cores": 2, "cpu": "a processor"},
        engines=[REDIS],
        rows=rows,
        derived=derived or {},
    )
    return write_measurement(made, folder / f"{kind}.json")
