"""The browser prints a page, or says why not."""

import re
import signal
import subprocess
import sys

import pytest

from tests.commands import processes_below
from tests.waiting import wait_until
from workbench import browser
from workbench.browser import print_page
from workbench.errors import BrowserError

LONG = "<p>line</p>" * 200


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "a page.html"
    path.write_text(f"<!doctype html><title>One</title>{LONG}")
    return path


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """A program in the place of Chromium."""

    def install(script):
        program = tmp_path / "bin" / "chromium"
        program.parent.mkdir()
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setattr(browser, "find_chromium", lambda: program)

    return install


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.capability("chromium")
def test_page_becomes_a_pdf(page):
    """Of as many pages as it takes; nothing else is left beside it."""
    pdf = print_page(page, page.with_suffix(".pdf"))

    content = pdf.read_bytes()
    assert content.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type\s*/Page\b", content)) > 3
    assert names(page.parent) == ["a page.html", "a page.pdf"]


def test_machine_without_a_browser_is_told_what_to_do(page, monkeypatch):
    monkeypatch.setenv("PATH", "")

    with pytest.raises(BrowserError, match=r"no Chromium on PATH.*apt-get install chromium"):
        print_page(page, page.with_suffix(".pdf"))


def test_browser_that_makes_nothing_is_told_with_what_it_said(page, stand_in):
    """And the PDF of before stays."""
    stand_in("echo no display >&2; exit 3")
    pdf = page.with_suffix(".pdf")
    pdf.write_text("of before")

    with pytest.raises(BrowserError, match=r"made no PDF .*ended with 3; no display"):
        print_page(page, pdf)

    assert pdf.read_text() == "of before"
    assert names(page.parent) == ["a page.html", "a page.pdf", "bin"]


def test_browser_that_takes_too_long_is_killed_with_its_children(page, stand_in, tmp_path):
    stand_in(f"cd {tmp_path}; sleep 60 & sleep 60")

    with pytest.raises(BrowserError, match=r"it was killed after 0\.3 s"):
        print_page(page, page.with_suffix(".pdf"), timeout_s=0.3)

    wait_until(lambda: not processes_below(tmp_path), why="the browser is gone")


def test_browser_ends_with_us(page, stand_in, tmp_path):
    """However we end."""
    stand_in("x")  # its own, below: the child process finds it by PATH
    program = tmp_path / "bin" / "chromium"
    program.write_text(f"#!/bin/sh\ncd {tmp_path}\ntouch started\nexec sleep 60\n")
    code = (
        "import sys; from pathlib import Path; from workbench.browser import print_page\n"
        "print_page(Path(sys.argv[1]), Path(sys.argv[1] + '.pdf'))"
    )
    environment = {"PATH": f"{program.parent}:/usr/bin:/bin", "TMPDIR": str(tmp_path)}
    process = subprocess.Popen([sys.executable, "-c", code, page], env=environment)
    wait_until((tmp_path / "started").exists, timeout_s=20, why="it prints")

    process.send_signal(signal.SIGKILL)
    process.wait()

    wait_until(lambda: not processes_below(tmp_path), why="the browser is gone")
