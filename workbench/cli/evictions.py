"""``workbench evictions``: whose keys the server took away in a run."""

from typing import TYPE_CHECKING, Any

import typer

from workbench.cli.app import AsJson, RunName, app, tell

if TYPE_CHECKING:
    from workbench.analysis.ledger import Ledger, Reconciliation
    from workbench.runs.run import Run

__all__ = ["evictions"]


@app.command()
def evictions(run: RunName = "latest", as_json: AsJson = False) -> None:
    """
    Print whose keys were evicted in a run, how old they were, and what was left of their time.

    From the run's ledger, if it kept one (workbench run --ledger, workbench sample
    --keyspace-events); else what its turns found gone, which is less. Needs no server.

    \b
    Examples:
      workbench evictions
      workbench evictions 2026-11-23T080000Z-demo-1f2e --json
    """
    from workbench.runs.run import open_run

    opened = open_run(run)
    if opened.eviction_windows.empty:
        _without_ledger(opened, as_json=as_json)
    else:
        _with_ledger(opened, as_json=as_json)


def _with_ledger(run: "Run", *, as_json: bool) -> None:
    from dataclasses import asdict

    from workbench.analysis.ledger import ledger, ledger_by, reconciliation, traced

    events = traced(run.eviction_rows, run.turns, run.key_rows)
    whole, told = ledger(events), reconciliation(run.eviction_windows)
    parts = {column: ledger_by(events, column) for column in ("flow", "prefix")}
    if not run.loaded:
        del parts["flow"]  # the turns were not ours, so no flow is known
    if as_json:
        tell(
            {
                "run": run.where,
                "source": "ledger",
                "reconciliation": asdict(told)
                | {"complete_share": told.complete_share, "difference": told.difference},
                "all": _as_dict(whole),
                **{
                    f"by_{column}": {name: _as_dict(part) for name, part in by.items()}
                    for column, by in parts.items()
                },
            }
        )
        return
    typer.echo("from the ledger of keyspace events")
    typer.echo(_reconciled(told))
    typer.echo(_sentence(whole))
    for column, by in parts.items():
        _table(column, by)


def _without_ledger(run: "Run", *, as_json: bool) -> None:
    from workbench.analysis.ledger import lost_by_flow
    from workbench.analysis.windows import grown
    from workbench.units import format_count, format_duration

    found = lost_by_flow(run.turns, run.key_rows)
    evicted_keys = grown(run.samples, "evicted_keys")
    if as_json:
        tell(
            {
                "run": run.where,
                "source": "turns",
                "evicted_keys": evicted_keys,
                "by_flow": found.to_dict(orient="records"),
            }
        )
        return
    counted = "unknown" if evicted_keys is None else format_count(evicted_keys, "key")
    typer.echo(
        "this run kept no ledger: this is what its turns found gone, and the look at its end"
    )
    typer.echo(f"the server counted {counted} evicted; ages are those when a loss was found")
    more = "workbench run --ledger" if run.loaded else "workbench sample --keyspace-events"
    typer.echo(f"make a run with a ledger with: {more}")
    if not run.loaded:
        return
    _columns(
        ("flow", "by turns", "at the end", "age when found, p50"),
        [
            (
                str(row["flow"]),
                f"{row['by_turns']:,}",
                f"{row['at_the_end']:,}",
                format_duration(float(row["age_s_p50"])),
            )
            for row in found.to_dict(orient="records")
        ],
    )


def _as_dict(part: "Ledger") -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(part) | {"before_ttl_share": part.before_ttl_share}


def _reconciled(told: "Reconciliation") -> str:
    from workbench.units import format_count

    counted = f"the server counted {told.evicted_keys:,} evicted and {told.expired_keys:,} expired"
    if told.complete == told.windows:
        return (
            f"{counted}, and each is told of: {format_count(told.windows, 'window')}, all complete"
        )
    reasons = ", ".join(f"{count:,} {why}" for why, count in told.why.items())
    return (
        f"INCOMPLETE: {counted}, and {told.evicted_seen:,} and {told.expired_seen:,} are told of; "
        f"{told.complete:,} of {told.windows:,} windows are complete ({reasons})"
    )


def _sentence(whole: "Ledger") -> str:
    from workbench.units import format_count, format_share

    if not whole.evicted:
        return "no key was evicted"
    share = whole.before_ttl_share
    if share is None:
        return f"{format_count(whole.evicted, 'key')} evicted; their ages are unknown: " + (
            "who wrote them, and when, only their writers know"
        )
    return (
        f"{format_count(whole.evicted, 'key')} evicted, of {whole.known:,} of which the last write "
        f"is known: {format_share(share)} before their time to live was over; {whole.awaited:,} "
        f"conversations had a later turn due, {whole.live:,} had that or time left"
    )


def _table(column: str, by: "dict[str, Ledger]") -> None:
    head = (column, "evicted", "expired", "before TTL", "turn due", "age p10/p50/p90", "left p50")
    _columns(head, [(name, *_cells(part)) for name, part in by.items()])


def _cells(part: "Ledger") -> tuple[str, ...]:
    from workbench.units import format_duration, format_share

    share, ages_s, left_s = part.before_ttl_share, part.age_s, part.ttl_left_s
    return (
        f"{part.evicted:,}",
        f"{part.expired:,}",
        "unknown" if share is None else format_share(share),
        "unknown" if share is None else f"{part.awaited:,}",
        "unknown" if ages_s is None else " / ".join(map(format_duration, ages_s.values())),
        "unknown" if left_s is None else format_duration(left_s["p50"]),
    )


def _columns(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    typer.echo()
    for row in (head, *rows):
        cells = [f"{row[0]:{widths[0]}}"]
        cells += [f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True)]
        typer.echo("  ".join(cells).rstrip())
