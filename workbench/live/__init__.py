"""
Live, in a notebook: a dashboard of a server or of a run that goes on, and an experiment with its
progress.

    from workbench.live import Dashboard
    Dashboard("redis://127.0.0.1:6379")

It looks as ``workbench watch`` does, by the same watcher, and draws the charts of the reports.
"""

from workbench.live.dashboard import Dashboard
from workbench.live.trial import run_experiment

__all__ = ["Dashboard", "run_experiment"]
