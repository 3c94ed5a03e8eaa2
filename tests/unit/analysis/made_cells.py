"""Cells as the laboratory would measure them, if a law were the truth."""

from dataclasses import asdict

import numpy as np
import pandas as pd

from workbench.analysis.sessions import LAYOUTS
from workbench.analysis.sizing import Law, demand_of
from workbench.lab.calibrate import cells
from workbench.runs.measurement import Measurement

MIB = 1024**2
REDIS = LAYOUTS[0]
TRUTH = Law(
    program_bytes=3 * MIB,
    fragmentation=0.02,
    gaps=0.04,
    floor_bytes=1.5 * MIB,
    values_factor=0.95,
    objects_factor=1.3,
    renewed_factor=0.6,
    touches=2.0,
    key_us=1.0,
    byte_ns=6.0,
    write_us=20.0,
    aof_s=0.02,
)


def made(law=TRUTH, *, seed=1, number=24, noise=0.0):
    """So many of them, with so much noise."""
    random = np.random.default_rng(seed)
    rows = []
    for cell in cells(seed, number):
        peak = law.peak(REDIS, cell.maxmemory_bytes, demand_of(asdict(cell)))
        growth = peak.of("copy_on_write") + peak.of("aof_buffer")
        before = peak.anonymous_bytes - growth
        wrong = random.normal(0, noise, 3)
        rows.append(
            asdict(cell)
            | {
                "keys": peak.fit.sessions,
                "used_memory_bytes": cell.maxmemory_bytes,
                "before_bytes": before * (1 + wrong[0] / 3),
                "peak_bytes": before * (1 + wrong[0] / 3) + growth * (1 + wrong[1]),
                "aof_buffer_bytes": peak.of("aof_buffer"),
                "rewrite_s": peak.rewrite_s * (1 + wrong[2]),
                "written_per_s": peak.written_per_s,
                "killed": False,
            }
        )
    return pd.DataFrame(rows)


def measurement(laws):
    """As ``workbench size --calibrate`` keeps laws."""
    return Measurement(
        kind="sizing-fit",
        command="workbench size --calibrate",
        seed=1,
        made_at="2026-11-26T20:00:00Z",
        versions={},
        commit="",
        host={},
        engines=[],
        rows=[],
        derived={"laws": laws},
    )
