"""wait_until: the one way in which a test waits."""

import time
from collections.abc import Callable

__all__ = ["wait_until"]


def wait_until(condition: Callable[[], object], timeout_s: float = 5.0, why: str = "") -> None:
    """Look again and again until the condition holds; AssertionError when the time is over."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s:g} s: {why or 'the condition to hold'}")
        time.sleep(0.01)
