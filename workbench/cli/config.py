"""``workbench config``: an experiment, the documented servers, and yours beside them."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from workbench.cli.app import AsJson, app, tell
from workbench.cli.run import (
    ClosedLoop,
    Duration,
    Engine,
    ExperimentName,
    Maxmemory,
    Profile,
    Rate,
    Seed,
    TaskMemory,
    Users,
    chosen_experiment,
)
from workbench.errors import UsageError

if TYPE_CHECKING:
    from workbench.server.checking import Check, Note
    from workbench.server.renderings import Documented
    from workbench.server.settings import Difference

__all__ = ["config"]

config = typer.Typer(
    help="What a run would be, how the documents set a server, and how yours differs.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(config, name="config")

_Documented = Annotated[
    str | None, typer.Option("--profile", help="Documented settings: development or production.")
]
_Memory = Annotated[
    str | None,
    typer.Option(
        "--task-memory",
        help="Memory of the ECS task, MiB as in ECS (2048) or with a unit (2gb): production's cap "
        "is a share of it.",
    ),
]
_WIDTH: Final = 96


@config.command()
def experiment(
    experiment: ExperimentName = "demo",
    duration: Duration = None,
    rate: Rate = None,
    users: Users = None,
    closed_loop: ClosedLoop = False,
    maxmemory: Maxmemory = None,
    profile: Profile = None,
    task_memory: TaskMemory = None,
    engine: Engine = None,
    seed: Seed = None,
    as_json: AsJson = False,
) -> None:
    """
    What a run would be; starts nothing.

    With every default filled in: an experiment's file, which `workbench run` takes. Comments tell
    the server program that would be started, and its redis.conf.

    \b
    Examples:
      workbench config experiment
      workbench config experiment demo --profile production --task-memory 2gb --json
    """
    from dataclasses import asdict

    from workbench.checkout import experiments_dir, runs_dir
    from workbench.experiments.spec import experiment_toml
    from workbench.server.binary import find_binary

    chosen = chosen_experiment(
        experiment, duration, rate, users, closed_loop, maxmemory, profile, task_memory, seed
    )
    binary = find_binary(engine)
    directives = chosen.profile().directives()
    if as_json:
        tell(
            {
                "experiment": asdict(chosen),
                "server": asdict(binary) | {"path": str(binary.path)},
                "redis.conf": directives,
                "runs": str(runs_dir()),
                "experiments": sorted(path.stem for path in experiments_dir().glob("*.toml")),
            }
        )
        return
    typer.echo(experiment_toml(chosen))
    typer.echo(f"# {binary.label}, {binary.found}: {binary.path}")
    for difference in binary.differences():
        typer.echo(f"#   differs from redis:7.0: {difference}")
    typer.echo("#\n# redis.conf")
    for name, value in directives.items():
        typer.echo(f"#   {name} {value}")
    typer.echo(f"#\n# runs are kept in {runs_dir()}")


@config.command()
def show(
    profile: _Documented = "development",
    task_memory: _Memory = None,
    form: Annotated[
        str, typer.Option("--format", help="conf, argv, compose, ecs or terraform.")
    ] = "conf",
) -> None:
    """
    The documented settings, exactly.

    As a redis.conf, a command line, a Compose service, an ECS container definition, or a task
    definition for Terraform. Where a documented setting does nothing or costs something, a comment
    says so.

    \b
    Examples:
      workbench config show
      workbench config show --profile production --task-memory 2048 --format terraform
    """
    from workbench.server.renderings import render

    typer.echo(render(_documented(profile or "development", task_memory), form), nl=False)


@config.command()
def check(
    file: Annotated[
        Path | None,
        typer.Argument(help="A redis.conf, a Compose file, an ECS definition, or a command line."),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(
            help="A server that runs, by CONFIG GET alone; without FILE also from REDIS_STATE_URL."
        ),
    ] = None,
    service: Annotated[
        str | None, typer.Option(help="Which service of Compose, or container of ECS.")
    ] = None,
    profile: _Documented = None,
    task_memory: _Memory = None,
    engine: Engine = None,
    as_json: AsJson = False,
) -> None:
    """
    What differs from the documented settings.

    What that means for conversations, and which settings have no effect. A file is read by a real
    server, started in an empty folder without what reaches outside it. Without --profile an ECS
    definition is held against production, all else against development.

    \b
    Examples:
      workbench config check redis.conf
      workbench config check docker-compose.yml --service redis-state
      workbench config check --url redis://127.0.0.1:6379 --profile production --task-memory 2048
    """
    import os

    from workbench.experiments.interrupts import one_interrupt
    from workbench.server.binary import find_binary
    from workbench.server.checking import check_configuration, check_server
    from workbench.server.configuration import read_configuration

    if file is not None and url is not None:
        raise UsageError("FILE and --url name two servers; leave one of them out")
    if url is not None and service is not None:
        raise UsageError("--service is for a file; leave it out, or name the file")
    read = None if file is None else read_configuration(file, service=service)
    running = None if file is not None else url or os.environ.get("REDIS_STATE_URL")
    kind = "" if read is None else read.kind
    chosen = _documented(profile or ("production" if kind == "ecs" else "development"), task_memory)
    if read is None and running is None:
        raise UsageError("there is nothing to check: name a file, or a server by --url")
    binary = find_binary(engine)
    with one_interrupt():
        if read is not None:
            found = check_configuration(read, chosen.profile, binary)
        else:
            found = check_server(running or "", chosen.profile, binary)
        host = _host(found, running)
    if as_json:
        tell(_told(found, chosen, host))
    else:
        _print(found, chosen, host)
    raise typer.Exit(_exit_code(found, host))


def _documented(name: str, task_memory: str | None) -> "Documented":
    from workbench.server.renderings import documented
    from workbench.units import MIB, parse_bytes

    memory_mib = None
    if task_memory is not None:
        plain = task_memory.strip().isdecimal()  # ECS's own unit
        memory_mib = int(task_memory) if plain else parse_bytes(task_memory) // MIB
    return documented(name, task_memory_mib=memory_mib)


def _host(found: "Check", url: str | None) -> dict[str, Any]:
    """Whether this host grants the fork that the server needs; for a far server it is not known."""
    import tempfile

    if url is not None and not _is_here(url):
        says, advice = "the server's host is not this one", "look at vm.overcommit_memory there"
        return {"verdict": "unknown", "says": says, "advice": advice, "warnings": []}
    if found.config.get("appendonly") == "no" and found.config.get("save") == "":
        says = "the server keeps neither an AOF nor snapshots, so it does not fork"
        return {"verdict": "not applicable", "says": says, "advice": "", "warnings": []}
    from workbench.diagnostics.overcommit import fork_judgement
    from workbench.telemetry.host import describe_host

    cap = int(found.config.get("maxmemory") or 0)
    judged = fork_judgement(describe_host(Path(tempfile.gettempdir())), float(cap) if cap else None)
    return {
        "verdict": judged.verdict,
        "says": judged.says,
        "advice": judged.advice,
        "warnings": list(found.warnings),
        **judged.evidence,
    }


def _is_here(url: str) -> bool:
    import ipaddress
    import socket
    from urllib.parse import urlsplit

    try:
        found = socket.getaddrinfo(urlsplit(url).hostname, None, type=socket.SOCK_STREAM)
        return all(ipaddress.ip_address(str(each[4][0])).is_loopback for each in found)
    except (OSError, ValueError):
        return False


def _exit_code(found: "Check", host: dict[str, Any]) -> int:
    # A file may be for another host than this one.
    grave = found.kind == "server" and host["verdict"] == "fail"
    return 1 if grave else found.exit_code


def _told(found: "Check", chosen: "Documented", host: dict[str, Any]) -> dict[str, Any]:
    from dataclasses import asdict

    told = asdict(found)
    del told["config"], told["warnings"]
    return {
        **told,
        "profile": chosen.profile.name,
        "task_memory_mib": chosen.task_memory_mib,
        "verdict": found.verdict,
        "exit_code": _exit_code(found, host),
        "host": host,
    }


def _print(found: "Check", chosen: "Documented", host: dict[str, Any]) -> None:
    task = f", a task of {chosen.task_memory_mib} MiB" if chosen.task_memory_mib else ""
    read = "read by" if found.kind != "server" else "beside"
    typer.echo(f"{found.where}: {found.kind}, {read} {found.program}")
    verdict = {"differs": "differs from what is documented"}.get(found.verdict, found.verdict)
    typer.echo(f"{verdict}: {chosen.profile.name}{task}")
    _print_group("differs, and matters", found.matter, found.lines)
    _print_group("has no effect", found.no_effect, found.lines)
    _print_group("other differences", found.others, found.lines)
    if found.unread:
        typer.echo("\nnot read, so what is set there is not known")
        typer.echo(f"  {', '.join(found.unread)}")
    if found.elsewhere:
        typer.echo("\nof the place it runs at, and left out")
        _print_text(", ".join(found.elsewhere), "  ")
    if found.uncompared:
        typer.echo("\nknown to only one of the two servers")
        _print_text(", ".join(found.uncompared), "  ")
    typer.echo("\nthis host" if found.kind != "server" else "\nits host")
    for warning in host["warnings"]:
        first = warning.partition(". ")[0].removesuffix(".")
        _print_text(f"the server's log: “{first}.”", "  ")
    _print_text(f"{host['verdict'].upper()}  {host['says']}", "  ")
    if host["advice"]:
        _print_text(f"→ {host['advice']}", "  ")


def _print_group(
    title: str, entries: "Iterable[Difference | Note]", lines: "Mapping[str, int]"
) -> None:
    from workbench.server.settings import Difference, shown

    for at, each in enumerate(entries):
        if at == 0:
            typer.echo(f"\n{title}")
        if isinstance(each, Difference):
            line, documented = lines.get(each.name, 0), shown(each.name, each.documented)
            values, beside = shown(each.name, each.here), f", documented {documented}"
        else:
            line, beside = each.line, ""
            values = shown(each.name, each.value) if each.value else ""
        values = " ".join(filter(None, (values, f"(line {line})" if line else ""))) + beside
        grave = f"{each.severity.upper()}  " if each.severity != "info" else ""
        _print_text(f"{grave}{each.name}{': ' if values else ''}{values}", "  ")
        _print_text(each.says, "      ")


def _print_text(text: str, indent: str) -> None:
    import textwrap

    for line in textwrap.wrap(text, _WIDTH - len(indent), break_on_hyphens=False):
        typer.echo(f"{indent}{line}")
