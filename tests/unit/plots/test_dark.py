"""Charts on a dark page: the same meaning, and enough contrast."""

import re
import subprocess
from itertools import combinations

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from tests.capabilities import chromium
from tests.unit.plots.test_charts import FIGURES, lab
from workbench.plots.dark import DARK, INK
from workbench.plots.evictions import figure_eviction
from workbench.plots.heatmap import figure_latency_heatmap
from workbench.plots.palette import GROUND, LOSS, REFERENCE, SECOND, STATE, STEP, TAIL

DATA = (STATE, TAIL, LOSS, SECOND, REFERENCE, STEP)
BROWSER = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"]
BROWSER += ["--disable-background-networking", "--disable-component-update", "--hide-scrollbars"]


def contrast(colour, ground):
    """As WCAG counts it."""
    lights = []
    for each in (colour, ground):
        rgb = np.array(to_rgb(each))
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        lights.append(linear @ (0.2126, 0.7152, 0.0722) + 0.05)
    return max(lights) / min(lights)


@pytest.mark.parametrize("make", FIGURES)
def test_every_colour_of_a_chart_has_one_in_the_dark(golden, make):
    """None is left out, so that nothing stays as it was on white."""
    used = set(re.findall(r'style="[^"]*?(?:fill|stroke): (#[0-9a-f]{6})', golden(make).svg()))

    assert used
    assert used <= {colour.lower() for colour in DARK}


@pytest.mark.parametrize("colour", [*DATA, "#444444", "ink"])
def test_data_and_words_stand_out_from_the_dark_ground(colour):
    """Three to one, as for graphics; words more."""
    dark = INK if colour == "ink" else DARK[colour]
    least = 4.5 if colour in {REFERENCE, "#444444", "ink"} else 3.0

    assert contrast(dark, DARK[GROUND]) >= least


def test_colours_that_differ_in_the_light_differ_in_the_dark():
    """None means another thing there."""
    apart = [
        np.linalg.norm(lab(DARK[one]) - lab(DARK[other])) for one, other in combinations(DATA, 2)
    ]

    assert min(apart) > 15


def page(tmp_path, svg, *, style):
    (tmp_path / "chart.svg").write_text(svg)
    place = tmp_path / "page.html"
    place.write_text(
        f"<!doctype html><style>:root {{{style}}} body {{margin: 0}} img {{width: 600px;"
        'color-scheme: var(--chart-scheme, light)}</style><img src="chart.svg">'
    )
    return place


def ground(tmp_path, place, *, prefers):
    """The colour at the picture's corner, as a browser shows it."""
    shot = tmp_path / "shot.png"
    options = [f"--user-data-dir={tmp_path}/profile", "--window-size=620,500"]
    options += [f"--blink-settings=preferredColorScheme={0 if prefers == 'dark' else 1}"]
    subprocess.run(
        [chromium(), *BROWSER, *options, f"--screenshot={shot}", place.as_uri()],
        check=True,
        timeout=60,
        capture_output=True,
    )
    return "#{:02x}{:02x}{:02x}".format(*Image.open(shot).convert("RGB").getpixel((3, 3)))


FOLLOWS = "color-scheme: light dark; --chart-scheme: light dark;"


@pytest.mark.slow
@pytest.mark.capability("chromium")
@pytest.mark.parametrize("make", [figure_eviction, figure_latency_heatmap])
@pytest.mark.parametrize(
    ("style", "prefers", "shown"),
    [(FOLLOWS, "dark", DARK[GROUND]), (FOLLOWS, "light", GROUND), ("", "dark", GROUND)],
    ids=["a dark page", "in the light", "a page that has no dark form"],
)
def test_chart_follows_the_page_in_a_real_browser(golden, tmp_path, make, style, prefers, shown):
    """And not the reader's wish where the page does not: JupyterLab's light theme stays light."""
    place = page(tmp_path, golden(make).svg(), style=style)

    assert ground(tmp_path, place, prefers=prefers) == shown
