"""seal: close a run directory, however the run ended, and whatever state its parts are in."""

import shutil
from pathlib import Path
from typing import Final

import pandas as pd

from workbench.diagnostics.finding import generator_validity
from workbench.errors import RunError
from workbench.runs.lock import hold
from workbench.runs.manifest import Manifest, Phase, read_manifest, write_manifest
from workbench.runs.recorder import TableWriter
from workbench.runs.run import Run
from workbench.runs.schema import TABLES
from workbench.state import redact
from workbench.telemetry.keyspace import NOTE
from workbench.telemetry.serverlog import logged_rewrites

__all__ = ["SERVER_FOLDER", "seal", "seal_abandoned"]

SERVER_FOLDER: Final = "server"
"""Where a private server keeps its data while the run lasts."""


def seal(run_dir: Path, manifest: Manifest, status: str, why: str = "") -> None:
    """
    Close a run directory: what the server's log says of rewrites, phases, counts, status.

    A complete run whose load or sampling did not keep up is sealed as invalid, and one with a part
    that cannot be read as failed.

    Args:
        run_dir: the run; the server's data and what was half-written are removed from it.
        manifest: what is known; ``stopped_unix_s`` is set.
        status: how the run ended, as far as its conductor knows.
        why: it ended so.
    """
    _sweep(run_dir)
    if manifest.server.get("ours"):
        (run_dir / NOTE).unlink(missing_ok=True)  # the server is gone, and its setting with it
    manifest.phases = []
    write_manifest(run_dir, manifest)
    tables, damage = _tables(run_dir)
    if "events" in tables:
        _record_rewrites(run_dir, manifest, tables["events"])
        manifest.phases = _phases(manifest, tables["events"])
        write_manifest(run_dir, manifest)
        tables, damage = _tables(run_dir)
    manifest.rows = {name: len(table) for name, table in tables.items()}
    manifest.status, manifest.why = status, redact(why)
    if damage:
        manifest.status, manifest.why = "failed", "; ".join([*filter(None, [why]), *damage])
    elif status == "complete" and (run := Run(run_dir)).loaded:
        found = generator_validity(run)
        if not found.valid:
            manifest.status, manifest.why = "invalid", "; ".join(found.reasons)
    write_manifest(run_dir, manifest)


def seal_abandoned(run_dir: Path) -> Manifest:
    """
    Seal a run whose conductor was killed, as failed.

    Raises:
        RunError: it is no run, its conductor is still at work, or it is sealed.
    """
    manifest = read_manifest(run_dir)
    with hold(run_dir):
        if manifest.status != "running":
            raise RunError(f"{run_dir} is sealed already: {manifest.status}")
        manifest.stopped_unix_s = _last_record_s(run_dir, manifest)
        seal(run_dir, manifest, "failed", "its conductor was killed")
    return manifest


def _sweep(run_dir: Path) -> None:
    for folder in run_dir.glob(f"{SERVER_FOLDER}*"):  # one for each task
        shutil.rmtree(folder, ignore_errors=True)
    for path in run_dir.rglob(".*"):
        if path.is_file():
            path.unlink()


def _tables(run_dir: Path) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """The tables that can be read, and what is wrong with the others."""
    run = Run(run_dir)
    tables, damage = {}, []
    for name in TABLES:
        try:
            tables[name] = getattr(run, name)
        except RunError as error:
            damage.append(str(error))
    return tables, damage


def _record_rewrites(run_dir: Path, manifest: Manifest, events: pd.DataFrame) -> None:
    log = run_dir / "logs" / "redis.log"
    # The log goes by the wall clock: where that was moved, its times are not the run's.
    moved = (events["kind"] == "clock_step").any()
    if not log.exists() or moved or (events["kind"] == "aof_rewrite").any():
        return
    writer = TableWriter(run_dir, "events", "seal")
    end_unix_s = manifest.stopped_unix_s or manifest.started_unix_s
    for span in logged_rewrites(log.read_text(errors="replace"), end_unix_s=end_unix_s):
        writer.append((span.unix_s, span.duration_s, "aof_rewrite", span.outcome, span.detail))
    writer.flush()


def _phases(manifest: Manifest, events: pd.DataFrame) -> list[Phase]:
    told = events[events["kind"] == "phase"]
    phases = [
        Phase(label, start_s, start_s + duration_s)
        for label, start_s, duration_s in zip(
            told["label"], told["unix_s"], told["duration_s"], strict=True
        )
        if label != "origin"
    ]
    origins = told["unix_s"][told["label"] == "origin"]
    if origins.empty or any(phase.name == "warm-up" for phase in phases):
        return phases
    # The load was killed before it could tell its phases: they are the planned ones, cut off.
    stopped_s = manifest.stopped_unix_s or manifest.started_unix_s
    start_s = float(origins.iloc[0])
    for name, key in (("warm-up", "warm_up_s"), ("measure", "measure_s")):
        end_s = start_s + float(manifest.experiment[key])
        if start_s < stopped_s:
            phases.append(Phase(name, start_s, min(end_s, stopped_s)))
        start_s = end_s
    return phases


def _last_record_s(run_dir: Path, manifest: Manifest) -> float:
    tables, _ = _tables(run_dir)
    ends = [table["unix_s"].max() for table in tables.values() if not table.empty]
    return max([manifest.started_unix_s, *map(float, ends)])
