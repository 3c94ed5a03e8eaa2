"""Files that are whole or absent: written under a temporary name, then renamed."""

import os
from pathlib import Path
from typing import Any

import msgspec

__all__ = ["write_json", "write_whole"]


def write_whole(path: Path, content: bytes) -> None:
    """Write the file, so that no reader ever finds a part of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON, whole or not at all."""
    write_whole(path, msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")
