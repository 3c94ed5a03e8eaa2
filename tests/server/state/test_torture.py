"""Many at once, replies lost, and a model that knows what must be there."""

import threading
from datetime import UTC, datetime

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.server.proxy import LossyProxy
from tests.server.state.conftest import KEY as KEY_OF_DRIVER
from tests.server.state.conftest import AsyncDriver, Driver
from tests.waiting import wait_until
from workbench.state import (
    AmbiguousWriteError,
    ConflictError,
    InvalidStateError,
    RetryPolicy,
    StateMissingError,
    connect,
)
from workbench.state import document as documents

KEY = "channel:torture"
PATIENT = RetryPolicy(
    conflict_deadline_s=60, transport_deadline_s=60, transport_pause_s=(0.0001, 0.001)
)


@pytest.mark.parametrize("writers", [1, 4])
def test_updates_through_a_lossy_network_are_applied_once_or_said_to_be_in_doubt(
    driver, redis_server, client, writers
):
    """One reply in twenty is lost: the acknowledged are there once, those in doubt at most once."""
    driver.begun()
    driver.atomic().update(KEY_OF_DRIVER, lambda old: {**old, "dashboard": {}}, ttl_s=300)
    acknowledged, doubtful, failures = [], [], []

    def write(writer):
        own = type(driver)(proxy.url, driver.strategy)
        atomic = own.atomic(retry=PATIENT)
        for number in range(150):
            name = f"{writer}-{number}"

            def change(old, name=name):
                seen = old["dashboard"]
                return {**old, "dashboard": {**seen, name: seen.get(name, 0) + 1}}

            try:
                atomic.update(KEY_OF_DRIVER, change, ttl_s=300)
                acknowledged.append(name)
            except AmbiguousWriteError:
                doubtful.append(name)
            except Exception as error:
                failures.append(error)
                raise
        own.close()

    with LossyProxy(redis_server.url) as proxy:
        proxy.lose_share(0.05, seed=7)
        threads = [threading.Thread(target=write, args=(number,)) for number in range(writers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    applied = driver.atomic().read(KEY_OF_DRIVER).document["dashboard"]
    assert failures == []
    assert proxy.lost > 0
    assert all(applied.get(name) == 1 for name in acknowledged)
    assert all(applied.get(name, 0) <= 1 for name in doubtful)
    assert len(acknowledged) + len(doubtful) == 150 * writers
    assert len(doubtful) < len(acknowledged) / 10


names = st.sampled_from(["login", "offer", "ledger"])
values = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.lists(st.integers())


class Conversations(RuleBasedStateMachine):
    """Managers that hold old and new snapshots of one conversation, against a dict."""

    url: str
    kinds = (
        (Driver, "function"),
        (Driver, "watch"),
        (AsyncDriver, "function"),
        (AsyncDriver, "watch"),
    )

    def __init__(self):
        super().__init__()
        self.raw = connect(self.url)
        self.raw.delete(KEY)
        self.drivers = [kind(self.url, strategy) for kind, strategy in self.kinds]
        self.managers = [driver.manager(KEY) for driver in self.drivers]
        self.model = None
        self.messages = []
        self.left_s = 300

    def teardown(self):
        for driver in self.drivers:
            driver.close()
        self.raw.close()

    which = st.integers(0, 3)

    @rule(which=which, identifier=st.text(min_size=1, max_size=4))
    def begin(self, which, identifier):
        self.managers[which].initialize_channel("whatsapp", identifier)
        if self.model is None:
            self.model = {"identifier": identifier, "flow": None, "parts": {}}
            self.messages, self.left_s = [], 300

    @rule(which=which, context=names, component=names, data=st.dictionaries(names, values))
    def move_on(self, which, context, component, data):
        def edit():
            self.managers[which].update_flow_state(context, component, data)

        if self.attempted(edit):
            flow = self.model["flow"] or {"data": {}}
            self.model["flow"] = {
                "context": context,
                "component": component,
                "data": {**flow["data"], **data},
            }

    @rule(which=which, value=values)
    def replace_a_part(self, which, value):
        part = {"dashboard": {"value": value}}
        if self.attempted(lambda: self.managers[which].update_state(part)):
            self.model["parts"]["dashboard"] = {"value": value}

    @rule(which=which)
    def leave(self, which):
        if self.attempted(self.managers[which].clear_flow_state):
            self.model["flow"] = None

    @rule(which=which)
    def forget(self, which):
        if self.attempted(self.managers[which].clear_all_state):
            self.model["flow"], self.model["parts"] = None, {}

    @rule(which=which, message=st.integers(0, 3), value=values)
    def deliver(self, which, message, value):
        def edit():
            with self.managers[which].message(f"m{message}") as work:
                work.update_state({"dashboard": {"value": value}})
                duplicates.append(work.duplicate)

        duplicates, left_s = [], self.left_s
        if self.attempted(edit):
            assert duplicates == [message in self.messages]
            if message in self.messages:
                self.left_s = left_s  # nothing was written
            else:
                self.messages.append(message)
                self.model["parts"]["dashboard"] = {"value": value}

    @rule(which=which)
    def read_again(self, which):
        self.managers[which].refresh()

    @rule()
    def time_runs_out(self):
        """The clock of the model: the next to ask finds that the end of its time has come."""
        if self.model is not None:
            self.raw.pexpire(KEY, 1)
            wait_until(lambda: not self.raw.exists(KEY), why="the conversation to expire")
        self.model = None

    @precondition(lambda self: self.model)
    @rule(passed_s=st.integers(1, 290))
    def time_passes(self, passed_s):
        """As far as the store is concerned; only a write gives the conversation its whole time."""
        self.raw.expire(KEY, 300 - passed_s)
        self.left_s = 300 - passed_s

    @rule(which=which)
    def delete(self, which):
        existed = self.managers[which].atomic_state.atomic_delete(KEY)
        assert existed == (self.model is not None)
        self.model = None

    @precondition(lambda self: self.model)
    @rule()
    def a_foreign_writer_adds_a_part(self):
        found = documents.decode(self.raw.get(KEY).encode(), foreign=True)
        found["foreign"] = 1
        self.raw.set(KEY, documents.encode(found), ex=300)
        self.model["parts"]["foreign"], self.left_s = 1, 300

    @rule(which=which)
    def refuse_what_json_cannot_hold(self, which):
        with pytest.raises(InvalidStateError):
            self.managers[which].update_state({"dashboard": {"value": float("nan")}})

    @rule(which=which)
    def begin_where_something_is(self, which):
        atomic = self.drivers[which].atomic()
        document = {**documents.new_document("whatsapp", "x", NOW), "schema": documents.SCHEMA}
        if self.model is None:
            atomic.create(KEY, document, ttl_s=300)
            self.model = {"identifier": "x", "flow": None, "parts": {}}
            self.messages, self.left_s = [], 300
        else:
            with pytest.raises(ConflictError):
                atomic.create(KEY, document, ttl_s=300)

    def attempted(self, edit):
        """Whether it went through; it must if there is a conversation, and must not if not."""
        if self.model is None:
            with pytest.raises(StateMissingError):
                edit()
            return False
        edit()
        self.left_s = 300
        return True

    @invariant()
    def store_holds_what_the_model_holds(self):
        snapshot = self.drivers[0].atomic().read(KEY)
        if self.model is None:
            assert snapshot is None
            return
        document = snapshot.document
        flow = document.get("flow_data")
        parts = {name: document[name] for name in ("dashboard", "foreign") if name in document}
        assert document["channel"]["identifier"] == self.model["identifier"]
        assert parts == self.model["parts"]
        assert (flow is None) == (self.model["flow"] is None)
        if flow:
            assert {name: flow[name] for name in self.model["flow"]} == self.model["flow"]
        assert self.left_s - 5 < self.raw.ttl(KEY) <= self.left_s


NOW = datetime(2025, 1, 1, tzinfo=UTC)


def test_any_order_of_calls_leaves_what_a_dict_would_hold(redis_server, client):
    """Four managers, sync and async, function and watch, and a writer of another house."""

    class Here(Conversations):
        url = redis_server.url

    Here.TestCase.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
    case = Here.TestCase()
    case.runTest()
