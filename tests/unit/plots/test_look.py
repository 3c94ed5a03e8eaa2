"""The gallery shows what the code draws: a changed look is noticed, and accepted on purpose."""

import inspect
import pkgutil
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import get_type_hints

import pytest

import workbench.plots
from tests.unit.plots.looks import difference
from workbench.plots.evictions import figure_eviction
from workbench.plots.gallery import GALLERY
from workbench.plots.heatmap import figure_latency_heatmap
from workbench.plots.style import LOSS
from workbench.runs.run import Run

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "scripts"))
import generate_docs  # noqa: E402

ACCEPT = "the look changed; if that is meant: make look"


@pytest.mark.parametrize("exhibit", GALLERY, ids=lambda exhibit: exhibit.name)
def test_chart_looks_as_it_does_in_the_gallery(golden, exhibit):
    """Every part, colour and word at its place; `make look` accepts a new look."""
    accepted = (generate_docs.PICTURES / f"{exhibit.name}.svg").read_text()

    assert difference(golden(exhibit.figure).svg(), accepted) == "", ACCEPT
    assert len(accepted) < 150_000


def test_page_of_the_gallery_says_what_the_charts_say(golden):
    """Findings, readings and functions are those of the code."""
    page = (generate_docs.REFERENCE / "gallery.md").read_text()

    assert page == generate_docs.gallery(lambda exhibit: golden(exhibit.figure)), ACCEPT


def test_every_chart_of_a_run_is_in_the_gallery():
    """But those of a bench's table, of several runs, and of a server that is being looked at."""
    drawn = {
        name
        for found in pkgutil.iter_modules(workbench.plots.__path__)
        for name, figure in inspect.getmembers(
            import_module(f"workbench.plots.{found.name}"), inspect.isfunction
        )
        if name.startswith("figure_") and Run in get_type_hints(figure).values()
    }

    shown = {exhibit.figure.__name__ for exhibit in GALLERY}
    assert drawn - shown == {"figure_live"}
    assert {path.stem for path in generate_docs.PICTURES.iterdir()} == {
        exhibit.name for exhibit in GALLERY
    }


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda svg: svg.replace(LOSS.lower(), "#d55f00", 1), "#d55f00"),
        (lambda svg: svg.replace("<!-- used_memory -->", "<!-- used memory -->"), "used"),
        (lambda svg: re.sub(r"translate\((\d+)", r"translate(1\1", svg, count=1), "what was at"),
        (lambda svg: re.sub(r'<g id="line2d_9">.*?</g>', "", svg, count=1, flags=re.S), "where"),
        (lambda svg: svg.replace("</svg>", "<rect/></svg>"), "where"),
    ],
    ids=["colour", "word", "place", "part less", "part more"],
)
def test_changed_look_is_noticed(golden, change, told):
    """A colour that is hardly another, a word, a label that moved, a line that is gone."""
    svg = golden(figure_eviction).svg()
    changed = change(svg)

    assert changed != svg
    assert told in difference(changed, svg)


def test_changed_raster_is_noticed(golden):
    """The heat map's cells are a picture in the picture."""
    chart = golden(figure_latency_heatmap)
    svg = chart.svg()
    mesh = chart.figure.axes[0].collections[-1]

    before = mesh.get_cmap()
    mesh.set_cmap("viridis")
    changed = chart.svg()
    mesh.set_cmap(before)

    assert difference(changed, svg) == "another raster"


def test_last_digits_and_the_ids_that_are_made_of_them_are_no_change(golden):
    """Another machine may round otherwise."""
    svg = golden(figure_eviction).svg()
    other = re.sub(r"(\d+\.\d\d)(\d+)", r"\1", svg)
    other = re.sub(r"\bm[0-9a-f]{10}\b", lambda found: f"m0{found[0][2:]}", other)

    assert other != svg
    assert difference(other, svg) == ""
