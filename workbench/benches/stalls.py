"""
Stalls: a load on a server that stands still twice, and what its p99 must be for that.

The truth follows from when the turns were due, the stalls, and how fast the backlog was worked off.
``tests/loadtests/test_stalls.py`` holds the figures against it; ``workbench bench load`` reports
how far they are from it.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from workbench.analysis.latency import percentiles_us
from workbench.analysis.validity import Validity, validity
from workbench.checkout import loadtests_dir
from workbench.runs.schema import TABLES
from workbench.server.process import PrivateServer, die_with_parent

__all__ = ["MEASURE_S", "TURNS_PER_S", "Stalled", "stall", "stalled_load"]

TURNS_PER_S: Final = 100
"""Low, since the turns of a stall come back at once, and what then comes due waits for them."""

MEASURE_S: Final = 12.0
"""How long is measured, s."""

_STALL_S: Final = 0.95  # a moment less than the second that a client waits for a reply
_STALLS_AFTER_S: Final = (5.0, 9.0)
_SLOTS: Final = 200
_START_S: Final = 30.0
_END_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Stalled:
    """
    What a load recorded whose server stood still.

    Attributes:
        measured: its turns of the measured phase; ``elapsed_s`` (s) counts from its start.
        seconds: the seconds of the generator, likewise.
        stalls: from when to when the server stood still, likewise.
    """

    measured: pd.DataFrame
    seconds: pd.DataFrame
    stalls: Sequence[tuple[float, float]]

    @property
    def p99_us(self) -> float:
        """The p99 of the response, as it is reported, µs."""
        return percentiles_us(self.measured)["p99"]

    @property
    def truth_us_p99(self) -> float:
        """The p99 of what people waited, µs."""
        return float(np.quantile(self.truth_us(), 0.99, method="inverted_cdf"))

    @property
    def error_share(self) -> float:
        """By which share of the truth the reported p99 lies beside it."""
        return abs(self.p99_us / self.truth_us_p99 - 1)

    def truth_us(self) -> np.ndarray:
        """
        What people waited, µs, turn by turn; 0 of who came in no stall.

        Who came in one waited until its end and until the backlog was worked off. How fast that
        goes, the seconds without a stall tell: a turn costs the generator so much of its core. It
        is worked off in two rounds, a reply to each read and then to each write.
        """
        calm = self.seconds[
            [
                all(not start - 1 < end < stop + 2 for start, stop in self.stalls)
                for end in self.seconds["elapsed_s"]
            ]
        ]
        turn_s = float(calm["cpu_share"].sum() / calm["turns_completed"].sum())
        due_s = self.measured["elapsed_s"].to_numpy()
        waited_s = np.zeros(len(due_s))
        for start_s, stop_s in self.stalls:
            hit = (due_s >= start_s) & (due_s < stop_s)
            order = due_s[hit].argsort().argsort()
            waited_s[hit] = stop_s - due_s[hit] + turn_s * (hit.sum() + order) / 2
        return 1e6 * waited_s

    def validity(self) -> Validity:
        """Whether the generator kept up, as of any run; nothing sampled the server."""
        polls = pd.DataFrame({"elapsed_s": np.arange(0, MEASURE_S + 1)})
        none = TABLES["events"].arrow.empty_table().to_pandas().assign(elapsed_s=[])
        return validity(self.measured, self.seconds, polls, none, measured_s=MEASURE_S)


def stall(server: PrivateServer, *at_unix_s: float) -> list[tuple[float, float]]:
    """
    Stop the server's process at these times, unix s, and have it go on 0.95 s later.

    Returns:
        from when to when it stood still, unix s.
    """
    stood = []
    for at_s in at_unix_s:
        time.sleep(max(0.0, at_s - time.time()))
        start_s = time.time()
        os.kill(server.pid, signal.SIGSTOP)
        try:
            time.sleep(_STALL_S)
        finally:
            os.kill(server.pid, signal.SIGCONT)
        stood.append((start_s, time.time()))
    return stood


def stalled_load(server: PrivateServer, folder: Path) -> Stalled:
    """
    Load a server for 12 s, by Locust and the reference driver, and stop it twice meanwhile.

    Args:
        server: ours, empty and with memory enough.
        folder: where the load records; it is there, and empty.

    Raises:
        RuntimeError: the load did not start, or broke off; the message ends with what it said.
    """
    words = [sys.executable, "-m", "locust", "-f", str(loadtests_dir() / "steady.py")]
    words += ["--headless", "--only-summary", "-u", str(_SLOTS), "-r", str(_SLOTS)]
    words += ["--rate", str(TURNS_PER_S), "--measure-s", str(MEASURE_S), "--away-share", "0"]
    words += ["--run-dir", str(folder), "--exit-code-on-error", "0"]
    with (folder / "locust.log").open("w+") as log:
        process = subprocess.Popen(
            words,
            cwd=loadtests_dir().parent,
            env={**os.environ, "REDIS_STATE_URL": server.url},
            stdout=log,
            stderr=subprocess.STDOUT,
            preexec_fn=die_with_parent(),  # noqa: PLW1509
        )
        try:
            _wait_for_origin(process, folder)
            now_s = time.time()
            stood = stall(server, *(now_s + after_s for after_s in _STALLS_AFTER_S))
            code = process.wait(timeout=_END_S)
        finally:
            process.kill()
            process.wait()
        if code:
            raise RuntimeError(f"the load ended with {code}:\n{_said(folder)}")
    return _read(folder, stood)


def _wait_for_origin(process: "subprocess.Popen[bytes]", folder: Path) -> None:
    """The second event of a load is its origin, which is written when the play begins."""
    deadline_s = time.monotonic() + _START_S
    while len(list((folder / "events").glob("part-*"))) < 2:
        if process.poll() is not None or time.monotonic() > deadline_s:
            raise RuntimeError(f"the load did not start:\n{_said(folder)}")
        time.sleep(0.01)


def _said(folder: Path) -> str:
    return (folder / "locust.log").read_text(errors="replace")[-2000:]


def _read(folder: Path, stood: Sequence[tuple[float, float]]) -> Stalled:
    marks, turns, seconds = (
        pd.read_parquet(folder / name) for name in ("events", "operations", "generator")
    )
    start_unix_s = float(marks["unix_s"][marks["label"] == "measure"].iloc[0])
    for frame in (turns, seconds):
        frame["elapsed_s"] = frame["unix_s"] - start_unix_s
    measured = turns[turns["elapsed_s"].between(0, MEASURE_S, inclusive="left")]
    stalls = [(start - start_unix_s, stop - start_unix_s) for start, stop in stood]
    return Stalled(measured, seconds, stalls)
