"""
The instruments: they look, and never touch.

It may use redis-py for INFO and CONFIG GET, and read what the host shows and what a server left on
its disk. It never judges, and runs apart from the load, in processes of its own. It never writes to
a server, with one exception: ``keyspace`` changes a setting for the ledger, and puts it back.
"""
