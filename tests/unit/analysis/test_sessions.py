"""What a session takes, by engine and allocator, and how many fit; figures counted on servers."""

import pytest

from workbench.analysis.sessions import (
    LAYOUTS,
    allocated,
    first_eviction_s,
    layout_of,
    named_layout,
    sampled_layout,
    sessions_that_fit,
)
from workbench.errors import UsageError

MIB = 1024**2
REDIS, VALKEY, VALKEY_LIBC = LAYOUTS


@pytest.mark.parametrize(
    ("wanted", "jemalloc", "libc"),
    [(1, 8, 24), (16, 16, 24), (25, 32, 40), (129, 160, 136), (1030, 1280, 1032)],
)
def test_allocator_rounds_up_to_its_classes(wanted, jemalloc, libc):
    """jemalloc has four classes to a doubling; glibc goes by 16 bytes, less a header of 8."""
    assert allocated(wanted, "jemalloc") == jemalloc
    assert allocated(wanted, "libc") == libc


@pytest.mark.parametrize(
    ("layout", "maxmemory_mib", "value_bytes", "counted"),
    [
        (REDIS, 24, 1024, 16_984),
        (REDIS, 48, 300, 109_342),
        (REDIS, 48, 2600, 15_410),
        (VALKEY, 24, 1024, 17_725),
        (VALKEY, 48, 300, 123_623),
        (VALKEY, 64, 9000, 6_403),
        (VALKEY_LIBC, 24, 1024, 21_460),
        (VALKEY_LIBC, 48, 300, 122_542),
        (VALKEY_LIBC, 64, 9000, 7_239),
    ],
    ids=lambda each: getattr(each, "name", str(each)),
)
def test_as_many_sessions_fit_as_were_counted(layout, maxmemory_mib, value_bytes, counted):
    """Within 1.5 % of private servers that were filled beyond their cap (2026-11-26)."""
    fit = sessions_that_fit(
        layout, maxmemory_mib * MIB, value_bytes=value_bytes, key_bytes=20, clients=1
    )

    assert fit.sessions == pytest.approx(counted, rel=0.015)


def test_allocator_of_another_engine_misses_by_far():
    """The control: glibc's layout, held against what Redis with jemalloc kept."""
    fit = sessions_that_fit(VALKEY_LIBC, 24 * MIB, value_bytes=1024, key_bytes=20)

    assert abs(fit.sessions / 16_984 - 1) > 0.2


def test_table_doubles_only_where_the_cap_leaves_room_for_it():
    """Just below a doubling that does not fit the table stays full, as was seen on a server."""
    tight = sessions_that_fit(REDIS, 9 * MIB, value_bytes=100, key_bytes=22)
    roomy = sessions_that_fit(REDIS, 12 * MIB, value_bytes=300, key_bytes=22)

    assert tight.tables_bytes == 8 * (65_536 + 32_768)
    assert tight.full_table
    assert roomy.tables_bytes == 2 * 8 * 32_768
    assert not roomy.full_table


def test_lengths_that_differ_take_their_mean_and_not_that_of_their_mean():
    """Classes round up, and do so by more here than there."""
    mixed = REDIS.session([300, 1300], key_bytes=20)
    alone = [REDIS.session(length, key_bytes=20).value for length in (300, 1300)]

    assert mixed.value == sum(alone) / 2
    assert mixed.value != REDIS.session(800, key_bytes=20).value


def test_connections_take_room_from_sessions():
    """The cap counts their buffers."""
    few, many = (
        sessions_that_fit(REDIS, 32 * MIB, value_bytes=1000, key_bytes=20, clients=clients).sessions
        for clients in (1, 200)
    )

    assert few > many > 0


def test_no_session_fits_where_the_empty_server_does_not():
    """It is none, not a negative number."""
    assert sessions_that_fit(REDIS, MIB // 2, value_bytes=1000, key_bytes=20).sessions == 0


def test_unknown_version_has_no_layout_but_that_of_a_sample():
    """Other releases keep sessions in other ways."""
    assert layout_of("redis", "7.0.15", "jemalloc-5.3.0") is REDIS
    assert layout_of("valkey", "9.1.2", "libc") is VALKEY_LIBC
    assert layout_of("valkey", "9.1.2", "libc", preload="libjemalloc.so.2") is VALKEY
    assert layout_of("redis", "8.2.0", "jemalloc-5.3.0") is None

    sampled = sampled_layout("redis", "8.2.0", "jemalloc", session_bytes=1400, value_bytes=1000)

    assert sampled.session(1000, key_bytes=20).total == pytest.approx(1400)
    assert sessions_that_fit(
        sampled, 24 * MIB, value_bytes=1000, key_bytes=20
    ).sessions == pytest.approx((24 * MIB - sampled.startup_bytes) / 1400, rel=0.01)


def test_layout_is_found_by_part_of_its_name_and_the_nearest_is_named():
    """A misspelt one is refused with what was probably meant."""
    assert named_layout("valkey libc") is VALKEY_LIBC

    with pytest.raises(UsageError, match=r"known: .*redis jemalloc"):
        named_layout("mysql")


def test_first_eviction_never_comes_where_sessions_end_as_fast_as_they_begin():
    """With the tenth of expired ones that a server may not have found yet."""
    never, steady = first_eviction_s(10_000, 10, 600)
    soon, most = first_eviction_s(6_500, 10, 600)
    without, unbounded = first_eviction_s(6_000, 10, None)

    assert (never, steady) == (None, pytest.approx(6_600))
    assert (soon, most) == (pytest.approx(650), pytest.approx(6_600))
    assert (without, unbounded) == (600, None)
