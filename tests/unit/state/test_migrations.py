"""Migrations: ordered, pure, one step a version."""

import copy

import pytest

from workbench.state import InvalidStateError
from workbench.state.migrations import MIGRATIONS, migrated


def test_steps_are_taken_in_order_from_where_the_document_is():
    """Each step is taken once, and the version is kept by the steps' number."""
    steps = [lambda old, n=n: {**old, "taken": [*old.get("taken", []), n]} for n in range(3)]

    assert migrated({}, steps) == {"taken": [0, 1, 2], "schema": 3}
    assert migrated({"schema": 1}, steps) == {"taken": [1, 2], "schema": 3}
    assert migrated({"schema": 3}, steps) == {"schema": 3}


@pytest.mark.parametrize("version", [-1, "1", 1.0, True, None, [], {}])
def test_version_that_is_no_number_is_refused(version):
    """It is not guessed what such a document is."""
    with pytest.raises(InvalidStateError, match="schema"):
        migrated({"schema": version})


@pytest.mark.parametrize("step", MIGRATIONS)
@pytest.mark.parametrize(
    "document",
    [
        {},
        {"channel": 1, "flow_data": None, "_metadata": None, "_validation": None},
        {"flow_data": {}, "_validation": {"attempts": 3}},
        {"flow_data": [], "_metadata": [], "_validation": "x"},
        {"flow_data": {"context": "a", "validation": {"attempts": "3", "last_attempt": {}}}},
    ],
)
def test_step_never_fails_and_leaves_its_document_alone(step, document):
    """Whatever it is given: the shape is checked afterwards, in one place."""
    before = copy.deepcopy(document)

    once = step(document)

    assert document == before
    assert step(once) == once
