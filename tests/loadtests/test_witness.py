"""What became of a key that is gone, from what the server said of itself since its last write."""

import time

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from loadtests.witness import Witness


class Server:
    """Answers INFO with what it holds at the time."""

    def __init__(self):
        self.says = {"run_id": "first", "evicted_keys": 7, "expired_keys": 2}

    def info(self, *_sections):
        if self.says is None:
            raise RedisConnectionError
        return dict(self.says)


@pytest.fixture
def server():
    return Server()


def gone(server, **since):
    """Why a key is gone that was written after one look and before the server changed so."""
    witness = Witness(server)
    witness.look()
    written_s = time.monotonic()
    server.says |= since
    return witness.why_gone(written_s)


@pytest.mark.parametrize(
    ("since", "cause"),
    [
        ({"evicted_keys": 8}, "evicted"),
        ({"cmdstat_del": {"calls": 1}}, "deleted"),
        ({"cmdstat_flushall": {"calls": 1}}, "deleted"),
        ({"run_id": "second", "evicted_keys": 0}, "restarted"),
        ({"cmdstat_set": {"calls": 9}}, "missing"),
        ({}, "missing"),
    ],
)
def test_cause_is_what_happened_since_the_last_write(server, since, cause):
    """The server is asked again before a loss is called unexplained."""
    assert gone(server, **since) == cause


def test_what_happened_before_the_write_explains_nothing(server):
    """Evictions and deletions of others, a minute ago, took away no key that was written since."""
    witness = Witness(server)
    witness.look()
    server.says |= {"evicted_keys": 99, "cmdstat_del": {"calls": 9}}
    witness.look()

    assert witness.why_gone(time.monotonic()) == "missing"
    assert witness.why_gone(0.0) == "evicted"


def test_growth_counts_from_the_first_look(server):
    """And is not known once the server was restarted, since its counter began anew."""
    witness = Witness(server)
    assert witness.evicted_keys is None
    witness.look()
    server.says |= {"evicted_keys": 19, "expired_keys": 5}
    witness.look()
    assert (witness.evicted_keys, witness.expired_keys) == (12, 3)

    server.says |= {"run_id": "second"}
    witness.look()

    assert witness.evicted_keys is None


def test_server_that_does_not_answer_has_said_nothing(server):
    """A loss in its silence is missing, not a guess."""
    witness = Witness(server)
    server.says = None

    assert witness.why_gone(0.0) == "missing"
