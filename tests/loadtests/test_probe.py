"""Conversations as they are found when the load is over, on a real server."""

import time

import pytest
from redis import Redis

from loadtests.drivers.reference import carry_out
from loadtests.probe import probe
from loadtests.scheduler import Conversation
from loadtests.witness import Witness
from workbench.flows.login import GREETING, LOGIN
from workbench.flows.model import Caller

TTL_S = 300.0


@pytest.fixture
def raw(redis_server):
    """A client whose replies are bytes."""
    with Redis.from_url(redis_server.url) as client:
        yield client


def written(client, number, *, turns=1, of=""):
    """A conversation of so many acknowledged turns."""
    conversation = Conversation(number, LOGIN, LOGIN.steps, Caller(7, number))
    for turn in range(turns):
        done = carry_out(
            client,
            conversation.caller.identifier,
            f"m-{of}-{turn}",
            GREETING.edit(conversation.caller),
            begins=True,
            follows=None,
            ttl_s=TTL_S,
        )
        assert done.outcome == "ok"
        conversation.name = done.name
    conversation.written_s = time.monotonic()
    conversation.expires_s = conversation.written_s + TTL_S
    return conversation


def key(conversation):
    return f"channel:{conversation.caller.identifier}"


def found(raw, *conversations):
    """State and update of each, in order."""
    witness = Witness(raw)
    witness.look()
    return [(each.state, each.update) for each in probe(raw, conversations, witness, started_s=0)]


def test_document_that_holds_its_last_update_is_kept(client, raw):
    """Also of a conversation of many turns, and among more than one batch of others."""
    many = [written(client, number) for number in range(250)]

    assert found(raw, *many, written(client, 250, turns=12)) == [("present", "kept")] * 251


def test_document_without_its_last_acknowledged_update_is_lost(client, raw):
    """Somebody put it back to what it was before."""
    conversation = written(client, 1)
    older = raw.get(key(conversation))
    conversation = written(client, 1, of="later")
    raw.set(key(conversation), older)

    assert found(raw, conversation) == [("present", "lost")]


def test_document_that_somebody_else_wrote_has_lost_the_update(client, raw):
    """It has no head of ours."""
    conversation = written(client, 1)
    raw.set(key(conversation), "something else")

    assert found(raw, conversation) == [("present", "lost")]


def test_unanswered_write_makes_the_audit_unsure(client, raw):
    """It may have begun the conversation anew: that is no loss of what was acknowledged."""
    conversation = written(client, 1)
    raw.set(key(conversation), "something else")
    conversation.unsure = True

    assert found(raw, conversation) == [("present", "unsure")]


def test_key_that_is_gone_before_its_time_is_explained(client, raw):
    """By what the server did since it was written: here, a deletion."""
    conversation = written(client, 1)
    witness = Witness(raw)
    witness.look()
    conversation.written_s = time.monotonic()
    raw.delete(key(conversation))

    (it,) = probe(raw, [conversation], witness, started_s=0)

    assert (it.state, it.update) == ("deleted", "")


def test_key_whose_time_to_live_ran_out_is_expired(client, raw):
    """Whatever else happened meanwhile, nobody could have found it."""
    conversation = written(client, 1)
    raw.delete(key(conversation))
    conversation.expires_s = time.monotonic()

    assert found(raw, conversation) == [("expired", "")]


def test_conversation_that_a_turn_found_gone_is_not_looked_for(client, raw):
    """So that each loss is counted once."""
    conversation = written(client, 1)
    conversation.name = b""

    assert found(raw, conversation) == []


def test_server_that_does_not_answer_leaves_keys_unread(client, start_server):
    """Then nothing is known of them: neither lost nor kept."""
    server = start_server()
    with server.client() as other:
        conversation = written(other, 1)
    with Redis.from_url(server.url) as gone:
        server.stop()
        assert found(gone, conversation) == [("unread", "")]
