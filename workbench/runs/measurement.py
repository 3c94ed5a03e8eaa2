"""
A measurement: a table of figures, with all that it takes to make them again, in one JSON file.

What the laboratory and some benches find is kept so. Those that come with the workbench lie in
``measurements/``, made on the machine that each names; one's own lie among the runs, and go first.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self

import msgspec
import pandas as pd

from workbench.checkout import measurements_dir, runs_dir
from workbench.errors import RunError
from workbench.runs.files import write_json

__all__ = ["Measurement", "find_measurement", "read_measurement", "write_measurement"]

_SCHEMA_VERSION: Final = 1


class Measurement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    Figures and their circumstances.

    Attributes:
        kind: what was measured, as in ``memory-grid``; also the name of its file.
        command: what makes it again.
        seed: of what was drawn.
        made_at: as in ``2026-11-26T20:05:00Z``.
        versions: of the workbench, Python and the libraries that matter.
        commit: of the workbench's checkout; empty if it is none.
        host: what the machine granted, as in a manifest.
        engines: of each server its ``engine``, ``version``, ``allocator``, ``preload``.
        rows: the table, one mapping a row; names carry their units.
        derived: what was worked out from the rows, by name.
    """

    schema_version: int = _SCHEMA_VERSION
    kind: str
    command: str
    seed: int
    made_at: str
    versions: dict[str, str]
    commit: str
    host: dict[str, Any]
    engines: list[dict[str, Any]]
    rows: list[dict[str, Any]]
    derived: dict[str, Any] = msgspec.field(default_factory=dict)

    @property
    def frame(self) -> pd.DataFrame:
        """The rows as a frame; a column for each name."""
        return pd.DataFrame(self.rows)

    @property
    def where(self) -> str:
        """For people: engines and machine, without which no figure holds."""
        engines = ", ".join(
            f"{each['engine'].capitalize()} {each['version']} ({each['allocator']}"
            + (f", {each['preload']} preloaded)" if each.get("preload") else ")")
            for each in self.engines
        )
        cores, cpu = self.host.get("cores"), self.host.get("cpu") or "an unknown processor"
        return f"{engines}; {cores} cores of {cpu}, {self.made_at[:10]}"

    def with_derived(self, derived: Mapping[str, Any]) -> Self:
        """The same rows, with what was worked out from them."""
        return msgspec.structs.replace(self, derived={**self.derived, **derived})


def read_measurement(path: Path, kind: str) -> Measurement:
    """
    The measurement in a file.

    Raises:
        RunError: there is no such file, or it is no measurement of this kind.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror}") from None
    try:
        found = msgspec.json.decode(content, type=Measurement)
    except msgspec.MsgspecError as error:
        raise RunError(f"{path} is no measurement: {error}") from None
    if found.schema_version != _SCHEMA_VERSION:
        raise RunError(
            f"{path} is of schema version {found.schema_version}, and {_SCHEMA_VERSION} is known: "
            f"make it again: {found.command}"
        )
    if found.kind != kind:
        raise RunError(f"{path} is a measurement of {found.kind}, and one of {kind} is needed")
    return found


def find_measurement(kind: str) -> tuple[Measurement, Path]:
    """
    One's own measurement of a kind if there is one, else the one that comes with the workbench.

    Raises:
        RunError: there is neither, or it cannot be read.
    """
    own = runs_dir() / f"{kind}.json"
    path = own if own.exists() else measurements_dir() / own.name
    return read_measurement(path, kind), path


def write_measurement(measured: Measurement, path: Path | None = None) -> Path:
    """Write it, among the runs if no path is given, whole or not at all; returns the path."""
    path = runs_dir() / f"{measured.kind}.json" if path is None else path
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, measured)
    return path
