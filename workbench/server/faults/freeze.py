"""freeze: the server stands still, as in a long fork or on a machine that is out of CPU."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from workbench.server.faults.model import fault
from workbench.server.process import PrivateServer

__all__ = ["freeze"]


@fault("freeze", unanswered=True, meaning="it stands still (SIGSTOP), and goes on where it was")
@contextmanager
def freeze(server: PrivateServer) -> Iterator[None]:
    """Stop the process; let it go on."""
    pid = server.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
