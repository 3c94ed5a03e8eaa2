"""Several settings on the same turns: who is not served, and how sure that is."""

import shutil
from types import SimpleNamespace

import msgspec
import numpy as np
import pandas as pd
import pytest

from tests.conftest import GOLDEN
from tests.unit.analysis.simulated import simulated
from workbench.analysis.likeness import trace_difference
from workbench.analysis.variants import Variant, Variants, variants_of
from workbench.diagnostics.variants import judge_variants
from workbench.errors import RunError, UsageError
from workbench.plots.variants import (
    figure_memory_by_variant,
    figure_unserved,
    figure_waits_by_variant,
)
from workbench.runs.manifest import write_manifest
from workbench.runs.rows import Rows
from workbench.runs.run import Run


@pytest.fixture(scope="module")
def golden(tmp_path_factory):
    """The golden run as it is, and as if another policy had been at work on the same turns."""
    folder = tmp_path_factory.mktemp("variants")
    for name in ("allkeys-lru", "allkeys-lfu"):
        run = Run(shutil.copytree(GOLDEN, folder / name))
        config = {**run.manifest.server["config"], "maxmemory-policy": name}
        server = {**run.manifest.server, "config": config}
        write_manifest(run.path, msgspec.structs.replace(run.manifest, server=server))
    return [Run(folder / name) for name in ("allkeys-lru", "allkeys-lfu")]


def with_outcomes(run, share_refused):
    """The same turns, of which another share was refused."""
    frame = run.frame.copy()
    refused = int(share_refused * len(frame))
    frame.loc[frame.index[: 2 * refused : 2], "outcome"] = "refused"
    return SimpleNamespace(**{**vars(run), "measured_turns": Rows(frame), "frame": frame})


def variants(*shares, moved_s=0.0):
    """A run, and others with a further share of refusals."""
    first = simulated(1, seconds=60, lost=0.05)
    others = [with_outcomes(first, share) for share in shares]
    for other in others:
        frame = other.frame.assign(elapsed_s=other.frame["elapsed_s"] + moved_s)
        other.measured_turns = Rows(frame)
    named = zip("abcd", [first, *others], strict=False)
    return Variants("maxmemory-policy", [Variant(name, run) for name, run in named])


def test_refused_turns_count_as_much_as_lost_ones():
    """A server that evicts nothing is not the one that loses nobody."""
    found = variants(0.2)

    (change,) = found.changes
    row = found.table.iloc[1]

    assert change.verdict == "more"
    assert change.bounds.low > 0.15
    assert row["unserved_share"] == (row["lost"] + row["failed"]) / row["turns"]


def with_outcome(run, every, outcome):
    """The same turns, of which each so many-th met with this, and the others with nothing."""
    frame = run.frame.copy()
    frame["outcome"] = np.where(frame.index % every, "ok", outcome)
    return SimpleNamespace(**{**vars(run), "measured_turns": Rows(frame), "frame": frame})


def test_state_that_expired_is_not_served():
    """A time to live of seconds evicts nobody, since all has expired before people come back."""
    first = simulated(1, seconds=60, lost=0.05)
    runs = [("300s", first), ("4s", with_outcome(first, 3, "expired"))]

    found = Variants("ttl", [Variant(*each) for each in runs])
    row = found.table.iloc[1]

    assert (row["lost"], row["expired"]) == (0, 1000)
    assert row["unserved_share"] == pytest.approx(1 / 3)
    assert judge_variants(found).verdict == "pass"
    assert "4s leaves 33.3 %" in figure_unserved(found).title


def test_best_is_named_with_those_that_are_not_told_apart_from_it():
    """A tie is no victory, and the worst one is named besides."""
    first = simulated(1, seconds=60, lost=0.05)
    other = simulated(2, seconds=60, lost=0.05)
    refused = with_outcome(first, 2, "refused")

    tied = Variants("hz", [Variant("5", first), Variant("10", first)])
    three = Variants("hz", [Variant("5", first), Variant("10", other), Variant("20", refused)])

    assert figure_unserved(tied).title.endswith("not told apart")
    assert "is not told apart from" in figure_unserved(three).title
    assert figure_unserved(three).title.endswith("; 20 leaves 50 %")


def test_failures_are_called_as_quick_as_they_were():
    """A timeout takes a second, and is no quick answer."""
    first = simulated(1, seconds=60, lost=0.05)
    slow = with_outcome(first, 2, "timeout")
    waited = slow.frame["response_us"].where(slow.frame["outcome"] == "ok", 1e6)
    slow.measured_turns = Rows(slow.frame.assign(response_us=waited))
    found = Variants("hz", [Variant("5", first), Variant("10", slow)])

    reading = figure_waits_by_variant(found).reading

    assert "half of them took no longer than 1 s under 10" in reading
    assert "quick" not in reading


def test_same_conversations_on_both_sides_make_bounds_narrow():
    """Half a percent more of the same turns is told apart; of others it would not be."""
    found = variants(0.01)
    other = Variants("x", [Variant(str(at), simulated(at, seconds=60, lost=0.05)) for at in (1, 2)])

    assert found.changes[0].verdict == "more"

    def width(variants):
        return variants.changes[0].bounds.high - variants.changes[0].bounds.low

    assert width(other) > 2 * width(found)


def test_first_one_passes_if_each_other_leaves_more():
    """And the finding names what each left."""
    found = judge_variants(variants(0.1, 0.2))

    assert found.verdict == "pass"
    assert found.head.says.endswith("and each other setting leaves more")
    assert set(found.head.evidence) == {"a", "b", "c"}


def test_first_one_fails_if_another_leaves_fewer():
    """With the change and its bounds."""
    before = variants(0.2)

    found = judge_variants(Variants("hz", reversed(before.each)))

    assert found.verdict == "fail"
    assert "points (" in found.head.says
    assert "try hz a" in found.head.advice


def test_alike_ones_are_not_told_apart():
    """Which is said, and is no pass."""
    found = judge_variants(variants(0.0))

    assert found.verdict == "unknown"
    assert "is not told apart from b" in found.head.says


def test_other_turns_are_no_comparison():
    """A turn that came due 5 ms later is another one."""
    found = variants(0.2, moved_s=0.005)

    assert "apart" in found.traces["b"]
    assert judge_variants(found).verdict == "fail"
    assert judge_variants(found).head.rule == "same-turns"


def test_turns_that_only_one_run_has_are_told():
    """By their number."""
    first = simulated(1, seconds=20)
    fewer = SimpleNamespace(**{**vars(first), "measured_turns": Rows(first.frame.iloc[:-100])})

    assert trace_difference(first, fewer).startswith("100 of 1,000 turns came due in one")
    assert trace_difference(first, first) == ""


def test_runs_are_read_by_the_knob_that_differs(golden):
    """Nothing is started; charts and words are there."""
    found = variants_of("maxmemory-policy", golden)

    charts = [
        figure_unserved(found),
        figure_waits_by_variant(found),
        figure_memory_by_variant(found),
    ]

    assert list(found.table["value"]) == ["allkeys-lru", "allkeys-lfu"]
    assert found.traces == {}
    assert "allkeys-lfu" in repr(found)
    assert all(chart.title and len(chart.reading) > 30 for chart in charts)


def test_runs_that_do_not_differ_in_the_knob_are_refused(golden):
    """The message says which value both have."""
    with pytest.raises(RunError, match="the same maxmemory-policy, allkeys-lru"):
        variants_of("maxmemory-policy", [golden[0], golden[0]])


def test_runs_that_differ_in_more_are_refused(golden):
    """As for any comparison."""
    with pytest.raises(RunError, match=r"maxmemory-policy: allkeys-lru \| allkeys-lfu"):
        variants_of("hz", golden)


def test_unknown_knob_is_refused_with_the_nearest(golden):
    """A typing error."""
    with pytest.raises(UsageError, match="did you mean 'maxmemory-policy'"):
        variants_of("maxmemory-polcy", golden)


def test_one_run_is_nothing_to_compare(golden):
    """It takes two."""
    with pytest.raises(UsageError, match="it takes two"):
        variants_of("hz", golden[:1])


def test_table_is_a_row_a_variant():
    """For programs."""
    table = variants(0.1).table

    assert isinstance(table, pd.DataFrame)
    assert {"value", "turns", "lost", "failed", "unserved_share", "p50", "p99"} <= set(table)
