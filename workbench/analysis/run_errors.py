"""What went wrong in a run, by pattern: from its logs, its turns, and the server's replies."""

from pathlib import Path

import pandas as pd

from workbench.analysis.patterns import (
    load_entries,
    outcome_patterns,
    patterns,
    reply_patterns,
    sampler_entries,
    server_entries,
)
from workbench.runs.run import Run

__all__ = ["errors_of"]


def errors_of(run: Run) -> pd.DataFrame:
    """
    The patterns of a run's errors, with the rule that judges each; most frequent first.

    From the logs of its server, load and sampler, the turns that were not ok, and the error replies
    between its first and its last look at INFO.
    """
    logs = run.logs
    began_s = run.manifest.started_unix_s
    entries = [server_entries(_lines(log), log.name) for log in run.server_logs]
    entries += [load_entries(_lines(logs / "locust.log"), started_unix_s=began_s)]
    entries += [sampler_entries(_lines(logs / "sampler.log"))]
    frames = [patterns(entry for each in entries for entry in each)]
    frames.append(outcome_patterns(run.turns))
    looks = run.snapshots
    if len(looks) > 1 and looks[0].info.get("run_id") == looks[-1].info.get("run_id"):
        first_s, last_s = looks[0].unix_s, looks[-1].unix_s
        frames.append(
            reply_patterns(looks[0].info, looks[-1].info, first_unix_s=first_s, last_unix_s=last_s)
        )
    told = [frame for frame in frames if not frame.empty] or frames[:1]
    return pd.concat(told, ignore_index=True)


def _lines(log: Path) -> list[str]:
    try:
        return log.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return []
