"""
The one plug-in mechanism: a member of a collection is a module in the collection's folder.

Importing the modules registers what they define; no list has to be kept beside them.
"""

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Generic, TypeVar

from workbench.errors import UsageError, nearest

__all__ = ["Registry"]

T = TypeVar("T")


class Registry(Generic[T]):
    """
    The members of one collection by name: rules, flows.

    Args:
        kind: what a member is called in messages: ``"rule"``.
        package: the folder whose modules define members: ``"workbench.diagnostics"``.
    """

    def __init__(self, kind: str, package: str) -> None:
        self._kind = kind
        self._package = package
        self._members: dict[str, T] = {}
        self._loaded = False

    def add(self, name: str, member: T) -> T:
        """
        Register a member.

        Raises:
            ValueError: another member has this name.
        """
        if name in self._members:
            raise ValueError(
                f"two {self._kind}s are named {name!r}: {self._members[name]!r} and {member!r}"
            )
        self._members[name] = member
        return member

    def __getitem__(self, name: str) -> T:
        self._load()
        try:
            return self._members[name]
        except KeyError:
            raise UsageError(
                f"there is no {self._kind} {name!r}{nearest(name, self._members)}"
            ) from None

    def __iter__(self) -> Iterator[str]:
        self._load()
        return iter(sorted(self._members))

    def values(self) -> list[T]:
        """All members, in the order of their names."""
        return [self[name] for name in self]

    def _load(self) -> None:
        if self._loaded:
            return
        package = importlib.import_module(self._package)
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{self._package}.{module.name}")
        self._loaded = True
