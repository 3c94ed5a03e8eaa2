"""Fault: something that begins, lasts, and is over, done to a server of our own."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final

from workbench.registry import Registry
from workbench.server.process import PrivateServer

__all__ = ["FAULTS", "Fault", "fault"]

Done = Callable[[PrivateServer], AbstractContextManager[None]]


@dataclass(frozen=True, slots=True)
class Fault:
    """
    One kind of fault.

    Args:
        name: as an experiment names it: ``freeze``.
        done: begins it, and ends it when the context is left; must end it also after an error.
        unanswered: the server answers nobody as long as it lasts.
        meaning: what happens, for the reference.
    """

    name: str
    done: Done
    unanswered: bool
    meaning: str


FAULTS: Final["Registry[Fault]"] = Registry("fault", "workbench.server.faults")
"""Every fault by name."""


def fault(name: str, *, unanswered: bool, meaning: str) -> Callable[[Done], Done]:
    """Register a context manager as a fault."""

    def register(done: Done) -> Done:
        FAULTS.add(name, Fault(name, done, unanswered, meaning))
        return done

    return register
