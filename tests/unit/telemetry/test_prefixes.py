"""A prefix is how a name begins, and never all of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.telemetry.prefixes import OTHERS, Prefixes


@pytest.mark.parametrize(
    ("key", "depth", "prefix"),
    [
        (b"channel:wb-000000001", 1, "channel"),
        (b"channel:wb-000000001", 2, "channel"),
        (b"a:b:c:d", 2, "a:b"),
        (b"a:b:c:d", 9, "a:b:c"),
        (b"a:b", 0, ""),
        (b"263771234567", 1, ""),
        (b"", 1, ""),
        (b":x", 1, ""),
        (b"\xff\x1b[31m:x", 1, "\\xff\\x1b[31m"),
    ],
)
def test_prefix_is_the_first_parts_without_the_last(key, depth, prefix):
    """A name without a colon has none, and nothing in it reaches a terminal as it is."""
    assert Prefixes(depth).of(key) == prefix


@given(key=st.binary(), depth=st.integers(0, 4))
def test_last_part_of_a_name_is_never_in_its_prefix(key, depth):
    """However many colons it has, and however many parts are asked for."""
    prefix = Prefixes(depth).of(key.replace(b"#", b"") + b"#last")

    assert "#last" not in prefix
    assert prefix.count(":") < max(depth, 1)
    assert prefix.isprintable()


def test_prefixes_beyond_a_thousand_are_one():
    """Where every key has one of its own, they would be as many as the keys."""
    prefixes = Prefixes()
    told = {prefixes.of(b"%d:x" % number) for number in range(1500)}

    assert len(told) == 1001
    assert OTHERS in told
    assert prefixes.of(b"3:y") == "3"
