"""The documented pattern and ours on one conversation, as docs/how-to/adopt.md says."""

import json

import pytest
from redis.exceptions import NoPermissionError

from tests.server.state.conftest import KEY
from workbench.state import IntegrityError, StateMissingError, connect


class Service:
    """The documented pattern: read; then WATCH, MULTI, SETEX, EXEC."""

    def __init__(self, client):
        self.client = client

    def read(self):
        return json.loads(self.client.get(KEY))

    def write(self, document, **form):
        text = json.dumps(document, **form)
        with self.client.pipeline() as pipe:
            pipe.watch(KEY)
            pipe.multi()
            pipe.execute_command("SETEX", KEY, 300, text)
            pipe.execute()


COMPACT = {"separators": (",", ":")}


@pytest.fixture
def service(client):
    """The service that is there already."""
    return Service(client)


def numbered(document):
    return {**document, "dashboard": {"n": (document.get("dashboard") or {"n": 0})["n"] + 1}}


def test_service_that_writes_between_our_read_and_our_write_is_kept(driver, state_manager, service):
    """Another head stands there, so ours is made to what the service left."""
    held = driver.atomic().read(KEY)
    service.write({**service.read(), "action": {"id": "service"}})

    updated = driver.atomic().update(KEY, numbered, ttl_s=300, snapshot=held)

    assert updated.document["action"] == {"id": "service"}
    assert updated.document["dashboard"] == {"n": 1}
    assert updated.revision == 1


def test_service_overwrites_what_was_written_after_its_read(driver, state_manager, service):
    """Nobody can guard its write but itself; nothing is raised, on either side."""
    read = service.read()
    driver.atomic().update(KEY, numbered, ttl_s=300)

    service.write({**read, "action": {"id": "service"}})

    assert "dashboard" not in driver.atomic().read(KEY).document


def test_service_begins_again_what_was_deleted(driver, state_manager, service):
    """And so it brings back what had ended; ours does not."""
    read = service.read()
    driver.atomic().delete(KEY)
    with pytest.raises(StateMissingError):
        driver.atomic().update(KEY, numbered, ttl_s=300)

    service.write(read)

    assert driver.atomic().read(KEY).document["channel"] == read["channel"]


def test_service_takes_the_memory_of_the_head_with_it(driver, state_manager, service):
    """An update id that was applied before its write is applied again after it."""
    driver.atomic().update(KEY, numbered, ttl_s=300, update_id="payment-7")
    service.write(service.read())

    again = driver.atomic().update(KEY, numbered, ttl_s=300, update_id="payment-7")

    assert not again.duplicate
    assert again.document["dashboard"] == {"n": 2}


@pytest.mark.parametrize("keeps", [True, False])
def test_messages_are_remembered_as_long_as_the_service_keeps_metadata(
    driver, state_manager, service, keeps
):
    """Their ids lie in ``_metadata``."""
    with state_manager.message("wamid.1") as work:
        work.update_state({"dashboard": {}})
    document = service.read()
    metadata = document["_metadata"] if keeps else {"updated_at": "2025-01-02T03:04:05"}
    service.write({**document, "_metadata": metadata})

    with driver.manager().message("wamid.1") as again:
        pass

    assert again.duplicate is keeps


def test_compact_writer_is_taken_for_damage_until_it_is_adopted(driver, state_manager, service):
    """Our head stands before a body that it does not fit."""
    service.write({**service.read(), "action": {"id": "compact"}}, **COMPACT)

    with pytest.raises(IntegrityError):
        driver.atomic().read(KEY)
    with pytest.raises(IntegrityError):
        driver.atomic().update(KEY, numbered, ttl_s=300)

    assert driver.atomic().adopt(KEY).document["action"] == {"id": "compact"}


def test_compact_writer_between_read_and_write_is_seen_by_watch_alone(
    driver, state_manager, service
):
    """The function compares the head, which is there; the watch reads the text that it replaces."""
    held = driver.atomic().read(KEY)
    service.write({**service.read(), "action": {"id": "compact"}}, **COMPACT)

    if driver.strategy == "watch":
        with pytest.raises(IntegrityError):
            driver.atomic().update(KEY, numbered, ttl_s=300, snapshot=held)
        assert service.read()["action"] == {"id": "compact"}
    else:
        updated = driver.atomic().update(KEY, numbered, ttl_s=300, snapshot=held)
        assert "action" not in updated.document
        assert "action" not in service.read()


def test_compact_writer_that_leaves_out_the_head_is_a_writer_like_the_service(
    driver, state_manager, service
):
    """Without ``_h`` there is no head that could seem to fit."""
    held = driver.atomic().read(KEY)
    document = {**service.read(), "action": {"id": "compact"}}
    del document["_h"]
    service.write(document, **COMPACT)

    updated = driver.atomic().update(KEY, numbered, ttl_s=300, snapshot=held)

    assert updated.document["action"] == {"id": "compact"}


def test_nothing_of_ours_sends_setex(driver, state_manager, client):
    """So its count on the server is that of the writers that were not switched over."""
    client.config_resetstat()

    state_manager.update_flow_state("offer", "amount")
    with state_manager.message("wamid.1") as work:
        work.update_flow_data({"amount": "10"})
    driver.states().atomic_set(KEY, driver.states().atomic_get(KEY))
    driver.atomic().adopt(KEY)
    state_manager.atomic_state.atomic_delete(KEY)
    driver.manager().initialize_channel("whatsapp", "1")
    stats = client.info("commandstats")

    assert "cmdstat_set" in stats
    assert "cmdstat_setex" not in stats


def test_service_can_be_refused_by_the_server(driver, redis_server, client):
    """A user who may not call SETEX can do everything of ours, and nothing of the service's."""
    client.acl_setuser(
        "chat", enabled=True, passwords=["+p"], keys=["*"], categories=["+@all"],
        commands=["-setex"],
    )  # fmt: skip
    url = redis_server.url.replace("redis://", "redis://chat:p@")
    try:
        manager = driver.begun(driver.connect(url))
        manager.update_flow_state("offer", "amount")
        with connect(url) as raw, pytest.raises(NoPermissionError):
            Service(raw).write(Service(raw).read())
    finally:
        client.acl_deluser("chat")

    assert driver.manager().get_component() == "amount"


def test_service_goes_on_with_ours_and_we_with_its_again(driver, state_manager, service, client):
    """Back and forth: a stale head does no harm, and is dropped."""
    state_manager.update_flow_state("offer", "amount", {"amount": "10"})
    for n in range(3):
        service.write({**service.read(), "dashboard": {"n": n}})

    assert next(iter(service.read())) == "_h"
    manager = driver.manager()
    manager.update_flow_data({"handle": "chipo"})

    assert manager.get_flow_data() == {"amount": "10", "handle": "chipo"}
    assert manager.get("dashboard") == {"n": 2}
    assert client.get(KEY).count('"_h"') == 1
    assert driver.atomic().read(KEY).revision == 1
