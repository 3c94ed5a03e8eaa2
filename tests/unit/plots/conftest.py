"""Charts of the golden run, which several tests look at."""

from functools import cache

import pytest

from tests.conftest import GOLDEN
from workbench.runs.run import Run


@pytest.fixture(scope="session")
def golden():
    """The chart that a function makes of the golden run; each is made once."""
    run = Run(GOLDEN)
    return cache(lambda make: make(run))
