"""A grid for people: a row of text a cell, and a page of documentation."""

from collections.abc import Mapping
from typing import Any, Final

from workbench.runs.measurement import Measurement
from workbench.units import format_bytes, format_duration, format_rate, format_share

__all__ = ["HEAD", "conditions", "grid_page", "outcome", "row_cells"]

HEAD: Final = (
    "server",
    "cap",
    "limit",
    "left free",
    "writes",
    "of",
    "vCPU",
    "before the fork",
    "peak",
    "copied",
    "fork",
    "rewrite",
    "written",
    "outcome",
    "expected",
)
"""What the columns are called."""

_STAGES: Final = {
    "fill": "in the fill",
    "writes": "under the writes, before the rewrite",
    "rewrite": "in the rewrite",
}

_PAGE: Final = """# What a rewrite takes, measured

<!-- Written by `{command}`: run it anew. -->

Each row is a server of its own with the documented production settings, filled to its cap with
sessions. Then its append-only file was rewritten once while sessions were written. Where a limit is
given, the server ran in a cgroup with that limit from its start, as in a container.

- *before the fork*, *peak* and *copied* are shares of the cap. Peak is the anonymous memory of the
  server and the child that it forks, together, as {watched} tells it every 5 ms; copied is what
  the server reports as `aof_last_cow_size`. Of a server that was killed the peak is what was last
  seen, and a limit counts more than that: page tables, and page cache that cannot be dropped yet.
- *writes* come due evenly, whether the server keeps up or not; *written* is what it answered during
  the rewrite.
- *killed* is what the kernel counted in the cgroup.{no_kills}

{question}

Measured on {where}; seed {seed}.{held}

| {head} |
|{dashes}
{rows}
"""


def grid_page(measured: Measurement) -> str:
    """The page of documentation that a grid makes."""
    rows = measured.rows
    watched = sorted({row["watched_by"] for row in rows if not row["why"]})
    by_cgroup = [each for each in watched if each.startswith("cgroup")]
    derived = measured.derived
    held = ""
    if derived.get("expectations"):
        held = (
            f" Of {derived['expectations']} rows of which something was expected, "
            f"{derived['expectations_held']} came out so."
        )
    return _PAGE.format(
        command=measured.command,
        watched=" or ".join(watched) or "nothing",
        no_kills=""
        if len(by_cgroup) == len(watched)
        else " Where no cgroup could be had nothing is killed: *over the limit* stands for it.",
        question=derived.get("question", ""),
        where=measured.where,
        seed=measured.seed,
        held=held,
        head=" | ".join(("", *HEAD)).strip(),
        dashes=" --- |" * (len(HEAD) + 1),
        rows="\n".join(
            f"| {' | '.join((row['label'], *row_cells(row)))} |" for row in measured.rows
        ),
    )


def row_cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    """The cells of a row, under ``HEAD``."""
    limit, cap = row["limit_bytes"], row["maxmemory_bytes"]
    return (
        f"{row['engine'].capitalize()} {row.get('version', '')}".strip() or "–",
        format_bytes(cap),
        "–" if limit is None else format_bytes(limit),
        "–" if limit is None else format_share(max(0.0, 1 - cap / limit)),
        format_rate(row["writes_per_s"]),
        _written_what(row),
        "–" if row["cpu_share"] is None else f"{row['cpu_share']:g}",
        *(_share(row.get(name), cap) for name in ("before_bytes", "peak_bytes", "cow_bytes")),
        *(_or_dash(row.get(name), format_duration) for name in ("fork_s", "rewrite_s")),
        _or_dash(row.get("written_per_s"), format_rate),
        outcome(row),
        {True: "as expected", False: f"**not {row['expected']}**"}.get(row["held"], "")
        if row["expected"]
        else "",
    )


def conditions(row: Mapping[str, Any]) -> str:
    """For people: under what it was measured."""
    limit = row["limit_bytes"]
    where = "without a limit" if limit is None else f"in {format_bytes(limit)}"
    core = "" if row["cpu_share"] is None else f", {row['cpu_share']:g} of a core"
    writes = "nobody writes"
    if row["writes_per_s"]:
        writes = f"{format_rate(row['writes_per_s'])} of {_written_what(row)}"
    return f"{format_bytes(row['maxmemory_bytes'])} {where}{core}; {writes}"


def outcome(row: Mapping[str, Any]) -> str:
    """For people: what came of it."""
    if row["why"]:
        return f"not measured: {row['why']}"
    if row["killed"]:
        child = "its child was " if row["killed_process"] == "child" else ""
        return f"{child}killed {_STAGES[row['killed_in']]}"
    if row["limit_bytes"] is None:
        return "–"
    return "over the limit" if row["over_limit"] else "survived"


def _written_what(row: Mapping[str, Any]) -> str:
    spread = f" ± {format_share(row['length_spread'])}" if row["length_spread"] else ""
    size = f"{row['value_bytes']:,} B{spread}"
    if row["new_keys"]:
        return f"{size}, new"
    if abs(row["hot_share"] - 0.1) < 1e-9:
        return size
    return f"{size}, {format_share(row['hot_share'])} on a tenth"


def _share(size: float | None, cap: int) -> str:
    return "–" if size is None else f"{size / cap:.3f}"


def _or_dash(value: float | None, format_: Any) -> str:
    return "–" if value is None else str(format_(value))
