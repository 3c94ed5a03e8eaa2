"""Ctrl-C ends a piece of work, wherever it is met."""

import gc
import signal

import pytest

from workbench.experiments.interrupts import one_interrupt


class Swallowing:
    """Something in whose end, as in any callback, Python lets go of what is raised."""

    def __del__(self):
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_interrupts_once_and_the_ending_is_not_disturbed(number):
    """The second one is not heard; afterwards all is as it was."""
    before, ended = signal.getsignal(number), []

    def interrupted():
        with one_interrupt():
            try:
                signal.raise_signal(number)
            finally:
                signal.raise_signal(number)
                ended.append(True)

    with pytest.raises(KeyboardInterrupt):
        interrupted()

    assert ended == [True]
    assert signal.getsignal(number) is before


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_interrupt_that_python_let_go_of_is_met_by_who_asks():
    """It came in a callback, where nothing that is raised goes anywhere."""
    with one_interrupt() as interrupt:
        interrupt.check()
        swallowing = Swallowing()
        del swallowing
        gc.collect()

        with pytest.raises(KeyboardInterrupt):
            interrupt.check()
