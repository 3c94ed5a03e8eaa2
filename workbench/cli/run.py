"""``workbench run``: an experiment, carried out, judged and reported."""

from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli.app import (
    AsJson,
    ExitZero,
    Out,
    app,
    exit_code,
    near,
    progress,
    tell,
)
from workbench.cli.outputs import Junit, Markdown, SloFile, read_outputs
from workbench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workbench.experiments.spec import Experiment

__all__ = [
    "ClosedLoop",
    "Duration",
    "Engine",
    "ExperimentName",
    "Maxmemory",
    "Profile",
    "Rate",
    "Seed",
    "TaskMemory",
    "Users",
    "chosen_experiment",
    "run",
]

ExperimentName = Annotated[
    str, typer.Argument(help="An experiment: a TOML file, or a name in loadtests/experiments.")
]
Duration = Annotated[str | None, typer.Option(help="Length of the measured phase, such as 90s.")]
Rate = Annotated[float | None, typer.Option(help="Turns due a second.")]
Users = Annotated[int | None, typer.Option(help="Most turns at work at once.")]
ClosedLoop = Annotated[
    bool,
    typer.Option(
        "--closed-loop",
        help="Wait for every answer before the next turn; latency is then from the send.",
    ),
]
Maxmemory = Annotated[str | None, typer.Option(help="The cap, such as 64mb.")]
Profile = Annotated[
    str | None, typer.Option(help="Settings of the server: development, production or demo.")
]
TaskMemory = Annotated[
    str | None,
    typer.Option(help="Memory of the ECS task, such as 2gb: production's cap is a share of it."),
]
Engine = Annotated[str | None, typer.Option(help="Which server to start: redis or valkey.")]
Seed = Annotated[int | None, typer.Option(help="Same seed, same conversations.")]


@app.command()
def run(
    experiment: ExperimentName = "demo",
    url: Annotated[
        str | None,
        typer.Option(
            envvar="REDIS_STATE_URL",
            help="Load this server, not a private one; it must be on this machine, and empty.",
        ),
    ] = None,
    i_own: Annotated[
        str,
        typer.Option(
            metavar="HOST:PORT",
            help="Answer for the server of --url: then it may be another host's.",
        ),
    ] = "",
    duration: Duration = None,
    rate: Rate = None,
    users: Users = None,
    closed_loop: ClosedLoop = False,
    maxmemory: Maxmemory = None,
    profile: Profile = None,
    task_memory: TaskMemory = None,
    engine: Engine = None,
    seed: Seed = None,
    ledger: Annotated[
        bool, typer.Option("--ledger", help="Record which conversations the server evicts.")
    ] = False,
    replay: Annotated[
        str | None,
        typer.Option(
            metavar="RUN",
            help="Play the conversations of this sealed run, with their times, on the experiment's "
            "server.",
        ),
    ] = None,
    out: Out = None,
    report: Annotated[bool, typer.Option(help="Write the report as well.")] = True,
    slo: SloFile = None,
    markdown: Markdown = None,
    junit: Junit = None,
    exit_zero: ExitZero = False,
    as_json: AsJson = False,
) -> None:
    """
    Run an experiment, judge it, and write its report.

    Prints what it found, then the path of the run, then that of the report. Ctrl-C ends it early:
    what was recorded until then is sealed, judged and reported.

    \b
    Examples:
      workbench run
      workbench run demo --duration 60s --maxmemory 64mb
      workbench run demo --profile production --task-memory 2gb
      workbench run demo --ledger
      workbench run demo --replay latest --maxmemory 32mb
      workbench run demo --url redis://redis-state:6379 --i-own redis-state:6379
      workbench run steady --slo loadtests/slo.toml --markdown slo.md --junit slo.xml
    """
    from workbench.checkout import runs_dir

    chosen = chosen_experiment(
        experiment, duration, rate, users, closed_loop, maxmemory, profile, task_memory, seed
    )
    chosen = chosen.with_overrides(ledger=ledger or None)
    _refuse_together(
        "is what the run of --replay says",
        replay,
        {"--duration": duration, "--rate": rate, "--closed-loop": closed_loop, "--seed": seed},
    )
    _refuse_together(
        "is for a private server, and --url (or REDIS_STATE_URL) names one whose settings stay as "
        "they are",
        url,
        {
            "--maxmemory": maxmemory,
            "--profile": profile,
            "--task-memory": task_memory,
            "--engine": engine,
        },
    )
    if i_own and not url:
        raise UsageError("--i-own answers for the server of --url, and none is given")
    if replay:
        from workbench.runs.run import open_run

        chosen = chosen.replaying(open_run(replay))
    outputs = read_outputs(slo, markdown, junit)

    # These take their time, so what was typed is looked at before.
    from workbench.experiments.runner import carry_out
    from workbench.runs.run import Run

    run_dir = carry_out(
        chosen,
        out or runs_dir(),
        url=url,
        i_own=i_own,
        engine=engine,
        say=(lambda _: None) if as_json else typer.echo,
        progress=progress,
    )
    finished = Run(run_dir)
    left = f"it was not judged; judge it with: workbench check {run_dir.name}"
    try:
        judged = outputs.judge(finished, quiet=as_json)
        if not as_json:
            typer.echo(near(run_dir))
        left = f"the report was not written; write it with: workbench report {run_dir.name}"
        if report:
            from workbench.reports.render import render

            progress("writing the report")
            page = render(finished, findings=judged.findings, slo=judged.slo)
            judged.told["report"] = str(page.resolve())
            if not as_json:
                typer.echo(near(page))
    except KeyboardInterrupt:
        typer.echo(left)
        raise
    if as_json:
        tell(judged.told)
    if not exit_zero or finished.manifest.status == "interrupted":
        raise typer.Exit(exit_code(finished, judged.findings, judged.slo))


def _refuse_together(why: str, other: str | None, options: "Mapping[str, object]") -> None:
    # 0 was typed; None and False were not.
    given = [option for option, value in options.items() if value or type(value) in {int, float}]
    if other and given:
        raise UsageError(f"{given[0]} {why}; leave one of them out")


def chosen_experiment(
    experiment: str,
    duration: str | None,
    rate: float | None,
    users: int | None,
    closed_loop: bool,
    maxmemory: str | None,
    profile: str | None,
    task_memory: str | None,
    seed: int | None,
) -> "Experiment":
    """The experiment that was named, with what was said of it on the command line."""
    from workbench.experiments.spec import read_experiment
    from workbench.units import MIB, parse_bytes, parse_duration

    return read_experiment(experiment).with_overrides(
        measure_s=parse_duration(duration) if duration else None,
        maxmemory_bytes=parse_bytes(maxmemory) if maxmemory else None,
        task_memory_mib=parse_bytes(task_memory) // MIB if task_memory else None,
        server_profile=profile,
        turns_per_s=rate,
        users=users,
        seed=seed,
        closed_loop=closed_loop or None,
    )
