"""The parts of the peak: all of them, against the limit."""

from tests.unit.analysis.measurements import kept, law_of_redis
from workbench.analysis.safe_size import safe_size
from workbench.plots.peak_terms import figure_peak_terms

LOAD = {"writes_per_s": 1000.0, "value_bytes": 2600, "vcpu": 0.35}


def test_terms_stand_against_the_limit(runs_folder):
    """All that are there, the cap, and the interval."""
    kept(runs_folder, "sizing-fit", [], law_of_redis())

    chart = figure_peak_terms(safe_size("716mb", **LOAD))

    names = [label.get_text() for label in chart.figure.axes[0].get_yticklabels()]
    assert chart.title.startswith("Of 716 MiB, ")
    assert {"copy-on-write", "fragmentation", "client buffers"} <= set(names)
    assert "maxmemory" in " ".join(text.get_text() for text in chart.figure.axes[0].texts)
    assert chart.svg()


def test_limit_that_is_too_small_for_any_is_said(runs_folder):
    """No cap, and so no parts."""
    kept(runs_folder, "sizing-fit", [], law_of_redis())

    chart = figure_peak_terms(safe_size("32mb", writes_per_s=90_000.0, value_bytes=8000))

    assert chart.title.startswith("No maxmemory is known to be safe: ")
    assert "workbench size --calibrate" in chart.words
