"""Nothing that is asked of every run loads its turns: there may be a hundred million of them."""

import ast
from pathlib import Path

import pytest

import workbench

ROOMS = ("analysis", "diagnostics", "plots", "reports", "cli")
MODULES = sorted(
    path for room in ROOMS for path in (Path(workbench.__file__).parent / room).rglob("*.py")
)
FRAMES = {"operations", "measured"}


def loads_turns(source: str) -> list[str]:
    """Where a run is asked for its turns as a frame: the line, and as what."""
    return [
        f"{node.lineno}: {ast.unparse(node)}"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute)
        and node.attr in FRAMES
        and ast.unparse(node.value).rpartition(".")[2] in {"run", "opened"}
    ]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_turns_are_asked_where_they_lie(path):
    """By ``run.turns`` and ``run.measured_turns``; the frames are for people who explore."""
    assert loads_turns(path.read_text()) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("x = loss(run.operations)", ["1: run.operations"]),
        ("\nlen(self.run.measured)", ["2: self.run.measured"]),
        ("loss(run.turns), run.measured_turns, run.measured_s, each.measured", []),
    ],
)
def test_a_frame_of_turns_is_noticed(source, found):
    """The control; an objective's ``measured`` is none."""
    assert loads_turns(source) == found
