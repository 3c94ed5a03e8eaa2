"""
Face: what a dashboard looks like, as widgets and as a picture that stands by itself.

It knows no server: it is told what to show. All text that is shown passes the redactor, and nothing
in it is taken for a tag.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any, Final

import ipywidgets as widgets

from workbench.diagnostics.changes import Standing
from workbench.diagnostics.finding import sentence
from workbench.plots.style import LOSS, STATE, Chart
from workbench.state import redact
from workbench.telemetry.board import clock

__all__ = ["BUTTONS", "Face", "findings_html", "line_html", "picture_html", "widgets_shown"]

BUTTONS: Final = {
    "start": ("Start", "play", "Look at the server again, once a second"),
    "stop": ("Stop", "pause", "Look no more; a squeezed maxmemory is put back"),
    "rewrite": ("Rewrite AOF now", "refresh", "Send BGREWRITEAOF: the server forks"),
    "squeeze": ("Squeeze maxmemory", "compress", "Lower maxmemory until stop, to see evictions"),
    "keep": ("Keep as run", "save", "Write what was seen since the start as a sealed run"),
}
"""Name of each button: what it says, its sign, and what it does."""

_WORDS: Final = {
    "critical": ("CRITICAL", LOSS),
    "warning": ("WARNING", LOSS),
    "info": ("NOTE", f"var(--jp-brand-color1, {STATE})"),  # readable on dark too
}
_SHOWN_MAX: Final = 8


def widgets_shown() -> bool:
    """
    Whether somebody's front end shows the widgets of this kernel.

    Jupyter's server and VS Code leave a word in the kernel's environment; papermill and nbconvert
    do not, and there a picture is all that stays.
    """
    return any(name in os.environ for name in ("JPY_SESSION_NAME", "VSCODE_PID"))


def line_html(text: str, *, grave: bool = False, strong: bool = False) -> str:
    """A line of text."""
    style = f"color:{LOSS};font-weight:600" if grave else "font-weight:600" if strong else ""
    told = escape(redact(text)).replace("\n", "<br>")
    return f'<div style="line-height:1.45;{style}">{told}</div>' if text else ""


def findings_html(standing: Sequence[Standing], judged: str) -> str:
    """What fails, the gravest first, and since when."""
    rows = [
        f'<li style="margin:0 0 .5em"><b style="color:{_WORDS[each.finding.severity][1]}">'
        f"{_WORDS[each.finding.severity][0]}</b> <b>{escape(each.finding.rule)}</b> "
        f'<span style="opacity:.7">since {clock(each.since_unix_s)} UTC</span><br>'
        f"{escape(redact(sentence(each.finding.says)))}</li>"
        for each in standing[:_SHOWN_MAX]
    ]
    more = len(standing) - len(rows)
    if more > 0:
        rows.append(f"<li>and {more} more: workbench doctor</li>")
    head = f'<div style="line-height:1.4;font-weight:600;margin-bottom:.4em">{escape(judged)}</div>'
    return (
        f'{head}<ul style="list-style:none;margin:0;padding:0;line-height:1.4">{"".join(rows)}</ul>'
    )


def picture_html(head: str, chart: Chart | None, findings: str) -> str:
    """The dashboard as a picture with its words, for whoever has no widgets."""
    image = "" if chart is None else chart._repr_mimebundle_()[0]["text/html"]
    return (
        f'<div class="workbench-live">{head}<div style="overflow-x:auto">{image}</div>'
        f"{findings}</div>"
    )


class Face:
    """
    The widgets of one dashboard.

    Args:
        acts: what each button of ``BUTTONS`` calls.
    """

    def __init__(self, acts: Mapping[str, Callable[[], Any]]) -> None:
        self.head = widgets.HTML()
        self.trouble = widgets.HTML()
        self.image = widgets.Image(
            format="svg+xml", layout=widgets.Layout(max_width="100%", display="none")
        )
        self.reading = widgets.HTML()
        self.findings = widgets.HTML()
        self.told = widgets.HTML()
        self.why_not = widgets.HTML()
        self.buttons = {
            name: widgets.Button(
                description=words,
                icon=icon,
                tooltip=tooltip,
                layout=widgets.Layout(width="auto", margin="2px 6px 2px 0"),
            )
            for name, (words, icon, tooltip) in BUTTONS.items()
        }
        for name, button in self.buttons.items():
            button.on_click(lambda _, act=acts[name]: act())
            _press_at_once(button)
        self.root = self._laid_out()

    def show(self, chart: Chart | None, *, head: str, trouble: str, findings: str) -> None:
        """Show a look; without a chart the last picture stays."""
        self.head.value, self.trouble.value, self.findings.value = head, trouble, findings
        if chart is not None:
            self.image.value = chart.svg().encode()
            self.image.layout.display = None
            self.reading.value = line_html(chart.reading)

    def allow(self, name: str, why_not: str = "") -> None:
        """Let a button be pressed, or say why it may not be."""
        button, (_, _, tooltip) = self.buttons[name], BUTTONS[name]
        button.disabled = bool(why_not)
        button.tooltip = redact(why_not) if why_not else tooltip

    def squeezed(self, now: bool) -> None:
        """Have the button of a squeeze say what it would do now."""
        words = "Release maxmemory" if now else BUTTONS["squeeze"][0]
        self.buttons["squeeze"].description = words

    def close(self) -> None:
        """Have the front end forget the widgets."""
        for each in (*self.root.children, *self.buttons.values(), self.image, self.reading):
            each.close()
        self.root.close()

    def _laid_out(self) -> widgets.Widget:
        wrap = {"flex_flow": "row wrap", "align_items": "flex-start"}
        buttons = widgets.HBox(list(self.buttons.values()), layout=widgets.Layout(**wrap))
        charts = widgets.VBox(
            [self.image, self.reading],
            layout=widgets.Layout(flex="3 1 520px", max_width="880px", min_width="0"),
        )
        beside = widgets.VBox(
            [self.findings],
            layout=widgets.Layout(flex="1 1 260px", min_width="0", padding="4px 0 0 12px"),
        )
        box = widgets.VBox(
            [
                self.head,
                self.trouble,
                buttons,
                self.why_not,
                self.told,
                widgets.HBox([charts, beside], layout=widgets.Layout(**wrap)),
            ]
        )
        box.add_class("workbench-live")
        return box


def _press_at_once(button: widgets.Button) -> None:
    """
    Have a press be heard while a cell is busy, such as with an experiment.

    JupyterLab sends it to a thread of its own in the kernel (a subshell). ipykernel 7.4 sends it on
    to the thread that wrote to the button last, which is the busy one. Other versions do not ask.
    """
    if button.comm is not None:
        button.comm._reply_subshell_for = lambda _, sent_to: sent_to
