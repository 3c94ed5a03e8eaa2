"""
The reports: a notebook executed on a run, and one HTML page of it with the verdict on top.

It may use papermill and nbconvert. It starts no server and draws nothing of its own.
"""
