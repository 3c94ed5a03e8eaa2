"""
Export: one look at a server after another, for a monitoring system; and Prometheus's side of it.

A look is INFO and CONFIG GET of two settings, and with ``keys`` a bounded SCAN; it writes nothing.
Each scrape of Prometheus takes a look of its own. CloudWatch's side is in ``cloudwatch.py``.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from prometheus_client import CollectorRegistry, generate_latest, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector
from redis.exceptions import BusyLoadingError, ConnectionError, RedisError, TimeoutError

from workbench.errors import UsageError
from workbench.runs.snapshot import KeysOfPrefix
from workbench.state import redact
from workbench.telemetry.host import container_limit_bytes, disk_free_bytes, process_of_server
from workbench.telemetry.metrics import METRICS, Reading, Sample, samples
from workbench.telemetry.onlooker import onlooker
from workbench.telemetry.snapshot import KEY_COMMANDS, sampled_keys

__all__ = [
    "ACL_LINE",
    "ACL_LINE_KEYS",
    "FlowCollector",
    "Increases",
    "Observer",
    "exposition",
    "serve_prometheus",
]

ACL_LINE: Final = (
    "ACL SETUSER exporter on >changeme resetkeys resetchannels -@all +ping +info +config|get"
)
"""The least that the exporter's user must be allowed."""

ACL_LINE_KEYS: Final = f"{ACL_LINE} %R~* {' '.join(f'+{each}' for each in KEY_COMMANDS)}"
"""The same, where keys are sampled as well."""

_SETTINGS: Final = ("appendfsync", "dir")

Say = Callable[[str], None]


class Observer:
    """
    Takes looks at one server. Its methods may be called by several threads.

    Args:
        url: of the server.
        keys: how many keys each look samples, at most; 0 for none.
        limit_bytes: memory of the server's container; as the server's host shows if None, if the
            server runs on this one.
        say: where it is said that the server stopped answering, or refuses a part of a look.
    """

    def __init__(
        self, url: str, *, say: Say, keys: int = 0, limit_bytes: int | None = None
    ) -> None:
        self._client = onlooker(url, timeout_s=2.0, max_connections=1)
        self._say = say
        self._keys = keys
        self._limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self._answered = True
        self._refused: set[str] = set()
        self.unsent: int | None = None

    def read(self) -> Reading:
        """One look; of a server that does not answer, that it does not."""
        with self._lock:
            began_s = time.perf_counter()
            try:
                reading = self._look(began_s)
            except RedisError as error:
                self._tell(f"the server does not answer: {redact(str(error))}", answered=False)
                duration_s = time.perf_counter() - began_s
                return Reading(info=None, duration_s=duration_s, unsent=self.unsent)
            self._tell("the server answers again", answered=True)
            return reading

    def close(self) -> None:
        """Close its connection."""
        self._client.close()

    def _tell(self, text: str, *, answered: bool) -> None:
        if answered != self._answered:
            self._answered = answered
            self._say(text)

    def _look(self, began_s: float) -> Reading:
        info: dict[str, Any] = self._client.info("everything")
        config: Mapping[str, str] = self._asked(
            "CONFIG GET", lambda: self._client.config_get(*_SETTINGS), {}
        )
        process = process_of_server(self._client.connection_pool, info)
        limit_bytes = self._limit_bytes
        if limit_bytes is None and process:
            limit_bytes = container_limit_bytes(process)
        folder = config.get("dir", "")
        here = bool(process and folder and Path(folder).is_dir())
        return Reading(
            info=info,
            config=config,
            limit_bytes=limit_bytes,
            disk_free_bytes=disk_free_bytes(Path(folder)) if here else None,
            keys=self._sample(),
            duration_s=time.perf_counter() - began_s,
            unsent=self.unsent,
        )

    def _sample(self) -> dict[str, KeysOfPrefix] | None:
        if not self._keys:
            return None
        found: dict[str, KeysOfPrefix] | None = None
        with suppress(BusyLoadingError):
            found = self._asked("SCAN", lambda: sampled_keys(self._client, self._keys), None)
        return found

    def _asked(self, name: str, ask: Callable[[], Any], otherwise: Any) -> Any:
        """What is answered. What was refused is not asked again: each try counts as an error."""
        if name in self._refused:
            return otherwise
        try:
            return ask()
        except (ConnectionError, TimeoutError):
            raise
        except RedisError as error:
            self._refused.add(name)
            self._say(f"{name} is refused, and left out: {redact(str(error))}")
            return otherwise


class FlowCollector(Collector):
    """
    What Prometheus is told: a look for each scrape.

    Args:
        observer: takes the looks.
        by_command: also the metrics that have a figure for each command.
    """

    def __init__(self, observer: Observer, *, by_command: bool = True) -> None:
        self._observer = observer
        self._by_command = by_command

    def describe(self) -> list[Family]:
        """Nothing: else the registry would take a look to learn the names."""
        return []

    def collect(self) -> Iterator[Family]:
        """The figures of one look, by metric."""
        by_name: dict[str, list[Sample]] = {}
        for sample in samples(self._observer.read()):
            if self._by_command or "command" not in sample.metric.labels:
                by_name.setdefault(sample.metric.name, []).append(sample)
        for name, found in by_name.items():
            metric = METRICS[name]
            kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
            family = kind(name.removesuffix("_total"), metric.means, labels=metric.labels)
            for sample in found:
                family.add_metric(sample.labels, sample.value)
            yield family


def exposition(observer: Observer, *, by_command: bool = True) -> str:
    """One look in Prometheus's text format, as for node_exporter's textfile collector."""
    registry = CollectorRegistry()
    registry.register(FlowCollector(observer, by_command=by_command))
    return generate_latest(registry).decode()


@contextmanager
def serve_prometheus(
    observer: Observer, host: str, port: int, *, by_command: bool = True
) -> Iterator[str]:
    """
    Answer scrapes, as long as the body lasts; the address that they go to.

    Raises:
        UsageError: nobody may listen there.
    """
    registry = CollectorRegistry()
    registry.register(FlowCollector(observer, by_command=by_command))
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise UsageError(
            f"--listen {host}:{port}: {error.strerror}; name another address or port"
        ) from None
    try:
        shown = f"[{host}]" if ":" in host else host
        yield f"http://{shown}:{server.server_port}/metrics"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)


class Increases:
    """
    By how much counters grew from one look to the next, for systems that take no raw counters.

    After a restart a counter has grown from 0, as Prometheus takes it. What came up since the look
    before has as well: INFO names a command or an error only once it was seen.
    """

    def __init__(self) -> None:
        self._before: dict[tuple[str, tuple[str, ...]], float] | None = None
        self._now: dict[tuple[str, tuple[str, ...]], float] | None = None
        self._life = self._life_now = ""

    def since_taken(self, reading: Reading) -> list[Sample]:
        """
        The figures of a look; of counters their growth since the look that was taken last.

        Without one there are none of counters.
        """
        found = []
        now = dict(self._before or {})
        life = reading.word("run_id") or self._life  # while it does not answer, what it was
        for sample in samples(reading):
            if sample.metric.kind == "gauge":
                found.append(sample)
                continue
            key = (sample.metric.name, sample.labels)
            now[key] = sample.value
            if self._before is not None:
                again = life != self._life and not sample.metric.of_exporter
                before = 0.0 if again else self._before.get(key, 0.0)
                grown = sample.value - before if sample.value >= before else sample.value
                found.append(Sample(sample.metric, sample.labels, grown))
        if self._before is not None or reading.info is not None:
            self._now, self._life_now = now, life
        return found

    def taken(self) -> None:
        """What was told last has arrived: the next look tells of what came after it."""
        self._before, self._life = self._now, self._life_now
