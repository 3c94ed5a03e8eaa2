"""Errors by pattern: what is masked, what counts as an error, and whose it is."""

import math
import shutil
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import GOLDEN
from tests.frames import operations
from workbench.analysis.patterns import (
    COLUMNS,
    MESSAGES,
    UNCLAIMED,
    Entry,
    by_outcome,
    load_entries,
    outcome_patterns,
    patterns,
    reply_patterns,
    sampler_entries,
    server_entries,
    template,
)
from workbench.server.binary import embedded_path

CLIENT = (
    "Client id=14 addr=127.0.0.1:50530 laddr=127.0.0.1:42007 fd=9 name= age=0 idle=0 cmd=get "
    "scheduled to be closed ASAP for overcoming of output buffer limits."
)


def line(text, level="#", at="10:36:59.202"):
    return f"20217:M 26 Nov 2026 {at} {level} {text}"


def found(*lines):
    """The patterns of a server's log, as (rule, template, count)."""
    frame = patterns(server_entries(lines))
    return list(zip(frame["rule"], frame["template"], frame["count"], strict=True))


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Short write (nwritten=17, expected=200)", "Short write (nwritten=<n>, expected=<n>)"),
        ("Can't open /var/lib/redis/x.aof: No", "Can't open <path>: No"),
        ("Error 111 connecting to 127.0.0.1:6379.", "Error <n> connecting to <address>."),
        ("Error connecting to [::1]:6379", "Error connecting to <address>"),
        ("crashed at 0x7ffecf: node 8badf00d8badf00d", "crashed at <id>: node <id>"),
        ("no value of 'user:17' in \"b\"", "no value of '<text>' in '<text>'"),
        ("key session:abc:state is odd", "key <name> is odd"),
        ("see https://example.org/a?b=1, and go", "see <url>, and go"),
        ("redis:7 says Can't do it, won't do it", "<name> says Can't do it, won't do it"),
        ("file appendonly.aof.12.incr.aof", "file appendonly.aof.<n>.incr.aof"),
        (
            CLIENT,
            "Client <fields> scheduled to be closed ASAP for overcoming of output buffer limits.",
        ),
    ],
)
def test_what_differs_from_time_to_time_is_masked(text, masked):
    """Numbers, paths, addresses, ids, names with colons, quoted text; and no apostrophe."""
    assert template(text) == masked


def test_template_holds_no_secret_and_ends_somewhere():
    """A URL's login, a key with a phone number; and a line as long as a value."""
    told = template(
        "redis://u:hunter2@h:1 channel:+94771234567 AUTH default hunter2 " + "x " * 9999
    )

    assert "hunter2" not in told
    assert "9477" not in told
    assert len(told) < 300


def test_template_of_a_template_is_itself():
    """Masks do not feed on one another."""
    for text in (*MESSAGES, CLIENT, "Error 111 connecting to 127.0.0.1:6379."):
        assert template(template(text)) == template(text)


def test_lines_of_one_kind_are_one_pattern_with_its_times():
    """Counted, from the first to the last, at the rate in between."""
    lines = [line(f"Odd thing {n} happened", at=f"10:37:0{n}.000") for n in range(5)]

    (row,) = patterns(server_entries(lines)).to_dict("records")

    assert (row["rule"], row["template"], row["count"]) == (UNCLAIMED, "Odd thing <n> happened", 5)
    assert row["last_unix_s"] - row["first_unix_s"] == 4
    assert row["rate_per_s"] == 1


def test_single_line_has_no_rate():
    """One point says nothing of a pace."""
    (row,) = patterns(server_entries([line("Odd")])).to_dict("records")

    assert math.isnan(row["rate_per_s"])


def test_no_lines_are_no_patterns():
    """An empty frame has the columns of a full one."""
    frame = patterns(server_entries([]))

    assert frame.empty
    assert list(frame.columns) == list(COLUMNS)


def test_known_message_has_its_rule_at_any_level():
    """A late fsync is a notice in the log, and an error all the same."""
    late = "Asynchronous AOF fsync is taking too long (disk is busy?). Writing the AOF buffer"

    ((rule, _, count),) = found(line(late, level="*"))

    assert (rule, count) == ("fsync-late", 1)
    assert found(line("Background saving terminated with success", level="*")) == []


def test_start_and_shutdown_are_no_errors():
    """Redis 7.0 writes them at the level of warnings."""
    assert not found(
        line("oO0OoO0OoO0Oo Redis is starting oO0OoO0OoO0Oo"),
        line("Redis version=7.0.15, bits=64, commit=00000000, modified=0, pid=1, just started"),
        line("Configuration loaded"),
        line("Server initialized"),
        line("User requested shutdown..."),
        line("Redis is now ready to exit, bye bye..."),
        line(""),
    )


def test_crash_report_counts_by_its_first_lines():
    """What happened, and where; neither the stack nor the INFO in it. After it all counts again."""
    lines = [
        "=== REDIS BUG REPORT START: Cut & paste starting from here ===",
        line("Redis 7.0.15 crashed by signal: 11, si_code: 0"),
        "------ STACK TRACE ------",
        line("(00007ffecfe1a2b0) -> 00007ffecfe1"),
        "------ INFO OUTPUT ------",
        line("dump of function (hexdump of 12 bytes):"),
        "=== REDIS BUG REPORT END. Make sure to include from START to END. ===",
        line("Odd"),
    ]

    told = [text for _, text, _ in found(*lines)]

    assert sorted(told) == ["Odd", "Redis <n> crashed by signal: <n>, si_code: <n>"]


def test_log_is_read_behind_a_collectors_prefix():
    """As docker compose logs prints it."""
    ((rule, _, _),) = found("redis-state-1  | " + line("!!! Truncating the AOF x at offset 7 !!!"))

    assert rule == "aof-truncated"


@pytest.mark.parametrize("engine", ["redis", "valkey"])
def test_listed_message_is_one_of_the_servers(engine):
    """Each text stands in the program that is said to write it."""
    path = shutil.which("redis-server") if engine == "redis" else embedded_path()
    if path is None:
        pytest.skip(f"no {engine} on this machine")
    program = Path(path).read_bytes()

    # "Memory overcommit …" and the like are put behind WARNING by the program; the rest is whole.
    missing = [text for text in MESSAGES if text.encode() not in program]

    assert missing == []
    assert b"Error writing to the AOF fiel" not in program


def test_warnings_of_the_load_and_the_last_line_of_its_traceback_are_errors():
    """The time of a traceback is that of the line before it."""
    lines = [
        "[2026-11-26 12:37:00,000] vm/INFO/locust.main: Starting Locust 2.47.0",
        "[2026-11-26 12:37:04,000] vm/WARNING/root: CPU usage above 90%",
        "[2026-11-26 12:37:05,000] vm/ERROR/locust.user.task: Error 104",
        "Traceback (most recent call last):",
        '  File "x.py", line 3, in f',
        "    raise ConnectionError",
        "redis.exceptions.ConnectionError: Error 111 connecting to 127.0.0.1:6379",
        "TURN     login/greeting     505     0(0.00%)",
    ]

    frame = patterns(load_entries(lines, started_unix_s=1795689420.0))

    assert set(frame["template"]) == {
        "CPU usage above <n>%",
        "Error <n>",
        "redis.exceptions.ConnectionError: Error <n> connecting to <address>",
    }
    # The run began at 10:37:00 UTC: the log goes by a clock two hours ahead.
    assert set(frame["first_unix_s"]) == {1795689424.0, 1795689425.0}


def test_sampler_writes_errors_only():
    """And of a traceback the last line says which."""
    lines = [
        "the server stopped answering: Error 111",
        "Traceback (most recent call last):",
        '  File "x.py", line 3, in f',
        "OSError: [Errno 28] No space left on device",
    ]

    assert [entry.text for entry in sampler_entries(lines)] == [lines[0], lines[-1]]


def test_outcomes_are_told_by_step():
    """With the rule that judges them; what is ok, or a duplicate, is no error."""
    turns = operations(
        {"elapsed_s": at, "outcome": outcome, "step": step}
        for at, outcome, step in [
            (1.0, "ok", "amount"),
            (2.0, "evicted", "amount"),
            (3.0, "evicted", "amount"),
            (4.0, "refused", "menu"),
            (5.0, "duplicate", "menu"),
        ]
    )

    told = outcome_patterns(turns)[["rule", "template", "count"]].to_numpy().tolist()

    assert told == [
        ["live-state-evicted", "evicted at offer_secured/amount", 2],
        ["turns-failed", "refused at offer_secured/menu", 1],
    ]


def test_error_replies_are_those_of_the_window():
    """A prefix that came up in it grew from 0; one that did not grow is left out."""
    before = {"errorstat_OOM": {"count": 7}, "errorstat_ERR": {"count": 1}}
    after = {
        "errorstat_OOM": {"count": 17},
        "errorstat_ERR": {"count": 1},
        "errorstat_WRONGTYPE": {"count": 2},
    }

    frame = reply_patterns(before, after, first_unix_s=10.0, last_unix_s=20.0)

    assert frame[["rule", "template", "count", "rate_per_s"]].to_numpy().tolist() == [
        ["refuses-when-full", "replied with OOM", 10, 1.0],
        ["error-replies", "replied with WRONGTYPE", 2, 0.2],
    ]


def test_golden_run_has_one_warning_and_it_has_a_rule():
    """Its server wanted memory overcommit, as on most machines."""
    log = (GOLDEN / "logs" / "redis.log").read_text().splitlines()

    assert [rule for rule, _, _ in found(*log)] == ["overcommit"]


def test_turns_of_one_outcome_are_one_pattern_whatever_their_step():
    """Fifty steps that time out are one thing that went wrong; the rest stays as it was."""
    turns = operations(
        [
            {"elapsed_s": 1.0, "outcome": "timeout", "step": "menu"},
            {"elapsed_s": 3.0, "outcome": "timeout", "step": "amount"},
            {"elapsed_s": 2.0, "outcome": "evicted", "step": "menu"},
        ]
    )
    logged = patterns([Entry("redis.log", "warning", "Out of luck", "", 5.0)])

    told = by_outcome(pd.concat([logged, outcome_patterns(turns)], ignore_index=True))

    assert dict(zip(told["template"], told["count"], strict=True)) == {
        "timeout, at 2 steps": 2,
        "evicted at offer_secured/menu": 1,
        "Out of luck": 1,
    }
    timeouts = told.iloc[0]
    assert timeouts["last_unix_s"] - timeouts["first_unix_s"] == 2.0
    assert timeouts["rule"] == "turns-failed"


def test_no_pattern_has_no_outcome():
    """The control: an empty frame stays one, with its columns."""
    told = by_outcome(patterns([]))

    assert told.empty
    assert list(told) == list(COLUMNS)
