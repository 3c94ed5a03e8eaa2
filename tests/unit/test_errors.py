"""The tree of errors, and the end of a message that helps."""

import pytest

from workbench import errors
from workbench.errors import nearest


def test_nearest_names_what_was_meant():
    """A misspelt name is answered with the one that is close to it."""
    assert nearest("maxmemroy", ["maxmemory", "appendonly"]) == "; did you mean 'maxmemory'?"


def test_nearest_lists_what_there_is_when_nothing_is_close():
    """A name that resembles nothing is answered with all names, in order."""
    assert nearest("zebra", ["steady", "burst"]) == "; known: burst, steady"


@pytest.mark.parametrize("name", [name for name in errors.__all__ if name.endswith("Error")])
def test_every_error_is_caught_by_the_root(name):
    """One except clause catches whatever the workbench foresaw."""
    assert issubclass(getattr(errors, name), errors.WorkbenchError)


def test_the_drawn_tree_is_the_real_one():
    """Each error stands in the docstring, one branch deeper than the class it derives from."""
    assert errors.__doc__ is not None
    depth = {}
    for line in errors.__doc__.splitlines():
        word = next((part for part in line.split() if part.endswith("Error")), None)
        if word:
            depth.setdefault(word, line.index(word) // 4)

    classes = [getattr(errors, name) for name in errors.__all__ if name != "nearest"]

    assert set(depth) == {kind.__name__ for kind in classes}
    assert all(
        depth[kind.__name__] == depth[kind.__base__.__name__] + 1
        for kind in classes
        if kind is not errors.WorkbenchError
    )
