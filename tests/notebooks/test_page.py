"""The page in a real browser."""

import re
import shutil
import subprocess

import pytest

from tests.capabilities import chromium
from tests.conftest import GOLDEN
from workbench.reports.render import render
from workbench.runs.run import Run

MEASURE = """<script>
const wide = document.documentElement.scrollWidth, room = window.innerWidth;
document.title = `page ${wide} of ${room}, charts ${document.querySelectorAll("img").length}`;
</script></body>"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The golden run's page, with a script at its end that measures it."""
    run = Run(shutil.copytree(GOLDEN, tmp_path_factory.mktemp("page") / "tiny"))
    path = render(run)
    path.write_text(path.read_text().replace("</body>", MEASURE))
    return path


@pytest.mark.capability("chromium")
@pytest.mark.parametrize("width", [1280, 500])
def test_page_fits_its_window(page, tmp_path, width):
    """Nothing sticks out at the side, on a desk or on a phone: wide charts scroll by themselves."""
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"]
    options += ["--disable-background-networking", "--disable-component-update"]
    options += [f"--user-data-dir={tmp_path}", f"--window-size={width},900", "--dump-dom"]

    dom = subprocess.run(
        [chromium(), *options, page.as_uri()],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout

    wide, room, charts = map(int, re.search(r"page (\d+) of (\d+), charts (\d+)", dom).groups())
    assert room <= width
    assert wide <= room
    assert charts == 2
