"""What the package offers: sorted, real, and explained at the door."""

import ast
import importlib
import pkgutil
from pathlib import Path

import pytest

import workbench

_FOUND = pkgutil.walk_packages(workbench.__path__, prefix="workbench.")
MODULES = ["workbench", *sorted(module.name for module in _FOUND)]


def _tree(name: str) -> ast.Module:
    path = importlib.import_module(name).__file__
    assert path is not None
    return ast.parse(Path(path).read_text())


def _constants_classes_functions(name: str) -> tuple[int, str]:
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


def _is_empty_door(name: str) -> bool:
    return not _tree(name).body


@pytest.mark.parametrize("name", MODULES)
def test_every_module_says_what_it_holds(name):
    """A module's docstring begins with a sentence; a room that is still empty has none."""
    if _is_empty_door(name):
        pytest.skip("this room is still empty")

    docstring = importlib.import_module(name).__doc__

    assert docstring, f"{name} has no docstring"
    assert docstring.strip().split("\n\n")[0].endswith((".", "!", "?", ":"))


@pytest.mark.parametrize("name", MODULES)
def test_all_is_sorted_and_names_what_exists(name):
    """``__all__`` has constants, classes, then functions, each by the alphabet; all are there."""
    module = importlib.import_module(name)
    if not hasattr(module, "__all__"):
        pytest.skip("it offers nothing by name")

    offered = list(module.__all__)

    assert offered == sorted(set(offered), key=_constants_classes_functions)
    assert [given for given in offered if not hasattr(module, given)] == []


@pytest.mark.parametrize("name", MODULES)
def test_a_module_with_public_names_lists_them(name):
    """What is public is in ``__all__``; a helper begins with an underscore or is not listed."""
    defines = any(
        isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
        for node in _tree(name).body
    )

    assert not defines or hasattr(importlib.import_module(name), "__all__")


def test_the_front_door_imports_no_room():
    """Importing the package costs nothing: its door imports nothing of the house."""
    imports = [
        node
        for node in ast.walk(_tree("workbench"))
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]

    assert imports == []
