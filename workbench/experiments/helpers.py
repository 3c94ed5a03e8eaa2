"""Start the helpers of a run: load, sampler, ledger, as processes that end with their parent."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from workbench.checkout import loadtests_dir
from workbench.experiments.spec import Experiment
from workbench.runs.clock import Clock
from workbench.server.process import die_with_parent

__all__ = ["Helper", "start_ledger", "start_load", "start_sampler"]

_STOP_S: Final = 15.0


class Helper:
    """
    A process of ours beside the server.

    Attributes:
        name: for messages: ``load``, ``sampler``, ``ledger``.
        log: where it writes what it has to say.
    """

    def __init__(self, name: str, process: subprocess.Popen[str], log: Path) -> None:
        self.name = name
        self.log = log
        self._process = process

    @property
    def exit_code(self) -> int | None:
        """How it ended; None while it runs."""
        return self._process.poll()

    def stop(self) -> int:
        """Ask it to write what it holds and to end, and kill it after 15 s; its exit code."""
        if self._process.stdin is not None:
            self._process.stdin.close()  # sampler and ledger end when their input closes
        elif self.exit_code is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(timeout=_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
        return self._process.wait()


def start_load(
    experiment: Experiment, urls: Sequence[str], run_dir: Path, *, clock: Clock, i_own: str = ""
) -> Helper:
    """Start Locust, headless, on the experiment's scenario and one server, or one for each task."""
    options = {
        "--users": experiment.users,
        "--spawn-rate": experiment.users,
        "--driver": experiment.driver,
        "--pool": experiment.pool,
        "--compression": experiment.compression,
        "--prefill-share": experiment.prefill_share,
        "--rate": experiment.turns_per_s,
        "--warm-up-s": experiment.warm_up_s,
        "--measure-s": experiment.measure_s,
        "--think-median-s": experiment.think_median_s,
        "--think-p95-s": experiment.think_p95_s,
        "--ttl-s": experiment.ttl_s,
        "--seed": experiment.seed,
        "--run-dir": run_dir.resolve(),
        "--clock-offset-s": clock.offset_s,
        "--exit-code-on-error": 0,
    }
    flags = ["--closed-loop"] if experiment.closed_loop else []
    if i_own:
        options["--i-own"] = i_own
    if experiment.replay:
        options["--replay"] = experiment.replay
    if experiment.mix:
        for name, value in asdict(experiment.habits).items():
            options[f"--{name.replace('_', '-')}"] = value
        options["--mix"] = ",".join(f"{flow}={weight}" for flow, weight in experiment.mix.items())
    scenario = loadtests_dir() / f"{experiment.scenario}.py"
    command = [sys.executable, "-m", "locust", "-f", str(scenario), "--headless", "--only-summary"]
    command += flags
    command += [str(word) for option in options.items() for word in option]
    # The URL may hold a password, so it goes by the environment, which `ps` does not show.
    environment = {**os.environ, "REDIS_STATE_URL": " ".join(urls)}
    return _start("load", command, run_dir / "logs" / "locust.log", environment=environment)


def start_sampler(
    url: str,
    run_dir: Path,
    *,
    interval_s: float,
    clock: Clock,
    unreachable_s: float,
    keys: int = 0,
) -> Helper:
    """
    Start the sampler; it gives up a server that does not answer for longer, s.

    At its end it looks at so many keys, at most.
    """
    command = [sys.executable, "-m", "workbench.telemetry.sampler"]
    orders = {
        "url": url,
        "run_dir": str(run_dir.resolve()),
        "interval_s": interval_s,
        "clock_offset_s": clock.offset_s,
        "unreachable_s": unreachable_s,
        "keys": keys,
    }
    return _start("sampler", command, run_dir / "logs" / "sampler.log", orders=json.dumps(orders))


def start_ledger(
    url: str, run_dir: Path, *, prefix_depth: int, clock: Clock, unreachable_s: float
) -> Helper:
    """
    Start the ledger of evictions; it gives up a server that does not answer for longer, s.

    It is not killed when its parent dies, since it has a setting to put back: it ends by itself
    when its input closes, which the kernel does for a parent that was killed.
    """
    command = [sys.executable, "-m", "workbench.telemetry.evictions"]
    orders = {
        "url": url,
        "run_dir": str(run_dir.resolve()),
        "prefix_depth": prefix_depth,
        "clock_offset_s": clock.offset_s,
        "unreachable_s": unreachable_s,
    }
    log = run_dir / "logs" / "ledger.log"
    return _start("ledger", command, log, orders=json.dumps(orders), killed_with_parent=False)


def _start(
    name: str,
    command: list[str],
    log: Path,
    *,
    environment: dict[str, str] | None = None,
    orders: str | None = None,
    killed_with_parent: bool = True,
) -> Helper:
    with log.open("w") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL if orders is None else subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
            cwd=loadtests_dir().parent,
            start_new_session=True,  # Ctrl-C at the terminal is for the conductor alone
            preexec_fn=die_with_parent() if killed_with_parent else None,  # noqa: PLW1509
        )
    if orders is not None:
        assert process.stdin is not None, "it was opened as a pipe"
        process.stdin.write(orders + "\n")
        process.stdin.flush()
    return Helper(name, process, log)
