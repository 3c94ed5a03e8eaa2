"""The state manager against a real server: the documented snippets, and each way to fail."""

import signal
import threading
from contextlib import contextmanager
from datetime import datetime
from os import kill

import pytest
from redis.exceptions import ConnectionError, RedisError

from tests.server.proxy import LossyProxy
from tests.waiting import wait_until
from workbench.state import (
    AmbiguousWriteError,
    AtomicStateManager,
    ConflictError,
    ErrorContext,
    ErrorHandler,
    InvalidStateError,
    RedisAtomic,
    RetriesExhaustedError,
    RetryPolicy,
    StateManager,
    StateMissingError,
    StoreBlockedError,
    StoreFullError,
    StoreReadOnlyError,
    StoreRefusedError,
    StoreUnavailableError,
    connect,
)

KEY = "channel:263770000000"
IMPATIENT = RetryPolicy(transport_deadline_s=0.05)
VALIDATION = {"in_progress": True, "attempts": 1, "last_attempt": "2025-01-02T03:04:05Z"}


@pytest.fixture
def state_manager(client):
    """A conversation that has just begun."""
    manager = StateManager(KEY, client)
    manager.initialize_channel("whatsapp", "263770000000")
    return manager


def calls(client) -> dict[str, int]:
    """How often each command was called since the counters were set back."""
    stats = client.info("commandstats")
    called = {name.removeprefix("cmdstat_"): stat["calls"] for name, stat in stats.items()}
    return {name: n for name, n in called.items() if not name.startswith(("info", "config"))}


@contextmanager
def frozen(server):
    """The server takes no part in anything for a while, as in a long fork."""
    kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        kill(server.pid, signal.SIGCONT)


def incremented(document):
    n = (document.get("dashboard") or {"n": 0})["n"]
    return {**document, "dashboard": {"n": n + 1}}


# The documented best practices, as they are written there.


def test_documented_access_works_as_written(state_manager):
    """Accessors for the channel and the member."""
    channel_id = state_manager.get_channel_id()
    member_id = state_manager.get_member_id()

    assert (channel_id, member_id) == ("263770000000", None)


def test_documented_direct_access_is_refused_naming_the_accessor(state_manager):
    """What the documentation calls wrong says how it is right."""
    with pytest.raises(InvalidStateError, match=r"get_channel_id\(\)"):
        state_manager.get("channel")
    with pytest.raises(InvalidStateError, match=r"get_member_id\(\)"):
        state_manager.get("member_id")


def test_documented_update_works_as_written(state_manager, client):
    """An update with its validation is stored; its naive time is taken as UTC."""
    context, component, data, current = "offer_secured", "amount", {"amount": "10"}, 0

    state_manager.update_state({
        "flow_data": {
            "context": context,
            "component": component,
            "data": data,
            "validation": {
                "in_progress": True,
                "attempts": current + 1,
                "last_attempt": datetime.utcnow()
            }
        }
    })  # fmt: skip

    stored = StateManager(KEY, client).get_flow_state()
    assert (stored["context"], stored["component"]) == (context, component)
    assert stored["data"] == data
    assert stored["validation"]["attempts"] == 1
    assert stored["validation"]["last_attempt"].endswith("Z")


def test_documented_update_without_validation_is_refused(state_manager, client):
    """The wrong update is refused, names the right way and writes nothing."""
    before, new_value = client.get(KEY), 1

    with pytest.raises(InvalidStateError, match=r"'validation': \{'in_progress'"):
        state_manager.update_state({
            "value": new_value  # Don't update without validation!
        })  # fmt: skip

    assert client.get(KEY) == before


def test_documented_error_handling_works_as_written(start_server):
    """The handler answers when the store is away, and does not ask it once more."""
    server = start_server()
    state_manager = StateManager(KEY, connect(server.url))
    state_manager.atomic_state = AtomicStateManager(
        RedisAtomic(connect(server.url), retry=IMPATIENT)
    )
    key = KEY
    server.stop()

    try:
        result = state_manager.atomic_state.atomic_get(key)
    except Exception as e:  # noqa: BLE001  (as documented)
        result = None
        error_context = ErrorContext(
            error_type="system",
            message=str(e),
            details={
                "code": "STATE_GET_ERROR",
                "service": "state_manager",
                "action": "get"
            }
        )  # fmt: skip
        response = ErrorHandler.handle_error(e, state_manager, error_context)

    assert result is None
    assert (response.code, response.http_status) == ("STORE_UNAVAILABLE", 503)


def test_error_of_the_application_is_noted_in_the_conversation(state_manager):
    """The note is seen by other processes, and cleared by the next write that succeeds."""
    context = ErrorContext("flow", "bad amount from +263771234567")

    ErrorHandler.handle_error(ValueError("bad"), state_manager, context)
    noted = state_manager.validation_state.error
    state_manager.update_state({"dashboard": {}})

    assert noted == "bad amount from [redacted]"
    assert state_manager.validation_state.error is None


# What stays, and what is refreshed.


def test_initialized_at_is_kept_by_every_kind_of_write(state_manager):
    """Only the beginning writes it, even when the whole document is replaced."""
    atomic = state_manager.atomic_state
    begun = atomic.atomic_get(KEY)["_metadata"]["initialized_at"]

    state_manager.update_state({"dashboard": {}})
    state_manager.update_flow_state("offer", "amount")
    state_manager.clear_all_state()
    atomic.atomic_set(KEY, {"channel": {"type": "whatsapp", "identifier": "1"}})

    metadata = atomic.atomic_get(KEY)["_metadata"]
    assert metadata["initialized_at"] == begun
    assert metadata["updated_at"] >= begun


def test_unknown_parts_survive_every_update(state_manager, client):
    """What a newer service wrote stays, whatever an older one changes."""
    RedisAtomic(client).update(KEY, lambda old: {**old, "from_tomorrow": [1]}, ttl_s=300)

    state_manager.update_state({"dashboard": {}})
    state_manager.update_flow_state("offer", "amount")
    state_manager.clear_flow_state()
    with state_manager.message("m1") as work:
        work.update_flow_state("offer", "amount")

    assert state_manager.get("from_tomorrow") == [1]


@pytest.mark.parametrize(
    "write",
    [
        lambda manager: manager.update_state({"dashboard": {}}),
        lambda manager: manager.update_flow_state("offer", "amount"),
        lambda manager: manager.clear_all_state(),
        lambda manager: manager.atomic_state.atomic_update(KEY, {"dashboard": {}}),
        lambda manager: manager.atomic_state.record_error(KEY, "odd"),
    ],
)
def test_every_write_refreshes_the_time_to_live(state_manager, client, write):
    """A conversation lives on from its last write."""
    client.expire(KEY, 10)

    write(state_manager)

    assert client.ttl(KEY) > 200


def test_reading_does_not_refresh_the_time_to_live(state_manager, client):
    """Looking at a conversation does not keep it alive."""
    client.expire(KEY, 10)

    state_manager.refresh()

    assert client.ttl(KEY) <= 10


def test_attempts_at_a_step_are_counted_and_begin_again_at_the_next(state_manager):
    """The same answer asked for again is another attempt; a new step begins at one."""
    attempts = []
    for component in ("amount", "amount", "confirm"):
        state_manager.update_flow_state("offer", component)
        attempts.append(state_manager.get_flow_state()["validation"]["attempts"])

    assert attempts == [1, 2, 1]


def test_clear_all_state_keeps_the_channel(state_manager):
    """Flow, member and token are forgotten; who is talking is not."""
    state_manager.update_state({"auth": {"token": "t"}, "dashboard": {"member": {"memberID": "m"}}})
    state_manager.update_flow_state("offer", "amount", {"a": 1})
    member = state_manager.get_member_id()

    state_manager.clear_all_state()

    assert member == "m"
    assert (state_manager.get_member_id(), state_manager.get_flow_data()) == (None, {})
    assert state_manager.get_channel_id() == "263770000000"


def test_flow_data_outside_a_flow_is_refused_naming_the_way_in(state_manager):
    """There is no step that the data could belong to."""
    with pytest.raises(InvalidStateError, match="update_flow_state"):
        state_manager.update_flow_data({"a": 1})


def test_beginning_twice_changes_nothing(state_manager, client):
    """A conversation that exists is left as it is."""
    before = client.get(KEY)

    StateManager(KEY, client).initialize_channel("sms", "other")

    assert client.get(KEY) == before


def test_beginning_that_meets_another_beginning_takes_that_one(client, monkeypatch):
    """Of two processes that begin at once, the later uses what the earlier wrote."""
    early, late = StateManager(KEY, client), StateManager(KEY, client)
    begin = late.atomic_state.begin

    def overtaken(*arguments):
        early.initialize_channel("whatsapp", "first")
        return begin(*arguments)

    monkeypatch.setattr(late.atomic_state, "begin", overtaken)

    late.initialize_channel("whatsapp", "second")

    assert late.get_channel_id() == "first"


@pytest.mark.parametrize("key", ["", "channel:", "user:1", "263770000000"])
def test_key_without_its_prefix_is_refused(client, key):
    """Every conversation lies under channel: and an identifier."""
    with pytest.raises(InvalidStateError, match="channel:"):
        StateManager(key, client)


# A message as one unit of work.


def test_message_is_one_read_and_one_write(state_manager, client):
    """However many edits a message makes: one GET at its start, one transaction at its end."""
    client.config_resetstat()

    with state_manager.message("m1") as work:
        work.get_context()
        work.update_flow_state("offer", "amount")
        work.update_flow_data({"amount": "10"})
        work.update_state({"dashboard": {"n": 1}})
    called = calls(client)

    assert called == {"get": 2, "watch": 1, "multi": 1, "set": 1, "exec": 1}


def test_message_that_edits_nothing_writes_nothing(state_manager, client):
    """Only its read is made."""
    client.config_resetstat()

    with state_manager.message("m1") as work:
        work.get_channel_id()
    called = calls(client)

    assert called == {"get": 1}


def test_message_that_fails_writes_nothing(state_manager, client):
    """A block that raises leaves the conversation as it was."""
    before = client.get(KEY)

    def fail():
        with state_manager.message("m1") as work:
            work.update_flow_state("offer", "amount")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert client.get(KEY) == before


def test_message_delivered_twice_is_applied_once(state_manager, client):
    """The second delivery sees that it is one, and its edits are not written."""
    seen = []
    for _ in range(2):
        with StateManager(KEY, client).message("wamid.1") as work:
            seen.append(work.duplicate)
            n = (work.get("dashboard") or {"n": 0})["n"]
            work.update_state({"dashboard": {"n": n + 1}})

    state_manager.refresh()
    assert seen == [False, True]
    assert state_manager.get("dashboard") == {"n": 1}


def test_message_delivered_twice_at_once_is_applied_once(state_manager, client):
    """A delivery that was overtaken by its twin finds out at its write."""
    with StateManager(KEY, client).message("wamid.1") as late:
        with StateManager(KEY, client).message("wamid.1") as early:
            early.update_state({"dashboard": {"n": 1}})
        late.update_state({"dashboard": {"n": 2}})

    state_manager.refresh()
    assert (early.duplicate, late.duplicate, late.written) == (False, True, None)
    assert state_manager.get("dashboard") == {"n": 1}


def test_last_sixteen_messages_are_known(state_manager):
    """The memory for duplicates is bounded, and its oldest entries go first."""
    for number in range(20):
        with state_manager.message(f"wamid.{number}") as work:
            work.update_state({"dashboard": {"n": number}})

    known = []
    for number in (0, 3, 4, 19):
        with state_manager.message(f"wamid.{number}") as work:
            known.append(work.duplicate)

    assert known == [False, False, True, True]


def test_edits_of_a_message_are_made_to_what_another_writer_left(state_manager, client):
    """A message that was overtaken loses nothing of the other writer's work."""
    with state_manager.message("m1") as work:
        work.update_flow_state("offer", "amount", {"a": 1})
        StateManager(KEY, client).update_state({"dashboard": {"n": 7}})

    assert state_manager.get("dashboard") == {"n": 7}
    assert state_manager.get_flow_data() == {"a": 1}


def test_message_can_begin_its_conversation(client):
    """The first message of a caller finds nothing and writes the beginning with its edits."""
    manager = StateManager(KEY, client)

    with manager.message("m1") as work:
        work.initialize_channel("whatsapp", "263770000000")
        work.update_flow_state("login", "greet")

    assert not work.exists
    assert (manager.get_channel_type(), manager.get_component()) == ("whatsapp", "greet")


# Nothing comes back from the dead.


@pytest.mark.parametrize(
    "write",
    [
        lambda manager: manager.update_state({"dashboard": {}}),
        lambda manager: manager.update_flow_state("offer", "amount"),
        lambda manager: manager.clear_flow_state(),
        lambda manager: manager.atomic_state.atomic_update(KEY, {"dashboard": {}}),
        lambda manager: manager.atomic_state.record_error(KEY, "odd"),
    ],
)
def test_late_update_does_not_bring_a_deleted_conversation_back(state_manager, client, write):
    """Whoever still has it in hand is told that it is gone."""
    client.delete(KEY)

    with pytest.raises(StateMissingError):
        write(state_manager)

    assert not client.exists(KEY)


def test_late_update_does_not_bring_an_expired_conversation_back(state_manager, client):
    """The end of its time is as final as a deletion."""
    client.pexpire(KEY, 1)
    wait_until(lambda: not client.exists(KEY), why="the conversation to expire")

    with pytest.raises(StateMissingError):
        state_manager.update_flow_state("offer", "amount")

    assert not client.exists(KEY)


@pytest.mark.parametrize("begins", [False, True])
def test_conversation_evicted_between_read_and_write_is_missing(state_manager, client, begins):
    """A message's edits are not written into the void, even if it would have begun a new one."""

    def interrupted():
        with state_manager.message("m1") as work:
            if begins:
                work.initialize_channel("whatsapp", "263770000000")
            work.update_flow_state("offer", "confirm")
            client.delete(KEY)

    with pytest.raises(StateMissingError):
        interrupted()

    assert not client.exists(KEY)


def test_conversation_that_does_not_exist_says_how_to_begin_it(client):
    """Reading what is not there names the way in."""
    with pytest.raises(StateMissingError, match="initialize_channel"):
        StateManager(KEY, client).get_context()


def test_delete_says_whether_there_was_something(state_manager, client):
    """The second deletion finds nothing."""
    atomic = state_manager.atomic_state

    assert (atomic.atomic_delete(KEY), atomic.atomic_delete(KEY)) == (True, False)
    assert not client.exists(KEY)


# Others at the same key.


def test_reader_among_writers_never_fails(state_manager, redis_server):
    """Every read is a whole document, and the counter in it never goes back."""
    stop = threading.Event()
    failures = []

    def write():
        with connect(redis_server.url, timeout_s=5) as own:
            atomic = RedisAtomic(own, retry=RetryPolicy(conflict_deadline_s=30))
            while not stop.is_set():
                try:
                    atomic.update(KEY, incremented, ttl_s=300)
                except Exception as error:
                    failures.append(error)
                    raise

    writers = [threading.Thread(target=write) for _ in range(3)]
    for writer in writers:
        writer.start()
    seen = []
    try:
        wait_until(lambda: state_manager.atomic_state.atomic_get(KEY).get("dashboard"))
        seen += [state_manager.atomic_state.atomic_get(KEY)["dashboard"]["n"] for _ in range(300)]
    finally:
        stop.set()
        for writer in writers:
            writer.join()

    assert failures == []
    assert seen == sorted(seen)
    assert seen[-1] > seen[0], "nobody wrote, so this proves nothing"


def test_race_lost_while_the_caller_handles_another_error_is_still_a_race(state_manager, client):
    """An error that the caller is handling is not taken for the loss of this write's reply."""
    others = iter([True])

    def overtaken(document):
        if next(others, False):
            RedisAtomic(client).update(KEY, incremented, ttl_s=300)
        return incremented(document)

    try:
        raise ConnectionError("of another call")
    except RedisError:
        updated = RedisAtomic(client).update(KEY, overtaken, ttl_s=300)

    assert updated.attempts == 2
    assert updated.document["dashboard"] == {"n": 2}


def test_races_without_end_exhaust_the_retries(state_manager, client):
    """A writer who is always overtaken gives up at its deadline, and has written nothing."""

    def overtaken(document):
        RedisAtomic(client).update(KEY, incremented, ttl_s=300)
        return {**document, "action": {"written": True}}

    with pytest.raises(RetriesExhaustedError):
        RedisAtomic(client, retry=RetryPolicy(conflict_deadline_s=0.05)).update(
            KEY, overtaken, ttl_s=300
        )

    assert "action" not in RedisAtomic(client).read(KEY)


@pytest.mark.parametrize("value", [b"{", b"\xff\xfe\x00", b"[]", b'{"foreign": 1}'])
def test_foreign_value_is_invalid_and_is_not_overwritten(client, value):
    """What another program left under the key is neither understood nor touched."""
    client.set(KEY, value)
    atomic = AtomicStateManager(RedisAtomic(client))

    with pytest.raises(InvalidStateError):
        atomic.atomic_get(KEY)
    with pytest.raises(InvalidStateError):
        atomic.atomic_update(KEY, {"dashboard": {}})

    assert client.execute_command("GET", KEY, NEVER_DECODE=True) == value


def test_value_of_another_type_is_refused(client):
    """A list is no document; the error names the server's code and not the key."""
    client.rpush(KEY, "a")

    with pytest.raises(StoreRefusedError, match="WRONGTYPE") as caught:
        RedisAtomic(client).read(KEY)

    assert KEY not in str(caught.value)


@pytest.mark.parametrize("part", ["_metadata", "channel", "flow_data"])
def test_replacement_with_a_wrong_part_is_invalid(client, part):
    """A whole document is checked like any other, whichever part of it is wrong."""
    document = {"channel": {"type": "whatsapp", "identifier": "1"}, part: "text"}

    with pytest.raises(InvalidStateError) as caught:
        AtomicStateManager(RedisAtomic(client)).atomic_set(KEY, document)

    assert caught.value.path.startswith(part)
    assert not client.exists(KEY)


# The store fails.


def test_reply_to_exec_that_is_lost_is_ambiguous(redis_server, state_manager):
    """The write stands, but its writer cannot know: it is told so, and nothing is repeated."""
    with LossyProxy(redis_server.url) as proxy, connect(proxy.url, timeout_s=5) as lossy:
        proxy.lose_reply_to(b"EXEC")

        with pytest.raises(AmbiguousWriteError) as caught:
            RedisAtomic(lossy).update(KEY, incremented, ttl_s=300)

    assert proxy.lost == 1
    assert caught.value.applied is None
    assert state_manager.atomic_state.atomic_get(KEY)["dashboard"] == {"n": 1}


@pytest.mark.parametrize("step", [b"WATCH", b"GET"])
def test_reply_before_exec_that_is_lost_is_made_up_for(redis_server, state_manager, step):
    """Nothing was written yet, so the transaction is begun again, and is applied once."""
    with LossyProxy(redis_server.url) as proxy, connect(proxy.url, timeout_s=5) as lossy:
        proxy.lose_reply_to(step)

        updated = RedisAtomic(lossy).update(KEY, incremented, ttl_s=300)

    assert proxy.lost == 1
    assert updated.attempts == 2
    assert updated.document["dashboard"] == {"n": 1}


def test_ambiguous_message_that_is_delivered_again_is_applied_once(redis_server, state_manager):
    """The id of the message was written with its edits, so the repetition finds it."""
    with LossyProxy(redis_server.url) as proxy, connect(proxy.url, timeout_s=5) as lossy:
        manager = StateManager(KEY, lossy)
        proxy.lose_reply_to(b"EXEC")
        with pytest.raises(AmbiguousWriteError), manager.message("wamid.1") as first:
            first.update_state({"dashboard": {"n": 1}})

        with manager.message("wamid.1") as second:
            second.update_state({"dashboard": {"n": 2}})

    state_manager.refresh()
    assert second.duplicate
    assert state_manager.get("dashboard") == {"n": 1}


def test_server_that_freezes_at_the_commit_is_ambiguous(start_server):
    """The write lies in the server's socket and may be carried out later."""
    server = start_server()
    with connect(server.url, timeout_s=0.2) as hasty:
        StateManager(KEY, hasty).initialize_channel("whatsapp", "1")

        def frozen_after(document):
            kill(server.pid, signal.SIGSTOP)
            return incremented(document)

        try:
            with pytest.raises(AmbiguousWriteError) as caught:
                RedisAtomic(hasty).update(KEY, frozen_after, ttl_s=300)
        finally:
            kill(server.pid, signal.SIGCONT)

    assert caught.value.applied is None


def test_error_of_a_change_is_not_hidden_by_a_server_that_freezes(start_server):
    """Letting go of the watch goes unanswered; the caller still sees what went wrong."""
    server = start_server()
    with connect(server.url, timeout_s=0.2) as hasty:
        StateManager(KEY, hasty).initialize_channel("whatsapp", "1")

        def frozen_and_failing(document):
            kill(server.pid, signal.SIGSTOP)
            raise ZeroDivisionError

        try:
            with pytest.raises(ZeroDivisionError):
                RedisAtomic(hasty).update(KEY, frozen_and_failing, ttl_s=300)
        finally:
            kill(server.pid, signal.SIGCONT)
        updated = RedisAtomic(hasty).update(KEY, incremented, ttl_s=300)

    assert updated.document["dashboard"] == {"n": 1}


def test_frozen_server_is_unavailable_to_a_reader(start_server):
    """A reader knows that nothing was changed."""
    server = start_server()
    hasty = connect(server.url, timeout_s=0.1)
    with frozen(server), pytest.raises(StoreUnavailableError) as caught:
        RedisAtomic(hasty, retry=IMPATIENT).read(KEY)

    assert caught.value.applied is False


def test_full_store_is_refused_and_nothing_is_applied(start_server):
    """Without eviction the write is refused; what was there can still be read."""
    server = start_server(maxmemory_policy="noeviction")
    with connect(server.url) as connected:
        manager = StateManager(KEY, connected)
        manager.initialize_channel("whatsapp", "1")
        connected.config_set("maxmemory", 1)

        with pytest.raises(StoreFullError) as caught:
            manager.update_flow_state("offer", "amount")

        manager.refresh()
        assert caught.value.applied is False
        assert manager.get_context() is None


def test_store_whose_disk_failed_is_blocked(start_server, tmp_path):
    """A failed snapshot stops the writes (MISCONF), and the error says that it was that."""
    server = start_server(appendonly=False, save="3600 1")
    with connect(server.url) as connected:
        StateManager(KEY, connected).initialize_channel("whatsapp", "1")
        (server.folder / "dump.rdb").mkdir()  # so that no snapshot can take this name
        connected.bgsave()
        wait_until(
            lambda: connected.info("persistence")["rdb_last_bgsave_status"] == "err",
            why="the snapshot to fail",
        )

        with pytest.raises(StoreBlockedError) as caught:
            StateManager(KEY, connected).update_state({"dashboard": {}})

        connected.config_set("save", "")
    assert caught.value.applied is False


def test_replica_is_read_only(start_server):
    """A write to a replica is refused after the time for a failover, a read is answered."""
    primary = start_server(directives={"repl-diskless-sync-delay": "0"})
    # One with an AOF begins a new one after the sync, and cannot be stopped meanwhile.
    replica = start_server(appendonly=False)
    with connect(primary.url) as first, connect(replica.url) as second:
        StateManager(KEY, first).initialize_channel("whatsapp", "1")
        second.replicaof("127.0.0.1", primary.url.rpartition(":")[2])
        wait_until(lambda: second.exists(KEY), timeout_s=10, why="the replica to have the key")
        atomic = RedisAtomic(second, retry=IMPATIENT)

        with pytest.raises(StoreReadOnlyError) as caught:
            atomic.update(KEY, incremented, ttl_s=300)

        assert caught.value.applied is False
        assert atomic.read(KEY)["channel"]["identifier"] == "1"


def test_cluster_without_its_slots_is_unavailable(cluster_node):
    """A cluster that is down may come back, so it is tried again, and named."""
    atomic = RedisAtomic(connect(cluster_node.url), retry=IMPATIENT)

    with pytest.raises(StoreUnavailableError, match="cluster is down"):
        atomic.read(KEY)


def test_server_that_is_gone_is_unavailable_and_comes_back(start_server):
    """After a restart the same client goes on, and the AOF has kept the conversation."""
    server = start_server()
    with connect(server.url) as connected:
        manager = StateManager(KEY, connected)
        manager.initialize_channel("whatsapp", "1")
        before = connected.info("server")["run_id"]
        server.stop()

        with pytest.raises(StoreUnavailableError):
            RedisAtomic(connected, retry=IMPATIENT).read(KEY)

    server.start()
    with connect(server.url) as again:
        assert again.info("server")["run_id"] != before
        assert StateManager(KEY, again).get_channel_id() == "1"


def test_no_connection_is_left_watching(state_manager, client):
    """A transaction that fails gives its connection back clean."""

    def failing(document):
        raise ConflictError("by the application")

    with pytest.raises(ConflictError):
        RedisAtomic(client).update(KEY, failing, ttl_s=300)
    client.set(KEY, client.get(KEY))

    assert RedisAtomic(client).update(KEY, incremented, ttl_s=300).attempts == 1


def test_conversation_works_the_same_on_a_new_manager(client):
    """Redis 7 and Valkey carry a whole conversation alike."""
    manager = StateManager(KEY, client)
    manager.initialize_channel("whatsapp", "1")

    with manager.message("m1") as work:
        work.update_flow_state("offer", "amount", {"a": 1})
    manager.update_flow_data({"b": 2})

    assert StateManager(KEY, client).get_flow_data() == {"a": 1, "b": 2}
    assert 200 < client.ttl(KEY) <= 300
    assert manager.atomic_state.atomic_delete(KEY)
