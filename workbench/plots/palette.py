"""
Colours by meaning, the same in every chart.

Okabe and Ito's: told apart with every common colour blindness.
"""

from typing import Final

__all__ = [
    "GROUND",
    "LOSS",
    "MEDIAN",
    "REFERENCE",
    "SECOND",
    "SERIES",
    "SHADE",
    "STATE",
    "STEP",
    "TAIL",
]

STATE: Final = "#0072B2"
MEDIAN: Final = "#0072B2"
TAIL: Final = "#CC79A7"
LOSS: Final = "#D55E00"
SECOND: Final = "#009E73"
REFERENCE: Final = "#555555"
SHADE: Final = "#e4e4e4"

STEP: Final = "#8db8d8"
"""A part of what is drawn as STATE."""

GROUND: Final = "#ffffff"
"""What all is drawn on."""

SERIES: Final = (STATE, SECOND, TAIL, LOSS, REFERENCE)
"""Colours of lines that are alike but for what they are of, as of several runs."""
