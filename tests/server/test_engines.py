"""The same on several engines, what the allocator does, and a server like a managed one."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.frames import make_run
from tests.waiting import wait_until
from workbench.errors import ServerMissingError
from workbench.experiments import engines as comparing
from workbench.experiments.runner import sample
from workbench.experiments.spec import read_experiment
from workbench.runs.measurement import read_measurement
from workbench.runs.run import Run
from workbench.server.binary import find_binary
from workbench.server.process import PrivateServer
from workbench.server.profiles import ServerProfile
from workbench.units import MIB

MANAGED = ("CONFIG", "BGREWRITEAOF", "BGSAVE", "DEBUG", "MIGRATE", "REPLICAOF", "SAVE", "SYNC")
"""Commands that ElastiCache takes away; SHUTDOWN is left, by which a private server ends."""


def keys_that_stay(folder, engine):
    """In 6 MiB, of values of 1 KB; and the libraries that the server has loaded."""
    profile = ServerProfile("development", maxmemory_bytes=6 * MIB, appendonly=False)
    binary = find_binary(engine)
    with PrivateServer(profile, folder, binary=binary) as server, server.client() as client:
        pipe = client.pipeline(transaction=False)
        for number in range(8000):
            pipe.set(f"channel:{number}", "x" * 1024, ex=300)
        pipe.execute()
        loaded = Path(f"/proc/{server.pid}/maps").read_text()
        return client.dbsize(), "jemalloc" in loaded


def test_allocator_alone_changes_how_much_stays(tmp_path):
    """The same program, with and without jemalloc: values of 1 KB fit libc's classes better."""
    try:
        jemalloc = keys_that_stay(tmp_path / "jemalloc", "valkey+jemalloc")
    except ServerMissingError as error:
        pytest.skip(f"{error}")
    libc = keys_that_stay(tmp_path / "libc", "valkey+libc")

    assert (jemalloc[1], libc[1]) == (True, False)
    assert libc[0] > 1.05 * jemalloc[0]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--rounds", "0"], "--rounds is 0, outside 1 to 20"),
        (["--engine", "/nowhere/redis-server"], "--engine: /nowhere/redis-server is not a Redis"),
        (["--engine", "valky"], "did you mean 'valkey'"),
        (["--maxmemory", "24"], "write it with its unit"),
        (["--quick", "--markdown", "x.md"], "leave out --quick"),
        (["--markdown", "/nowhere/x.md"], "name a file in a folder that is there"),
        (["--runs", "latest", "--quick"], "--quick is for runs that are made"),
        (["--runs", "latest"], "there is no run"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_started(ask, tmp_path, words, says):
    """In one sentence, with exit code 2."""
    code, out, err = ask("compare-engines", *words)

    assert code == 2
    assert says in err
    assert "round" not in out
    assert not (tmp_path / "runs").exists() or not any((tmp_path / "runs").iterdir())


def test_sealed_runs_are_read_and_nothing_is_started(ask, tmp_path):
    """For people and for programs."""
    make_run(tmp_path / "runs" / "one", samples=[{"elapsed_s": float(at)} for at in range(10)])

    code, out, _ = ask("compare-engines", "--runs", "one")
    as_json = json.loads(ask("compare-engines", "--runs", "one", "--json")[1])

    assert code == 0
    assert "sessions by MiB" in out
    assert as_json["rows"][0]["run"] == "one"
    assert as_json["rows"][0]["cow_bytes"] is None


@pytest.fixture(scope="module")
def managed(tmp_path_factory):
    """A server that lacks the commands that a managed one lacks, and has no AOF."""
    taken = [("rename-command", f'{name} ""') for name in MANAGED]
    taken.append(("notify-keyspace-events", "Eex"))  # of its parameter group
    profile = ServerProfile("development", maxmemory_bytes=16 * MIB, appendonly=False)
    configuration = _Managed(profile, tmp_path_factory.mktemp("managed"), taken)
    with configuration as server:
        yield server


class _Managed(PrivateServer):
    """Its redis.conf has lines of one name, which a profile's mapping cannot have."""

    def __init__(self, profile, folder, lines):
        super().__init__(profile, folder)
        self.lines = lines

    def _configuration(self, port):
        told = "".join(f"{name} {value}\n" for name, value in self.lines)
        return super()._configuration(port) + told


def test_server_without_config_is_looked_at_and_what_it_hides_is_unknown(ask, managed):
    """As ElastiCache is: no rule passes by guess, and no look breaks off."""
    code, out, err = ask("doctor", "--url", managed.url, "--for", "1s", "--limit", "64mb", "--json")
    told = {found["rule"]: found for found in json.loads(out)["findings"]}

    assert code == 0, err
    assert told["open-server"]["verdict"] == "unknown"
    assert "unknown command" in told["open-server"]["says"]
    assert told["no-maxmemory"]["verdict"] == "pass"
    assert told["persistence-off"]["verdict"] == "unknown"


def test_server_without_config_exports_its_figures(ask, managed):
    """What cannot be asked is said, and left out."""
    code, out, err = ask("export", "--to", "emf", "--once", "--no-commands", "--url", managed.url)

    assert code == 0
    assert "CONFIG GET is refused" in err
    assert '"MemoryUsed"' in out


def test_what_needs_config_says_so(ask, managed):
    """Its settings are in its parameter group."""
    code, _, err = ask("config", "check", "--url", managed.url)

    assert code == 4
    assert "parameter group" in err


@pytest.mark.slow  # it waits for three processes
def test_evictions_of_a_server_without_config_are_recorded_by_prefix(managed, tmp_path):
    """Its parameter group sets what the events take; nothing is read or changed."""

    def overflow():
        parts = lambda: [*tmp_path.glob("*/events/part-ledger*")]  # noqa: E731
        wait_until(parts, timeout_s=20, why="a ledger that listens")
        with managed.client() as client:
            pipe = client.pipeline(transaction=False)
            for number in range(2000):
                pipe.set(f"channel:{number}", "x" * 10_000)
            pipe.execute()

    try:
        with ThreadPoolExecutor() as pool:
            acted = pool.submit(overflow)
            run_dir = sample(
                *(managed.url, tmp_path),
                seconds=2.0,
                interval_s=0.2,
                keyspace_events=True,
                say=lambda _: None,
                progress=lambda _: None,
            )
            acted.result()
    finally:
        with managed.client() as client:
            client.flushall()

    run = Run(run_dir)
    assert "cannot be read here" in " ".join(run.events["detail"])
    assert set(run.evictions["prefix"]) == {"channel"}
    assert len(run.evictions) == run.eviction_windows["evicted_keys"].sum() > 100


@pytest.mark.slow
def test_server_without_config_can_be_loaded(ask, managed):
    """It is empty, and needs no CONFIG for it."""
    words = ["--duration", "2s", "--rate", "60", "--no-report", "--json"]

    code, out, err = ask("run", "demo", "--url", managed.url, *words)
    told = {found["rule"]: found["verdict"] for found in json.loads(out)["findings"]}

    assert code in {0, 3}, err
    assert told["lost-updates"] == "pass"


@pytest.mark.slow
def test_engines_are_compared_side_by_side(ask, tmp_path):
    """Small, two rounds: more sessions stay with libc, and the same turns came due for all."""
    code, out, err = ask("compare-engines", "--quick", "--json")
    told = json.loads(out)["measurement"]
    by = {
        (each["by"], each["figure"]): each
        for each in told["derived"]["differences"]
        if each["figure"] == "sessions_per_mib"
    }

    assert code == 0, err
    assert len([*(tmp_path / "runs").glob("*-compare_engines-*")]) == len(told["rows"])
    assert not any("same turns" in doubt for doubt in told["derived"]["doubts"])
    assert not (tmp_path / "runs" / "engines.json").exists()
    if ("allocator", "sessions_per_mib") in by:
        assert by["allocator", "sessions_per_mib"]["verdict"] == "more"


@pytest.mark.slow
def test_engine_that_does_not_start_is_told_and_the_others_go_on(ask, tmp_path, monkeypatch):
    """A program that says it is a server, and is none."""
    small = read_experiment("compare_engines").with_overrides(**comparing._QUICK)
    monkeypatch.setattr(comparing, "read_experiment", lambda _: small)
    program = tmp_path / "redis-server"
    says = "Redis server v=8.2.0 sha=0:0 malloc=jemalloc-5.3.0 bits=64 build=1"
    program.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo "{says}" && exit 0\nexit 3\n')
    program.chmod(0o755)
    markdown = tmp_path / "engines.md"

    code, out, err = ask(
        *("compare-engines", "--engine", program, "--rounds", "1", "--markdown", markdown),
    )

    assert code == 0, err
    assert "left out from here on" in out
    assert "sessions by MiB" in out
    kept = read_measurement(tmp_path / "runs" / "engines.json", "engines")
    assert "ended with 3" in kept.derived["left_out"]["redis-server"]
    assert "--engine redis-server" in kept.command
    assert str(tmp_path) not in markdown.read_text()
