"""Quantities and their units."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import UsageError
from workbench.units import (
    format_bytes,
    format_count,
    format_duration,
    format_rate,
    format_share,
    parse_bytes,
    parse_duration,
)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512mb", 536_870_912),
        ("512 MiB", 536_870_912),
        ("1k", 1000),
        ("1kb", 1024),
        ("1.5gb", 1_610_612_736),
        ("0", 0),
        (4096, 4096),
    ],
)
def test_bytes_are_read_as_redis_reads_them(text, size):
    """The units with a b are powers of 1024, those without are powers of 1000."""
    assert parse_bytes(text) == size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("1.5m", 90),
        ("1.5 min", 90),
        ("250ms", 0.25),
        ("20us", 20e-6),
        ("20 µs", 20e-6),
        ("2h", 7200),
        ("7", 7),
        (0.00001, 0.00001),
    ],
)
def test_durations_are_read_with_their_unit(text, seconds):
    """A duration is a number and a unit; without a unit, or as a number, it is in seconds."""
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "mb", "-1mb", "1 tb", "1,5mb", "1mb 2kb", "1_000", "9" * 400, math.nan, math.inf]
)
def test_what_is_no_size_is_refused_with_an_example(text):
    """The message repeats what was given and shows what is wanted."""
    with pytest.raises(UsageError, match="is not a size such as 512mb"):
        parse_bytes(text)


@pytest.mark.parametrize("text", ["", "s", "-1s", "1 day", "1e3", "1m30s", -1.0, math.nan])
def test_what_is_no_duration_is_refused_with_an_example(text):
    """The message repeats what was given and shows what is wanted."""
    with pytest.raises(UsageError, match="is not a duration such as 90s"):
        parse_duration(text)


@given(st.text())
def test_any_text_is_a_size_or_a_usage_error(text):
    """No text leads to another error than the one that is documented."""
    try:
        size = parse_bytes(text)
    except UsageError:
        return

    assert size >= 0


@given(st.integers(min_value=0, max_value=2**44))
def test_a_printed_size_reads_back_to_three_digits(size):
    """What format_bytes prints, parse_bytes reads, within half of the third digit."""
    assert parse_bytes(format_bytes(size)) == pytest.approx(size, rel=0.005, abs=0.5)


@given(st.floats(min_value=1e-6, max_value=1e7))
def test_a_printed_duration_reads_back_to_three_digits(seconds):
    """What format_duration prints, parse_duration reads, within half of the third digit."""
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, rel=0.005)


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1 KiB"), (3174, "3.1 KiB"), (24 * 2**20, "24 MiB")],
)
def test_a_size_is_printed_in_the_unit_a_person_would_choose(size, text):
    """Three digits, in the largest unit that leaves at least 1."""
    assert format_bytes(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.0000042, "4.2 µs"),
        (0.0013, "1.3 ms"),
        (2.5, "2.5 s"),
        (119, "119 s"),
        (240, "4 min"),
        (math.nan, "unknown"),
        (math.inf, "unknown"),
    ],
)
def test_a_duration_is_printed_in_the_unit_a_person_would_choose(seconds, text):
    """What is not known is said to be unknown."""
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.0, "0 %"),
        (0.0004, "< 0.1 %"),
        (0.213, "21.3 %"),
        (0.9999, "> 99.9 %"),
        (1.0, "100 %"),
        (math.nan, "unknown"),
    ],
)
def test_a_share_is_zero_or_whole_only_if_it_is(share, text):
    """A few of many are not rounded to none, and nearly all not to all."""
    assert format_share(share) == text


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 turns"), (1, "1 turn"), (2, "2 turns"), (1200, "1,200 turns")]
)
def test_one_thing_is_not_told_as_several(number, text):
    """A sentence about a single turn must read well too."""
    assert format_count(number, "turn") == text


@pytest.mark.parametrize(
    ("rate_per_s", "text"),
    [
        (0.0, "0/s"),
        (0.0001, "< 0.01/s"),
        (0.25, "0.25/s"),
        (12.34, "12.3/s"),
        (1234.5, "1,234/s"),
        (float("nan"), "unknown"),
    ],
)
def test_rate_is_printed_by_the_second(rate_per_s, text):
    """And 0 only if it is not at all."""
    assert format_rate(rate_per_s) == text
