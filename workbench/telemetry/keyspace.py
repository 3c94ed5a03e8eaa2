"""
The setting that has a server tell which keys it takes away, changed for a time and put back.

This is the one place of the room that changes anything on a server. What was changed is written
down in the run directory first, so that whoever comes next can put it back: the ledger itself, the
conductor if the ledger was killed, the next ledger of that server if both were.
"""

from pathlib import Path
from typing import Any, Final

import msgspec
from redis import Redis
from redis.exceptions import NoPermissionError, ResponseError

from workbench.runs.files import write_json
from workbench.state import redact

__all__ = [
    "ACL_RULES",
    "CHANNELS",
    "NOTE",
    "Note",
    "ask_for_events",
    "left_behind",
    "notes_of",
    "put_back",
    "refusal",
]

CHANNELS: Final = ("__keyevent@*__:evicted", "__keyevent@*__:expired")
"""The patterns that are subscribed to: of all databases, since INFO counts all of them."""

ACL_RULES: Final = "+info +ping +config|get +config|set +psubscribe " + " ".join(
    f"&{channel}" for channel in CHANNELS
)
"""What a user must be allowed to do for it."""

NOTE: Final = "keyspace-events.json"
"""In the run directory as long as the setting is changed."""

_SETTING: Final = "notify-keyspace-events"
_NEEDED: Final = "Eex"  # events by name of the event, of keys that were evicted, that expired
_ALL: Final = "g$lshzxetd"  # what the server takes A for


class Note(msgspec.Struct, frozen=True):
    """
    What was changed.

    Attributes:
        url: of the server, without its password.
        before: the setting as it was.
        during: as it was set.
    """

    url: str
    before: str
    during: str


def refusal(client: Redis) -> str:
    """
    Why the events of a server cannot be had; empty if they can.

    Sets the setting to what it is, which changes nothing, to learn whether that is allowed.
    """
    try:
        before = _read(client)
        if before is None:
            return ""
        if _letters(before) < _letters(_with_needed(before)):
            client.config_set(_SETTING, before)
        asking: Any = client
        with asking.pubsub() as pubsub:
            pubsub.psubscribe(*CHANNELS)
            for _ in CHANNELS:
                pubsub.get_message(timeout=2.0)
    except NoPermissionError as error:
        return f"its user may not: {error}"
    except ResponseError as error:
        return str(error)
    return ""


def ask_for_events(client: Redis, note: Path, url: str) -> str:
    """
    Have the server tell of keys that it takes away, if it does not already.

    Args:
        client: of the server.
        note: where it is written down what was changed.
        url: of the server.

    Returns:
        what was done, in words.
    """
    before = _read(client)
    if before is None:
        return f"{_SETTING} cannot be read here; whether events come, the windows will tell"
    during = _with_needed(before)
    if _letters(before) == _letters(during):
        return f"{_SETTING} is {before!r}, which is enough: it was not changed"
    write_json(note, Note(redact(url), before, during))
    client.config_set(_SETTING, during)
    return f"{_SETTING} was {before!r} and is {during!r} for now"


def put_back(client: Redis, note: Path) -> str:
    """
    Put the setting back as the note says, and remove the note.

    What somebody else has set meanwhile is theirs, and stays.

    Returns:
        what was done, in words; empty if there is no note.

    Raises:
        RedisError: the server does not answer; the note stays.
    """
    try:
        noted = msgspec.json.decode(note.read_bytes(), type=Note)
    except FileNotFoundError:
        return ""
    except (msgspec.DecodeError, UnicodeDecodeError):
        return f"{note} is damaged: look at {_SETTING} yourself"
    now = _read(client) or ""
    if _letters(now) == _letters(noted.during):
        client.config_set(_SETTING, noted.before)
        done = f"{_SETTING} is {noted.before!r} again"
    elif _letters(now) == _letters(noted.before):
        done = f"{_SETTING} is {now!r}, as it was: the server was restarted, or somebody set it"
    else:
        done = (
            f"{_SETTING} is {now!r}, which somebody else set meanwhile, and was left so; it was "
            f"{noted.before!r} before the ledger"
        )
    note.unlink(missing_ok=True)
    return done


def notes_of(url: str, runs: Path) -> list[Path]:
    """The notes that runs in the folder have of this server, such as a killed one left behind."""
    found = []
    for path in sorted(runs.glob(f"*/{NOTE}")):
        try:
            noted = msgspec.json.decode(path.read_bytes(), type=Note)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            continue
        if noted.url == redact(url):
            found.append(path)
    return found


def left_behind(note: Path) -> str:
    """What is to be done by hand, in words."""
    noted = msgspec.json.decode(note.read_bytes(), type=Note)
    return (
        f"{_SETTING} of {noted.url} was left at {noted.during!r}; put it back with: redis-cli "
        f"CONFIG SET {_SETTING} {noted.before!r}"
    )


def _read(client: Redis) -> str | None:
    """The setting; None where CONFIG is not there, as on a managed server."""
    try:
        answer: dict[Any, Any] = client.config_get(_SETTING)
    except NoPermissionError:
        raise
    except ResponseError as error:
        if "unknown command" in str(error).lower():
            return None
        raise
    value = answer.get(_SETTING)
    return None if value is None else str(value)


def _with_needed(before: str) -> str:
    return before + "".join(each for each in _NEEDED if each not in _letters(before))


def _letters(setting: str) -> frozenset[str]:
    """The server spells a setting in an order of its own, and A for all kinds of events."""
    return frozenset(setting.replace("A", _ALL))
