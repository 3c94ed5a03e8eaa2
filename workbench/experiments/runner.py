"""
From the guard to the seal: server up, sampler, load, stop, seal; whatever happens on the way.

Every process dies with this one. What was recorded is sealed however the run ends: complete,
invalid, interrupted or failed.
"""

import platform
import secrets
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Final

from redis import Redis
from redis.exceptions import RedisError

from workbench import __version__
from workbench.checkout import loadtests_dir
from workbench.diagnostics.finding import generator_validity
from workbench.errors import RunFailedError, UsageError, WorkbenchError
from workbench.experiments.helpers import Helper, start_load, start_sampler
from workbench.experiments.spec import Experiment
from workbench.runs.manifest import Manifest, Phase, write_manifest
from workbench.runs.recorder import TableWriter
from workbench.runs.run import Run
from workbench.runs.schema import TABLES
from workbench.server.binary import ServerBinary, find_binary
from workbench.server.guard import admit
from workbench.server.process import PrivateServer, tail
from workbench.state import connect, redact
from workbench.telemetry.host import describe_host
from workbench.telemetry.serverlog import logged_rewrites

__all__ = ["carry_out", "seal"]

Say = Callable[[str], None]

_LIBRARIES: Final = ("redis", "hiredis", "locust", "gevent", "pandas", "pyarrow", "msgspec")
_POLL_S: Final = 0.1
_FIRST_SAMPLE_S: Final = 30.0
# CONFIG GET answers these with paths of the machine or with secrets; the rest goes on record.
_UNRECORDED: Final = frozenset(
    {"dir", "logfile", "pidfile", "aclfile", "unixsocket", "requirepass", "masterauth"}
    | {"masteruser", "tls-key-file-pass", "tls-client-key-file-pass"}
)


def carry_out(
    experiment: Experiment, out: Path, *, url: str | None, say: Say, progress: Say
) -> Path:
    """
    Run an experiment and seal what it recorded.

    Args:
        experiment: what is to be tried.
        out: the folder in which the run directory is made.
        url: a server to load instead of a private one; it must pass the guard.
        say: told what is started, a sentence at a time.
        progress: told how far it is.

    Returns:
        the run directory, sealed as complete, invalid or interrupted.

    Raises:
        TargetRefusedError: the server of the URL may not be loaded; nothing was written.
        ServerError: no server can be had; nothing was started.
        RunFailedError: a process did not start or died on the way; the run is sealed as failed.
    """
    if url is not None:
        admit(url)
    binary = find_binary() if url is None else None
    run_dir = _make_run_dir(out, experiment)
    manifest = Manifest(
        run_id=run_dir.name,
        status="running",
        experiment=asdict(experiment),
        seed=experiment.seed,
        started_unix_s=time.time(),
        versions=_versions(),
        host=describe_host(run_dir),
    )
    manifest.commit, manifest.dirty = _commit()
    write_manifest(run_dir, manifest)
    status, why = "failed", "the conductor broke off"
    with _one_interrupt():
        try:
            with ExitStack() as stack:
                server = None
                if binary is not None:
                    server = stack.enter_context(_private_server(experiment, binary, run_dir))
                    manifest.differences = binary.differences()
                target = server.url if server else str(url)
                manifest.server = _describe_server(target, server)
                write_manifest(run_dir, manifest)
                _announce(target, binary, say)
                sampler = start_sampler(target, run_dir, interval_s=experiment.sample_interval_s)
                stack.callback(sampler.stop)
                _wait_for_first_sample(sampler, run_dir)
                load = start_load(experiment, target, run_dir)
                stack.callback(load.stop)
                _watch(load, sampler, server, experiment, progress)
            status, why = "complete", ""
        except KeyboardInterrupt:
            status, why = "interrupted", "stopped by Ctrl-C or SIGTERM before its end"
            progress("stopped; sealing what was recorded")
        except WorkbenchError as error:
            why = str(error)
            kept = f"What was recorded until then is in {run_dir}"
            raise RunFailedError(f"{why}\n{kept}") from None
        finally:
            seal(run_dir, manifest, status, why)
    return run_dir


def seal(run_dir: Path, manifest: Manifest, status: str, why: str = "") -> None:
    """
    Close a run directory: what the server's log says of rewrites, phases, counts, status.

    A complete run whose load or sampling did not keep up is sealed as invalid.
    """
    manifest.stopped_unix_s = time.time()
    _record_rewrites(run_dir, manifest.stopped_unix_s)
    events = Run(run_dir).events
    phases = events[events["kind"] == "phase"]
    manifest.phases = [
        Phase(label, start_s, start_s + duration_s)
        for label, start_s, duration_s in zip(
            phases["label"], phases["unix_s"], phases["duration_s"], strict=True
        )
    ]
    write_manifest(run_dir, manifest)
    run = Run(run_dir)
    manifest.rows = {name: len(getattr(run, name)) for name in TABLES}
    manifest.status, manifest.why = status, redact(why)
    if status == "complete":
        found = generator_validity(run)
        if not found.valid:
            manifest.status, manifest.why = "invalid", "; ".join(found.reasons)
    write_manifest(run_dir, manifest)


@contextmanager
def _private_server(
    experiment: Experiment, binary: ServerBinary, run_dir: Path
) -> Iterator[PrivateServer]:
    """A server for this run alone; its data goes with it, its settings and its log stay."""
    folder = run_dir / "server"
    log = run_dir / "logs" / "redis.log"
    try:
        with PrivateServer(experiment.profile(), folder, binary=binary, log=log) as server:
            (run_dir / "redis.conf").write_text(server.configuration)
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _announce(url: str, binary: ServerBinary | None, say: Say) -> None:
    if binary is None:
        say(f"loading {redact(url)}, which is not a server of ours: its settings stay")
        return
    say(f"{binary.label}, {binary.found}, on {url}")
    for difference in binary.differences():
        say(f"  differs from redis:7.0: {difference}")


def _wait_for_first_sample(sampler: Helper, run_dir: Path) -> None:
    """Counters are compared with their first sample: it comes before the load writes."""
    deadline_s = time.monotonic() + _FIRST_SAMPLE_S
    while not any((run_dir / "samples").glob("part-*")):
        if sampler.exit_code is not None or time.monotonic() > deadline_s:
            raise RunFailedError(f"the sampler did not start; its log ends:\n{_tail(sampler.log)}")
        time.sleep(_POLL_S)


def _watch(
    load: Helper,
    sampler: Helper,
    server: PrivateServer | None,
    experiment: Experiment,
    progress: Say,
) -> None:
    """Wait for the load to end; raise if anything else ends first."""
    due_s = experiment.warm_up_s + experiment.measure_s
    began_s = said_s = time.monotonic()
    progress(f"{experiment.turns_per_s:g} turns/s for {due_s:g} s, after a prefill")
    while load.exit_code is None:
        if server is not None and not server.running:
            raise RunFailedError(f"the server died; its log ends:\n{_tail(server.log)}")
        if sampler.exit_code is not None:
            raise RunFailedError(f"the sampler died; its log ends:\n{_tail(sampler.log)}")
        if time.monotonic() - said_s >= 5:
            said_s = time.monotonic()
            progress(f"  {said_s - began_s:.0f} s")
        time.sleep(_POLL_S)
    if load.exit_code != 0:
        raise RunFailedError(
            f"the load ended with code {load.exit_code}; its log ends:\n{_tail(load.log)}"
        )


def _tail(log: Path) -> str:
    return redact(tail(log))


def _make_run_dir(out: Path, experiment: Experiment) -> Path:
    started = datetime.now(UTC).strftime("%Y-%m-%dT%H%M%SZ")
    run_dir = out / f"{started}-{experiment.name}-{secrets.token_hex(2)}"
    try:
        (run_dir / "logs").mkdir(parents=True)
    except OSError as error:
        raise UsageError(
            f"{run_dir} cannot be made: {error}; name another folder by --out"
        ) from None
    return run_dir


def _describe_server(url: str, server: PrivateServer | None) -> dict[str, object]:
    with connect(url, timeout_s=5.0) as client:
        info = client.info("server") | client.info("memory")
        described: dict[str, object] = {
            "url": redact(url),
            "ours": server is not None,
            "engine": str(info.get("server_name", "redis")),
            "version": str(info.get("valkey_version", info["redis_version"])),
            "allocator": info["mem_allocator"],
            "origin": server.binary.origin if server else "given",
            "config": _settings(client),
        }
    return described


def _settings(client: Redis) -> dict[str, str]:
    try:
        settings: dict[str | None, str | None] = client.config_get("*")
    except RedisError:  # a managed server does not answer CONFIG
        return {}
    return {k: v for k, v in sorted(settings.items()) if k and v and k not in _UNRECORDED}


def _record_rewrites(run_dir: Path, end_unix_s: float) -> None:
    log = run_dir / "logs" / "redis.log"
    if not log.exists():
        return
    events = TableWriter(run_dir, "events", "conductor")
    for span in logged_rewrites(log.read_text(errors="replace"), end_unix_s=end_unix_s):
        events.append((span.unix_s, span.duration_s, "aof_rewrite", span.outcome, span.detail))
    events.flush()


def _versions() -> dict[str, str]:
    versions = {"workbench": __version__, "python": platform.python_version()}
    return versions | {name: version(name) for name in _LIBRARIES}


def _commit() -> tuple[str, bool]:
    def git(*words: str) -> str:
        reply = subprocess.run(
            ["git", *words],  # noqa: S607
            cwd=loadtests_dir().parent,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
        return reply.stdout.strip()

    try:
        return git("rev-parse", "HEAD"), bool(git("status", "--porcelain"))
    except (OSError, subprocess.SubprocessError):
        return "", False


@contextmanager
def _one_interrupt() -> Iterator[None]:
    """
    Have SIGTERM end the run as Ctrl-C does, and let neither disturb the sealing that follows.

    Stopping is bounded: each process is killed if it does not end in its time.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        for each in before:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    for each in before:
        signal.signal(each, interrupt)
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
