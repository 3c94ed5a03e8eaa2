"""
The command line: parse, call, print; one file a family of commands.

What a command does is in the rooms below. They are imported inside the commands: pandas alone takes
longer than ``--help`` may. Importing a family registers its commands; the order is the help's.
"""

# ruff: noqa: F401, I001
from workbench.cli import (
    run,
    capacity,
    size,
    judge,
    report,
    compare,
    engines,
    errors,
    evictions,
    whatif,
    show,
    aof,
    doctor,
)
from workbench.cli import watch, health, sample, export, alerts, serve, config, backup, state, lab
from workbench.cli import bench
from workbench.cli.app import EXIT_CODES, app, main

__all__ = ["EXIT_CODES", "app", "main"]
