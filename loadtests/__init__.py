"""
Locust lives here and nowhere else: importing it replaces the process's sockets.

Each scenario is one file, and also works by hand: ``locust -f loadtests/steady.py``.
"""
