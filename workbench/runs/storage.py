"""Storage: a folder that is not on this machine, in an object store or what else fsspec knows."""

import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import fsspec  # type: ignore[import-untyped]

from workbench.errors import PlaceError, RunError, UsageError, WorkbenchError, nearest

__all__ = ["Storage", "file_system", "is_far"]

_USUAL: Final = ("abfs", "file", "gs", "memory", "s3", "sftp")
"""Of the protocols that fsspec knows those that a person means."""

_SECRETS: Final = re.compile(r"//[^/@\s]*@")
_AT_ONCE: Final = 16
_CONNECT_S, _REQUEST_S = 5.0, 30.0
_ANSWERS_NOT: Final = ("NETWORK_CONNECTION", "timed out", "Timeout", "timeout")
_CREDENTIALS: Final = (
    "AWS_ACCESS_KEY_ID",
    "AWS_PROFILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)


def is_far(where: object) -> bool:
    """Whether it is a URL such as ``s3://bucket/runs/x``, and no folder of this machine."""
    protocol, given, _ = str(where).partition("://")
    return bool(given) and protocol != "file"


def file_system(url: str) -> tuple[Any, str]:
    """
    What speaks to a place, and the place's path in it.

    S3 is spoken by s3fs if that is installed, else by Arrow. Credentials come from the environment
    alone, as the AWS command line has them, and so does ``AWS_ENDPOINT_URL``.

    Raises:
        UsageError: nothing here speaks the URL's protocol, or there are no credentials.
    """
    protocol = url.partition("://")[0]
    if protocol == "s3" and find_spec("s3fs") is None:
        return _s3(), url.partition("://")[2].rstrip("/")
    try:
        found: tuple[Any, str] = fsspec.core.url_to_fs(url)
    except ImportError as error:
        raise UsageError(
            f"{_told(url)} cannot be reached, since no adapter for {protocol} is installed "
            f"({error}); install it beside the workbench, or name a local folder"
        ) from None
    except ValueError:
        raise UsageError(
            f"{_told(url)}: there is no protocol {_told(protocol)!r}{nearest(protocol, _USUAL)}"
        ) from None
    return found


class Storage:
    """
    A folder far away, to read.

    Args:
        url: ``s3://bucket/runs/x``.

    Raises:
        UsageError: nothing here speaks the URL's protocol, or there are no credentials.
    """

    def __init__(self, url: str) -> None:
        self.file_system, self._root = file_system(url)
        self._root = self._root.rstrip("/")
        self.url = url.rstrip("/")

    def __str__(self) -> str:
        return _told(self.url)

    @property
    def name(self) -> str:
        """Its last part."""
        return self.url.rpartition("/")[2]

    def sizes_bytes(self, folder: str = "") -> dict[str, int]:
        """What is in it, or in a folder of it, by name; nothing if that is not there."""
        path = f"{self._root}/{folder}".rstrip("/")
        with self._telling():
            try:
                found = self.file_system.ls(path, detail=True)
            except (FileNotFoundError, NotADirectoryError):
                return {}
        sizes = {each["name"].rstrip("/").rpartition("/")[2]: each["size"] for each in found}
        return {name: int(sizes[name] or 0) for name in sorted(sizes)}

    def read(self, name: str) -> bytes | None:
        """A whole file in it; None if it is not there."""
        with self._telling():
            try:
                content: bytes = self.file_system.cat_file(f"{self._root}/{name}")
            except FileNotFoundError:
                return None
        return content

    def fetch(self, names: Sequence[str], folder: Path) -> None:
        """Copies of files in it, under their names, many at once: each takes a while to begin."""

        def copy(name: str) -> None:
            content = self.read(name)
            if content is not None:
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(copy, names))

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, NotADirectoryError, WorkbenchError):
            raise
        except Exception as error:  # noqa: BLE001  (an adapter raises whatever its library does)
            said = _told(str(error) or type(error).__name__)
            if "NO_SUCH_BUCKET" in said or "NoSuchBucket" in said:
                raise RunError(f"{self}: there is no such bucket; see its name") from None
            if any(each in said for each in _ANSWERS_NOT):
                where = _told(_endpoint()) or "its store"
                raise PlaceError(
                    f"{self} cannot be read: {where} does not answer ({said}); see that it can be "
                    "reached from here, and AWS_ENDPOINT_URL"
                ) from None
            raise PlaceError(f"{self} cannot be read: {said}") from None


def _s3() -> Any:
    from fsspec.implementations.arrow import ArrowFSWrapper  # type: ignore[import-untyped]
    from pyarrow.fs import S3FileSystem

    if not any(os.environ.get(name) for name in _CREDENTIALS):
        raise UsageError(
            "there are no credentials for S3 in the environment: set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; a task on ECS has them by its role"
        )
    given: dict[str, Any] = {}
    if endpoint := _endpoint():
        parts = urlsplit(endpoint if "://" in endpoint else f"https://{endpoint}")
        given = {"endpoint_override": parts.netloc.rpartition("@")[2], "scheme": parts.scheme}
    if region := os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION"):
        given["region"] = region
    return ArrowFSWrapper(
        S3FileSystem(connect_timeout=_CONNECT_S, request_timeout=_REQUEST_S, **given)
    )


def _endpoint() -> str:
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""


def _told(text: str) -> str:
    """Without what a URL may hold of a name and a password."""
    return _SECRETS.sub("//", text)
