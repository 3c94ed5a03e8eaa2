"""
What is done to a server of ours on purpose, while a load is on it.

A fault is one file in this folder: it begins, lasts for a time, and is over.
"""
