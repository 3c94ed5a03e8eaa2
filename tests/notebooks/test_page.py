"""The page in a real browser."""

import re
import shutil
import subprocess

import pytest

from tests.capabilities import chromium
from tests.conftest import GOLDEN
from workbench.diagnostics.finding import Finding, Findings
from workbench.diagnostics.slo import Slo, judge, read_slo
from workbench.reports.page import page_of_run
from workbench.reports.render import render
from workbench.runs.run import Run

SCHEME = "--blink-settings=preferredColorScheme"
MEASURE = """<script>
const wide = document.documentElement.scrollWidth, room = window.innerWidth;
const ground = getComputedStyle(document.body).backgroundColor;
const charts = document.querySelectorAll("img").length;
document.title = `page ${wide} of ${room}, charts ${charts}, on ${ground}`;
</script></body>"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The golden run's page with objectives on it, and a script at its end that measures it."""
    run = Run(shutil.copytree(GOLDEN, tmp_path_factory.mktemp("page") / "tiny"))
    path = render(run, "10-eviction", slo=judge(run, read_slo()))
    path.write_text(path.read_text().replace("</body>", MEASURE))
    return path


@pytest.mark.capability("chromium")
@pytest.mark.parametrize("width", [1280, 500])
def test_page_fits_its_window(page, tmp_path, width):
    """Nothing sticks out at the side, on a desk or on a phone: wide charts scroll by themselves."""
    title = seen(page, tmp_path, f"--window-size={width},900")

    wide, room, charts = map(int, re.search(r"page (\d+) of (\d+), charts (\d+)", title).groups())
    assert room <= width
    assert wide <= room
    assert charts == 2


@pytest.mark.capability("chromium")
def test_page_is_light_or_dark_as_its_reader_has_it(page, tmp_path):
    """It follows the setting of the system: 0 is dark, 1 is light."""
    grounds = [
        re.search(r"on rgb\((\d+)", seen(page, tmp_path / scheme, f"{SCHEME}={scheme}"))[1]
        for scheme in "01"
    ]

    dark, light = map(int, grounds)
    assert dark < 60
    assert light > 200


def seen(page, folder, *more):
    """What a browser makes of the page, as the script at its end tells it."""
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"]
    options += ["--disable-background-networking", "--disable-component-update"]
    options += [f"--user-data-dir={folder}", "--dump-dom", *more]

    return subprocess.run(
        [chromium(), *options, page.as_uri()],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout


def test_page_says_what_became_of_each_objective(page):
    """As the command does: which was broken, and by how much."""
    text = page.read_text()
    table = text.partition("Objectives of ")[2].partition("</table>")[0]

    told = [re.findall(r"<td>(?:<span[^>]*>)?([^<]*)", row) for row in table.split("<tr>")[2:]]

    assert [row[:2] for row in told if row[0] != "pass"] == [["fail", "lost_state_share"]]
    assert len(told) == 7
    assert "points over" in next(row[-1] for row in told if row[0] == "fail")


def test_page_of_a_run_whose_rules_hold_begins_with_the_objective_that_broke():
    """The rules' first finding would not be what the verdict rests on."""
    run = Run(GOLDEN)
    found = Finding(rule="x", title="?", severity="critical", verdict="unknown", says="who knows")
    slo = judge(run, Slo("slo.toml", response_p99_s=0.001))

    text = page_of_run(run, Findings([found]), slo, [])

    assert '<section class="card verdict fail" id="verdict">' in text
    assert f'<p class="says">{slo.says}.</p>' in text
