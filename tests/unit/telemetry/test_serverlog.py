"""AOF rewrites as servers really log them: excerpts of logs, shortened."""

import pytest

from workbench.telemetry.serverlog import LogLine, RewriteSpan, log_line, logged_rewrites

REDIS_7_0_15 = """\
14656:C 23 Nov 2026 09:35:27.645 # Configuration loaded
14656:M 23 Nov 2026 09:35:27.647 * Ready to accept connections
14656:M 23 Nov 2026 09:35:27.968 * Creating AOF incr file appendonly.aof.2.incr.aof on background rewrite
14656:M 23 Nov 2026 09:35:27.968 * Background append only file rewriting started by pid 14661
14661:C 23 Nov 2026 09:35:27.969 * Successfully created the temporary AOF base file temp-rewriteaof-bg-14661.aof
14661:C 23 Nov 2026 09:35:27.970 * Fork CoW for AOF rewrite: current 3 MB, peak 3 MB, average 2 MB
14656:M 23 Nov 2026 09:35:28.050 * Background AOF rewrite terminated with success
14656:M 23 Nov 2026 09:35:28.050 * Successfully renamed the temporary AOF base file temp-rewriteaof-bg-14661.aof into appendonly.aof.2.base.rdb
14656:M 23 Nov 2026 09:35:28.051 * Removing the history file appendonly.aof.1.base.rdb in the background
14656:M 23 Nov 2026 09:35:28.051 * Background AOF rewrite finished successfully
14656:M 23 Nov 2026 09:35:29.663 * Starting automatic rewriting of AOF on 4001374% growth
14656:M 23 Nov 2026 09:35:29.802 * Background append only file rewriting started by pid 14666
14656:M 23 Nov 2026 09:35:30.370 # Background AOF rewrite terminated by signal 9
14656:M 23 Nov 2026 09:35:31.720 * Creating AOF incr file appendonly.aof.7.incr.aof on background rewrite
14656:M 23 Nov 2026 09:35:31.721 * Background append only file rewriting started by pid 14670
"""  # noqa: E501

VALKEY_9_1_2 = """\
14672:M 23 Nov 2026 09:35:32.127 * Ready to accept connections tcp
14672:M 23 Nov 2026 09:35:32.439 * Creating AOF incr file appendonly.aof.2.incr.aof on background rewrite
14672:M 23 Nov 2026 09:35:32.439 * Background append only file rewriting started by pid 14678
14678:C 23 Nov 2026 09:35:32.440 * Successfully created the temporary AOF base file temp-rewriteaof-bg-14678.aof
14678:C 23 Nov 2026 09:35:32.441 * Fork CoW for AOF rewrite: current 0 MB, peak 0 MB, average 0 MB
14672:M 23 Nov 2026 09:35:32.529 * Background AOF rewrite terminated with success
14672:M 23 Nov 2026 09:35:32.530 * Background AOF rewrite finished successfully
14672:M 23 Nov 2026 09:35:34.271 * Background append only file rewriting started by pid 14681
14672:M 23 Nov 2026 09:35:34.848 # Background AOF rewrite terminated by signal 9
14672:M 23 Nov 2026 09:35:36.189 * Background append only file rewriting started by pid 14685
"""  # noqa: E501

AT_0935_UNIX_S = 1795426500.0
END_UNIX_S = AT_0935_UNIX_S + 40.0


def spans(log: str) -> list[RewriteSpan]:
    return list(logged_rewrites(log, end_unix_s=END_UNIX_S))


@pytest.mark.parametrize("log", [REDIS_7_0_15, VALKEY_9_1_2], ids=["Redis", "Valkey"])
def test_rewrites_end_well_or_badly_or_not_at_all(log):
    """One that succeeded, one whose child was killed, one that was still going on."""
    assert [span.outcome for span in spans(log)] == ["ok", "err", "open"]


@pytest.mark.parametrize(
    ("log", "begin_s", "length_s"),
    [(REDIS_7_0_15, 27.968, 0.083), (VALKEY_9_1_2, 32.439, 0.091)],
    ids=["Redis", "Valkey"],
)
def test_rewrite_lasts_from_its_fork_until_the_parent_is_done(log, begin_s, length_s):
    """The child's end is not yet the rewrite's: its file has still to be put in place."""
    first = spans(log)[0]

    assert first.unix_s == pytest.approx(AT_0935_UNIX_S + begin_s)
    assert first.duration_s == pytest.approx(length_s, abs=1e-4)


def test_rewrite_still_running_at_the_end_is_a_span_up_to_the_last_moment():
    """An open rewrite is closed at the run's end, so that it is drawn."""
    last = spans(REDIS_7_0_15)[-1]

    assert last.unix_s + last.duration_s == pytest.approx(END_UNIX_S)


def test_failed_rewrite_says_how_it_ended():
    """The server's own words go on record."""
    assert spans(REDIS_7_0_15)[1].detail == "Background AOF rewrite terminated by signal 9"


def test_rewrite_tells_what_its_child_copied():
    """The child's account comes from another process id, and belongs to the open rewrite."""
    first, failed, _ = spans(REDIS_7_0_15)

    assert first.detail == "copy-on-write 3 MB"
    assert "copy-on-write" not in failed.detail


def test_log_without_rewrites_has_no_spans():
    """Neither has an empty one, nor one in a form that is not a server's."""
    assert spans(REDIS_7_0_15.partition("Creating")[0]) == []
    assert spans("") == []
    assert spans("Traceback (most recent call last):\n") == []


def test_rewrite_that_is_open_when_the_next_starts_went_wrong():
    """A server that was killed in a rewrite and started again says nothing of its end."""
    killed, after = (
        f"1:M 23 Nov 2026 09:35:2{at}.000 * Background append only file rewriting started by pid 9"
        for at in (1, 4)
    )

    first, second = spans(f"{killed}\n{after}\n")

    assert (first.outcome, second.outcome) == ("err", "open")
    assert first.duration_s == pytest.approx(3.0)


def test_fork_that_was_refused_is_a_rewrite_that_failed_at_once():
    """It never began, so no line of a start comes before it."""
    text = "Can't rewrite append only file in background: fork: Cannot allocate memory"

    (refused,) = spans(f"1:M 23 Nov 2026 09:35:21.000 # {text}\n")

    assert (refused.outcome, refused.duration_s, refused.detail) == ("err", 0.0, text)


def test_line_is_taken_apart_with_its_level():
    """Behind whatever a collector of logs puts before it; what is no line of the log is None."""
    found = log_line("redis-1  | 1:M 23 Nov 2026 08:50:24.908 # Server initialized")

    assert found == LogLine(1795423824.908, "warning", "Server initialized")
    assert log_line("------ STACK TRACE ------") is None
