"""The board: from INFO to values, rows and one line, without a server and without a terminal."""

import msgspec
import pytest

from workbench.telemetry.board import Boards, Reading, bar, head, line, rows, sparkline

MIB = 1024**2
INFO = {
    "run_id": "first",
    "redis_version": "7.0.15",
    "uptime_in_seconds": 100,
    "loading": 0,
    "used_memory": 6 * MIB,
    "used_memory_rss": 9 * MIB,
    "maxmemory": 8 * MIB,
    "maxmemory_policy": "allkeys-lru",
    "evicted_keys": 0,
    "expired_keys": 0,
    "keyspace_hits": 0,
    "keyspace_misses": 0,
    "total_commands_processed": 0,
    "aof_enabled": 1,
    "aof_rewrite_in_progress": 0,
    "aof_current_rewrite_time_sec": -1,
    "aof_current_size": 3 * MIB,
    "aof_base_size": MIB,
    "aof_last_cow_size": 0,
    "aof_delayed_fsync": 0,
    "aof_last_write_status": "ok",
    "aof_last_bgrewrite_status": "ok",
    "latest_fork_usec": 900,
    "total_forks": 1,
    "connected_clients": 2,
    "blocked_clients": 0,
    "mem_clients_normal": 4096,
}


def boards(*changes, ping_us=200.0, every_s=1.0):
    """The boards after looks at these INFOs; None is a look without an answer."""
    taken = Boards()
    for number, change in enumerate(changes):
        at_s = 1000.0 + every_s * number
        if change is None:
            taken.take(Reading(at_s, error="Connection refused"))
        else:
            taken.take(Reading(at_s, INFO | change, ping_us))
    return taken


def row(taken, label, **limit):
    (found,) = [each for each in rows(taken, **limit) if each.label == label]
    return found


def test_rates_are_those_since_the_look_before():
    """Per second, whatever the interval."""
    last = boards({}, {"evicted_keys": 10, "total_commands_processed": 600}, every_s=2.0).last

    assert last.evicted_per_s == 5
    assert last.commands_per_s == 300


def test_first_look_has_no_rates():
    """Nothing is known of the time before it, and nothing is 0 by guess."""
    last = boards({"evicted_keys": 10}).last

    assert last.evicted_per_s is None
    assert last.hits_share is None
    assert "evicted –" in line(last)


def test_restart_is_noticed_and_gives_no_rates():
    """Another run_id; its counters begin at 0, and are not held against the old ones."""
    taken = boards({"evicted_keys": 5}, {"run_id": "second", "evicted_keys": 9})

    assert taken.last.restarted
    assert taken.last.evicted_per_s is None
    assert "restarted" in line(taken.last)
    assert not boards({}, {}).last.restarted


def test_counter_that_went_back_gives_no_rate():
    """CONFIG RESETSTAT; the next look has rates again."""
    reset = {"evicted_keys": 0, "total_commands_processed": 1}

    taken = boards({"evicted_keys": 50, "total_commands_processed": 900}, reset)

    assert taken.last.evicted_per_s is None
    assert taken.last.commands_per_s is None
    taken.take(Reading(1002.0, INFO | {"evicted_keys": 3, "total_commands_processed": 5}, 1.0))
    assert taken.last.evicted_per_s == 3


def test_hits_are_those_of_ten_seconds():
    """What was missed a minute ago is forgotten."""
    misses = [{"keyspace_misses": min(100, 10 * n), "keyspace_hits": 0} for n in range(12)]
    hits = [{"keyspace_misses": 100, "keyspace_hits": 7 * n} for n in range(1, 14)]

    assert boards(*misses).last.hits_share == 0
    assert boards(*misses, *hits).last.hits_share == 1
    assert boards({}, {}).last.hits_share is None


def test_server_that_does_not_answer_keeps_its_values_and_loses_its_rates():
    """It says so, and since when."""
    taken = boards({}, {"evicted_keys": 5}, None, None)

    assert not taken.last.answered
    assert taken.last.used_memory == 6 * MIB
    assert taken.last.evicted_per_s is None
    assert head(taken.last) == "unreachable for 2 s: Connection refused"
    assert "unreachable" in line(taken.last)
    assert taken.trail("used_memory") == [6 * MIB, 6 * MIB, None, None]


def test_server_that_comes_back_has_rates_over_the_gap():
    """The same process: its counters went on, and the time is known."""
    assert boards({}, None, {"evicted_keys": 10}).last.evicted_per_s == 5


def test_impossible_value_is_not_shown():
    """A server that subtracts too much tells nearly 2^64."""
    taken = boards({"used_memory": 2**64 - 5, "mem_clients_normal": 2**64 - 1})

    assert taken.last.used_memory is None
    assert "– used" in row(taken, "memory").text


def test_memory_is_held_against_the_cap_and_the_limit():
    """The limit's source is told; near the limit it is bad news."""
    taken = boards({})

    assert row(taken, "memory").share == 0.75
    limited = row(taken, "resident", limit_bytes=9 * MIB, limit_source="given")
    assert limited.text == "9 MiB of 9 MiB given, 100 %"
    assert limited.grave
    assert row(taken, "resident").share is None
    assert "no cap" in row(boards({"maxmemory": 0}), "memory").text


def test_errors_are_told_by_prefix_and_rate():
    """A prefix that came up grew from 0; one that stands still is not told."""
    before = {"errorstat_ERR": {"count": 3}}
    after = {"errorstat_ERR": {"count": 3}, "errorstat_MISCONF": {"count": 8}}

    taken = boards(before, after, every_s=2.0)

    assert taken.last.errors_per_s == {"MISCONF": 4}
    assert row(taken, "errors").text == "MISCONF 4/s"
    assert row(taken, "errors").grave
    assert row(boards(before, before), "errors").text == "none"


def test_p99_is_that_of_the_busiest_commands():
    """By calls since the look before; the watch's own commands are left out."""

    def calls(**counts):
        stats = {f"cmdstat_{name}": {"calls": count} for name, count in counts.items()}
        tails = {f"latency_percentiles_usec_{name}": {"p99": 10.0} for name in counts}
        return stats | tails

    first = calls(get=1000, set=5, hset=0, info=9, ping=9, del_=7)
    taken = boards(first, calls(get=1001, set=90, hset=40, info=900, ping=900, del_=7))

    assert list(taken.last.p99_us) == ["set", "hset", "get"]
    assert row(taken, "p99").text.endswith("(since start)")
    assert row(boards({}), "p99").text == "the server does not tell"


def test_rewrite_is_told_with_its_time_and_failures_are_bad_news():
    """The AOF has two rows."""
    going = boards({"aof_rewrite_in_progress": 1, "aof_current_rewrite_time_sec": 7})
    failed = boards({"aof_last_bgrewrite_status": "err"})

    assert row(going, "aof").text == "3 MiB, base 1 MiB; rewriting for 7 s"
    assert "rewriting 7 s" in line(going.last)
    assert "the latest rewrite FAILED" in row(failed, "").text
    assert row(failed, "").grave
    assert not row(going, "").grave
    assert row(boards({"aof_enabled": 0}), "aof").text == "off"


def test_late_fsyncs_are_counted_since_the_watch_began():
    """Those before are not its matter; a restart does not take away what was seen."""
    taken = boards(
        {"aof_delayed_fsync": 40},
        {"aof_delayed_fsync": 43},
        {"run_id": "b", "aof_delayed_fsync": 0},
    )

    assert taken.last.aof.delayed_fsyncs == 3


def test_ping_that_is_refused_is_bad_news():
    """A full disk: PING is answered by MISCONF, which a health check takes for an answer."""
    taken = Boards()
    taken.take(Reading(1000.0, INFO, refused="MISCONF"))

    assert row(taken, "ping").text == "PING is answered by MISCONF, seen by this client"
    assert row(taken, "ping").grave
    assert "ping MISCONF" in line(taken.last)


def test_board_is_plain_data_for_programs():
    """Whatever the server did not tell is null."""
    told = msgspec.json.decode(msgspec.json.encode(boards({}).last))

    assert told["evicted_per_s"] is None
    assert told["aof"]["aof_base_size"] == MIB


def test_board_of_a_server_that_tells_nearly_nothing_can_be_shown():
    """As a proxy, or a server of another make."""
    taken = Boards()
    taken.take(Reading(1000.0, {"redis_version": "7.0"}))

    assert rows(taken)
    assert "memory –" in line(taken.last)


@pytest.mark.parametrize(
    ("values", "width", "drawn"),
    [
        ([0.0, 5.0, 10.0], 3, "▁▄▇"),
        ([0.0, 0.0], 2, "▁▁"),
        ([1.0, None, 1.0], 3, "▇ ▇"),
        ([1.0], 3, "  ▇"),
        ([1.0, 2.0, 4.0], 2, "▄▇"),
        ([], 2, "  "),
        ([1.0], 0, ""),
    ],
)
def test_sparkline_goes_from_zero_to_the_largest(values, width, drawn):
    """A gap is a blank, and the latest stands at the right."""
    assert sparkline(values, width) == drawn


@pytest.mark.parametrize(
    ("share", "drawn"),
    [(0.0, "░░░░"), (0.5, "██░░"), (0.625, "██▌░"), (1.0, "████"), (7.0, "████")],
)
def test_bar_is_filled_to_the_share(share, drawn):
    """And never over its end."""
    assert bar(share, 4) == drawn
