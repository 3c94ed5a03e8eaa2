"""What a server was seen to do: each kind of cause, its time, and what is not known of it."""

import math

import pytest

from tests.frames import START_UNIX_S, events, samples, snapshot
from workbench.analysis.causes import KINDS, causes, covered_share, forks
from workbench.runs.snapshot import LatencyEvent, SlowCommand

NO_EVENTS = events([])
CALM = [{"elapsed_s": float(second)} for second in range(4)]


def found(kind, *, of_events=NO_EVENTS, of_samples=CALM, looks=()):
    """The causes of one kind, as dictionaries; there is no other."""
    table = causes(of_events, samples(of_samples), looks, start_unix_s=START_UNIX_S)
    assert set(table["kind"]) <= {kind}
    assert set(table["kind"]) <= set(KINDS)
    return table.to_dict("records")


def test_a_calm_server_does_nothing_that_makes_people_wait():
    """The control: no kind of cause is found where nothing happened."""
    assert causes(NO_EVENTS, samples(CALM), [snapshot(0), snapshot(3)]).empty


def test_causes_of_an_empty_run_are_none():
    """No samples, no events, no looks."""
    assert causes(NO_EVENTS, samples([])).empty


def test_a_fault_holds_the_server_up_as_long_as_it_lasts():
    """Whoever made it knows for how long."""
    made = events([{"elapsed_s": 1.0, "duration_s": 0.5, "kind": "fault", "label": "freeze"}])

    (fault,) = found("fault", of_events=made)

    assert (fault["elapsed_s"], fault["end_s"], fault["held_us"]) == (1.0, 1.5, 500_000)
    assert fault["cause"] == "freeze (a fault)"


def test_a_restart_lies_between_the_samples_that_show_it():
    """The run_id changed somewhere in between; for how long it was away is not known."""
    rows = [*CALM[:2], {"elapsed_s": 3.0, "run_id": "second"}]

    (restart,) = found("restart", of_samples=rows)

    assert (restart["elapsed_s"], restart["end_s"]) == (1.0, 3.0)
    assert math.isnan(restart["held_us"])


def test_loading_is_told():
    """A server that loads answers nobody else."""
    (loads,) = found("restart", of_samples=[*CALM, {"elapsed_s": 4.0, "loading": 1}])

    assert (loads["elapsed_s"], loads["cause"]) == (3.0, "loading its data")


def test_a_rewrite_is_as_long_as_its_span():
    """As the log tells it."""
    made = events([{"elapsed_s": 1.0, "duration_s": 0.3, "kind": "aof_rewrite", "label": "ok"}])

    (rewrite,) = found("AOF rewrite", of_events=made)

    assert (rewrite["elapsed_s"], rewrite["end_s"]) == (1.0, 1.3)


@pytest.mark.parametrize(("fork_us", "told"), [(40_000, 1), (1_000, 0)], ids=["long", "short"])
def test_a_fork_counts_if_it_is_long(fork_us, told):
    """One of a millisecond makes nobody wait."""
    rows = [{**row, "total_forks": 0} for row in CALM]
    rows += [{"elapsed_s": 4.0, "total_forks": 1, "latest_fork_usec": fork_us}]

    forked = found("fork", of_samples=rows)

    assert [cause["held_us"] for cause in forked] == [fork_us] * told


def test_a_fork_of_a_rewrite_ends_where_its_span_begins():
    """The server writes that a rewrite began when it has forked."""
    made = events([{"elapsed_s": 3.5, "duration_s": 0.1, "kind": "aof_rewrite", "label": "ok"}])
    rows = [{**row, "total_forks": 0} for row in CALM]
    rows += [{"elapsed_s": 4.0, "total_forks": 1, "latest_fork_usec": 40_000}]

    table = causes(made, samples(rows))

    fork = table[table["kind"] == "fork"].iloc[0]
    assert (fork["elapsed_s"], fork["end_s"]) == (pytest.approx(3.46), 3.5)


def test_forks_that_the_server_does_not_count_are_none():
    """An INFO without total_forks."""
    assert forks(samples([{**row, "total_forks": None} for row in CALM])).empty


def test_a_write_that_an_fsync_held_up_is_told():
    """By the server's own count."""
    (held,) = found("slow fsync", of_samples=[*CALM, {"elapsed_s": 4.0, "aof_delayed_fsync": 1}])

    assert (held["elapsed_s"], held["end_s"]) == (3.0, 4.0)


@pytest.mark.parametrize(("in_a_row", "told"), [(1, 0), (2, 1)])
def test_an_fsync_is_slow_if_two_samples_in_a_row_meet_one(in_a_row, told):
    """One sample meets one by chance: there is one a second."""
    pending = [{"elapsed_s": 4.0 + n, "aof_pending_bio_fsync": 1} for n in range(in_a_row)]

    assert len(found("slow fsync", of_samples=[*CALM, *pending])) == told


@pytest.mark.parametrize(("keys", "told"), [(1000, 1), (150, 0)], ids=["burst", "as ever"])
def test_a_burst_stands_out_against_the_run_s_own_evictions(keys, told):
    """A server at its cap evicts all the time, and that is no burst."""
    rows = [{"elapsed_s": float(s), "evicted_keys": 100 * s} for s in range(5)]
    rows += [{"elapsed_s": 5.0, "evicted_keys": 400 + keys}]

    assert len(found("eviction burst", of_samples=rows)) == told


def test_a_slow_command_lies_in_its_whole_second():
    """SLOWLOG says in which second it ended; one that both looks hold is one."""
    entry = SlowCommand(number=7, unix_s=int(START_UNIX_S) + 2, duration_us=30_000, command="keys")

    (slow,) = found("slow command", looks=[snapshot(0, slowlog=[entry])] * 2)

    assert (slow["elapsed_s"], slow["end_s"]) == (pytest.approx(1.97), 3.0)
    assert (slow["cause"], slow["held_us"]) == ("a slow KEYS", 30_000)


def test_an_event_of_the_latency_monitor_is_told_by_its_name():
    """With the time that the server took for it."""
    event = LatencyEvent(unix_s=int(START_UNIX_S) + 2, latest_ms=20, max_ms=80)

    (noted,) = found("latency event", looks=[snapshot(3, latency={"aof-write": event})])

    assert (noted["cause"], noted["held_us"]) == ("the latency event aof-write", 20_000)


def test_the_share_of_covered_time_counts_overlaps_once():
    """Two spans that overlap, and one that lies outside."""
    made = events(
        [
            {"elapsed_s": 1.0, "duration_s": 2.0, "kind": "fault", "label": "freeze"},
            {"elapsed_s": 2.0, "duration_s": 2.0, "kind": "fault", "label": "freeze"},
            {"elapsed_s": 20.0, "duration_s": 2.0, "kind": "fault", "label": "freeze"},
        ]
    )

    assert covered_share(causes(made, samples([])), 0.0, 10.0) == pytest.approx(0.3)
    assert covered_share(causes(made, samples([])), 0.0, 0.0) == 0.0
