"""FarRun: a run in an object store, read from there; what is large of it stays where it is."""

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from workbench.errors import RunError, nearest
from workbench.runs.manifest import MANIFEST, read_manifest
from workbench.runs.rows import Rows
from workbench.runs.run import Run
from workbench.runs.snapshot import SNAPSHOTS
from workbench.runs.storage import Storage
from workbench.units import MIB

__all__ = ["FarRun"]

_COPIED_BYTES_MAX: Final = 64 * MIB
"""A larger table stays where it is. Of a smaller one a copy is there sooner than an answer."""


class FarRun(Run):
    """
    One run, read-only, that is not on this machine.

    What is small of it is copied when it is first asked for, and goes with the run.

    Args:
        url: of its directory: ``s3://bucket/runs/x``.

    Raises:
        RunError: it is no run directory, or one of another version.
        PlaceError: its store does not answer, or refuses.
        UsageError: nothing here speaks the URL's protocol, or there are no credentials.
    """

    def __init__(self, url: str) -> None:
        self._storage = Storage(url)
        self._copies = TemporaryDirectory(prefix="workbench-far-")
        self._folder = Path(self._copies.name)
        self._storage.fetch([MANIFEST, SNAPSHOTS], self._folder)
        if not (self._folder / MANIFEST).exists():
            beside = Storage(self._storage.url.rpartition("/")[0]).sizes_bytes()
            raise RunError(
                f"{self._storage} is not a run directory: it has no {MANIFEST}"
                f"{nearest(self._storage.name, beside) if beside else ''}"
            )
        self.manifest = read_manifest(self._folder)

    @property
    def path(self) -> Path:
        """It has none here."""
        raise RunError(
            f"{self._storage} is not on this machine and is only read: to write into it, copy it "
            "to a folder first"
        )

    @property
    def name(self) -> str:
        """Of its directory."""
        return self._storage.name

    @property
    def where(self) -> str:
        """Its URL."""
        return str(self._storage)

    @cached_property
    def logs(self) -> Path:
        """A folder with copies of the logs."""
        self._fetch("logs", self._storage.sizes_bytes("logs"))
        return self._folder / "logs"

    def _parts(self, table: str) -> list[Path]:
        self._fetch(table, self._sizes_bytes(table))
        return super()._parts(table)

    def _rows_of(self, table: str) -> Rows:
        sizes_bytes = self._sizes_bytes(table)
        if sum(sizes_bytes.values()) <= _COPIED_BYTES_MAX:
            return super()._rows_of(table)
        return Rows.of_parts(
            [f"{self._storage.url}/{table}/{part}" for part in sizes_bytes],
            start_unix_s=self.start_unix_s,
            file_system=self._storage.file_system,
        )

    def _sizes_bytes(self, table: str) -> dict[str, int]:
        found = self._storage.sizes_bytes(table)
        return {name: size for name, size in found.items() if name.startswith("part-")}

    def _fetch(self, folder: str, names: Iterable[str]) -> None:
        wanted = [f"{folder}/{name}" for name in names]
        self._storage.fetch(
            [name for name in wanted if not (self._folder / name).exists()], self._folder
        )
