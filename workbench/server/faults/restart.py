"""restart: the server is ended as a deployment ends it, and started again on its data."""

from collections.abc import Iterator
from contextlib import contextmanager

from workbench.server.faults.model import fault
from workbench.server.process import PrivateServer

__all__ = ["restart"]


@fault("restart", unanswered=True, meaning="it is ended by SIGTERM, and started on its data again")
@contextmanager
def restart(server: PrivateServer) -> Iterator[None]:
    """End the server; start it on the same port."""
    server.stop()
    try:
        yield
    finally:
        server.start()
