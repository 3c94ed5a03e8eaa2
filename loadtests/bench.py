"""
The generator's side of ``workbench bench load``: what carrying a turn costs this process.

``python -m loadtests.bench drive`` has the server's URL in REDIS_STATE_URL, takes orders as lines
of JSON and answers each with one; ``alive N`` and ``recorder`` print one line and end. A user is a
greenlet that does what Locust's users do at least: update, fire the request event, to which
Locust's statistics listen, and let the others go on.
"""

import gc
import json
import os
import resource
import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from typing import Any, Final

import gevent
import locust  # noqa: F401  (before all others: it replaces the process's sockets)
import redis
from locust.env import Environment

from loadtests.arrivals import LoadPlan, draw
from loadtests.drivers import Slot, driver
from loadtests.drivers.fast import Kept
from loadtests.drivers.text import Held, held_of
from loadtests.drivers.turn import Done, apply
from loadtests.ledger import Ledger, Second
from loadtests.prefill import under_way
from loadtests.scheduler import Scheduler, Turn
from workbench.flows.login import GREETING
from workbench.flows.mix import read_mix
from workbench.flows.model import Caller, Edit
from workbench.state import AtomicStateManager, RedisAtomic, Updated, connect
from workbench.state.conversation import Message
from workbench.state.document import encode
from workbench.state.head import ABSENT, Head

__all__: list[str] = []

_TTL_S: Final = 300
_USERS: Final = 50
_CONVERSATIONS: Final = 10
_EDITS: Final = 64
_MESSAGES_MAX: Final = 16
_DASHBOARD_BYTES: Final = {1000: 0, 2600: 1560}

Update = Callable[[], int]
"""Makes one update of one of a user's conversations; the length of what it wrote."""


class Driven:
    """
    Some way to update conversations, and 50 users who do.

    Args:
        url: of the server.
        way: ``naive``, ``held``, or the name of a driver.
        size_bytes: of a conversation's state, about; one of 1000 and 2600.
    """

    def __init__(self, url: str, way: str, size_bytes: int) -> None:
        self._url = url
        self._way = way
        self._size_bytes = size_bytes
        self._stopping = False
        self._pool = redis.Redis(
            connection_pool=redis.ConnectionPool.from_url(url, max_connections=2 * _USERS)
        )
        environment = Environment()
        environment.create_local_runner()  # which counts what is fired
        self._fire = environment.events.request.fire
        self._users = [self._update_of(number) for number in range(_USERS)]
        self.updates = 0

    def run(self, seconds: float, *, warm_up_s: float) -> dict[str, float]:
        """Have 50 users update as fast as they can, and say what that cost."""
        self._stopping = False
        users = [gevent.spawn(self._go_on, update) for update in self._users]
        gevent.sleep(warm_up_s)
        gc.collect()
        cpu_s, begun_s, updates = _cpu_s(), time.monotonic(), self.updates
        gevent.sleep(seconds)
        used = {
            "cpu_s": _cpu_s() - cpu_s,
            "elapsed_s": time.monotonic() - begun_s,
            "updates": self.updates - updates,
        }
        self._stopping = True  # each with an update, not within one
        gevent.joinall(users, raise_error=True)
        return used

    def _go_on(self, update: Update) -> None:
        """One user: updates, each told to Locust, and the turn of the others after each."""
        fire, name = self._fire, self._way
        while not self._stopping:
            begun_s = time.perf_counter()
            size = update()
            fire(
                request_type="TURN",
                name=name,
                response_time=1e3 * (time.perf_counter() - begun_s),
                response_length=size,
                exception=None,
                context={},
            )
            self.updates += 1
            gevent.sleep(0)

    def kept(self) -> int:
        """How many updates the conversations have seen, by their own count."""
        count = 0
        with connect(self._url, timeout_s=30) as client:
            for key in client.scan_iter(f"channel:{self._prefix}*", count=1000):
                text: Any = client.execute_command("GET", key, NEVER_DECODE=True)  # workbench: raw
                if self._way == "naive":
                    count += json.loads(text)["version"]
                else:
                    count += Head.of(text).revision - 1
        return count

    @property
    def _prefix(self) -> str:
        return f"wb-{self._way[0]}{self._size_bytes}-"

    def _update_of(self, number: int) -> Update:
        """One user's updates of conversations of its own, which begin here."""
        callers = [f"{self._prefix}{number}-{each}" for each in range(_CONVERSATIONS)]
        edits = _edits(number)
        if self._way == "naive":
            return _naive(self._pool, callers, edits, self._size_bytes)
        if self._way == "held":
            slot = driver("reference")(self._url, ttl_s=_TTL_S, timeout_s=30)
            return _of_snapshots(slot.client, callers, edits, self._size_bytes)
        slot = driver(self._way)(self._url, ttl_s=_TTL_S, timeout_s=30)
        return _of_driver(slot, callers, edits, self._size_bytes)


def _edits(seed: int) -> "Iterator[Edit]":
    """What a person types, over and over: made beforehand, as it is no part of the way there."""
    caller = Caller(seed, 1)
    made = []
    for _ in range(_EDITS):
        amount = caller.amount()
        data = {"incoming_message": caller.incoming(amount), "amount": amount, "denom": "USD"}
        made.append(Edit("offer_secured", "HandleInput", data))
    return cycle(made)


def _begun(size_bytes: int) -> Edit:
    """The greeting that makes a conversation of about this size."""
    filler = _DASHBOARD_BYTES[size_bytes]
    parts = {"dashboard": {"accounts": [secrets.token_hex(20) for _ in range(filler // 43)]}}
    return Edit("account", "AccountDashboard", {}, parts if filler else {}, reset=True)


def _of_driver(slot: Slot, callers: list[str], edits: "Iterator[Edit]", size_bytes: int) -> Update:
    token = secrets.token_hex(4)
    numbers = iter(range(10**12))
    follows: dict[str, str | None] = {}
    for caller in callers:
        message = f"{token}-{next(numbers)}"
        done = slot.carry_out(caller, message, _begun(size_bytes), begins=True, follows=None)
        assert done.outcome == "ok", done
        follows[caller] = message
    each = cycle(callers)

    def update() -> int:
        caller, message = next(each), f"{token}-{next(numbers)}"
        done = slot.carry_out(caller, message, next(edits), begins=False, follows=follows[caller])
        assert done.outcome == "ok", done
        follows[caller] = message
        return done.value_bytes

    return update


def _of_snapshots(
    client: redis.Redis, callers: list[str], edits: "Iterator[Edit]", size_bytes: int
) -> Update:
    """By the state manager over redis-py, as a service could whose callers keep to one process."""
    atomic = RedisAtomic(client)
    states = AtomicStateManager(atomic, ttl=_TTL_S).transactions
    token, numbers = secrets.token_hex(4), iter(range(10**12))
    held: dict[str, Updated] = {}

    def write(caller: str, edit: Edit, snapshot: Updated | None) -> int:
        message = Message(f"{token}-{next(numbers)}")
        message.initialize_channel("whatsapp", caller)
        apply(message, edit)
        held[caller] = written = atomic.run(
            states.rewrite(
                f"channel:{caller}",
                message.applied_to,
                operation="message",
                snapshot=snapshot,
                absent=snapshot is None,
            )
        )
        return written.value_bytes

    for caller in callers:
        write(caller, _begun(size_bytes), None)
    each = cycle(callers)

    def update() -> int:
        caller = next(each)
        return write(caller, next(edits), held[caller])

    return update


def _naive(
    client: redis.Redis, callers: list[str], edits: "Iterator[Edit]", size_bytes: int
) -> Update:
    """As it is often written: WATCH, GET, MULTI, SET, EXEC over a shared pool."""
    numbers = iter(range(10**12))
    for caller in callers:
        document = {
            "version": 0,
            "schema": 1,
            "channel": {"type": "whatsapp", "identifier": caller},
            "_metadata": {"initialized_at": "", "updated_at": "", "messages": []},
            "_validation": {
                "in_progress": False,
                "attempts": {"message": 0},
                "last_attempt": {},
                "error": None,
            },
            "flow_data": {"data": {}},
            **_begun(size_bytes).parts,
        }
        client.set(f"channel:{caller}", json.dumps(document), ex=_TTL_S)  # workbench: raw
    each = cycle(callers)

    def update() -> int:
        key, edit = f"channel:{next(each)}", next(edits)
        message = f"{next(numbers):016x}"
        while True:
            with client.pipeline() as pipe:
                try:
                    pipe.watch(key)
                    document = json.loads(pipe.get(key))  # workbench: raw
                    now = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
                    document["version"] += 1
                    metadata, tracked = document["_metadata"], document["_validation"]
                    metadata["updated_at"] = now
                    metadata["messages"] = [message, *metadata["messages"]][:_MESSAGES_MAX]
                    tracked["attempts"]["message"] += 1
                    tracked["last_attempt"]["message"] = now
                    document["flow_data"] = {
                        "context": edit.context,
                        "component": edit.component,
                        "data": {**document["flow_data"]["data"], **edit.data},
                        "validation": {
                            "in_progress": True,
                            "attempts": document["version"],
                            "last_attempt": now,
                            "error": None,
                        },
                    }
                    text = json.dumps(document)
                    pipe.multi()
                    pipe.set(key, text, ex=_TTL_S)  # workbench: raw
                    pipe.execute()
                except redis.WatchError:
                    continue
                return len(text)

    return update


def drive() -> None:
    """Carry out orders until there are no more."""
    url = os.environ["REDIS_STATE_URL"]
    ways: dict[tuple[str, int], Driven] = {}
    for line in sys.stdin:
        order = json.loads(line)
        named = (order["way"], order["size_bytes"])
        if named not in ways:
            ways[named] = Driven(url, *named)
        if order["seconds"]:
            answer: dict[str, float] = ways[named].run(
                order["seconds"], warm_up_s=order["warm_up_s"]
            )
        else:
            answer = {"kept": ways[named].kept(), "updates": ways[named].updates}
        print(json.dumps(answer), flush=True)  # noqa: T201


def recorder() -> None:
    """
    What recording one turn costs, µs: to write it down and count it in the figures, as a load does
    every second; and, apart, to write it out as Parquet with the others.
    """
    rounds, seconds, turns_per_s = 20, 20, 600
    scheduler = Scheduler(draw(_plan()), duration_s=1.0, seed=1)
    turn = Turn(scheduler.conversation(0), 3, due_s=1.0, ready_s=1.001)
    done = Done("ok", attempts=1, value_bytes=2600)
    append_us, flush_us = [], []
    with tempfile.TemporaryDirectory(prefix="workbench-bench-") as folder:
        ledger = Ledger(Path(folder), 0, ttl_s=_TTL_S, measured_s=(0.0, 1e9))
        ledger.unix_at_zero_s = time.time()
        for _ in range(rounds):
            begun_s = time.process_time()
            for second in range(seconds):
                for number in range(turns_per_s):
                    ledger.turn(
                        turn,
                        "amount",
                        "ok",
                        done,
                        begins=False,
                        sent_s=1.002,
                        completed_s=1.003 + number * 1e-5,
                        age_s=8.5,
                    )
                ledger.second(
                    Second(
                        second,
                        second + 1.0,
                        cpu_share=0.5,
                        due=turns_per_s,
                        completed=turns_per_s,
                        waiting=0,
                        busy=1,
                        in_service=(),
                    )
                )
            rows = seconds * turns_per_s
            append_us.append(1e6 * (time.process_time() - begun_s) / rows)
            begun_s = time.process_time()
            ledger.flush()
            flush_us.append(1e6 * (time.process_time() - begun_s) / rows)
    print(json.dumps({"append_us": append_us, "flush_us": flush_us, "rows": rows}))  # noqa: T201


def _plan() -> LoadPlan:
    mix = read_mix("suggested")
    return LoadPlan(
        turns_per_s=1000.0,
        duration_s=1.0,
        mix=mix.weights,
        think_median_s=mix.think_median_s,
        think_p95_s=mix.think_p95_s,
        seed=1,
        habits=mix.habits,
    )


def alive(wanted: int) -> None:
    """Hold what a load holds of so many conversations that are under way at once, and weigh it."""
    plan = _plan()
    rate = 1000.0 * wanted / len(under_way(draw(plan))[0])
    schedule = draw(LoadPlan(**{**_fields(plan), "turns_per_s": rate * 1.02}))
    scheduler = Scheduler(schedule, duration_s=plan.duration_s, seed=plan.seed)
    numbers, done, last_s = under_way(schedule)
    kept, edits, conversations = Kept(), _edits(1), 0
    for number, position, at_s in zip(numbers, done, last_s, strict=True):
        conversation = scheduler.conversation(int(number))
        conversation.position = conversation.turns = int(position)
        conversation.written_s = float(at_s)
        conversation.acknowledged = f"{number:08x}-{number}-{position}"
        kept.keep(f"channel:{conversation.caller.identifier}", _held(conversation.caller, edits))
        conversations += 1
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    answer = {"conversations": conversations, "peak_bytes": 1024 * peak_kib, "turns_per_s": rate}
    print(json.dumps(answer))  # noqa: T201


def _held(caller: Caller, edits: "Iterator[Edit]") -> Held:
    """What the fast driver holds of a conversation of 2.6 KB in its second turn."""
    now = datetime.now(UTC)
    message = Message("greeting")
    message.initialize_channel("whatsapp", caller.identifier)
    apply(message, GREETING.edit(caller))
    document = message.applied_to(None, now)
    head, text = ABSENT.followed_by(encode(document), b"AAAAAAAA")
    held = held_of(head, text)
    assert held is not None, "it is of the form that messages leave"
    left = held.followed_by("0" * 16, next(edits), b"BBBBBBBB")
    assert left is not None, "it is of the form that messages leave"
    return left[0]


def _fields(plan: LoadPlan) -> dict[str, Any]:
    return {name: getattr(plan, name) for name in plan.__dataclass_fields__}


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    {"drive": drive, "recorder": recorder, "alive": lambda: alive(int(sys.argv[2]))}[sys.argv[1]]()
