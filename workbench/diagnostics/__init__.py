"""
The verdicts: rules that look at a run and say what is wrong, on what evidence, and what to do.

A rule is one file in this folder. It may use ``analysis`` and the run; it draws nothing, starts
nothing and asks no server.
"""
