"""What is written down agrees with the code."""

import re
import sys
import tomllib
from pathlib import Path

import pytest

from workbench.diagnostics.finding import RULES
from workbench.state import errors

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
import generate_docs  # noqa: E402

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


@pytest.fixture(scope="module")
def pages():
    """The reference as the code says it."""
    return generate_docs.pages()


@pytest.mark.parametrize(
    "name", ["cli.md", "run-directory.md", "rules.md", "experiments.md", "load.md", "slo.md"]
)
def test_reference_page_is_what_the_code_says(pages, name):
    """A page of docs/reference that the code has outgrown fails; `make docs` writes it again."""
    page = ROOT / "docs" / "reference" / name

    assert page.read_text() == pages[name]


def test_every_command_and_every_rule_is_in_the_reference():
    """A new command or rule cannot be forgotten."""
    cli = (ROOT / "docs/reference/cli.md").read_text()
    rules = (ROOT / "docs/reference/rules.md").read_text()

    commands = generate_docs.command_names()
    missing = [name for name in commands if f"## workbench {name}\n" not in cli]
    missing += [rule for rule in RULES if f"## {rule}\n" not in rules]

    assert len(commands) > 10
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page):
    """A relative link in a page names a file that is there."""
    links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text())

    broken = [link for link in links if not (page.parent / link).exists()]

    assert broken == []


def test_table_of_errors_is_what_the_classes_say():
    """Every error that a chat service can meet, with its code, status and outcome."""
    page = (ROOT / "docs/how-to/best-practices.md").read_text()
    rows = re.findall(r"^\| `(\w+Error)` \| `(\w+)` \| (\d+) \| (\w+) \| (\w+) \|", page, re.M)
    kinds = {
        kind.__name__: kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.StateError)
    }
    del kinds["StateError"]
    made = {
        "SchemaTooNewError": lambda: errors.SchemaTooNewError(found=2, supported=1),
        "SessionLostError": lambda: errors.SessionLostError("gone", reason="unknown"),
    }

    said = {}
    for name, kind in kinds.items():
        error = made.get(name, lambda kind=kind: kind("text"))()
        applied = {True: "yes", False: "no", None: "unknown"}[error.applied]
        retryable = "yes" if error.retryable else "no"
        said[name] = (error.code, str(error.http_status), retryable, applied)

    assert {row[0]: row[1:] for row in rows} == said


def test_readme_names_only_make_targets_that_exist():
    """Each `make target` in the README is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    named = set(re.findall(r"(?:^ {4}|`)make ([a-z-]+)", (ROOT / "README.md").read_text(), re.M))

    assert {"demo", "test"} <= named
    assert named <= targets


def test_lab_listens_on_loopback_only_and_opens_the_tour():
    """Whoever runs cells runs programs: not from the network, nor without the token."""
    makefile = (ROOT / "Makefile").read_text()
    recipe = re.search(r"^lab:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)[1]
    opened = re.search(r"default_url=/lab/tree/(\S+)", recipe)[1]

    assert "--ip 127.0.0.1" in recipe
    assert "token" not in recipe
    assert "password" not in recipe
    for silent in ("news_url=None", "NeverCheckForUpdate", "extension_manager=readonly"):
        assert silent in recipe
    assert (ROOT / "notebooks" / opened).is_file()


def test_lock_has_a_hash_for_every_package_and_names_no_registry():
    """The lock is complete, and says nothing of where packages come from."""
    locks = sorted(ROOT.glob("requirements*.lock"))
    lock = "".join(path.read_text() for path in locks)
    entries = re.split(r"\n(?=[a-z0-9])", lock, flags=re.IGNORECASE)

    without = [entry.split()[0] for entry in entries if "==" in entry and "--hash=" not in entry]

    assert len(locks) == 4
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
