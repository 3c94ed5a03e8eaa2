"""Which runs there are: their directories, and what their manifests say of them at a glance."""

from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Final

from workbench.checkout import runs_dir
from workbench.errors import RunError
from workbench.runs.facts import began, html_table, server_name
from workbench.runs.manifest import MANIFEST, read_manifest

__all__ = ["RunEntry", "Runs", "list_runs"]

_NONE: Final = "no sealed run; make one with: workbench run"


@dataclass(frozen=True, slots=True)
class RunEntry:
    """One sealed run, not yet opened. Where a path is wanted, it is its directory."""

    name: str
    began: str
    experiment: str
    status: str
    server: str
    path: Path

    def __fspath__(self) -> str:
        return str(self.path)


class Runs(tuple[RunEntry, ...]):
    """The sealed runs, the latest last; shown as a table in a notebook."""

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
    found = []
    for path in sorted(runs_dir().glob(f"*/{MANIFEST}")):
        try:
            manifest = read_manifest(path.parent)
        except RunError:
            continue
        if manifest.status != "running":
            found.append(
                RunEntry(
                    name=path.parent.name,
                    began=began(manifest.started_unix_s),
                    experiment=str(manifest.experiment.get("name", "unknown")),
                    status=manifest.status,
                    server=server_name(manifest.server),
                    path=path.parent,
                )
            )
    return Runs(found)


def _cells(entry: RunEntry) -> tuple[str, ...]:
    return astuple(entry)[:-1]
