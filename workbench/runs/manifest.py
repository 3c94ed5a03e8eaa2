"""The manifest of a run: who, what, when, with which versions and limits, and how it ended."""

from pathlib import Path
from typing import Any, Final

import msgspec

from workbench.errors import RunError, nearest
from workbench.runs.files import write_json
from workbench.runs.schema import SCHEMA_VERSION, SCHEMA_VERSIONS_READ

__all__ = ["MANIFEST", "STATUSES", "Manifest", "Phase", "read_manifest", "write_manifest"]

MANIFEST: Final = "manifest.json"

STATUSES: Final = {
    "running": "not sealed: still going on, or its conductor was killed",
    "complete": "it ran to its end",
    "invalid": "it ran to its end, but its figures do not hold; see why",
    "interrupted": "a person ended it early",
    "failed": "a process of it died; see why",
}
"""The statuses of a run."""


class Phase(msgspec.Struct, frozen=True):
    """One phase of a run, in unix seconds."""

    name: str
    start_unix_s: float
    stop_unix_s: float


class Manifest(msgspec.Struct, kw_only=True):
    """
    The circumstances of a run.

    Attributes:
        status: one of STATUSES; ``why`` says more where it is not complete.
        experiment: as it was carried out, every default filled in.
        versions: of the workbench, Python and the libraries that matter.
        commit, dirty: of the workbench's own checkout; empty if it is none.
        host: what the machine grants: cores, memory, disk, limits, kernel settings.
        server: engine, version, allocator, origin, and its settings by CONFIG GET.
        differences: what makes the figures differ from redis:7.0.
        phases: in the order of time; ``measure`` is the one that counts.
        rows: rows by table.
    """

    schema_version: int = SCHEMA_VERSION
    run_id: str
    status: str
    why: str = ""
    experiment: dict[str, Any]
    seed: int
    started_unix_s: float
    stopped_unix_s: float | None = None
    versions: dict[str, str] = msgspec.field(default_factory=dict)
    commit: str = ""
    dirty: bool = False
    host: dict[str, Any] = msgspec.field(default_factory=dict)
    server: dict[str, Any] = msgspec.field(default_factory=dict)
    differences: list[str] = msgspec.field(default_factory=list)
    phases: list[Phase] = msgspec.field(default_factory=list)
    rows: dict[str, int] = msgspec.field(default_factory=dict)

    def phase(self, name: str) -> Phase | None:
        """The phase of that name, or None if the run did not come to it."""
        return next((phase for phase in self.phases if phase.name == name), None)


def write_manifest(run_dir: Path, manifest: Manifest) -> None:
    """Write it whole or not at all."""
    write_json(run_dir / MANIFEST, manifest)


def read_manifest(run_dir: Path) -> Manifest:
    """
    The manifest of a run directory.

    Raises:
        RunError: there is none, it is damaged, or another version of the workbench wrote it.
    """
    path = run_dir / MANIFEST
    try:
        text = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise RunError(f"{run_dir} is not a run directory: it has no {MANIFEST}") from None
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error}") from None
    try:
        version = msgspec.json.decode(text)["schema_version"]
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError):
        raise RunError(f"{path} is damaged: it is not the manifest of a run") from None
    if version not in SCHEMA_VERSIONS_READ:
        raise RunError(
            f"{path} has schema version {version}, and this workbench reads "
            f"{' and '.join(map(str, SCHEMA_VERSIONS_READ))}: "
            "read it with the version of the workbench that wrote it, or run it again"
        )
    try:
        manifest = msgspec.json.decode(text, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RunError(f"{path} is damaged: {error}") from None
    if manifest.status not in STATUSES:
        raise RunError(
            f"{path} is damaged: no run stands as {manifest.status!r}"
            f"{nearest(manifest.status, STATUSES)}"
        )
    return manifest
