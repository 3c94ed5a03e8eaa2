"""The law of the peak on made cells whose truth is known, and on none that it cannot tell."""

from dataclasses import asdict, replace

import numpy as np
import pytest

from tests.unit.analysis.made_cells import REDIS, TRUTH, made, measurement
from workbench.analysis.sizing import (
    Demand,
    advised,
    cross_checked,
    demand_of,
    documented_maxmemory_bytes,
    fit_law,
    law_of,
    touched_bytes,
)
from workbench.errors import RunError, UsageError

MIB = 1024**2
LOAD = Demand(writes_per_s=1000, value_bytes=2600, cpu_share=0.35, length_spread=0.5, clients=50)


@pytest.fixture(scope="module")
def fitted():
    """A law that was fitted to cells with a tenth of noise."""
    return fit_law(made(number=16, noise=0.1), REDIS)


def off(law, frame):
    """By which share the law's peaks differ from those of cells."""
    told = [
        law.peak(REDIS, int(cell["maxmemory_bytes"]), demand_of(cell)).anonymous_bytes
        for _, cell in frame.iterrows()
    ]
    return np.array(told) / frame["peak_bytes"].to_numpy() - 1


def test_law_of_made_cells_is_recovered(fitted):
    """It foretells cells that it has not seen within 10 %, though those it saw were noisy."""
    held = made(seed=2, number=30)

    assert np.mean(np.abs(off(fitted, held)) <= 0.1) >= 0.9
    assert fitted.program_bytes + 0.1 * 100 * MIB < 20 * MIB
    assert fitted.values_factor == pytest.approx(TRUTH.values_factor, rel=0.2)


def test_law_that_leaves_copies_out_is_told_apart(fitted):
    """The control: without copy-on-write the same cells are off by far more than 10 %."""
    wrong = replace(fitted, values_factor=0.0, objects_factor=0.0, renewed_factor=0.0)

    assert np.mean(np.abs(off(wrong, made(seed=2, number=30))) <= 0.1) < 0.7


def test_interval_holds_most_of_what_it_has_not_seen(fitted):
    """And no advised cap would be killed by the truth."""
    held = made(seed=3, number=30, noise=0.05)
    within = [
        peak.low_bytes <= cell["peak_bytes"] + peak.of("page_tables") <= peak.high_bytes
        for _, cell in held.iterrows()
        for peak in [fitted.peak(REDIS, int(cell["maxmemory_bytes"]), demand_of(cell))]
    ]
    limit = 256 * MIB
    spare = [
        1
        - TRUTH.peak(REDIS, advised(fitted, REDIS, limit, demand).maxmemory_bytes, demand).bytes
        / limit
        for _, cell in held.iterrows()
        for demand in [demand_of(cell)]
    ]

    assert np.mean(within) >= 0.9
    assert min(spare) > 0
    assert np.median(spare) <= 0.2


def test_pages_by_write_fall_as_writes_go_on():
    """Small objects share pages, which are all copied soon: one k for all would not do."""
    fit = TRUTH.peak(REDIS, 256 * MIB, LOAD).fit
    by_write = [
        sum(touched_bytes(fit, writes, LOAD, touches=2.0)) / 4096 / writes
        for writes in (100, 10_000, 1_000_000)
    ]

    assert by_write[0] > by_write[1] > by_write[2]
    assert by_write[0] > 3


def test_preferred_keys_have_fewer_pages_copied():
    """Nine tenths of the writes on a tenth of the keys touch less than even ones."""
    even, hot = (
        TRUTH.peak(REDIS, 256 * MIB, replace(LOAD, hot_share=share)).of("copy_on_write")
        for share in (0.1, 0.9)
    )

    assert hot < even


def test_less_of_a_core_makes_rewrites_longer_and_the_peak_higher():
    """Down to where writes are no longer all carried out."""
    peaks = [
        TRUTH.peak(REDIS, 256 * MIB, replace(LOAD, cpu_share=share)) for share in (None, 0.5, 0.02)
    ]

    assert peaks[0].rewrite_s < peaks[1].rewrite_s < peaks[2].rewrite_s
    assert peaks[0].bytes < peaks[1].bytes
    assert peaks[1].written_per_s == 1000
    assert peaks[2].written_per_s < 1000


def test_terms_add_up_and_those_counted_are_maxmemory():
    """Each part of the peak is named once."""
    peak = TRUTH.peak(REDIS, 200 * MIB, replace(LOAD, replicas=1))

    counted = sum(term.bytes for term in peak.terms if term.counted)
    assert counted == pytest.approx(200 * MIB, abs=4)
    assert sum(term.bytes for term in peak.terms) == peak.bytes
    assert peak.of("replica_buffers") > MIB
    assert len({term.name for term in peak.terms}) == len(peak.terms)


def test_advice_is_the_largest_whose_upper_end_leaves_the_limit(fitted):
    """A MiB more does not, and a limit that is outside of what was measured is said to be."""
    advice = advised(fitted, REDIS, 716 * MIB, LOAD)
    more = fitted.peak(REDIS, advice.maxmemory_bytes + MIB, LOAD)

    assert advice.peak.high_bytes <= 716 * MIB < more.high_bytes
    assert advice.maxmemory_bytes <= advice.even_bytes
    assert any("maxmemory" in said and "outside" in said for said in advice.outside)
    assert advised(fitted, REDIS, 120 * MIB, LOAD).outside == ()


def test_documented_cap_is_over_its_limit_by_the_law():
    """95 % of a limit leave no room for what a rewrite copies."""
    limit = round(0.35 * 1024 * MIB)

    assert documented_maxmemory_bytes(limit) == 340 * MIB
    assert TRUTH.peak(REDIS, 340 * MIB, LOAD).bytes > limit


def test_limit_that_nothing_is_safe_under_is_refused(fitted):
    """With what a small cap would come to."""
    crowd = replace(LOAD, clients=1000)

    with pytest.raises(UsageError, match=r"no maxmemory is safe under 4 MiB.*raise the limit"):
        advised(fitted, REDIS, 4 * MIB, crowd)


def test_too_few_cells_make_no_law():
    """And those that were killed do not count."""
    frame = made(number=10)
    frame["killed"] = [True] * 5 + [False] * 5

    with pytest.raises(UsageError, match="needs 8 cells that were not killed, and there are 5"):
        fit_law(frame, REDIS)


def test_each_cell_is_held_against_the_others():
    """A cell that is not like them stands out."""
    frame = made(number=12)
    frame.loc[3, "peak_bytes"] *= 1.5

    errors = np.abs(cross_checked(frame, REDIS))

    assert errors.argmax() == 3
    assert errors[3] > 0.25


def test_law_is_read_back_of_the_engine_or_of_the_nearest():
    """A law of the same engine goes before one of the same allocator."""
    keys = [("redis", "7.0.15", "jemalloc"), ("valkey", "9.1.2", "libc")]
    laws = [
        dict(zip(("engine", "version", "allocator"), key, strict=True))
        | {"law": asdict(replace(TRUTH, cells=at))}
        for at, key in enumerate(keys)
    ]
    kept = measurement(laws)

    assert law_of(kept, "redis", "jemalloc")[0] == TRUTH
    assert law_of(kept, "valkey", "jemalloc")[1]["allocator"] == "libc"
    with pytest.raises(RunError, match="has no law"):
        law_of(measurement([]), "redis", "jemalloc")
    del laws[0]["law"]["touches"]
    with pytest.raises(RunError, match="make it again: workbench size --calibrate"):
        law_of(measurement(laws), "redis", "jemalloc")
