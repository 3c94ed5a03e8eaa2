"""kill: the server dies without a word, as under the kernel's out-of-memory killer."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from workbench.server.faults.model import fault
from workbench.server.process import PrivateServer

__all__ = ["kill"]


@fault("kill", unanswered=True, meaning="it is killed (SIGKILL), and started on its data again")
@contextmanager
def kill(server: PrivateServer) -> Iterator[None]:
    """Kill the server; start it on the same port."""
    os.kill(server.pid, signal.SIGKILL)
    server.stop()  # which is nothing but to take note of its end
    try:
        yield
    finally:
        server.start()
