"""One suite for every driver: the same documents, the same outcomes, whatever fails meanwhile."""

import json
import os
import re
import signal
import time
from contextlib import contextmanager

import gevent
import pytest

from loadtests.drivers import driver
from loadtests.drivers.turn import Done
from tests.server.proxy import LossyProxy
from tests.waiting import wait_until
from workbench.errors import UsageError
from workbench.flows.login import GREETING
from workbench.flows.model import FLOWS, Caller, Edit
from workbench.state import RedisAtomic, StateManager
from workbench.state.functions import NAME
from workbench.state.head import HEAD_BYTES, Head
from workbench.state.retry import RetryPolicy

CALLER = Caller(7, 1)
KEY = f"channel:{CALLER.identifier}"
NAMES = ("fast", "reference")
TIME = re.compile(rb"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


class Turns:
    """Turns of one caller over one slot: by default the next message of a conversation."""

    def __init__(self, name, url, *, caller=CALLER, **settings):
        self.slot = driver(name)(url, ttl_s=300, **settings)
        self._caller = caller
        self._sent = 0
        self._follows = None

    def __call__(self, edit=None, *, message=None, begins=False, follows=""):
        """Carry one out; without an edit a step that goes on with whatever was there."""
        self._sent += 1
        message = message or f"m-{self._sent}"
        edit = edit or Edit("offer", f"Step{self._sent}", {"n": self._sent})
        follows = self._follows if follows == "" else follows
        done = self.slot.carry_out(
            self._caller.identifier, message, edit, begins=begins, follows=follows
        )
        if done.outcome == "ok":
            self._follows = message
        return done

    def greet(self):
        """Begin the conversation."""
        return self(GREETING.edit(self._caller), begins=True)


@pytest.fixture(params=NAMES)
def name(request):
    """Of a driver."""
    return request.param


@pytest.fixture
def open_turns(name):
    """Open slots that are closed when the test ends."""
    opened = []

    def open_one(url, **settings):
        opened.append(Turns(name, url, **settings))
        return opened[-1]

    yield open_one
    for each in opened:
        each.slot.close()


@pytest.fixture
def turns(open_turns, redis_server, client):
    """On the shared server, which is empty."""
    return open_turns(redis_server.url, timeout_s=5)


@pytest.fixture
def impatient(monkeypatch):
    """Give up on a store that fails after a moment, and not after three seconds."""
    monkeypatch.setattr(RetryPolicy.__init__, "__defaults__", (2.0, (0.001, 0.05), 0.2, (0.01, 1)))


@contextmanager
def frozen(server):
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


def stored(client, key=KEY):
    """What stands there, as bytes."""
    return client.execute_command("GET", key, NEVER_DECODE=True)


def flow_data(client):
    return json.loads(stored(client))["flow_data"]


# The documents.


def test_same_seed_leaves_the_same_documents(redis_server, client):
    """Byte for byte but for times, and for what follows from random names in the head."""
    left = []
    for name in NAMES:
        client.flushall()
        slot = driver(name)(redis_server.url, ttl_s=300)
        outcomes, texts, revisions = [], [], []
        for number, flow in enumerate(FLOWS.values()):
            caller, follows = Caller(3, number), None
            for turn, step in enumerate((*flow.steps, *flow.steps[:2])):
                message = f"{number}-{turn}"
                done = slot.carry_out(
                    caller.identifier,
                    message,
                    step.edit(caller),
                    begins=turn % len(flow.steps) == 0,
                    follows=follows,
                )
                follows = message
                outcomes.append((done.outcome, done.attempts, done.value_bytes))
                text = stored(client, f"channel:{caller.identifier}")
                revisions.append(Head.of(text).revision)  # which has looked at the CRC
                texts.append(TIME.sub(b"then", text[HEAD_BYTES:]))
                assert 299_000 < client.pttl(f"channel:{caller.identifier}") <= 300_000
        slot.close()
        left.append((outcomes, revisions, texts))

    assert left[0] == left[1]
    assert {outcome for outcome, _, _ in left[0][0]} == {"ok"}


def test_server_is_sent_the_same_commands(redis_server, client):
    """One read and one write a turn: what the server is asked does not depend on the driver."""
    counted = []
    for name in NAMES:
        turns = Turns(name, redis_server.url)
        turns.greet()
        turns()
        client.config_resetstat()
        turns.greet()
        for _ in range(5):
            turns()
        turns.slot.close()
        stats = client.info("commandstats")
        own = ("get", "fcall", "set", "getrange", "watch", "exec")
        counted.append({each: stats.get(f"cmdstat_{each}", {}).get("calls", 0) for each in own})
        client.flushall()

    assert counted[0] == counted[1]
    assert (counted[0]["get"], counted[0]["fcall"]) == (6, 6)


def test_turn_is_carried_out_and_told(turns, client):
    """At the first try, and as the state manager reads it."""
    done = turns.greet()

    assert (done.outcome, done.attempts) == ("ok", 1)
    assert done.value_bytes == client.strlen(KEY)
    assert StateManager(KEY, client).get_context() == "account"


def test_turn_without_its_state_is_told_as_gone(turns, client):
    """Whether it was never there or went meanwhile; the next greeting begins it anew."""
    assert turns() == Done("gone")

    turns.greet()
    client.delete(KEY)
    gone = turns(follows=None)
    again = turns(GREETING.edit(CALLER), begins=True, follows=None)

    assert gone.outcome == "gone"
    assert again.outcome == "ok"
    assert RedisAtomic(client).read(KEY).revision == 1


def test_greeting_of_one_who_was_evicted_begins_anew(turns, client):
    """What is held of the conversation does not bring it back."""
    turns.greet()
    turns()
    client.delete(KEY)

    done = turns(GREETING.edit(CALLER), begins=True, follows=None)

    assert done.outcome == "ok"
    assert RedisAtomic(client).read(KEY).revision == 1


def test_message_delivered_twice_is_a_duplicate(turns, client):
    """On the same slot, and on one that has not seen it."""
    turns.greet()
    turns(message="m")
    before = stored(client)

    assert turns(message="m") == Done("duplicate")
    assert stored(client) == before


def test_message_that_another_delivery_overtook_is_a_duplicate(turns, open_turns, redis_server):
    """The other slot has written it since this one looked."""
    turns.greet()
    other = open_turns(redis_server.url)
    assert other(message="m").outcome == "ok"

    assert turns(message="m") == Done("duplicate")


def test_edits_are_applied_to_what_others_wrote(turns, client):
    """Nothing of the state manager's own writes is lost to what a driver holds."""
    turns.greet()
    StateManager(KEY, client).update_state({"action": {"by": "another"}})

    done = turns(Edit("offer", "Amount", {"amount": "5"}))

    document = json.loads(stored(client))
    assert done.outcome == "ok"
    assert document["action"] == {"by": "another"}
    assert document["flow_data"]["data"]["amount"] == "5"


def test_state_that_was_set_back_is_a_lost_update(turns, client):
    """A backup of the server, restored: the turn before is not there, though acknowledged."""
    turns.greet()
    old = stored(client)
    turns()
    client.set(KEY, old)

    assert turns().outcome == "lost_update"


def test_document_without_a_head_is_taken_over(turns, client):
    """It was written over by somebody who keeps none."""
    turns.greet()
    document = json.loads(stored(client))
    del document["_h"]
    client.set(KEY, json.dumps(document))

    done = turns()

    assert done.outcome == "ok"
    assert Head.of(stored(client)).revision == 1
    assert turns().outcome == "ok"


def test_damaged_document_is_refused_by_who_has_to_read_it(turns, client):
    """Nothing is written over it."""
    StateManager(KEY, client).initialize_channel("whatsapp", CALLER.identifier)
    damaged = stored(client).replace(b"whatsapp", b"whatsabb")
    client.set(KEY, damaged)

    assert turns().outcome == "error"
    assert stored(client) == damaged


def test_document_as_large_as_they_come_goes_through(turns, client):
    """It takes more than one send, and more than one receive."""
    turns.greet()
    for _ in range(3):
        assert turns(Edit("offer", "Note", {"note": "x" * 1_000_000})).outcome == "ok"

    assert turns(Edit("offer", "Note", {"note": "x" * 1_100_000})).outcome == "error"
    assert turns().outcome == "ok"
    assert client.strlen(KEY) > 1_000_000


def test_turns_of_many_slots_on_one_conversation_are_all_kept(open_turns, redis_server, client):
    """Slots that meet lose races, and no updates."""
    slots = [open_turns(redis_server.url, timeout_s=5) for _ in range(8)]
    slots[0].greet()

    def writes(number):
        for turn in range(25):
            edit = Edit("offer", "Step", {f"{number}-{turn}": 1})
            assert slots[number](edit, message=f"{number}-{turn}", follows=None).outcome == "ok"

    gevent.joinall([gevent.spawn(writes, number) for number in range(8)], raise_error=True)

    data = flow_data(client)["data"]
    assert {f"{number}-{turn}" for number in range(8) for turn in range(25)} <= set(data)
    assert RedisAtomic(client).read(KEY).revision == 201


# Faults.


@pytest.mark.parametrize("word", [b"FCALL", b"GET"])
@pytest.mark.parametrize("arrives", [True, False])
def test_reply_that_is_lost_is_made_up_for_and_applied_once(
    open_turns, redis_server, client, word, arrives
):
    """Whether the write reached the server or not."""
    with LossyProxy(redis_server.url) as proxy:
        turns = open_turns(proxy.url)
        turns.greet()
        turns()
        (proxy.lose_reply_to if arrives else proxy.lose_request)(word)

        done = turns(Edit("offer", "Amount", {"amount": "5"}))
        after = turns(Edit("offer", "Amount", {"amount": "6"}))

        assert proxy.lost == 1
    assert (done.outcome, after.outcome) == ("ok", "ok")
    assert Head.of(stored(client)).revision == 4
    # Of the step that both came from: an edit that was applied twice would count once more.
    assert flow_data(client)["validation"]["attempts"] == 2


def test_one_reply_in_twenty_lost_applies_nothing_twice(open_turns, redis_server, client):
    """Each turn counts one more attempt at its step; each that was acknowledged is there."""
    with LossyProxy(redis_server.url) as proxy:
        turns = open_turns(proxy.url)
        turns.greet()
        proxy.lose_share(0.05, seed=5)
        outcomes = [turns(Edit("offer", "Amount", {})).outcome for _ in range(200)]
        proxy.lose_share(0.0, seed=5)

    assert proxy.lost > 5
    assert set(outcomes) == {"ok"}
    assert flow_data(client)["validation"]["attempts"] == 200


def test_connection_that_was_closed_is_opened_again(turns, client):
    """While nobody used it, as a server does with those that are idle."""
    turns.greet()
    client.client_kill_filter(_type="normal", skipme=True)

    assert [turns().outcome for _ in range(2)] == ["ok", "ok"]
    assert Head.of(stored(client)).revision == 3


def test_function_is_loaded_where_it_is_missing(turns, client):
    """At the first turn, and again after somebody flushed the functions."""
    turns.greet()
    client.function_flush()

    assert turns().outcome == "ok"
    assert [library[1] for library in client.function_list()] == [NAME]


def test_server_without_functions_is_written_by_watch(open_turns, redis_server, client):
    """As one whose user may not call them; with a password and a database in the URL."""
    client.execute_command(
        "ACL", "SETUSER", "slot", "on", ">a:/b", "~*", "+@all", "-fcall", "-function"
    )
    try:
        url = redis_server.url.replace("redis://", "redis://slot:a%3A%2Fb@")
        turns = open_turns(f"{url.rstrip('/')}/1")

        outcomes = [turns.greet().outcome, turns().outcome, turns().outcome]

        client.select(1)
        assert outcomes == ["ok", "ok", "ok"]
        assert Head.of(stored(client)).revision == 3
        assert turns(message="m-2") == Done("duplicate")
    finally:
        client.select(0)
        client.execute_command("ACL", "DELUSER", "slot")


def test_watch_loses_no_race(open_turns, redis_server, client):
    """Between the read and the write somebody writes: both are kept, and more tries are told."""
    client.execute_command("ACL", "SETUSER", "slot", "on", ">x", "~*", "+@all", "-fcall")
    try:
        with LossyProxy(redis_server.url) as proxy:
            turns = open_turns(proxy.url.replace("redis://", "redis://slot:x@"))
            turns.greet()
            proxy.lose_request(b"MULTI")

            done = turns()

            assert proxy.lost == 1
        assert done.outcome == "ok"
        assert Head.of(stored(client)).revision == 2
    finally:
        client.execute_command("ACL", "DELUSER", "slot")


def test_wrong_password_is_told_and_not_shown(open_turns, redis_server, client):
    """The error is about the login."""
    client.execute_command("ACL", "SETUSER", "slot", "on", ">right", "~*", "+@all")
    try:
        done = open_turns(redis_server.url.replace("redis://", "redis://slot:secret@")).greet()

        assert done.outcome == "refused"
        assert "login" in done.error
        assert "secret" not in done.error
    finally:
        client.execute_command("ACL", "DELUSER", "slot")


def test_full_store_refuses(start_server, open_turns):
    """And takes turns again when it has room."""
    server = start_server(maxmemory_policy="noeviction")
    turns = open_turns(server.url)
    turns.greet()
    with server.client() as client:
        client.config_set("maxmemory", 1)
        full = turns()
        client.config_set("maxmemory", 0)

        assert (full.outcome, full.error.partition(" and")[0]) == ("refused", "the store is full")
        assert turns().outcome == "ok"
        assert Head.of(stored(client)).revision == 2


def test_store_whose_disk_failed_refuses(start_server, open_turns):
    """MISCONF."""
    server = start_server(appendonly=False, save="3600 1")
    turns = open_turns(server.url)
    turns.greet()
    with server.client() as client:
        (server.folder / "dump.rdb").mkdir()  # so that no snapshot can take this name
        client.bgsave()
        wait_until(
            lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err",
            why="the snapshot to fail",
        )

        done = turns()

        client.config_set("save", "")
    assert done.outcome == "refused"
    assert "persistence failed" in done.error


def test_replica_refuses(start_server, open_turns, impatient):
    """READONLY, until it is a primary again."""
    server = start_server(appendonly=False)
    turns = open_turns(server.url)
    turns.greet()
    with server.client() as client:
        client.replicaof("127.0.0.1", 1)
        refused = turns()
        client.replicaof("no", "one")

    assert refused.outcome == "refused"
    assert "replica" in refused.error
    assert turns().outcome == "ok"


def test_server_that_freezes_is_a_timeout_and_nothing_is_applied_twice(
    start_server, open_turns, impatient
):
    """The write that was sent stands when the server goes on; what is told is that it may."""
    server = start_server()
    turns = open_turns(server.url, timeout_s=0.1)
    turns.greet()
    begun_s = time.monotonic()
    with frozen(server):
        assert turns(Edit("offer", "Amount", {})).outcome == "timeout"
    assert time.monotonic() - begun_s < 3

    time.sleep(1.1)  # the breaker lets one through a second
    with server.client() as client:
        before = Head.of(stored(client)).revision
        assert turns(Edit("offer", "Amount", {})).outcome == "ok"
        assert Head.of(stored(client)).revision == before + 1
        assert flow_data(client)["validation"]["attempts"] == before


def test_server_that_is_gone_is_a_timeout_until_it_is_back(start_server, open_turns, impatient):
    """After a few failures it is left alone for a second; an AOF has kept the state."""
    server = start_server()
    turns = open_turns(server.url)
    turns.greet()
    server.stop()
    assert turns().outcome == "timeout"

    server.start()
    with server.client() as client:
        assert Head.of(stored(client)).revision == 1


def test_slot_that_was_killed_at_work_goes_on_with_its_next_turn(start_server):
    """The reply that was to come is taken for nobody's. (Here redis-py does not wait by gevent.)"""
    server = start_server()
    turns = Turns("fast", server.url, timeout_s=5)
    turns.greet()
    with frozen(server):
        working = gevent.spawn(turns, Edit("offer", "First", {}))
        gevent.sleep(0.05)
        working.kill()

    done = turns(Edit("offer", "Second", {}))

    assert done.outcome == "ok"
    with server.client() as client:
        assert flow_data(client)["component"] == "Second"


# What is asked for and is not there.


def test_driver_of_another_name_is_refused_and_the_nearest_named():
    """Before anything is opened."""
    with pytest.raises(UsageError, match="did you mean 'fast'"):
        driver("fats")


@pytest.mark.parametrize(
    "url", ["rediss://user:secret@127.0.0.1", "redis+sentinel://:secret@127.0.0.1/main"]
)
def test_fast_driver_names_the_other_where_it_cannot_go(url):
    """TLS, sentinels and clusters are redis-py's."""
    with pytest.raises(UsageError, match="--driver reference") as caught:
        driver("fast")(url, ttl_s=300)

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["redis://h:x", "redis://h/x", "redis://h/0?timeout=3"])
def test_fast_driver_refuses_what_it_would_misread(url):
    """Instead of going to another database, or by other settings."""
    with pytest.raises(UsageError):
        driver("fast")(url, ttl_s=300)
