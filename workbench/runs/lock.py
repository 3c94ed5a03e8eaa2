"""Who is at work in a folder: a lock that the kernel takes back when its holder ends, however."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from workbench.errors import RunError

__all__ = ["hold", "is_held"]


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """
    Be the one at work in the folder. The lock is on the folder itself: no file is made.

    Raises:
        RunError: another process is.
    """
    held = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(f"{folder} is still being written by another process") from None
        yield
    finally:
        os.close(held)


def is_held(folder: Path) -> bool:
    """Whether a process is at work in the folder."""
    try:
        with hold(folder):
            return False
    except RunError:
        return True
