"""JupyterLab in a real browser: the tour, the live dashboard and its buttons, and what is left."""

import os
import re
import signal
import time

import nbformat
import pytest

from tests.commands import processes_below
from tests.notebooks.lab import browser, lab
from tests.notebooks.test_form import TOUR
from tests.waiting import wait_until
from workbench.server.process import PrivateServer
from workbench.server.profiles import profile
from workbench.state import connect

pytestmark = pytest.mark.capability("playwright", "redis-on-path")

SHORT = 'measure_s: float = 3.0\nturns_per_s: float = 60.0\nmaxmemory: str = "5mb"'
OWN = """
import os
from pathlib import Path
from workbench.live import Dashboard
from workbench.server.process import PrivateServer
from workbench.server.profiles import profile
server = PrivateServer(profile("demo"), Path("own")).start()
Dashboard(server)
"""
PROBE = 'print(f"pid={os.getpid()} url={server.url}")'
LONG_MS = 60_000


class Page:
    """A notebook in JupyterLab, and all that went wrong on it."""

    def __init__(self, page, address):
        self.page = page
        self.complaints = []
        self.outside = []
        page.set_default_timeout(LONG_MS)
        page.on("console", lambda told: self._complain(told.type, told.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda asked: self._asked(asked.url))
        page.goto(address)
        page.locator("#jp-main-statusbar", has_text="Idle").wait_for()

    def _complain(self, kind, text):
        if kind == "error":
            self.complaints.append(text)

    def _asked(self, url):
        if not re.match(r"(?:https?|wss?)://127\.0\.0\.1:|data:|blob:", url):
            self.outside.append(url)

    def choose(self, menu, item):
        self.page.locator(".lm-MenuBar-itemLabel", has_text=re.compile(f"^{menu}$")).click()
        self.page.locator(".lm-Menu-itemLabel", has_text=re.compile(f"^{item}")).first.click()

    def cell(self, text):
        """The cell whose source holds the text."""
        source = self.page.locator(".jp-InputArea", has_text=text)
        return self.page.locator(".jp-CodeCell", has=source).first

    def dashboard(self, text):
        return self.cell(text).locator(".jp-OutputArea .workbench-live").first

    def image(self, text):
        """Where the picture of the dashboard comes from now; it is a new place at each drawing."""
        return self.dashboard(text).locator("img").first.get_attribute("src")

    def outputs(self, text):
        return self.cell(text).locator(".jp-OutputArea-output")

    def errors(self):
        return self.page.locator(
            '[data-mime-type="application/vnd.jupyter.error"], '
            '[data-mime-type="application/vnd.jupyter.stderr"]'
        ).all_inner_texts()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("lab")


@pytest.fixture(scope="module")
def foreign(folder):
    """A server with somebody's key on it."""
    with (
        PrivateServer(profile("demo"), folder / "foreign") as server,
        server.client() as client,
    ):
        client.set("theirs", "1")
        yield server


@pytest.fixture(scope="module")
def opened(folder, foreign):
    """Open a notebook of this folder: the tour, made short, or one with two dashboards."""
    notebooks = folder / "notebooks"
    notebooks.mkdir()
    tour = nbformat.read(TOUR, as_version=4)
    next(cell for cell in tour.cells if cell.id == "parameters").source = SHORT
    nbformat.write(tour, notebooks / TOUR.name)
    other = nbformat.v4.new_notebook(metadata=tour.metadata)
    sources = (OWN, f'Dashboard("{foreign.url}")', PROBE)
    other.cells = [nbformat.v4.new_code_cell(source.strip()) for source in sources]
    nbformat.write(other, notebooks / "other.ipynb")
    with lab(folder, notebooks) as address, browser() as started:
        yield lambda name: Page(
            started.new_page(viewport={"width": 1280, "height": 900}), address(name)
        )


def test_tour_runs_with_its_dashboard_alive(opened, record_property):
    """Without an error: the picture changes, and a press is heard while the load goes on."""
    tour = opened(TOUR.stem)
    drive = "run_experiment(experiment)"
    began_s = time.monotonic()
    tour.choose("Run", "Run All Cells")
    tour.dashboard(drive).locator("img").first.wait_for()
    record_property("first_chart_s", round(time.monotonic() - began_s, 1))

    seen = set()
    wait_until(lambda: seen.add(tour.image(drive)) or len(seen) > 2, 60, why="three pictures")
    tour.dashboard(drive).get_by_role("button", name="Rewrite AOF now").click()
    tour.dashboard(drive).get_by_text(re.compile("AOF anew|going on already")).wait_for()
    busy = tour.cell(drive).locator(".jp-InputPrompt").inner_text()
    tour.outputs("evaluate(run)").first.wait_for()
    chart = tour.outputs("figure_eviction(run)").locator("img").first

    assert busy == "[*]:"
    assert chart.evaluate("image => image.naturalWidth") > 0
    assert tour.dashboard(drive).locator("img").evaluate("image => image.naturalWidth") > 0
    assert tour.errors() == []
    assert tour.complaints == []
    assert tour.outside == []
    assert "get notified" not in tour.page.locator("body").inner_text()
    tour.page.close()


@pytest.mark.slow
def test_buttons_are_for_our_own_server_and_nothing_outlives_the_kernel(opened, folder, foreign):
    """Rewrite on ours, disabled on a foreign one; restart or kill of the kernel end the server."""
    other = opened("other")
    other.choose("Run", "Run All Cells")
    told = other.outputs("print(f").first.inner_text()
    url = re.search(r"url=(\S+)", told)[1]
    ours, theirs = other.dashboard("Dashboard(server)"), other.dashboard(foreign.url)
    with connect(url) as client:
        before = client.info("persistence")["aof_rewrites"]
        ours.get_by_role("button", name="Rewrite AOF now").click()
        wait_until(lambda: client.info("persistence")["aof_rewrites"] > before, 60)
    theirs.get_by_text("does not carry the workbench's mark").first.wait_for()
    rewrite = theirs.get_by_role("button", name="Rewrite AOF now")
    wait_until(theirs.get_by_role("button", name="Keep as run").is_enabled, 60)

    assert rewrite.is_disabled()
    assert "does not carry" in rewrite.get_attribute("title")
    assert other.errors() == []
    assert servers_of(folder / "notebooks")

    other.choose("Kernel", "Restart Kernel…")
    other.page.locator(".jp-Dialog").get_by_role("button", name="Confirm").click()
    wait_until(lambda: not servers_of(folder / "notebooks"), 60, why="no server is left")
    other.page.locator("#jp-main-statusbar", has_text="Idle").wait_for()
    other.choose("Run", "Run All Cells")
    wait_until(lambda: servers_of(folder / "notebooks"), 60, why="a server again")
    other.page.wait_for_function(f"text => !document.body.innerText.includes({told.strip()!r})")
    kernel = int(re.search(r"pid=(\d+)", other.outputs("print(f").first.inner_text())[1])
    os.kill(kernel, signal.SIGKILL)
    wait_until(lambda: not servers_of(folder / "notebooks"), 60, why="no server is left")

    assert other.outside == []
    with foreign.client() as client:
        assert client.info("persistence")["aof_rewrites"] == 0
    other.page.close()


def servers_of(folder):
    """The servers that work below the folder."""
    return [line for line in processes_below(folder) if "-server" in line]
