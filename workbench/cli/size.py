"""``workbench size``: the largest maxmemory that is safe under a limit, and what fits in it."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli.app import AsJson, app, near, positive_bytes, progress, tell

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from workbench.analysis.sessions import Layout
    from workbench.analysis.sizing import Advice, Demand, Law
    from workbench.runs.measurement import Measurement
    from workbench.server.binary import ServerBinary

__all__ = ["size"]


@app.command()
def size(
    limit: Annotated[
        str | None, typer.Option(help="Memory that the server's container may take: 716mb.")
    ] = None,
    writes_per_s: Annotated[
        float | None, typer.Option(help="Sessions written a second, at the busiest.")
    ] = None,
    value_bytes: Annotated[
        str | None, typer.Option(help="Length of a session's document, such as 2600 or 2.5kb.")
    ] = None,
    vcpu: Annotated[
        float | None,
        typer.Option(help="Share of one core that the container has; default: a core for each."),
    ] = None,
    hot_share: Annotated[
        float,
        typer.Option(help="Share of the writes that go to a tenth of the sessions; 0.1: even."),
    ] = 0.1,
    length_spread: Annotated[
        float,
        typer.Option(help="How far lengths lie from --value-bytes at most, of it; 0: all equal."),
    ] = 0.5,
    growth_sessions_per_s: Annotated[
        float | None, typer.Option(help="Sessions that begin a second.")
    ] = None,
    ttl: Annotated[
        str | None, typer.Option(help="From a session's last write to its end, such as 30m.")
    ] = None,
    clients: Annotated[int | None, typer.Option(help="Connections in use. Default: 50.")] = None,
    replicas: Annotated[int, typer.Option(help="Replicas that are attached.")] = 0,
    key_bytes: Annotated[int, typer.Option(help="Length of a key's name.")] = 20,
    engine: Annotated[
        str | None,
        typer.Option(help="For which server: redis, valkey, or 'valkey libc'. Default: redis."),
    ] = None,
    from_run: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="RUN",
            help="Take lengths, rates, TTL, connections and fragmentation from a run; an option "
            "that is given goes first.",
        ),
    ] = None,
    calibrate: Annotated[
        bool,
        typer.Option(
            "--calibrate",
            help="First fit the law on this machine, by trials on private servers: about three "
            "minutes for each engine. It is used from then on.",
        ),
    ] = False,
    cells: Annotated[int, typer.Option(help="Trials for each engine, with --calibrate.")] = 24,
    largest: Annotated[
        str, typer.Option(help="The largest cap that is tried, with --calibrate.")
    ] = "256mb",
    seed: Annotated[int, typer.Option(help="Of the trials, with --calibrate.")] = 1,
    out: Annotated[
        Path | None,
        typer.Option(help="Where --calibrate writes its fit; default: among the runs."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """
    The largest maxmemory that is safe under a limit while a rewrite runs, and what fits in it.

    Each part of the peak is named. The law is fitted to trials: one's own if --calibrate was run
    here, else the one that comes with the workbench; the answer says which.

    \b
    Examples:
      workbench size --limit 716mb --writes-per-s 1000 --value-bytes 2600 --vcpu 0.35
      workbench size --limit 716mb --from latest --vcpu 0.35 --json
      workbench size --limit 2gb --writes-per-s 300 --value-bytes 4kb --growth-sessions-per-s 20 \
--ttl 30m
      workbench size --calibrate --engine redis
    """
    from workbench.analysis.sessions import named_layout
    from workbench.errors import UsageError

    _check_options(locals())
    if out is not None and not calibrate:
        raise UsageError("--out is where --calibrate writes its fit; add --calibrate")
    chosen = named_layout(engine) if engine else None
    asked = None
    if limit is not None or not calibrate:
        asked = _asked(
            limit=limit,
            writes_per_s=writes_per_s,
            value_bytes=value_bytes,
            vcpu=vcpu,
            hot_share=hot_share,
            length_spread=length_spread,
            growth_sessions_per_s=growth_sessions_per_s,
            ttl=ttl,
            clients=clients,
            replicas=replicas,
            key_bytes=key_bytes,
            from_run=from_run,
            layout=chosen,
        )
    path = None
    if calibrate:
        fitted, path = _calibrated(
            chosen, cells=cells, largest=positive_bytes("--largest", largest), seed=seed, out=out
        )
    told: dict[str, Any] = {} if path is None else {"calibration": _fit_told(fitted, path)}
    if asked is not None:
        if not calibrate:
            fitted, path = _shipped_or_own()
        assert path is not None, "it was found, or made"
        told |= _answer(asked, fitted, path)
    if as_json:
        tell(told)
        return
    if "calibration" in told:
        _print_fit(told["calibration"])
    if asked is not None:
        _print(told)
    if calibrate and path is not None:
        typer.echo(near(path))


class _Asked:
    """What was asked, and where each input is from."""

    def __init__(self, limit_bytes: int, layout: "Layout", demand: "Demand") -> None:
        self.limit_bytes, self.layout, self.demand = limit_bytes, layout, demand
        self.sessions_per_s: float | None = None
        self.ttl_s: float | None = None
        self.fragmentation: float | None = None
        self.sources: dict[str, str] = {}


def _check_options(given: "Mapping[str, Any]") -> None:
    from workbench.errors import UsageError

    bounds: dict[str, tuple[float, float, str]] = {
        "writes_per_s": (0, 1e6, ""),
        "vcpu": (0.01, 16, "; a quarter of a core is 0.25"),
        "hot_share": (0, 1, "; it is a share, and an even one is 0.1"),
        "length_spread": (0, 0.9, "; lengths that lie within a half of their average are 0.5"),
        "growth_sessions_per_s": (0, 1e6, ""),
        "clients": (0, 100_000, ""),
        "replicas": (0, 100, ""),
        "key_bytes": (1, 10_000, ""),
        "cells": (10, 200, ""),
    }
    for name, (least, most, hint) in bounds.items():
        value = given[name]
        if value is not None and not least <= value <= most:
            option = f"--{name.replace('_', '-')}"
            raise UsageError(f"{option} is {value:g}, outside {least:g} to {most:g}{hint}")


def _asked(
    *,
    limit: str | None,
    writes_per_s: float | None,
    value_bytes: str | None,
    vcpu: float | None,
    hot_share: float,
    length_spread: float,
    growth_sessions_per_s: float | None,
    ttl: str | None,
    clients: int | None,
    replicas: int,
    key_bytes: int,
    from_run: str | None,
    layout: "Layout | None",
) -> _Asked:
    from workbench.analysis.sessions import named_layout
    from workbench.analysis.sizing import Demand
    from workbench.analysis.workload import workload_of
    from workbench.errors import UsageError
    from workbench.runs.run import open_run
    from workbench.units import parse_bytes, parse_duration

    if limit is None:
        raise UsageError("--limit is missing: the memory of the server's container, such as 716mb")
    limit_bytes = positive_bytes("--limit", limit)
    run = open_run(from_run) if from_run else None
    seen = workload_of(run) if run else None
    named = f"the run {run.name}" if run else ""
    sources: dict[str, str] = {}

    def pick(name: str, given: Any, of_run: Any, default: Any = None) -> Any:
        if given is not None:
            sources[name] = "given"
            return given
        if seen is not None and of_run is not None:
            sources[name] = f"{named}: {seen.sources[name]}"
            return of_run
        if default is not None:
            sources[name] = "default"
        return default

    lengths: Sequence[int] = ()
    if value_bytes is not None:
        length: float | None = parse_bytes(value_bytes)
        sources["value_bytes"] = "given"
        if not length:
            raise UsageError(f"--value-bytes is {value_bytes}: a session has a document")
    else:
        lengths = () if seen is None else seen.value_bytes
        length = pick("value_bytes", None, sum(lengths) / len(lengths) if lengths else None)
    writes = pick("writes_per_s", writes_per_s, seen.writes_per_s if seen else None)
    for option, value in (("--writes-per-s", writes), ("--value-bytes", length)):
        if value is None:
            raise UsageError(f"{option} is missing; give it, or a run that tells it: --from RUN")
    growth = pick("sessions_per_s", growth_sessions_per_s, seen.sessions_per_s if seen else None)
    if layout is None and run is not None:
        layout = _layout_of_run(run.manifest.server)
    assert length is not None, "it was asked for above"
    asked = _Asked(
        limit_bytes,
        layout or named_layout("redis"),
        Demand(
            writes_per_s=writes,
            value_bytes=length,
            lengths=tuple(lengths),
            hot_share=hot_share,
            length_spread=length_spread,
            cpu_share=vcpu,
            new_share=min(1.0, (growth or 0.0) / writes) if writes else 0.0,
            key_bytes=key_bytes,
            clients=pick("clients", clients, seen.clients if seen else None, 50),
            replicas=replicas,
        ),
    )
    asked.sessions_per_s = growth
    asked.ttl_s = pick("ttl_s", parse_duration(ttl) if ttl else None, seen.ttl_s if seen else None)
    if seen is not None:
        asked.fragmentation = seen.fragmentation
        sources["fragmentation"] = seen.sources["fragmentation"]
    asked.sources = sources
    return asked


def _layout_of_run(server: "Mapping[str, Any]") -> "Layout | None":
    from workbench.analysis.sessions import layout_of

    names = ("engine", "version", "allocator", "preload")
    told = {name: str(server.get(name) or "") for name in names}
    return layout_of(**told) if told["engine"] else None


def _shipped_or_own() -> "tuple[Measurement, Path]":
    from workbench.errors import RunError
    from workbench.lab.calibrate import KIND
    from workbench.runs.measurement import find_measurement

    try:
        return find_measurement(KIND)
    except RunError as error:
        raise RunError(
            f"{error}; fit the law on this machine: workbench size --calibrate"
        ) from None


def _calibrated(
    layout: "Layout | None", *, cells: int, largest: int, seed: int, out: Path | None
) -> "tuple[Measurement, Path]":
    import tempfile

    from workbench.errors import UsageError
    from workbench.lab.calibrate import calibrate
    from workbench.runs.measurement import write_measurement

    if out is not None and (not out.parent.is_dir() or out.is_dir()):
        raise UsageError(f"--out is {out}: name a file in a folder that is there")
    command = f"workbench size --calibrate --cells {cells} --seed {seed}"
    command += f" --engine '{layout.name}'" if layout else ""
    with tempfile.TemporaryDirectory(prefix="workbench-size-") as folder:
        fitted = calibrate(
            _binaries(layout),
            Path(folder),
            seed=seed,
            number=cells,
            largest=largest,
            command=command,
            progress=progress,
        )
    return fitted, write_measurement(fitted, out)


def _binaries(layout: "Layout | None") -> "list[ServerBinary]":
    from workbench.errors import ServerMissingError
    from workbench.lab.calibrate import engine_key, every_binary

    found = [
        binary
        for binary in every_binary()
        if layout is None
        or (layout.engine, layout.allocator)
        == (engine_key(binary)["engine"], engine_key(binary)["allocator"])
    ]
    if not found:
        wanted = layout.name if layout else "Redis or Valkey"
        raise ServerMissingError(f"{wanted} is not on this machine; leave out --engine")
    return found


def _answer(asked: _Asked, fitted: "Measurement", path: Path) -> dict[str, Any]:
    from dataclasses import replace

    from workbench.analysis.sizing import advised, law_of
    from workbench.checkout import measurements_dir

    layout = asked.layout
    law, of = law_of(fitted, layout.engine, layout.allocator)
    if asked.fragmentation is not None:
        law = replace(law, fragmentation=asked.fragmentation, gaps=0.0, program_bytes=0.0)
    advice = advised(law, layout, asked.limit_bytes, asked.demand)
    shipped = path.is_relative_to(measurements_dir())
    notes = list(advice.outside)
    if (of["engine"], of["allocator"]) != (layout.engine, layout.allocator):
        notes.append(
            f"the law was fitted on {of['engine'].capitalize()} {of['version']} "
            f"({of['allocator']}), not on {layout.name}"
        )
    if asked.demand.replicas:
        notes.append("replica buffers are worked out from the documentation, and not fitted")
    peak = advice.peak
    if peak.written_per_s < 0.98 * asked.demand.writes_per_s:
        notes.append(
            f"of {asked.demand.writes_per_s:,.0f} writes a second about {peak.written_per_s:,.0f} "
            "are carried out while a rewrite runs: the share of a core is used up"
        )
    return {
        "limit_bytes": asked.limit_bytes,
        "engine": layout.name,
        "maxmemory_bytes": advice.maxmemory_bytes,
        "maxmemory_share": advice.maxmemory_bytes / asked.limit_bytes,
        "maxmemory_even_bytes": advice.even_bytes,
        "terms": [asdict(term) | {"share": term.bytes / asked.limit_bytes} for term in peak.terms],
        "peak_bytes": peak.bytes,
        "peak_low_bytes": peak.low_bytes,
        "peak_high_bytes": peak.high_bytes,
        "rewrite_s": peak.rewrite_s,
        "written_per_s": peak.written_per_s,
        "demand": asdict(asked.demand) | {"lengths": len(asked.demand.lengths)},
        "sources": asked.sources,
        "sessions": _sessions(asked, advice, layout),
        "growth": _growth(asked, peak.fit.sessions),
        "restart": _restart(asked, law, advice),
        "documented": _documented(asked, law),
        "law": {
            "shipped": shipped,
            "file": str(path),
            "made_at": fitted.made_at,
            "where": fitted.where,
            "engine": f"{of['engine']} {of['version']} {of['allocator']}",
            "cells": law.cells,
            "within_tenth_share": of.get("within_tenth_share"),
        },
        "notes": notes,
    }


def _sessions(asked: _Asked, advice: "Advice", chosen: "Layout") -> list[dict[str, Any]]:
    from workbench.analysis.sessions import LAYOUTS, sessions_that_fit

    demand = asked.demand
    rows = []
    for layout in LAYOUTS:
        fit = sessions_that_fit(
            layout,
            advice.maxmemory_bytes,
            value_bytes=demand.each_length,
            key_bytes=demand.key_bytes,
            clients=demand.clients,
        )
        rows.append(
            {
                "engine": layout.name,
                "sessions": fit.sessions,
                "bytes_per_session": fit.bytes_per_session,
                "session": asdict(fit.session),
                "tables_bytes": fit.tables_bytes,
                "fixed_bytes": fit.fixed_bytes,
                "chosen": layout == chosen,
            }
        )
    return rows


def _growth(asked: _Asked, sessions: int) -> dict[str, Any] | None:
    from workbench.analysis.sessions import first_eviction_s

    if asked.sessions_per_s is None:
        return None
    first_s, steady = first_eviction_s(sessions, asked.sessions_per_s, asked.ttl_s)
    return {
        "sessions_per_s": asked.sessions_per_s,
        "ttl_s": asked.ttl_s,
        "first_eviction_s": first_s,
        "steady_sessions": steady,
    }


def _restart(asked: _Asked, law: "Law", advice: "Advice") -> dict[str, Any]:
    cap = advice.maxmemory_bytes
    peak = law.load_bytes(cap)
    return {
        "fits": peak <= asked.limit_bytes,
        "peak_bytes": round(peak),
        "load_s": law.load_s(advice.peak.fit.sessions, cap, asked.demand.cpu_share),
        "data_most_bytes": round((asked.limit_bytes - law.program_bytes) / law.load_factor),
    }


def _documented(asked: _Asked, law: "Law") -> dict[str, Any]:
    from workbench.analysis.sizing import documented_maxmemory_bytes

    cap = documented_maxmemory_bytes(asked.limit_bytes)
    peak = law.peak(asked.layout, cap, asked.demand)
    return {
        "maxmemory_bytes": cap,
        "peak_bytes": peak.bytes,
        "peak_low_bytes": peak.low_bytes,
        "peak_high_bytes": peak.high_bytes,
        "killed": "surely"
        if peak.low_bytes > asked.limit_bytes
        else "more likely than not"
        if peak.bytes > asked.limit_bytes
        else "perhaps"
        if peak.high_bytes > asked.limit_bytes
        else "no",
    }


def _fit_told(fitted: "Measurement", path: Path) -> dict[str, Any]:
    return {
        "file": str(path.resolve()),
        "where": fitted.where,
        "laws": [
            {key: each[key] for key in ("engine", "version", "allocator", "within_tenth_share")}
            | {"cells": each["law"]["cells"]}
            for each in fitted.derived["laws"]
        ],
    }


def _print_fit(told: "Mapping[str, Any]") -> None:
    from workbench.units import format_share

    for each in told["laws"]:
        typer.echo(
            f"{each['engine'].capitalize()} {each['version']} ({each['allocator']}): law fitted to "
            f"{each['cells']} trials; {format_share(each['within_tenth_share'])} of their peaks "
            "within 10 % of what the others foretell"
        )


def _print(told: "Mapping[str, Any]") -> None:
    from workbench.units import format_bytes, format_duration, format_share

    limit, cap = told["limit_bytes"], told["maxmemory_bytes"]
    demand, law = told["demand"], told["law"]
    share = demand["cpu_share"]
    cores = "a core each for server and rewrite" if share is None else f"{share:g} of a core"
    typer.echo(
        f"{told['engine']}; limit {format_bytes(limit)}; {demand['writes_per_s']:,.6g} writes/s of "
        f"{format_bytes(demand['value_bytes'])}; {cores}"
    )
    for name, source in told["sources"].items():
        if source not in ("given", "default"):
            typer.echo(f"  {name} from {source}")
    typer.echo()
    typer.echo(f"maxmemory {cap // (1024 * 1024)}mb: {format_share(cap / limit)} of the limit")
    typer.echo(
        f"  even odds of a kill at {format_bytes(told['maxmemory_even_bytes'])}; "
        "what is above that is more likely killed than not"
    )
    typer.echo()
    _print_terms(told)
    typer.echo(
        f"  a rewrite takes {format_duration(told['rewrite_s'])}, and "
        f"{told['written_per_s'] * told['rewrite_s']:,.0f} writes fall into it"
    )
    typer.echo()
    typer.echo("sessions that fit")
    for row in told["sessions"]:
        mark = "→" if row["chosen"] else " "
        typer.echo(
            f"{mark} {row['engine']:24}{row['sessions']:>12,}  "
            f"{row['bytes_per_session']:,.0f} B each"
        )
    _print_growth(told["growth"])
    restart, documented = told["restart"], told["documented"]
    typer.echo()
    fits = "fits" if restart["fits"] else "does NOT fit"
    typer.echo(
        f"a restart {fits}: it holds {format_bytes(restart['peak_bytes'])} and takes about "
        f"{format_duration(restart['load_s'])}; loading does not look at maxmemory, and up to "
        f"{format_bytes(restart['data_most_bytes'])} of data load under the limit"
    )
    typer.echo(
        f"the documented rule, 95 % of a limit that is 35 % of the task, gives "
        f"{format_bytes(documented['maxmemory_bytes'])}: a peak of "
        f"{format_bytes(documented['peak_bytes'])} ("
        f"{format_bytes(documented['peak_low_bytes'])} to "
        f"{format_bytes(documented['peak_high_bytes'])}); killed: {documented['killed']}"
    )
    typer.echo()
    whose = "comes with the workbench" if law["shipped"] else "is your own"
    within = law["within_tenth_share"]
    quality = "" if within is None else f", {format_share(within)} of them within 10 %"
    typer.echo(f"the law {whose}: {law['cells']} trials on {law['engine']}{quality}")
    typer.echo(f"  {law['where']}")
    for note in told["notes"]:
        typer.echo(f"  note: {note}")


def _print_terms(told: "Mapping[str, Any]") -> None:
    from workbench.units import format_bytes, format_share

    limit = told["limit_bytes"]
    rows = [(term["title"], term["bytes"], term["basis"]) for term in told["terms"]]
    counted = sum(term["counted"] for term in told["terms"])
    typer.echo("the peak, while a rewrite runs")
    for at, (title, held, basis) in enumerate(rows):
        if at == counted:
            typer.echo(f"  {'= maxmemory':20}{format_bytes(told['maxmemory_bytes']):>12}")
        share = format_share(held / limit)
        typer.echo(f"  {title:20}{format_bytes(held):>12}{share:>9}  {basis}")
    for title, held in (
        ("= expected", told["peak_bytes"]),
        ("  19 of 20 from", told["peak_low_bytes"]),
        ("  to", told["peak_high_bytes"]),
        ("limit", limit),
    ):
        typer.echo(f"  {title:20}{format_bytes(held):>12}{format_share(held / limit):>9}")


def _print_growth(growth: "Mapping[str, Any] | None") -> None:
    from workbench.units import format_duration, format_rate

    if growth is None:
        return
    rate = format_rate(growth["sessions_per_s"])
    steady = growth["steady_sessions"]
    if growth["first_eviction_s"] is not None:
        most = "" if steady is None else f" (there would be {steady:,.0f} at most)"
        typer.echo(
            f"  at {rate} the first session is evicted after "
            f"{format_duration(growth['first_eviction_s'])}{most}"
        )
    elif steady is None:
        typer.echo(f"  at {rate} no session is ever evicted")
    else:
        typer.echo(
            f"  at {rate} and a TTL of {format_duration(growth['ttl_s'])} there are "
            f"{steady:,.0f} at most, expired ones that were not yet found among them: none is "
            "evicted"
        )
