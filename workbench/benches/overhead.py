"""What looking costs the server: the sampler at 1 Hz, a whole snapshot, and each command of it."""

import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from redis import Redis

from workbench.benches.figure import BENCHES, Bench, Figure, Report, count
from workbench.telemetry.onlooker import onlooker
from workbench.telemetry.sampler import Sampler
from workbench.telemetry.snapshot import take_snapshot
from workbench.units import MIB

if TYPE_CHECKING:
    from workbench.server.process import PrivateServer

__all__ = ["measure"]

_CONNECTIONS: Final = 500
_KEYS: Final = 12_000
_KEYS_LOOKED_AT: Final = 1000
_TURNS_PER_S: Final = 200
_MUST: Final = ("<=10000", "<=2000")
_OF_THE_LOAD: Final = frozenset({"get", "set"})


def measure(
    server: "PrivateServer", *, quick: bool, say: Callable[[str], None] = lambda _: None
) -> Report:
    """By the server's own account of its time, with 500 connections and 12,000 keys."""
    seconds, snapshots = (6.0, 10) if quick else (30.0, 50)
    with server.client() as client, closing(onlooker(server.url, timeout_s=5.0)) as ours:
        client.config_set("maxmemory", str(256 * MIB))
        with client.pipeline(transaction=False) as pipe:
            for number in range(_KEYS):
                pipe.set(f"channel:{number}", "x" * 1000, ex=3600)  # workbench: raw
            pipe.execute()
        with _connections(server.url), _light_load(server.url):
            say(f"the sampler at 1 Hz, for {seconds:g} s")
            figures = [*_sampler(server.url, client, seconds)]
            say(f"{snapshots} snapshots")
            figures += _snapshots(ours, client, snapshots)
    return Report("overhead", False, figures, server.binary.label)


def _sampler(url: str, client: Redis, seconds: float) -> Iterator[Figure]:
    over = threading.Event()
    with (
        TemporaryDirectory(prefix="workbench-overhead-") as folder,
        closing(onlooker(url, timeout_s=5.0, max_connections=1)) as ours,
    ):
        sampler = Sampler(ours, Path(folder), interval_s=1.0)
        thread = threading.Thread(target=sampler.run, args=(over.wait,))
        before = _usec(client)
        began_s = time.monotonic()
        thread.start()
        time.sleep(seconds)
        over.set()
        thread.join()
        lasted_s = time.monotonic() - began_s
        spent = _spent(before, _usec(client))
    samples = round(lasted_s) + 1
    total = sum(us for us, _ in spent.values())
    must, goal = _MUST
    yield count(
        "sampler_us_per_s",
        f"server time of a look of {lasted_s:.0f} s at 1 Hz, with its two snapshots, by the second",
        total / lasted_s,
        n=samples,
        unit="µs",
        must=must,
        goal=goal,
    )
    us, calls = spent["info"]
    yield count(
        "sample_us",
        "server time of one sample: INFO",
        us / calls,
        n=calls,
        unit="µs",
        must=must,
        goal=goal,
    )


def _snapshots(ours: Redis, client: Redis, number: int) -> Iterator[Figure]:
    for figure_id, title, keys in (
        ("snapshot_us", f"server time of a whole snapshot, {_CONNECTIONS} connections", 0),
        (
            "snapshot_keys_us",
            f"the same with {_KEYS_LOOKED_AT} keys looked at, which doctor --keys does once",
            _KEYS_LOOKED_AT,
        ),
    ):
        before = _usec(client)
        for _ in range(number):
            take_snapshot(ours, keys=keys)
        spent = _spent(before, _usec(client))
        must, goal = _MUST if not keys else (None, None)
        total = sum(us for us, _ in spent.values())
        yield count(figure_id, title, total / number, n=number, unit="µs", must=must, goal=goal)
        if keys:
            continue
        for name, (us, calls) in sorted(spent.items(), key=lambda each: -each[1][0]):
            slug = name.replace("|", "_")
            of_that = f"of that, {name.replace('|', ' ').upper()}"
            yield count(f"snapshot_us_{slug}", of_that, us / number, n=calls, unit="µs")


def _usec(client: Redis) -> dict[str, tuple[int, int]]:
    """Microseconds and calls of every command but the load's."""
    stats: Mapping[str, Any] = client.info("commandstats")
    found = {
        name.removeprefix("cmdstat_"): (each["usec"], each["calls"]) for name, each in stats.items()
    }
    return {name: each for name, each in found.items() if name not in _OF_THE_LOAD}


def _spent(
    before: Mapping[str, tuple[int, int]], after: Mapping[str, tuple[int, int]]
) -> dict[str, tuple[int, int]]:
    spent = {
        name: (us - before.get(name, (0, 0))[0], calls - before.get(name, (0, 0))[1])
        for name, (us, calls) in after.items()
    }
    return {name: each for name, each in spent.items() if each[1]}


@contextmanager
def _connections(url: str) -> Iterator[None]:
    """Hundreds of them, each of which has said something."""
    parts = urlsplit(url)
    with ExitStack() as stack:
        for _ in range(_CONNECTIONS):
            made = socket.create_connection((str(parts.hostname), parts.port or 0), timeout=5)
            stack.enter_context(made)
            made.sendall(b"GET channel:1\r\n")
            made.recv(2000)
        yield


@contextmanager
def _light_load(url: str) -> Iterator[None]:
    """Turns of conversations, some hundred a second, by one client."""
    over = threading.Event()

    def run() -> None:
        number = 0
        with closing(onlooker(url, timeout_s=5.0)) as client:
            while not over.wait(1 / _TURNS_PER_S):
                name = f"channel:{number % _KEYS}"
                client.get(name)  # workbench: raw
                client.set(name, "x" * 1000, ex=3600)  # workbench: raw
                number += 7

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


BENCHES.add("overhead", Bench(measure, takes="half a minute"))
