"""The same chart on a dark page: each colour of the look has one there, with the same meaning."""

from typing import Final

from workbench.plots.palette import GROUND, LOSS, REFERENCE, SECOND, SHADE, STATE, STEP, TAIL

__all__ = ["DARK", "INK", "following_the_page"]

INK: Final = "#e8eaed"
"""Titles, which are black in the light."""

DARK: Final = {
    GROUND: "#16181c",
    STATE: "#4ba3e3",
    TAIL: "#f2b3d6",
    LOSS: "#ff8a3d",
    SECOND: "#3fd39c",
    REFERENCE: "#a9aeb6",
    STEP: "#3b79a6",
    SHADE: "#32363d",
    # Of the style sheet: words, axes, grid.
    "#444444": "#b9bec5",
    "#999999": "#7b818a",
    "#e3e3e3": "#2c3036",
    "#cccccc": "#565c65",
}
"""The colour of each in the dark."""


def following_the_page(svg: str) -> str:
    """
    An SVG that turns dark with the page that shows it, and is light where it is printed.

    In an ``<img>`` it follows the ``color-scheme`` of that element: ``light`` keeps it light; where
    nothing is declared it follows what the reader prefers (Chromium 156).

    Args:
        svg: as matplotlib writes it, with its colours as styles of the elements.
    """
    rules = [
        f'[style*="{paint}: {light.lower()}"]{{{paint}:{dark}!important}}'
        for light, dark in DARK.items()
        for paint in ("fill", "stroke")
    ]
    rules.append(f"svg{{fill:{INK}}}")  # a raster stays as it is
    style = f"@media screen and (prefers-color-scheme: dark){{{''.join(rules)}}}"
    assert svg.count("</style>") == 1, "matplotlib writes one style sheet"
    return svg.replace("</style>", f"\n{style}</style>")
