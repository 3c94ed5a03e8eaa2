"""one_interrupt: Ctrl-C and SIGTERM end a piece of work once, and do not disturb its ending."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["one_interrupt"]


@contextmanager
def one_interrupt() -> Iterator[None]:
    """
    Have SIGTERM raise KeyboardInterrupt as Ctrl-C does, and let neither disturb what follows.

    What follows must be bounded: each process that is stopped is killed if it takes too long.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        for each in before:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    for each in before:
        signal.signal(each, interrupt)
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
