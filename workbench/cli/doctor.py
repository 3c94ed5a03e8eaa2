"""``workbench doctor``: what is wrong with a live server, on what evidence, and what to do."""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from workbench.cli.app import (
    AsJson,
    ExitZero,
    Out,
    app,
    exit_code,
    near,
    positive_bytes,
    progress,
    tell,
    tell_findings,
    verdict,
)

__all__ = ["doctor"]


@app.command()
def doctor(
    url: Annotated[
        str, typer.Option(envvar="REDIS_STATE_URL", help="The server; any that can be read.")
    ] = "redis://127.0.0.1:6379",
    seconds: Annotated[
        str, typer.Option("--for", help="How long to look; rates show over that time.")
    ] = "5s",
    profile: Annotated[
        str, typer.Option(help="What it is meant to be: development or production.")
    ] = "development",
    limit: Annotated[
        str | None,
        typer.Option(help="Memory of its container, such as 716mb, where it does not show."),
    ] = None,
    deployment: Annotated[
        Path | None,
        typer.Option(help="Its compose file or ECS definition: for memory and health check."),
    ] = None,
    service: Annotated[str, typer.Option(help="Which one of the deployment.")] = "",
    keys: Annotated[
        int, typer.Option(help="How many keys to look at, by SCAN in slices; 0 for none.")
    ] = 0,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit 3 if anything cannot be told.")
    ] = False,
    out: Out = None,
    exit_zero: ExitZero = False,
    as_json: AsJson = False,
) -> None:
    """
    Look at a live server, read-only, and say what is wrong, on what evidence, and what to do.

    The rules are those of `workbench check`. Sends INFO, CONFIG GET, LATENCY LATEST, SLOWLOG GET,
    CLIENT LIST and ACL GETUSER, and writes nothing; with --keys also SCAN, PTTL, MEMORY USAGE and
    OBJECT IDLETIME. What was seen is kept as a run if --out says where.

    \b
    Examples:
      workbench doctor
      workbench doctor --url redis://127.0.0.1:6379 --for 60s --keys 1000
      workbench doctor --profile production --deployment docker-compose.yml --service redis-state
    """
    from workbench.diagnostics.finding import evaluate, write_findings
    from workbench.errors import UsageError
    from workbench.experiments.runner import sample as record
    from workbench.runs.run import Run
    from workbench.units import parse_duration

    length_s = parse_duration(seconds)
    if not 1 <= length_s <= 86_400:
        raise UsageError(f"--for is {seconds}, outside 1s to 1 day")
    if not 0 <= keys <= 100_000:
        raise UsageError(f"--keys is {keys}, outside 0 to 100000")
    asked = _asked(profile, limit, deployment, service)
    with ExitStack() as stack:
        folder = out or _passing_folder(stack)
        run_dir = record(
            url,
            folder,
            seconds=length_s,
            interval_s=min(1.0, length_s / 4),
            say=(lambda _: None) if as_json else progress,
            progress=progress,
            keys=keys,
            asked=asked,
        )
        finished = Run(run_dir)
        findings = evaluate(finished)
        code = exit_code(finished, findings)
        unsure = strict and any(
            found.verdict == "unknown" and found.severity != "info" for found in findings
        )
        if code == 0 and unsure:
            code = 3
        if out is not None:
            write_findings(finished, findings)
        if as_json:
            tell(verdict(finished, findings) | {"exit_code": code} | _place(out, run_dir))
        else:
            tell_findings(finished, findings, remedies=True)
            if out is not None:
                typer.echo(near(run_dir))
    if not exit_zero or finished.manifest.status == "interrupted":
        raise typer.Exit(code)


def _asked(
    profile: str, limit: str | None, deployment: Path | None, service: str
) -> dict[str, Any]:
    from workbench.errors import UsageError
    from workbench.server.configuration import read_configuration
    from workbench.server.profiles import profile as profile_named

    asked: dict[str, Any] = {"profile": profile_named(profile).name}
    if service and deployment is None:
        raise UsageError("--service names one of a deployment: give its file by --deployment")
    if deployment is not None:
        found = read_configuration(deployment, service=service or None)
        if found.kind not in {"compose", "ecs"}:
            raise UsageError(
                f"{deployment} is a {found.kind}: --deployment wants a compose file, or an ECS "
                "task or container definition; of this file workbench config check tells"
            )
        asked["health_check"] = " ".join(found.health or ())
        if found.limit_bytes:
            asked["memory_limit_bytes"] = found.limit_bytes
    if limit is not None:
        asked["memory_limit_bytes"] = positive_bytes("--limit", limit)
    return asked


def _passing_folder(stack: ExitStack) -> Path:
    from tempfile import TemporaryDirectory

    return Path(stack.enter_context(TemporaryDirectory(prefix="workbench-doctor-")))


def _place(out: Path | None, run_dir: Path) -> dict[str, str | None]:
    return {"run": str(run_dir.resolve()) if out is not None else None}
