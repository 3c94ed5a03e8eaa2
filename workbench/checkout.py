"""Where the folders beside the package lie: load scenarios, notebooks, runs, an example."""

import os
import re
from pathlib import Path
from typing import Final

from workbench.errors import ParameterError, UsageError, nearest

__all__ = [
    "driver_names",
    "example_run_dir",
    "experiments_dir",
    "find_notebook",
    "grids_dir",
    "loadtests_dir",
    "local_folder",
    "measurements_dir",
    "mixes_dir",
    "notebooks_dir",
    "runs_dir",
    "slo_file",
]

_ROOT = Path(__file__).resolve().parent.parent
_URL: Final = re.compile(r"[a-z][a-z0-9+.-]+:/", re.IGNORECASE)


def loadtests_dir() -> Path:
    """The folder of the Locust scenarios."""
    return _beside("loadtests")


def driver_names(*, sharing: bool = False) -> list[str]:
    """
    The ways to carry a turn to the server: files beside the scenarios, named without ending.

    If ``sharing``, those whose slots can share a pool of connections.
    """
    files = (_beside("loadtests") / "drivers").glob("*.py")
    offered = "def sharing(" if sharing else "def open_slot("
    return sorted(path.stem for path in files if offered in path.read_text())


def experiments_dir() -> Path:
    """The folder of the experiment files."""
    return _beside("loadtests") / "experiments"


def grids_dir() -> Path:
    """The folder of the laboratory's grids, beside the experiments: what is to be tried."""
    return _beside("loadtests") / "grids"


def mixes_dir() -> Path:
    """The folder of the mixes: what people do."""
    return _beside("loadtests") / "mixes"


def slo_file() -> Path:
    """The service level objectives that come with the load; every bound in it is assumed."""
    return _beside("loadtests") / "slo.toml"


def notebooks_dir() -> Path:
    """The folder of the notebooks."""
    return _beside("notebooks")


def measurements_dir() -> Path:
    """The measurements that come with the workbench, each from the machine that it names."""
    return _beside("measurements")


def find_notebook(name: str) -> Path:
    """
    The file of a notebook, named with or without its ending.

    Raises:
        ParameterError: there is none of this name.
    """
    path = notebooks_dir() / f"{Path(name).stem}.ipynb"
    if not path.is_file():
        known = [found.stem for found in notebooks_dir().glob("*.ipynb")]
        raise ParameterError(f"there is no notebook {name!r}{nearest(path.stem, known)}")
    return path


def runs_dir() -> Path:
    """
    Where runs are kept: ``WORKBENCH_RUNS``, else ``runs`` in the checkout.

    Raises:
        UsageError: the variable names no folder of this machine.
    """
    given = os.environ.get("WORKBENCH_RUNS")
    return local_folder("WORKBENCH_RUNS", given) if given else _ROOT / "runs"


def local_folder(named_by: str, given: str | Path) -> Path:
    """
    A folder of this machine, there or not: a run is written piece by piece, and renamed into place.

    Args:
        named_by: the option or variable, for the message.
        given: what it says.

    Raises:
        UsageError: it is the URL of another place, as of an object store.
    """
    # As a path s3://bucket is s3:/bucket, and a folder of that name would be made here.
    if _URL.match(str(given)):
        raise UsageError(
            f"{named_by} is {str(given)!r}, and a run is written to a folder of this machine; "
            "copy it from there once it is sealed: docs/how-to/scale-out.md"
        )
    return Path(given)


def example_run_dir() -> Path:
    """The run that comes with the tests: what a notebook shows as long as there is no other."""
    return _ROOT / "tests" / "data" / "runs" / "tiny"


def _beside(name: str) -> Path:
    folder = _ROOT / name
    if not folder.is_dir():
        raise UsageError(
            f"{name}/ is not beside the package ({_ROOT}): the workbench runs from its checkout; "
            "clone it, then: make demo"
        )
    return folder
