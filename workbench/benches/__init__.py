"""
Benches: what the workbench's own parts cost, as ratios that were measured interleaved in one run.

A bench is a module with a function ``measure(server, quick)`` that returns figures; the command
line prints them. The figures that a reader should distrust say so themselves.
"""
