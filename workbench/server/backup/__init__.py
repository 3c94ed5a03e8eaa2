"""
Backups: a server's files as they were at one moment, and the rehearsal of their restore.

A backup is a folder. It is one only when ``backup.json`` stands in it, which is written last.
Taking one reads a server that is not ours; rehearsing one writes to a server of our own alone.
"""
