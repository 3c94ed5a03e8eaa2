"""
The laboratory: private servers that are taken to their edge, and what is measured there.

A cell is one trial under one set of conditions; a grid is many. Nothing here judges or draws.
"""
