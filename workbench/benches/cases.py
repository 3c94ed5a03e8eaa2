"""
Case: a server that was made ill on purpose, or one that is well; and what is to be said of it.

A case is a function of a scene: what it does before its ``yield`` makes the server ready, what it
does after it happens while the server is looked at. Beside it stands which of our rules have to
fail, which others fail rightly as well, and by which of their names other tools would tell it.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from workbench.benches.scene import Scene
from workbench.registry import Registry

__all__ = [
    "CASES",
    "INSIGHT",
    "LATENCY",
    "LATENCY_ON",
    "MEMORY",
    "OURS",
    "PROMETHEUS",
    "TOOLS",
    "Case",
    "Make",
    "fault",
    "healthy",
]

OURS: Final = "workbench"
MEMORY: Final = "MEMORY DOCTOR"
LATENCY: Final = "LATENCY DOCTOR"
LATENCY_ON: Final = "LATENCY DOCTOR, monitor on"
INSIGHT: Final = "RedisInsight"
PROMETHEUS: Final = "Prometheus rules"

TOOLS: Final = (OURS, MEMORY, LATENCY, LATENCY_ON, INSIGHT, PROMETHEUS)
"""Every tool that is asked, ours first."""

Make = Callable[[Scene], Iterator[None]]
Names = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Case:
    """
    One server.

    Attributes:
        name: for programs and people.
        meaning: how it is made, in a few words.
        make: makes it.
        told_by: for each tool, by which of its names the fault is told; none for a healthy server.
        also: our rules that fail rightly besides.
        healthy: nothing is wrong with it beyond ``also``.
        development: it is the documented development profile.
        quick: it is among the few that a quick bench looks at.
    """

    name: str
    meaning: str
    make: Make
    told_by: Mapping[str, frozenset[str]] = field(default_factory=dict)
    also: frozenset[str] = frozenset()
    healthy: bool = False
    development: bool = False
    quick: bool = False


CASES: Final["Registry[Case]"] = Registry("case", "workbench.benches")
"""Every case by name."""


def fault(
    name: str,
    meaning: str,
    *,
    rules: Names,
    also: Names = (),
    memory: Names = (),
    latency: Names = (),
    insight: Names = (),
    prometheus: Names = (),
    quick: bool = False,
) -> Callable[[Make], Make]:
    """Register a server that is ill: by which rules of ours and names of others that is told."""
    told_by = {
        OURS: frozenset(rules),
        MEMORY: frozenset(memory),
        LATENCY: frozenset(latency),
        LATENCY_ON: frozenset(latency),
        INSIGHT: frozenset(insight),
        PROMETHEUS: frozenset(prometheus),
    }

    def register(make: Make) -> Make:
        CASES.add(name, Case(name, meaning, make, told_by, frozenset(also), quick=quick))
        return make

    return register


def healthy(
    name: str,
    meaning: str,
    *,
    also: Names = (),
    development: bool = False,
    quick: bool = False,
) -> Callable[[Make], Make]:
    """Register a server that is well, but for what ``also`` names."""

    def register(make: Make) -> Make:
        case = Case(
            name,
            meaning,
            make,
            also=frozenset(also),
            healthy=True,
            development=development,
            quick=quick,
        )
        CASES.add(name, case)
        return make

    return register
