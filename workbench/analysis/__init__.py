"""
The desk: pure functions from the frames of a run to frames or numbers.

It may use pandas and numpy. It reads no file, asks no server and judges nothing: what a number
means is the matter of ``diagnostics``.
"""
