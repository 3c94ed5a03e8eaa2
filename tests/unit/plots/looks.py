"""Whether two SVGs look alike: the same parts, colours and words, at the same places."""

import base64
import io
import re

import numpy as np
from PIL import Image

__all__ = ["difference"]

_TOKEN = re.compile(
    r"(?P<raster>data:image/png;base64,[A-Za-z0-9+/=\s]+)"
    r"|(?P<id>(?<=\bid=\")[^\"]+|(?<=#)[A-Za-z][\w.-]*(?=[\")]))"
    r"|(?P<colour>#[0-9a-fA-F]{6}\b)"
    r"|(?P<number>(?<![\w#])-?\d+(?:\.\d+)?(?:e[-+]?\d+)?)"
    r"|(?P<text>[^\s\d#\"]+|\S)"
)
_PLACE_PT = 0.05
"""So far may a number be off: another machine rounds the last digits otherwise."""
_SHADE = 2.0
"""So far may the pixels of a raster be off at the mean, of 255."""


def difference(one: str, other: str) -> str:
    """The first thing in which two SVGs differ to somebody who looks at them; empty if nothing."""
    first, second = list(_tokens(one)), list(_tokens(other))
    for (kind, here), (other_kind, there) in zip(first, second, strict=False):
        if kind != other_kind:
            return f"{here[:40]!r} where {there[:40]!r} was"
        if kind == "number":
            if abs(float(here) - float(there)) > _PLACE_PT:
                return f"at {here} what was at {there}"
        elif kind == "raster":
            if _apart(here, there) > _SHADE:
                return "another raster"
        elif here != there:
            return f"{here[:40]!r} where {there[:40]!r} was"
    return "" if len(first) == len(second) else "more or fewer parts"


def _tokens(svg: str):
    """Kind and text of each; an id is named by its place, since it is made of last digits."""
    names: dict[str, str] = {}
    for found in _TOKEN.finditer(svg):
        kind, text = found.lastgroup, found[0]
        if kind == "id":
            text = names.setdefault(text, str(len(names)))
        yield kind, text


def _apart(one: str, other: str) -> float:
    pixels = [_pixels(text) for text in (one, other)]
    if pixels[0].shape != pixels[1].shape:
        return np.inf
    return float(np.abs(pixels[0] - pixels[1]).mean())


def _pixels(data: str) -> np.ndarray:
    png = base64.b64decode("".join(data.partition(",")[2].split()))
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"), dtype=float)
