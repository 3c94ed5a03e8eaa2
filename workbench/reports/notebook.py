"""Notebook: a file that reports on a run or on several, and the parameters that it takes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import papermill

from workbench.checkout import find_notebook
from workbench.errors import ParameterError, nearest
from workbench.runs.parameters import check_value, read_value

__all__ = ["Notebook", "parameters_of", "read_parameters", "reporting"]

_ONE: Final = "run_dir"
_SEVERAL: Final = "runs"


@dataclass(frozen=True)
class Notebook:
    """
    A notebook of ``notebooks/``.

    Attributes:
        path: its file.
    """

    path: Path

    @property
    def name(self) -> str:
        """Its file's name, without the ending."""
        return self.path.stem

    @cached_property
    def kinds(self) -> dict[str, str]:
        """The declared type of each parameter."""
        known = papermill.inspect_notebook(str(self.path))
        return {name: str(about["inferred_type_name"]) for name, about in known.items()}

    @property
    def takes_several(self) -> bool:
        """Whether it is executed once for all runs, not once for each."""
        return _SEVERAL in self.kinds

    @property
    def target(self) -> str:
        """The parameter by which it is told what to report on."""
        return _SEVERAL if self.takes_several else _ONE


def reporting(names: Iterable[str]) -> list[Notebook]:
    """
    Notebooks that report on runs, each once.

    Raises:
        ParameterError: no such notebook, or one that takes no run.
    """
    found = [Notebook(path) for path in dict.fromkeys(map(find_notebook, names))]
    for notebook in found:
        if notebook.target not in notebook.kinds:
            raise ParameterError(
                f"{notebook.name} takes no {_ONE}, so it does not report on a run; open it by: "
                "make lab"
            )
    return found


def read_parameters(notebooks: Sequence[Notebook], words: Iterable[str]) -> dict[str, Any]:
    """
    Parameters from texts such as ``"window_s=2"``, each as the type that its notebook declares.

    Raises:
        ParameterError: no notebook has such a parameter, or it is not of its type.
    """
    values: dict[str, Any] = {}
    for word in words:
        name, given, text = word.partition("=")
        if not given:
            raise ParameterError(f"{word!r} is not a parameter; write it as name=value")
        if name in {_ONE, _SEVERAL}:
            raise ParameterError(f"{name} is what the argument RUN says; leave it out")
        for notebook in _having(notebooks, name):
            kind = notebook.kinds[name]
            try:
                values[name] = read_value(text, kind)
            except ValueError:
                raise ParameterError(
                    f"{notebook.path.name}: {name} must be of type {kind}, not {text!r}"
                ) from None
    return values


def parameters_of(
    notebooks: Sequence[Notebook], given: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """
    By the name of a notebook, those of the values that it takes.

    Raises:
        ParameterError: a value goes to none of them, or is not of its type.
    """
    chosen: dict[str, dict[str, Any]] = {notebook.name: {} for notebook in notebooks}
    for name, value in given.items():
        for notebook in _having(notebooks, name):
            try:
                check_value(name, value, notebook.kinds[name])
            except ParameterError as error:
                raise ParameterError(f"{notebook.path.name}: {error}") from None
            chosen[notebook.name][name] = value
    return chosen


def _having(notebooks: Sequence[Notebook], name: str) -> list[Notebook]:
    having = [notebook for notebook in notebooks if name in notebook.kinds]
    if not having:
        known = {known for notebook in notebooks for known in notebook.kinds}
        asked = ", ".join(notebook.path.name for notebook in notebooks)
        has = "has" if len(notebooks) == 1 else "have"
        raise ParameterError(f"{asked} {has} no parameter {name!r}{nearest(name, known)}")
    return having
