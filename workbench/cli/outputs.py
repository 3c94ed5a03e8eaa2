"""What ``run`` and ``check`` have in common for CI: objectives, and files to put the verdict in."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli.app import near, tell_findings, verdict
from workbench.errors import UsageError

if TYPE_CHECKING:
    from workbench.diagnostics.finding import Findings
    from workbench.diagnostics.slo import Slo, SloFindings
    from workbench.runs.run import Run

__all__ = ["Judged", "Junit", "Markdown", "Outputs", "SloFile", "read_outputs"]

SloFile = Annotated[
    Path | None,
    typer.Option("--slo", help="Objectives to hold the run against, such as loadtests/slo.toml."),
]
Markdown = Annotated[
    Path | None, typer.Option(help="Write the verdict there, for the summary of a CI job.")
]
Junit = Annotated[Path | None, typer.Option(help="Write the verdict there, as JUnit XML.")]


@dataclass(frozen=True, slots=True)
class Judged:
    """
    What was found of a run.

    Attributes:
        findings, slo: by its rules, and by objectives if there are any.
        file: ``findings.json``; None of a run that is not on this machine.
        told: the verdict, and the paths of the files that were asked for, for a program.
    """

    findings: "Findings"
    slo: "SloFindings | None"
    file: Path | None
    told: dict[str, object]


@dataclass(frozen=True, slots=True)
class Outputs:
    """Objectives that were read, and where the verdict is to be written."""

    slo: "Slo | None"
    markdown: Path | None
    junit: Path | None

    def judge(self, run: "Run", *, quiet: bool) -> Judged:
        """Judge the run, write what was found and the files, and print it unless ``quiet``."""
        from workbench.diagnostics.finding import evaluate, write_findings
        from workbench.diagnostics.slo import judge
        from workbench.runs.storage import is_far

        findings = evaluate(run)
        slo = None if self.slo is None else judge(run, self.slo)
        file = None if is_far(run.where) else write_findings(run, findings, slo)
        files = self._write(run, findings, slo)
        if not quiet:
            tell_findings(run, findings)
            _tell_slo(slo, files)
        paths = {name: str(path) for name, path in files.items()}
        return Judged(findings, slo, file, verdict(run, findings, slo) | paths)

    def _write(
        self, run: "Run", findings: "Findings", slo: "SloFindings | None"
    ) -> dict[str, Path]:
        """Write what was asked for, each file whole or not at all; their paths by option."""
        from workbench.reports.junit import junit
        from workbench.reports.summary import summary
        from workbench.runs.files import write_whole

        written = {}
        for name, path, told in (
            ("markdown", self.markdown, summary),
            ("junit", self.junit, junit),
        ):
            if path is not None:
                write_whole(path, told(run, findings, slo).encode(errors="replace"))
                written[name] = path
        return written


def read_outputs(slo: Path | None, markdown: Path | None, junit: Path | None) -> Outputs:
    """
    Read the objectives and look whether the files can be written, before anything is started.

    Raises:
        SloError: the objectives make no sense.
        UsageError: a file cannot be written, or two of them are the same.
    """
    from workbench.diagnostics.slo import read_slo

    objectives = None if slo is None else read_slo(slo)
    given = {"--slo": slo, "--markdown": markdown, "--junit": junit}
    # What a link names is written, not the link itself. Path.resolve would raise on a circle.
    whole = {option: Path(os.path.realpath(path)) for option, path in given.items() if path}
    for option in ("--markdown", "--junit"):
        if option in whole:
            _refuse_unwritable(option, whole)
    return Outputs(objectives, whole.get("--markdown"), whole.get("--junit"))


def _tell_slo(slo: "SloFindings | None", written: Mapping[str, Path]) -> None:
    """Print which objective was broken and by how much, and the files, for people."""
    if slo is not None:
        rows = [slo.head, *((row[0].upper(), *row[1:]) for row in slo.rows())]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        typer.echo(f"objectives of {slo.slo}: {slo.verdict}")
        for row in rows:
            cells = (f"{cell:{width}}" for cell, width in zip(row, widths, strict=True))
            typer.echo("  ".join(cells).rstrip())
    for path in written.values():
        typer.echo(near(path))


def _refuse_unwritable(option: str, paths: Mapping[str, Path]) -> None:
    path = paths[option]
    same = [other for other in paths if other != option and paths[other] == path]
    if same:
        raise UsageError(f"{option} and {same[0]} name the same file, {path}; write to another")
    trial = path.with_name(f".{path.name}.trial")
    try:
        if path.exists() and not path.is_file():
            raise UsageError(f"{option}: {path} is not a file; name one")
        trial.touch()
        trial.unlink()
    except OSError as error:
        raise UsageError(
            f"{option}: {path} cannot be written: {error.strerror}; name a file in a folder that "
            "is there"
        ) from None
