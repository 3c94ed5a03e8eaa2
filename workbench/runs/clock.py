"""One clock for every process of a run: unix seconds that no step of the machine's clock moves."""

import time
from dataclasses import dataclass, field

__all__ = ["Clock"]


def _offset_s() -> float:
    return time.time() - time.monotonic()


@dataclass(frozen=True, slots=True)
class Clock:
    """
    Unix time, read off the wall once and counted by the monotonic clock from then on.

    The monotonic clock is the same in all processes of a machine, so those that are given one
    offset agree, whatever is done to the wall clock while they run.

    Args:
        offset_s: unix time less monotonic time, s; as the wall has it now, unless given.
    """

    offset_s: float = field(default_factory=_offset_s)

    def unix_s(self) -> float:
        """Now."""
        return time.monotonic() + self.offset_s

    def step_s(self) -> float:
        """How far the wall clock has been moved since the offset was taken, s."""
        return _offset_s() - self.offset_s
