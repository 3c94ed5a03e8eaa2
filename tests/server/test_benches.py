"""The benches on a real server: the form of their figures, and controls that fail."""

import json

import pytest

from tests.commands import workbench
from workbench.benches.contention import contend, contention_table, judge
from workbench.plots.contention import figure_contention, figure_lost_updates


@pytest.fixture(scope="module")
def contended(redis_server):
    """Three writers, a short while each."""
    return contention_table(
        [
            contend(redis_server.url, pattern, writers=3, seconds=0.4)
            for pattern in ("origin", "Lock", "function")
        ]
    )


def test_ours_loses_nothing_and_the_documented_pattern_does(contended):
    """Under the same load; ours met other writers, so it was put to the test."""
    by_pattern = contended.set_index("pattern")
    assert by_pattern.loc["origin", "lost_share"] > 0
    for name in ("function", "Lock"):
        assert by_pattern.loc[name, "lost_share"] == 0
    assert by_pattern.loc["function", "attempts_per_update"] > 1
    assert judge(contended).verdict == "pass"


def test_judgement_fails_on_what_was_lost(contended):
    """The control: the same figures with a loss, and with writers that never met."""
    lost = contended.assign(lost_share=0.5)
    alone = contended.assign(attempts_per_update=1.0)

    assert judge(lost).verdict == "fail"
    assert judge(alone).verdict == "unknown"


def test_charts_name_the_worst_and_the_best(contended):
    """Their titles are findings."""
    lost, cost = figure_lost_updates(contended), figure_contention(contended)

    assert lost.title.startswith("With 3 writers the documented pattern loses")
    assert "ours" in lost.words
    assert "At 3 writers" in cost.title
    assert lost.svg()
    assert cost.svg()


@pytest.mark.slow
def test_bench_prints_every_figure_that_was_promised(tmp_path):
    """In the form that programs read; it exits 1 only if a figure does not hold."""
    done = workbench(tmp_path, "bench", "state", "--quick", "--json")
    printed, _ = done.communicate(timeout=600)
    report = json.loads(printed)
    figures = {figure["id"]: figure for figure in report["figures"]}

    assert set(report) == {"bench", "seed", "machine", "noisy", "figures"}
    assert {
        "round_trips_update_function",
        "round_trips_update_watch",
        "round_trips_message",
        "update_p50_ratio_2600",
        "update_p50_ratio_9700",
        "update_state_p50_ratio_2600",
        "update_state_p50_ratio_9700",
        "server_us_update_2600",
        "throughput_16_writers_ratio",
        "lost_updates",
        "double_applied",
        "codec_us_2600",
        "memory_ratio",
        "aof_bytes_ratio",
        "aof_bytes_ratio_hash",
    } <= set(figures)
    for name in ("round_trips_message", "lost_updates", "double_applied"):
        assert figures[name]["holds"] is True
    assert done.returncode == any(figure["holds"] is False for figure in figures.values())


@pytest.mark.slow
def test_load_bench_prints_every_figure_that_was_promised(tmp_path):
    """In the form that programs read; what is not installed is null, and says why."""
    done = workbench(tmp_path, "bench", "load", "--quick", "--json")
    printed, _ = done.communicate(timeout=300)
    report = json.loads(printed)
    figures = {figure["id"]: figure for figure in report["figures"]}
    drivers, sizes = ("reference", "held", "fast"), (2600, 1000)

    assert set(report) == {"bench", "seed", "machine", "noisy", "figures"}
    assert report["bench"] == "load"
    assert set(figures) == {
        *(f"{name}_ratio_naive_{size}" for name in drivers for size in sizes),
        *(f"{name}_updates_per_cpu_s_{size}" for name in ("naive", *drivers) for size in sizes),
        *(f"lost_updates_{size}" for size in sizes),
        "redis_benchmark_set_per_cpu_s",
        "redis_benchmark_get_per_cpu_s",
        "memtier_set_get_per_cpu_s",
        "recorder_us",
        "recorder_append_us",
        "conversations_alive",
        "conversations_alive_bytes",
        "stall_p99_error",
    }
    bounds = {name: (figures[name]["must"], figures[name]["goal"]) for name in figures}
    assert bounds["reference_ratio_naive_2600"] == (">=3", ">=5")
    assert bounds["fast_ratio_naive_2600"] == (">=6", ">=10")
    assert bounds["recorder_us"] == ("<=3", "<=1")
    assert bounds["stall_p99_error"] == ("<=10", "<=3")
    assert figures["stall_p99_error"]["n"] > 1000
    assert bounds["conversations_alive"] == (">=50000", ">=200000")
    for figure in figures.values():
        assert (figure["value"] is None) == ("is not installed" in figure["why"])
    for size in sizes:
        assert figures[f"lost_updates_{size}"]["value"] == 0
        # An order, not a time: the drivers cost less than the usual way, and fast the least.
        assert figures[f"fast_ratio_naive_{size}"]["value"] > 1
    assert done.returncode == any(figure["holds"] is False for figure in figures.values())


def test_bench_of_another_name_is_refused(tmp_path):
    """It names the one that was probably meant."""
    done = workbench(tmp_path, "bench", "stat")
    _, said = done.communicate(timeout=60)

    assert done.returncode == 2
    assert "did you mean 'state'" in said


@pytest.mark.slow
def test_ledger_bench_prints_every_figure_that_was_promised(tmp_path):
    """In the form that programs read; every eviction that was counted is in the ledger."""
    done = workbench(tmp_path, "bench", "ledger", "--quick", "--json")
    printed, _ = done.communicate(timeout=300)
    report = json.loads(printed)
    figures = {figure["id"]: figure for figure in report["figures"]}

    assert set(figures) == {
        "ledger_server_share",
        "ledger_server_share_without",
        "ledger_server_ratio",
        "ledger_evictions_per_s",
        "ledger_unpaced_ratio",
        "ledger_unpaced_writes_per_s",
        "ledger_reconciled_share",
        "ledger_windows_complete_share",
    }
    share = figures["ledger_server_share"]
    assert (share["must"], share["goal"]) == ("<=0.1", "<=0.05")
    assert figures["ledger_reconciled_share"]["value"] == 1
    assert figures["ledger_reconciled_share"]["n"] > 3000
    assert done.returncode == any(figure["holds"] is False for figure in figures.values())


@pytest.mark.slow
def test_analysis_bench_prints_every_figure_that_was_promised(tmp_path):
    """In the form that programs read; a small run needs little memory."""
    done = workbench(tmp_path, "bench", "analysis", "--quick", "--json")
    printed, _ = done.communicate(timeout=300)
    report = json.loads(printed)
    figures = {figure["id"]: figure for figure in report["figures"]}

    assert {"draw_s", "disk_bytes_per_turn"} <= set(figures)
    for name in ("check", "report"):
        assert {f"{name}_s", f"{name}_cpu_s", f"{name}_mib"} <= set(figures)
        assert figures[f"{name}_mib"]["must"] == "<=2048"
        assert figures[f"{name}_mib"]["holds"] is True
    assert done.returncode == 0
