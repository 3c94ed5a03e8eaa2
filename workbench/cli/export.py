"""``workbench export``: tell a monitoring system how a server fares."""

import re
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli.app import app, positive_bytes
from workbench.errors import UsageError, nearest

if TYPE_CHECKING:
    from workbench.experiments.interrupts import Interrupt
    from workbench.telemetry.export import Observer

__all__ = ["export"]

_TARGETS = ("prometheus", "emf", "cloudwatch")
_LISTEN = "127.0.0.1:9121"
_INTERVAL = "60s"

Url = Annotated[str, typer.Option(envvar="REDIS_STATE_URL", help="The server.")]
Limit = Annotated[
    str | None, typer.Option(help="Memory of its container, such as 716mb, where it does not show.")
]


@app.command()
def export(
    to: Annotated[str, typer.Option(help="For whom: prometheus, emf or cloudwatch.")],
    url: Url = "redis://127.0.0.1:6379",
    listen: Annotated[
        str | None, typer.Option(help=f"prometheus: where scrapes go to; default: {_LISTEN}.")
    ] = None,
    interval: Annotated[
        str | None,
        typer.Option(help=f"emf, cloudwatch: from one look to the next; default: {_INTERVAL}."),
    ] = None,
    namespace: Annotated[
        str | None, typer.Option(help="emf, cloudwatch: of the metrics; default: RedisFlow.")
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            help="emf, cloudwatch: what the server is called there; default: its host:port."
        ),
    ] = None,
    region: Annotated[
        str | None, typer.Option(help="cloudwatch: of AWS; default: as the environment says.")
    ] = None,
    endpoint_url: Annotated[
        str | None, typer.Option(help="cloudwatch: another address than AWS's own.")
    ] = None,
    limit: Limit = None,
    keys: Annotated[
        int, typer.Option(help="How many keys each look samples, by SCAN in slices; 0 for none.")
    ] = 0,
    commands: Annotated[
        bool, typer.Option(help="Also figures for each command, as of its latency.")
    ] = True,
    once: Annotated[
        bool, typer.Option("--once", help="Take one look, print or send it, and end.")
    ] = False,
) -> None:
    """
    Tell a monitoring system how a server fares, until Ctrl-C; read-only.

    A look is INFO and CONFIG GET of two settings, and with --keys also SCAN, PTTL, MEMORY
    USAGE and OBJECT IDLETIME. What the server does not tell is left out, and never 0.

    \b
    Examples:
      workbench export --to prometheus --url redis://127.0.0.1:6379 --limit 716mb
      workbench export --to emf --interval 30s --name redis-state
      workbench export --to prometheus --once
    """
    from workbench.experiments.interrupts import one_interrupt
    from workbench.server.guard import parse_target
    from workbench.telemetry.export import Observer

    if to not in _TARGETS:
        raise UsageError(f"--to {to!r} is not known{nearest(to, _TARGETS)}")
    _refuse_idle(
        to,
        {"--listen": listen},
        {"--interval": interval, "--namespace": namespace, "--name": name},
        {"--region": region, "--endpoint-url": endpoint_url},
    )
    if not 0 <= keys <= 10_000:
        raise UsageError(f"--keys is {keys}, outside 0 to 10000: each look samples so many")
    host, port = _address(listen or _LISTEN)
    interval_s = _interval_s(interval or _INTERVAL)
    parts = parse_target(url)
    _refuse_namespace(namespace)
    server = name or f"{parts.hostname}:{parts.port or 6379}"
    if not server.isascii() or not 0 < len(server.strip()) <= 256:
        raise UsageError("--name is empty, no ASCII, or longer than 256 characters")
    limit_bytes = None if limit is None else positive_bytes("--limit", limit)
    observer = Observer(url, say=_say, keys=keys, limit_bytes=limit_bytes)
    try:
        with one_interrupt() as interrupt:
            if to == "prometheus":
                _to_prometheus(observer, host, port, interrupt, by_command=commands, once=once)
                return
            send = _sender(
                to,
                observer,
                namespace=namespace,
                server=server,
                region=region,
                endpoint_url=endpoint_url,
                by_command=commands,
                high_resolution=interval_s < 60,
            )
            _go_on(send, interval_s, interrupt, once=once)
    finally:
        observer.close()


def _say(text: str) -> None:
    typer.echo(f"workbench export: {text}", err=True)


def _refuse_idle(
    to: str,
    of_prometheus: dict[str, str | None],
    of_both: dict[str, str | None],
    of_cloudwatch: dict[str, str | None],
) -> None:
    """An option that would do nothing was meant for something else."""
    idle: dict[str, str | None] = {} if to == "prometheus" else of_prometheus
    if to == "prometheus":
        idle = idle | of_both
    if to != "cloudwatch":
        idle = idle | of_cloudwatch
    for option, value in idle.items():
        if value is not None:
            raise UsageError(f"{option} does nothing with --to {to}; leave one of them out")


def _refuse_namespace(namespace: str | None) -> None:
    if namespace is None:
        return
    if namespace.startswith("AWS/") or not re.fullmatch(r"[\w.\-/#:]{1,255}", namespace, re.ASCII):
        raise UsageError(
            f"--namespace {namespace!r} is none that CloudWatch takes: letters, digits and "
            ". - _ / # : and no AWS/ at its beginning; such as RedisFlow"
        )


def _address(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdecimal() or int(port) > 65_535:
        raise UsageError(f"--listen {listen!r} is not an address with its port; write {_LISTEN}")
    return host, int(port)


def _interval_s(interval: str) -> float:
    from workbench.units import parse_duration

    interval_s = parse_duration(interval)
    if not 1 <= interval_s <= 3600:
        raise UsageError(f"--interval is {interval}, outside 1s to 1h")
    return interval_s


def _to_prometheus(
    observer: "Observer",
    host: str,
    port: int,
    interrupt: "Interrupt",
    *,
    by_command: bool,
    once: bool,
) -> None:
    from workbench.telemetry.export import exposition, serve_prometheus

    if once:
        text = exposition(observer, by_command=by_command)
        typer.echo(text, nl=False)
        if "redis_flow_up 1.0" not in text.splitlines():
            raise typer.Exit(4)
        return
    with serve_prometheus(observer, host, port, by_command=by_command) as address:
        typer.echo(address)
        sys.stdout.flush()
        while True:
            interrupt.check()
            time.sleep(0.2)


def _sender(
    to: str,
    observer: "Observer",
    *,
    namespace: str | None,
    server: str,
    region: str | None,
    endpoint_url: str | None,
    by_command: bool,
    high_resolution: bool,
) -> Callable[[], bool]:
    """What takes a look and passes it on; True if there was something to tell, and it was taken."""
    from workbench.telemetry.cloudwatch import CloudWatch, SendError, data, emf_lines
    from workbench.telemetry.export import Increases
    from workbench.telemetry.metrics import NAMESPACE

    namespace = namespace or NAMESPACE
    increases = Increases()
    cloudwatch = (
        CloudWatch(namespace=namespace, region=region, endpoint_url=endpoint_url)
        if to == "cloudwatch"
        else None
    )
    if cloudwatch is not None:
        observer.unsent = 0

    def send() -> bool:
        unix_s = time.time()
        reading = observer.read()
        found = [
            each
            for each in increases.since_taken(reading)
            if by_command or "command" not in each.metric.labels
        ]
        if cloudwatch is None:
            for line in emf_lines(
                found,
                namespace=namespace,
                server=server,
                unix_s=unix_s,
                high_resolution=high_resolution,
            ):
                typer.echo(line)
            sys.stdout.flush()
            increases.taken()
            return reading.info is not None
        made = data(found, server=server, unix_s=unix_s, high_resolution=high_resolution)
        try:
            cloudwatch.send(made)
        except SendError as error:
            observer.unsent = (observer.unsent or 0) + 1
            _say(f"{error} ({observer.unsent} times)")
            return False
        increases.taken()
        return reading.info is not None

    return send


def _go_on(
    send: Callable[[], bool], interval_s: float, interrupt: "Interrupt", *, once: bool
) -> None:
    due_s = time.monotonic()
    while True:
        done = send()
        if once:
            raise typer.Exit(0 if done else 4)
        # One that is late does not push back the next; those that were missed are left out.
        due_s = max(due_s + interval_s, time.monotonic())
        while (left_s := due_s - time.monotonic()) > 0:
            interrupt.check()
            time.sleep(min(0.2, left_s))
