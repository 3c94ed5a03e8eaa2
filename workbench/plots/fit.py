"""Words on a figure fit: titles wrap or shrink, names at the ends of lines are pushed apart."""

from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text

__all__ = ["EndLabel", "fit_titles", "settle_end_labels", "spread"]

_MARGIN_PX: Final = 6.0
_LEAST_PT: Final = 7.0
_LINES_MOST: Final = 3
# The same letters are some hundredths wider at another resolution.
_SURE: Final = 0.96


class EndLabel(Annotation):
    """
    The name of a line at its right end; where it stands is final once the figure is laid out.

    Args:
        text: the name.
        y: where the line ends, in the unit of its axes.
        options: of the text.
    """

    def __init__(self, text: str, y: float, **options: Any) -> None:
        super().__init__(
            text,
            (1, 0.5),
            xycoords="axes fraction",
            xytext=(7, 0),
            textcoords="offset points",
            va="center",
            annotation_clip=False,
            clip_on=False,
            **options,
        )
        self.y_end = y


def fit_titles(figure: Figure) -> bool:
    """
    Break titles that are wider than their place; let them shrink if that is not enough.

    Args:
        figure: with a canvas of Agg, and laid out once; to be laid out again, since a title of
            two lines is higher.

    Returns:
        whether one was changed.
    """
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    heading = figure._suptitle  # type: ignore[attr-defined]  # there is no other way to it
    changed = False
    for text in (heading, figure._supxlabel):  # type: ignore[attr-defined]
        if text is not None and text.get_text():
            changed |= _fit(text, figure.bbox.width - 2 * _MARGIN_PX, renderer)
    for ax in figure.axes:
        left, right = ax._left_title, ax._right_title  # type: ignore[attr-defined]
        if left.get_text():
            changed |= _fit(left, _end_of_title(figure, ax, right, renderer) - ax.bbox.x0, renderer)
        if ax.get_xlabel():
            middle = (ax.bbox.x0 + ax.bbox.x1) / 2
            aside = min(middle, figure.bbox.width - middle) - _MARGIN_PX
            changed |= _fit(ax.xaxis.label, 2 * aside, renderer)
    return changed


def settle_end_labels(figure: Figure) -> None:
    """Push the names at the ends of lines apart, as high as they are on paper."""
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    for ax in figure.axes:
        labels = [text for text in ax.texts if isinstance(text, EndLabel)]
        if not labels:
            continue
        bottom, height = ax.bbox.y0, ax.bbox.height
        heights = [label.get_window_extent(renderer).height for label in labels]
        room = height + max(heights)
        if sum(heights) > room:
            for label in labels:
                label.set_fontsize(max(4.0, _size_pt(label) * room / sum(heights)))
            heights = [label.get_window_extent(renderer).height for label in labels]
        wanted = [ax.transData.transform((ax.get_xlim()[1], label.y_end))[1] for label in labels]
        placed = spread(wanted, max(heights), bottom, bottom + height)
        for label, y in zip(labels, placed, strict=True):
            label.xy = (1, (y - bottom) / height)


def spread(wanted: list[float], gap: float, low: float, high: float) -> list[float]:
    """
    Places as near to the wanted ones as may be, at least a gap apart and within bounds.

    Groups that touch are shared out around the middle of what their members want. Where there is
    no room for all, they stand evenly between the bounds.
    """
    order = sorted(range(len(wanted)), key=lambda at: wanted[at])
    if len(wanted) > 1 and gap * (len(wanted) - 1) > high - low:
        even = (high - low) / (len(wanted) - 1)
        return _in_place(order, [low + even * at for at in range(len(wanted))])
    groups: list[tuple[float, list[int]]] = []
    for at in order:
        groups.append((_middle([at], wanted, gap, low, high), [at]))
        while len(groups) > 1:
            (below, lower), (above, upper) = groups[-2:]
            if above - gap * (len(upper) - 1) / 2 - below - gap * (len(lower) - 1) / 2 >= gap:
                break
            both = lower + upper
            groups[-2:] = [(_middle(both, wanted, gap, low, high), both)]
    return _in_place(
        order,
        [
            middle + gap * (at - (len(members) - 1) / 2)
            for middle, members in groups
            for at in range(len(members))
        ],
    )


def _middle(members: list[int], wanted: list[float], gap: float, low: float, high: float) -> float:
    half = gap * (len(members) - 1) / 2
    mean = sum(wanted[at] for at in members) / len(members)
    return min(max(mean, low + half), high - half)


def _in_place(order: list[int], values: list[float]) -> list[float]:
    placed = [0.0] * len(order)
    for at, value in zip(order, values, strict=True):
        placed[at] = value
    return placed


def _end_of_title(figure: Figure, ax: Axes, right: Text, renderer: RendererBase) -> float:
    """Where the title of a panel must end: before another title, the next panel or the margin."""
    ends = [figure.bbox.width - _MARGIN_PX]
    if right.get_text():
        ends.append(right.get_window_extent(renderer).x0 - 2 * _MARGIN_PX)
    ends += [
        other.bbox.x0 - 2 * _MARGIN_PX
        for other in figure.axes
        if other.bbox.x0 > ax.bbox.x0 + 1 and other.bbox.y0 < ax.bbox.y1 < other.bbox.y1 + 1
    ]
    return min(ends)


def _fit(text: Text, width_px: float, renderer: RendererBase) -> bool:
    """Whether the text had to be changed."""
    words = text.get_text()
    width_px *= _SURE
    if text.get_window_extent(renderer).width <= width_px:
        return False
    while True:
        lines = _broken(text, words.split(), width_px, renderer)
        text.set_text("\n".join(lines))
        wide = text.get_window_extent(renderer).width > width_px
        if _size_pt(text) <= _LEAST_PT or (len(lines) <= _LINES_MOST and not wide):
            return True
        text.set_fontsize(_size_pt(text) - 0.5)


def _broken(text: Text, words: list[str], width_px: float, renderer: RendererBase) -> list[str]:
    lines: list[str] = []
    for word in words:
        longer = f"{lines[-1]} {word}" if lines else word
        text.set_text(longer)
        if lines and text.get_window_extent(renderer).width <= width_px:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _size_pt(text: Text) -> float:
    return float(text.get_fontsize())
