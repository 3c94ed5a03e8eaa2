"""Services that differ, on the same conversations: in their clocks, and in their schema."""

import json
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial

import pytest

from tests.server.state.conftest import KEY
from workbench.state import SchemaTooNewError, SessionLostError, attempts, conversation
from workbench.state import document as documents
from workbench.state.migrations import MIGRATIONS, migrated

DAY = timedelta(days=1)


NEWER = {"schema": documents.SCHEMA + 1, "channel": {"type": "whatsapp", "identifier": "1"}}


@pytest.mark.parametrize(
    "newer",
    [
        {"schema": 99},
        {**NEWER, "channel": "elsewhere"},
        NEWER,
        {**NEWER, "_metadata": {}, "_validation": {"attempts": 3}},
        {**NEWER, "_metadata": [1]},
        {**NEWER, "flow_data": {"step": 1}},
    ],
)
def test_document_that_a_newer_service_shaped_otherwise_is_named_so(driver, client, newer):
    """Whatever is asked of it, the answer is the one documented error, and it is left alone."""
    text = json.dumps(newer)
    client.set(KEY, text)
    manager = driver.manager()

    def message():
        with manager.message("m1") as work:
            work.update_state({"dashboard": {}})

    for ask in (
        manager.refresh,
        manager.get_channel_id,
        manager.get_context,
        manager.get_member_id,
        lambda: manager.validation_state,
        lambda: manager.initialize_channel("whatsapp", "1"),
        message,
    ):
        with pytest.raises(SchemaTooNewError):
            ask()

    assert client.get(KEY) == text


# Clocks.


@pytest.fixture
def clock(monkeypatch):
    """A service whose clock is wrong: ``with clock(-DAY): ...``."""

    @contextmanager
    def wrong_by(difference):
        class Wrong(datetime):
            @classmethod
            def now(cls, tz=None):
                return datetime.now(tz) + difference

        with monkeypatch.context() as patch:
            for module in (attempts, conversation):
                patch.setattr(module, "datetime", Wrong)
            yield

    return wrong_by


def test_clocks_that_differ_decide_nothing(driver, other, client, clock):
    """The order of the writes does; times are only noted."""
    with clock(DAY):
        ahead = driver.begun()
        ahead.update_flow_state("offer", "amount", {"by": "ahead"})
        begun = documents.decode(client.get(KEY).encode())["_metadata"]["initialized_at"]
    with clock(-DAY):
        behind = other.manager()
        with behind.message("m-1") as work:
            work.update_flow_data({"by": "behind"})
    with clock(DAY), ahead.message("m-1") as again:
        again.update_flow_data({"by": "again"})

    left = documents.decode(client.get(KEY).encode())
    assert again.duplicate
    assert left["flow_data"]["data"] == {"by": "behind"}
    assert left["_metadata"]["initialized_at"] == begun
    assert left["_metadata"]["updated_at"] < begun
    assert 290 < client.ttl(KEY) <= 300


@pytest.mark.parametrize("difference", [-DAY, DAY])
def test_why_a_conversation_is_gone_is_told_by_the_servers_clock(driver, client, clock, difference):
    """What has expired by it has; what was to live on has not."""
    if driver.strategy == "watch":
        pytest.skip("the index is written by the function")
    with clock(difference):
        manager = driver.begun(live_index=True)
        client.delete(KEY)
        with pytest.raises(SessionLostError) as gone:
            manager.update_state({"dashboard": {}})

        manager = driver.begun(live_index=True, ttl_s=0.05)
        while client.exists(KEY):
            pass
        with pytest.raises(SessionLostError) as expired:
            manager.update_state({"dashboard": {}})

    assert gone.value.reason == "unknown"  # somebody deleted it past the index
    assert expired.value.reason == "expired"


# Schemas.


def with_channels(document):
    """What the next version does to a document: its channel becomes one of several."""
    return {**document, "channels": [document["channel"]]}


@pytest.fixture
def newer(monkeypatch):
    """A service of the next version: ``with newer(): ...``."""

    @contextmanager
    def deployed():
        with monkeypatch.context() as patch:
            patch.setattr(documents, "SCHEMA", documents.SCHEMA + 1)
            migrations = (*MIGRATIONS, with_channels)
            patch.setattr(documents, "migrated", partial(migrated, migrations=migrations))
            yield

    return deployed


def counted(document):
    n = (document.get("dashboard") or {"n": 0})["n"]
    return {**document, "dashboard": {"n": n + 1}}


def test_newer_service_reads_what_the_older_one_writes_until_it_writes_itself(driver, other, newer):
    """Reading migrates nothing in the store, so the older one goes on."""
    old, new = driver.begun(), other.manager()
    old.update_state({"dashboard": {"n": 1}})

    with newer():
        new.refresh()
        assert new.get("channels") == [{"type": "whatsapp", "identifier": "263770000000"}]
    old.update_state({"dashboard": {"n": 2}})
    with newer():
        new.update_state({"action": {"id": "1"}})  # on what it held, and then on what is there

    left = other.atomic().read(KEY).document
    assert (left["schema"], left["dashboard"]) == (documents.SCHEMA + 1, {"n": 2})
    assert left["channels"] == [left["channel"]]


def test_older_service_reads_what_the_newer_one_wrote_and_never_overwrites_it(
    driver, other, client, newer
):
    """Whatever it held before: the newer one's parts are not lost."""
    old = driver.begun()
    held = driver.atomic().read(KEY)
    with newer():
        other.manager().update_state({"dashboard": {"n": 1}})
    text = client.get(KEY)

    with pytest.raises(SchemaTooNewError) as by_manager:
        old.update_state({"dashboard": {"n": 2}})
    with pytest.raises(SchemaTooNewError) as by_snapshot:
        driver.atomic().update(KEY, counted, ttl_s=300, snapshot=held)
    with pytest.raises(SchemaTooNewError), old.message("m-1") as work:
        work.update_state({"dashboard": {"n": 2}})
    driver.manager().initialize_channel("whatsapp", "263770000000")

    assert by_manager.value.applied is by_snapshot.value.applied is False
    assert client.get(KEY) == text
    reader = driver.manager()
    assert (reader.get_channel_id(), reader.get("dashboard")) == ("263770000000", {"n": 1})


def test_fleet_in_the_middle_of_a_deployment_loses_nothing(driver, other, client, newer):
    """Turn by turn: the older one's updates count until the newer one's first, then are refused."""
    driver.begun()
    applied = refused = 0
    for turn in range(40):
        if turn >= 20 and turn % 2:
            with newer():
                other.atomic().update(KEY, counted, ttl_s=300)
            applied += 1
            continue
        try:
            driver.atomic().update(KEY, counted, ttl_s=300)
            applied += 1
        except SchemaTooNewError:
            refused += 1

    with newer():
        left = other.atomic().read(KEY).document
    assert (applied, refused) == (31, 9)
    assert left["dashboard"] == {"n": applied}
    assert left["schema"] == documents.SCHEMA + 1
