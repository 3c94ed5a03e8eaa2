"""The page in a real browser."""

import re
import shutil
import subprocess

import pytest

from tests.capabilities import chromium
from tests.conftest import GOLDEN
from tests.notebooks.lab import browser
from workbench.diagnostics.finding import Finding, Findings
from workbench.diagnostics.slo import Slo, judge, read_slo
from workbench.reports.page import page_of_run
from workbench.reports.render import render
from workbench.runs.run import Run

SCHEME = "--blink-settings=preferredColorScheme"
COLOURS = """() => {
    const [root, body] = [document.documentElement, document.body].map(e => getComputedStyle(e));
    const clear = "rgba(0, 0, 0, 0)";
    const paper = body.backgroundColor == clear ? root.backgroundColor : body.backgroundColor;
    return {paper: paper == clear ? "rgb(255, 255, 255)" : paper, ink: body.color};
}"""


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
    assert charts == page.read_text().count("<img ")


@pytest.mark.slow  # a driven browser sees it below
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

    text = page_of_run(run, Findings([found]), slo, [], again="")

    assert '<section class="card verdict fail" id="verdict">' in text
    assert f'<p class="says">{slo.says}.</p>' in text


@pytest.fixture(scope="module")
def looks(page):
    """What a driven browser saw of the page, for readers who prefer light, and who prefer dark."""
    found = {"path": page}
    with browser() as started:
        for scheme in ("light", "dark"):
            asked, complaints = [], []
            tab = started.new_page(color_scheme=scheme)
            tab.on("request", lambda request, asked=asked: asked.append(request.url))
            tab.on("pageerror", lambda error, told=complaints: told.append(str(error)))
            tab.on("console", lambda line, told=complaints: told.append(line.text))
            tab.goto(page.as_uri())
            sizes = tab.evaluate("[...document.images].map(each => each.naturalWidth)")
            drawn = tab.evaluate("document.querySelectorAll('svg').length")
            found[scheme] = tab.evaluate(COLOURS) | {
                "sizes": sizes,
                "charts": len(sizes) + drawn,
                "asked": asked,
                "complaints": complaints,
            }
    return found


@pytest.mark.capability("playwright")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_shows_its_charts_and_asks_nobody(looks, scheme):
    """Each picture has a size, the console is silent, and no request leaves the file."""
    shown = looks[scheme]

    outside = [url for url in shown["asked"] if not url.startswith("data:")]

    assert shown["charts"] >= 2
    assert all(width > 100 for width in shown["sizes"])
    assert outside == [looks["path"].as_uri()]
    assert shown["complaints"] == []


@pytest.mark.capability("playwright")
def test_page_is_dark_for_readers_who_prefer_it(looks):
    """Paper and ink change places, and stay far apart."""
    light, dark = looks["light"], looks["dark"]

    assert brightness(light["paper"]) > 200
    assert brightness(light["ink"]) < 100
    assert brightness(dark["paper"]) < 80
    assert brightness(dark["ink"]) > 150


def brightness(colour):
    """Mean of red, green and blue, 0…255."""
    return sum(map(int, re.findall(r"\d+", colour)[:3])) / 3
