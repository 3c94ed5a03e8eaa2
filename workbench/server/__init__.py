"""
The machine room: a Redis with known settings, started, guarded and stopped by us.

It may use redis-py and start programs. It never measures, judges or draws; and nothing in it
touches a server that it did not start, except to look whether it may be loaded, and to have it save
itself where a backup was asked for in that way.
"""
