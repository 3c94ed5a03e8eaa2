"""Verify: points of a what-if replayed on real servers, and how far the simulation is off."""

import math
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from workbench.analysis.key_sizes import KeySizes
from workbench.analysis.simulator import simulate
from workbench.analysis.whatif import Point, WhatIf
from workbench.lab.replay import NAME_BYTES, replay
from workbench.server.binary import find_binary
from workbench.units import format_bytes, format_duration, format_share

__all__ = ["REAL_TIME_S", "Verified", "chosen", "verified_points"]

REAL_TIME_S: Final = 60.0
"""So long a run is replayed in its own time; a longer one faster, in about that time."""

_POINTS: Final = 2
_DRAWS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """
    One point on a real server.

    Attributes:
        point: as it was simulated for the run.
        engine: that it was replayed on.
        faster: how many times faster than the run; 1 is its own time.
        turns: that needed a state there.
        evicted_share, expired_share, refused_share: what became of the turns there.
        simulated_evicted_share, simulated_expired_share, simulated_refused_share: what the
            simulation says of the same accesses, at the times at which they were replayed.
    """

    point: Point
    engine: str
    faster: float
    turns: int
    evicted_share: float
    expired_share: float
    refused_share: float
    simulated_evicted_share: float
    simulated_expired_share: float
    simulated_refused_share: float

    @property
    def difference(self) -> float:
        """The simulated share of turns without their state, less the real one."""
        gone = self.evicted_share + self.expired_share + self.refused_share
        simulated = (
            self.simulated_evicted_share
            + self.simulated_expired_share
            + self.simulated_refused_share
        )
        return simulated - gone

    @property
    def says(self) -> str:
        """For people."""
        point = self.point
        pace = "in its own time" if self.faster == 1 else f"{self.faster:.3g} times faster"
        words = [
            f"{format_share(real)} {what} (simulated {format_share(simulated)})"
            for what, real, simulated in (
                ("evicted", self.evicted_share, self.simulated_evicted_share),
                ("expired", self.expired_share, self.simulated_expired_share),
                ("refused", self.refused_share, self.simulated_refused_share),
            )
            if real or simulated
        ]
        said = ", ".join(words) or "no turn lost its state, as simulated"
        return (
            f"verified at {format_bytes(point.maxmemory_bytes)} {point.policy}, {point.samples} "
            f"samples, TTL {format_duration(point.ttl_s)} from {point.renewal}: replayed {pace} on "
            f"{self.engine}: {said}; {100 * self.difference:+.2f} points"
        )

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        return {**asdict(self), "difference": self.difference}


def chosen(points: Sequence[Point]) -> list[Point]:
    """Two points that say much: where most is lost, and where about half of that is."""
    ordered = sorted(points, key=_gone, reverse=True)
    if len(ordered) <= _POINTS:
        return ordered
    most = ordered[0]
    half = min(ordered[1:], key=lambda point: abs(_gone(point) - _gone(most) / 2))
    return [most, half]


def verified_points(
    found: WhatIf,
    points: Sequence[Point],
    *,
    engine: str | None = None,
    seed: int = 0,
    progress: Callable[[str], None] = lambda _: None,
) -> list[Verified]:
    """
    Two of the points, each replayed on a private server.

    The server gets as much memory for keys as the point has; what it takes besides is its own. A
    long run is replayed faster, and its times to live are as much shorter: since the clock of the
    least recently used stays as it is, the simulation is then fed the times as they were replayed,
    and what is verified is the simulation, not the point.

    Args:
        found: the run.
        points: of it.
        engine: which to start; any if None.
        seed: of what the simulated server draws.
        progress: is told how far it is.

    Raises:
        ServerError: there is no such server, or it went away.
    """
    binary = find_binary(engine)
    sizes = KeySizes.of(binary.engine, binary.allocator, NAME_BYTES, preload=binary.preload)
    lasts_s = float(found.accesses.at_s[-1])
    faster = 1.0 if lasts_s <= REAL_TIME_S else lasts_s / REAL_TIME_S
    verified = []
    for at, point in enumerate(chosen(points)):
        progress(
            f"replaying {at + 1} of {min(len(points), _POINTS)} on {binary.label}: "
            f"{format_duration(lasts_s / faster)}"
        )
        asked = found.with_settings(
            point.maxmemory_bytes,
            policy=point.policy,
            samples=point.samples,
            renewal=point.renewal,
            ttl_s=point.ttl_s,
        )
        with tempfile.TemporaryDirectory(prefix="workbench-replay-") as folder:
            real = replay(
                found.accesses,
                binary=binary,
                folder=Path(folder) / "server",
                capacity_bytes=asked.capacity_bytes,
                policy=point.policy,
                samples=point.samples,
                ttl_s=point.ttl_s,
                renewal=point.renewal,
                faster=faster,
                progress=progress,
            )
        settings = replace(asked, sizes=sizes, capacity_bytes=real.capacity_bytes, ttl_s=None)
        simulated = [
            simulate(real.accesses, settings, seed=seed + 1000 * draw) for draw in range(_DRAWS)
        ]
        verified.append(
            Verified(
                point=point,
                engine=binary.label,
                faster=faster,
                turns=real.outcome.needing,
                evicted_share=_known(real.outcome.evicted_share),
                expired_share=_known(real.outcome.expired_share),
                refused_share=_known(real.outcome.refused_share),
                simulated_evicted_share=_mean(each.evicted_share for each in simulated),
                simulated_expired_share=_mean(each.expired_share for each in simulated),
                simulated_refused_share=_mean(each.refused_share for each in simulated),
            )
        )
    return verified


def _gone(point: Point) -> float:
    return _known(point.evicted_share) + _known(point.expired_share) + _known(point.refused_share)


def _mean(shares: Iterable[float]) -> float:
    known = [_known(share) for share in shares]
    return sum(known) / len(known)


def _known(share: float) -> float:
    return 0.0 if math.isnan(share) else share
