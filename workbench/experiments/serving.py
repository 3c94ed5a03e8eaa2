"""serving: a private server that lasts as long as somebody explores it."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from workbench.checkout import runs_dir
from workbench.errors import ServerNotReadyError
from workbench.experiments.interrupts import Interrupt
from workbench.runs.lock import hold, passing_folder
from workbench.server.binary import find_binary
from workbench.server.process import PrivateServer, tail
from workbench.server.profiles import ServerProfile

__all__ = ["serving", "until_stopped"]

_FOLDER: Final = ".serve"
_POLL_S: Final = 0.2


@contextmanager
def serving(
    profile: ServerProfile, data: Path | None = None, *, engine: str | None = None
) -> Iterator[PrivateServer]:
    """
    A private server; it ends with the block.

    Args:
        profile: its settings.
        data: the folder for its data, which is kept; None for one that goes with it.
        engine: which one to start; whatever is found if None.

    Raises:
        ServerError: no server can be had, or the folder holds another engine's data.
        RunError: another server is at work in the folder.
    """
    binary = find_binary(engine)
    folder = data or passing_folder(runs_dir() / _FOLDER)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with hold(folder), PrivateServer(profile, folder, binary=binary) as server:
            yield server
    finally:
        if data is None:
            shutil.rmtree(folder, ignore_errors=True)
            with suppress(OSError):  # another session is in it
                folder.parent.rmdir()


def until_stopped(server: PrivateServer, interrupt: Interrupt) -> None:
    """
    Wait for Ctrl-C or SIGTERM, which raise KeyboardInterrupt.

    Raises:
        ServerNotReadyError: the server ended before.
    """
    while server.running:
        interrupt.check()
        time.sleep(_POLL_S)
    raise ServerNotReadyError(f"the server ended; its log ends:\n{tail(server.log)}")
