"""The reference driver, turn by turn, on a real server."""

import pytest

from loadtests.drivers import reference
from loadtests.drivers.reference import Done, carry_out
from workbench.flows.login import GREETING
from workbench.flows.model import Caller

CALLER = Caller(7, 1)


def deliver(client, message_id, *, begins=True):
    return carry_out(
        client,
        CALLER.identifier,
        message_id,
        GREETING.edit(CALLER),
        begins=begins,
        follows=None,
        ttl_s=300,
    )


def test_turn_is_carried_out_and_told(client):
    """One read and one write, at the first try."""
    done = deliver(client, "m-1")

    assert (done.outcome, done.attempts) == ("ok", 1)
    assert done.value_bytes == client.strlen(f"channel:{CALLER.identifier}")


def test_turn_without_its_state_is_told_as_gone(client):
    """Why, the load knows better."""
    assert deliver(client, "m-1", begins=False) == Done("gone")


@pytest.mark.parametrize("meanwhile", [False, True])
def test_message_delivered_twice_is_told_as_a_duplicate(client, monkeypatch, meanwhile):
    """Whether the other delivery was written before this one was read, or after."""
    if meanwhile:
        own = reference.apply

        def apply(work, edit):
            monkeypatch.setattr(reference, "apply", own)
            assert deliver(client, "m-1").outcome == "ok"
            own(work, edit)

        monkeypatch.setattr(reference, "apply", apply)
    else:
        deliver(client, "m-1")

    assert deliver(client, "m-1") == Done("duplicate")
