"""What the charts of the law say."""

from dataclasses import replace

from tests.unit.analysis.made_cells import MIB, REDIS, TRUTH, measurement
from workbench.analysis.sizing import Demand, advised
from workbench.plots.sizing import figure_sizing, figure_sizing_terms

LOAD = Demand(writes_per_s=1000, value_bytes=2600, cpu_share=0.35, length_spread=0.5, clients=50)


def held_out(*rows):
    """A measurement of points: predicted, measured, killed."""
    made = [
        {"predicted_bytes": told * MIB, "peak_bytes": seen * MIB, "killed": killed}
        for told, seen, killed in rows
    ]
    kept = measurement([])
    return type(kept)(
        **{name: getattr(kept, name) for name in kept.__struct_fields__} | {"rows": made}
    )


def test_chart_counts_what_was_foretold_and_what_was_killed():
    """Its title is the finding."""
    chart = figure_sizing(held_out((100, 98, False), (150, 110, False), (80, 84, True)))

    assert chart.title == "1 of 3 peaks were foretold within 10 %; 1 of the servers was killed"
    assert "the furthest by 36.4 %" in chart.words
    assert chart.svg()


def test_chart_of_no_point_says_so():
    """As of a bench that was broken off."""
    assert "not held against any point" in figure_sizing(held_out()).title


def test_terms_stand_against_the_limit():
    """All that are there, and the interval."""
    chart = figure_sizing_terms(advised(TRUTH, REDIS, 716 * MIB, replace(LOAD, replicas=1)))

    names = [label.get_text() for label in chart.figure.axes[0].get_yticklabels()]
    assert chart.title.startswith("Of 716 MiB, ")
    assert {"copy-on-write", "replica buffers", "fragmentation"} <= set(names)
    assert chart.svg()
