"""one_interrupt: Ctrl-C and SIGTERM end a piece of work once, and do not disturb its ending."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["Interrupt", "one_interrupt"]


class Interrupt:
    """Whether Ctrl-C or SIGTERM came."""

    def __init__(self) -> None:
        self.came = False

    def check(self) -> None:
        """
        Raise KeyboardInterrupt if one came that did not get here.

        Python lets go of what is raised within a callback, such as those of an import; so whoever
        waits in a loop asks.
        """
        if self.came:
            raise KeyboardInterrupt


@contextmanager
def one_interrupt() -> Iterator[Interrupt]:
    """
    Have SIGTERM raise KeyboardInterrupt as Ctrl-C does, and let neither disturb what follows.

    What follows must be bounded: each process that is stopped is killed if it takes too long.
    """
    told = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield told  # only the main thread may set handlers
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        for each in before:
            signal.signal(each, signal.SIG_IGN)
        told.came = True
        raise KeyboardInterrupt

    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    for each in before:
        signal.signal(each, interrupt)
    try:
        yield told
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
