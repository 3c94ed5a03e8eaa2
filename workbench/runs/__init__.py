"""
The archive: the run directory, written once while a run goes on, read many times after.

It may use pandas, pyarrow and msgspec. It never talks to a server: what is in a run directory
can be read tomorrow, on a laptop, without Redis.
"""
