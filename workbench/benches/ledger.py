"""
What the ledger of evictions costs the server that it listens to.

A server at its cap is written to, so that each write evicts a key; with a ledger and without one,
in turns. The cost is processor time of the server, which one process has for itself: what it takes
away from a server that is busy is that share of its throughput.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pandas as pd
from redis import Redis

from workbench.benches.figure import BENCHES, Bench, Report, count, of_rounds, ratio_of_rounds
from workbench.checkout import loadtests_dir
from workbench.runs.clock import Clock
from workbench.server.process import PrivateServer, die_with_parent

__all__ = ["measure"]

_RATE_PER_S: Final = 1000
_VALUE: Final = b"v" * 1000
_AT_ONCE: Final = 100
_START_S: Final = 20.0


def measure(
    server: PrivateServer, *, quick: bool, say: Callable[[str], None] = lambda _: None
) -> Report:
    """
    Measure on a private server.

    Args:
        server: ours, and empty.
        quick: fewer rounds, same figures.
        say: told what is measured next.
    """
    rounds, seconds = (3, 1.5) if quick else (10, 5.0)
    paced: dict[str, list[float]] = {"without": [], "with": [], "again": []}
    unpaced: dict[str, list[float]] = {"without": [], "with": []}
    rates: list[float] = []
    windows: list[pd.DataFrame] = []
    with server.client() as client:
        writer = _Writer(client)
        writer.fill()
        say(f"{_RATE_PER_S:,} evictions a second")
        for _ in range(rounds):
            paced["without"].append(writer.paced(seconds)[0])
            with _ledger(server.url, windows):
                cpu_share, rate_per_s = writer.paced(seconds)
            paced["with"].append(cpu_share)
            rates.append(rate_per_s)
            # The control is the first once more, after the other.
            paced["again"].append(writer.paced(seconds)[0])
        say("as many as go")
        for _ in range(rounds):
            unpaced["without"].append(writer.unpaced(seconds))
            with _ledger(server.url, windows):
                unpaced["with"].append(writer.unpaced(seconds))
    pairs = list(zip(paced["with"], paced["without"], strict=True))
    table = pd.concat(windows)
    seen, counted = int(table["evicted_seen"].sum()), int(table["evicted_keys"].sum())
    figures = [
        ratio_of_rounds(
            "ledger_server_share",
            f"of the server's core, what a ledger takes at {_RATE_PER_S:,} evictions a second",
            [a - b for a, b in pairs],
            must="<=0.1",
            goal="<=0.05",
        ),
        of_rounds(
            "ledger_server_share_without",
            "of its core, what the server takes for the same writes without a ledger",
            paced["without"],
            unit="share",
        ),
        of_rounds(
            "ledger_server_ratio",
            "processor time of the server, with ÷ without, at that rate",
            [a / b for a, b in pairs],
            unit="ratio",
        ),
        of_rounds("ledger_evictions_per_s", "evictions a second, paced", rates, unit="1/s"),
        of_rounds(
            "ledger_unpaced_ratio",
            "writes a second, with ÷ without, as many as go, where ledger, writer and server share "
            "the machine's cores",
            [a / b for a, b in zip(unpaced["with"], unpaced["without"], strict=True)],
            unit="ratio",
        ),
        of_rounds(
            "ledger_unpaced_writes_per_s",
            "of these, without a ledger",
            unpaced["without"],
            unit="1/s",
        ),
        count(
            "ledger_reconciled_share",
            f"of the evictions that the server counted, those that the ledger has: {seen:,}",
            seen / counted,
            n=counted,
            unit="share",
            must="1",
        ),
        count(
            "ledger_windows_complete_share",
            "of the ledger's windows, those in which both agree",
            float(table["complete"].mean()),
            n=len(table),
            unit="share",
            must="1",
        ),
    ]
    control = statistics.median(
        a / b for a, b in zip(paced["again"], paced["without"], strict=True)
    )
    binary = server.binary
    return Report("ledger", abs(control - 1) > 0.05, figures, f"{binary.engine} {binary.version}")


class _Writer:
    """Writes new keys, of which each evicts another once the cap is reached."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._next = 0

    def fill(self) -> None:
        """Until keys are evicted."""
        while not self._evicted():
            self._write(_AT_ONCE)

    def paced(self, seconds: float) -> tuple[float, float]:
        """One write at a time; the share of a core that the server took, and its evictions a s."""
        begun_s, cpu_s, evicted = time.monotonic(), self._cpu_s(), self._evicted()
        for index in range(round(seconds * _RATE_PER_S)):
            time.sleep(max(0.0, begun_s + index / _RATE_PER_S - time.monotonic()))
            self._client.set(self._key(), _VALUE, ex=300)  # workbench: raw
        took_s = time.monotonic() - begun_s
        return (self._cpu_s() - cpu_s) / took_s, (self._evicted() - evicted) / took_s

    def unpaced(self, seconds: float) -> float:
        """Pipelines without a pause; writes a second."""
        begun_s, written = time.monotonic(), 0
        while time.monotonic() < begun_s + seconds:
            self._write(_AT_ONCE)
            written += _AT_ONCE
        return written / (time.monotonic() - begun_s)

    def _write(self, number: int) -> None:
        pipe: Any = self._client.pipeline(transaction=False)
        for _ in range(number):
            pipe.set(self._key(), _VALUE, ex=300)  # workbench: raw
        pipe.execute()

    def _key(self) -> str:
        self._next += 1
        return f"bench:{self._next}"

    def _cpu_s(self) -> float:
        info: dict[str, Any] = self._client.info("cpu")
        return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])

    def _evicted(self) -> int:
        return int(self._client.info("stats")["evicted_keys"])


@contextmanager
def _ledger(url: str, windows: list[pd.DataFrame]) -> Iterator[None]:
    """A ledger that listens; its windows are added at its end."""
    with tempfile.TemporaryDirectory(prefix="workbench-bench-") as folder:
        process = subprocess.Popen(
            [sys.executable, "-m", "workbench.telemetry.evictions"],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=loadtests_dir().parent,
            preexec_fn=die_with_parent(),  # noqa: PLW1509
        )
        assert process.stdin is not None, "it was opened as a pipe"
        try:
            orders = {"url": url, "run_dir": folder, "clock_offset_s": Clock().offset_s}
            process.stdin.write(json.dumps(orders) + "\n")
            process.stdin.flush()
            deadline_s = time.monotonic() + _START_S
            while not any(Path(folder, "events").glob("part-*")):
                if process.poll() is not None or time.monotonic() > deadline_s:
                    raise RuntimeError("the ledger did not start")
                time.sleep(0.02)
            yield
        finally:
            process.stdin.close()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        windows += [
            pd.read_parquet(part) for part in Path(folder, "eviction_windows").glob("part-*")
        ]


BENCHES.add("ledger", Bench(measure, takes="about five minutes"))
