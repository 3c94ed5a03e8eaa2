"""What is written down agrees with the code."""

import re
import shlex
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from workbench.cli import app
from workbench.diagnostics.finding import RULES
from workbench.server.profiles import profile
from workbench.units import parse_bytes

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
import generate_docs  # noqa: E402

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


@pytest.mark.parametrize("name", ["cli.md", "run-directory.md", "rules.md"])
def test_reference_page_is_what_the_code_says(name):
    """A page of docs/reference that the code has outgrown fails; `make docs` writes it again."""
    page = ROOT / "docs" / "reference" / name

    text = generate_docs.pages()[name]

    assert page.read_text() == text


def test_every_command_and_every_rule_is_in_the_reference():
    """A new command or rule cannot be forgotten."""
    cli = (ROOT / "docs/reference/cli.md").read_text()
    rules = (ROOT / "docs/reference/rules.md").read_text()

    missing = [c.callback.__name__ for c in app.registered_commands if c.callback]
    missing = [name for name in missing if f"## workbench {name}\n" not in cli]
    missing += [rule for rule in RULES if f"## {rule}\n" not in rules]

    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page):
    """A relative link in a page names a file that is there."""
    links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text())

    broken = [link for link in links if not (page.parent / link).exists()]

    assert broken == []


def test_readme_names_only_make_targets_that_exist():
    """Each `make target` in the README is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    named = set(re.findall(r"(?:^ {4}|`)make ([a-z]+)", (ROOT / "README.md").read_text(), re.M))

    assert {"demo", "test"} <= named
    assert named <= targets


def test_compose_starts_the_development_profile():
    """docker-compose.yml and the private server have the same settings."""
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    words = shlex.split(compose["services"]["redis-state"]["command"])[1:]
    flags = {
        name.removeprefix("--"): value for name, value in zip(words[::2], words[1::2], strict=True)
    }

    directives = profile("development").directives()

    assert parse_bytes(flags.pop("maxmemory")) == int(directives["maxmemory"])
    assert flags == {name: directives[name].strip('"') for name in flags}
    assert set(flags) == {"maxmemory-policy", "appendonly", "appendfsync", "save"}


def test_compose_publishes_on_loopback_only():
    """A server without a password is not offered to the network."""
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())

    ports = [port for service in compose["services"].values() for port in service["ports"]]

    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_lab_listens_on_loopback_only_and_opens_the_tour():
    """Whoever runs cells runs programs: not from the network, and not without the token."""
    makefile = (ROOT / "Makefile").read_text()
    recipe = re.search(r"^lab:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)[1]
    opened = re.search(r"default_url=/lab/tree/(\S+)", recipe)[1]

    assert "--ip 127.0.0.1" in recipe
    assert "token" not in recipe
    assert "password" not in recipe
    assert (ROOT / "notebooks" / opened).is_file()


def test_conda_environment_agrees_with_pyproject():
    """environment.yml asks for the same Python, and leaves the packages to pyproject.toml."""
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    conda = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    pip = next(entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))

    assert f"python{project['requires-python']}" in conda
    assert {re.split(r"[<>=]", entry)[0] for entry in conda} == {
        "python",
        "make",
        "redis-server",
        "pip",
    }
    assert pip == ["-e .[test]"]


def test_lock_has_a_hash_for_every_package_and_names_no_registry():
    """The lock is complete, and says nothing of where packages come from."""
    lock = (ROOT / "requirements.lock").read_text() + (ROOT / "requirements-uv.lock").read_text()
    entries = re.split(r"\n(?=[a-z0-9])", lock, flags=re.IGNORECASE)

    without = [entry.split()[0] for entry in entries if "==" in entry and "--hash=" not in entry]

    assert len(entries) > 50
    assert without == []
    assert "://" not in lock


def test_lock_holds_every_dependency_of_the_project():
    """pyproject.toml was not changed without `make lock`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lock = (ROOT / "requirements.lock").read_text()
    locked = {
        name.lower() for name in re.findall(r"^([\w.-]+)(?:\[[^\]]*\])?==", lock, re.MULTILINE)
    }

    wanted = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    names = {re.match(r"[\w.-]+", entry)[0].lower().replace("_", "-") for entry in wanted}

    assert names <= {name.replace("_", "-") for name in locked}


def test_ci_calls_the_readmes_own_commands():
    """What is checked before a change lands is what a newcomer types."""
    script = (ROOT / ".ci" / "run").read_text()

    assert re.search(r"^make test\b", script, re.MULTILINE)
    assert re.search(r"^make demo\b", script, re.MULTILINE)
