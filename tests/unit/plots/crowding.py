"""What a person would not like to look at: words that are cut off, or lie on one another."""

from itertools import combinations

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from workbench.plots.style import styled

__all__ = ["crowded", "texts_of"]

_TOUCHING_PX = 1.5
"""Boxes hold room for letters that reach higher or lower than these: so much is no overlap."""


@styled  # ticks are chosen by the size of their labels
def crowded(figure: Figure) -> list[str]:
    """Words that reach out of the figure, and pairs of which one lies on the other."""
    # As a picture is written; where a label stands is found when it is drawn.
    before = figure.dpi
    figure.set_dpi(150)
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw_without_rendering()
    boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in texts_of(figure)]
    whole = figure.bbox.frozen().padded(0.5)
    figure.set_dpi(before)
    cut = [f"{said!r} is cut off" for said, box in boxes if not _within(box, whole)]
    return cut + [
        f"{one!r} lies on {other!r}"
        for (one, first), (other, second) in combinations(boxes, 2)
        if first.padded(-_TOUCHING_PX).overlaps(second.padded(-_TOUCHING_PX))
    ]


def texts_of(figure: Figure) -> list[Text]:
    """Every text that is drawn; of the ticks those in view."""
    found = list(figure.texts)  # the heading is among them
    for ax in figure.axes:
        found += [*ax.texts, ax.title, ax._left_title, ax._right_title]
        for axis in (ax.xaxis, ax.yaxis):
            found.append(axis.label)
            if axis.get_visible() and ax.axison:
                found += [tick.label1 for tick in axis._update_ticks()]
                found += [tick.label2 for tick in axis._update_ticks()]
                found.append(axis.get_offset_text())
    return [text for text in found if text.get_visible() and text.get_text().strip()]


def _within(box: Bbox, whole: Bbox) -> bool:
    return bool(
        box.x0 >= whole.x0 and box.x1 <= whole.x1 and box.y0 >= whole.y0 and box.y1 <= whole.y1
    )
