"""``workbench state``: look at conversations, in a Redis and in a code base."""

import errno
import json
import time
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli.app import AsJson, app, progress, tell
from workbench.errors import ServerNotReadyError, TargetRefusedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis

    from workbench.inspection.stored import Stored
    from workbench.state.head import Head

__all__ = ["state"]

state = typer.Typer(
    help="Look at conversations, in a Redis and in a code base; masked, and read-only but migrate.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(state, name="state")

_LISTED_MAX = 20
_NOT_MIGRATED = {
    "without a time to live": "have no time to live: give --ttl-s",
    "written meanwhile": "were given a head by another writer meanwhile",
    "gone": "were gone meanwhile",
    "refused": "could not be migrated",
}
_TITLES = {"value_bytes": "bytes", "ttl_s": "lives for", "updates": "last updates"}

Url = Annotated[str, typer.Argument(help="redis://, rediss://, redis+sentinel://…")]
Key = Annotated[
    str, typer.Argument(help="channel:<identifier>; the identifier alone; or #mark, as shown.")
]
ShowValues = Annotated[
    bool, typer.Option("--show-values", help="Show what people wrote; secrets stay hidden.")
]


@state.command()
def show(url: Url, key: Key, show_values: ShowValues = False, as_json: AsJson = False) -> None:
    """
    One conversation: what it is and says.

    Also until when it lives, and which updates wrote it last. Exits 1 if it is damaged, or none.

    \b
    Examples:
      workbench state show redis://localhost:6379 channel:263770000000
      workbench state show redis://localhost:6379 '#3f9a51c2'
    """
    with _client(url) as client:
        stored = _stored(client, key)
    told = _told(stored, show_values=show_values)
    if as_json:
        tell(told)
    else:
        document = told.pop("document")
        told["ttl_s"] = "none" if stored.ttl_s is None else f"{stored.ttl_s:.0f} s"
        told["updates"] = " ".join(told["updates"] or [])
        for name, value in told.items():
            if value not in (None, ""):
                typer.echo(f"{_TITLES.get(name, name):12}  {value}")
        if document is not None:
            typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
    if stored.kind in ("damaged", "no conversation", "too large"):
        raise typer.Exit(1)


@state.command()
def diff(
    url: Url,
    key: Key,
    other: Annotated[str, typer.Argument(help="Another key, or a file with a document.")],
    show_values: ShowValues = False,
    as_json: AsJson = False,
) -> None:
    """
    What differs between two conversations.

    Or between one and a file. Exits 1 if anything does.

    \b
    Examples:
      workbench state diff redis://localhost:6379 channel:1 channel:2
      workbench state diff redis://localhost:6379 channel:1 kept.json
    """
    from workbench.inspection.masked import differences

    with _client(url) as client:
        first = _readable(_stored(client, key), "the first")
        kept = _kept(other)
        second = _readable(kept or _stored(client, other), "the file" if kept else "the second")
    found = differences(first, second, show_values=show_values)
    if as_json:
        tell([{"path": place, "before": a, "after": b} for place, a, b in found])
    for place, before, after in [] if as_json else found:
        same = before == after  # as far as it is shown
        typer.echo(f"{place}: {_line(before)} -> {'another of that' if same else _line(after)}")
    if found:
        raise typer.Exit(1)
    if not as_json:
        typer.echo("the same")


@state.command()
def verify(url: Url, as_json: AsJson = False) -> None:
    """
    How many conversations are sound.

    And which are not, by a mark that `show` takes. Exits 1 if any is damaged.

    \b
    Examples:
      workbench state verify redis://localhost:6379
    """
    from workbench.inspection.masked import masked_key
    from workbench.inspection.stored import KINDS, looked_at, scan

    without_ttl = "without a time to live"
    means = {str(kind): says for kind, says in KINDS.items()} | {without_ttl: ""}
    counts = dict.fromkeys(means, 0)
    keys: dict[str, list[str]] = {name: [] for name in counts}  # the first of each
    with _client(url) as client:
        for batch in scan(client):
            for key, stored in looked_at(client, batch):
                for name in (stored.kind, *([without_ttl] if stored.ttl_s is None else [])):
                    counts[name] += 1
                    if name != "sound" and len(keys[name]) < _LISTED_MAX:
                        keys[name].append(masked_key(key))
            progress(f"{sum(counts[kind] for kind in KINDS):,} looked at")
    if as_json:
        tell({name: {"count": counts[name], "keys": keys[name]} for name in counts})
    else:
        for name, count in counts.items():
            if count or name in ("sound", without_ttl):
                typer.echo(f"{count:>9,}  {name}{': ' if means[name] else ''}{means[name]}")
            for each in keys[name]:
                typer.echo(f"           {each}")
            if 0 < len(keys[name]) < count:
                typer.echo(f"           and {count - len(keys[name]):,} more")
    if counts["damaged"]:
        raise typer.Exit(1)


@state.command()
def tail(
    url: Url,
    pattern: Annotated[str, typer.Argument(help="Keys to watch.")] = "channel:*",
    duration: Annotated[
        float | None,
        typer.Option(min=0.1, help="Stop after so many seconds; default: until Ctrl-C."),
    ] = None,
    interval_s: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks.")] = 1.0,
    keys_max: Annotated[int, typer.Option(min=1, help="Conversations watched at most.")] = 1000,
) -> None:
    """
    Conversations as they change.

    A line for each new revision, with the parts that changed. It looks once an interval, so of
    several revisions in between it tells the last.

    \b
    Examples:
      workbench state tail redis://localhost:6379 --duration 60
    """
    from itertools import chain, islice

    from workbench.inspection.masked import masked_key
    from workbench.inspection.stored import looked_at, scan

    ends_s = None if duration is None else time.monotonic() + duration
    before: dict[bytes, Stored] = {}
    first = True
    with _client(url) as client:
        while ends_s is None or time.monotonic() < ends_s:
            watched = list(islice(chain.from_iterable(scan(client, _bytes(pattern))), keys_max + 1))
            more, watched = len(watched) > keys_max, watched[:keys_max]
            now = dict(looked_at(client, watched))
            if not first:
                for key, stored in now.items():
                    if changed := _changed(before.get(key), stored):
                        typer.echo(f"{time.strftime('%H:%M:%S')}  {masked_key(key)}  {changed}")
                for key in before.keys() - now.keys():
                    typer.echo(f"{time.strftime('%H:%M:%S')}  {masked_key(key)}  is gone")
            else:
                which = f"{len(now):,} conversations{', and more there are' if more else ''}"
                typer.echo(f"watching {which if now else f'{pattern}: no key yet'}", err=True)
            before, first = now, False
            time.sleep(interval_s)


@state.command()
def lint(
    path: Annotated[Path, typer.Argument(help="A Python file, or a folder of them.")],
    as_json: AsJson = False,
) -> None:
    """
    Point at raw access in a code base.

    That is, to conversations past the state manager. Exits 1 if there is any. A call that has
    "# workbench: raw" on one of its lines is left alone. Whether a key that is an argument is a
    conversation's cannot be known: it is pointed at where a client of Redis is given it.

    \b
    Examples:
      workbench state lint ../chat-service
    """
    from workbench.inspection import lint as linting

    try:
        remarks = linting.lint(path)
    except FileNotFoundError as error:
        raise UsageError(str(error)) from None
    if as_json:
        tell([{**asdict(each), "path": str(each.path)} for each in remarks])
    for each in [] if as_json else remarks:
        why = linting.RULES.get(each.rule, "")
        says = f"{why}: {each.says}" if why else each.says
        typer.echo(f"{each.path}:{each.line}:{each.column}: {each.rule}: {says}")
    if remarks:
        raise typer.Exit(1)
    if not as_json:
        typer.echo("no raw access found")


@state.command()
def migrate(
    url: Url,
    write: Annotated[bool, typer.Option("--write", help="Do it; else it is only told.")] = False,
    ttl_s: Annotated[
        float | None, typer.Option(min=1, help="For conversations that have no time to live, s.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """
    Give conversations a head and the schema.

    Those that another service wrote, and those of an older schema, each in one atomic step. Without
    --write nothing is changed. The time to live goes on as it was. Damaged ones, those of a newer
    schema and what is no conversation are left alone. It can be run again.

    \b
    Examples:
      workbench state migrate redis://localhost:6379
      workbench state migrate redis://localhost:6379 --write
    """
    from workbench.inspection.masked import masked_key
    from workbench.inspection.migration import MIGRATED
    from workbench.inspection.migration import migrate as migrated
    from workbench.inspection.stored import looked_at, scan
    from workbench.state import ConflictError, InvalidStateError

    counts = dict.fromkeys(("migrated", "sound", *_NOT_MIGRATED), 0)
    left: dict[str, int] = {}
    with _client(url) as client:
        for batch in scan(client):
            for key, stored in looked_at(client, batch):
                outcome: str = stored.kind
                if stored.kind in MIGRATED and stored.ttl_s is None and ttl_s is None:
                    outcome = "without a time to live"
                elif stored.kind in MIGRATED and not write:
                    outcome = "migrated"
                elif stored.kind in MIGRATED:
                    try:
                        outcome = migrated(client, key, ttl_s=ttl_s)
                    except (ConflictError, InvalidStateError) as error:
                        outcome = "refused"
                        typer.echo(f"{masked_key(key)}: {error}", err=True)
                into = counts if outcome in counts else left
                into[outcome] = into.get(outcome, 0) + 1
    if as_json:
        tell({"written": write, **counts, "left alone": left})
        return
    typer.echo(f"{counts['migrated']:,} {'migrated' if write else 'would be migrated: --write'}")
    typer.echo(f"{counts['sound']:,} need nothing")
    for outcome, says in _NOT_MIGRATED.items():
        if counts[outcome]:
            typer.echo(f"{counts[outcome]:,} {says}")
    for kind, number in left.items():
        typer.echo(f"{number:,} left alone, {kind}: see workbench state verify")


@contextmanager
def _client(url: str) -> "Iterator[Redis]":
    from redis.exceptions import RedisError, ResponseError

    from workbench.state import StateError, connect, redact

    try:
        client = connect(url, timeout_s=5)
    except ValueError as error:
        raise UsageError(f"{redact(url) or 'no URL'}: {error}") from None
    except StateError as error:
        raise ServerNotReadyError(f"{redact(url)}: {error}") from None
    try:
        with client:
            client.ping()
            yield client
    except StateError as error:
        raise ServerNotReadyError(f"{redact(url)}: {error}") from None
    except RedisError as error:
        said = redact(str(error))
        if "NOAUTH" in said or "WRONGPASS" in said or "uthentication" in said:
            raise TargetRefusedError(f"{redact(url)} refuses the login: {said}") from None
        if isinstance(error, ResponseError):
            raise ServerNotReadyError(f"{redact(url)} refuses: {said}") from None
        raise ServerNotReadyError(f"{redact(url)} does not answer: {said}") from None


def _key(client: "Redis", text: str) -> bytes:
    """The key that was meant: whole, by its identifier alone, or by the mark of a masked one."""
    from itertools import chain

    from workbench.inspection.masked import has_mark
    from workbench.inspection.stored import scan
    from workbench.state import redact
    from workbench.state.conversation import CHANNEL_PREFIX

    rest, _, mark = text.rpartition("#")
    if rest in ("", f"{CHANNEL_PREFIX}[redacted]", "[redacted]") and mark and text != mark:
        found = {key for key in chain.from_iterable(scan(client)) if has_mark(key, mark)}
        if len(found) != 1:
            raise UsageError(f"{len(found) or 'no'} conversations have the mark #{mark}")
        return found.pop()
    if text.startswith(CHANNEL_PREFIX) and text != CHANNEL_PREFIX:
        return _bytes(text)
    if "://" in text:
        raise UsageError("the URL comes first, and then the key")
    if not text or ":" in text:
        raise UsageError(
            f"{redact(text) or 'nothing'} is no key of a conversation: it begins with "
            f"{CHANNEL_PREFIX}"
        )
    return _bytes(CHANNEL_PREFIX + text)


def _bytes(word: str) -> bytes:
    """As it was typed, text or not."""
    return word.encode("utf-8", "surrogateescape")


def _stored(client: "Redis", name: str) -> "Stored":
    from workbench.inspection.masked import masked_key
    from workbench.inspection.stored import looked_at

    key = _key(client, name)
    for _, found in looked_at(client, [key]):
        return found
    raise UsageError(
        f"there is no conversation {masked_key(key)}: it has ended, or its key is another"
    )


def _kept(name: str) -> "Stored | None":
    """What the file of that name holds; None if the name is rather that of a key."""
    from workbench.inspection.stored import made_out
    from workbench.state.document import DOCUMENT_BYTES_MAX

    path = Path(name)
    try:
        if path.is_file():
            with path.open("rb") as file:
                return made_out(file.read(DOCUMENT_BYTES_MAX + 2).strip(), -1)
        is_path = path.is_dir() or path.suffix != "" or "/" in name
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise UsageError(f"the file {name} cannot be read: {error.strerror}") from None
        is_path = False
    if is_path:
        raise UsageError(f"there is no file {name}")
    return None


def _readable(stored: "Stored", which: str) -> dict[str, Any]:
    if stored.document is None:
        raise UsageError(f"{which} cannot be compared: {stored.why}")
    return stored.document


def _told(stored: "Stored", *, show_values: bool) -> dict[str, Any]:
    from workbench.inspection.masked import masked

    head = stored.head
    document = stored.document
    return {
        "kind": stored.kind,
        "why": stored.why,
        "revision": None if head is None else head.revision,
        "updates": None if head is None else _updates(head),
        "value_bytes": stored.value_bytes,
        "ttl_s": stored.ttl_s,
        "document": None if document is None else masked(document, show_values=show_values),
    }


def _updates(head: "Head") -> list[str]:
    """The names of the last ones, newest first, as many as there were."""
    return [name.decode() for name in head.names[: head.revision]]


def _changed(before: "Stored | None", now: "Stored") -> str:
    from workbench.inspection.masked import masked_name

    if before is None:
        return f"is new, {now.kind}"
    if now.document is None or before.document is None:
        unchanged = (before.kind, before.value_bytes) == (now.kind, now.value_bytes)
        return "" if unchanged else f"is {now.kind}"
    if now.head == before.head and now.document == before.document:
        return ""
    parts = [
        masked_name(name)
        for name in {**before.document, **now.document}
        if before.document.get(name) != now.document.get(name) and not name.startswith("_")
    ]
    revision = "without a head" if now.head is None else f"revision {now.head.revision}"
    return f"{revision}: {', '.join(parts) or 'nothing but its times'}"


def _line(value: Any) -> str:
    from workbench.inspection.masked import NOTHING

    return value if value == NOTHING else json.dumps(value, ensure_ascii=False)
