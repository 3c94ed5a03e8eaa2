"""
The instruments: they look, and never touch.

It may use redis-py for INFO and CONFIG GET, and read what the host shows. It never writes to a
server, never judges, and runs apart from the load, in a process of its own.
"""
