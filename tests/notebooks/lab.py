"""JupyterLab as `make lab` starts it, on a port, a token and folders of its own; and its page."""

import os
import re
import secrets
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

from tests.capabilities import chromium
from tests.commands import ROOT
from tests.waiting import wait_until
from workbench.server import process as processes

__all__ = ["browser", "lab", "options"]


def options():
    """What `make lab` gives JupyterLab."""
    recipe = re.search(r"^lab:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)[1]
    words = (
        recipe.replace("\\\n", " ")
        .replace("$(AS_ROOT)", "")
        .replace("$(CURDIR)", str(ROOT))
        .split()[2:]
    )
    return [*words, "--allow-root"] if os.geteuid() == 0 else words


@contextmanager
def lab(folder, notebooks):
    """Serve a folder of notebooks; the address of a notebook's page, by its name."""
    token, port = secrets.token_hex(8), processes.free_port()
    kinds = ("config", "data", "runtime")
    environment = {
        **{k: v for k, v in os.environ.items() if k != "REDIS_STATE_URL"},
        **{f"JUPYTER_{kind.upper()}_DIR": str(folder / kind) for kind in kinds},
        "IPYTHONDIR": str(folder / "ipython"),
        "WORKBENCH_RUNS": str(folder / "runs"),
        "JUPYTER_TOKEN": token,
    }
    words = [word if word != "notebooks" else str(notebooks) for word in options()]
    words += ["--port", str(port), "--ServerApp.port_retries=0"]
    log = folder / "lab.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [Path(sys.executable).with_name("jupyter"), "lab", "--no-browser", *words],
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=processes.die_with_parent(),  # noqa: PLW1509
        )
    try:
        wait_until(lambda: "is running at" in log.read_text(), 40, why="JupyterLab is up")
        # Each in a workspace of its own: in one, the notebook that was left open would open too.
        there = f"http://127.0.0.1:{port}/lab/workspaces"
        yield lambda name: f"{there}/{name}/tree/{name}.ipynb?token={token}"
    finally:
        process.terminate()
        process.wait(timeout=20)


@contextmanager
def browser():
    """A Chromium that can be driven."""
    from playwright.sync_api import sync_playwright

    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as driver:
        started = driver.chromium.launch(
            executable_path=chromium(), args=[*sandbox, "--disable-gpu"]
        )
        try:
            yield started
        finally:
            started.close()
