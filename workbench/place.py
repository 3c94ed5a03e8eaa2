"""Where backups and reports are kept: a local folder, or what else fsspec has an adapter for."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Final

from fsspec.implementations.local import LocalFileSystem  # type: ignore[import-untyped]

from workbench.errors import PlaceError, UsageError, WorkbenchError
from workbench.runs.files import write_whole
from workbench.runs.storage import file_system
from workbench.state.redaction import redact

__all__ = ["Place"]

_PRIVATE: Final = 0o700


class Place:
    """
    A folder, near or far.

    Args:
        url: ``backups``, ``/mnt/backups``, ``s3://bucket/redis``.

    Raises:
        UsageError: nothing here speaks the URL's protocol.
    """

    def __init__(self, url: str) -> None:
        if not url.strip():
            raise UsageError("the folder has no name; write backups or s3://bucket/redis")
        self._fs, self._root = file_system(url)
        self._local = isinstance(self._fs, LocalFileSystem)
        self._url = os.path.relpath(self._root) if self._local and _below_here(self._root) else url
        self._url = self._url.rstrip("/") or "/"

    def __str__(self) -> str:
        return redact(self._url)

    @property
    def name(self) -> str:
        """Its last part."""
        return str(self._root).rstrip("/").rpartition("/")[2]

    def at(self, name: str) -> "Place":
        """A folder in it."""
        return self._moved(f"{str(self._root).rstrip('/')}/{name}", f"{self._url}/{name}")

    def parent(self) -> "Place":
        """The folder that it is in."""
        root = str(self._root).rstrip("/").rpartition("/")[0]
        return self._moved(root or "/", self._url.rpartition("/")[0] or ".")

    def exists(self, name: str = "") -> bool:
        """Whether it, or a file or folder in it, is there."""
        with self._telling("looked at"):
            return bool(self._fs.exists(self._path(name)))

    def names(self) -> list[str]:
        """What is in it; nothing if it is not there."""
        with self._telling("listed"):
            self._fs.invalidate_cache()
            try:
                found = self._fs.ls(self._root, detail=False)
            except (FileNotFoundError, NotADirectoryError):
                return []
            return sorted(str(path).rstrip("/").rpartition("/")[2] for path in found)

    def size_bytes(self, name: str) -> int:
        """Of a file in it."""
        with self._telling("looked at"):
            self._fs.invalidate_cache()
            return int(self._fs.size(self._path(name)))

    def read(self, name: str) -> bytes:
        """A whole file in it."""
        with self._telling("read"):
            content: bytes = self._fs.cat_file(self._path(name))
            return content

    @contextmanager
    def reading(self, name: str) -> Iterator[BinaryIO]:
        """A file in it, to read."""
        with self._telling("read"), self._fs.open(self._path(name), "rb") as file:
            yield file

    @contextmanager
    def writing(self, name: str) -> Iterator[BinaryIO]:
        """A file in it, to write; on a local disk it is synced when the block ends."""
        with self._telling("written to"):
            folder = self._path(name).rpartition("/")[0]
            self._fs.makedirs(folder, exist_ok=True)
            if self._local:
                self._keep_private()
            with self._fs.open(self._path(name), "wb") as file:
                yield file
                if self._local:
                    file.flush()
                    os.fsync(file.fileno())

    def write_whole(self, name: str, content: bytes) -> None:
        """A file in it, whole or not at all; of a far place, as whole as its protocol has it."""
        with self._telling("written to"):
            if self._local:
                write_whole(Path(self._path(name)), content)
            else:
                self._fs.pipe_file(self._path(name), content)

    def put(self, file: Path, name: str) -> "Place":
        """
        A copy of a local file in it, whole or not at all; of a far place, as its protocol has it.

        Adapters of object stores give it the type that its ending says, so that a browser shows a
        page and does not save it.
        """
        path = self._path(name)
        with self._telling("written to"):
            if self._local:
                Path(path).parent.mkdir(parents=True, exist_ok=True)
                write_whole(Path(path), file.read_bytes())
            else:
                self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
                self._fs.put_file(str(file), path)
        return self.at(name)

    def remove(self, name: str = "") -> None:
        """It, or a file or folder in it, with all that is below; nothing if it is not there."""
        with self._telling("removed from"), suppress(FileNotFoundError):
            self._fs.invalidate_cache()
            self._fs.rm(self._path(name), recursive=True)

    def remove_if_empty(self) -> None:
        """The folder itself, unless something is in it. Object stores know no empty folders."""
        with self._telling("removed"), suppress(FileNotFoundError, OSError):
            if not self.names():
                self._fs.rmdir(self._root)

    def _moved(self, root: str, url: str) -> "Place":
        other = object.__new__(Place)
        other._fs, other._local, other._root, other._url = self._fs, self._local, root, url
        return other

    def _path(self, name: str) -> str:
        return f"{str(self._root).rstrip('/')}/{name}" if name else str(self._root)

    def _keep_private(self) -> None:
        # Redis makes its own files readable by everybody; in them is what people wrote.
        Path(self._root).chmod(_PRIVATE)

    @contextmanager
    def _telling(self, what: str) -> Iterator[None]:
        try:
            yield
        except WorkbenchError:
            raise
        except Exception as error:  # an adapter raises whatever its library does
            said: Any = str(error) or type(error).__name__
            raise PlaceError(f"{self} cannot be {what}: {redact(str(said))}") from error


def _below_here(root: str) -> bool:
    return Path(root).is_relative_to(Path.cwd())
