"""
The Redis flow-state workbench: what a memory-capped Redis does to the conversations kept in it.

Downstairs the subject (``state``), the workload (``flows``), the archive (``runs``), the machine
room (``server``) and the instruments (``telemetry``). Upstairs the desk (``analysis``), the
verdicts (``diagnostics``), the drawing room (``plots``), the conductor (``experiments``) and the
reports. A room imports from the floors below it and from nowhere else.

Importing this package costs nothing: each room is imported where it is used.
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
