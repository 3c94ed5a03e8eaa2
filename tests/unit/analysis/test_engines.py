"""Engines side by side: what is told of one run, and which differences stand out from the noise."""

import itertools
import math

import numpy as np
import pytest

from tests.frames import MIB, make_run, snapshot
from workbench.analysis.engines import FIGURES, Engines, engine_row, engines_of
from workbench.errors import RunError, UsageError
from workbench.runs.manifest import read_manifest, write_manifest
from workbench.runs.run import Run

REDIS = {"engine": "redis", "version": "7.0.15", "allocator": "jemalloc-5.3.0", "preload": ""}
VALKEY = {"engine": "valkey", "version": "9.1.2", "allocator": "libc", "preload": ""}
PRELOADED = VALKEY | {"preload": "libjemalloc.so.2"}
LABELS = {
    "redis": "Redis 7.0.15 jemalloc",
    "jemalloc": "Valkey 9.1.2 jemalloc preloaded",
    "libc": "Valkey 9.1.2 libc",
}


def row(which, **figures):
    """A row as a measurement has it: only the figures that are named are known."""
    server = {"redis": REDIS, "jemalloc": PRELOADED, "libc": VALKEY}[which]
    with_jemalloc = which != "libc"
    return {
        "name": LABELS[which],
        **server,
        "allocates_with": "jemalloc" if with_jemalloc else "libc",
        "status": "complete",
        **figures,
    }


def of(engines, figure, other):
    (found,) = [each for each in engines.apart if (each.figure, each.other) == (figure, other)]
    return found


def three(which, *values, figure="sessions_per_mib"):
    return [row(which, **{figure: value}) for value in values]


def test_engine_and_allocator_are_two_lines():
    """Valkey is held against Redis with Redis's allocator, and libc against that Valkey."""
    rows = three("redis", 300, 301) + three("libc", 351, 350) + three("jemalloc", 315, 316)

    engines = Engines(rows)

    assert engines.names == (LABELS["redis"], LABELS["jemalloc"], LABELS["libc"])
    assert engines.pairs == [
        ("engine", LABELS["redis"], LABELS["jemalloc"]),
        ("allocator", LABELS["jemalloc"], LABELS["libc"]),
    ]


def test_without_jemalloc_both_are_said_to_differ():
    """A machine that has none to preload cannot tell them apart, and does not pretend to."""
    engines = Engines(three("redis", 300, 301) + three("libc", 351, 350))

    assert engines.pairs == [("engine and allocator", LABELS["redis"], LABELS["libc"])]


def test_difference_beyond_the_noise_is_told_with_its_bounds():
    """5 % more sessions, runs of the same half a per cent apart."""
    rows = three("redis", 300, 301, 300.5) + three("jemalloc", 315, 316, 315.5)

    found = of(Engines(rows), "sessions_per_mib", LABELS["jemalloc"])

    assert found.verdict == "more"
    assert 0.04 < found.low < found.change < found.high < 0.06
    assert found.change == pytest.approx(0.05, abs=0.001)
    assert "+5.0 %" in found.told


def test_difference_within_the_noise_is_none():
    """The control: the same mean change, of runs that differ among themselves by more."""
    rows = three("redis", 270, 300, 330) + three("jemalloc", 285, 315, 345)

    engines = Engines(rows)
    found = of(engines, "sessions_per_mib", LABELS["jemalloc"])

    assert found.verdict == "no difference seen"
    assert found.low < 0 < found.high
    assert engines.sentences() == [
        f"{LABELS['jemalloc']} against {LABELS['redis']}, by the engine: no difference seen"
    ]


def test_the_same_tried_as_two_differs_seldom():
    """Of figures that only noise tells apart 1 % stand out, as the bounds promise."""
    drawn = np.random.default_rng(1)
    names = [figure.name for figure in FIGURES if figure.kind == "times"]

    def rows(which):
        return [
            row(which, **dict(zip(names, drawn.lognormal(5.0, 0.2, len(names)), strict=True)))
            for _ in range(3)
        ]

    compared = [Engines(rows("redis") + rows("jemalloc")) for _ in range(12)]
    verdicts = [each.verdict for found in compared for each in found.apart if each.low is not None]

    assert len(verdicts) == 12 * len(names)
    assert verdicts.count("no difference seen") >= 0.96 * len(verdicts)


def test_one_round_has_no_bounds():
    """Nothing is known of the noise, so nothing is called a difference."""
    engines = Engines(three("redis", 300) + three("jemalloc", 400))
    found = of(engines, "sessions_per_mib", LABELS["jemalloc"])

    assert (found.verdict, found.low) == ("unknown", None)
    assert found.change == pytest.approx(1 / 3)
    assert "it cannot be told" in engines.sentences()[0]
    assert any("of one run it is not known" in note for note in engines.notes())


def test_field_that_an_engine_lacks_is_unknown_and_the_others_are_told():
    """No 0 is put for it, and the row of another figure stands."""
    rows = [
        *(row("redis", sessions_per_mib=300.0 + at, cow_bytes=1e6 + at) for at in range(3)),
        *(row("jemalloc", sessions_per_mib=320.0 + at, cow_bytes=None) for at in range(3)),
    ]

    engines = Engines(rows)

    lacking = of(engines, "cow_bytes", LABELS["jemalloc"])
    assert (lacking.verdict, lacking.change) == ("unknown", None)
    assert f"no run of {LABELS['jemalloc']} tells" in lacking.told
    assert of(engines, "sessions_per_mib", LABELS["jemalloc"]).verdict == "more"
    assert "unknown" in engines.to_text()


def test_shares_are_compared_in_points_and_zero_is_a_share():
    """Nothing lost against something lost is a difference, where times of 0 would be none."""
    rows = three("redis", 0.02, 0.021, 0.022, figure="lost_share")
    rows += three("jemalloc", 0.0, 0.0, 0.0, figure="lost_share")

    found = of(Engines(rows), "lost_share", LABELS["jemalloc"])

    assert found.verdict == "less"
    assert found.change == pytest.approx(-0.021)
    assert "points" in found.told


def test_what_is_zero_in_some_runs_is_not_compared_as_times():
    """A count that may be 0 has no ratio then."""
    rows = three("redis", 0, 5, figure="evicted_keys")
    rows += three("jemalloc", 7, 9, figure="evicted_keys")

    found = of(Engines(rows), "evicted_keys", LABELS["jemalloc"])

    assert found.verdict == "unknown"
    assert "0 in some runs" in found.told


def test_tables_have_a_row_for_each_figure():
    """As text, as Markdown and in a notebook."""
    engines = Engines(three("redis", 300, 301) + three("libc", 351, 350))

    text, markdown, page = engines.to_text(), engines.to_markdown(), engines._repr_html_()

    for figure in FIGURES:
        assert all(figure.title in form for form in (text, markdown, page))
    assert "**" not in text + page
    assert "**+1" in markdown


def test_no_run_at_all_is_refused():
    """Instead of an empty table."""
    with pytest.raises(UsageError, match="nothing to compare"):
        engines_of([])
    with pytest.raises(UsageError, match="nothing to compare"):
        Engines([])


numbers = itertools.count()


def full_run(folder, server=REDIS, *, status="complete", keys=1500, experiment=None, used=None):
    """A run that reached its cap of 5 MiB, evicted, and rewrote its AOF once."""
    path = folder / f"run{next(numbers)}"
    at = [
        {
            "elapsed_s": float(second),
            "keys": keys,
            "used_memory": (5 * MIB if second else 4 * MIB) if used is None else used,
            "used_memory_rss": 7 * MIB,
            "evicted_keys": 0 if second < 3 else 10 * second,
            "aof_base_size": 500 if second < 5 else 900,
            "aof_last_cow_size": 0 if second < 5 else 300,
        }
        for second in range(10)
    ]
    make_run(
        path,
        status=status,
        experiment=experiment,
        samples=at,
        operations=[
            {
                "elapsed_s": index / 20,
                "conversation": index,
                "outcome": "evicted" if index < 2 else "ok",
            }
            for index in range(200)
        ],
        events=[{"elapsed_s": 4.0, "duration_s": 0.5, "kind": "aof_rewrite", "label": "ok"}],
        snapshots=[
            snapshot(
                -1.0, info={"used_memory_startup": MIB, "cmdstat_get": {"calls": 1, "usec": 3}}
            ),
            snapshot(
                10.0, info={"used_memory_startup": MIB, "cmdstat_get": {"calls": 201, "usec": 603}}
            ),
        ],
    )
    manifest = read_manifest(path)
    manifest.server = {**manifest.server, **server}
    write_manifest(path, manifest)
    return Run(path)


def test_figures_of_a_run_at_its_cap(tmp_path):
    """Each from the place that it says; what the run does not have is None."""
    found = engine_row(full_run(tmp_path))

    assert found["name"] == LABELS["redis"]
    assert found["sessions_per_mib"] == 300
    assert found["session_bytes"] == pytest.approx((4 * MIB - 100_000) / 1500, abs=10)
    assert found["response_p50_us"] == 1000
    assert found["server_mean_us"] == 3
    assert found["evicting_from_s"] == 3
    assert found["evicted_keys"] == 90
    assert found["lost_share"] == 0.01
    assert found["rewrite_s"] == 0.5
    assert (found["fork_us"], found["cow_bytes"], found["aof_base_bytes"]) == (500, 300, 900)
    assert found["fragmentation_ratio"] == pytest.approx(1.4)
    assert found["document_bytes"] == 2500


def test_run_whose_load_was_late_tells_no_times_of_the_client(tmp_path):
    """What the server says of itself still holds."""
    found = engine_row(full_run(tmp_path, status="invalid"))

    assert found["response_p99_us"] is None
    assert found["service_p50_us"] is None
    assert found["sessions_per_mib"] == 300


def test_cap_that_was_not_reached_tells_no_capacity(tmp_path):
    """Keys by MiB of a server that is half empty would be a wrong figure."""
    found = engine_row(full_run(tmp_path, used=3 * MIB))

    assert found["sessions_per_mib"] is None
    assert found["session_bytes"] is None


def test_runs_are_grouped_by_what_served_them(tmp_path):
    """Two rounds of each; the late one is a doubt, in words."""
    runs = [
        full_run(tmp_path, server, status=status, keys=keys)
        for server, status, keys in (
            (REDIS, "complete", 1500),
            (PRELOADED, "complete", 1600),
            (PRELOADED, "invalid", 1601),
            (REDIS, "complete", 1501),
        )
    ]

    engines, doubts = engines_of(runs)

    assert engines.frame["round"].tolist() == [1, 1, 2, 2]
    assert of(engines, "sessions_per_mib", LABELS["jemalloc"]).verdict == "more"
    assert len(doubts) == 1
    assert "late in 1 of 4 runs" in doubts[0]


def test_runs_that_differ_in_more_than_the_engine_are_refused(tmp_path):
    """Another load would be taken for another engine."""
    runs = [
        full_run(tmp_path),
        full_run(tmp_path, PRELOADED, experiment={"turns_per_s": 200.0}),
    ]

    with pytest.raises(RunError, match=r"load\.turns_per_s"):
        engines_of(runs)


def test_noise_is_that_of_runs_of_the_same():
    """How far engines are apart has no part in it."""
    near = Engines(three("redis", 100, 110) + three("jemalloc", 100, 110))
    far = Engines(three("redis", 100, 110) + three("jemalloc", 1000, 1100))

    assert near.noise("sessions_per_mib") == pytest.approx(far.noise("sessions_per_mib"))
    assert math.isnan(Engines(three("redis", 1)).noise("sessions_per_mib"))
