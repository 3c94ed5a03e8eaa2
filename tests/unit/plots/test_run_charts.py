"""The charts of the notebooks of one run: on a whole one, a sampled one, one cut short, on none."""

import re
from functools import cache

import matplotlib.pyplot as plt
import pytest

from tests.conftest import GOLDEN
from tests.frames import make_run, snapshot
from tests.unit.plots.crowding import crowded
from tests.unit.plots.odd_runs import ODD
from workbench.analysis.outcomes import answers
from workbench.analysis.run_errors import errors_of
from workbench.plots.connections import figure_breaker, figure_connections, figure_pool
from workbench.plots.conversation import conversation_rows, figure_conversation
from workbench.plots.evictions import evicted_of
from workbench.plots.latency import figure_latency
from workbench.plots.outcomes import figure_outcomes, figure_patterns, figure_tries
from workbench.plots.replies import figure_replies
from workbench.plots.sides import figure_sides
from workbench.plots.spikes import figure_spikes, spikes_of
from workbench.plots.stalls import figure_stalls
from workbench.plots.tables import (
    answers_table,
    conversation_table,
    evicted_table,
    patterns_table,
    spikes_table,
)
from workbench.runs.run import Run
from workbench.runs.schema import UNANSWERED

FIGURES = {
    "breaker": figure_breaker,
    "connections": figure_connections,
    "conversation": figure_conversation,
    "latency": figure_latency,
    "outcomes": figure_outcomes,
    "patterns": figure_patterns,
    "pool": figure_pool,
    "replies": figure_replies,
    "sides": figure_sides,
    "spikes": figure_spikes,
    "stalls": figure_stalls,
    "tries": figure_tries,
}
TABLES = {
    "answers": lambda run: answers_table(answers(run.turns), said="Words."),
    "conversation": lambda run: conversation_table(conversation_rows(run), said="Words."),
    "evicted": lambda run: evicted_table(evicted_of(run), said="Words."),
    "patterns": lambda run: patterns_table(
        errors_of(run), start_unix_s=run.start_unix_s, said="Words."
    ),
    "spikes": lambda run: spikes_table(spikes_of(run), said="Words."),
}
SAMPLES = [
    {
        "elapsed_s": 0.2 * n,
        "sample_us": 900.0 if n != 30 else 40_000.0,
        "total_commands_processed": 100 * n,
        "evicted_keys": n,
        "rejected_connections": 0,
        "total_forks": n // 25,
    }
    for n in range(50)
]
TURNS = [
    {
        "elapsed_s": 0.02 * n,
        "conversation": n % 30,
        "turn": n // 30,
        "response_us": 1000.0 + n % 7,
        "outcome": "timeout" if 200 <= n < 240 else "ok",
        "service_us": 200.0 if n < 220 else 900.0,
    }
    for n in range(450)
]
ODD_LINE = "1:M 14 Nov 2023 22:13:25.000 # <script>alert</script> $x^2$\n"
AWAY = {
    "elapsed_s": 4.0,
    "duration_s": 0.8,
    "kind": "fault",
    "label": "freeze",
    "detail": UNANSWERED,
}
RUNS = {
    "not begun": {"measured_s": None},
    "sampled": {"experiment": {"scenario": ""}, "samples": SAMPLES, "snapshots": [snapshot(0.0)]},
    "without samples": {"operations": TURNS},
    "interrupted": {"status": "interrupted", "operations": TURNS[:7], "samples": SAMPLES[:2]},
}
OUTAGE = {"operations": TURNS, "samples": SAMPLES, "events": [AWAY]}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Each odd run, made once."""

    @cache
    def make(name):
        return make_run(tmp_path_factory.mktemp("odd") / "odd", **(RUNS | {"outage": OUTAGE})[name])

    return make


@pytest.fixture(autouse=True)
def _no_figure_left_open():
    """pyplot keeps every figure that it made; ours make none there."""
    before = plt.get_fignums()
    yield
    assert plt.get_fignums() == before


@pytest.mark.parametrize("name", FIGURES)
def test_chart_of_the_golden_run_says_what_it_found(golden, name):
    """The title is the finding, no figure is a nan, and every word can be read."""
    chart = golden(FIGURES[name])

    said = f"{chart.title} {chart.reading}"
    assert len(chart.title) > 20
    assert chart.reading.endswith(".")
    assert "nan" not in said
    assert crowded(chart.figure) == []


@pytest.mark.parametrize("odd", RUNS)
@pytest.mark.parametrize("name", FIGURES)
def test_chart_of_an_odd_run_draws_and_invents_nothing(made, name, odd):
    """Empty panels say why; what is not known is no figure."""
    chart = FIGURES[name](made(odd))

    said = f"{chart.title} {chart.reading}"
    assert chart.reading.endswith(".")
    assert "nan" not in said
    assert crowded(chart.figure) == []
    for ax in chart.figure.axes:
        assert ax.lines or ax.patches or ax.collections or ax.texts
    if odd == "not begun":
        assert "%" not in said


@pytest.mark.parametrize("odd", RUNS)
@pytest.mark.parametrize("name", TABLES)
def test_table_of_an_odd_run_is_made(made, name, odd):
    """Also without a row, when its words are left; and without a nan."""
    told = TABLES[name](made(odd))

    text = told._repr_html_()
    assert ("<table" in text) == bool(len(told.rows))
    assert text.startswith("<p>Words.</p>")
    assert "Words." in repr(told)
    assert "nan" not in text.casefold()


def test_sampled_run_has_charts_of_the_server_s_side(made):
    """Where no turns are ours, its replies are looked at, and the one that stood out is found."""
    run = made("sampled")

    assert "replies" in figure_latency(run).title
    assert "1 spike" in figure_spikes(run).reading
    assert spikes_of(run)["of"].tolist() == ["INFO"]
    assert "not known" in figure_breaker(run).title


def test_outage_is_the_cause_of_its_spike_and_its_end_is_told(made):
    """Half of those who came meanwhile failed at once."""
    run = made("outage")

    assert "at once" in figure_breaker(run).title
    assert "After freeze at 4 s turns were carried out again" in figure_breaker(run).reading
    assert figure_outcomes(run).title == "8.89 % of the turns failed, most by timeout"


def test_refusals_of_a_full_server_are_not_told_as_of_a_breaker(tmp_path):
    """Under noeviction they are quick, and each is an answer."""
    turns = [{**turn, "outcome": "refused"} for turn in TURNS]

    chart = figure_breaker(make_run(tmp_path / "run", operations=turns))

    assert "no breaker was put to the test" in chart.title
    assert "breaker is open" not in chart.reading
    assert "The server refused 450 turns, which is an answer" in chart.reading
    assert crowded(chart.figure) == []


def test_turns_that_are_seldom_are_counted_once(tmp_path):
    """One each three seconds: the gap between windows is not their width."""
    turns = [{"elapsed_s": 3.0 * n, "turn": n} for n in range(20)]

    chart = figure_outcomes(make_run(tmp_path / "run", measured_s=60.0, operations=turns))

    assert chart.title == "Every one of 20 turns was carried out"
    assert chart.reading.startswith("Of 20 turns 20 were carried out.")
    (due, _) = chart.figure.axes[0].patches
    assert due.get_data().values.sum() == 20.0


@pytest.mark.parametrize(
    ("others", "title", "says"),
    [
        (
            ["unsent"] * 10,
            "50 % of the turns were not sent; each of the 10 others was carried out",
            "Due, and not sent before the end: 10.",
        ),
        (
            ["lost_update"] * 10,
            "No turn failed; 50 % missed an update that was acknowledged",
            "Missed an update that was acknowledged: 10.",
        ),
        (
            ["evicted"] * 5 + ["lost_update"] * 5,
            "No turn failed; 25 % found their conversation gone",
            "Found their conversation gone: 5. Missed an update that was acknowledged: 5.",
        ),
        (
            ["timeout"] * 5 + ["unsent"] * 5,
            "33.3 % of those sent failed, most by timeout",
            "Without an answer in time: 5.",
        ),
    ],
)
def test_title_of_outcomes_names_what_became_of_turns(tmp_path, others, title, says):
    """Not sent is not carried out, and an update that is lost no conversation that is gone."""
    told = ["ok"] * 10 + others
    turns = [{"elapsed_s": 0.1 * n, "turn": n, "outcome": each} for n, each in enumerate(told)]

    chart = figure_outcomes(make_run(tmp_path / "run", operations=turns))

    assert chart.title == title
    assert says in chart.reading
    assert crowded(chart.figure) == []


@pytest.mark.parametrize(
    ("key", "title"),
    [
        ({}, "Conversation 3 kept its state through 15 turns"),
        (
            {"state": "evicted", "update": None},
            "Conversation 3 was gone at the end of the run (evicted), and nobody came back to it",
        ),
        (
            {"update": "lost"},
            "Conversation 3 was without its last acknowledged turn at the end of the run",
        ),
    ],
)
def test_conversation_that_was_gone_at_the_end_did_not_keep_its_state(tmp_path, key, title):
    """Also where the run kept no ledger that saw it go."""
    turns = [{**turn, "outcome": "ok"} for turn in TURNS]
    keys = [{"elapsed_s": 10.0, "conversation": 3, **key}]

    chart = figure_conversation(make_run(tmp_path / "run", operations=turns, keys=keys), 3)

    assert chart.title == title
    assert f"found {keys[0].get('state', 'present')}" in chart.reading


def test_run_that_was_cut_short_says_so_in_its_title(made):
    """What it shows is of a part."""
    chart = figure_spikes(made("interrupted"))

    assert chart.title.endswith("(interrupted)")


def test_lines_of_a_log_are_shown_as_text_whatever_they_hold(tmp_path):
    """A line is no markup, and no formula."""
    run = make_run(tmp_path / "run", log=ODD_LINE)

    assert "<script>" not in TABLES["patterns"](run)._repr_html_()
    assert "<script>alert" in figure_patterns(run).title


def test_two_tables_on_a_page_do_not_share_the_ids_of_their_cells():
    """What is set for a cell of one would be set for the other's too."""
    run = Run(GOLDEN)

    ids = [set(re.findall(r'id="(\w+)"', TABLES[name](run)._repr_html_())) for name in TABLES]

    assert sum(map(len, ids)) == len(set().union(*ids))


@pytest.mark.slow
@pytest.mark.parametrize("odd", ODD)
def test_charts_of_runs_that_are_hard_to_draw_can_be_read(tmp_path, odd):
    """Flat, empty, ten hours long, with names that fill a line."""
    run = ODD[odd](tmp_path / "run")

    charts = {name: make(run) for name, make in FIGURES.items()}

    problems = {name: crowded(chart.figure) for name, chart in charts.items()}
    assert {name: found for name, found in problems.items() if found} == {}
    assert not any("nan" in f"{chart.title} {chart.reading}" for chart in charts.values())
