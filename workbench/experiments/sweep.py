"""sweep: one experiment after the other, on the same turns, with one setting changed."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from workbench.analysis.variants import Variant, Variants, variants_of
from workbench.checkout import runs_dir
from workbench.errors import ExperimentError, UsageError, nearest
from workbench.experiments.runner import carry_out
from workbench.experiments.spec import KEYS, Experiment, read_experiment
from workbench.runs.run import Run
from workbench.runs.several import listed, open_runs
from workbench.units import MIB, parse_bytes, parse_duration

__all__ = ["sweep", "with_knob"]

Say = Callable[[str], None]


def sweep(
    knob: str = "maxmemory-policy",
    values: Sequence[Any] = ("allkeys-lru", "allkeys-lfu", "volatile-ttl", "noeviction"),
    *,
    runs: Any = (),
    experiment: str | Path | Experiment = "policies",
    out: Path | None = None,
    engine: str | None = None,
    say: Say = print,
    progress: Say = lambda _: None,
    **overrides: Any,
) -> Variants:
    """
    Carry out an experiment for each value of a knob, each time on a private server of its own.

    The seed is the same, so that the same turns come due at the same times.

    Args:
        knob: a setting of Redis (``maxmemory-policy``, ``maxmemory-samples``, ``appendfsync``), or
            a key of an experiment (``maxmemory``, ``ttl``, ``turns_per_s``).
        values: of it, two or more; the first is what the others are held against.
        runs: sealed runs to read instead; nothing is started then.
        experiment: a name, a file, or one that was read.
        out: the folder of the runs; the usual one if None.
        engine: which one to start, ``redis`` or ``valkey``; whatever is found if None.
        say: told what is started.
        progress: told how far it is.
        overrides: further fields of the experiment.

    Raises:
        UsageError: fewer than two values, one that makes no sense, or no such knob.
        ServerError: the server does not take a value; the message has its log's end.
        KeyboardInterrupt: a run was interrupted; the ones before it are kept.
    """
    if found := open_runs(runs):
        return variants_of(knob, found)
    if isinstance(values, str):
        values = listed("values", values)
    if not isinstance(values, Sequence):
        raise UsageError(f"values is {values!r}, and not a list of values of {knob}")
    if len(values) < 2 or len(set(map(str, values))) < len(values):
        raise UsageError(f"it takes two values of {knob} at least, and each once")
    base = experiment if isinstance(experiment, Experiment) else read_experiment(experiment)
    base = base.with_overrides(**overrides)
    # All are checked before the first is started.
    planned = [(str(value), with_knob(base, knob, value)) for value in values]
    made = []
    for value, chosen in planned:
        say(f"{knob} {value}")
        run_dir = carry_out(
            chosen, out or runs_dir(), url=None, engine=engine, say=say, progress=progress
        )
        run = Run(run_dir)
        if run.manifest.status == "interrupted":
            raise KeyboardInterrupt
        made.append(Variant(value, run))
    return Variants(knob, made)


def with_knob(experiment: Experiment, knob: str, value: Any) -> Experiment:
    """
    The same experiment with one thing changed.

    Raises:
        ExperimentError: the value makes no sense there, or the knob is of the place a server runs
            at.
        UsageError: there is no such knob.
    """
    keys = {key.name: key for key in KEYS if key.table}
    if knob in keys:
        key = keys[knob]
        parsed = _parsed(key.kind, value)
        if key.field.endswith("_mib"):
            parsed //= MIB
        return experiment.with_overrides(**{key.field: parsed})
    known = [*experiment.profile().directives(), *keys]
    if "_" in knob or not knob.strip():
        raise UsageError(f"there is no knob {knob!r}{nearest(knob, known)}")
    changed = {**experiment.settings, knob: str(value)}
    return experiment.with_overrides(settings=changed)


def _parsed(kind: str, value: Any) -> Any:
    parse = {"duration": parse_duration, "size": parse_bytes}.get(kind)
    if parse is not None:
        return parse(value)
    if isinstance(value, str) and kind in {"number", "whole number"}:
        try:
            return int(value) if kind == "whole number" else float(value)
        except ValueError:
            raise ExperimentError(f"{value!r} is not a {kind}") from None
    return value
