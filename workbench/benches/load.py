"""
What the load's drivers cost the generator, beside what one meets elsewhere, and what it can hold.

The generator is a process of its own, ``loadtests.bench``, since Locust replaces a process's
sockets; this asks it for one way to update after the other, in rounds.
"""

import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import urlsplit

from workbench.benches.figure import (
    BENCHES,
    Bench,
    Figure,
    Report,
    count,
    not_measured,
    of_rounds,
    ratio_of_rounds,
)
from workbench.benches.stalls import Stalled, stalled_load
from workbench.checkout import loadtests_dir
from workbench.server.process import PrivateServer, die_with_parent
from workbench.server.profiles import profile
from workbench.units import format_duration

__all__ = ["figure_of_stalls", "measure"]

_WAYS: Final = ("naive", "reference", "held", "fast")
_JUDGED_BYTES: Final = 2600
_SIZES: Final = (_JUDGED_BYTES, 1000)
_ALIVE: Final = (200_000, 100_000, 50_000)
_ALIVE_BYTES_MAX: Final = 2 * 1024**3
_EXTERNAL_S: Final = 120.0
_VALUE_BYTES: Final = 1000
_WAITING_MAX: Final = 1.5

_BOUNDS: Final[dict[str, tuple[str | None, str | None]]] = {
    "reference": (">=3", ">=5"),
    "held": (None, None),
    "fast": (">=6", ">=10"),
}
_TITLES: Final = {
    "naive": "naive",
    "reference": "reference",
    "held": "the state manager over redis-py from a snapshot in hand",
    "fast": "fast",
}


def measure(
    server: PrivateServer, *, quick: bool, say: Callable[[str], None] = lambda _: None
) -> Report:
    """
    Measure on a private server.

    An update reads and writes one conversation. Its cost is processor time of the generator's
    process with 50 users at work, each a greenlet that tells Locust's request event of each update;
    Locust's own loop of tasks is left out. Conversations of 2.6 KB, as they are after a login, are
    judged, those of 1 KB only reported.

    Args:
        server: ours, and empty.
        quick: fewer rounds, same figures.
        say: told what is measured next.
    """
    rounds, seconds, warm_up_s = (3, 0.4, 0.2) if quick else (12, 1.5, 0.4)
    figures: list[Figure] = []
    tools = _Tools(server.url, requests=5_000 if quick else 50_000)
    with _generator(server.url) as ask:
        for size_bytes in _SIZES:
            say(f"updates at {size_bytes / 1000:g} KB")
            costs: dict[str, list[float]] = {way: [] for way in (*_WAYS, "again")}
            for _ in range(rounds):
                # The control is the naive way once more, after the others.
                for way, each in costs.items():
                    used = ask(
                        way=_WAYS[0] if way == "again" else way,
                        size_bytes=size_bytes,
                        seconds=seconds,
                        warm_up_s=warm_up_s,
                    )
                    each.append(1e6 * used["cpu_s"] / used["updates"])
                if size_bytes != _JUDGED_BYTES:
                    tools.measure()
            figures += _of_costs(costs, size_bytes)
            figures.append(
                _lost([ask(way=way, size_bytes=size_bytes, seconds=0) for way in _WAYS], size_bytes)
            )
            if size_bytes == _JUDGED_BYTES:
                pairs = zip(costs["again"], costs[_WAYS[0]], strict=True)
                control = statistics.median(again / first for again, first in pairs)
    figures += tools.figures()
    say("recorder and memory")
    figures += [*_recorder(), *_alive(_ALIVE[-1:] if quick else _ALIVE)]
    say("p99 under stalls")
    figures.append(_stalls(server, rounds=1 if quick else 3))
    binary = server.binary
    return Report("load", abs(control - 1) > 0.05, figures, f"{binary.engine} {binary.version}")


def _lost(counted: Sequence[dict[str, float]], size_bytes: int) -> Figure:
    return count(
        f"lost_updates_{size_bytes}",
        f"updates that were acknowledged and are not there, {size_bytes / 1000:g} KB",
        sum(abs(each["updates"] - each["kept"]) for each in counted),
        n=round(sum(each["updates"] for each in counted)),
        must="0",
    )


def _of_costs(costs: dict[str, list[float]], size_bytes: int) -> list[Figure]:
    kilobytes = f"{size_bytes / 1000:g} KB"
    found = []
    for way, (must, goal) in _BOUNDS.items():
        judged = size_bytes == _JUDGED_BYTES
        found.append(
            ratio_of_rounds(
                f"{way}_ratio_naive_{size_bytes}",
                f"{_TITLES[way]} ÷ naive, updates a CPU-second of the generator, {kilobytes}",
                [a / b for a, b in zip(costs["naive"], costs[way], strict=True)],
                must=must if judged else None,
                goal=goal if judged else None,
            )
        )
    found += [
        of_rounds(
            f"{way}_updates_per_cpu_s_{size_bytes}",
            f"updates a CPU-second, {_TITLES[way]}, {kilobytes}",
            [1e6 / cost for cost in costs[way]],
            unit="1/s",
        )
        for way in _WAYS
    ]
    return found


@contextmanager
def _generator(url: str) -> Iterator[Callable[..., dict[str, float]]]:
    process = _started("drive", url=url)
    assert process.stdin is not None, "it was opened as a pipe"
    assert process.stdout is not None, "it was opened as a pipe"
    orders, answers = process.stdin, process.stdout

    def ask(**order: Any) -> dict[str, float]:
        return _asked(process, orders, answers, order)

    try:
        yield ask
    finally:
        orders.close()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _asked(
    process: "subprocess.Popen[str]", orders: IO[str], answers: IO[str], order: dict[str, Any]
) -> dict[str, float]:
    orders.write(json.dumps(order) + "\n")
    orders.flush()
    answer = answers.readline()
    if not answer:
        raise RuntimeError(f"the generator ended with {process.wait()}")
    used: dict[str, float] = json.loads(answer)
    return used


def _started(*words: str, url: str = "") -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "loadtests.bench", *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "REDIS_STATE_URL": url},
        cwd=loadtests_dir().parent,
        preexec_fn=die_with_parent(),  # noqa: PLW1509
    )


def _answer(*words: str) -> Any:
    process = _started(*words)
    said, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"loadtests.bench {' '.join(words)} ended with {process.returncode}")
    return json.loads(said)


def _recorder() -> list[Figure]:
    cost = _answer("recorder")
    rounds, rows = len(cost["append_us"]), cost["rows"]
    append_us, flush_us = min(cost["append_us"]), min(cost["flush_us"])
    return [
        count(
            "recorder_us",
            f"recording a turn: its row, and its share of a Parquet part; best of {rounds} rounds",
            append_us + flush_us,
            n=rounds * rows,
            unit="µs",
            must="<=3",
            goal="<=1",
        ),
        count(
            "recorder_append_us",
            "of that, before the turn's slot goes on",
            append_us,
            n=rounds * rows,
            unit="µs",
        ),
    ]


def _alive(numbers: Sequence[int]) -> list[Figure]:
    """The most conversations, of some numbers, that one process holds within 2 GiB."""
    for wanted in numbers:
        found = _answer("alive", str(wanted))
        if found["peak_bytes"] <= _ALIVE_BYTES_MAX and found["conversations"] >= wanted:
            break
    else:
        found["conversations"] = 0
    return [
        count(
            "conversations_alive",
            f"conversations alive at once in one process, within 2 GiB; tried: "
            f"{', '.join(f'{each:,}' for each in numbers)}",
            found["conversations"],
            n=1,
            must=">=50000",
            goal=">=200000",
        ),
        count(
            "conversations_alive_bytes",
            "peak memory of that process",
            found["peak_bytes"] / 1024**2,
            n=1,
            unit="MiB",
        ),
    ]


def _stalls(server: PrivateServer, *, rounds: int) -> Figure:
    """How far the p99 is from the truth when the server stands still twice."""
    found, waiting = [], 0.0
    for _ in range(rounds):
        # A server of its own: one that holds the keys of a bench is not loaded by Locust.
        with tempfile.TemporaryDirectory(prefix="workbench-bench-") as folder:
            run, data = Path(folder, "run"), Path(folder, "server")
            run.mkdir()
            with PrivateServer(profile("demo"), data, binary=server.binary) as own:
                found.append(stalled_load(own, run))
        waiting = max(waiting, os.getloadavg()[0] / (os.cpu_count() or 1))
    return figure_of_stalls(found, waiting=waiting)


def figure_of_stalls(rounds: Sequence[Stalled], *, waiting: float) -> Figure:
    """
    The middle one of some rounds, in percent of the truth.

    It does not hold beyond its bound only if generator and machine were free for it; else it cannot
    be told: a backlog is then worked off as slowly as the others on the machine allow.

    Args:
        rounds: an odd number.
        waiting: processes that ran or waited for it, a core, as the machine says: of an idle one
            about one.
    """
    middle = sorted(rounds, key=lambda each: each.error_share)[len(rounds) // 2]
    reported, truth = (format_duration(us / 1e6) for us in (middle.p99_us, middle.truth_us_p99))
    figure = count(
        "stall_p99_error",
        f"p99 error under the stalls: {reported} reported, {truth} by when turns were due and the "
        f"server stood still; median of {len(rounds)}",
        100 * middle.error_share,
        n=sum(len(each.measured) for each in rounds),
        unit="%",
        must="<=10",
        goal="<=3",
    )
    reasons = [reason for each in rounds for reason in each.validity().reasons]
    if waiting > _WAITING_MAX:
        reasons.append(f"{waiting:.1f} processes a core wanted to run: the machine was busy")
    if figure.holds or not reasons:
        return figure
    return replace(figure, holds=None, why="; ".join(reasons))


class _Tools:
    """SET and GET of 1 KB by tools that are written in C, which keep no conversation."""

    def __init__(self, url: str, *, requests: int) -> None:
        host, port = urlsplit(url).hostname or "127.0.0.1", str(urlsplit(url).port)
        benchmark = ["redis-benchmark", "-h", host, "-p", port, "-c", "50", "--csv"]
        benchmark += ["-d", str(_VALUE_BYTES), "-r", "1000", "-n", str(requests)]
        memtier = ["memtier_benchmark", "-s", host, "-p", port, "-t", "1", "-c", "50"]
        memtier += ["--ratio=1:1", "-d", str(_VALUE_BYTES), "-n", str(requests // 50)]
        # Its seed is fixed, and the same for all clients, unless it is told otherwise.
        memtier += ["--key-maximum=1000", "--distinct-client-seed", "--randomize"]
        self._requests = requests
        self._commands = {
            "redis_benchmark_set": ("SET by redis-benchmark", [*benchmark, "-t", "set"]),
            "redis_benchmark_get": ("GET by redis-benchmark", [*benchmark, "-t", "get"]),
            "memtier_set_get": ("SET and GET by memtier_benchmark", memtier),
        }
        self._rates: dict[str, list[float]] = {name: [] for name in self._commands}

    def measure(self) -> None:
        """One round of each that is installed."""
        for name, (_, command) in self._commands.items():
            if shutil.which(command[0]) is not None:
                self._rates[name].append(self._requests / _cpu_s_of(command))

    def figures(self) -> list[Figure]:
        """What the rounds gave."""
        found = []
        for name, (title, command) in self._commands.items():
            named = f"{name}_per_cpu_s", f"{title}, 50 clients, 1 KB, a CPU-second"
            if self._rates[name]:
                found.append(of_rounds(*named, self._rates[name], unit="1/s"))
            else:
                found.append(not_measured(*named, f"{command[0]} is not installed", "1/s"))
        return found


def _cpu_s_of(command: Sequence[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, capture_output=True, timeout=_EXTERNAL_S)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


BENCHES.add("load", Bench(measure, takes="about five minutes"))
