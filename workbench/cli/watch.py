"""``workbench watch``: a live server in the terminal, and what the rules say of its last minute."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli.app import app, positive_bytes

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

    from workbench.diagnostics.finding import Finding
    from workbench.experiments.interrupts import Interrupt
    from workbench.experiments.watching import Scene, Watcher

__all__ = ["watch"]


@app.command()
def watch(
    url: Annotated[
        str, typer.Option(envvar="REDIS_STATE_URL", help="The server; any that can be read.")
    ] = "redis://127.0.0.1:6379",
    interval: Annotated[str, typer.Option(help="From one look to the next, such as 1s.")] = "1s",
    limit: Annotated[
        str | None,
        typer.Option(help="Memory of its container, such as 716mb, where it does not show."),
    ] = None,
    seconds: Annotated[
        str | None, typer.Option("--for", help="How long, such as 10m; until Ctrl-C if not given.")
    ] = None,
    once: Annotated[
        bool, typer.Option("--once", help="Look twice, an interval apart; show that, and end.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a look, each on its own line.")
    ] = False,
) -> None:
    """
    Watch a live server, read-only: memory, evictions, the AOF, errors, and what rules find wrong.

    Each look is one INFO and one PING; every five seconds it is all that `workbench doctor` asks,
    and the rules that need no load judge the last minute. Findings change no exit code. Where the
    output is no terminal, it is one line a look. A server that goes away is looked for again.
    Ctrl-C is the end, with exit code 130 as everywhere; the end of --for is 0, or 4 if the server
    did not answer then.

    \b
    Examples:
      workbench watch
      workbench watch --url redis://127.0.0.1:6379 --limit 716mb
      workbench watch --once --json
    """
    from workbench.errors import ServerNotReadyError, UsageError
    from workbench.experiments.interrupts import one_interrupt
    from workbench.state.redaction import redact
    from workbench.units import parse_duration

    interval_s = parse_duration(interval)
    if not 0.2 <= interval_s <= 60:
        raise UsageError(f"--interval is {interval}, outside 200ms to 60s")
    length_s = None if seconds is None else parse_duration(seconds)
    if once and length_s is not None:
        raise UsageError("--once ends by itself: leave out --for, or --once")
    if length_s is not None and not interval_s <= length_s <= 7 * 86_400:
        raise UsageError(f"--for is {seconds}, outside one interval to 7 days")
    limit_bytes = None if limit is None else positive_bytes("--limit", limit)
    with one_interrupt() as interrupt:
        from workbench.experiments.watching import Watcher

        watcher = Watcher(url, interval_s=interval_s, limit_bytes=limit_bytes)
        scenes = _twice(watcher, interval_s) if once else _until(watcher, length_s, interrupt)
        try:
            answered = _show(scenes, watcher, redact(url), as_json=as_json, once=once)
        finally:
            watcher.close()
    if not answered:
        raise ServerNotReadyError(f"{redact(url)} did not answer in the end")


def _until(watcher: "Watcher", length_s: float | None, interrupt: "Interrupt") -> "Iterator[Scene]":
    import time

    ends_s = None if length_s is None else time.monotonic() + length_s

    def wait(pause_s: float) -> None:
        interrupt.check()
        left_s = pause_s if ends_s is None else min(pause_s, ends_s - time.monotonic())
        time.sleep(max(0.0, left_s))

    for scene in watcher.scenes(wait):
        yield scene
        if ends_s is not None and time.monotonic() >= ends_s:
            return


def _twice(watcher: "Watcher", interval_s: float) -> "Iterator[Scene]":
    import time

    watcher.look(judge=True)
    time.sleep(interval_s)
    yield watcher.look(judge=True)


def _show(
    scenes: "Iterator[Scene]", watcher: "Watcher", url: str, *, as_json: bool, once: bool
) -> bool:
    """Show every scene, each in its turn; whether the server answered at the last."""
    from rich.console import Console

    console = Console()
    answered = True
    if as_json or not console.is_terminal or console.is_dumb_terminal:
        for scene in scenes:
            answered = scene.board.answered
            plain = [json.dumps(_plain(scene, watcher))] if as_json else _lines(scene, whole=once)
            for told in plain:
                typer.echo(told)
        return answered

    from rich.live import Live

    events: list[Text] = []
    with Live(console=console, auto_refresh=False) as live:
        for scene in scenes:
            events = [*events, *_events(scene, answered=answered)][-_EVENTS_SHOWN:]
            answered = scene.board.answered
            live.update(_picture(scene, watcher, events, url, console), refresh=True)
    return answered


_EVENTS_SHOWN = 6
_WORDS = {
    "critical": ("CRITICAL", "bold red"),
    "warning": ("WARNING", "yellow"),
    "info": ("NOTE", "dim"),
}
_CHANGED = {
    "new": "new",
    "changed": "changed",
    "cleared": "cleared",
    "untold": "can no longer be told",
}


def _plain(scene: "Scene", watcher: "Watcher") -> dict[str, Any]:
    import msgspec

    limit_bytes, source = watcher.limit
    told: dict[str, Any] = msgspec.to_builtins(scene.board)

    def brief(found: "Finding") -> dict[str, str]:
        return {"rule": found.rule, "severity": found.severity, "says": found.says}

    failing = [{"since_unix_s": each.since_unix_s} | brief(each.finding) for each in scene.standing]
    changes = [
        {"unix_s": each.unix_s, "what": each.what} | brief(each.finding) for each in scene.changes
    ]
    return told | {
        "limit_bytes": limit_bytes,
        "limit_source": source,
        "judged_unix_s": scene.judged_unix_s,
        "judged_s": scene.window_s,
        "failing": failing,
        "changes": changes,
    }


def _lines(scene: "Scene", *, whole: bool) -> Iterator[str]:
    """A look in a line, and below it what changed; of the only look all that fails."""
    from workbench.diagnostics.finding import sentence
    from workbench.telemetry.board import clock, line

    yield line(scene.board)
    if whole:
        for each in scene.standing:
            word, _ = _WORDS[each.finding.severity]
            yield f"{word} {each.finding.rule}: {sentence(each.finding.says)}"
        return
    for change in scene.changes:
        found = change.finding
        word, _ = _WORDS[found.severity]
        yield (
            f"{clock(change.unix_s)}  {_CHANGED[change.what]}: {word} {found.rule}: "
            f"{sentence(found.says)}"
        )


def _picture(
    scene: "Scene", watcher: "Watcher", events: "list[Text]", url: str, console: "Console"
) -> "RenderableType":
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from workbench.telemetry.board import KEPT, bar, clock, head, rows, sparkline

    board = scene.board
    limit_bytes, source = watcher.limit
    shown = rows(watcher.boards, limit_bytes=limit_bytes, limit_source=source)
    bars = 10 if console.width < 100 else 16
    sparks = min(KEPT, console.width - 66) if console.width >= 78 else 0

    title = Table.grid(padding=(0, 2), expand=True)
    title.add_column(ratio=1)
    title.add_column(justify="right")
    style = "bold red" if not board.answered else "bold yellow" if board.restarted else "bold"
    title.add_row(Text(f"{url}  {head(board)}", style), Text(f"{clock(board.unix_s)} UTC", "dim"))

    body = Table.grid(padding=(0, 1), expand=True)
    body.add_column(width=9, style="dim")
    body.add_column(ratio=1)
    if sparks:
        body.add_column(width=sparks, style="blue", no_wrap=True)
    for row in shown:
        text = Text()
        if row.share is not None:
            text.append(bar(row.share, bars), "red" if row.grave else "blue").append(" ")
        style = "dim" if not board.answered else "red" if row.grave else ""
        text.append(row.text, style)
        drawn = sparkline(row.trail, sparks) if row.trail else ""
        body.add_row(row.label, text, *([drawn] if sparks else []))

    room = max(4, console.height - len(shown) - 6)
    return Group(title, Text(), body, Text(), *_findings(scene, events, room))


def _findings(scene: "Scene", events: "list[Text]", room: int) -> "Iterator[RenderableType]":
    """What fails, and what changed, in about so many lines."""
    from rich.table import Table
    from rich.text import Text

    from workbench.diagnostics.finding import sentence
    from workbench.telemetry.board import clock
    from workbench.units import format_duration

    if scene.judged_unix_s is None:
        yield Text("not judged yet", "dim")
        return
    judged = f"{clock(scene.judged_unix_s)}"
    over = f", over {format_duration(scene.window_s)}" if scene.window_s else ""
    notes = [each for each in scene.standing if each.finding.severity == "info"]
    grave = [each for each in scene.standing if each.finding.severity != "info"]
    count = f"{len(grave)} failing" if grave else "no rule fails"
    noted = f", {len(notes)} to note" if notes else ""
    yield Text(f"rules at {judged}{over}: {count}{noted}", "bold red" if grave else "bold")
    told = Table.grid(padding=(0, 1), expand=True)
    told.add_column(width=8, no_wrap=True)
    told.add_column(width=8, style="dim", no_wrap=True)
    told.add_column(ratio=1)
    shown = grave[: max(2, (room - len(events)) // 2)]
    for each in shown:
        word, style = _WORDS[each.finding.severity]
        text = Text.assemble((each.finding.rule, "bold"), ": ", sentence(each.finding.says))
        told.add_row(Text(word, style), clock(each.since_unix_s), text)
    if len(shown) < len(grave):
        told.add_row("", "", Text(f"and {len(grave) - len(shown)} more: workbench doctor", "dim"))
    yield told
    if events:
        yield Text()
        yield from events


def _events(scene: "Scene", *, answered: bool) -> "Iterator[Text]":
    """What happened: the server went, came back or was restarted; findings that changed."""
    from rich.text import Text

    from workbench.telemetry.board import clock

    board, told = scene.board, []
    if answered and not board.answered:
        told.append(("went", "bold red", "the server does not answer"))
    if not answered and board.answered:
        told.append(("back", "green", "the server answers again"))
    if board.restarted:
        told.append(("restart", "yellow", "another process answers: the server was restarted"))
    for change in scene.changes:
        _, style = _WORDS[change.finding.severity]
        style = "green" if change.what == "cleared" else style
        told.append((_CHANGED[change.what], style, change.finding.rule))
    for what, style, text in told:
        yield Text.assemble((f"{clock(board.unix_s)} ", "dim"), (f"{what}: ", style), text)
