"""The circumstances of a run in words, and tables of words as HTML and as Markdown."""

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING, Any

from workbench.units import format_bytes, format_duration

if TYPE_CHECKING:
    from workbench.runs.run import Run

__all__ = ["began", "html_table", "markdown_table", "run_facts", "server_name"]


def run_facts(run: "Run") -> dict[str, str]:
    """The circumstances of a run, by name, for people."""
    manifest = run.manifest
    experiment, host = manifest.experiment, manifest.host
    limit = format_bytes(host.get("memory_limit_bytes") or math.nan)
    changed = " with changes" if manifest.dirty else ""
    return {
        "Run": f"{manifest.run_id}, {manifest.status}",
        "Began": began(manifest.started_unix_s),
        "Server": f"{server_name(manifest.server)}, "
        f"{manifest.server.get('allocator', 'allocator unknown')}",
        **_limits(manifest.server.get("config", {})),
        **_load(run),
        **_faults(experiment),
        "Host": f"{host.get('cores') or 'unknown'} cores, memory limit {limit} "
        f"({host.get('memory_limit_source') or 'no source'}), "
        f"overcommit_memory {host.get('overcommit_memory', 'unknown')}",
        "Workbench": f"{manifest.versions.get('workbench', 'unknown')} "
        f"{manifest.commit[:8]}{changed}".strip(),
    }


def _limits(config: Mapping[str, str]) -> dict[str, str]:
    """The settings on which eviction and persistence rest; nothing if none was to be read."""
    if "maxmemory" not in config:
        return {}
    cap = format_bytes(int(config["maxmemory"])) if int(config["maxmemory"]) else "none"
    policy = config.get("maxmemory-policy", "unknown")
    aof = "no AOF"
    if config.get("appendonly") == "yes":
        aof = f"AOF fsync {config.get('appendfsync', 'unknown')}"
    return {"Limits": f"maxmemory {cap}, {policy}, {aof}"}


def _load(run: "Run") -> dict[str, str]:
    lasted = format_duration(run.measured_s)
    if not run.loaded:
        return {"Load": f"none of ours: the server was looked at for {lasted}"}
    experiment = run.manifest.experiment
    return {
        "Load": f"{_offered(experiment)} for {lasted}, seed {run.manifest.seed}",
        "Pauses": _pauses(experiment),
    }


def began(started_unix_s: float) -> str:
    """When a run began: ``2026-11-23 08:00 UTC``."""
    return f"{datetime.fromtimestamp(started_unix_s, UTC):%Y-%m-%d %H:%M} UTC"


def server_name(server: Mapping[str, Any]) -> str:
    """The server of a manifest: ``Redis 7.0.15``."""
    return (
        f"{str(server.get('engine', 'unknown')).capitalize()} {server.get('version', '')}".strip()
    )


def _faults(experiment: Mapping[str, Any]) -> dict[str, str]:
    """What was done to the server, in the order of time; nothing if nothing was."""
    told = [
        f"{fault['fault']} at {format_duration(fault['at_s'])}"
        + (f" for {format_duration(fault['lasts_s'])}" if fault["lasts_s"] else "")
        for fault in experiment.get("faults", ())
    ]
    return {"Faults": ", ".join(told)} if told else {}


def _pauses(experiment: Mapping[str, Any]) -> str:
    factor = experiment.get("compression", 1.0)
    median_s, p95_s = (experiment.get(f"think_{name}_s", math.nan) for name in ("median", "p95"))
    told = f"compressed {factor:g} times, from a " if factor > 1 else ""
    return (
        f"{told}median {format_duration(median_s)}, p95 {format_duration(p95_s)}"
        f"{'' if told else ', uncompressed'}"
    )


def _offered(experiment: Mapping[str, Any]) -> str:
    if experiment.get("replay"):
        return f"replay of {experiment['replay']}, open loop,"
    if experiment.get("closed_loop"):
        return f"{experiment.get('users', math.nan):g} users, closed loop,"
    return f"{experiment.get('turns_per_s', math.nan):g} turns/s, open loop,"


def html_table(rows: Iterable[Sequence[str]], *, head: Sequence[str] = ()) -> str:
    """A table of texts, whatever they hold: nothing in them is taken for a tag."""
    left = ' style="text-align: left"'
    top = "".join(f"<th{left}>{escape(text)}</th>" for text in head)
    body = "".join(
        "<tr>" + "".join(f"<td{left}>{escape(text)}</td>" for text in row) + "</tr>" for row in rows
    )
    return f"<table>{f'<thead><tr>{top}</tr></thead>' if top else ''}<tbody>{body}</tbody></table>"


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of texts, whatever they hold: nothing in them ends a cell or is taken for a tag."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(_markdown_cell, line))} |" for line in lines)


def _markdown_cell(text: str) -> str:
    # A backslash before the bar would be undone by one that the text holds itself.
    return " ".join(escape(text, quote=False).replace("|", "&#124;").split())
