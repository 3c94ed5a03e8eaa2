"""rewrite: the server is told to write its AOF anew, which forks."""

from collections.abc import Iterator
from contextlib import contextmanager

from workbench.server.faults.model import fault
from workbench.server.process import PrivateServer

__all__ = ["rewrite"]


@fault("rewrite", unanswered=False, meaning="BGREWRITEAOF: it forks, and writes its AOF anew")
@contextmanager
def rewrite(server: PrivateServer) -> Iterator[None]:
    """Begin a rewrite; it ends by itself, whenever that is."""
    with server.client() as client:
        if not client.info("persistence")["aof_rewrite_in_progress"]:
            client.bgrewriteaof()
    yield
