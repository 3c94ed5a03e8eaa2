"""
How often our rules find what is wrong, and how often they complain of what is not; and others.

Each case is a private server that was made ill, or left well, and is looked at for some seconds as
``workbench doctor`` looks. Every tool judges by the same look. Each case is made twice, since the
latency monitor is off on a server that nobody has set it on: the second time it is on, for LATENCY
DOCTOR, and our rules judge once more.
"""

import signal
import tempfile
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
from redis import Redis
from redis.exceptions import RedisError

from workbench.benches.cases import CASES, LATENCY, LATENCY_ON, OURS, TOOLS, Case
from workbench.benches.figure import BENCHES, Bench, Figure, Report, count, not_measured
from workbench.benches.rivals import doctors, published
from workbench.benches.scene import Scene, UnavailableError
from workbench.diagnostics.finding import evaluate
from workbench.errors import ServerMissingError, WorkbenchError
from workbench.runs.clock import Clock
from workbench.runs.manifest import Manifest, Phase, write_manifest
from workbench.runs.run import Run
from workbench.runs.snapshot import read_snapshots
from workbench.server.binary import ENGINES, ServerBinary, find_binary
from workbench.telemetry.host import describe_host, host_of_server
from workbench.telemetry.sampler import Sampler
from workbench.telemetry.snapshot import settings
from workbench.units import format_share

if TYPE_CHECKING:
    from workbench.server.process import PrivateServer

__all__ = [
    "OF_THE_MACHINE",
    "Look",
    "Outcome",
    "judged",
    "look_at",
    "measure",
    "outcome_of",
    "page",
    "recall",
    "row_head",
]

_INTERVAL_S: Final = 0.25
_KEYS: Final = 1000
_MONITOR_MS: Final = 10
_AT_ONCE: Final = 2
_RECALL: Final = (">=0.9", ">=0.95")

OF_THE_MACHINE: Final = frozenset(
    {"accept-backlog", "aof-disk", "disk-room", "huge-pages", "oom-killed", "overcommit", "swapped"}
)
"""Rules that judge the machine, the same for every case: they are told, and not counted."""


@dataclass(frozen=True, slots=True)
class Look:
    """
    What was seen of one server.

    Attributes:
        run: as ``workbench doctor`` records it.
        said: what the server's own doctors complained of.
    """

    run: Run
    said: Mapping[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    What every tool said of one case on one engine.

    Attributes:
        case, engine: which.
        healthy: nothing is wrong with it.
        said: for each tool that was asked, its alarms by name; our infos left aside.
        found: for each tool, whether one of them tells the fault; empty for a healthy server.
        beside: our rules that failed and that the case does not name.
        of_the_machine: our rules that failed for what the machine is.
        why: it could not be made; empty if it was.
    """

    case: str
    engine: str
    healthy: bool
    said: Mapping[str, Sequence[str]] = field(default_factory=dict)
    found: Mapping[str, bool] = field(default_factory=dict)
    beside: Sequence[str] = ()
    of_the_machine: Sequence[str] = ()
    why: str = ""

    def alarms(self, tool: str) -> Sequence[str]:
        """What a tool says of a healthy server, and should not."""
        return self.beside if tool == OURS else self.said.get(tool, ())


def measure(
    server: "PrivateServer", *, quick: bool, say: Callable[[str], None] = lambda _: None
) -> Report:
    """On every engine that there is; quickly on that of ``server``, and some cases alone."""
    binaries = [server.binary] if quick else [*_binaries()]
    known = sorted(CASES.values(), key=lambda case: (case.healthy, case.name))
    cases = [case for case in known if case.quick or not quick]
    outcomes: list[Outcome] = []
    again: list[Outcome] = []
    with _ctrl_c() as over:
        for binary in binaries:
            say(f"{len(cases)} servers, {binary.label}")
            outcomes += _outcomes(cases, binary, say=say, over=over)
            if not quick:
                say(f"{len(cases)} servers once more, with the latency monitor on")
                again += _outcomes(cases, binary, monitor_ms=_MONITOR_MS, say=say, over=over)
    merged = [_with_monitor(each, again) for each in outcomes]
    changed = [each for each in merged if _changed(each, again)]
    return Report(
        "diagnosis",
        bool(changed),
        [figure for binary in binaries for figure in _figures(binary.engine, merged, again)],
        "; ".join(binary.label for binary in binaries),
        details={"cases": [_told(each) for each in merged]},
        table=_table(merged),
    )


def recall(outcomes: Iterable[Outcome], tool: str = OURS) -> float:
    """The share of faults that were made which a tool tells."""
    found = [each.found[tool] for each in outcomes if not each.why and tool in each.found]
    return sum(found) / len(found) if found else 0.0


def outcome_of(
    case: Case,
    binary: ServerBinary,
    *,
    monitor_ms: int = 0,
    over: threading.Event | None = None,
    rules: Collection[str] = (),
) -> Outcome:
    """
    Make a case, look at it, and have every tool judge it.

    Args:
        case: which.
        binary: on which engine.
        monitor_ms: ``latency-monitor-threshold``; 0 is off.
        over: once set, it is given up.
        rules: of ours; all if none is given.
    """
    if over is not None and over.is_set():
        return Outcome(case.name, binary.engine, case.healthy, why="the bench was ended")
    with tempfile.TemporaryDirectory(prefix=f"workbench-{case.name}-") as folder:
        try:
            with Scene(Path(folder), binary, monitor_ms=monitor_ms, over=over) as scene:
                look = look_at(case, scene)
            return judged(case, binary.engine, look, rules=rules)
        except UnavailableError as lacking:
            why = str(lacking)
        except (WorkbenchError, RedisError, OSError) as error:
            why = f"it could not be made: {error}"
    return Outcome(case.name, binary.engine, case.healthy, why=why)


def look_at(case: Case, scene: Scene) -> Look:
    """Make a case, and record it as ``workbench doctor`` does."""
    making = case.make(scene)
    next(making)
    run_dir = scene.folder / "run"
    run_dir.mkdir()
    owner = scene.client(scene.owner_url)
    owner.latency_reset()  # the making is no part of it
    clock, over = Clock(), threading.Event()
    with scene.client() as client:
        manifest = _manifest(scene, client, run_dir, clock)
    write_manifest(run_dir, manifest)
    sampler = Sampler(
        scene.client(max_connections=1), run_dir, interval_s=_INTERVAL_S, clock=clock, keys=_KEYS
    )
    failures: list[Exception] = []

    def sample() -> None:
        try:
            sampler.run(over.wait)
        except (RedisError, OSError) as error:
            failures.append(error)

    began_s = clock.unix_s()
    thread = threading.Thread(target=sample)
    thread.start()
    try:
        scene.wait_until(lambda: read_snapshots(run_dir) or failures, "a first look")
        for _ in making:
            raise AssertionError(f"{case.name} yields once")
        scene.wait(max(0.0, began_s + scene.look_s - clock.unix_s()))
    finally:
        over.set()
        thread.join()
    if failures:
        raise failures[0]
    manifest.stopped_unix_s = clock.unix_s()
    manifest.phases = [Phase("measure", began_s, manifest.stopped_unix_s)]
    manifest.status = "complete"
    write_manifest(run_dir, manifest)
    return Look(Run(run_dir), doctors(owner))


def judged(case: Case, engine: str, look: Look, *, rules: Collection[str] = ()) -> Outcome:
    """What every tool says of a look; ``rules`` of ours, all if none is given."""
    shots = look.run.snapshots
    failed = {
        finding.rule
        for finding in evaluate(look.run, *rules)
        if finding.verdict == "fail" and finding.severity != "info"
    }
    named = case.told_by.get(OURS, frozenset()) | case.also
    said = {
        OURS: frozenset(failed - OF_THE_MACHINE | failed & named),
        **look.said,
        **published(shots[0], shots[-1]),
    }
    return Outcome(
        case.name,
        engine,
        case.healthy,
        said={tool: sorted(names) for tool, names in said.items()},
        found={
            tool: bool(names & said[tool]) for tool, names in case.told_by.items() if tool in said
        },
        beside=sorted(said[OURS] - named),
        of_the_machine=sorted(failed & OF_THE_MACHINE - named),
    )


def _binaries() -> Iterable[ServerBinary]:
    for engine in ENGINES:
        try:
            yield find_binary(engine)
        except ServerMissingError:
            continue


@contextmanager
def _ctrl_c() -> Iterator[threading.Event]:
    """
    What is set by Ctrl-C, which is raised once no case is at work any longer.

    Raised at once it would meet the main thread anywhere, and Python lets go of what is raised in
    a callback, such as those of a fork; the lock that one holds is then never given back.
    """
    over = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield over  # only the main thread may set handlers
        return
    before = signal.signal(signal.SIGINT, lambda *_: over.set())
    try:
        yield over
    finally:
        signal.signal(signal.SIGINT, before)


def _outcomes(
    cases: Sequence[Case],
    binary: ServerBinary,
    *,
    say: Callable[[str], None],
    over: threading.Event,
    monitor_ms: int = 0,
) -> list[Outcome]:
    """Two at once; each in a thread of its own, which may be put into a network of its own."""

    def one(case: Case) -> Outcome:
        found: list[Outcome] = []
        failed: list[BaseException] = []

        def run() -> None:
            try:
                found.append(outcome_of(case, binary, monitor_ms=monitor_ms, over=over))
            except BaseException as error:  # noqa: BLE001  (raised again where it is waited for)
                failed.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        if failed:
            over.set()
            raise failed[0]
        say(f"  {case.name}")
        return found[0]

    # The one that takes longest first.
    longest = sorted(cases, key=lambda case: case.name != "time-to-full")
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        waiting = {case.name: pool.submit(one, case) for case in longest}
        outcomes = [waiting[case.name].result() for case in cases]
    if over.is_set():
        raise KeyboardInterrupt
    return outcomes


def _manifest(scene: Scene, client: Redis, run_dir: Path, clock: Clock) -> Manifest:
    """As ``workbench doctor`` writes it of a server that is not ours."""
    info: dict[str, Any] = client.info()
    config = settings(client)
    folder = str(client.config_get("dir").get("dir") or "")
    host = host_of_server(client.connection_pool, info, folder)
    seen = {} if host is None else describe_host(run_dir) | msgspec.structs.asdict(host)
    if limit_bytes := scene.asked.get("memory_limit_bytes"):
        seen |= {"memory_limit_bytes": limit_bytes, "memory_limit_source": "given"}
    return Manifest(
        run_id=run_dir.name,
        status="running",
        experiment={"name": "sample", "sample_interval_s": _INTERVAL_S, **scene.asked},
        seed=0,
        started_unix_s=clock.unix_s(),
        host=seen,
        server={"ours": False, "here": host is not None, "config": config},
    )


def _with_monitor(outcome: Outcome, again: Sequence[Outcome]) -> Outcome:
    """The outcome, with what LATENCY DOCTOR said when the monitor was on."""
    for each in again:
        if (each.case, each.engine) == (outcome.case, outcome.engine) and not each.why:
            said = {**outcome.said, LATENCY_ON: each.said[LATENCY]}
            told = {LATENCY_ON: each.found[LATENCY]} if each.found else {}
            return replace(outcome, said=said, found={**outcome.found, **told})
    return outcome


def _changed(outcome: Outcome, again: Sequence[Outcome]) -> bool:
    """Whether our rules judged otherwise when the same server was made once more."""
    return any(
        each.found.get(OURS) != outcome.found.get(OURS)
        or (each.healthy and bool(each.beside) != bool(outcome.beside))
        for each in again
        if (each.case, each.engine) == (outcome.case, outcome.engine)
        and not each.why
        and not outcome.why
    )


def _figures(
    engine: str, outcomes: Sequence[Outcome], again: Sequence[Outcome]
) -> Iterable[Figure]:
    of_engine = [each for each in outcomes if each.engine == engine]
    faults = [each for each in of_engine if not each.healthy]
    well = [each for each in of_engine if each.healthy and not each.why]
    known = {case.name for case in CASES.values() if case.development}
    development = [each for each in well if each.case in known]
    yield _recall_figure(engine, faults)
    repeats = [each for each in again if each.engine == engine and each.healthy]
    for figure_id, title, servers, must, goal in (
        ("development", "of the documented development profile", development, "0", None),
        ("healthy", "of healthy servers", well, None, "0"),
    ):
        names = {each.case for each in servers}
        cried = [*servers, *(each for each in repeats if each.case in names)]
        yield count(
            f"false_alarms_{figure_id}_{engine}",
            f"false alarms {title}, {engine}",
            sum(len(each.beside) for each in cried),
            n=len(cried),
            must=must,
            goal=goal,
        )
    made = [each for each in faults if not each.why]
    yield count(
        f"beside_{engine}",
        f"our findings on faulty servers that the case does not name, {engine}",
        sum(len(each.beside) for each in made),
        n=len(made),
    )
    for tool in TOOLS[1:]:
        yield from _others(tool, engine, made, well)


def _recall_figure(engine: str, faults: Sequence[Outcome]) -> Figure:
    """Of what could be made; whether it holds is not told where the rest could change it."""
    made = [each for each in faults if not each.why]
    figure_id, title = f"recall_{engine}", f"faults that our rules find, {engine}"
    if not made:
        return not_measured(figure_id, title, "no fault could be made", "share")
    must, goal = _RECALL
    figure = count(figure_id, title, recall(made), n=len(made), unit="share", must=must, goal=goal)
    missing = [each for each in faults if each.why]
    least, most = (
        (recall(made) * len(made) + more) / (len(made) + len(missing)) for more in (0, len(missing))
    )
    bound = float(must.removeprefix(">="))
    if least < bound <= most:
        return replace(figure, holds=None, why=f"{len(missing)} faults could not be made here")
    return figure


def _others(
    tool: str, engine: str, made: Sequence[Outcome], well: Sequence[Outcome]
) -> Iterable[Figure]:
    slug = tool.lower().replace(",", "").replace(" ", "_")
    asked = [each for each in made if tool in each.said]
    if not asked:
        yield not_measured(
            f"recall_{slug}_{engine}", f"faults that {tool} finds, {engine}", "quick", "share"
        )
        return
    yield count(
        f"recall_{slug}_{engine}",
        f"faults that {tool} finds, {engine}",
        recall(asked, tool),
        n=len(asked),
        unit="share",
    )
    yield count(
        f"false_alarms_{slug}_{engine}",
        f"healthy servers of which {tool} complains, {engine}",
        sum(bool(each.alarms(tool)) for each in well),
        n=len(well),
    )


def _told(outcome: Outcome) -> dict[str, Any]:
    case = CASES[outcome.case]
    return {
        **asdict(outcome),
        "meaning": case.meaning,
        "expected": sorted(case.told_by.get(OURS, frozenset())),
        "also": sorted(case.also),
    }


def _table(outcomes: Sequence[Outcome]) -> str:
    """A row a server, a column a tool; how often each found it, or complained."""
    head = ["", "", *TOOLS]
    rows = [head]
    for outcome in outcomes:
        cells = [_cell(outcome, tool) for tool in TOOLS]
        rows.append([outcome.case, outcome.engine, *cells])
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    lines += [f"{each.case}, {each.engine}: {each.why}" for each in outcomes if each.why]
    lines += [
        f"{each.case}, {each.engine}: besides {', '.join(each.beside)}"
        for each in outcomes
        if each.beside
    ]
    return "\n".join(lines)


def _cell(outcome: Outcome, tool: str) -> str:
    if outcome.why or tool not in outcome.said:
        return "?"
    if outcome.healthy:
        alarms = len(outcome.alarms(tool))
        return f"{alarms} false" if alarms else "quiet"
    return "found" if outcome.found[tool] else "-"


_PAGE: Final = """# What is found, and by whom

<!-- Written by `workbench bench diagnosis --markdown docs/reference/diagnosis.md`: run it anew. -->

Servers were made ill on purpose, one fault each, and others were left well; each was looked at for
some seconds as `workbench doctor` looks, and every tool judged by the same look. A fault counts as
found if a tool names its subject; on a healthy server every alarm counts as false, also one that is
meant as advice.

Measured on {server}; {system}, {cpus} cores.

- *workbench* counts by its rules of severity critical and warning.
- *MEMORY DOCTOR* and *LATENCY DOCTOR* are the server's own. The latency monitor is off unless
  somebody sets it; so each server was made a second time, with the monitor on.
- *RedisInsight* stands for 8 of its 22 recommendations of July 2025, by their published thresholds:
  the others look at hashes, sets, lists, sorted sets, JSON and search indexes.
- *Prometheus rules* are the 12 that are commonly used with redis_exporter. Those that wait for
  minutes are taken to have waited.

The faults are those that these rules were written for, and each has one cause: on others the rules
may do worse. What the other tools are made for is often something else: none asks whether
somebody's conversation is lost.

## In figures

| figure | value | of | must | goal |
| --- | --- | --- | --- | --- |
{figures}

## Faults

The rules in the second column are those of which one has to fail.

| fault | rules | how it is made | {tools} |
| --- | --- | --- |{dashes}
{faults}

## Healthy servers

A server may have a fault that is its profile's own; the rules in the second column fail rightly.
The cells name what each tool complained of.

| server | rules | how it is made | {tools} |
| --- | --- | --- |{dashes}
{healthy}
"""


def page(report: Mapping[str, Any]) -> str:
    """
    The page of documentation that a report of ``as_dict`` makes.

    Args:
        report: of every engine, not a quick one.
    """
    rows: dict[str, list[Mapping[str, Any]]] = {}
    for told in report["cases"]:
        rows.setdefault(told["case"], []).append(told)
    faults = [_row(each) for each in rows.values() if not each[0]["healthy"]]
    healthy = [_row(each) for each in rows.values() if each[0]["healthy"]]
    figures = [
        f"| {each['title']} | {_value(each)} | {each['n']} | {each['must'] or ''} "
        f"| {each['goal'] or ''} |"
        for each in report["figures"]
    ]
    machine = report["machine"]
    return _PAGE.format(
        server=machine["server"],
        system=machine["system"],
        cpus=machine["cpus"],
        figures="\n".join(figures),
        tools=" | ".join(TOOLS),
        dashes=" --- |" * len(TOOLS),
        faults="\n".join(faults),
        healthy="\n".join(healthy),
    )


def row_head(case: Case) -> str:
    """The beginning of a case's row in the page, which shows whether the page is stale."""
    rules = sorted(case.also if case.healthy else case.told_by[OURS])
    return f"| {case.name} | {', '.join(rules)} | {case.meaning} |"


def _row(told: Sequence[Mapping[str, Any]]) -> str:
    cells = " | ".join(_by_engine(told, tool) for tool in TOOLS)
    return f"{row_head(CASES[told[0]['case']])} {cells} |"


def _by_engine(told: Sequence[Mapping[str, Any]], tool: str) -> str:
    """What a tool said on the engines, once if it said the same on all."""
    said = {each["engine"]: _said(each, tool) for each in told}
    if len(set(said.values())) == 1:
        return next(iter(said.values()))
    return "; ".join(f"{engine}: {words}" for engine, words in said.items())


def _said(told: Mapping[str, Any], tool: str) -> str:
    if told["why"]:
        return f"not made: {told['why']}" if tool == OURS else "not made"
    if tool not in told["said"]:
        return "not asked"
    if told["healthy"]:
        alarms = told["beside"] if tool == OURS else told["said"][tool]
        return ", ".join(alarms) or "–"
    return "**found**" if told["found"][tool] else "–"


def _value(figure: Mapping[str, Any]) -> str:
    if figure["value"] is None:
        return f"not measured: {figure['why']}"
    return format_share(figure["value"]) if figure["unit"] == "share" else f"{figure['value']:g}"


BENCHES.add("diagnosis", Bench(measure, takes="about six minutes", page=page))
