"""The application, its exit codes, and what its commands have in common."""

import json
import sys
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from workbench import __version__
from workbench.errors import RunError, UsageError, WorkbenchError

if TYPE_CHECKING:
    from workbench.diagnostics.finding import Findings
    from workbench.diagnostics.slo import SloFindings
    from workbench.runs.run import Run

__all__ = [
    "EXIT_CODES",
    "AsJson",
    "ExitZero",
    "Out",
    "RunName",
    "app",
    "exit_code",
    "main",
    "near",
    "positive_bytes",
    "progress",
    "tell",
    "tell_findings",
]

EXIT_CODES: Final = {
    0: "all is well: every rule passed, with `--slo` every objective; or `--exit-zero` was given "
    "and all was carried out",
    1: "something is wrong: a rule of severity critical or warning failed, an objective was "
    "broken, updates were lost; the lowest rate of `capacity` does not meet the objectives; "
    "`compare` found a figure worse than the baseline's; "
    "`config check` found a difference that matters; a rehearsed `restore` is not what was "
    "backed up, or over its cap; `health` found the server unwell",
    2: "the request is wrong, its target was refused, or the file that it names is damaged or "
    "not what it should be; nothing was started",
    3: "it cannot be told: the run is invalid, or there is too little to tell of a rule or an "
    "objective; in `capacity` the generator was the limit; `config check` did not read all "
    "that sets the server; `health` may not ask INFO",
    4: "no server can be had, the run or the backup failed, or the disk took no more",
    130: "interrupted",
}
"""What each exit code means, for every command."""

_WRONG_WORDS: Final[Any] = typer.BadParameter.__bases__[0]
"""What typer raises of options and arguments that are not its own; it has no public name there."""

app = typer.Typer(
    name="workbench",
    help="Find out by experiment what a memory-capped Redis does to the conversations in it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # drawing the help with rich would cost another 0.3 s
)

RunName = Annotated[str, typer.Argument(help="A run: its directory, its name, or 'latest'.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object, for programs.")]
ExitZero = Annotated[
    bool, typer.Option("--exit-zero", help="Exit 0 whatever the verdict, if all was carried out.")
]


def _local(out: Path | None) -> Path | None:
    from workbench.checkout import local_folder

    return None if out is None else local_folder("--out", out)


Out = Annotated[
    Path | None,
    typer.Option(
        callback=_local,
        help="Where to make the run directory; default: WORKBENCH_RUNS, else runs/.",
    ),
]


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"workbench {__version__}")
        raise typer.Exit


@app.callback()
def _workbench(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    """
    Find out by experiment what a memory-capped Redis does to the conversations in it.

    \b
    Begin with:
      workbench run        a private server, load on it, a verdict and a report
      workbench serve      a private server to explore
    """


def main() -> None:
    """The entry point: a foreseen failure is a message on stderr and an exit code."""
    try:
        code = app(standalone_mode=False)
    except _WRONG_WORDS as error:
        # What was typed is said back, and a URL may have been typed where none belongs.
        said = StringIO()
        error.show(file=said)
        typer.echo(_redacted(said.getvalue()), err=True, nl=False)
        if "://" in error.format_message():
            typer.echo("Did you mean --url?", err=True)
        sys.exit(error.exit_code)
    except SystemExit as ended:
        # Of a pipe that was closed typer makes this, and a standard output that takes anything.
        closed = type(sys.stdout).__name__ == "PacifyFlushWrapper"
        sys.exit(0 if closed else ended.code)
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        sys.exit(130)
    except BrokenPipeError:  # `workbench list | head`
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:  # a folder that may not be written to, a full disk
        typer.echo(f"workbench: {error}", err=True)
        sys.exit(4)
    except WorkbenchError as error:
        typer.echo(_redacted(f"workbench: {error}"), err=True)
        sys.exit(2 if isinstance(error, UsageError | RunError) else 4)
    if code == 130:
        typer.echo("interrupted", err=True)
    sys.exit(code or 0)


def _redacted(text: str) -> str:
    from workbench.state.redaction import redact  # a tenth of a second, which --help need not take

    return redact(text)


def exit_code(run: "Run", findings: "Findings", slo: "SloFindings | None" = None) -> int:
    """The exit code for a run and what was found in it."""
    from workbench.diagnostics.finding import overall

    status = run.manifest.status
    if status == "interrupted":
        return 130
    if status == "failed":
        return 4
    lost = any(found.rule == "lost-updates" and found.verdict == "fail" for found in findings)
    if status == "invalid" and not lost:
        return 3
    return {"fail": 1, "unknown": 3}.get(overall(findings, slo), 0)


def tell_findings(run: "Run", findings: "Findings", *, remedies: bool = False) -> None:
    """
    Print how the run ended and what was found, for people.

    What failed or cannot be told is printed whole, and so is what holds of the load; of the rest
    the names. A rule of severity info that fails is a note. With ``remedies`` each failure has why
    it matters, and the settings that mend it.
    """
    from workbench.diagnostics.finding import by_name_only, sentence
    from workbench.diagnostics.finding import remedies as by_place

    manifest = run.manifest
    typer.echo(f"{manifest.status}: {manifest.why}" if manifest.why else manifest.status)
    whole, names = by_name_only(findings)
    for found in whole:
        typer.echo(f"{found.word.upper():7}  {found.rule}: {sentence(found.says)}")
        if found.verdict == "pass":
            continue
        if remedies and found.why:
            typer.echo(f"{'':7}  {sentence(found.why)}")
        if found.advice:
            typer.echo(f"{'':7}  → {sentence(found.advice)}")
        if remedies and found.remedy:
            for place, what in by_place(found.remedy).items():
                if what != "none" and not what.startswith("as in"):
                    typer.echo(f"{'':7}    {place:10}  {what}")
    if passed := names.get("pass"):
        typer.echo(f"PASS     {_listed(passed, 'rules passed')}")
    if idle := names.get("not applicable"):
        typer.echo(f"         {_listed(idle, 'do not apply')}")


def _listed(rules: "list[str]", what: str) -> str:
    import textwrap

    text = f"{len(rules)} {what}: {', '.join(rules)}"
    return textwrap.fill(text, 100, subsequent_indent=" " * 9, break_on_hyphens=False)


def verdict(run: "Run", findings: "Findings", slo: "SloFindings | None" = None) -> dict[str, Any]:
    """What a program is told of a run: how it ended, what was found, the exit code for that."""
    from workbench.diagnostics.finding import overall

    told = {
        "run": run.where,
        "status": run.manifest.status,
        "why": run.manifest.why,
        "verdict": overall(findings, slo),
        "exit_code": exit_code(run, findings, slo),
        "findings": list(findings),
    }
    return told if slo is None else told | {"slo": slo}


def tell(value: Mapping[str, Any] | list[Any]) -> None:
    """Print a value as JSON, for programs."""
    import msgspec

    typer.echo(json.dumps(msgspec.to_builtins(value), indent=2, ensure_ascii=False))


def near(path: Path) -> Path:
    """The path as seen from here, if it lies below; else whole."""
    whole = path.resolve()
    here = Path.cwd()
    return whole.relative_to(here) if whole.is_relative_to(here) else whole


def positive_bytes(option: str, text: str) -> int:
    """
    A size that an option was given.

    Raises:
        UsageError: it is no size, 0, or so little that its unit was forgotten.
    """
    from workbench.units import parse_bytes

    found = parse_bytes(text)
    if not found:
        raise UsageError(f"{option} is {text}; leave it out if there is none")
    if found < 1024 * 1024:
        raise UsageError(f"{option} is {text}, under 1mb; write it with its unit, such as 716mb")
    return found


def progress(text: str) -> None:
    """Say how far it is, to a person who watches."""
    if sys.stderr.isatty():
        typer.echo(text, err=True)
