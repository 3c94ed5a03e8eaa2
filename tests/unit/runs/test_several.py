"""Several runs by names, patterns and folders, and which of them is the baseline."""

import shutil

import pytest

from tests.conftest import GOLDEN
from workbench.errors import RunError, UsageError
from workbench.runs.several import latest_pair, open_runs, two_sides


@pytest.fixture
def three(runs_folder):
    """Three runs, by the order of their names."""
    for name in ("a-one", "a-two", "b-one"):
        shutil.copytree(GOLDEN, runs_folder / name)
    return runs_folder


def names(runs):
    return [run.path.name for run in runs]


@pytest.mark.parametrize(
    ("where", "found"),
    [
        (["b-one", "a-one"], ["b-one", "a-one"]),
        ("b-one, a-one", ["b-one", "a-one"]),
        (["a-*"], ["a-one", "a-two"]),
        (["latest"], ["b-one"]),
        (["runs/latest"], ["b-one"]),
        ([], []),
        ("", []),
    ],
)
def test_runs_are_found_by_name_and_pattern(three, where, found):
    """As a list, or as one text with commas, which papermill's -p gives."""
    assert names(open_runs(where)) == found


def test_folder_stands_for_the_runs_in_it(three):
    """In the order of their names, which begin with their time."""
    assert names(open_runs([str(three)])) == ["a-one", "a-two", "b-one"]


@pytest.mark.parametrize("where", [3, [3], {"a-one": 1}, True])
def test_what_is_no_list_of_texts_is_refused(three, where):
    """A number that papermill passed on."""
    with pytest.raises(UsageError, match=r"runs is .*, and not a list of texts"):
        open_runs(where)


def test_run_that_is_not_there_is_refused_with_the_nearest(three):
    """A name, or a pattern."""
    with pytest.raises(RunError, match="did you mean 'a-one'"):
        open_runs(["a-oen"])
    with pytest.raises(RunError, match=r"no sealed run in .* is called like 'c-\*'"):
        open_runs(["c-*"])


def test_first_of_two_is_the_baseline(three):
    """Runs alone are enough."""
    before, after = two_sides(["a-one", "b-one"])

    assert (names(before), names(after)) == (["a-one"], ["b-one"])


def test_baseline_can_be_a_group(three):
    """Then all of the runs are held against it."""
    before, after = two_sides(["b-one"], ["a-*"])

    assert (names(before), names(after)) == (["a-one", "a-two"], ["b-one"])


def test_three_runs_without_a_baseline_are_refused(three):
    """Nobody knows which is which."""
    with pytest.raises(UsageError, match="3 runs are named, and which of them are the baseline"):
        two_sides(["a-one", "a-two", "b-one"])


def test_nothing_named_is_the_latest_two_of_one_experiment(three):
    """What somebody who just ran it again wants to see."""
    assert [names(side) for side in two_sides([])] == [["a-two"], ["b-one"]]


def test_without_any_run_the_example_stands_on_both_sides(runs_folder):
    """The notebook opens before the first run."""
    before, after = latest_pair()

    assert before == after
    assert before[0].is_example
    assert "the example of the tests" in repr(two_sides([]))
