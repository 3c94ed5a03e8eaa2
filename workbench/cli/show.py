"""``workbench list``: which runs there are."""

from datetime import UTC, datetime

import typer

from workbench.cli.app import AsJson, app, tell

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
    from workbench.runs.run import every_run

    found = [
        {
            "run": entry.path.name,
            "status": entry.state,
            "began": datetime.fromtimestamp(entry.manifest.started_unix_s, UTC).isoformat(
                timespec="seconds"
            )
            if entry.manifest
            else None,
            "experiment": entry.manifest.experiment.get("name") if entry.manifest else None,
            "why": entry.why,
        }
        for entry in every_run()
    ]
    if as_json:
        tell(found)
        return
    if not found:
        typer.echo(f"there is no run in {runs_dir()}; make one with: workbench run")
    width = max((len(entry["run"] or "") for entry in found), default=0)
    for entry in found:
        why = f"  {entry['why']}" if entry["why"] else ""
        typer.echo(f"{entry['run']:{width}}  {entry['status']:11}{why}".rstrip())
