"""
Looking at conversations from outside: what lies in a Redis, and how a code base gets at it.

Read-only but for ``migrate``. What is shown is masked: structure, times and counts, not values.
"""
