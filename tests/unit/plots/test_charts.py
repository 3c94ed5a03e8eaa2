"""Every chart draws, says its unit, and is the same each time."""

import importlib
import inspect
import math
import os
import pkgutil
import re
import subprocess
import sys
from html import escape
from itertools import combinations
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

import workbench.plots
from tests.frames import events, make_run, operations, samples
from workbench.analysis.ages import ages_by_turns
from workbench.analysis.causes import causes
from workbench.analysis.commands import command_latency
from workbench.analysis.connections import slots
from workbench.analysis.conversation import chosen, time_left, turns_of
from workbench.analysis.growth import next_rewrite
from workbench.analysis.heatmap import CLASSES_PER_DECADE, latency_cells
from workbench.analysis.latency import PARTS, latency_by_step, latency_by_window, parts_by_window
from workbench.analysis.loss import loss_by_pause, loss_by_step
from workbench.analysis.memory import memory_parts
from workbench.analysis.outcomes import failures_by_window, outcomes_by_window, tries
from workbench.analysis.percentiles import percentile_curve
from workbench.analysis.run_errors import errors_of
from workbench.analysis.spikes import labelled, spikes, turn_windows
from workbench.analysis.survival import survival_by_turns
from workbench.analysis.whatif import what_if
from workbench.diagnostics.aof_rewrite import aof_rewrite
from workbench.plots.ages import draw_ages, figure_ages_at_eviction
from workbench.plots.annotate import end_labels
from workbench.plots.aof import (
    draw_aof_size,
    draw_resident,
    figure_aof,
    figure_latency_by_rewrite,
)
from workbench.plots.clocks import draw_clocks
from workbench.plots.connections import (
    draw_connections,
    draw_failures,
    draw_queue,
    draw_rejected,
    draw_slots,
)
from workbench.plots.contention import draw_by_writers
from workbench.plots.conversation import (
    draw_time_left,
    draw_turns_of_one,
)
from workbench.plots.evictions import (
    draw_evictions,
    draw_loss_by_pause,
    figure_eviction,
    figure_loss_by_pause,
)
from workbench.plots.growth import draw_aof_growth, figure_aof_growth
from workbench.plots.heatmap import draw_latency_heatmap, figure_latency_heatmap
from workbench.plots.latency import (
    draw_latency,
    draw_latency_rows,
    draw_parts,
    figure_latency,
    figure_latency_by_step,
)
from workbench.plots.memory import draw_memory
from workbench.plots.outcomes import (
    draw_gone_wrong,
    draw_patterns,
    draw_repeated,
    draw_tries,
    draw_turns,
)
from workbench.plots.percentiles import draw_percentiles, figure_percentiles
from workbench.plots.replies import draw_commands_rate, draw_replies
from workbench.plots.sides import draw_commands, draw_service
from workbench.plots.spikes import causes_of, draw_causes, draw_spikes
from workbench.plots.stalls import draw_forks, draw_fsyncs
from workbench.plots.survival import draw_survival, figure_survival
from workbench.plots.tables import latency_table, loss_table
from workbench.plots.waterfall import draw_waterfall, figure_waterfall
from workbench.plots.whatif import draw_what_if
from workbench.runs.schema import TABLES


def all_timed_out(turns):
    """Turns as they are, but that all of them failed: half at once, half after a wait."""
    frame = turns.frame()
    frame["outcome"] = "timeout"
    frame.loc[frame.index % 2 == 0, "service_us"] = 1e6
    return frame


FIGURES = [
    figure_ages_at_eviction,
    figure_aof,
    figure_aof_growth,
    figure_eviction,
    figure_latency,
    figure_latency_by_rewrite,
    figure_latency_by_step,
    figure_latency_heatmap,
    figure_loss_by_pause,
    figure_percentiles,
    figure_survival,
    figure_waterfall,
]
CONFIG = {"auto-aof-rewrite-percentage": "100", "auto-aof-rewrite-min-size": "655360"}
WRITERS = pd.DataFrame(
    {
        "pattern": ["function", "watch", "origin"] * 2,
        "writers": [1, 1, 1, 8, 8, 8],
        "lost_share": [0.0, 0.0, 0.0, 0.0, 0.0, 0.5],
    }
)
EDGES_S = (0.0, 10.0, 60.0)


def points_of(run):
    """Three points of a run that can be asked what if."""
    if run.operations.empty or run.samples.empty:
        return []
    found = what_if(run)
    return [found.point(size) for size in found.sizes_bytes[:3]]


DRAWN = {
    "draw_aof_size": (draw_aof_size, lambda run: run.samples),
    "draw_resident": (draw_resident, lambda run: run.samples),
    "draw_memory": (draw_memory, lambda run: run.samples),
    "draw_evictions": (draw_evictions, lambda run: run.samples),
    "draw_latency": (draw_latency, lambda run: latency_by_window(run.operations)),
    "draw_latency_rows": (draw_latency_rows, lambda run: latency_by_step(run.measured)),
    "draw_parts": (draw_parts, lambda run: parts_by_window(run.operations)),
    "draw_ages": (
        lambda ax, ages: draw_ages(ax, ages, "Age, s"),
        lambda run: ages_by_turns(run.turns, run.keys).age_s,
    ),
    "draw_aof_growth": (
        lambda ax, seen: draw_aof_growth(ax, seen, CONFIG, next_rewrite(seen, CONFIG)),
        lambda run: run.samples,
    ),
    "draw_latency_heatmap": (
        lambda ax, cells: draw_latency_heatmap(ax, cells, window_s=1.0),
        lambda run: latency_cells(run.turns),
    ),
    "draw_percentiles": (
        lambda ax, curve: draw_percentiles(ax, [("response", curve), ("again", 2 * curve)]),
        lambda run: percentile_curve(run.measured_turns),
    ),
    "draw_survival": (
        draw_survival,
        lambda run: survival_by_turns(run.turns, run.keys, since_s=-10.0),
    ),
    "draw_what_if": (draw_what_if, points_of),
    "draw_by_writers": (
        lambda ax, table: draw_by_writers(ax, table, "lost_share", "Lost, %"),
        lambda run: WRITERS[: len(run.samples)],
    ),
    "draw_waterfall": (
        lambda ax, parts: draw_waterfall(ax, parts, limit_bytes=20 * 1024**2, limit_name="limit"),
        lambda run: memory_parts(run.samples, run.events, {}),
    ),
    "draw_causes": (
        lambda ax, found: ax.set_xlim(-5, 20) and draw_causes(ax, found),
        causes_of,
    ),
    "draw_clocks": (
        draw_clocks,
        lambda run: pd.DataFrame(
            {part: latency_by_window(run.turns, column=part)["p99"] for part in PARTS}
        ),
    ),
    "draw_commands": (draw_commands, lambda run: command_latency(run.snapshots)),
    "draw_commands_rate": (draw_commands_rate, lambda run: run.samples),
    "draw_connections": (draw_connections, lambda run: run.samples),
    "draw_failures": (draw_failures, lambda run: failures_by_window(all_timed_out(run.turns))),
    "draw_forks": (draw_forks, lambda run: run.samples),
    "draw_fsyncs": (
        draw_fsyncs,
        lambda run: run.samples.assign(aof_pending_bio_fsync=run.samples.index % 3),
    ),
    "draw_gone_wrong": (draw_gone_wrong, lambda run: outcomes_by_window(run.turns)),
    "draw_patterns": (draw_patterns, errors_of),
    "draw_queue": (
        draw_queue,
        lambda run: pd.DataFrame(
            {
                "queue": latency_by_window(run.turns, column="lag_us")["p99"],
                "work": latency_by_window(run.turns, column="service_us")["p99"],
            }
        ),
    ),
    "draw_rejected": (
        draw_rejected,
        lambda run: run.samples.assign(rejected_connections=run.samples.index),
    ),
    "draw_repeated": (
        draw_repeated,
        lambda run: outcomes_by_window(run.turns).assign(again=1.0, retried=2.0),
    ),
    "draw_replies": (draw_replies, lambda run: run.samples),
    "draw_service": (
        lambda ax, run: draw_service(
            ax, latency_by_window(run.turns, column="service_us"), run.samples
        ),
        lambda run: run,
    ),
    "draw_slots": (draw_slots, lambda run: slots(run.generator).assign(waiting=1.0)),
    "draw_spikes": (
        lambda ax, windows: draw_spikes(
            ax,
            windows,
            labelled(spikes(windows), causes(events([]), samples([]))),
            title="p99, ms",
        ),
        lambda run: turn_windows(run.turns),
    ),
    "draw_time_left": (
        lambda ax, left: draw_time_left(ax, left, []),
        lambda run: time_left(turns_of(run.turns, chosen(run.turns)), until_s=20.0),
    ),
    "draw_tries": (draw_tries, lambda run: tries(run.turns)),
    "draw_turns": (draw_turns, lambda run: outcomes_by_window(run.turns)),
    "draw_turns_of_one": (
        draw_turns_of_one,
        lambda run: turns_of(run.turns, chosen(run.turns)),
    ),
    "draw_loss_by_pause": (
        draw_loss_by_pause,
        lambda run: loss_by_pause(run.measured, edges_s=EDGES_S),
    ),
}
UNITS = ("MiB", "keys/s", "ms", "%", ", s", "/s", "µs")
# What these count, or show the times of, has no unit.
WITHOUT_UNIT = {"draw_causes", "draw_connections", "draw_fsyncs", "draw_patterns", "draw_slots"}


@pytest.fixture(autouse=True)
def _no_figure_left_open():
    """pyplot keeps every figure that it made; ours make none there."""
    before = plt.get_fignums()
    yield
    assert plt.get_fignums() == before


@pytest.fixture
def axes():
    figure = Figure()
    FigureCanvasAgg(figure)
    return figure.subplots()


# What is left of linear RGB without green cones: Machado, Oliveira and Fernandes 2009, severity 1.
NO_GREEN = np.array(
    [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ]
)
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
ALL_CONES = np.eye(3)


def lab(colour, seen_by=ALL_CONES):
    """CIE Lab of a colour, as somebody sees it."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    x, y, z = np.cbrt(TO_XYZ @ np.clip(seen_by @ linear, 0, 1) / TO_XYZ.sum(axis=1))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def mistakable(ax):
    """Pairs of lines that only somebody who sees all colours can tell apart."""
    lines = [line for line in ax.lines if len(line.get_xdata()) > 1]
    return [
        (one.get_color(), other.get_color())
        for one, other in combinations(lines, 2)
        if one.get_color() != other.get_color()
        and one._unscaled_dash_pattern == other._unscaled_dash_pattern
        and (
            abs(lab(one.get_color())[0] - lab(other.get_color())[0]) < 5
            or np.linalg.norm(lab(one.get_color(), NO_GREEN) - lab(other.get_color(), NO_GREEN))
            < 12
        )
    ]


@pytest.mark.parametrize("name", DRAWN)
def test_every_chart_draws_the_golden_run_with_a_unit_in_its_title(axes, tiny_run, name):
    """Title is quantity and unit; something is on the axes."""
    draw, frame = DRAWN[name]
    drawn = draw(axes, frame(tiny_run))
    drawn.figure.canvas.draw()

    assert drawn is axes
    title = drawn.get_title(loc="center") + drawn.get_title(loc="left")
    assert title
    assert any(unit in title for unit in UNITS) != (name in WITHOUT_UNIT)
    assert drawn.lines or drawn.patches or drawn.collections


@pytest.mark.parametrize(("draw", "frame"), DRAWN.values(), ids=DRAWN)
def test_every_chart_of_an_empty_run_says_why_it_is_empty(axes, tmp_path, draw, frame):
    """An empty panel without a word would look like nothing happened."""
    draw(axes, frame(make_run(tmp_path)))
    axes.figure.canvas.draw()

    assert not axes.lines
    assert not axes.collections
    assert any(text.get_text().strip() for text in axes.texts)


@pytest.mark.parametrize(("draw", "frame"), DRAWN.values(), ids=DRAWN)
def test_lines_of_one_chart_are_told_apart_without_colour_and_without_green(
    axes, tiny_run, draw, frame
):
    """By lightness and by what is left of the colour, or by a dash."""
    draw(axes, frame(tiny_run))

    assert mistakable(axes) == []


@pytest.mark.parametrize("others", ["#009E73", "#CC4A00"])
def test_lines_that_only_their_hue_tells_apart_are_found(axes, others):
    """Bluish green beside vermilion; and a vermilion that is hardly another."""
    axes.plot([0, 1], [0, 1], color="#D55E00")
    axes.plot([0, 1], [1, 0], color=others)

    assert len(mistakable(axes)) == 1


def test_every_draw_function_is_among_those_tried():
    """A new chart is drawn here, or this fails; those of no single run have tests of their own."""
    modules = [
        importlib.import_module(f"workbench.plots.{found.name}")
        for found in pkgutil.iter_modules(workbench.plots.__path__)
        if found.name not in {"comparison", "peak_terms", "safe_size", "trend", "variants"}
    ]
    found = {
        name
        for module in modules
        for name, _ in inspect.getmembers(module, inspect.isfunction)
        if name.startswith("draw_")
    }

    assert found == set(DRAWN)


@pytest.mark.parametrize("make", FIGURES)
def test_figure_has_a_finding_for_its_title_and_a_reading(golden, make):
    """Both are words for those who cannot see the chart; neither holds a nan."""
    chart = golden(make)

    assert len(chart.title) > 20
    assert str(chart.words).endswith(".")
    assert "nan" not in f"{chart.title} {chart.words}"
    under = {ax.get_xlabel() for ax in chart.figure.axes} | {chart.figure.get_supxlabel()}
    assert len(under - {""}) == 1


@pytest.mark.parametrize("make", FIGURES)
@pytest.mark.parametrize(
    "measured_s",
    [
        pytest.param(10.0, id="no rows"),
        pytest.param(None, id="not begun", marks=pytest.mark.slow),
    ],
)
def test_figure_of_an_empty_run_draws_and_claims_nothing(tmp_path, make, measured_s):
    """No share, no percentile, no crash."""
    chart = make(make_run(tmp_path, measured_s=measured_s))

    assert "<svg" in chart.svg()
    assert "%" not in chart.title
    assert "nan" not in f"{chart.title} {chart.words}"


@pytest.mark.parametrize("make", FIGURES)
def test_same_chart_gives_the_same_svg(golden, make):
    """Written by one that was written before, byte for byte."""
    chart = golden(make)

    assert chart.svg() == chart.svg()


@pytest.mark.parametrize("make", [figure_eviction, figure_latency_heatmap])
@pytest.mark.slow  # the gallery would change
def test_same_run_gives_the_same_svg(golden, tiny_run, make):
    """Twice drawn, also where a picture is in it."""
    assert make(tiny_run).svg() == golden(make).svg()


def test_same_run_gives_the_same_svg_in_another_process(tiny_run):
    """Neither hash seeds nor the clock nor the locale get into a chart."""
    code = (
        "import sys; from pathlib import Path; from workbench.runs.run import Run\n"
        "from workbench.plots.evictions import figure_eviction\n"
        "sys.stdout.write(figure_eviction(Run(Path(sys.argv[1]))).svg())"
    )

    other = subprocess.run(
        [sys.executable, "-c", code, tiny_run.path],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        cwd=Path(__file__).parents[3],
        env={**os.environ, "PYTHONHASHSEED": "1", "TZ": "Asia/Tokyo", "LC_ALL": "C"},
    )

    assert other.stdout == figure_eviction(tiny_run).svg()


@pytest.mark.parametrize("make", FIGURES)
def test_svg_stands_alone(golden, make):
    """Nothing is loaded from elsewhere."""
    svg = golden(make).svg()

    assert "<path" in svg
    assert ("<image" in svg) == (make is figure_latency_heatmap)
    assert set(re.findall(r'href="(#|data:|.)', svg)) <= {"#", "data:"}


@pytest.mark.parametrize("make", FIGURES)
def test_chart_shown_in_a_notebook_carries_alternative_text(golden, make):
    """With the picture, and as text where no picture can be shown."""
    chart = golden(make)

    data, metadata = chart._repr_mimebundle_()

    assert metadata["text/html"]["alt"] == data["text/plain"] == f"{chart.title}. {chart.reading}"
    assert f'alt="{escape(data["text/plain"])}"' in data["text/html"]


def test_only_a_run_that_came_to_its_measured_phase_names_its_start(tmp_path):
    """Time 0 of a run that was stopped before is its own start, and nothing is measured there."""
    begun = figure_eviction(make_run(tmp_path / "begun")).figure.axes[-1]
    stopped = figure_eviction(make_run(tmp_path / "stopped", measured_s=None)).figure.axes[-1]

    assert begun.get_xlabel() == "elapsed, s; measured from 0 on"
    assert stopped.get_xlabel() == "elapsed, s"


def test_labels_at_one_height_are_pushed_apart(axes):
    """Two lines that end together have names that can both be read."""
    axes.set_ylim(0, 100)

    end_labels(axes, [(50, "upper", "#000000"), (50, "lower", "#000000")], gap_pt=13)

    axes.figure.canvas.draw()
    first, second = (text.get_window_extent() for text in axes.texts)
    assert not first.overlaps(second)
    middle = sum((first.y0, first.y1, second.y0, second.y1)) / 4
    assert middle == pytest.approx(axes.transData.transform((0, 50))[1], abs=2)


def test_labels_far_apart_stay_at_their_lines(axes):
    """Only labels that would touch are moved."""
    axes.set_ylim(0, 100)

    end_labels(axes, [(10, "low", "#000000"), (90, "high", "#000000")])

    heights = [text.xy[1] for text in axes.texts]
    assert heights == pytest.approx([0.1, 0.9])


def test_labels_of_lines_at_zero_stay_on_the_axes(axes):
    """Two parts that end at nothing are named above the axis, not among its ticks."""
    axes.set_ylim(0, 100)

    end_labels(axes, [(0, "service", "#000000"), (0, "lag", "#000000")])

    heights = [text.xy[1] for text in axes.texts]
    assert heights[0] == pytest.approx(0)
    assert heights[1] > 0.02


@pytest.mark.parametrize(
    ("parts", "cause"),
    [
        ({"service_us": 900.0, "lag_us": 100.0}, "mostly for its state"),
        ({"service_us": 300.0, "lag_us": 700.0}, "mostly for the load generator"),
        ({"service_us": 100.0, "lag_us": 0.0, "queue_us": 900.0}, "mostly in the queue"),
        ({"service_us": 400.0, "lag_us": 300.0, "queue_us": 300.0}, "for several reasons"),
    ],
)
def test_title_of_the_latency_names_what_the_slowest_turns_waited_for(tmp_path, parts, cause):
    """Where over half of their time went; the other turns do not count."""
    turns = [{"elapsed_s": 1.0, "response_us": 10.0, "service_us": 10.0}] * 99
    turns += [{"elapsed_s": 1.0, "response_us": 1000.0, **parts}] * 2

    chart = figure_latency(make_run(tmp_path, operations=turns))

    assert chart.title == f"One turn in a hundred waits 1 ms or longer, {cause}"


def test_latency_of_too_few_turns_claims_no_percentile(tmp_path):
    """Ninety-nine turns have a median and no p99."""
    chart = figure_latency(make_run(tmp_path, operations=[{"elapsed_s": 1.0}] * 99))

    assert "99 turns were measured, too few" in chart.title
    assert "slowest" not in chart.reading


def test_step_that_waits_longest_is_named_if_it_stands_out(tmp_path):
    """Steps that are nearly alike are not set against each other."""
    menu = [{"elapsed_s": 1.0, "step": "menu"}] * 100
    slow = [{"elapsed_s": 1.0, "step": "confirm", "response_us": 9000.0}] * 100
    near = [{"elapsed_s": 1.0, "step": "confirm", "response_us": 1100.0}] * 100

    apart = figure_latency_by_step(make_run(tmp_path / "apart", operations=menu + slow))
    alike = figure_latency_by_step(make_run(tmp_path / "alike", operations=menu + near))

    assert apart.title.startswith("offer_secured confirm waits longest: p99 9 ms")
    assert alike.title.startswith("All steps wait alike")


def test_row_of_too_few_turns_says_so(axes):
    """A step of two turns has a median, one of one turn not even that."""
    rows = pd.DataFrame(
        {"turns": [2, 1], "p50": [900.0, math.nan], "p99": [math.nan, math.nan]},
        index=["two", "one"],
    )

    draw_latency_rows(axes, rows)

    said = [text.get_text() for text in axes.texts]
    assert "p99: too few" in said
    assert "too few" in said


@pytest.mark.parametrize("figure", [figure_latency, figure_latency_by_step, figure_eviction])
@pytest.mark.parametrize("closed", [True, False])
def test_latency_of_a_closed_loop_is_labelled_wherever_it_is_drawn(tiny_run, figure, closed):
    """Counted from the send it leaves out what a stall does: nobody may take it for the other."""
    tiny_run.manifest.experiment["closed_loop"] = closed

    chart = figure(tiny_run)

    titles = " ".join(ax.get_title("left") for ax in chart.figure.axes)
    assert ("closed loop: from the send" in titles) == closed
    assert ("from the intended start" in titles) == (not closed)


def test_latency_table_shows_no_percentile_of_too_few(tmp_path):
    """A cell without a figure says why."""
    by_step = latency_by_step(operations([{"elapsed_s": 0.0}] * 2))

    html = latency_table(by_step).to_html()

    assert "1 ms" in html
    assert "too few" in html


NO_AOF = dict.fromkeys(name for name in TABLES["samples"].arrow.names if name.startswith("aof_"))
CALM = [{"elapsed_s": at} for at in (0.0, 4.0, 8.0)]
REWRITTEN = [
    {"elapsed_s": 0.0},
    {"elapsed_s": 4.0, "aof_base_size": 900, "aof_last_rewrite_time_sec": 2, "aof_rewrites": 1}
    | {"aof_last_cow_size": 3 * 1024**2},
]
LOGGED = [{"elapsed_s": 1.0, "kind": "aof_rewrite", "label": "ok", "duration_s": 1.0}]


@pytest.mark.parametrize("make", [figure_aof, figure_latency_by_rewrite])
@pytest.mark.parametrize(
    ("seen", "says"),
    [
        ([], "The server was not sampled in this run"),
        ([{**row, **NO_AOF} for row in CALM], "The server keeps no AOF"),
        (CALM, "No AOF rewrite was seen in this run"),
    ],
    ids=["no samples", "no AOF", "no rewrite"],
)
def test_run_without_rewrites_says_why(tmp_path, make, seen, says):
    """A chart of what did not happen names the reason."""
    turns = [{"elapsed_s": 1.0}] * 200

    chart = make(make_run(tmp_path, samples=seen, operations=turns))

    assert chart.title.startswith(says)
    assert "<svg" in chart.svg()
    assert "nan" not in f"{chart.title} {chart.words}"


def test_panel_of_a_server_without_aof_says_so(axes):
    """It is another thing than no sample."""
    draw_aof_size(axes, samples([{**row, **NO_AOF} for row in CALM]))

    assert axes.texts[0].get_text() == "the server keeps no AOF"


def test_durations_in_whole_seconds_are_no_share_of_the_time(tmp_path):
    """Only the server's log tells how long a rewrite took; without it the chart says what it is."""
    guessed = make_run(tmp_path / "samples", samples=REWRITTEN)
    logged = make_run(tmp_path / "log", samples=REWRITTEN, events=LOGGED)

    assert figure_aof(guessed).title == (
        "1 AOF rewrite under the measured load copied 3 MiB at most"
    )
    assert figure_aof(logged).title == (
        "1 AOF rewrite under the measured load took 25 % of the time and copied 3 MiB at most"
    )
    for make in (figure_aof, figure_latency_by_rewrite):
        assert "whole seconds" in make(guessed).reading
        assert "whole seconds" not in make(logged).reading


def test_rewrites_of_the_prefill_are_told_apart(tmp_path):
    """What they copied and how long they stopped the server is another load's."""
    logged = [
        {"elapsed_s": at_s, "kind": "aof_rewrite", "label": label, "duration_s": 1.0}
        for at_s, label in ((-5.0, "ok"), (-3.0, "ok"), (1.0, "ok"), (5.0, "err"))
    ]
    seen = [
        {"elapsed_s": -2.0, "aof_last_cow_size": 9 * 1024**2, "latest_fork_usec": 9000},
        {"elapsed_s": 2.5, "aof_last_cow_size": 2 * 1024**2, "latest_fork_usec": 300},
        {"elapsed_s": 8.0, "aof_last_cow_size": 2 * 1024**2, "latest_fork_usec": 300},
    ]
    run = make_run(tmp_path / "both", samples=seen, events=logged)
    prefilled = make_run(tmp_path / "before", samples=seen, events=logged[:2])

    chart = figure_aof(run)

    assert chart.title == (
        "1 AOF rewrite under the measured load took 12.5 % of the time and copied 2 MiB at most"
    )
    assert "stopped the server for 300 µs. 2 rewrites before the measured load" in chart.reading
    assert "1 rewrite failed or had not ended" in chart.reading
    found = aof_rewrite(make_run(tmp_path / "ok", samples=seen, events=logged[:3]))
    assert found.evidence["share of the time"] == "12.5 %"
    assert figure_aof(prefilled).title == "No AOF rewrite was finished under the measured load"
    assert "fork" not in figure_aof(prefilled).reading


@pytest.mark.parametrize("usual", [13, 24, 28, 33])
def test_turn_that_waits_ten_times_the_usual_is_long_in_every_class(tmp_path, usual):
    """Bounds of classes are powers: that of the 36th is less than ten times that of the 28th."""
    usual_us = 10 ** ((usual + 0.5) / CLASSES_PER_DECADE)
    turns = [{"elapsed_s": 0.01 * n, "response_us": usual_us} for n in range(99)]

    chart = figure_latency_heatmap(
        make_run(tmp_path, operations=[*turns, {"elapsed_s": 1.0, "response_us": 10 * usual_us}])
    )

    assert chart.title.startswith("1 % of turns waited")


@pytest.mark.parametrize(("counted", "says"), [(2, False), (382, True)])
def test_ages_of_a_ledger_that_missed_evictions_say_so(tmp_path, counted, says):
    """What it did not see may have been older or younger."""
    turns = [{"elapsed_s": 1.0, "conversation": number} for number in (1, 2)]
    run = make_run(
        tmp_path,
        operations=turns,
        evictions=[{"elapsed_s": 5.0, "conversation": number} for number in (1, 2)],
        eviction_windows=[{"elapsed_s": 9.0, "evicted_seen": 2, "evicted_keys": counted}],
    )

    chart = figure_ages_at_eviction(run)

    assert ("The ledger missed 380 of the 382 keys" in chart.reading) == says
    assert ("which missed some" in chart.figure.get_supxlabel()) == says


def test_size_at_the_last_rewrite_is_not_called_the_base(axes):
    """INFO's aof_base_size holds what was written during the rewrite as well."""
    draw_aof_size(axes, samples(REWRITTEN))

    names = {text.get_text() for text in axes.texts} | {
        label.get_text() for label in axes.artists if hasattr(label, "get_text")
    }
    assert {"when last rewritten", "since then"} <= names


@pytest.mark.parametrize(
    ("seen", "title", "reading"),
    [
        (
            CALM,
            "Under a cap of 5 MiB the server needs 6 MiB without a rewrite: 1.2 times as much",
            "The 6 MiB that are needed are 6 % of the limit of 100 MiB.",
        ),
        (
            REWRITTEN,
            "Under a cap of 5 MiB the server needs 9 MiB: 1.8 times as much",
            "A rewrite copied 3 MiB at most. Not known, and counted with the overhead: ",
        ),
        (
            [{**CALM[0], "used_memory_rss": 1024**2}],
            "Under a cap of 5 MiB the server needs 4 MiB without a rewrite: 0.8 times as much",
            "4 MiB, of which only 1 MiB were resident",
        ),
        (
            [{**CALM[0], "used_memory_overhead": None, "used_memory_dataset": None}],
            "Under a cap of 5 MiB the server needs 6 MiB without a rewrite: 1.2 times as much",
            "Not known, and not drawn: empty server, tables of keys",
        ),
    ],
    ids=["no rewrite", "rewrite", "swapped out", "no overhead"],
)
def test_waterfall_says_what_is_needed_and_what_of_it_is_not_known(tmp_path, seen, title, reading):
    """A server that is not seen to rewrite needs more than was seen."""
    limit = {"memory_limit_bytes": 100 * 1024**2, "memory_limit_source": "given"}

    chart = figure_waterfall(make_run(tmp_path, samples=seen, host=limit))

    assert chart.title == title
    assert reading in chart.reading


def test_p99_during_rewrites_stands_against_the_other(tmp_path):
    """With the number of turns that it rests on."""
    turns = [{"elapsed_s": 1.5, "response_us": 9000.0}] * 250 + [{"elapsed_s": 3.0}] * 100

    chart = figure_latency_by_rewrite(
        make_run(tmp_path, operations=turns, samples=REWRITTEN, events=LOGGED)
    )

    assert chart.title == "During AOF rewrites the p99 is 9 ms, and 1 ms at other times"
    assert "250 turns were due during a rewrite, 100 at other times" in chart.reading
    assert "rests on the slowest 3 of them" in chart.reading


def test_too_few_turns_during_rewrites_tell_nothing(tmp_path):
    """Ninety-nine turns have no p99, so there is nothing to compare."""
    turns = [{"elapsed_s": 1.5}] * 99 + [{"elapsed_s": 3.0}] * 100

    chart = figure_latency_by_rewrite(
        make_run(tmp_path, operations=turns, samples=REWRITTEN, events=LOGGED)
    )

    assert chart.title == "Too few turns came during AOF rewrites to tell what they cost"
    assert "p99: too few" in [text.get_text() for text in chart.figure.axes[0].texts]


def test_title_tells_losses_apart_from_none(tmp_path):
    """The title is the finding: a share, or that there was none."""
    turns = [{"elapsed_s": 0.1 * n, "outcome": "ok" if n % 4 else "evicted"} for n in range(80)]
    room = [{"elapsed_s": float(n), "evicted_keys": 0} for n in range(9)]
    full = [{"elapsed_s": float(n), "evicted_keys": n} for n in range(9)]
    unreached = make_run(tmp_path / "unreached", operations=turns[1:4], samples=room)
    calm = make_run(tmp_path / "calm", operations=[turns[79]], samples=full)
    lossy = make_run(tmp_path / "lossy", operations=turns, samples=room)

    assert "nothing is evicted" in figure_eviction(unreached).title
    assert figure_eviction(calm).title == (
        "At the 5 MiB cap, no follow-up turn found its conversation evicted"
    )
    assert (
        "25 % of follow-up turns found their conversation evicted" in figure_eviction(lossy).title
    )


def test_pause_from_which_most_lose_is_named(tmp_path):
    """Long pauses lose, short ones do not: the limit is in title and reading."""
    turns = [{"elapsed_s": 1.0, "age_s": 2.0}] * 30
    turns += [{"elapsed_s": 1.0, "age_s": 22.0, "outcome": "evicted"}] * 30

    chart = figure_loss_by_pause(make_run(tmp_path, operations=turns))

    assert chart.title == "Most who pause 20 s or longer lose their conversation"
    assert "Pauses under 5 s lose less than 1 %" in chart.reading


def test_class_of_too_few_turns_says_so(axes):
    """No bar is drawn of a guess."""
    classes = loss_by_pause(operations([{"elapsed_s": 0.0, "age_s": 5.0}]), edges_s=EDGES_S)

    draw_loss_by_pause(axes, classes)

    assert "too few" in [text.get_text() for text in axes.texts]


def test_evictions_of_one_sample_are_no_rate(axes):
    """A rate takes two."""
    draw_evictions(axes, samples([{"elapsed_s": 0.0}]))

    assert not axes.lines
    assert axes.texts[0].get_text() == "fewer than two samples"


def test_tables_of_the_golden_run_are_the_same_each_time(tiny_run):
    """A page can be compared with the one before."""
    lost, waited = loss_by_step(tiny_run.measured), latency_by_step(tiny_run.measured)

    for make, of in ((loss_table, lost), (latency_table, waited)):
        assert make(of).to_html() == make(of).to_html()


def test_loss_table_of_no_turns_is_empty():
    """A run without losses shows the table's head alone."""
    assert isinstance(loss_table(loss_by_step(operations([]))).data, pd.DataFrame)


def test_faults_are_hatched_and_named(tmp_path):
    """Whoever looks at a peak sees what was done to the server then."""
    turns = [{"elapsed_s": at / 20} for at in range(200)]
    polls = [{"elapsed_s": at / 2} for at in range(21)]
    done = [
        {"elapsed_s": 2.0, "duration_s": 1.0, "kind": "fault", "label": name}
        for name in ("freeze", "kill", "freeze")
    ]
    calm = make_run(tmp_path / "calm", operations=turns, samples=polls, events=[])
    disturbed = make_run(tmp_path / "disturbed", operations=turns, samples=polls, events=done)

    *others, below = figure_latency(disturbed).figure.axes

    assert below.get_xlabel().endswith("hatched: freeze at 2 s, kill at 2 s, freeze at 2 s")
    for ax in (*others, below):
        hatched = [patch for patch in ax.patches if patch.get_hatch()]
        assert [patch.get_x() for patch in hatched] == [2.0, 2.0, 2.0]
    assert "hatched" not in figure_latency(calm).figure.axes[-1].get_xlabel()
