"""
The command line: parse, call, print; one file a family of commands.

What a command does is in the rooms below. They are imported inside the commands: pandas alone takes
longer than ``--help`` may.
"""

from workbench.cli import run, capacity, serve, doctor, health  # noqa: F401, I001  (order of the help)
from workbench.cli import sample, export, alerts, judge, show, state, bench  # noqa: F401
from workbench.cli.app import EXIT_CODES, app, main

__all__ = ["EXIT_CODES", "app", "main"]
