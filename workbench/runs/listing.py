"""Which runs there are: their directories, and what their manifests say of them at a glance."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from workbench.checkout import runs_dir
from workbench.errors import RunError
from workbench.runs.facts import began, html_table, server_name
from workbench.runs.lock import is_held
from workbench.runs.manifest import MANIFEST, STATUSES, read_manifest

__all__ = ["RunEntry", "Runs", "every_run", "list_runs"]

_NONE: Final = "there is no run; make one with: workbench run"
_SEALED: Final = STATUSES.keys() - {"running"}


@dataclass(frozen=True, slots=True)
class RunEntry:
    """
    One run, not yet opened. Where a path is wanted, it is its directory.

    Attributes:
        status: as in its manifest; ``unsealed`` if its conductor was killed, ``unreadable`` if the
            manifest cannot be read.
        why: more about the status; empty if it is complete.
    """

    path: Path
    began: str
    experiment: str
    status: str
    server: str
    why: str

    @property
    def name(self) -> str:
        """The name of its directory, by which commands know it."""
        return self.path.name

    def __fspath__(self) -> str:
        return str(self.path)


class Runs(tuple[RunEntry, ...]):
    """Runs, the latest last; shown as a table in a notebook."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "\n".join("  ".join(_cells(entry)) for entry in self) or _NONE

    def _repr_html_(self) -> str:
        if not self:
            return f"<p>{_NONE}</p>"
        head = ("run", "began", "experiment", "status", "server")
        return html_table((_cells(entry) for entry in self), head=head)


def list_runs() -> Runs:
    """All sealed runs, the latest last."""
    return Runs(entry for entry in every_run() if entry.status in _SEALED)


def every_run(folder: Path | None = None) -> Runs:
    """All runs of a folder, sealed or not, the latest last; of ``runs_dir()``, if None."""
    return Runs(_entries(runs_dir() if folder is None else folder))


def _entries(folder: Path) -> Iterator[RunEntry]:
    for path in sorted(found.parent for found in folder.glob(f"*/{MANIFEST}")):
        try:
            manifest = read_manifest(path)
        except RunError as error:
            yield RunEntry(path, "", "", "unreadable", "", str(error))
            continue
        left = manifest.status == "running" and not is_held(path)
        yield RunEntry(
            path,
            began(manifest.started_unix_s),
            str(manifest.experiment.get("name", "unknown")),
            "unsealed" if left else manifest.status,
            server_name(manifest.server),
            f"workbench seal {path.name}" if left else manifest.why,
        )


def _cells(entry: RunEntry) -> tuple[str, ...]:
    return entry.name, entry.began, entry.experiment, entry.status, entry.server
