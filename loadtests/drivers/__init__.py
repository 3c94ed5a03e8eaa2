"""
Ways to carry a turn to the server. A driver is one file with a function ``open_slot``.

A slot is one Locust user's: it has a connection of its own.
"""

import importlib
from typing import Protocol

from loadtests.drivers.turn import Done
from workbench.checkout import driver_names
from workbench.errors import UsageError, nearest
from workbench.flows.model import Edit

__all__ = ["OpenSlot", "Slot", "driver"]


class Slot(Protocol):
    """What carries one turn at a time."""

    def carry_out(
        self, identifier: str, message_id: str, edit: Edit, *, begins: bool, follows: str | None
    ) -> Done:
        """
        Carry out one message.

        Args:
            identifier: of the caller.
            message_id: of the message; the same when it is delivered again.
            edit: what the message changes.
            begins: it is a greeting, which begins the conversation if there is none.
            follows: the message of the conversation that was acknowledged last; if the conversation
                is there and does not remember it, an update was lost.
        """

    def close(self) -> None:
        """Give up the connection."""


class OpenSlot(Protocol):
    """How a driver opens a slot."""

    def __call__(self, url: str, *, ttl_s: float, timeout_s: float = ...) -> Slot:
        """
        Open a slot.

        Args:
            url: of the server.
            ttl_s: time to live from each write on, s.
            timeout_s: for connecting, and for each reply, s.
        """


def driver(name: str, *, pool: int = 0) -> OpenSlot:
    """
    The driver of that name.

    Args:
        name: of a file in this folder.
        pool: connections that all its slots share; each has its own if 0.

    Raises:
        UsageError: there is none, and the message names the nearest; or its slots share nothing.
    """
    known = driver_names()
    if name not in known:
        raise UsageError(f"there is no driver {name!r}{nearest(name, known)}")
    module = importlib.import_module(f"loadtests.drivers.{name}")
    if pool and not hasattr(module, "sharing"):
        raise UsageError(f"the driver {name} gives each slot a connection of its own: no --pool")
    found: OpenSlot = module.sharing(pool) if pool else module.open_slot
    return found
