"""
The browser: an installed Chromium, to print a page to PDF.

A room of its own, since it starts a program: the reports, which read runs, may not.
"""

import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

from workbench.errors import BrowserError
from workbench.server.process import die_with_parent, tail

__all__ = ["chromium_or_refuse", "find_chromium", "print_page"]

_NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_OPTIONS: Final = (
    "--headless",
    # As root, and in most containers, it does not start in its sandbox. What it is given is a page
    # of ours, without scripts, that loads nothing.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",  # 64 MiB in a container
    "--no-first-run",
    "--disable-sync",
    "--disable-extensions",
    "--disable-component-update",
    "--disable-background-networking",
    "--disable-breakpad",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--blink-settings=preferredColorScheme=1",  # light
    "--no-pdf-header-footer",
)


def find_chromium() -> Path | None:
    """The browser on PATH, under any of its names."""
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    return Path(found) if found else None


def chromium_or_refuse() -> Path:
    """
    The browser on PATH.

    Raises:
        BrowserError: there is none.
    """
    chromium = find_chromium()
    if chromium is None:
        raise BrowserError(
            f"there is no Chromium on PATH ({', '.join(_NAMES)}); install one, as by apt-get "
            "install chromium, or print the page from any browser"
        )
    return chromium


def print_page(page: Path, pdf: Path, *, timeout_s: float = 60.0) -> Path:
    """
    Print a page of HTML to a PDF, whole or not at all.

    The browser has a profile of its own, which goes with it; it is killed with us, and when it
    takes longer than ``timeout_s``.

    Raises:
        BrowserError: there is no Chromium, or it made no PDF; the message has what it said.
    """
    chromium = chromium_or_refuse()
    with tempfile.TemporaryDirectory(prefix="workbench-pdf-", ignore_cleanup_errors=True) as made:
        profile = Path(made)
        printed = pdf.with_name(f".{pdf.name}.{os.getpid()}")
        command = [chromium, *_OPTIONS, f"--user-data-dir={profile / 'profile'}"]
        command += [f"--print-to-pdf={printed.resolve()}", page.resolve().as_uri()]
        log = profile / "log"
        try:
            ended = _run([str(word) for word in command], profile, log, timeout_s=timeout_s)
            if not (printed.is_file() and printed.read_bytes()[:5] == b"%PDF-"):
                raise BrowserError(
                    f"{chromium} made no PDF of {page}: {ended}; {tail(log, lines=4)}"
                )
            printed.replace(pdf)
        finally:
            printed.unlink(missing_ok=True)
    return pdf


def _run(command: list[str], folder: Path, log: Path, *, timeout_s: float) -> str:
    with log.open("w") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "TMPDIR": str(folder), "XDG_CONFIG_HOME": str(folder)},
            start_new_session=True,
            preexec_fn=die_with_parent(),  # noqa: PLW1509
        )
        try:
            return f"it ended with {process.wait(timeout=timeout_s)}"
        except subprocess.TimeoutExpired:
            return f"it was killed after {timeout_s:g} s"
        finally:
            # With the processes that it started itself, however it ended.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
