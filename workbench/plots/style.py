"""The look: the style sheet, the colours, and Chart, a figure with its words."""

import base64
import io
import threading
from collections.abc import Callable
from functools import wraps
from html import escape
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar

import matplotlib.pyplot as plt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from workbench.plots.dark import following_the_page
from workbench.plots.fit import fit_titles, settle_end_labels
from workbench.plots.palette import (
    LOSS,
    MEDIAN,
    REFERENCE,
    SECOND,
    SERIES,
    SHADE,
    STATE,
    TAIL,
)

__all__ = [
    "LOSS",
    "MEDIAN",
    "REFERENCE",
    "SECOND",
    "SERIES",
    "SHADE",
    "STATE",
    "TAIL",
    "Chart",
    "Words",
    "styled",
]

_SHEET: Final = Path(__file__).with_name("workbench.mplstyle")

# matplotlib's settings belong to the whole process: a chart that is drawn in a thread, as of a live
# dashboard, must not take or undo those of another.
_DRAWING: Final = threading.RLock()

P = ParamSpec("P")
R = TypeVar("R")


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """Have a function draw with the workbench's style sheet, and leave the caller's as it was."""

    @wraps(draw)
    def with_style(*args: P.args, **kwargs: P.kwargs) -> R:
        with _DRAWING, plt.style.context(_SHEET):
            return draw(*args, **kwargs)

    return with_style


class Words(str):
    """A sentence that a notebook shows as text, not as a quoted string."""

    __slots__ = ()

    def _repr_markdown_(self) -> str:
        return str(self)


class Chart:
    """
    A figure with its words: shown as a picture in a notebook, the words as its alternative text.

    Args:
        figure: made by one of the ``figure_…`` functions.
        reading: what it shows, in a sentence or two, for those who cannot see it.
    """

    def __init__(self, figure: Figure, reading: str) -> None:
        # The layout is found, and found again around titles of several lines; then it is kept: it
        # would move by parts of a pixel.
        FigureCanvasAgg(figure)
        if figure.get_layout_engine() is not None:
            figure.draw_without_rendering()
            if fit_titles(figure):
                figure.draw_without_rendering()
            figure.set_layout_engine("none")
        # Its solver's last bits differ from time to time, and with them the SVG's ids.
        for ax in figure.axes:
            edges = (round(edge, 6) for edge in ax.get_position().bounds)
            ax.set_position(Bbox.from_bounds(*edges))
        settle_end_labels(figure)
        self.figure = figure
        self.reading = reading

    @property
    def title(self) -> str:
        """The figure's title: the finding."""
        return " ".join(self.figure.get_suptitle().split())

    @property
    def words(self) -> Words:
        """The reading, for a cell of its own."""
        return Words(self.reading)

    @styled
    def svg(self) -> str:
        """
        The figure as SVG that links to nothing; the same figure gives the same text.

        It turns dark with the page that shows it, and is light in print.
        """
        buffer = io.StringIO()
        self.figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
        return following_the_page(buffer.getvalue())

    @styled
    def save_png(self, path: Path) -> None:
        """Write the figure as a picture."""
        self.figure.savefig(path)

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, str], dict[str, Any]]:
        # As an image in HTML, not as SVG: nbconvert drops the alternative text of an SVG output,
        # and two SVGs on one page would share the ids of their parts.
        alt = f"{self.title}. {self.reading}"
        data = base64.b64encode(self.svg().encode()).decode()
        # JupyterLab's light theme does not say that it is one, so charts are light on any page but
        # one that asks for others: :root { --chart-scheme: light dark; }
        scheme = 'style="color-scheme: var(--chart-scheme, light)"'
        words = f'alt="{escape(alt)}" data-title="{escape(self.title)}"'
        image = f'<img {words} {scheme} src="data:image/svg+xml;base64,{data}">'
        return {"text/html": image, "text/plain": alt}, {"text/html": {"alt": alt}}
