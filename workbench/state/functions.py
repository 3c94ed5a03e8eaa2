"""The Redis Function that compares and sets in one round trip: its source, and its name."""

import hashlib
from importlib import resources
from typing import Final

__all__ = ["NAME", "SOURCE"]

_TEXT: Final = resources.files(__package__).joinpath("functions.lua").read_text("utf-8")

NAME: Final = "workbench_state_" + hashlib.blake2b(_TEXT.encode(), digest_size=4).hexdigest()
"""
Of the library, and of the one function in it.

It carries a hash of the source, so that two versions of a service can use one server: neither
replaces the function of the other.
"""

SOURCE: Final = _TEXT.replace("workbench_state", NAME)
"""For FUNCTION LOAD."""
