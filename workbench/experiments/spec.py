"""Experiment: what is to be tried, read from a TOML file and checked before anything starts."""

import json
import math
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from workbench.checkout import driver_names, experiments_dir, loadtests_dir
from workbench.errors import ExperimentError, UsageError, nearest
from workbench.flows.mix import Mix, check_weights, read_mix
from workbench.flows.model import Habits
from workbench.server.faults.model import FAULTS
from workbench.server.profiles import ServerProfile, profile
from workbench.server.settings import SECRETS, of_the_place
from workbench.units import MIB, parse_bytes, parse_duration

if TYPE_CHECKING:
    from workbench.runs.run import Run

__all__ = ["KEYS", "Experiment", "Key", "PlannedFault", "experiment_toml", "read_experiment"]

_SETTING: Final = re.compile(r"[a-z][a-z0-9_-]*", re.ASCII)
_LINE_END: Final = re.compile(r"[\x00-\x1f\x7f]")
_NAME: Final = re.compile(r"[A-Za-z0-9][\w.-]{0,59}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Key:
    """
    One key of an experiment file; the reference is made of these.

    Attributes:
        table: where it stands; empty for the top.
        name: as it is written.
        field: of Experiment.
        kind: ``text``, ``whole number``, ``number``, ``duration``, ``size``, ``true or false``.
        meaning: what it sets.
        option: the option of the command line that overrides it; empty if none does.
        least, most: bounds of the field, in its own unit; infinite where it has none.
    """

    table: str
    name: str
    field: str
    kind: str
    meaning: str
    option: str = ""
    least: float = -math.inf
    most: float = math.inf


_DAY_S: Final = 86_400
_FAULT_KEYS: Final = ("fault", "at", "lasts")
_FAULT_MAX_S: Final = 60.0

KEYS: Final = (
    Key("", "name", "name", "text", "as it appears in the name of the run; the file's if left out"),
    Key("", "question", "question", "text", "what it is to answer, for the report"),
    Key("", "scenario", "scenario", "text", "a file of loadtests/, without its ending"),
    Key("", "seed", "seed", "whole number", "same seed, same conversations", "--seed", 0, math.inf),
    Key(
        "server",
        "profile",
        "server_profile",
        "text",
        "development, production or demo",
        "--profile",
    ),
    Key(
        "server",
        "maxmemory",
        "maxmemory_bytes",
        "size",
        "the cap, if not the profile's",
        "--maxmemory",
    ),
    Key(
        "server",
        "task_memory",
        "task_memory_mib",
        "size",
        "memory of the ECS task, of which production's cap is a share",
        "--task-memory",
    ),
    Key(
        "server",
        "tasks",
        "tasks",
        "whole number",
        "Redises, one for each task of the service; each turn goes to any of them",
        "",
        1,
        6,
    ),
    Key(
        "server",
        "ledger",
        "ledger",
        "true or false",
        "record which conversations are evicted, as the server's keyspace events tell; of tasks, "
        "the first one's",
        "--ledger",
    ),
    Key(
        "load",
        "turns_per_s",
        "turns_per_s",
        "number",
        "turns that come due a second",
        "--rate",
        1,
        100_000,
    ),
    Key(
        "load",
        "users",
        "users",
        "whole number",
        "slots: most turns at work at once",
        "--users",
        1,
        10_000,
    ),
    Key(
        "load",
        "closed_loop",
        "closed_loop",
        "true or false",
        "each slot waits for every answer and the think time after it; turns_per_s has no say",
        "--closed-loop",
    ),
    Key("load", "driver", "driver", "text", "how turns are carried: reference or fast"),
    Key(
        "load",
        "pool",
        "pool",
        "whole number",
        "connections that all slots of a process share, as in a chat service; 0: each has its own",
        "",
        0,
        10_000,
    ),
    Key("load", "warm_up", "warm_up_s", "duration", "left out of the figures", "", 0, 3600),
    Key("load", "measure", "measure_s", "duration", "the measured phase", "--duration", 1, _DAY_S),
    Key(
        "load",
        "think_median",
        "think_median_s",
        "duration",
        "pause between two turns, median",
        "",
        0.001,
        _DAY_S,
    ),
    Key(
        "load",
        "think_p95",
        "think_p95_s",
        "duration",
        "the same, 95th percentile",
        "",
        0.001,
        _DAY_S,
    ),
    Key(
        "load",
        "compression",
        "compression",
        "number",
        "think times are divided by this; the time to live is not",
        "",
        1,
        1000,
    ),
    Key(
        "load",
        "prefill_share",
        "prefill_share",
        "number",
        "idle sessions are written until so much of the cap is used, of 1; 0: none",
        "",
        0,
        0.99,
    ),
    Key(
        "habits",
        "invalid_share",
        "invalid_share",
        "number",
        "answers that are not accepted, of 1",
        "",
        0,
        0.99,
    ),
    Key(
        "habits",
        "next_page_share",
        "next_page_share",
        "number",
        "pages after which the next one is asked for, of 1",
        "",
        0,
        0.99,
    ),
    Key(
        "habits",
        "away_share",
        "away_share",
        "number",
        "conversations with a pause longer than the time to live, of 1",
        "",
        0,
        0.99,
    ),
    Key(
        "habits",
        "duplicate_share",
        "duplicate_share",
        "number",
        "messages that are delivered again, to another process, of 1",
        "",
        0,
        0.99,
    ),
    Key(
        "habits",
        "duplicate_within",
        "duplicate_within_s",
        "duration",
        "how long after the first time at most",
        "",
        0,
        60,
    ),
    Key(
        "habits",
        "redelivery",
        "redelivery_s",
        "duration",
        "after which a message that got no answer, or a refusal, is delivered again; 0: never",
        "",
        0,
        3600,
    ),
    Key(
        "habits",
        "api_gap",
        "api_gap_s",
        "duration",
        "median of a call to the API, between two writes; 0: calls are left out",
        "",
        0,
        30,
    ),
    Key("load", "ttl", "ttl_s", "duration", "time to live of a write", "", 1, 365 * _DAY_S),
    Key(
        "load",
        "sample_interval",
        "sample_interval_s",
        "duration",
        "from one INFO to the next",
        "",
        0.05,
        60,
    ),
)
"""
The keys of an experiment file, besides those of [mix], which are flows, of [settings], which are
Redis's own, and of [[faults]].
"""

_PARSE: Final[Mapping[str, Callable[[Any], float]]] = {
    "duration": parse_duration,
    "size": parse_bytes,
}


@dataclass(frozen=True, slots=True)
class PlannedFault:
    """
    Something that is done to the server.

    Args:
        fault: its name in ``server.faults``.
        at_s: when it begins, s from the start of the measured phase.
        lasts_s: s.
    """

    fault: str
    at_s: float
    lasts_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Experiment:
    """
    One trial, with every default filled in.

    Args:
        name: as it appears in the name of the run.
        question: what it is to answer, for the report.
        scenario: a file of ``loadtests/``, without its ending.
        seed: the same seed, the same conversations at the same times.
        server_profile: a name of ``server.profiles``.
        maxmemory_bytes: the cap; the profile's if None.
        task_memory_mib: memory of the ECS task, MiB, of which production's cap is a share.
        tasks: servers, one for each task of the service; each turn goes to any of them.
        ledger: whether evictions are recorded by name, from keyspace events.
        turns_per_s: turns that come due a second.
        users: slots: most turns at work at once.
        closed_loop: each slot waits for every answer, so a slow server is asked less.
        driver: a file of ``loadtests/drivers``, without its ending.
        pool: connections that all slots of a process share; each has its own if 0.
        warm_up_s, measure_s: length of the phases, s.
        think_median_s, think_p95_s: of the lognormal pause between two turns, s.
        compression: by which think times are divided.
        prefill_share: of the cap, that idle sessions are to fill before the start.
        ttl_s: time to live of a write, s.
        sample_interval_s: from one INFO to the next, s.
        mix: weight of each flow, by conversation.
        invalid_share, next_page_share, away_share, duplicate_share, duplicate_within_s,
            redelivery_s, api_gap_s: what people do besides; see ``Habits``.
        settings: further settings of the server, by Redis's names; they have the last word.
        faults: what is done to the server, one after the other.
        replay: a sealed run whose conversations are played instead of drawn ones; empty if none.
    """

    name: str
    question: str = ""
    scenario: str = "steady"
    seed: int = 1
    server_profile: str = "demo"
    maxmemory_bytes: int | None = None
    task_memory_mib: int | None = None
    tasks: int = 1
    ledger: bool = False
    turns_per_s: float = 600.0
    users: int = 50
    closed_loop: bool = False
    driver: str = "reference"
    pool: int = 0
    warm_up_s: float = 2.0
    measure_s: float = 30.0
    think_median_s: float = 8.0
    think_p95_s: float = 45.0
    compression: float = 1.0
    prefill_share: float = 0.0
    ttl_s: float = 300.0
    sample_interval_s: float = 0.2
    mix: Mapping[str, float] | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    invalid_share: float = 0.0
    next_page_share: float = 0.0
    away_share: float = 0.0
    duplicate_share: float = 0.0
    duplicate_within_s: float = 0.2
    redelivery_s: float = 0.0
    api_gap_s: float = 0.0
    faults: tuple[PlannedFault, ...] = ()
    replay: str = ""

    @property
    def habits(self) -> Habits:
        """What people do besides the straight way."""
        return Habits(**{each.name: getattr(self, each.name) for each in fields(Habits)})

    def profile(self) -> ServerProfile:
        """The server's settings: the profile's, with the experiment's cap."""
        chosen = profile(self.server_profile, task_memory_mib=self.task_memory_mib)
        if self.maxmemory_bytes is not None:
            chosen = chosen.capped(self.maxmemory_bytes)
        return replace(chosen, further=tuple(self.settings.items()))

    def replaying(self, run: "Run") -> "Experiment":
        """The same experiment, with the conversations, phases and time to live of a sealed run."""
        recorded = run.manifest.experiment
        kept = ("seed", "warm_up_s", "measure_s", "ttl_s", "turns_per_s", "mix", "compression")
        asked = {name: recorded[name] for name in kept if name in recorded}
        return replace(self, replay=str(run.path.resolve()), closed_loop=False, **asked)

    def with_overrides(self, **changes: Any) -> "Experiment":
        """The same experiment, with those changes that are not None; checked again."""
        changed = _closed(replace(self, **{k: v for k, v in changes.items() if v is not None}))
        _check(changed, "the command line", {key.field: key.option for key in KEYS if key.option})
        return changed


def read_experiment(where: str | Path) -> Experiment:
    """
    An experiment by its file, or by its name among those of ``loadtests/experiments``.

    Raises:
        ExperimentError: it is not there, an unknown key, a value that makes no sense; the message
            names the file, the table, the key and the nearest right one.
    """
    path = Path(where)
    if not path.suffix:
        path = experiments_dir() / f"{where}.toml"
    try:
        content = tomllib.loads(path.read_text())
    except FileNotFoundError:
        if path.parent != experiments_dir():
            raise ExperimentError(f"there is no file {path}") from None
        known = [found.stem for found in experiments_dir().glob("*.toml")]
        raise ExperimentError(
            f"there is no experiment {str(where)!r}{nearest(path.stem, known)}"
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise ExperimentError(f"{path} is not TOML: {error}") from None
    except RecursionError:
        raise ExperimentError(f"{path} is nested too deeply to be an experiment") from None
    except (OSError, ValueError) as error:  # also text that is not UTF-8, and names that hold NUL
        raise ExperimentError(f"{path} cannot be read: {error}") from None
    return _from_toml(content, path)


def experiment_toml(experiment: Experiment) -> str:
    """
    The experiment as a file that ``read_experiment`` makes the same one of.

    Every key is there, but for a cap and a task's memory that the profile decides, and a replay,
    which no file names.
    """
    lines: list[str] = []
    for table in ("", "server", "load", "habits"):
        lines += ["", f"[{table}]"] if table else []
        for key in (key for key in KEYS if key.table == table):
            value = getattr(experiment, key.field)
            if value is not None:
                lines.append(f"{key.name} = {_spelled(key, value)}")
    if experiment.mix is not None:
        lines += ["", "[mix]", *(f"{flow} = {weight}" for flow, weight in experiment.mix.items())]
    if experiment.settings:
        told = experiment.settings.items()
        lines += ["", "[settings]", *(f"{_text(name)} = {_text(value)}" for name, value in told)]
    for fault in experiment.faults:
        lines += ["", "[[faults]]", f"fault = {_text(fault.fault)}"]
        lines += [
            f"at = {_text(_seconds(fault.at_s))}",
            f"lasts = {_text(_seconds(fault.lasts_s))}",
        ]
    return "\n".join(lines) + "\n"


def _spelled(key: Key, value: Any) -> str:
    if key.kind == "duration":
        return _text(_seconds(value))
    if key.kind == "size":
        size_bytes = value * MIB if key.field.endswith("_mib") else value
        whole = size_bytes % MIB == 0
        return _text(f"{size_bytes // MIB}mb" if whole else f"{size_bytes}b")
    if isinstance(value, bool):
        return str(value).lower()
    return _text(value) if isinstance(value, str) else str(value)


def _seconds(value_s: float) -> str:
    # Not 1e-05, which no duration is.
    return f"{Decimal(str(value_s)).normalize():f}s"


def _text(value: str) -> str:
    # JSON's escapes are TOML's, save for DEL, which JSON leaves as it is.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _from_toml(content: dict[str, Any], path: Path) -> Experiment:
    names = ("server", "load", "habits")
    tables = {"": content} | {name: _table(content, name, path) for name in names}
    _refuse_unknown(content, "", path)
    values: dict[str, Any] = {"name": path.stem}
    for key in KEYS:
        if key.name in tables[key.table]:
            parse = _PARSE.get(key.kind)
            value = tables[key.table][key.name]
            values[key.field] = _quantity(parse, key.name, value, path) if parse else value
    if "task_memory_mib" in values:
        values["task_memory_mib"] //= MIB
    if isinstance(content.get("mix"), str):
        values = _of_mix(read_mix(content["mix"])) | values
    elif "mix" in content:
        values["mix"] = content["mix"]
    values["settings"] = _settings(content.get("settings", {}), path)
    values["faults"] = _faults(content.get("faults", []), path)
    experiment = _closed(Experiment(**values))
    _check(experiment, path, {key.field: key.name for key in KEYS})
    return experiment


def _closed(experiment: Experiment) -> Experiment:
    """In a closed loop nothing is delivered twice: that would make it an open one."""
    if not experiment.closed_loop:
        return experiment
    return replace(experiment, duplicate_share=0.0, redelivery_s=0.0)


def _settings(table: Any, path: Path) -> dict[str, str]:
    if not isinstance(table, dict):
        raise ExperimentError(f"{path}: settings is not a table; write [settings]")
    for name, value in table.items():
        if not isinstance(value, str | int | float):
            raise ExperimentError(f"{path}: {name} in [settings] is neither a text nor a number")
    return {
        name: ("no", "yes")[value] if isinstance(value, bool) else str(value)
        for name, value in table.items()
    }


def _faults(tables: Any, path: Path) -> tuple[PlannedFault, ...]:
    if not isinstance(tables, list) or not all(isinstance(each, dict) for each in tables):
        raise ExperimentError(f"{path}: faults is not a list of tables; write [[faults]]")
    planned = []
    for table in tables:
        for key in table:
            if key not in _FAULT_KEYS:
                raise ExperimentError(
                    f"{path}: unknown key {key!r} in [[faults]]{nearest(key, _FAULT_KEYS)}"
                )
        for key in ("fault", "at"):
            if key not in table:
                raise ExperimentError(f"{path}: a table of [[faults]] has no {key}")
        at_s, lasts_s = (
            _quantity(parse_duration, f"{key} in [[faults]]", table.get(key, 0), path)
            for key in ("at", "lasts")
        )
        planned.append(PlannedFault(table["fault"], at_s, lasts_s))
    return tuple(sorted(planned, key=lambda each: each.at_s))


def _of_mix(mix: Mix) -> dict[str, Any]:
    return {
        "mix": mix.weights,
        "think_median_s": mix.think_median_s,
        "think_p95_s": mix.think_p95_s,
        **asdict(mix.habits),
    }


def _quantity(parse: Callable[[Any], float], key: str, value: object, path: Path) -> float:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ExperimentError(f"{path}: {key} is neither a text nor a number: {value!r}")
    try:
        return parse(value)
    except (UsageError, OverflowError) as error:
        raise ExperimentError(f"{path}: {key}: {error}") from None


def _table(content: Mapping[str, Any], name: str, path: Path) -> dict[str, Any]:
    table = content.get(name, {})
    if not isinstance(table, dict):
        raise ExperimentError(f"{path}: {name} is not a table; write [{name}]")
    _refuse_unknown(table, name, path)
    return table


def _refuse_unknown(table: Mapping[str, Any], name: str, path: Path) -> None:
    known = {key.name for key in KEYS if key.table == name}
    if not name:
        known |= {"server", "load", "mix", "habits", "settings", "faults"}
    for key in table:
        if key not in known:
            place = f" in [{name}]" if name else ""
            raise ExperimentError(f"{path}: unknown key {key!r}{place}{nearest(key, known)}")


def _check(experiment: Experiment, where: object, spelled: Mapping[str, str]) -> None:
    """Check every value; messages name it as the person spells it."""
    for name in ("name", "question", "scenario", "server_profile", "driver"):
        if not isinstance(getattr(experiment, name), str):
            raise ExperimentError(f"{where}: {name} is not a text")
    for key in KEYS:
        if key.kind == "true or false" and not isinstance(getattr(experiment, key.field), bool):
            raise ExperimentError(f"{where}: {key.name} is neither true nor false")
    # The name becomes part of the run directory's.
    if not _NAME.fullmatch(experiment.name):
        raise ExperimentError(
            f"{where}: name {experiment.name!r} is not made of 1 to 60 letters, digits, _ . and -"
        )
    for key in KEYS:
        if key.least > -math.inf:
            _check_number(experiment, key, where, spelled.get(key.field, key.field))
    if experiment.think_p95_s <= experiment.think_median_s:
        raise ExperimentError(f"{where}: the think time's p95 is not above its median")
    if experiment.maxmemory_bytes is not None and experiment.maxmemory_bytes < 2 * MIB:
        raise ExperimentError(f"{where}: maxmemory is under 2mb: an empty server takes about 1mb")
    try:
        profile(experiment.server_profile, task_memory_mib=experiment.task_memory_mib)
    except UsageError as error:
        raise ExperimentError(f"{where}: {error}") from None
    _check_settings(experiment, where)
    _check_scenario(experiment.scenario, where)
    _check_driver(experiment, where)
    if experiment.mix is not None:
        check_weights(experiment.mix, where)
    _check_open_loop(experiment, where)
    _check_faults(experiment, where)


def _check_settings(experiment: Experiment, where: object) -> None:
    """Refuse what reaches outside the folder of the trial, and what would end its line."""
    for name, value in experiment.settings.items():
        if not _SETTING.fullmatch(name) or not value.strip() or _LINE_END.search(value):
            raise ExperimentError(
                f"{where}: {name!r} = {value!r} in [settings] is no line of a redis.conf"
            )
        if of_the_place(name) or name in SECRETS:
            raise ExperimentError(
                f"{where}: {name} in [settings] is of the place a server runs at, which the "
                "workbench chooses"
            )
        if name == "maxmemory":
            raise ExperimentError(f"{where}: maxmemory in [settings] has its place in [server]")


def _check_driver(experiment: Experiment, where: object) -> None:
    if experiment.driver not in driver_names():
        raise ExperimentError(
            f"{where}: there is no driver {experiment.driver!r}"
            f"{nearest(experiment.driver, driver_names())}"
        )
    sharing = driver_names(sharing=True)
    if experiment.pool and experiment.driver not in sharing:
        raise ExperimentError(
            f"{where}: pool is for the driver {' or '.join(sharing)}: each slot of "
            f"{experiment.driver} has a connection of its own"
        )


def _check_open_loop(experiment: Experiment, where: object) -> None:
    if experiment.closed_loop and experiment.prefill_share:
        raise ExperimentError(
            f"{where}: prefill_share is for an open loop: a closed one begins with nobody there"
        )


def _check_faults(experiment: Experiment, where: object) -> None:
    free_s = 0.0
    for planned in experiment.faults:
        name = planned.fault
        if not isinstance(name, str) or name not in set(FAULTS):
            raise ExperimentError(
                f"{where}: there is no fault {name!r}{nearest(str(name), FAULTS)}"
            )
        if planned.at_s >= experiment.measure_s:
            raise ExperimentError(
                f"{where}: the fault {name} begins at {planned.at_s:g} s, when the measured phase "
                f"of {experiment.measure_s:g} s is over"
            )
        if planned.at_s < free_s:
            raise ExperimentError(
                f"{where}: the fault {name} at {planned.at_s:g} s begins before the one before it "
                "is over"
            )
        if planned.lasts_s > _FAULT_MAX_S:
            raise ExperimentError(
                f"{where}: the fault {name} lasts {planned.lasts_s:g} s, more than {_FAULT_MAX_S:g}"
            )
        free_s = planned.at_s + planned.lasts_s
    if free_s > experiment.measure_s:
        raise ExperimentError(
            f"{where}: the last fault ends at {free_s:g} s, and the measured phase at "
            f"{experiment.measure_s:g} s"
        )


def _check_number(experiment: Experiment, key: Key, where: object, told: str) -> None:
    value = getattr(experiment, key.field)
    whole = key.kind == "whole number"
    kinds = int if whole else int | float
    if isinstance(value, bool) or not isinstance(value, kinds):
        what = "whole number" if whole else "number"
        raise ExperimentError(f"{where}: {told} is not a {what}: {value!r}")
    if not key.least <= value <= key.most:
        bounds = f"outside {key.least:g} to {key.most:g}"
        if key.most == math.inf:
            bounds = f"below {key.least:g}"
        raise ExperimentError(f"{where}: {told} is {value:g}, {bounds}")


def _check_scenario(scenario: str, where: object) -> None:
    known = {
        path.stem
        for path in loadtests_dir().glob("*.py")
        if "(ConversationUser)" in path.read_text()
    }
    if scenario not in known:
        raise ExperimentError(
            f"{where}: there is no scenario {scenario!r}{nearest(scenario, known)}"
        )
