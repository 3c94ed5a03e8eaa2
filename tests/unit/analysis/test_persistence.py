"""AOF rewrites: from the log if there is one, else from what INFO shows of them."""

import pytest

from tests.frames import events, samples
from workbench.analysis.persistence import memory_need, rewrite_spans, rewrites

MIB = 1024**2
SAMPLED = [
    {"elapsed_s": 0.0, "aof_base_size": 500, "aof_last_rewrite_time_sec": -1, "aof_rewrites": 0},
    {"elapsed_s": 1.0, "aof_base_size": 500, "aof_last_rewrite_time_sec": -1, "aof_rewrites": 1},
    {"elapsed_s": 5.0, "aof_base_size": 900, "aof_last_rewrite_time_sec": 3, "aof_rewrites": 1},
    {"elapsed_s": 6.0, "aof_base_size": 950, "aof_last_rewrite_time_sec": 0, "aof_rewrites": 2},
]


def test_spans_of_the_log_are_taken_before_those_of_the_samples():
    """The log knows a rewrite to the millisecond."""
    logged = events(
        [
            {"elapsed_s": 0.0, "kind": "phase", "label": "measure", "duration_s": 10.0},
            {"elapsed_s": 2.1, "kind": "aof_rewrite", "label": "ok", "duration_s": 0.15},
        ]
    )

    spans = rewrite_spans(logged, samples(SAMPLED))

    assert spans.to_dict("records") == [{"elapsed_s": 2.1, "duration_s": 0.15, "source": "log"}]


def test_without_a_log_each_change_of_the_base_size_ends_a_rewrite():
    """Seen at 5 s, after 3 whole seconds; and one at 6 s that took under a second."""
    spans = rewrite_spans(events([]), samples(SAMPLED))

    assert spans["elapsed_s"].tolist() == [2.0, 6.0]
    assert spans["duration_s"].tolist() == [3.0, 0.0]
    assert set(spans["source"]) == {"samples"}


def test_server_without_aof_has_no_spans():
    """Its INFO has no aof_base_size at all."""
    fields = dict.fromkeys(("aof_base_size", "aof_last_rewrite_time_sec"))
    without = samples({"elapsed_s": at, **fields} for at in (0.0, 1.0))

    assert rewrite_spans(events([]), without).empty


def test_rewrites_are_those_during_the_samples():
    """The counter counts from the server's start; the run, from its first sample."""
    assert rewrites(samples(SAMPLED)) == 2


def test_memory_need_is_the_most_resident_and_the_most_copied():
    """They need not come at the same time: what is needed must be there all the time."""
    seen = samples(
        [
            {"elapsed_s": 0.0, "used_memory_rss": 8 * MIB, "aof_last_cow_size": 0},
            {"elapsed_s": 1.0, "used_memory_rss": 6 * MIB, "aof_last_cow_size": 2 * MIB}
            | {"aof_rewrites": 1},
        ]
    )

    need = memory_need(seen)

    assert (need.rss_bytes, need.cow_bytes, need.rewrites) == (8 * MIB, 2 * MIB, 1)
    assert need.needed_ratio == pytest.approx(2.0)


@pytest.mark.parametrize("cap", [0, None])
def test_memory_need_without_a_cap_is_unknown(cap):
    """There is nothing to hold it against."""
    assert memory_need(samples([{"elapsed_s": 0.0, "maxmemory": cap}])) is None


def test_memory_need_without_samples_is_unknown():
    """No server was seen."""
    assert memory_need(samples([])) is None
