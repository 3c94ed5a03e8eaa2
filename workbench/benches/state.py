"""What the state manager costs, beside the bare command, and what it keeps."""

import json
import statistics
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import redis
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from workbench.benches.contention import contend, document_of
from workbench.benches.figure import (
    BENCHES,
    Bench,
    Figure,
    Report,
    count,
    ratio,
    ratio_of_rounds,
)
from workbench.benches.patterns import PATTERNS, TTL_S, incremented
from workbench.server.process import PrivateServer
from workbench.state import Call, RedisAtomic, RetryPolicy, StateManager, connect
from workbench.state import document as documents

__all__ = ["measure"]

_KEY: Final = "channel:bench"
_ROUNDS: Final = 20
_SIZES: Final = (2600, 9700)
_REPEATS: Final = 3
_LOSS_SHARE: Final = 0.05


def measure(
    server: PrivateServer, *, quick: bool, say: Callable[[str], None] = lambda _: None
) -> Report:
    """
    Measure on a private server, which should have an AOF as the documented one does.

    Args:
        server: ours, and empty.
        quick: fewer rounds, same figures.
        say: told what is measured next.
    """
    with connect(server.url, timeout_s=30) as client:
        figures = [*_round_trips(client)]
        noisy = False
        for size in _SIZES:
            say(f"latency at {size / 1000:g} KB")
            for _ in range(_REPEATS):
                found, noisy = _latency(client, size, each=40 if quick else 400)
                if all(figure.holds is not None or not figure.must for figure in found):
                    break
            figures += found
        say("server time, codec, memory and AOF")
        figures += [_server_time(client), *_codec(), _memory(client), *_aof(client)]
        say("lost replies")
        figures.append(_double_applied(server.url, 2_000 if quick else 100_000))
    say("16 writers on one conversation")
    figures += _contention(server.url, quick=quick)
    binary = server.binary
    return Report("state", noisy, figures, f"{binary.engine} {binary.version}")


def _begun(client: Redis, size_bytes: int, key: str = _KEY) -> StateManager:
    client.delete(key)  # workbench: raw
    manager = StateManager(key, client, ttl_s=TTL_S)
    manager.initialize_channel("whatsapp", key.partition(":")[2])
    manager.update_state(document_of(size_bytes))
    return manager


def _round_trips(client: Redis) -> list[Figure]:
    calls: list[Call] = []
    manager = _begun(client, 2600)
    found = []
    for strategy, must, goal in (("function", "1", "1"), ("watch", "<=3", "2")):
        atomic = RedisAtomic(client, strategy=strategy, hooks=[calls.append])  # type: ignore[arg-type]
        held = atomic.read(_KEY)
        calls.clear()
        atomic.update(_KEY, incremented, ttl_s=TTL_S, snapshot=held)
        found.append(
            count(
                f"round_trips_update_{strategy}",
                f"round trips of an update, {strategy}",
                calls[0].round_trips,
                n=1,
                must=must,
                goal=goal,
            )
        )
    # Of a message there is more than one call: the server counts the commands.
    client.config_resetstat()
    with manager.message("one") as work:
        work.update_flow_state("offer", "amount", {"amount": "10"})
        work.update_state({"action": {"id": "1"}})
    stats: Any = client.info("commandstats")
    own = ("cmdstat_get", "cmdstat_fcall", "cmdstat_watch", "cmdstat_exec", "cmdstat_multi")
    trips = sum(stats[name]["calls"] for name in own if name in stats)
    found.append(count("round_trips_message", "round trips of a message", trips, n=1, must="2"))
    return found


def _timed(step: Callable[[], object]) -> float:
    begun_ns = time.perf_counter_ns()
    step()
    return (time.perf_counter_ns() - begun_ns) / 1000


def _latency(client: Redis, size: int, *, each: int) -> tuple[list[Figure], bool]:
    """Ours beside the bare command; then, likewise, what one meets elsewhere."""
    own, other, watched = (f"{_KEY}-{name}" for name in ("own", "other", "watched"))
    theirs = "channel:bench-theirs"
    for key in (own, watched):
        _begun(client, size, key)
    manager = _begun(client, size, other)
    atomic = RedisAtomic(client)
    held: Any = atomic.read(own)
    text: Any = client.get(own)  # workbench: raw
    client.set(theirs, json.dumps(held.document), ex=TTL_S)  # workbench: raw

    def bare() -> None:
        client.set("bare", text, ex=TTL_S)

    def update(plain: bool) -> None:
        nonlocal held
        held = atomic.update(own, incremented, ttl_s=TTL_S, snapshot=held, plain=plain)

    def update_state() -> None:
        manager.update_state({"action": {"id": "1"}})

    # The bare command comes after one of ours each time: right after itself it would find all warm.
    ours = _in_turn(
        {
            "bare": bare,
            "update": lambda: update(plain=True),
            "again": bare,
            "update guarded": lambda: update(plain=False),
            "third": bare,
            "update_state": update_state,
        },
        each=each,
    )
    ways = {"watch": PATTERNS["watch"](client, watched)} | {
        name: PATTERNS[name](client, theirs) for name in ("origin", "read within WATCH", "Lock")
    }
    others = _in_turn({"bare": bare, **ways}, each=each)
    client.delete(own, other, theirs, watched, "bare")  # workbench: raw
    found = [
        ratio(
            f"{name.replace(' ', '_').lower()}_p50_ratio_{size}",
            f"{title}, p50 ÷ SET EX, {size / 1000:g} KB",
            (ours | others)[name],
            (ours if name in ours else others)["bare"],
            must=must,
            goal=goal,
        )
        for name, title, must, goal in (
            ("update", "RedisAtomic.update, held snapshot, plain", "<=1.35", "<=1.15"),
            ("update guarded", "RedisAtomic.update, held snapshot", "<=1.35", "<=1.15"),
            ("update_state", "StateManager.update_state", "<=1.75", "<=1.35"),
            ("watch", "RedisAtomic.update by WATCH", None, None),
            ("origin", "the documented pattern", None, None),
            ("read within WATCH", "WATCH with the read inside", None, None),
            ("Lock", "redis-py's Lock", None, None),
        )
    ]
    control = ratio("control", "", ours["again"], ours["bare"])
    assert control.value is not None, "it was measured"
    return found, abs(control.value - 1) > 0.05


def _server_time(client: Redis) -> Figure:
    """By the server's own account, of updates one after another."""
    _begun(client, 2600)
    atomic = RedisAtomic(client)
    held: Any = atomic.read(_KEY)
    rounds = []
    for _ in range(_ROUNDS):
        client.config_resetstat()
        for _ in range(200):
            held = atomic.update(_KEY, incremented, ttl_s=TTL_S, snapshot=held, plain=True)
        stats: Any = client.info("commandstats")
        rounds.append(stats["cmdstat_fcall"]["usec_per_call"])
    return count(
        "server_us_update_2600",
        f"server time of an update, 2.6 KB, median of {_ROUNDS} rounds",
        statistics.median(rounds),
        n=_ROUNDS * 200,
        unit="µs",
        must="<=15",
        goal="<=10",
    )


def _in_turn(steps: dict[str, Callable[[], object]], *, each: int) -> dict[str, list[list[float]]]:
    """Times by rounds, µs: one step after the other, so that what disturbs one disturbs all."""
    rounds: dict[str, list[list[float]]] = {name: [] for name in steps}
    for number in range(_ROUNDS + 1):
        taken: dict[str, list[float]] = {name: [] for name in steps}
        for _ in range(each):
            for name, step in steps.items():
                taken[name].append(_timed(step))
        if number:  # the first warms up
            for name in steps:
                rounds[name].append(taken[name])
    return rounds


def _codec() -> list[Figure]:
    parts = document_of(2600)
    document = {**documents.new_document("whatsapp", "1", datetime.now(UTC)), **parts}
    text = documents.encode(document)

    def once() -> None:
        documents.joined(documents.encode_parts(documents.decode(text, foreign=False), exact=True))

    def plain() -> None:
        json.dumps(json.loads(text), separators=(",", ":"))

    def timed(step: Callable[[], None]) -> float:
        begun_ns = time.perf_counter_ns()
        for _ in range(200):
            step()
        return (time.perf_counter_ns() - begun_ns) / 200 / 1000

    rounds = [(timed(once), timed(plain)) for _ in range(30)]
    return [
        count(
            "codec_us_2600",
            "decode, validate and encode, 2.6 KB, best of 30 rounds",
            min(own for own, _ in rounds),
            n=30 * 200,
            unit="µs",
            must="<=10",
            goal="<=6",
        ),
        ratio_of_rounds(
            "codec_ratio_json_2600",
            "the same ÷ json.loads and json.dumps, which validate nothing",
            [own / other for own, other in rounds],
            n=30 * 200,
            must="<=0.32",  # 10 µs on the machine where json takes 31
        ),
    ]


def _memory(client: Redis) -> Figure:
    shares = []
    for number in range(64):
        key = f"channel:2637700{number:05}"
        manager = _begun(client, 2600 + 16 * number, key)
        document = manager.atomic_state.atomic_get(key)
        bare = f"bare:77:2637700{number:05}"  # as long a name
        client.set(bare, documents.encode(document or {}), ex=TTL_S)
        shares.append((client.memory_usage(key) or 0) / (client.memory_usage(bare) or 1))
        client.delete(key, bare)  # workbench: raw
    return ratio_of_rounds(
        "memory_ratio", "memory of a session ÷ SET EX of its JSON", shares, must="<=1.15"
    )


_TURNS: Final[Sequence[dict[str, Any]]] = (
    {"flow": ("login", "Greeting", {})},
    {"flow": ("login", "LoginApiCall", {}), "parts": {"auth": {"token": "t" * 230}}},
    {"flow": ("account", "AccountDashboard", {}), "parts": document_of(2600)},
    {"flow": ("offer_secured", "AmountInput", {})},
    {"flow": ("offer_secured", "HandleInput", {"amount": "10", "denom": "USD"})},
    {"flow": ("offer_secured", "ConfirmOfferSecured", {"handle": "some_member"})},
    {
        "flow": ("offer_secured", "CreateCredexApiCall", {"confirmed": True}),
        "parts": {"action": {"id": "1" * 36, "type": "CREDEX_CREATED"}},
    },
    {"flow": ("account", "AccountDashboard", {}), "parts": document_of(2600)},
)
"""The turns of a conversation, from the login to an offer."""


def _aof(client: Redis) -> list[Figure]:
    """What the AOF takes: the whole document each turn, or one field of a hash for each part."""
    changed = 0
    before: dict[str, Any] = {}
    client.delete(_KEY, "hash:bench")  # workbench: raw
    manager = StateManager(_KEY, client, ttl_s=TTL_S)
    manager.initialize_channel("whatsapp", "1")
    documents_of_turns = []
    begun = _aof_bytes(client)
    for number, turn in enumerate(_TURNS):
        with manager.message(f"message {number}") as work:
            if "parts" in turn:
                work.update_state(turn["parts"])
            work.update_flow_state(*turn["flow"])
        documents_of_turns.append(manager.atomic_state.atomic_get(_KEY) or {})
    ours = _aof_bytes(client) - begun
    begun = _aof_bytes(client)
    for document in documents_of_turns:
        parts = {
            name: json.dumps(part, separators=(",", ":"))
            for name, part in document.items()
            if before.get(name) != part
        }
        changed += sum(len(name) + len(text) for name, text in parts.items())
        with client.pipeline() as pipe:
            pipe.hset("hash:bench", mapping=parts)  # type: ignore[arg-type]
            pipe.expire("hash:bench", TTL_S)
            pipe.execute()
        before = document
    hashed = _aof_bytes(client) - begun
    client.delete(_KEY, "hash:bench")  # workbench: raw
    turns = len(_TURNS)
    return [
        count(
            "aof_bytes_ratio",
            "AOF bytes of a turn ÷ bytes of the parts that changed",
            ours / changed,
            n=turns,
            unit="ratio",
        ),
        count(
            "aof_bytes_ratio_hash",
            "the same, for a hash with one field a part",
            hashed / changed,
            n=turns,
            unit="ratio",
        ),
    ]


def _aof_bytes(client: Redis) -> int:
    """What the server has put into its AOF, and what is still to be."""
    info: Any = client.info("persistence")
    return int(info["aof_current_size"]) + int(info.get("aof_buffer_length", 0))


class _Lossy(redis.Connection):
    """Loses some replies, after they came: the server has done its work."""

    replies = 0

    def read_response(self, *arguments: Any, **named: Any) -> Any:
        reply = super().read_response(*arguments, **named)
        kind = type(self)
        kind.replies += 1
        if kind.replies % round(1 / _LOSS_SHARE) == 0:
            self.disconnect()  # type: ignore[no-untyped-call]
            raise redis.ConnectionError("lost")
        return reply


def _double_applied(url: str, updates: int) -> Figure:
    """Each update adds one; more than were made were applied twice, fewer are missing."""
    pool: Any = redis.ConnectionPool.from_url(
        url, connection_class=_Lossy, decode_responses=True, retry=Retry(NoBackoff(), 0)
    )
    patient = RetryPolicy(
        transport_deadline_s=60, transport_pause_s=(0.0001, 0.001), conflict_deadline_s=60
    )
    with connect(url, timeout_s=30) as sound, redis.Redis(connection_pool=pool) as lossy:
        _begun(sound, 2600)
        held = None
        for _ in range(updates):
            held = RedisAtomic(lossy, retry=patient).update(
                _KEY, incremented, ttl_s=TTL_S, snapshot=held
            )
        found = RedisAtomic(sound).read(_KEY)
        n = found.document["action"]["n"] if found else 0
        sound.delete(_KEY)  # workbench: raw
    return count(
        "double_applied",
        f"applied twice or missing, one reply in {round(1 / _LOSS_SHARE)} lost",
        abs(n - updates),
        n=updates,
        must="0",
    )


def _contention(url: str, *, quick: bool) -> list[Figure]:
    seconds, rounds = (1.0, 3) if quick else (3.0, 10)
    names = ("function", "read within WATCH", "watch", "origin", "Lock")
    results: dict[str, list[Any]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            results[name].append(contend(url, name, writers=16, seconds=seconds))
    ours, theirs = results["function"], results["read within WATCH"]
    kept = [a.rate_per_s / b.rate_per_s for a, b in zip(ours, theirs, strict=True)]
    found = [
        ratio_of_rounds(
            "throughput_16_writers_ratio",
            "16 writers on one conversation, throughput ÷ WATCH without a pause",
            kept,
            must=">=4",
            goal=">=8",
        )
    ]
    wanted = 20_000 if quick else 2_000_000
    written = lost = 0
    for each in [*ours, *results["watch"]]:
        written, lost = written + each.acknowledged, lost + each.lost
    while written < wanted:
        more = contend(url, "function", writers=16, seconds=seconds if quick else 60)
        written, lost = written + more.acknowledged, lost + more.lost
    found.append(count("lost_updates", "lost updates, 16 writers", lost, n=written, must="0"))
    for name in ("origin", "Lock", "read within WATCH", "watch"):
        acknowledged = sum(each.acknowledged for each in results[name])
        share = sum(each.lost for each in results[name]) / max(1, acknowledged)
        slug = name.replace(" ", "_").lower()
        found.append(
            count(
                f"lost_share_{slug}",
                f"lost of what was acknowledged, 16 writers, {name}",
                share,
                n=acknowledged,
                unit="share",
            )
        )
    return found


BENCHES.add("state", Bench(measure, takes="about ten minutes"))
