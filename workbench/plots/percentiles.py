"""The curve of percentiles: how long one turn in so many waits, of one run or of several."""

from collections.abc import Sequence
from typing import Final

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from workbench.analysis.percentiles import BEYOND_LEAST, percentile_curve
from workbench.plots.annotate import end_labels, no_data, plain_log, shortened
from workbench.plots.style import SERIES, Chart, styled
from workbench.plots.timeline import headline
from workbench.runs.run import Run
from workbench.units import format_count, format_duration

__all__ = ["draw_percentiles", "figure_percentiles"]

_SINCE: Final = "from the intended start"
_ROUND: Final = {2: "p50", 10: "p90", 100: "p99", 1000: "p99.9", 10_000: "p99.99"}
# Of more than two colours some are about as light: a dash tells these apart as well.
_DASHES: Final = ("-", "-", (0, (6, 2)), (0, (2, 2)), (0, (6, 2, 1, 2)), (0, (1, 3)))


def draw_percentiles(
    ax: Axes, curves: Sequence[tuple[str, pd.DataFrame]], *, since: str = _SINCE
) -> Axes:
    """
    One line a curve, from the median outwards; both axes are logarithmic.

    Args:
        ax: x is one turn in so many; y is ms.
        curves: name and curve of each, as ``analysis.percentiles.percentile_curve`` makes it.
        since: from when the response is counted; see ``Run.latency_since``.
    """
    ax.set_title(f"Turn response, ms (client side, {since})")
    known = [(name, curve) for name, curve in curves if not curve.empty]
    if not known:
        no_data(ax, "too few turns")
        ax.set_xticks([])
        return ax
    labels = []
    for at, (name, curve) in enumerate(known):
        colour = SERIES[at % len(SERIES)]
        shown = curve["value_us"].clip(lower=1.0) / 1000  # a logarithm has no 0
        ax.plot(curve["one_in"], shown, color=colour, ls=_DASHES[at % len(_DASHES)])
        ax.plot(curve["one_in"].iloc[-1], shown.iloc[-1], color=colour, marker="o", ms=4)
        labels.append((float(shown.iloc[-1]), shortened(name, 26), colour))
    values = pd.concat([curve["value_us"] for _, curve in known]) / 1000
    low, high = 0.7 * max(1e-3, float(values.min())), 1.6 * max(1e-3, float(values.max()))
    most = max(float(curve["one_in"].iloc[-1]) for _, curve in known)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlim(2, max(most, 20))
    ax.set_ylim(low, high)
    plain_log(ax.yaxis, low, high)
    shown_at = [n for n in _ROUND if n <= max(most, 20)]
    ax.xaxis.set_major_locator(FixedLocator(shown_at))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xticks(shown_at, [f"{_ROUND[n]}\n1 in {n:,}" for n in shown_at])
    ax.grid(visible=True, axis="x")
    end_labels(ax, labels)
    return ax


@styled
def figure_percentiles(*runs: Run) -> Chart:
    """
    How long one turn in so many waits: of one run, beside the store's own work; or of several.

    Args:
        runs: one or more, best no more than five.
    """
    figure = Figure(figsize=(9.0, 4.2))
    ax = figure.subplots()
    if len(runs) == 1:
        turns = runs[0].measured_turns
        curves = [
            ("response", percentile_curve(turns)),
            ("service", percentile_curve(turns, "service_us")),
        ]
        since = runs[0].latency_since
        headline(figure, runs[0], _title_of_one(curves[0][1]))
        reading = _reading_of_one(curves[0][1])
    else:
        curves = [(run.name, percentile_curve(run.measured_turns)) for run in runs]
        kinds = {run.latency_since for run in runs}
        since = kinds.pop() if len(kinds) == 1 else "closed and open loop mixed"
        figure.suptitle(_title_of_several(curves), x=0.012, ha="left")
        reading = _reading_of_several(curves)
    draw_percentiles(ax, curves, since=since)
    ax.set_xlabel("the slowest turn of so many, logarithmic")
    return Chart(figure, reading)


def _at(curve: pd.DataFrame, one_in: int) -> float | None:
    found = curve.loc[curve["one_in"] == one_in, "value_us"]
    return None if found.empty else float(found.iloc[0]) / 1e6


def _furthest(curves: Sequence[pd.DataFrame]) -> int | None:
    """The furthest round one that is on all curves."""
    for one_in in reversed(_ROUND):
        if all(_at(curve, one_in) is not None for curve in curves):
            return one_in
    return None


def _title_of_one(curve: pd.DataFrame) -> str:
    one_in = _furthest([curve])
    if one_in is None:
        return "Too few turns were measured to tell how long one waits"
    far_s, usual_s = _at(curve, one_in), _at(curve, 2)
    assert far_s is not None
    assert usual_s is not None, "the median is on every curve"
    if one_in == 2 or not usual_s:
        return f"Half of the turns wait {format_duration(usual_s)} or longer"
    ratio = far_s / usual_s
    times = f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:.2g}"
    beside = "no longer than the median" if times == "1" else f"{times} times the median"
    return f"One turn in {one_in:,} waits {format_duration(far_s)} or longer, {beside}"


def _reading_of_one(curve: pd.DataFrame) -> str:
    told = [
        f"{_ROUND[n]} {format_duration(value)}"
        for n in _ROUND
        if (value := _at(curve, n)) is not None
    ]
    if not told:
        return f"A curve takes {2 * BEYOND_LEAST} turns at least."
    return f"{', '.join(told)}. {_ends(curve)}"


def _ends(curve: pd.DataFrame) -> str:
    end = curve["one_in"].iloc[-1]
    if end >= max(_ROUND):
        return "The curve ends at one turn in 10,000."
    return (
        f"The curve ends at one turn in {end:,.0f}: beyond it fewer than {BEYOND_LEAST} turns "
        "would bear it."
    )


def _title_of_several(curves: Sequence[tuple[str, pd.DataFrame]]) -> str:
    known = [(name, curve) for name, curve in curves if not curve.empty]
    one_in = _furthest([curve for _, curve in known]) if len(known) > 1 else None
    if one_in is None:
        return "Too few turns were measured to compare how long one waits"
    waits = sorted((_at(curve, one_in) or 0.0, name) for name, curve in known)
    (least_s, best), (most_s, worst) = waits[0], waits[-1]
    which = "Half of the turns wait" if one_in == 2 else f"One turn in {one_in:,} waits"
    if least_s == most_s:
        return f"{which} {format_duration(most_s)} or longer in all {len(known)} runs"
    return (
        f"{which} {format_duration(least_s)} or longer in {shortened(best, 30)}, "
        f"{format_duration(most_s)} in {shortened(worst, 30)}"
    )


def _reading_of_several(curves: Sequence[tuple[str, pd.DataFrame]]) -> str:
    says = []
    for name, curve in curves:
        told = [
            f"{_ROUND[n]} {format_duration(value)}"
            for n in _ROUND
            if (value := _at(curve, n)) is not None
        ]
        says.append(f"{name}: {', '.join(told) or 'too few turns'}")
    return f"{format_count(len(curves), 'run')}. {'; '.join(says)}."
