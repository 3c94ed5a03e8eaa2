"""Several runs at once: by names, by a pattern, or all of a folder."""

from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Final

from workbench.checkout import example_run_dir, runs_dir
from workbench.errors import RunError, UsageError
from workbench.runs.facts import began, html_table, server_name
from workbench.runs.listing import RunEntry, list_runs
from workbench.runs.manifest import MANIFEST
from workbench.runs.run import Run, open_run

__all__ = ["Group", "latest_pair", "listed", "open_runs", "two_sides"]

_PATTERN: Final = frozenset("*?[")
_HEAD: Final = ("", "run", "began", "experiment", "status", "server", "seed")


class Group(tuple[Run, ...]):
    """Runs that belong together; shown as a table in a notebook."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "\n".join("  ".join(row) for row in self.rows()) or "no run"

    def rows(self, side: str = "") -> list[tuple[str, ...]]:
        """One row a run, for people."""
        return [
            (
                side,
                run.name + (", the example of the tests" if run.is_example else ""),
                began(run.manifest.started_unix_s),
                str(run.manifest.experiment.get("name", "unknown")),
                run.manifest.status,
                server_name(run.manifest.server),
                str(run.manifest.seed),
            )
            for run in self
        ]

    def _repr_html_(self) -> str:
        return html_table((row[1:] for row in self.rows()), head=_HEAD[1:])


class Sides(tuple[Group, Group]):
    """The baseline, and what is compared with it; shown as a table in a notebook."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "\n".join("  ".join(row) for row in self._rows())

    def _rows(self) -> list[tuple[str, ...]]:
        return [*self[0].rows("baseline"), *self[1].rows("other")]

    def _repr_html_(self) -> str:
        return html_table(self._rows(), head=_HEAD)


def open_runs(where: Any) -> Group:
    """
    Sealed runs, in the order in which they are named; of a folder or a pattern by their time.

    Args:
        where: a list, or one text with commas. Each is a run's directory or name, ``latest``, a
            folder that holds runs, or a pattern such as ``*-demo-*`` of names among the runs.

    Raises:
        UsageError: it is no list of texts.
        RunError: there is no such run, or one is not sealed.
    """
    if isinstance(where, list | tuple):
        where = [str(Path(name)) if isinstance(name, Path | RunEntry) else name for name in where]
    return Group(run for name in listed("runs", where) for run in _open(name))


def listed(name: str, given: Any) -> list[str]:
    """
    Texts that a parameter was given: as a list, or as one text with commas, as papermill's ``-p``
    gives them.

    Raises:
        UsageError: it is neither.
    """
    texts = given.split(",") if isinstance(given, str) else given
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        raise UsageError(
            f'{name} is {given!r}, and not a list of texts such as ["first", "second"]'
        )
    return [text.strip() for text in texts if text.strip()]


def _open(name: str) -> list[Run]:
    path = Path(name)
    if _PATTERN & set(name) and not path.exists():
        found = [entry for entry in list_runs() if fnmatch(entry.name, path.name)]
        if not found:
            raise RunError(f"no sealed run in {runs_dir()} is called like {name!r}")
        return [open_run(entry.path) for entry in found]
    if path.is_dir() and not (path / MANIFEST).exists():
        inside = sorted(found.parent for found in path.glob(f"*/{MANIFEST}"))
        if inside:
            return [open_run(found) for found in inside]
    return [open_run(name)]


def two_sides(runs: Any, baseline: Any = ()) -> Sides:
    """
    The two sides of a comparison.

    Args:
        runs: as ``open_runs`` takes them. Without a baseline the first of them is it; if there is
            none at all, they are the latest run and the one before it of the same experiment.
        baseline: likewise; then all of ``runs`` are compared with these.

    Returns:
        baseline and other; with only one run at hand, it stands on both sides.

    Raises:
        UsageError, RunError: as ``open_runs``; or more than two runs, and no baseline.
    """
    other = open_runs(runs)
    if before := open_runs(baseline):
        return Sides((before, other or open_runs(["latest"])))
    if not other:
        return latest_pair()
    if len(other) > 2:
        raise UsageError(
            f"{len(other)} runs are named, and which of them are the baseline is not said: name "
            "those as baseline, and the others as runs"
        )
    return Sides((Group(other[:1]), Group(other[-1:])))


def latest_pair() -> Sides:
    """
    The latest run, and before it the latest one of the same experiment.

    If there is none before it, it stands on both sides; if there is none at all, the example does.
    """
    known = [entry for entry in list_runs() if entry.status in {"complete", "invalid"}]
    if not known:
        example = Group([Run(example_run_dir())])
        return Sides((example, example))
    last = known[-1]
    same = [entry for entry in known[:-1] if entry.experiment == last.experiment]
    return Sides((Group([Run((same or [last])[-1].path)]), Group([Run(last.path)])))
