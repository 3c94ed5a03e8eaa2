"""Every Python block that a page shows is run on a real server, and does what the page says."""

import io
import re
import traceback
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    str(page.relative_to(ROOT))
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    if "```python" in page.read_text()
)
SERVER = "redis://127.0.0.1:6379"
GIVEN = {"message_id": "wamid.1"}
_BLOCK = re.compile(
    r"^```python\n(?P<code>.*?)^```\n(?:\n*```text\n(?P<shown>.*?)^```\n)?",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A Python block, and what the page shows beneath it: its output, its error's last line."""

    line: int
    code: str
    shown: str


def blocks(text: str) -> list[Block]:
    """Of a page, in its order."""
    return [
        Block(text.count("\n", 0, found.start("code")), found["code"], found["shown"] or "")
        for found in _BLOCK.finditer(text)
    ]


def differences(text: str, url: str) -> list[tuple[int, str, str]]:
    """
    Where a page is not true: line, what it shows, what its block said.

    The blocks share their names, as the cells of a notebook do.
    """
    names = dict(GIVEN)
    found = []
    for block in blocks(text):
        said = _said(block, url, names)
        if said != block.shown:
            found.append((block.line, block.shown, said))
    return found


def _said(block: Block, url: str, names: dict) -> str:
    out = io.StringIO()
    # With the lines above it, so that a traceback names the page's line.
    code = "\n" * block.line + block.code.replace(SERVER, url)
    try:
        with redirect_stdout(out):
            exec(compile(code, "page", "exec"), names)
    except Exception as error:  # noqa: BLE001  (it is compared with what the page shows)
        out.write("".join(traceback.format_exception_only(error)))
    return out.getvalue()


@pytest.mark.parametrize("page", PAGES)
def test_page_does_what_it_shows(redis_server, client, page):
    """Word for word: what is printed, and the errors."""
    text = (ROOT / page).read_text()

    assert blocks(text)
    assert differences(text, redis_server.url) == []


def test_pages_are_found():
    """The test above would pass on none."""
    assert "README.md" in PAGES
    assert len(PAGES) >= 4


def test_page_that_shows_something_else_would_be_found(redis_server, client):
    """The control: one letter more in each output, and a block that fails."""
    text = (ROOT / "docs/how-to/best-practices.md").read_text()
    shown = [block for block in blocks(text) if block.shown]
    altered = re.sub(r"^```text\n", "```text\nx", text, flags=re.MULTILINE)
    broken = f"{text}\n```python\nno_such_name\n```\n"

    found = differences(altered, redis_server.url)
    client.flushall()
    (last,) = differences(broken, redis_server.url)

    assert len(found) == len(shown)
    assert last[2] == "NameError: name 'no_such_name' is not defined\n"
