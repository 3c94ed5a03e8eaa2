"""Parameters of notebooks: words become values of the declared type, and nothing else passes."""

from typing import Optional

import pytest

from workbench.errors import ParameterError
from workbench.runs.parameters import check_parameters, check_value, known_kind, read_value


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("x", "str", "x"),
        ("3", "int", 3),
        ("2", "float", 2.0),
        ("True", "bool", True),
        ("none", "Optional[float]", None),
        ("2.5", "Optional[float]", 2.5),
        ("2.5", "float | None", 2.5),
        ("none", "str", "none"),
        ("a,b", "list[str]", ["a", "b"]),
        ("1,2", "list[str]", ["1", "2"]),
        ("1, 2", "list[int]", [1, 2]),
        ("1,x,2.5", "list", [1, "x", 2.5]),
        ('["a,b"]', "list[str]", ["a,b"]),
        ("", "list[str]", []),
    ],
)
def test_word_becomes_a_value_of_the_declared_type(text, kind, value):
    """And the value passes the check of that type."""
    read = read_value(text, kind)

    check_value("x", read, kind)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("text", "kind"),
    [("x", "int"), ("1.5", "int"), ("x", "float"), ("yes", "bool"), ("1,x", "list[int]")],
)
def test_word_of_another_type_is_no_value(text, kind):
    with pytest.raises(ValueError):
        read_value(text, kind)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (3, "str"),
        (True, "int"),
        (1, "bool"),
        (None, "float"),
        ("x", "Optional[float]"),
        (3, "list[str]"),
        (["a", 1], "list[str]"),
        ([True], "list[int]"),
    ],
)
def test_value_of_another_type_is_refused(value, kind):
    with pytest.raises(ParameterError, match="x must be of type"):
        check_value("x", value, kind)


def test_kinds_that_can_be_checked_are_known():
    """One that cannot be would take any value."""
    kinds = [
        "str",
        "int",
        "float",
        "bool",
        "list",
        "list[str]",
        "Optional[list[str]]",
        "str | None",
    ]

    assert all(map(known_kind, kinds))
    assert not any(map(known_kind, ["None", "dict", "Path", "list[Path]"]))


def namespace(injected="", **values):
    declared = {"run_dir": str, "top": int, "runs": list[str], "cap": Optional[float]}  # noqa: UP045
    executed = ["", 'run_dir: str = "latest"', f"# Parameters\n{injected}\n", "top = 4"]
    defaults = {"run_dir": "latest", "top": 3, "runs": [], "cap": None, "of_a_person": 1}
    return {"__annotations__": declared, "In": executed, **defaults, **values}


def test_notebook_takes_what_papermill_put_in():
    """Names that a person made in it are none of the parameters, and do no harm."""
    check_parameters(namespace("top = 5\nruns = ['a']", top=5, runs=["a"], cap=2))


def test_notebook_refuses_a_parameter_that_it_does_not_have():
    """papermill put it in, and only warned."""
    with pytest.raises(ParameterError, match="no parameter 'tpo'; did you mean 'top'"):
        check_parameters(namespace("tpo = 5"))


@pytest.mark.parametrize("wrong", [{"top": "5"}, {"runs": 3}, {"cap": "x"}, {"run_dir": 3}])
def test_notebook_refuses_a_value_of_another_type(wrong):
    (name,) = wrong

    with pytest.raises(ParameterError, match=f"{name} must be of type"):
        check_parameters(namespace(**wrong))
