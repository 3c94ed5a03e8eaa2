"""Tables as people read them: rounded, with units, without an index."""

import math
from datetime import UTC, datetime
from typing import Any

import pandas as pd
from pandas.io.formats.style import Styler

from workbench.runs.run import Run
from workbench.units import format_bytes, format_duration, format_share

__all__ = ["latency_table", "loss_table", "run_facts", "run_table"]


def run_facts(run: Run) -> dict[str, str]:
    """The circumstances of a run, by name, for people."""
    manifest = run.manifest
    experiment, server, host = manifest.experiment, manifest.server, manifest.host
    began = datetime.fromtimestamp(manifest.started_unix_s, UTC)
    limit = format_bytes(host.get("memory_limit_bytes") or math.nan)
    changed = " with changes" if manifest.dirty else ""
    return {
        "Run": f"{manifest.run_id}, {manifest.status}",
        "Began": f"{began:%Y-%m-%d %H:%M} UTC",
        "Server": f"{str(server.get('engine', 'unknown')).capitalize()} "
        f"{server.get('version', '')}, {server.get('allocator', 'allocator unknown')}",
        "Load": f"{experiment.get('turns_per_s', math.nan):g} turns/s for "
        f"{format_duration(run.measured_s)}, open loop, seed {manifest.seed}",
        "Pauses": f"median {format_duration(experiment.get('think_median_s', math.nan))}, p95 "
        f"{format_duration(experiment.get('think_p95_s', math.nan))}, uncompressed",
        "Host": f"{host.get('cores') or 'unknown'} cores, memory limit {limit} "
        f"({host.get('memory_limit_source') or 'no source'}), "
        f"overcommit_memory {host.get('overcommit_memory', 'unknown')}",
        "Workbench": f"{manifest.versions.get('workbench', 'unknown')} "
        f"{manifest.commit[:8]}{changed}".strip(),
    }


def run_table(run: Run) -> Styler:
    """The circumstances of a run, as a table."""
    return _plain(pd.DataFrame(list(run_facts(run).items()), columns=["what", "value"]))


def loss_table(by_step: pd.DataFrame) -> Styler:
    """
    Which messages found their conversation evicted.

    Args:
        by_step: as ``analysis.loss.loss_by_step`` makes it.
    """
    formats: dict[str, Any] = {"turns": "{:,}", "evicted": "{:,}", "share": format_share}
    return _plain(by_step.rename(columns={"evicted_share": "share"})).format(formats)


def latency_table(groups: pd.DataFrame) -> Styler:
    """
    How long each group of turns waited; a percentile of too few turns says so.

    Args:
        groups: with ``turns``, ``p50`` and ``p99`` (µs), as ``analysis.latency`` makes them.
    """
    formats: dict[str, Any] = {"turns": "{:,}", "p50": _wait, "p99": _wait}
    return _plain(groups).format(formats)


def _wait(response_us: float) -> str:
    return "too few" if math.isnan(response_us) else format_duration(response_us / 1e6)


def _plain(frame: pd.DataFrame) -> Styler:
    # The ids of a Styler's cells are random unless it is named.
    words = [name for name in frame if not pd.api.types.is_numeric_dtype(frame[name])]
    styled = frame.style.hide(axis="index").set_uuid("table")
    return styled.set_properties(subset=words, **{"text-align": "left"})
