"""Parse and print quantities with their units: bytes, durations, shares. No I/O."""

import math
import re

from workbench.errors import UsageError

__all__ = [
    "MIB",
    "format_bytes",
    "format_count",
    "format_duration",
    "format_rate",
    "format_share",
    "parse_bytes",
    "parse_duration",
]

MIB = 1024 * 1024
"""Bytes in a mebibyte."""

# Redis reads "kb", "mb", "gb" as powers of 1024 and "k", "m", "g" as powers of 1000 (redis.conf).
_BYTES = {
    "": 1,
    "b": 1,
    "k": 1000,
    "kb": 1024,
    "kib": 1024,
    "m": 1000**2,
    "mb": 1024**2,
    "mib": 1024**2,
    "g": 1000**3,
    "gb": 1024**3,
    "gib": 1024**3,
}
_SECONDS = {
    "us": 1e-6,
    "µs": 1e-6,
    "ms": 1e-3,
    "": 1.0,
    "s": 1.0,
    "m": 60.0,
    "min": 60.0,
    "h": 3600.0,
}
_QUANTITY = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-zµ]*)\s*", re.IGNORECASE)


def parse_bytes(text: str | int) -> int:
    """
    Bytes, spelled as redis.conf spells them: ``"512mb"`` is 536,870,912.

    Raises:
        UsageError: not a number of bytes.
    """
    return round(_parse(text, _BYTES, "a size such as 512mb"))


def parse_duration(text: str | float) -> float:
    """
    Seconds: ``"90s"``, ``"1.5m"``, ``"250ms"``, or a bare number of seconds.

    Raises:
        UsageError: not a duration.
    """
    return _parse(text, _SECONDS, "a duration such as 90s")


def format_bytes(size: float) -> str:
    """A size in the unit that a person would choose: ``24 MiB``, ``3.1 KiB``."""
    if not math.isfinite(size):
        return "unknown"
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(size) < 1024 or unit == "GiB":
            break
        size /= 1024
    return f"{_three_digits(size)} {unit}"


def format_count(number: int, noun: str) -> str:
    """A number of things: ``1 turn``, ``1,200 turns``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def format_duration(seconds: float) -> str:
    """A duration in the unit that a person would choose: ``1.3 ms``, ``2.5 s``, ``4 min``."""
    if not math.isfinite(seconds):
        return "unknown"
    if abs(seconds) >= 120:
        return f"{_three_digits(seconds / 60)} min"
    if abs(seconds) >= 1 or seconds == 0:
        return f"{_three_digits(seconds)} s"
    if abs(seconds) >= 1e-3:
        return f"{_three_digits(seconds * 1e3)} ms"
    return f"{_three_digits(seconds * 1e6)} µs"


def format_rate(rate_per_s: float) -> str:
    """How often by the second: ``1,234/s``, ``0.25/s``; 0 only if it is not at all."""
    if not math.isfinite(rate_per_s):
        return "unknown"
    if 0 < abs(rate_per_s) < 0.01:
        return "< 0.01/s"
    return f"{rate_per_s:,.0f}/s" if abs(rate_per_s) >= 99.95 else f"{rate_per_s:.3g}/s"


def format_share(share: float) -> str:
    """A share of a whole as a percentage: 0.213 is ``21.3 %``, and 0 only if it is none at all."""
    if not math.isfinite(share):
        return "unknown"
    if 0 < share < 0.001:
        return "< 0.1 %"
    if 0.999 < share < 1:
        return "> 99.9 %"
    return f"{100 * share:.3g} %"


def _parse(text: str | float, factors: dict[str, float] | dict[str, int], expected: str) -> float:
    value = math.nan
    if not isinstance(text, str):
        value = float(text)
    elif (match := _QUANTITY.fullmatch(text)) and match[2].lower() in factors:
        value = float(match[1]) * factors[match[2].lower()]
    if not 0 <= value < math.inf:
        raise UsageError(f"{text!r} is not {expected}")
    return value


def _three_digits(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 99.95 else f"{value:.3g}"
