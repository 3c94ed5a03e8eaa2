"""A conversation: what stays, what is refreshed, and what is refused."""

from datetime import UTC, datetime, timedelta

import jwt
import pytest

from tests.server.state.conftest import KEY
from workbench.state import InvalidStateError, jwt_verifier
from workbench.state.attempts import Attempts


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


def test_unknown_parts_survive_every_update(driver, state_manager, client):
    """What a newer service wrote stays, whatever an older one changes."""
    driver.atomic().update(KEY, lambda old: {**old, "from_tomorrow": [1]}, ttl_s=300)

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


SECRET = "a secret that is long enough for it"


def token_of(member="m", *, expires_in_s=60):
    """A token as the login gives it."""
    expires = datetime.now(UTC) + timedelta(seconds=expires_in_s)
    return jwt.encode({"sub": member, "exp": expires}, SECRET, algorithm="HS256")


def test_member_is_known_only_by_a_token_that_is_accepted(driver):
    """A dashboard alone is no proof; nor is a token that nobody verifies."""
    manager = driver.begun(verify_token=jwt_verifier(SECRET))
    manager.update_state({"dashboard": {"member": {"memberID": "m"}}})
    before = manager.get_member_id()

    manager.authenticate(token_of())
    unverified = driver.manager()

    assert before is None
    assert (manager.is_authenticated(), manager.get_member_id()) == (True, "m")
    assert (unverified.is_authenticated(), unverified.get_member_id()) == (False, None)


@pytest.mark.parametrize(
    "token", ["", "no token", None, token_of(expires_in_s=-1), jwt.encode({}, "0" * 32)]
)
def test_token_that_is_not_accepted_is_not_kept(driver, token):
    """Forged, expired, or none at all."""
    manager = driver.begun(verify_token=jwt_verifier(SECRET))

    with pytest.raises(InvalidStateError, match="not accepted") as caught:
        manager.authenticate(token)

    assert manager.version == 1
    assert str(token) not in str(caught.value) or not token


def test_token_without_a_verifier_is_refused(state_manager):
    """It could never count."""
    with pytest.raises(InvalidStateError, match="verify_token"):
        state_manager.authenticate(token_of())


def test_log_out_forgets_the_member_and_is_not_undone_by_a_slower_request(driver, other):
    """The slower one writes on what the log-out left, not on what it had read."""
    manager = driver.begun(verify_token=jwt_verifier(SECRET))
    manager.authenticate(token_of())
    slower = driver.manager()
    slower.refresh()
    manager.log_out()

    slower.update_flow_state("offer", "amount")

    document = other.atomic().read(KEY).document
    assert "auth" not in document
    assert document["flow_data"]["context"] == "offer"


def test_version_counts_the_writes(driver, state_manager):
    """Of the conversation as it is in hand, and of any manager that reads it."""
    state_manager.update_flow_state("offer", "amount")

    assert (state_manager.version, driver.manager().version) == (2, 2)


def test_what_is_read_is_a_copy(driver, state_manager):
    """To alter it alters neither the store nor what the manager shows: only an update does."""
    state_manager.update_state({"dashboard": {"n": 1}})
    state_manager.update_flow_state("offer", "amount", {"a": [1]})

    state_manager.get("dashboard")["n"] = float("nan")
    state_manager.get_flow_data()["a"].append(2)
    state_manager.get_flow_state()["data"]["a"].append(2)
    state_manager.in_hand["dashboard"]["n"] = 2
    state_manager.update_state({"action": {}})

    for manager in (state_manager, driver.manager()):
        assert (manager.get("dashboard"), manager.get_flow_data()) == ({"n": 1}, {"a": [1]})


@pytest.mark.parametrize(
    "write",
    [
        lambda manager: manager.update_state(None),
        lambda manager: manager.update_state(["dashboard"]),
        lambda manager: manager.update_flow_data("amount"),
        lambda manager: manager.update_flow_state("offer", "amount", [1]),
        lambda manager: manager.atomic_state.atomic_set(KEY, "x"),
        lambda manager: manager.atomic_state.atomic_update(KEY, None),
        lambda manager: manager.message(None).__enter__(),
    ],
)
def test_what_is_no_dict_is_refused_with_the_documented_error(state_manager, client, write):
    """Nothing but a StateError leaves the managers, and nothing is written."""
    before = client.get(KEY)

    with pytest.raises(InvalidStateError):
        write(state_manager)

    assert client.get(KEY) == before


def test_member_of_another_shape_has_no_id(driver):
    """The dashboard is the API's: whatever it holds, asking for the member is safe."""
    manager = driver.begun(verify_token=lambda token: True)

    for member in (["x"], "x", None, {}, {"memberID": 5}):
        manager.update_state({"auth": {"token": "t"}, "dashboard": {"member": member}})
        assert manager.get_member_id() is None


@pytest.mark.parametrize("ttl_s", [0, -1, float("nan"), float("inf"), 1e12, "300", None, True])
def test_time_to_live_that_is_none_is_refused(driver, state_manager, client, ttl_s):
    """Before anything is sent, and with its name."""
    with pytest.raises(InvalidStateError, match="ttl_s"):
        driver.atomic().update(KEY, lambda old: old, ttl_s=ttl_s)
    with pytest.raises(InvalidStateError, match="ttl_s"):
        driver.begun(key="channel:other", ttl_s=ttl_s)

    assert state_manager.version == 1
    assert not client.exists("channel:other")


def test_clear_all_state_keeps_the_channel(driver):
    """Flow, member and token are forgotten; who is talking is not."""
    state_manager = driver.begun(verify_token=bool)
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


def test_beginning_twice_changes_nothing(driver, state_manager, client):
    """A conversation that exists is left as it is."""
    before = client.get(KEY)

    driver.manager().initialize_channel("sms", "other")

    assert client.get(KEY) == before


def test_beginning_that_meets_another_beginning_takes_that_one(driver, other, monkeypatch):
    """Of two processes that begin at once, the later uses what the earlier wrote."""
    early, late = other.manager(), driver.manager()
    begin = Attempts.begin

    def overtaken(*arguments):
        monkeypatch.setattr(Attempts, "begin", begin)
        early.initialize_channel("whatsapp", "first")
        return begin(*arguments)

    monkeypatch.setattr(Attempts, "begin", overtaken)

    late.initialize_channel("whatsapp", "second")

    assert late.get_channel_id() == "first"


@pytest.mark.parametrize("key", ["", "channel:", "user:1", "263770000000"])
def test_key_without_its_prefix_is_refused(driver, client, key):
    """Every conversation lies under channel: and an identifier."""
    with pytest.raises(InvalidStateError, match="channel:"):
        driver.manager(key)
