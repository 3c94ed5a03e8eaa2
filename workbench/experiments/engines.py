"""compare-engines: the same turns on one engine after the other, round by round in turned order."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any, Final

from workbench.analysis.engines import Engines, doubts, engine_row
from workbench.checkout import runs_dir
from workbench.diagnostics.finding import sentence
from workbench.errors import RunFailedError, ServerError, ServerMissingError, UsageError
from workbench.experiments.runner import carry_out
from workbench.experiments.spec import Experiment, PlannedFault, read_experiment
from workbench.runs.facts import markdown_table
from workbench.runs.measurement import Measurement
from workbench.runs.run import Run
from workbench.server.binary import ALLOCATORS, ServerBinary, find_binary
from workbench.telemetry.circumstances import measurement
from workbench.units import MIB

__all__ = ["KIND", "ROUNDS", "Compared", "Contestant", "compare_engines", "contestants", "page"]

Say = Callable[[str], None]

KIND: Final = "engines"
"""Of the measurement."""

ROUNDS: Final = 3
"""How often each is tried, if nothing else is said."""

_USUAL: Final = ("redis", "valkey+jemalloc", "valkey+libc")
_EXPERIMENT: Final = "compare_engines"
_QUICK: Final = {
    "maxmemory_bytes": 6 * MIB,
    "turns_per_s": 200,
    "users": 10,
    "warm_up_s": 0.3,
    "measure_s": 3.0,
    "think_median_s": 6.0,
    "think_p95_s": 30.0,
    "prefill_share": 0.95,
    "faults": (PlannedFault("rewrite", 1.5),),
}


@dataclass(frozen=True, slots=True)
class Contestant:
    """
    One that is tried.

    Attributes:
        engine: as ``find_binary`` finds it: ``valkey+libc``.
        binary: what was found.
    """

    engine: str
    binary: ServerBinary

    @property
    def told(self) -> str:
        """On record: of a path the name alone, since others have it elsewhere."""
        return Path(self.engine).name


@dataclass(frozen=True, slots=True)
class Compared:
    """
    What came of it.

    Attributes:
        runs: that were carried out, in order.
        rows: the figures of each.
        binaries: of those that have a run.
        left_out: what was not tried or broke off, and why.
        doubts: what makes less of it than it seems, in sentences.
        experiment: that was carried out.
    """

    experiment: Experiment
    runs: list[Run] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    binaries: list[ServerBinary] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    doubts: list[str] = field(default_factory=list)

    @property
    def engines(self) -> Engines:
        """The comparison."""
        return Engines(self.rows)

    def measurement(self, command: str, folder: Path) -> Measurement:
        """As a measurement, to be kept; the folder is where the servers' data lay."""
        found = measurement(
            KIND,
            self.rows,
            command=command,
            seed=self.experiment.seed,
            engines=self.binaries,
            folder=folder,
        )
        return found.with_derived(
            {
                **self.engines.told(),
                "doubts": self.doubts,
                "left_out": self.left_out,
                "experiment": asdict(self.experiment),
            }
        )


def contestants(given: Sequence[str] = ()) -> tuple[list[Contestant], dict[str, str]]:
    """
    Who is tried: Redis, Valkey with either allocator, and those that were named besides.

    Of a program that was built without jemalloc both are tried, as far as the machine has one.

    Args:
        given: engines or paths of servers, as ``find_binary`` takes them.

    Returns:
        them, and the usual ones that this machine does not have, with the reason.

    Raises:
        UsageError: one that was named is none, or is there already.
        ServerMissingError: there are not two of them.
    """
    found: list[Contestant] = []
    missing: dict[str, str] = {}
    for engine in _USUAL:
        try:
            found.append(Contestant(engine, find_binary(engine)))
        except (ServerError, UsageError) as error:
            missing[engine] = str(error)
    for engine in given:
        found += _named(engine, found)
    if len(found) < 2:
        told = "".join(f"\n  {engine}: {why}" for engine, why in missing.items())
        raise ServerMissingError(
            f"it takes two engines to compare, and this machine has not:{told}"
        )
    return found, missing


def _named(engine: str, known: Sequence[Contestant]) -> list[Contestant]:
    try:
        binary = find_binary(engine)
    except ServerMissingError as error:
        raise UsageError(f"--engine: {error}") from None
    with_own = engine.rpartition("+")[2] in ALLOCATORS
    made = [Contestant(engine, binary)]
    if not with_own and binary.preload:
        made = [
            Contestant(f"{engine}+{allocator}", find_binary(f"{engine}+{allocator}"))
            for allocator in ALLOCATORS
        ]
    labels = {each.binary.label for each in known}
    fresh = [each for each in made if each.binary.label not in labels]
    if not fresh:
        raise UsageError(
            f"--engine {engine} is {binary.label}, which is tried already: leave it out"
        )
    return fresh


def compare_engines(
    who: Sequence[Contestant],
    *,
    missing: dict[str, str] | None = None,
    experiment: Experiment | None = None,
    rounds: int = ROUNDS,
    quick: bool = False,
    seed: int | None = None,
    maxmemory_bytes: int | None = None,
    out: Path | None = None,
    say: Say = print,
    progress: Say = lambda _: None,
) -> Compared:
    """
    Carry out one experiment on each, on private servers one after the other, round by round.

    Each round begins with another one, so that a machine that grows slower is nobody's fault. One
    that does not start, or breaks off, is told and left out of the rounds that follow.

    Args:
        who: of ``contestants``.
        missing: who is not there, and why; it is told with the rest.
        experiment: what is carried out; ``compare_engines`` if None.
        rounds: how often.
        quick: a small and short one, to see that it works.
        seed: the same one, the same turns; the experiment's if None.
        maxmemory_bytes: the cap; the experiment's if None.
        out: the folder of the runs; the usual one if None.
        say: told what is started, and what is left out.
        progress: told how far a run is.

    Raises:
        RunFailedError: not two of them came to an end.
        KeyboardInterrupt: a run was interrupted; the ones before it are kept.
    """
    chosen = experiment or read_experiment(_EXPERIMENT)
    if quick:
        chosen = chosen.with_overrides(**_QUICK)
    chosen = chosen.with_overrides(seed=seed, maxmemory_bytes=maxmemory_bytes)
    done = Compared(chosen, left_out=dict(missing or {}))
    for engine, why in done.left_out.items():
        say(f"left out: {engine}: {why}")
    left = list(who)
    for number in range(rounds):
        at = number % max(1, len(who))
        turned = [each for each in (*who[at:], *who[:at]) if each in left]
        for each in turned:
            say(f"round {number + 1} of {rounds}: {each.binary.label}")
            try:
                run_dir = carry_out(
                    *(chosen, out or runs_dir()),
                    url=None,
                    engine=each.engine,
                    say=lambda _: None,
                    progress=progress,
                )
            except (RunFailedError, ServerError) as error:
                # On record without the log's end, which names this machine's folders.
                why = str(error).partition("\n")[0].removesuffix("; its log ends:")
                done.left_out[each.told] = f"in round {number + 1}: {why}"
                say(f"left out from here on: {each.engine}: {error}")
                left.remove(each)
                continue
            run = Run(run_dir)
            if run.manifest.status == "interrupted":
                raise KeyboardInterrupt
            done.runs.append(run)
            done.rows.append(engine_row(run) | {"round": number + 1})
            if each.binary not in done.binaries:
                done.binaries.append(each.binary)
    if len(done.binaries) < 2:
        told = "".join(f"\n  {engine}: {why}" for engine, why in done.left_out.items())
        raise RunFailedError(f"it takes two engines to compare, and these broke off:{told}")
    done.doubts.extend(doubts(done.runs))
    return done


_PAGE: Final = """# Engines, side by side

<!-- Written by `{command} --markdown docs/reference/engines.md`: run it anew. -->

The same seeded turns on private servers, one after the other, with the same settings and memory
full: {load}.
An engine and its allocator are told apart: a Valkey that was built with its C library's allocator
is tried with that, and with the machine's jemalloc preloaded, which is Redis's. The settings whose
defaults Valkey changed are set back to those of Redis 7.0.

Measured on {where}.
Seed {seed}; made again, in about {minutes} minutes, by

    .venv/bin/{command}

Each was tried {rounds} times, in turned order. The noise is the standard deviation of a run among
runs of the same, of all engines together.

{table}

- *Sessions* are the keys that stay at the cap; *memory of a session* is what one takes with its
  share of the tables, without the empty server and the buffers. Both are of this traffic, whose
  documents have {document} on average. At so small a cap the buffers of clients are a part of it
  that shows; at a large one the memory of a session alone tells how many fit.
- *Response* is from when a turn was due, *service* the state manager's work alone; of runs whose
  load was late both are left out. *In the server* is the time in commands by INFO commandstats,
  with those of the prefill, by turn of the load.
- *Resident* memory has the program itself in it, some MiB, which at so small a cap is much.
- *First eviction*, from the start, and *keys evicted* are of the measured phase. Who holds more
  evicts later.
- *Copied on write* is `aof_last_cow_size`: what was written while the child lived, so a slower
  rewrite copies more.

## What differs, and by what

A change in bold stands out from the noise; the bounds fail to hold it once in a hundred times.
*No difference seen* says that the runs cannot tell the two apart, and not that they are the same:
the bounds say how large a difference would have gone unseen.

{differences}
{notes}
In short:

{sentences}

What this is for: [evaluate ElastiCache](../how-to/evaluate-elasticache.md).
"""


def page(found: Measurement) -> str:
    """The page of documentation that a measurement makes."""
    engines = Engines(found.rows)
    asked = found.derived.get("experiment", {})
    told = [
        *found.derived.get("doubts", ()),
        *engines.notes(),
        *(f"left out: {engine}: {why}" for engine, why in found.derived["left_out"].items()),
    ]
    measured_s = float(asked.get("measure_s", 0.0))
    return _PAGE.format(
        command=found.command,
        where=found.where,
        seed=found.seed,
        load=f"{asked.get('turns_per_s', 0):g} turns/s for {measured_s:g} s at a cap of "
        f"{(asked.get('maxmemory_bytes') or 0) / MIB:g} MiB",
        minutes=max(1, round(len(found.rows) * (measured_s + 14) / 60)),
        rounds=max(row["round"] for row in found.rows),
        table=markdown_table(engines.head, engines.table()),
        differences=markdown_table(engines.head_of_differences, engines.differences()),
        notes="".join(f"\n- {sentence(each)}" for each in told) + ("\n" if told else ""),
        sentences="\n".join(f"- {sentence(each)}" for each in engines.sentences()),
        document=f"{mean(row['document_bytes'] or 0 for row in found.rows):,.0f} B",
    )
