"""
From the guard to the seal: server up, sampler, load, stop, seal; whatever happens on the way.

Every process dies with this one. What was recorded is sealed however the run ends: complete,
invalid, interrupted or failed.
"""

import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
from redis.exceptions import RedisError

from workbench.errors import (
    RunFailedError,
    ServerNotReadyError,
    TargetRefusedError,
    UsageError,
    WorkbenchError,
)
from workbench.experiments.acts import Acts
from workbench.experiments.helpers import Helper, start_ledger, start_load, start_sampler
from workbench.experiments.interrupts import Interrupt, one_interrupt
from workbench.experiments.sealing import SERVER_FOLDER, seal
from workbench.experiments.spec import Experiment
from workbench.runs.clock import Clock
from workbench.runs.lock import hold, is_held
from workbench.runs.manifest import Manifest, write_manifest
from workbench.runs.recorder import TableWriter
from workbench.runs.schema import TABLES
from workbench.runs.snapshot import Host, Snapshot, write_snapshots
from workbench.server.binary import ServerBinary, find_binary
from workbench.server.faults.model import FAULTS
from workbench.server.guard import admit, parse_target
from workbench.server.process import PrivateServer, tail
from workbench.server.profiles import INSTRUMENTS
from workbench.state import redact
from workbench.telemetry.circumstances import commit_of_checkout, versions
from workbench.telemetry.host import describe_host, host_of_server
from workbench.telemetry.keyspace import ACL_RULES, NOTE, left_behind, notes_of, put_back, refusal
from workbench.telemetry.onlooker import onlooker
from workbench.telemetry.snapshot import settings
from workbench.units import format_duration

__all__ = ["carry_out", "keep", "sample"]

Say = Callable[[str], None]

_POLL_S: Final = 0.1
_FIRST_SAMPLE_S: Final = 30.0
_UNREACHABLE_S: Final = 5.0
_FREE_BYTES_MIN: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class _Recording:
    """A run that is going on: directory, manifest, clock, what ends with it, and what ends it."""

    run_dir: Path
    manifest: Manifest
    clock: Clock
    stack: ExitStack
    interrupt: Interrupt


def carry_out(
    experiment: Experiment,
    out: Path,
    *,
    url: str | None,
    i_own: str = "",
    engine: str | None = None,
    say: Say,
    progress: Say,
    begun: Callable[[Path, PrivateServer | None], None] | None = None,
) -> Path:
    """
    Run an experiment and seal what it recorded.

    Args:
        experiment: what is to be tried.
        out: the folder in which the run directory is made.
        url: a server to load instead of a private one; it must pass the guard.
        i_own: its ``host:port``, from somebody who answers for it; see ``server.guard``.
        engine: which one to start, ``redis`` or ``valkey``; whatever is found if None.
        say: told what is started, a sentence at a time.
        progress: told how far it is.
        begun: given the run directory and the server, if it is one of ours, before the load starts.

    Returns:
        the run directory, sealed as complete, invalid or interrupted.

    Raises:
        TargetRefusedError: the server of the URL may not be loaded; nothing was written.
        UsageError: the directory cannot be made, or the request contradicts itself.
        ServerError: no server can be had; nothing was started.
        RunFailedError: a process did not start or died on the way, or the disk took no more; the
            run is sealed as failed.
    """
    if url is not None:
        if experiment.ledger:
            raise UsageError(
                "the ledger of evictions sets notify-keyspace-events, in a run on servers of our "
                "own only: leave out --url (or REDIS_STATE_URL), or watch that server with: "
                "workbench sample --keyspace-events"
            )
        if experiment.faults or experiment.tasks > 1:
            raise UsageError(
                "faults are done to servers of our own only, and tasks are such servers: leave out "
                "--url (or REDIS_STATE_URL)"
            )
        admit(url, i_own=i_own)
    binary = find_binary(engine) if url is None else None
    # On record a replayed run has its name, and not its path on this machine.
    asked = asdict(experiment) | {"replay": Path(experiment.replay).name}
    with _recording(out, asked, experiment.seed, progress) as recording:
        run_dir, manifest, stack = recording.run_dir, recording.manifest, recording.stack
        servers = []
        if binary is not None:
            servers = [
                stack.enter_context(_private_server(experiment, binary, run_dir, task))
                for task in range(experiment.tasks)
            ]
            manifest.differences = binary.differences()
        server = servers[0] if servers else None
        target = server.url if server else str(url)
        with _blaming(server, target):
            manifest.server = _describe_server(target, server)
            write_manifest(run_dir, manifest)
            _announce(target, binary, say)
            if len(servers) > 1:
                say(f"  and {len(servers) - 1} more, one for each task; the first is sampled")
            unanswered_s = _unanswered_s(experiment)
            watchers = [_sampler(target, recording, experiment.sample_interval_s, unanswered_s)]
            if experiment.ledger:
                watchers.append(_ledger(target, recording, say, unanswered_s=unanswered_s))
            targets = [each.url for each in servers] or [target]
            if begun is not None:
                begun(run_dir, server)
            load = start_load(experiment, targets, run_dir, clock=recording.clock, i_own=i_own)
            stack.callback(load.stop)
            acts = Acts(experiment, server, run_dir, recording.clock, stack)
            _watch(load, watchers, servers, acts, recording.interrupt, experiment, progress)
            for watcher in watchers:
                _finish(watcher)
    return run_dir


def sample(
    url: str,
    out: Path,
    *,
    seconds: float,
    interval_s: float,
    keyspace_events: bool = False,
    prefix_depth: int = 1,
    say: Say,
    progress: Say,
    keys: int = 0,
    asked: Mapping[str, Any] | None = None,
) -> Path:
    """
    Record a server that is not ours, for a time, by the commands of ``telemetry.snapshot`` alone.

    Only if keyspace events are asked for, one setting is changed meanwhile and put back.

    Args:
        url: of the server; any that lets itself be read.
        out: the folder in which the run directory is made.
        seconds: for how long, s.
        interval_s: from one sample to the next, s.
        keyspace_events: whether evictions are recorded too, by the prefixes of their keys.
        prefix_depth: parts of a key's name that are recorded.
        say: told what is sampled.
        progress: told how far it is.
        keys: how many keys are looked at in the end, at most; 0 for none.
        asked: what else is known of the server: ``memory_limit_bytes``, ``profile``,
            ``health_check``.

    Returns:
        the run directory, sealed as complete or interrupted; it has samples, and no operations.

    Raises:
        TargetRefusedError: the URL makes no sense, or the server does not let its setting be
            changed; nothing was written.
        ServerNotReadyError: nothing answers there, or not to this user; nothing was written.
        RunFailedError: the server stopped answering; the run is sealed as failed.
    """
    parse_target(url)
    try:
        described = _describe_server(url, None)
        if keyspace_events:
            _prepare_events(url, out, say)
    except RedisError as error:
        raise ServerNotReadyError(
            f"{redact(url)} cannot be looked at: {redact(str(error))}"
        ) from None
    known = dict(asked or {})
    wanted = {"name": "sample", "measure_s": seconds, "sample_interval_s": interval_s}
    if keyspace_events:
        wanted |= {"ledger": True, "prefix_depth": prefix_depth}
    with _recording(out, wanted | known, 0, progress) as recording:
        host = _host_of(url, recording.manifest.host, known)
        recording.manifest.host = host
        recording.manifest.server = described | {"here": "somaxconn" in host}
        write_manifest(recording.run_dir, recording.manifest)
        how = "and its keyspace events" if keyspace_events else "read-only"
        say(f"sampling {redact(url)}, {how}, for {format_duration(seconds)}")
        began_s = recording.clock.unix_s()
        recording.stack.callback(_record_measured, recording, began_s)
        watchers = [_sampler(url, recording, interval_s, keys=keys)]
        if keyspace_events:
            watchers.append(_ledger(url, recording, say, prefix_depth=prefix_depth))
        while (left_s := began_s + seconds - recording.clock.unix_s()) > 0:
            recording.interrupt.check()
            _look_after(watchers)
            time.sleep(min(_POLL_S, left_s))
        for watcher in watchers:
            _finish(watcher)
    return recording.run_dir


def keep(
    url: str,
    out: Path,
    *,
    samples: Sequence[Mapping[str, Any]],
    snapshots: Sequence[Snapshot],
    interval_s: float,
) -> Path:
    """
    Write what was seen of a server as a sealed run; the server is not asked again.

    Args:
        url: of the server.
        out: the folder in which the run directory is made.
        samples: rows of ``samples``, by column, in the order of time.
        snapshots: the first and the last whole look, or one alone.
        interval_s: from one look to the next, s.

    Returns:
        the run directory; like one of ``sample``, it has no operations.

    Raises:
        UsageError: nothing was seen yet, or the directory cannot be made; nothing was written.
        RunFailedError: the disk took no more; the run is sealed as failed.
    """
    if len(samples) < 2 or not snapshots:
        raise UsageError("fewer than two looks were taken; a run needs more: wait a moment")
    last = snapshots[-1]
    began_s, ended_s = samples[0]["unix_s"], samples[-1]["unix_s"]
    wanted = {"name": "kept", "measure_s": ended_s - began_s, "sample_interval_s": interval_s}
    with _recording(out, wanted, 0, lambda _: None) as recording:
        manifest, run_dir = recording.manifest, recording.run_dir
        manifest.started_unix_s = began_s
        manifest.host = _host_seen(last.host, manifest.host)
        described = _described(url, None, last.info, last.config)
        manifest.server = described | {"here": last.host is not None}
        write_manifest(run_dir, manifest)
        writer = TableWriter(run_dir, "samples", "sampler")
        for row in samples:
            writer.append([row.get(column.name) for column in TABLES["samples"].columns])
        writer.flush()
        write_snapshots(run_dir, list(snapshots))
        events = TableWriter(run_dir, "events", "conductor")
        events.append((began_s, ended_s - began_s, "phase", "measure", ""))
        events.flush()
    return run_dir


@contextmanager
def _recording(
    out: Path, experiment: dict[str, Any], seed: int, progress: Say
) -> Iterator[_Recording]:
    """
    A run directory, from its making to its seal.

    Ctrl-C and SIGTERM end what is inside, and the run is sealed as interrupted; an error that was
    foreseen is raised again as RunFailedError, and the run is sealed as failed.
    """
    with ExitStack() as frame:
        interrupt = frame.enter_context(one_interrupt())
        clock = Clock()
        run_dir = _make_run_dir(out, str(experiment["name"]))
        frame.enter_context(hold(run_dir))
        commit, dirty = commit_of_checkout()
        manifest = Manifest(
            run_id=run_dir.name,
            status="running",
            experiment=experiment,
            seed=seed,
            started_unix_s=clock.unix_s(),
            versions=versions(),
            commit=commit,
            dirty=dirty,
            host=describe_host(run_dir),
        )
        status, why = "failed", "the conductor broke off"
        try:
            write_manifest(run_dir, manifest)
            with ExitStack() as stack:
                yield _Recording(run_dir, manifest, clock, stack, interrupt)
            status, why = "complete", ""
        except KeyboardInterrupt:
            status, why = "interrupted", "stopped by Ctrl-C or SIGTERM before its end"
            progress("stopped; sealing what was recorded")
        except (WorkbenchError, OSError) as error:
            why = str(error)
            kept = f"What was recorded until then is in {run_dir}"
            raise RunFailedError(f"{why}\n{kept}") from None
        finally:
            manifest.stopped_unix_s = clock.unix_s()
            _seal_or_say(run_dir, manifest, status, why)


def _seal_or_say(run_dir: Path, manifest: Manifest, status: str, why: str) -> None:
    try:
        seal(run_dir, manifest, status, why)
    except OSError as error:
        cause = f"{why}\n" if why else ""
        raise RunFailedError(
            f"{cause}{run_dir} could not be sealed: {error}\n"
            f"Once it can be written again: workbench seal {run_dir.name}"
        ) from None


@contextmanager
def _private_server(
    experiment: Experiment, binary: ServerBinary, run_dir: Path, task: int
) -> Iterator[PrivateServer]:
    """A server for this run alone; its data goes with it, its settings and its log stay."""
    of_task = f"-task{task}" if task else ""  # of the first, everything has its plain name
    folder = run_dir / f"{SERVER_FOLDER}{of_task}"
    log = run_dir / "logs" / f"redis{of_task}.log"
    try:
        with PrivateServer(experiment.profile(), folder, binary=binary, log=log) as server:
            (run_dir / f"redis{of_task}.conf").write_text(server.configuration)
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _blaming(server: PrivateServer | None, url: str) -> Iterator[None]:
    """What fails because the server is gone says so, whoever met it first."""
    try:
        yield
    except (RunFailedError, RedisError) as error:
        # Its sockets close a moment before its parent can learn of its end.
        if server is not None and server.ended(within_s=1.0):
            raise RunFailedError(f"the server died; its log ends:\n{_tail(server.log)}") from None
        if isinstance(error, RedisError):
            raise RunFailedError(f"{redact(url)} stopped answering: {redact(str(error))}") from None
        raise


def _announce(url: str, binary: ServerBinary | None, say: Say) -> None:
    if binary is None:
        say(f"loading {redact(url)}, which is not a server of ours: its settings stay")
        return
    say(f"{binary.label}, {binary.found}, on {url}")
    for difference in binary.differences():
        say(f"  differs from redis:7.0: {difference}")


def _unanswered_s(experiment: Experiment) -> float:
    """For how long the server leaves everybody without an answer, on purpose."""
    unanswered = [each for each in experiment.faults if FAULTS[each.fault].unanswered]
    return max((each.lasts_s for each in unanswered), default=0.0)


def _sampler(
    url: str,
    recording: _Recording,
    interval_s: float,
    unanswered_s: float = 0.0,
    *,
    keys: int = 0,
) -> Helper:
    """The sampler, once its first sample is written: the load's counters are held against it."""
    sampler = start_sampler(
        url,
        recording.run_dir,
        interval_s=interval_s,
        clock=recording.clock,
        unreachable_s=_UNREACHABLE_S + unanswered_s,
        keys=keys,
    )
    recording.stack.callback(sampler.stop)
    _wait_for_part(sampler, recording.run_dir / "samples", "part-*")
    return sampler


def _ledger(
    url: str,
    recording: _Recording,
    say: Say,
    *,
    prefix_depth: int = 1,
    unanswered_s: float = 0.0,
) -> Helper:
    """The ledger, once it listens. Whatever becomes of it, the setting is put back at the end."""
    recording.stack.callback(_put_back, url, recording, say)
    ledger = start_ledger(
        url,
        recording.run_dir,
        prefix_depth=prefix_depth,
        clock=recording.clock,
        unreachable_s=_UNREACHABLE_S + unanswered_s,
    )
    recording.stack.callback(ledger.stop)
    _wait_for_part(ledger, recording.run_dir / "events", "part-ledger-*")
    return ledger


def _put_back(url: str, recording: _Recording, say: Say) -> None:
    """Do what a ledger that was killed left undone."""
    note = recording.run_dir / NOTE
    if not note.exists():
        return
    ours = recording.manifest.server.get("ours")
    try:
        with onlooker(url, timeout_s=5.0) as client:
            done = put_back(client, note)
    except RedisError as error:
        if ours:  # it is gone, and its setting with it
            note.unlink(missing_ok=True)
            return
        done = f"{left_behind(note)}: {redact(str(error))}"
    say(done)
    writer = TableWriter(recording.run_dir, "events", "put-back")
    writer.append((recording.clock.unix_s(), 0.0, "keyspace_events", "conductor", done))
    writer.flush()


def _prepare_events(url: str, out: Path, say: Say) -> None:
    """Put back what a killed ledger of this server left, and refuse a server that forbids it."""
    with onlooker(url, timeout_s=5.0) as client:
        for note in notes_of(url, out):
            if not is_held(note.parent):
                say(f"{note.parent.name} was killed; {put_back(client, note)}")
        why = refusal(client)
    if why:
        raise TargetRefusedError(
            f"{redact(url)} gives no keyspace events: {why}\nA user who may do this is enough:\n"
            f"  ACL SETUSER ledger on >changeme {ACL_RULES}\n"
            "or leave out --keyspace-events, which changes nothing on the server"
        )


def _wait_for_part(helper: Helper, table: Path, pattern: str) -> None:
    """Until the helper has written the first part of its table."""
    deadline_s = time.monotonic() + _FIRST_SAMPLE_S
    while not any(table.glob(pattern)):
        if helper.exit_code is not None or time.monotonic() > deadline_s:
            raise RunFailedError(
                f"the {helper.name} did not start; its log ends:\n{_tail(helper.log)}"
            )
        time.sleep(_POLL_S)


def _look_after(helpers: Sequence[Helper]) -> None:
    for helper in helpers:
        if helper.exit_code is not None:
            raise _died(helper)


def _watch(
    load: Helper,
    watchers: Sequence[Helper],
    servers: Sequence[PrivateServer],
    acts: Acts,
    interrupt: Interrupt,
    experiment: Experiment,
    progress: Say,
) -> None:
    """Wait for the load to end; raise if anything else ends first."""
    due_s = experiment.warm_up_s + experiment.measure_s
    began_s = said_s = time.monotonic()
    progress(f"{experiment.turns_per_s:g} turns/s for {due_s:g} s, after a prefill")
    while load.exit_code is None:
        interrupt.check()
        acts.look()
        for server in () if acts.unanswered else servers:
            if not server.running:
                raise RunFailedError(f"the server died; its log ends:\n{_tail(server.log)}")
        _look_after(watchers)
        if time.monotonic() - said_s >= 5:
            said_s = time.monotonic()
            progress(f"  {said_s - began_s:.0f} s")
        time.sleep(_POLL_S)
    _finish(load)


def _finish(helper: Helper) -> None:
    """Have it end; one that could not write its last rows says so by its exit code."""
    if helper.stop() != 0:
        raise _died(helper)


def _died(helper: Helper) -> RunFailedError:
    # On a full disk its log cannot say why.
    full = shutil.disk_usage(helper.log.parent).free < _FREE_BYTES_MIN
    why = "; no space is left on the disk of the run" if full else ""
    return RunFailedError(
        f"the {helper.name} ended with code {helper.exit_code}{why}; its log ends:\n"
        f"{_tail(helper.log)}"
    )


def _record_measured(recording: _Recording, began_s: float) -> None:
    writer = TableWriter(recording.run_dir, "events", "conductor")
    writer.append((began_s, recording.clock.unix_s() - began_s, "phase", "measure", ""))
    writer.flush()


def _tail(log: Path) -> str:
    return redact(tail(log))


def _make_run_dir(out: Path, name: str) -> Path:
    started = datetime.now(UTC).strftime("%Y-%m-%dT%H%M%SZ")
    run_dir = out / f"{started}-{name}-{secrets.token_hex(2)}"
    try:
        (run_dir / "logs").mkdir(parents=True)
    except OSError as error:
        raise UsageError(
            f"{run_dir} cannot be made: {error}; name another folder by --out"
        ) from None
    return run_dir


def _describe_server(url: str, server: PrivateServer | None) -> dict[str, object]:
    with onlooker(url, timeout_s=5.0) as client:
        info = client.info("server") | client.info("memory")
        return _described(url, server, info, settings(client))


def _described(
    url: str, server: PrivateServer | None, info: Mapping[str, Any], config: Mapping[str, str]
) -> dict[str, object]:
    return {
        "url": redact(url),
        "ours": server is not None,
        "engine": str(info.get("server_name", "redis")),
        "version": str(info.get("valkey_version", info["redis_version"])),
        "allocator": info["mem_allocator"],
        "origin": server.binary.origin if server else "given",
        "preload": server.binary.preload if server else "",
        "instruments": dict(INSTRUMENTS) if server else {},
        "config": dict(config),
    }


def _host_of(url: str, here: dict[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of the host of a server that is not ours: little, unless it is this one."""
    with onlooker(url, timeout_s=5.0) as client:
        folder = ""
        with suppress(RedisError):
            folder = client.config_get("dir").get("dir") or ""
        found = host_of_server(client.connection_pool, client.info("server"), folder)
    seen = _host_seen(found, here)
    if limit_bytes := known.get("memory_limit_bytes"):
        seen |= {"memory_limit_bytes": limit_bytes, "memory_limit_source": "given"}
    return seen


def _host_seen(found: Host | None, here: dict[str, Any]) -> dict[str, Any]:
    return {} if found is None else here | msgspec.structs.asdict(found)
