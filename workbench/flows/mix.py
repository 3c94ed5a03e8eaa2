"""Mix: what people do, as data: which flows how often, their pauses, their habits."""

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from workbench.checkout import mixes_dir
from workbench.errors import ExperimentError, UsageError, nearest
from workbench.flows.model import FLOWS, Habits
from workbench.units import parse_duration

__all__ = ["Mix", "check_share", "check_weights", "read_mix"]

_WEIGHT_MAX: Final = 1e9


@dataclass(frozen=True, slots=True)
class Mix:
    """
    What people do.

    Args:
        weights: of each flow, by conversation.
        think_median_s, think_p95_s: of the lognormal pause between two messages, s.
        habits: what they do besides the straight way.
    """

    weights: Mapping[str, float]
    think_median_s: float = 8.0
    think_p95_s: float = 45.0
    habits: Habits = field(default_factory=Habits)


def read_mix(where: str | Path) -> Mix:
    """
    A mix by its file, or by its name among those of ``loadtests/mixes``.

    Raises:
        ExperimentError: it is not there, or has a key or value that makes no sense; the message
            names the file, the key and the nearest right one.
    """
    path = Path(where)
    if not path.suffix:
        path = mixes_dir() / f"{where}.toml"
    try:
        content = tomllib.loads(path.read_text())
    except FileNotFoundError:
        known = [found.stem for found in mixes_dir().glob("*.toml")]
        raise ExperimentError(f"there is no mix {path.stem!r}{nearest(path.stem, known)}") from None
    except (tomllib.TOMLDecodeError, RecursionError, OSError, ValueError) as error:
        raise ExperimentError(f"{path} cannot be read: {error}") from None
    known_habits = {each.name.removesuffix("_s") for each in fields(Habits)}
    tables = {
        name: _table(content, name, keys, path)
        for name, keys in (("mix", None), ("think", {"median", "p95"}), ("habits", known_habits))
    }
    for name in content:
        if name not in tables:
            raise ExperimentError(f"{path}: unknown table {name!r}{nearest(name, tables)}")
    check_weights(tables["mix"], path)
    think_s = {
        f"think_{name}_s": _seconds(value, "think", path) for name, value in tables["think"].items()
    }
    habits = {}
    for name, value in tables["habits"].items():
        if name.endswith("_share"):
            check_share(name, value, path)
            habits[name] = value
        else:
            habits[f"{name}_s"] = _seconds(value, "habits", path)
    return Mix(tables["mix"], habits=Habits(**habits), **think_s)


def check_weights(weights: object, where: object) -> None:
    """
    Check the weights of flows.

    Raises:
        ExperimentError: no flow, an unknown one, or a weight that is none.
    """
    if not isinstance(weights, Mapping) or not weights:
        raise ExperimentError(f"{where}: [mix] is empty; give each flow a weight")
    for flow, weight in weights.items():
        if flow not in set(FLOWS):
            raise ExperimentError(
                f"{where}: there is no flow {flow!r} in [mix]{nearest(flow, FLOWS)}"
            )
        if isinstance(weight, bool) or not isinstance(weight, int | float):
            raise ExperimentError(f"{where}: the weight of {flow} in [mix] is not a number")
        if not 0 < weight <= _WEIGHT_MAX:
            raise ExperimentError(
                f"{where}: the weight of {flow} in [mix] is {weight}; it must be above 0 and at "
                f"most {_WEIGHT_MAX:.0f}"
            )


def check_share(name: str, share: object, where: object) -> None:
    """
    Check a share of [habits].

    Raises:
        ExperimentError: it is not a number from 0 to below 1; of 1, nothing else would happen.
    """
    good = isinstance(share, int | float) and not isinstance(share, bool)
    if not good or math.isnan(share) or not 0 <= share < 1:  # type: ignore[arg-type, operator]
        raise ExperimentError(f"{where}: {name} in [habits] is {share!r}: give a share below 1")


def _seconds(value: Any, table: str, path: Path) -> float:
    try:
        return parse_duration(value)
    except (UsageError, OverflowError, TypeError) as error:
        raise ExperimentError(f"{path}: [{table}]: {error}") from None


def _table(
    content: Mapping[str, Any], name: str, known: set[str] | None, path: Path
) -> dict[str, Any]:
    table = content.get(name, {})
    if not isinstance(table, dict):
        raise ExperimentError(f"{path}: {name} is not a table; write [{name}]")
    for key in table if known is not None else ():
        if key not in (known or ()):
            raise ExperimentError(
                f"{path}: unknown key {key!r} in [{name}]{nearest(key, known or ())}"
            )
    return table
