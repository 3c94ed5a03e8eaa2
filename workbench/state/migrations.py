"""
From an older schema of the document to the present one: ordered, pure, one step a version.

The step at place ``n`` takes a document of schema ``n`` to schema ``n + 1``. Steps are never
changed once they were released: documents of every age may lie in a store. A step is given the
document alone, no clock and no store, so that every service of a fleet makes the same of it.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from workbench.state.errors import InvalidStateError

__all__ = ["MIGRATIONS", "SCHEMA", "from_origin", "migrated"]

Migration = Callable[[dict[str, Any]], dict[str, Any]]


def from_origin(document: dict[str, Any]) -> dict[str, Any]:
    """
    A document of the service that this state manager follows on, which wrote no version.

    It counted attempts in the memory of its processes and wrote the last count as a number, where
    the documented structure has a map by operation; it lost ``initialized_at`` at the first update.
    It does so to a document of ours as well, and leaves our version in it. What has our form stays
    as it is.
    """
    tracked = document.get("_validation")
    tracked = tracked if isinstance(tracked, dict) else {}
    metadata = _map(document.get("_metadata"))
    messages = metadata.get("messages", [])
    if not (isinstance(messages, list) and all(isinstance(each, str) for each in messages)):
        metadata = {name: value for name, value in metadata.items() if name != "messages"}
    after = {
        **document,
        "_metadata": metadata,
        "_validation": {
            **tracked,
            "in_progress": bool(tracked.get("in_progress", False)),
            "attempts": _map(tracked.get("attempts")),
            "last_attempt": _map(tracked.get("last_attempt")),
        },
    }
    flow = document.get("flow_data")
    if isinstance(flow, dict) and flow:
        after["flow_data"] = {
            **flow,
            "context": flow["context"] if isinstance(flow.get("context"), str) else "",
            "component": flow["component"] if isinstance(flow.get("component"), str) else "",
            "data": _map(flow.get("data")),
            "validation": _flow_validation(flow.get("validation")),
        }
    elif flow is not None:
        del after["flow_data"]
    return after


def _flow_validation(found: Any) -> dict[str, Any]:
    found = found if isinstance(found, dict) else {}
    attempts, last = found.get("attempts"), found.get("last_attempt")
    return {
        **found,
        "in_progress": bool(found.get("in_progress", False)),
        "attempts": attempts if type(attempts) is int else 0,
        "last_attempt": last if isinstance(last, str) else None,
    }


def _map(found: Any) -> dict[str, Any]:
    return found if isinstance(found, dict) else {}


MIGRATIONS: Final[Sequence[Migration]] = (from_origin,)

SCHEMA: Final = len(MIGRATIONS)
"""Version of the document's shape, stored in its part ``schema``."""


def migrated(
    document: dict[str, Any], migrations: Sequence[Migration] = MIGRATIONS
) -> dict[str, Any]:
    """
    The document in the present schema; it is itself if it has that already.

    Raises:
        InvalidStateError: its version is not one of a number, or below 0.
    """
    version = document.get("schema", 0)
    if type(version) is not int or version < 0:
        raise InvalidStateError("schema: it is not a version number", path="schema")
    for number in range(version, len(migrations)):
        document = {**migrations[number](document), "schema": number + 1}
    return document
