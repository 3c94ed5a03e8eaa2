"""How a test makes the store fail, and what it writes meanwhile."""

import signal
from contextlib import contextmanager
from os import kill

from workbench.state import RetryPolicy

IMPATIENT = RetryPolicy(transport_deadline_s=0.05)
PATIENT = RetryPolicy(transport_deadline_s=20)


def incremented(document):
    n = (document.get("dashboard") or {"n": 0})["n"]
    return {**document, "dashboard": {"n": n + 1}}


@contextmanager
def frozen(server):
    """The server takes no part in anything for a while, as in a long fork."""
    kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        kill(server.pid, signal.SIGCONT)
