"""Who is at work in a folder: a lock that the kernel takes back when its holder ends, however."""

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from workbench.errors import RunError

__all__ = ["hold", "is_held", "passing_folder"]


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


def passing_folder(parent: Path) -> Path:
    """
    The path of a new folder that lasts as long as its user does, who holds it and removes it.

    Those of users that were killed are removed. So it is not in the machine's temporary folder:
    what a kill leaves there nobody would clear away.
    """
    for left in parent.glob("*"):
        if not is_held(left):
            shutil.rmtree(left, ignore_errors=True)
    return parent / secrets.token_hex(4)
