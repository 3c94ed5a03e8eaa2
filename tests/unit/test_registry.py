"""A collection finds its members by importing the modules of its folder."""

import itertools
import sys

import pytest

from workbench.errors import UsageError
from workbench.registry import Registry

_numbers = itertools.count()


@pytest.fixture
def registry_of(tmp_path, monkeypatch):
    """Make a package of the given modules, each of which registers what its text says."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(**modules: str) -> Registry[str]:
        name = f"collection_{next(_numbers)}"
        folder = tmp_path / name
        folder.mkdir()
        (folder / "__init__.py").write_text(
            f"from workbench.registry import Registry\nregistry = Registry('chart', {name!r})\n"
        )
        for module, text in modules.items():
            (folder / f"{module}.py").write_text(f"from {name} import registry\n{text}\n")
        registry: Registry[str] = __import__(name).registry
        return registry

    return make


def test_a_module_in_the_folder_is_a_member(registry_of):
    """No list is kept: the module is there, so its member is."""
    registry = registry_of(memory="registry.add('memory', 'M')")

    assert registry["memory"] == "M"


def test_members_are_listed_by_name_whatever_the_order_of_their_files(registry_of):
    """Iteration and values follow the names."""
    registry = registry_of(
        a="registry.add('latency', 'L')", b="registry.add('aof', 'A'); registry.add('memory', 'M')"
    )

    assert list(registry) == ["aof", "latency", "memory"]
    assert registry.values() == ["A", "L", "M"]


def test_no_module_is_imported_before_a_member_is_asked_for(registry_of):
    """Making the registry costs nothing."""
    registry = registry_of(memory="registry.add('memory', 'M')")
    module = f"{registry._package}.memory"
    before = module in sys.modules

    list(registry)

    assert (before, module in sys.modules) == (False, True)


def test_unknown_member_is_an_error_that_names_the_near_one(registry_of):
    """A misspelt name is answered with the one that was meant."""
    registry = registry_of(memory="registry.add('memory', 'M')")

    with pytest.raises(UsageError, match="no chart 'memroy'; did you mean 'memory'"):
        registry["memroy"]


def test_double_name_is_an_error_that_names_both(registry_of):
    """Two members of one name are a mistake of the collection, told when it is loaded."""
    registry = registry_of(
        a="registry.add('memory', 'first')", b="registry.add('memory', 'second')"
    )

    with pytest.raises(ValueError, match="two charts are named 'memory': 'first' and 'second'"):
        list(registry)


def test_a_module_that_fails_is_not_passed_over(registry_of):
    """A broken member breaks the collection, rather than missing from it silently."""
    registry = registry_of(broken="raise RuntimeError('broken member')")

    with pytest.raises(RuntimeError, match="broken member"):
        list(registry)
    with pytest.raises(RuntimeError, match="broken member"):
        list(registry)
