"""The report's page in a driven browser: for readers who prefer light, and who prefer dark."""

import re
import shutil

import pytest

from tests.conftest import GOLDEN
from tests.notebooks.lab import browser
from workbench.reports.render import render
from workbench.runs.run import Run

pytestmark = pytest.mark.capability("playwright")

COLOURS = """() => {
    const [root, body] = [document.documentElement, document.body].map(e => getComputedStyle(e));
    const clear = "rgba(0, 0, 0, 0)";
    const paper = body.backgroundColor == clear ? root.backgroundColor : body.backgroundColor;
    return {paper: paper == clear ? "rgb(255, 255, 255)" : paper, ink: body.color};
}"""


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """What a browser saw of the golden run's page, in light and in dark."""
    run = Run(shutil.copytree(GOLDEN, tmp_path_factory.mktemp("page") / "tiny"))
    path = render(run)
    found = {"path": path}
    with browser() as started:
        for scheme in ("light", "dark"):
            asked, complaints = [], []
            page = started.new_page(color_scheme=scheme)
            page.on("request", lambda request, asked=asked: asked.append(request.url))
            page.on("pageerror", lambda error, told=complaints: told.append(str(error)))
            page.on("console", lambda line, told=complaints: told.append(line.text))
            page.goto(path.as_uri())
            sizes = page.evaluate("[...document.images].map(each => each.naturalWidth)")
            drawn = page.evaluate("document.querySelectorAll('svg').length")
            found[scheme] = page.evaluate(COLOURS) | {
                "sizes": sizes,
                "charts": len(sizes) + drawn,
                "asked": asked,
                "complaints": complaints,
            }
    return found


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_shows_its_charts_and_asks_nobody(seen, scheme):
    """Each picture has a size, the console is silent, and no request leaves the file."""
    shown = seen[scheme]

    outside = [url for url in shown["asked"] if not url.startswith("data:")]

    assert shown["charts"] >= 2
    assert all(width > 100 for width in shown["sizes"])
    assert outside == [seen["path"].as_uri()]
    assert shown["complaints"] == []


def test_page_is_dark_for_readers_who_prefer_it(seen):
    """Paper and ink change places, and stay far apart."""
    if "color-scheme" not in seen["path"].read_text():
        pytest.xfail("the page has one look so far")
    light, dark = seen["light"], seen["dark"]

    assert brightness(light["paper"]) > 200
    assert brightness(light["ink"]) < 100
    assert brightness(dark["paper"]) < 80
    assert brightness(dark["ink"]) > 150


def brightness(colour):
    """Mean of red, green and blue, 0…255."""
    return sum(map(int, re.findall(r"\d+", colour)[:3])) / 3
