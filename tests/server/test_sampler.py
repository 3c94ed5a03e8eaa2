"""The sampler as a process: it looks, records how late it was, and ends in its time."""

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
from redis.exceptions import ConnectionError, ResponseError

from tests.waiting import wait_until
from workbench.runs.clock import Clock
from workbench.runs.schema import TABLES
from workbench.telemetry.sampler import Sampler
from workbench.telemetry.snapshot import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
INTERVAL_S = 0.05


@contextmanager
def sampling(url, run_dir):
    """A sampler at work, which has taken its first sample."""
    with (run_dir / "sampler.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "workbench.telemetry.sampler"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
        )
    orders = {
        "url": url,
        "run_dir": str(run_dir),
        "interval_s": INTERVAL_S,
        "clock_offset_s": Clock().offset_s,
    }
    process.stdin.write(json.dumps(orders) + "\n")
    process.stdin.flush()
    try:
        wait_until(lambda: list(run_dir.glob("samples/part-*")), timeout_s=20, why="first sample")
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdin.close()


def recorded(run_dir):
    return pd.concat([pd.read_parquet(part) for part in sorted(run_dir.glob("samples/part-*"))])


def infos(client):
    return client.info("commandstats").get("cmdstat_info", {}).get("calls", 0)


def wait_for_samples(client, count):
    """Until the sampler has asked so many more times."""
    before = infos(client)
    own = 0

    def enough():
        nonlocal own
        own += 1  # this look is an INFO too
        return infos(client) - before - own >= count

    wait_until(enough, timeout_s=20, why=f"{count} more samples")


@pytest.fixture(scope="module")
def samples(redis_server, tmp_path_factory):
    """What a sampler recorded until its input was closed, and how it ended."""
    run_dir = tmp_path_factory.mktemp("sampled")
    with redis_server.client() as client, sampling(redis_server.url, run_dir) as process:
        client.flushall()
        client.config_resetstat()
        wait_for_samples(client, 10)
        before = {name: part["calls"] for name, part in client.info("commandstats").items()}
        process.stdin.close()
        exit_code = process.wait(timeout=10)
        return recorded(run_dir), exit_code, before


def test_sampler_ends_well_when_its_input_closes(samples):
    """So it also ends when the conductor dies and can no longer ask."""
    assert samples[1] == 0


def test_no_sample_is_lost_at_the_end(samples):
    """The rows since the last part are written before it ends."""
    assert len(samples[0]) >= 5


def test_every_sample_says_how_late_the_sampler_was(samples):
    """Its own lateness and the server's answering time are two things, and neither is missing."""
    frame = samples[0]

    assert frame["sample_lag_s"].notna().all()
    assert (frame["sample_lag_s"] >= 0).all()
    assert (frame["sample_us"] > 0).all()
    assert frame["unix_s"].is_monotonic_increasing


def test_samples_have_the_fields_that_the_server_gives(samples):
    """Of Redis 7 and Valkey alike, no column stays empty."""
    frame = samples[0]

    assert list(frame.columns) == TABLES["samples"].arrow.names
    assert frame.columns[frame.isna().all()].tolist() == []


def test_sample_counts_keys_that_expire_and_refused_writes_as_the_server_does(
    client, redis_server, tmp_path
):
    """Of three keys two have a time to live; an error that never came up was counted 0 times."""
    client.set("a", 1)
    client.set("b", 1, ex=100)
    client.execute_command("SELECT", 1)
    client.set("c", 1, ex=100)
    with sampling(redis_server.url, tmp_path) as process:
        process.stdin.close()
        process.wait(timeout=10)

    last = recorded(tmp_path).iloc[-1]

    assert (last["keys"], last["expires"], last["errorstat_MISCONF"]) == (3, 2, 0)
    assert (last["aof_enabled"], last["loading"]) == (1, 0)


class Wild:
    """A client whose server has counted below 0, and sends a text for a number."""

    def info(self, section=None):
        if section:
            raise ResponseError("no snapshot of this one")
        return {"used_memory": 7, "mem_clients_normal": 2**64 - 5, "maxmemory": "much"}


def test_impossible_values_are_put_on_record_and_left_out(tmp_path):
    """One of them must not cost the other fields, nor the other samples."""
    looks = iter([False, False, True])
    Sampler(Wild(), tmp_path, interval_s=0.0).run(lambda _: next(looks))

    frame = recorded(tmp_path)
    events = pd.concat([pd.read_parquet(part) for part in tmp_path.glob("events/part-*")])
    assert frame["used_memory"].tolist() == [7, 7]
    assert frame["mem_clients_normal"].isna().all()
    assert events[["kind", "label", "detail"]].to_numpy().tolist() == [
        ["impossible_value", "maxmemory", "much"],
        ["impossible_value", "mem_clients_normal", str(2**64 - 5)],
    ]


def test_sampler_changes_nothing_on_the_server(samples):
    """It asks what a look asks, and nothing that writes."""
    asked = {name.removeprefix("cmdstat_") for name in samples[2]}

    # The rest is the test's own: emptying the server, and looking at its statistics.
    assert asked <= {*COMMANDS, "flushall", "config|resetstat", "hello", "client|setinfo"}


def test_sampler_is_not_stopped_by_the_terminals_interrupt(redis_server, tmp_path):
    """Ctrl-C is for the conductor, which wants the samples of the stopping too."""
    with redis_server.client() as client, sampling(redis_server.url, tmp_path) as process:
        process.send_signal(signal.SIGINT)
        wait_for_samples(client, 5)
        process.stdin.close()

        assert process.wait(timeout=10) == 0


def test_stalled_server_shows_in_the_answering_time(start_server, tmp_path):
    """A server that is held for a moment is asked again afterwards, and the gap is on record."""
    server = start_server()
    with server.client() as client, sampling(server.url, tmp_path) as process:
        wait_for_samples(client, 5)
        os.kill(server.pid, signal.SIGSTOP)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.5)  # the length of the stall
        os.kill(server.pid, signal.SIGCONT)
        wait_for_samples(client, 5)
        process.stdin.close()

        assert process.wait(timeout=10) == 0

    frame = recorded(tmp_path)
    assert frame["sample_us"].max() > 10 * frame["sample_us"].median()
    assert frame["unix_s"].diff().max() > 4 * INTERVAL_S


def test_sampler_ends_with_code_4_when_the_server_is_gone(start_server, tmp_path):
    """It tries for some seconds, says what happened, and keeps what it had seen until then."""
    server = start_server()
    with server.client() as client, sampling(server.url, tmp_path) as process:
        wait_for_samples(client, 5)
        server.stop()

        assert process.wait(timeout=30) == 4

    said = (tmp_path / "sampler.log").read_text()
    assert "the server stopped answering" in said
    assert "Traceback" not in said
    assert len(recorded(tmp_path)) >= 3


def test_server_that_is_gone_at_the_end_is_not_taken_for_well(start_server, tmp_path):
    """A look of a few seconds ends before a server is given up: its last answer is asked for."""
    server = start_server()
    looks = iter([False, False, True])

    def ends(_):
        ending = next(looks)
        if ending:
            server.stop()
        return ending

    with server.client() as client:
        sampler = Sampler(client, tmp_path, interval_s=0.0, unreachable_s=0.5)
        with pytest.raises(ConnectionError):
            sampler.run(ends)
