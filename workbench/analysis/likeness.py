"""In which circumstances runs are unlike, so that a difference of figures would say nothing."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from workbench.errors import RunError, UsageError, nearest
from workbench.runs.manifest import Manifest
from workbench.runs.run import Run
from workbench.server.settings import SECRETS, is_alias, of_the_place
from workbench.units import format_duration

__all__ = ["Unlike", "alike", "check_sides", "circumstances", "trace_difference", "unknown"]

ABSENT: Final = "absent"
SETTINGS: Final = "settings"
UNKNOWN: Final = "unknown"

_HOST: Final = (
    *("cores", "cpu", "machine", "ram_bytes", "memory_limit_bytes", "overcommit_memory"),
    *("transparent_hugepage", "filesystem"),
)
# What an experiment asks of the server shows in the server's settings; its name is only a name.
_NOT_LOAD: Final = frozenset(
    {
        *("name", "question", "seed", "server_profile", "maxmemory_bytes", "task_memory_mib"),
        *("settings", "sample_interval_s"),
    }
)


@dataclass(frozen=True, slots=True)
class Unlike:
    """
    A circumstance in which two sides differ.

    Attributes:
        name: by which it may be said that it was meant to differ: ``maxmemory-policy``,
            ``host.cores``, ``load.turns_per_s``, ``engine``, ``seed``.
        baseline, other: as each side has it.
    """

    name: str
    baseline: str
    other: str

    def __str__(self) -> str:
        return f"{self.name}: {self.baseline} | {self.other}"


def circumstances(manifest: Manifest) -> dict[str, str]:
    """What a run's figures depend on besides what is measured, by name."""
    server, experiment = manifest.server, manifest.experiment
    load = {name: value for name, value in experiment.items() if name not in _NOT_LOAD}
    config = {
        name: value
        for name, value in (server.get("config") or {}).items()
        if not (of_the_place(name) or is_alias(name) or name in SECRETS)
    }
    return {
        "engine": str(server.get("engine", ABSENT)),
        "version": str(server.get("version", ABSENT)),
        "allocator": str(server.get("allocator", ABSENT)),
        "preload": str(server.get("preload", "")),
        SETTINGS: "known" if server.get("config") else UNKNOWN,
        **{f"host.{name}": str(manifest.host.get(name, ABSENT)) for name in _HOST},
        "seed": str(manifest.seed),
        **{f"load.{name}": _told(value) for name, value in load.items()},
        **{name: str(value) for name, value in config.items()},
    }


def alike(baseline: Sequence[Run], other: Sequence[Run]) -> tuple[Unlike, ...]:
    """
    The circumstances in which two sides differ; of seeds, whether they have the same ones.

    Settings that one server does not have are left out where its version or engine is another,
    which is named; and where those of one side are not known at all, that is named alone.

    Raises:
        RunError: the runs of one side are unlike in more than the seed.
    """
    sides = [_of_side(runs, name) for runs, name in ((baseline, "baseline"), (other, "other side"))]
    first, second = sides
    names = [*first, *(name for name in second if name not in first)]
    unlike = any(first[name] != second[name] for name in ("engine", "version", SETTINGS))
    found = []
    for name in names:
        values = first.get(name, ABSENT), second.get(name, ABSENT)
        is_setting = not (name in first and name in second) and "." not in name
        if values[0] != values[1] and not (is_setting and unlike):
            found.append(Unlike(name, *values))
    return tuple(found)


def unknown(runs: Sequence[Run]) -> tuple[str, ...]:
    """What is not known of some of the runs, and so may differ: settings, version, host."""
    known = [circumstances(run.manifest) for run in runs]
    names = [
        name
        for name in ("engine", "version", SETTINGS)
        if any(each[name] in {ABSENT, UNKNOWN} for each in known)
    ]
    hosts = [[value for name, value in each.items() if name.startswith("host.")] for each in known]
    blank = any(all(value == ABSENT for value in host) for host in hosts)
    return (*names, *(["host"] if blank else []))


def _of_side(runs: Sequence[Run], side: str) -> dict[str, str]:
    known = [circumstances(run.manifest) for run in runs]
    for name in known[0]:
        values = {each.get(name, ABSENT) for each in known}
        if len(values) > 1 and name != "seed":
            raise RunError(
                f"the runs of the {side} are unlike themselves: {name} is "
                f"{' and '.join(sorted(values))}; compare runs of one kind with runs of another"
            )
    seeds = sorted({each["seed"] for each in known}, key=int)
    return known[0] | {"seed": ", ".join(seeds)}


def check_sides(
    baseline: Sequence[Run],
    other: Sequence[Run],
    *,
    varied: Iterable[str] = (),
    accept_unlike: bool = False,
) -> tuple[Unlike, ...]:
    """
    The circumstances in which two sides differ, if that is what was meant.

    Args:
        baseline: its runs.
        other: those that are held against it.
        varied: names of circumstances that were meant to differ.
        accept_unlike: compare them whatever differs.

    Raises:
        RunError: they differ in more, or a run broke off; the message names each difference.
        UsageError: there is no such circumstance.
    """
    for run in (*baseline, *other):
        if run.manifest.status in {"interrupted", "failed"}:
            raise RunError(
                f"{run.name} was {run.manifest.status} before its end: {run.manifest.why}; "
                "compare runs that came to their end"
            )
    meant = set(varied)
    known = {name for run in (*baseline, *other) for name in circumstances(run.manifest)}
    for name in sorted(meant - known):
        raise UsageError(f"no circumstance of a run is called {name!r}{nearest(name, known)}")
    unlike = alike(baseline, other)
    odd = [each for each in unlike if each.name not in meant]
    if odd and not accept_unlike:
        listed = "\n".join(f"  {each}" for each in odd)
        named = ", ".join(f'"{each.name}"' for each in odd)
        options = " ".join(f"--varied {each.name}" for each in odd)
        raise RunError(
            f"the two sides are unlike, so their figures say little of each other:\n{listed}\n"
            f"If that was meant, say so: varied=[{named}], or {options}; or take whatever differs: "
            "accept_unlike=True, or --accept-unlike"
        )
    return unlike


def _told(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {weight}" for name, weight in sorted(value.items())) or "none"
    if isinstance(value, list):
        return ", ".join(_told(each) for each in value) or "none"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def trace_difference(baseline: Run, other: Run, *, within_s: float = 0.001) -> str:
    """
    How the turns that came due in two runs differ; empty if they are the same at the same times.

    Args:
        baseline: of any seed.
        other: of the same one, if the turns are to be the same.
        within_s: by how much the moments may differ, s.
    """
    moments = "select conversation, turn, delivery, elapsed_s from rows where delivery = 0"
    mine, theirs = baseline.measured_turns.ask(moments), other.measured_turns.ask(moments)
    both = mine.merge(theirs, on=["conversation", "turn", "delivery"], how="outer", indicator=True)
    # At the phase's very ends a moment may fall within it in one run, and outside in the other.
    last_s = max(baseline.measured_s, other.measured_s) - within_s
    due_s = both["elapsed_s_x"].fillna(both["elapsed_s_y"])
    alone = both[(both["_merge"] != "both") & due_s.between(within_s, last_s)]
    if len(alone):
        return f"{len(alone):,} of {len(both):,} turns came due in one of them only"
    off_s = float((both["elapsed_s_x"] - both["elapsed_s_y"]).abs().max())
    return f"a turn came due {format_duration(off_s)} apart" if off_s > within_s else ""
