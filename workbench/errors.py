"""
Every error that the workbench raises on purpose, except those of ``workbench.state``.

    WorkbenchError
    ├── UsageError              the request is wrong; nothing was started
    │   ├── AofError            a server's append-only files are not what they should be
    │   ├── ExperimentError     an experiment file or an override of it
    │   ├── GridError           a file of cells for the laboratory
    │   ├── ParameterError      a parameter of a notebook
    │   ├── SloError            a file of service level objectives
    │   ├── BackupRefusedError  a backup is damaged, interrupted, or none of ours
    │   └── TargetRefusedError  this server may not be loaded
    ├── RunError                a run directory cannot be read as what it should be
    │   └── ColumnMissingError  a table lacks a column that the reader needs
    ├── ServerError             a Redis server cannot be had
    │   ├── LimitError          no cgroup, to limit its memory or its share of a core
    │   ├── ServerMissingError  no server binary on this machine
    │   └── ServerNotReadyError it was started, and does not answer
    ├── BackupFailedError       a backup could not be taken; nothing of it is kept
    ├── BrowserError            no Chromium, or it made no PDF
    ├── PlaceError              a folder, near or far, cannot be read or written to
    ├── RunFailedError          an experiment broke off; what it recorded is kept
    └── ReportError             a notebook failed while it was executed

Callers catch by class; a person reads the message, which says what happened and what to do.
"""

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = [
    "AofError",
    "BackupFailedError",
    "BackupRefusedError",
    "BrowserError",
    "ColumnMissingError",
    "ExperimentError",
    "GridError",
    "LimitError",
    "ParameterError",
    "PlaceError",
    "ReportError",
    "RunError",
    "RunFailedError",
    "ServerError",
    "ServerMissingError",
    "ServerNotReadyError",
    "SloError",
    "TargetRefusedError",
    "UsageError",
    "WorkbenchError",
    "nearest",
]


class WorkbenchError(Exception):
    """The root: any failure that the workbench foresaw."""


class UsageError(WorkbenchError):
    """The request cannot be carried out as it was put; nothing was started or written."""


class AofError(UsageError):
    """A folder of append-only files, or a file in it, is not what it should be."""


class ExperimentError(UsageError):
    """An experiment file, or an override of it, has a key or a value that makes no sense."""


class GridError(UsageError):
    """A grid of the laboratory has a key or a value that makes no sense."""


class ParameterError(UsageError):
    """A notebook has no such parameter, or the value is not of its type."""


class SloError(UsageError):
    """A file of service level objectives has a key or a value that makes no sense."""


class BackupRefusedError(UsageError):
    """A backup is damaged, interrupted, of another version, or no backup of the workbench."""


class TargetRefusedError(UsageError):
    """The server is not one that the workbench may load."""


class RunError(WorkbenchError):
    """A run directory is missing, unfinished, damaged or of another version."""


class ColumnMissingError(RunError):
    """A table lacks a column that the reader needs."""


class ServerError(WorkbenchError):
    """A Redis server cannot be had."""


class LimitError(ServerError):
    """No cgroup can be had here that would limit a server's memory, or its share of a core."""


class ServerMissingError(ServerError):
    """No usable server binary was found on this machine."""


class ServerNotReadyError(ServerError):
    """A server was started, or named, and does not answer."""


class BackupFailedError(WorkbenchError):
    """A backup could not be taken."""


class BrowserError(WorkbenchError):
    """There is no Chromium on this machine, or it did not print the page."""


class PlaceError(WorkbenchError):
    """A folder, near or far, cannot be read or written to."""


class RunFailedError(WorkbenchError):
    """An experiment broke off; what it recorded until then is sealed and readable."""


class ReportError(WorkbenchError):
    """A notebook failed while it was executed; no report was written."""


def nearest(name: str, known: Iterable[str]) -> str:
    """
    The end of an error message: what the person probably meant, or what there is.

    Args:
        name: what was typed.
        known: the names that exist.

    Returns:
        ``"; did you mean 'x'?"``, else ``"; known: a, b, c"``.
    """
    names = sorted(known)
    close = get_close_matches(name, names, n=1, cutoff=0.6)
    close = close or [known for known in names if name and known.startswith(name)]
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(names)}"
