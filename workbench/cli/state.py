"""``workbench state``: look at conversations, in a Redis and in a code base."""

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

__all__ = ["state"]

state = typer.Typer(
    help="Look at conversations, in a Redis and in a code base; masked, and read-only but migrate.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(state, name="state")

Url = Annotated[str, typer.Argument(help="redis://, rediss://, redis+sentinel://…")]
Key = Annotated[str, typer.Argument(help="channel:<identifier>; or the identifier alone.")]
ShowValues = Annotated[
    bool, typer.Option("--show-values", help="Show what people wrote; secrets stay hidden.")
]


@state.command()
def show(url: Url, key: Key, show_values: ShowValues = False, as_json: AsJson = False) -> None:
    """
    One conversation: what it is, until when it lives, and its document.

    \b
    Examples:
      workbench state show redis://localhost:6379 channel:263770000000
    """
    with _client(url) as client:
        stored = _stored(client, _key(key))
    told = _told(stored, show_values=show_values)
    if as_json:
        tell(told)
        return
    document = told.pop("document")
    for name, value in told.items():
        if value not in (None, ""):
            typer.echo(f"{name.replace('_', ' '):12}  {value}")
    if document is not None:
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False))


@state.command()
def diff(
    url: Url,
    key: Key,
    other: Annotated[str, typer.Argument(help="Another key, or a file with a document.")],
    show_values: ShowValues = False,
    as_json: AsJson = False,
) -> None:
    """
    What differs between a conversation and another one, or a file. Exits 1 if anything does.

    \b
    Examples:
      workbench state diff redis://localhost:6379 channel:1 channel:2
      workbench state diff redis://localhost:6379 channel:1 kept.json
    """
    from workbench.inspection.masked import differences
    from workbench.inspection.stored import made_out

    with _client(url) as client:
        first = _readable(_stored(client, _key(key)), key)
        path = Path(other)
        if path.is_file():
            second = _readable(made_out(path.read_bytes().strip(), -1), other)
        else:
            second = _readable(_stored(client, _key(other)), other)
    found = differences(first, second, show_values=show_values)
    if as_json:
        tell([{"path": place, "before": a, "after": b} for place, a, b in found])
    for place, before, after in [] if as_json else found:
        typer.echo(f"{place}: {_line(before)} -> {_line(after)}")
    if found:
        raise typer.Exit(1)
    if not as_json:
        typer.echo("the same")


@state.command()
def verify(url: Url, as_json: AsJson = False) -> None:
    """
    Every conversation: how many are sound, and which are not. Exits 1 if any is damaged.

    \b
    Examples:
      workbench state verify redis://localhost:6379
    """
    from workbench.inspection.masked import masked_key
    from workbench.inspection.stored import KINDS, looked_at, scan

    keys: dict[str, list[str]] = {kind: [] for kind in KINDS}
    without_ttl: list[str] = []
    with _client(url) as client:
        for batch in scan(client):
            for key, stored in looked_at(client, batch).items():
                keys[stored.kind].append(masked_key(key))
                if stored.ttl_s is None:
                    without_ttl.append(masked_key(key))
            progress(f"{sum(map(len, keys.values())):,} looked at")
    if as_json:
        found = {**keys, "without a time to live": without_ttl}
        tell(
            {k: {"count": len(v), "keys": [] if k == "sound" else v[:20]} for k, v in found.items()}
        )
    else:
        for kind, means in KINDS.items():
            if keys[kind] or kind == "sound":
                typer.echo(f"{len(keys[kind]):>9,}  {kind}: {means}")
            if kind != "sound":
                _list(keys[kind])
        typer.echo(f"{len(without_ttl):>9,}  without a time to live")
        _list(without_ttl)
    if keys["damaged"]:
        raise typer.Exit(1)


@state.command()
def tail(
    url: Url,
    pattern: Annotated[str, typer.Argument(help="Keys to watch.")] = "channel:*",
    duration: Annotated[
        float | None, typer.Option(help="Stop after so many seconds; default: until Ctrl-C.")
    ] = None,
    interval_s: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks.")] = 1.0,
    keys_max: Annotated[int, typer.Option(min=1, help="Conversations watched at most.")] = 1000,
) -> None:
    """
    Conversations as they change: a line for each new revision, with the parts that changed.

    It looks once an interval, so of several revisions in between it tells the last.

    \b
    Examples:
      workbench state tail redis://localhost:6379 --duration 60
    """
    from itertools import chain, islice

    from workbench.inspection.masked import masked_key
    from workbench.inspection.stored import looked_at, scan

    ends_s = None if duration is None else time.monotonic() + duration
    before: dict[str, Stored] = {}
    first = True
    with _client(url) as client:
        while ends_s is None or time.monotonic() < ends_s:
            watched = list(islice(chain.from_iterable(scan(client, pattern)), keys_max))
            now = looked_at(client, watched) if watched else {}
            if not first:
                for key, stored in now.items():
                    if changed := _changed(before.get(key), stored):
                        typer.echo(f"{time.strftime('%H:%M:%S')}  {masked_key(key)}  {changed}")
                for key in before.keys() - now.keys():
                    typer.echo(f"{time.strftime('%H:%M:%S')}  {masked_key(key)}  is gone")
            else:
                progress(f"watching {len(now):,} conversations")
            before, first = now, False
            time.sleep(interval_s)


@state.command()
def lint(
    path: Annotated[Path, typer.Argument(help="A Python file, or a folder of them.")],
    as_json: AsJson = False,
) -> None:
    """
    Point at raw access to conversations in a code base. Exits 1 if there is any.

    A line that ends in "# workbench: raw" is left alone.

    \b
    Examples:
      workbench state lint ../chat-service
    """
    from workbench.inspection import lint as linting

    try:
        remarks = linting.lint(path)
    except FileNotFoundError:
        raise UsageError(f"there is no {path}") from None
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
        float | None, typer.Option(help="For conversations that have no time to live, s.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """
    Give conversations without a head one, and the present schema; each in one atomic step.

    Without --write nothing is changed. Each keeps the time to live that it has left. Damaged ones,
    those of a newer schema and what is no conversation are left alone. It can be run again.

    \b
    Examples:
      workbench state migrate redis://localhost:6379
      workbench state migrate redis://localhost:6379 --write
    """
    from workbench.inspection.masked import masked_key
    from workbench.inspection.stored import looked_at, scan
    from workbench.state import RedisAtomic, StateError

    counts = dict.fromkeys(("migrated", "left alone", "without a time to live", "gone"), 0)
    with _client(url) as client:
        atomic = RedisAtomic(client)
        for batch in scan(client):
            for key, stored in looked_at(client, batch).items():
                lives_s = stored.ttl_s if stored.ttl_s is not None else ttl_s
                if stored.kind != "headless":
                    counts["left alone"] += stored.kind != "sound"
                elif lives_s is None:
                    counts["without a time to live"] += 1
                elif not write:
                    counts["migrated"] += 1
                else:
                    try:
                        atomic.update(key, dict, ttl_s=max(0.001, lives_s))
                    except StateError as error:
                        counts["gone"] += 1
                        typer.echo(f"{masked_key(key)}: {error}", err=True)
                    else:
                        counts["migrated"] += 1
    if as_json:
        tell({"written": write, **counts})
        return
    typer.echo(f"{counts['migrated']:,} {'migrated' if write else 'would be migrated: --write'}")
    typer.echo(f"{counts['left alone']:,} left alone: see workbench state verify")
    if counts["without a time to live"]:
        typer.echo(f"{counts['without a time to live']:,} have no time to live: give --ttl-s")
    if counts["gone"]:
        typer.echo(f"{counts['gone']:,} were gone or refused meanwhile")


@contextmanager
def _client(url: str) -> "Iterator[Redis]":
    from redis.exceptions import RedisError

    from workbench.state import StateError, connect, redact

    try:
        client = connect(url, timeout_s=5)
    except ValueError as error:
        raise UsageError(f"{redact(url)}: {error}") from None
    except StateError as error:
        raise ServerNotReadyError(f"{redact(url)}: {error}") from None
    try:
        with client:
            client.ping()
            yield client
    except RedisError as error:
        said = redact(str(error))
        if "NOAUTH" in said or "WRONGPASS" in said or "uthentication" in said:
            raise TargetRefusedError(f"{redact(url)} refuses the login: {said}") from None
        raise ServerNotReadyError(f"{redact(url)} does not answer: {said}") from None


def _key(text: str) -> str:
    from workbench.inspection.stored import PREFIX

    return text if text.startswith(PREFIX) else PREFIX + text


def _stored(client: "Redis", key: str) -> "Stored":
    from workbench.inspection.masked import masked_key
    from workbench.inspection.stored import looked_at

    found = looked_at(client, [key])
    if key not in found:
        raise UsageError(
            f"there is no conversation {masked_key(key)}: it has ended, or its key is another"
        )
    return found[key]


def _readable(stored: "Stored", name: str) -> dict[str, Any]:
    from workbench.state import redact

    if stored.document is None:
        raise UsageError(f"{redact(name)} cannot be compared: {stored.why}")
    return stored.document


def _told(stored: "Stored", *, show_values: bool) -> dict[str, Any]:
    from workbench.inspection.masked import masked

    head = stored.head
    document = stored.document
    return {
        "kind": stored.kind,
        "why": stored.why,
        "revision": None if head is None else head.revision,
        "updates": None if head is None else [name.decode() for name in head.names],
        "value_bytes": stored.value_bytes,
        "ttl_s": stored.ttl_s,
        "document": None if document is None else masked(document, show_values=show_values),
    }


def _changed(before: "Stored | None", now: "Stored") -> str:
    if before is None:
        return f"is new, {now.kind}"
    if now.document is None or before.document is None:
        return "" if now == before else f"is {now.kind}"
    if now.head == before.head and now.document == before.document:
        return ""
    parts = [
        name
        for name in {**before.document, **now.document}
        if before.document.get(name) != now.document.get(name) and not name.startswith("_")
    ]
    revision = "without a head" if now.head is None else f"revision {now.head.revision}"
    return f"{revision}: {', '.join(parts) or 'nothing but its times'}"


def _line(value: Any) -> str:
    return "(nothing)" if value is None else json.dumps(value, ensure_ascii=False)


def _list(keys: list[str]) -> None:
    for key in keys[:20]:
        typer.echo(f"           {key}")
    if len(keys) > 20:
        typer.echo(f"           and {len(keys) - 20:,} more")
