"""A prefill gives its keys the age that they would have, as the server's policy counts it."""

import os
import time
from types import SimpleNamespace

import pytest

from loadtests.prefill import _age


@pytest.fixture
def aged(start_server):
    """Write two keys, one of now and one of four minutes ago; what the server says of each."""

    def under(policy, question):
        server = start_server(maxmemory_policy=policy)
        begun = time.monotonic()
        scheduler = SimpleNamespace(now_s=lambda: time.monotonic() - begun)
        written = [
            SimpleNamespace(caller=SimpleNamespace(identifier=name), written_s=written_s)
            for name, written_s in (("new", 0.0), ("old", -240.0))
        ]
        with server.client() as client:
            for each in written:
                client.set(f"channel:{each.caller.identifier}", os.urandom(50), ex=300)
            _age(server.url, scheduler, written, 300.0)
            told = [client.object(question, f"channel:{name}") for name in ("new", "old")]
            left_s = [client.ttl(f"channel:{name}") for name in ("new", "old")]
        return [*map(int, told)], left_s

    return under


def test_age_is_idle_time_where_the_least_recently_used_go(aged):
    """To the second, and the time to live is what is left of it."""
    (new, old), left_s = aged("allkeys-lru", "idletime")

    assert new <= 5
    assert 238 <= old <= 250
    assert left_s[0] > 290
    assert 50 <= left_s[1] <= 60


def test_age_is_a_lower_frequency_where_the_least_frequently_used_go(aged):
    """RESTORE ignores an idle time there: all would look as if they were in use."""
    (new, old), _ = aged("allkeys-lfu", "freq")

    assert (new, old) == (6, 2)
