"""AOF rewrites: from the log if there is one, else from what INFO shows of them."""

import pytest

from tests.frames import events, samples
from workbench.analysis.persistence import (
    aof_enabled,
    failed_rewrites,
    finished_rewrites,
    memory_need,
    rewrite_spans,
    since_first_rewrite,
)

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

    (span,) = spans.to_dict("records")
    assert (span["elapsed_s"], span["duration_s"], span["source"]) == (2.1, 0.15, "log")
    assert (span["end_s"], span["unsure_s"], span["outcome"]) == (2.25, 0.0, "ok")


def test_without_a_log_each_change_of_the_base_size_ends_a_rewrite():
    """Seen at 5 s, after 3 whole seconds; and one at 6 s that took under a second."""
    spans = rewrite_spans(events([]), samples(SAMPLED))

    assert spans["elapsed_s"].tolist() == [2.0, 6.0]
    assert spans["duration_s"].tolist() == [3.0, 0.0]
    assert spans["end_s"].tolist() == [5.0, 6.0]
    assert set(spans["unsure_s"]) == {1.0}
    assert set(spans["source"]) == {"samples"}


def test_base_size_after_a_restart_is_no_rewrite():
    """The server takes for base what it loaded."""
    restarted = [SAMPLED[0], {**SAMPLED[2], "run_id": "second"}]

    assert rewrite_spans(events([]), samples(restarted)).empty


STARTED = [
    {"elapsed_s": 9.0, "aof_base_size": 0, "aof_last_rewrite_time_sec": -1},
    {"elapsed_s": 11.1, "aof_base_size": 0, "run_id": "second", "loading": 1}
    | {"aof_last_rewrite_time_sec": -1},
    {"elapsed_s": 11.3, "aof_base_size": 89, "run_id": "second", "aof_last_rewrite_time_sec": -1},
]


@pytest.mark.parametrize("lacking", [{}, {"aof_last_rewrite_time_sec": None}, {"loading": None}])
def test_base_size_that_shows_when_the_server_has_read_its_data_is_no_rewrite(lacking):
    """It is 0 while it reads, in the same life of the server."""
    restarted = [{**poll, **lacking} for poll in STARTED]

    assert rewrite_spans(events([]), samples(restarted)).empty


def test_first_rewrite_of_a_new_server_is_one():
    """Its base grew from 0, too."""
    new = [STARTED[0], {"elapsed_s": 10.0, "aof_base_size": 900, "aof_last_rewrite_time_sec": 0}]

    assert rewrite_spans(events([]), samples(new))["end_s"].tolist() == [10.0]


def test_server_without_aof_has_no_spans():
    """Its INFO has no aof_base_size at all."""
    fields = dict.fromkeys(("aof_base_size", "aof_last_rewrite_time_sec"))
    without = samples({"elapsed_s": at, **fields} for at in (0.0, 1.0))

    assert rewrite_spans(events([]), without).empty


LOGGED = [
    {"elapsed_s": -2.0, "kind": "aof_rewrite", "label": "ok", "duration_s": 0.5},
    {"elapsed_s": -0.1, "kind": "aof_rewrite", "label": "ok", "duration_s": 0.5},
    {"elapsed_s": 2.0, "kind": "aof_rewrite", "label": "err", "duration_s": 0.5},
    {"elapsed_s": 4.0, "kind": "aof_rewrite", "label": "ok", "duration_s": 0.5},
    {"elapsed_s": 5.5, "kind": "aof_rewrite", "label": "open", "duration_s": 0.5},
]


def test_finished_rewrites_are_those_that_ended_well_under_the_measured_load():
    """Not the prefill's, one that failed, or one that still goes on at the end."""
    finished = finished_rewrites(events(LOGGED), samples(SAMPLED))

    assert finished["elapsed_s"].tolist() == [-0.1, 4.0]


def test_rewrite_that_only_began_is_not_finished():
    """The counter of INFO counts beginnings."""
    assert finished_rewrites(events([]), samples(SAMPLED[:2])).empty
    assert len(finished_rewrites(events([]), samples(SAMPLED))) == 2


def test_fields_of_the_latest_rewrite_are_taken_from_the_first_finished_one_on():
    """What they said before is of an earlier load."""
    since = since_first_rewrite(events([]), samples(SAMPLED))

    assert since["elapsed_s"].tolist() == [5.0, 6.0]
    assert since_first_rewrite(events([]), samples(SAMPLED[:2])).empty


def test_failed_rewrites_are_the_most_that_one_witness_tells():
    """The log, the count of failures in a row, or the status: each misses some."""
    status = [{**poll, "aof_last_bgrewrite_status": "err"} for poll in SAMPLED[1:]]
    in_a_row = [
        {**poll, "aof_rewrites_consecutive_failures": number}
        for poll, number in zip(SAMPLED, (0, 2, 0, 1), strict=True)
    ]

    assert failed_rewrites(events(LOGGED), samples(SAMPLED)) == 1
    assert failed_rewrites(events([]), samples([SAMPLED[0], *status])) == 1
    assert failed_rewrites(events([]), samples(in_a_row)) == 3
    assert failed_rewrites(events([]), samples(SAMPLED)) == 0


def test_failure_before_the_measured_load_is_not_its_own():
    """A status that was bad from the start tells nothing of this run."""
    before = [
        {"elapsed_s": at, "aof_last_bgrewrite_status": status}
        for at, status in ((-2.0, "ok"), (-1.0, "err"), (1.0, "err"))
    ]

    assert failed_rewrites(events([]), samples(before)) == 0


@pytest.mark.parametrize(("said", "enabled"), [(1, True), (0, False), (None, None)])
def test_server_says_whether_it_keeps_an_aof_or_it_is_unknown(said, enabled):
    """A managed server may not say."""
    assert aof_enabled(samples([{"elapsed_s": 0.0, "aof_enabled": said}])) is enabled


def test_memory_need_is_the_most_resident_and_the_most_copied():
    """They need not come at the same time: what is needed must be there all the time."""
    seen = samples(
        [
            {"elapsed_s": 0.0, "used_memory_rss": 8 * MIB, "aof_last_cow_size": 0},
            {"elapsed_s": 1.0, "used_memory_rss": 6 * MIB, "aof_last_cow_size": 2 * MIB}
            | {"aof_base_size": 900},
        ]
    )

    need = memory_need(events([]), seen)

    assert (need.rss_bytes, need.cow_bytes, need.rewrites) == (8 * MIB, 2 * MIB, 1)
    assert need.needed_ratio == pytest.approx(2.0)


@pytest.mark.parametrize("cap", [0, None])
def test_memory_need_without_a_cap_is_unknown(cap):
    """There is nothing to hold it against."""
    assert memory_need(events([]), samples([{"elapsed_s": 0.0, "maxmemory": cap}])) is None


def test_memory_need_without_samples_is_unknown():
    """No server was seen."""
    assert memory_need(events([]), samples([])) is None
