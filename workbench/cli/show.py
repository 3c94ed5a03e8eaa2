"""``workbench list``: which runs there are."""

from typing import TYPE_CHECKING

import typer

from workbench.cli.app import AsJson, app, tell

if TYPE_CHECKING:
    from workbench.runs.listing import RunEntry

__all__ = ["list_"]


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """
    List the runs, the latest last, with how each ended.

    \b
    Examples:
      workbench list
      workbench list --json
    """
    from workbench.checkout import runs_dir
    from workbench.runs.listing import every_run

    found = every_run()
    if as_json:
        tell([{"run": entry.name, **_told(entry)} for entry in found])
        return
    if not found:
        typer.echo(f"there is no run in {runs_dir()}; make one with: workbench run")
        return
    name, experiment = (
        max(len(getattr(entry, part)) for entry in found) for part in ("name", "experiment")
    )
    for entry in found:
        why = " ".join(entry.why.split())
        line = f"{entry.name:{name}}  {entry.experiment:{experiment}}  {entry.status:11}  {why}"
        typer.echo(line.rstrip())


def _told(entry: "RunEntry") -> dict[str, str]:
    return {
        part: getattr(entry, part) for part in ("status", "why", "began", "experiment", "server")
    }
