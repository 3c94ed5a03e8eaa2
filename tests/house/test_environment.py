"""environment.yml agrees with pyproject.toml. It is not solved: that needs conda's channel."""

import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import InvalidRequirement, Requirement

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "environment.yml").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

CONDA_ONLY = {"make", "pip", "redis-server"}
"""What no Python package can bring; every other name must be one of pyproject.toml's."""


def disagreements(text):
    """What a conda user would get otherwise than everybody else, a few words each."""
    environment = yaml.safe_load(text)
    python = Requirement(f"python{PROJECT['requires-python']}")
    wanted = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["test"]]
    here = {r.name: r.specifier for r in [python, *map(Requirement, wanted)]}

    found = []
    if environment["channels"] != ["conda-forge"]:
        found.append("another channel")
    if environment["dependencies"][-1:] != [{"pip": ["-e .[test]"]}]:
        found.append("another package by pip")
    names = set()
    for entry in environment["dependencies"]:
        if isinstance(entry, dict):
            continue
        try:
            # The part of conda's syntax that is Python's as well: a name, >= and < with commas.
            conda = Requirement(entry)
        except InvalidRequirement:
            found.append(f"{entry}: no specification")
            continue
        names.add(conda.name)
        if conda.name in here:
            if conda.specifier != here[conda.name]:
                found.append(f"{entry}: pyproject.toml says {here[conda.name] or 'any'}")
        elif conda.name not in CONDA_ONLY:
            found.append(f"{entry}: an unknown name")
    return found + [f"{name} is missing" for name in sorted({"python", *CONDA_ONLY} - names)]


def test_conda_environment_agrees_with_pyproject():
    """The same Python, the same packages, and only what pip cannot bring besides."""
    assert disagreements(TEXT) == []


def test_conda_brings_the_documented_server():
    """The server's range holds 7.0, and ends before 7.4, whose licence is another."""
    entries = yaml.safe_load(TEXT)["dependencies"]
    server = next(Requirement(entry) for entry in entries if "redis-server" in entry)

    versions = ("6.2.14", "7.0.15", "7.2.7", "7.4.0")
    assert [server.specifier.contains(version) for version in versions] == [
        False,
        True,
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("python>=3.11", "python>=3.10", ["python>=3.10: pyproject.toml says >=3.11"]),
        ("make", "numpy>=1", ["numpy>=1: pyproject.toml says >=2", "make is missing"]),
        ("- make", "- make\n  - mkae", ["mkae: an unknown name"]),
        ("<7.3", "=<7.3", ["redis-server>=7.0,=<7.3: no specification", "redis-server is missing"]),
        (".[test]", ".", ["another package by pip"]),
        ("conda-forge", "defaults", ["another channel"]),
    ],
)
def test_disagreement_is_found(old, new, found):
    """The control: each way in which the two files could drift apart is named."""
    before, _, after = TEXT.partition("name:")[2].partition(old)

    assert disagreements(f"name:{before}{new}{after}") == found
