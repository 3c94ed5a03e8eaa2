"""Rules on real servers: the fault is made, the sampler sees it, the rule says it."""

import itertools
import os
import shutil
import socket
import subprocess
import threading
import time
from contextlib import contextmanager, suppress

import pytest
from redis.exceptions import RedisError, ResponseError

from tests.waiting import wait_until
from workbench.diagnostics.finding import evaluate
from workbench.experiments.runner import _describe_server, sample, seal
from workbench.runs.manifest import Manifest, write_manifest
from workbench.runs.recorder import TableWriter
from workbench.runs.run import Run
from workbench.state import connect
from workbench.telemetry.host import describe_host
from workbench.telemetry.sampler import Sampler

MIB = 1024**2
INTERVAL_S = 0.02

# A disk whose fsync takes 3 s, and a kernel that refuses a fork, as long as a file is there.
SHIM = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <sys/types.h>
#include <unistd.h>

int fdatasync(int file) {
    for (int tenths = 0; tenths < 30 && access("slow-disk", F_OK) == 0; tenths++) usleep(100000);
    return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(file);
}

pid_t fork(void) {
    if (access("no-fork", F_OK) == 0) { errno = ENOMEM; return -1; }
    return ((pid_t (*)(void))dlsym(RTLD_NEXT, "fork"))();
}
"""


class Watch:
    """A sampler at work in a thread."""

    def __init__(self, server, run_dir):
        self._client = connect(server.url, timeout_s=5.0)
        self._over = threading.Event()
        self._looks = 0
        sampler = Sampler(self._client, run_dir, interval_s=INTERVAL_S)
        self._thread = threading.Thread(target=sampler.run, args=(self._look_ends,))
        self._thread.start()

    def wait_for_samples(self, count=3):
        """Until it has taken so many more."""
        before = self._looks
        wait_until(lambda: self._looks > before + count, timeout_s=20, why="samples")

    def stop(self):
        self._over.set()
        self._thread.join(timeout=20)
        self._client.close()

    def _look_ends(self, wait_s):
        self._looks += 1
        return self._over.wait(wait_s)


@pytest.fixture
def run_dir(tmp_path):
    path = tmp_path / "run"
    (path / "logs").mkdir(parents=True)
    return path


@pytest.fixture
def start(start_server, run_dir):
    """Start a server whose log lies where a run keeps it."""

    def start(**settings):
        return start_server(log=run_dir / "logs" / "redis.log", **settings)

    return start


@contextmanager
def watched(server, run_dir):
    """A run of this server, sampled while the body makes its fault, and sealed afterwards."""
    began_s = time.time()
    manifest = Manifest(
        run_id=run_dir.name,
        status="running",
        experiment={"name": "fault"},
        seed=1,
        started_unix_s=began_s,
        host=describe_host(server.folder),
        server=_describe_server(server.url, server),
    )
    write_manifest(run_dir, manifest)
    watch = Watch(server, run_dir)
    try:
        watch.wait_for_samples()
        yield watch
        watch.wait_for_samples()
    finally:
        watch.stop()
    events = TableWriter(run_dir, "events", "made")
    events.append((began_s, time.time() - began_s, "phase", "measure", ""))
    events.flush()
    seal(run_dir, manifest, "complete")


def found_by(rule, run_dir):
    (found,) = evaluate(Run(run_dir), rule)
    return found


def fill(client, keys, *, value_bytes=1000, ttl_s=300):
    """So many keys; without a time to live if that is None."""
    pipeline = client.pipeline(transaction=False)
    for number in range(keys):
        pipeline.set(f"channel:{number}", "x" * value_bytes, ex=ttl_s)
    pipeline.execute()


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 4 MiB, in memory."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    subprocess.run(mount, check=True)
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def shim(tmp_path, monkeypatch):
    """Servers that are started from now on obey the files slow-disk and no-fork."""
    source, library = tmp_path / "shim.c", tmp_path / "shim.so"
    source.write_text(SHIM)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    monkeypatch.setenv("LD_PRELOAD", str(library))


def test_calm_server_fails_no_rule(start, run_dir):
    """Keys with a time to live, a finished rewrite, clients that read."""
    server = start()
    with server.client() as client, watched(server, run_dir) as watch:
        fill(client, 500)
        watch.wait_for_samples()
        client.bgrewriteaof()
        wait_until(lambda: client.info()["aof_base_size"] > 0, timeout_s=20)

    # What the machine is, a laptop or a container, is not the server's doing.
    of_the_machine = {"aof-disk", "disk-room", "overcommit", "generator-validity"}
    failed = {found.rule for found in evaluate(Run(run_dir)) if found.word == "fail"}
    assert failed <= of_the_machine
    assert found_by("keys-without-ttl", run_dir).verdict == "pass"
    assert found_by("aof-rewrite", run_dir).evidence["rewrites"] == "1"


@pytest.mark.capability("mount")
def test_full_disk_is_told_by_three_rules(start, run_dir, small_disk):
    """The AOF fills it: writes are refused. It was too small from the start, and is memory."""
    server = start(folder=small_disk, stop_writes_on_bgsave_error=False)
    with server.client() as client, watched(server, run_dir):
        numbers = itertools.count()

        def refused():
            try:
                # A rewrite compresses its base: only what is random fills the disk.
                client.set(f"channel:{next(numbers)}", os.urandom(20_000), ex=300)
            except ResponseError as error:
                return "MISCONF" in str(error)
            return False

        wait_until(refused, timeout_s=30, why="a write that is refused")

    found = found_by("aof-write", run_dir)
    assert found.verdict == "fail"
    assert "and refused 1 command for it" in found.says
    assert found_by("disk-room", run_dir).verdict == "fail"
    assert found_by("aof-disk", run_dir).verdict == "fail"


def test_rewrite_that_cannot_make_its_file_fails(start, run_dir):
    """A file stands where the folder of the AOF was."""
    server = start()
    folder = server.folder / "appendonlydir"
    with server.client() as client, watched(server, run_dir):
        folder.rename(server.folder / "elsewhere")
        folder.write_text("")
        with suppress(RedisError):  # Redis says so in its log alone, Valkey also in its reply
            client.bgrewriteaof()
        wait_until(lambda: client.info()["aof_last_bgrewrite_status"] == "err", timeout_s=20)

    found = found_by("aof-rewrite", run_dir)
    assert (found.verdict, found.says) == ("fail", "1 AOF rewrite failed")


@pytest.mark.capability("compiler")
def test_refused_fork_is_told_by_two_rules(start, run_dir, shim):
    """The kernel says ENOMEM once: the rewrite failed, and the setting is to blame."""
    server = start()
    (server.folder / "no-fork").touch()
    with server.client() as client, watched(server, run_dir):
        with suppress(RedisError):
            client.bgrewriteaof()
        wait_until(lambda: client.info()["aof_last_bgrewrite_status"] == "err", timeout_s=20)
    (server.folder / "no-fork").unlink()

    found = found_by("overcommit", run_dir)
    assert (found.verdict, found.says) == ("fail", "1 fork failed")
    assert "Cannot allocate memory" in found.evidence["the server's log"]
    assert found_by("aof-rewrite", run_dir).verdict == "fail"


@pytest.mark.capability("compiler")
def test_slow_disk_makes_fsyncs_late(start, run_dir, shim):
    """Each takes 3 s: writes are put off for 2 s, then made all the same."""
    server = start()
    slow = server.folder / "slow-disk"
    with server.client() as client, watched(server, run_dir):
        slow.touch()

        def delayed():
            client.set("channel:1", "x", ex=300)
            return client.info()["aof_delayed_fsync"]

        wait_until(delayed, timeout_s=30, why="a write that waited for an fsync")
        slow.unlink()

    found = found_by("fsync-late", run_dir)
    assert found.verdict == "fail"
    assert "waited 2 s for an fsync" in found.says


def test_clients_that_do_not_read_evict_conversations(start, run_dir):
    """Eight of them ask for megabytes and take none, at a cap that is full."""
    server = start()
    port = int(server.url.rpartition(":")[2])
    with server.client() as client, watched(server, run_dir) as watch:
        fill(client, 20_000)
        filled = client.info()
        cap, before = filled["maxmemory"], filled["evicted_keys"]
        # Little by little: the server counts its buffers once a second only, and so much asked for
        # at once would be over the whole cap before it shows.
        names = [f"channel:{number}" for number in range(19_900, 20_000)]
        question = f"MGET {' '.join(names)}\r\n".encode()
        sockets = [slow_reader(port) for _ in range(8)]

        def held(share):
            for each in sockets:
                each.sendall(question)
            time.sleep(0.2)
            return client.info()["mem_clients_normal"] > share * cap

        wait_until(lambda: held(0.15), timeout_s=20, why="buffers of 15 % of the cap")
        watch.wait_for_samples()
        wait_until(lambda: held(0.3), timeout_s=20, why="buffers of 30 % of the cap")
        watch.wait_for_samples()
        assert client.info()["evicted_keys"] > before
        for each in sockets:
            each.close()

    found = found_by("client-buffers", run_dir)
    assert found.verdict == "fail"


def slow_reader(port):
    """A connection that takes as little as the kernel lets it."""
    connected = socket.socket()
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connected.connect(("127.0.0.1", port))
    return connected


@pytest.mark.parametrize(("ttl_s", "verdict"), [(300, "pass"), (None, "fail")])
def test_keys_without_a_time_to_live_are_counted(start, run_dir, ttl_s, verdict):
    """A tenth of the keys, written by a plain SET or not."""
    server = start()
    with server.client() as client, watched(server, run_dir):
        fill(client, 200)
        fill(client, 20, ttl_s=ttl_s)

    found = found_by("keys-without-ttl", run_dir)
    assert found.verdict == verdict


@pytest.mark.parametrize(("cap_bytes", "says"), [(4 * MIB, "fail"), (20 * MIB, "fits its cap")])
def test_restart_under_a_smaller_cap_evicts_what_it_loaded(start, run_dir, cap_bytes, says):
    """Its configuration is changed, and it starts again in place, as after a crash."""
    server = start(appendfsync="always", directives={"enable-debug-command": "yes"})
    configuration = server.folder / "redis.conf"
    with server.client() as client, watched(server, run_dir):
        fill(client, 8000)
        first = client.info()["run_id"]
        text = configuration.read_text()
        configuration.write_text(
            text.replace(f"maxmemory {20 * MIB}\n", f"maxmemory {cap_bytes}\n")
        )
        with suppress(RedisError):
            client.execute_command("DEBUG", "CRASH-AND-RECOVER")

        def restarted():
            with suppress(RedisError):
                info = client.info()
                return info["run_id"] != first and not info["loading"]
            return False

        wait_until(restarted, timeout_s=20, why="the server to be back")

    found = found_by("restart-over-cap", run_dir)
    assert says in f"{found.verdict}: {found.says}"
    assert found.evidence["restarts"] == "1"


# A clock would not do: within a script Valkey's stands still.
BUSY = "local sum = 0; for i = 1, tonumber(ARGV[1]) do sum = sum + i end"
MANY = "for i = 1, tonumber(ARGV[1]) do redis.call('SET', i, 'x', 'EX', 3000) end"


def tail_of_the_aof(server):
    return max((server.folder / "appendonlydir").glob("*.incr.aof"))


@pytest.mark.slow
def test_aof_that_was_cut_short_is_told_by_the_log(start, run_dir):
    """A crash in the middle of a write; the server starts all the same."""
    server = start()
    with server.client() as client:
        fill(client, 10)
    server.stop()
    aof = tail_of_the_aof(server)
    os.truncate(aof, aof.stat().st_size - 5)
    server.start()

    with watched(server, run_dir):
        pass

    assert found_by("aof-truncated", run_dir).verdict == "fail"


@pytest.mark.slow
def test_warning_that_no_other_rule_has_is_told(start, run_dir):
    """Somebody speaks HTTP to the server."""
    server = start()
    with (
        watched(server, run_dir),
        socket.create_connection(("127.0.0.1", server_port(server))) as http,
    ):
        http.sendall(b"POST / HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_until(
            lambda: "SECURITY ATTACK" in server.log.read_text(), timeout_s=10, why="the line"
        )

    assert found_by("error-patterns", run_dir).verdict == "fail"


def server_port(server):
    return int(server.url.rpartition(":")[2])


@pytest.mark.slow
def test_slow_scripts_show_in_the_tail_and_in_the_latency_monitor(start, run_dir):
    """Twenty of ten thousand, and one that holds everybody up for 150 ms."""
    server = start()
    with server.client() as client, watched(server, run_dir):
        pipe = client.pipeline(transaction=False)
        for _ in range(10_000):
            pipe.eval(BUSY, 0, 0)
        pipe.execute()
        for _ in range(30):
            client.eval(BUSY, 0, 5_000_000)
        client.eval(BUSY, 0, 80_000_000)

    assert found_by("latency-tail", run_dir).verdict == "fail"
    assert found_by("latency-events", run_dir).verdict == "fail"


@pytest.mark.slow
def test_memory_of_tables_and_of_what_is_gone_is_told(start, run_dir):
    """Very many small keys, of which most are deleted: tables stay, and pages half full."""
    server = start(maxmemory_bytes=400 * MIB)
    with server.client() as client:
        client.eval(MANY, 0, 700_000)
        with watched(server, run_dir):
            pass
        overhead = found_by("memory-overhead", run_dir)
        client.eval("for i = 1, 700000 do if i % 4 > 0 then redis.call('DEL', i) end end", 0)
        shutil.rmtree(run_dir)
        (run_dir / "logs").mkdir(parents=True)
        with watched(server, run_dir):
            pass

    assert overhead.verdict == "fail"
    assert found_by("memory-peak", run_dir).verdict == "fail"


@pytest.mark.slow
def test_large_value_that_is_evicted_at_once_holds_commands_up(start, run_dir):
    """One hash of many fields, which is all that the server has to evict."""
    server = start(maxmemory_bytes=400 * MIB)
    fields = "for i = 1, 900000 do redis.call('HSET', 'channel:1', i, 'some value') end"
    with server.client() as client, watched(server, run_dir):
        client.eval(fields, 0)
        used = client.info("memory")["used_memory"]
        client.config_set("maxmemory", used - MIB)
        wait_until(
            lambda: client.info("stats")["evicted_keys"] > 0, timeout_s=20, why="an eviction"
        )

    assert found_by("lazy-free", run_dir).verdict == "fail"


@pytest.mark.slow
def test_backlog_that_holds_seconds_is_told_of_a_primary(start, start_server, run_dir):
    """A replica that is away for a minute needs a full copy."""
    server = start(directives={"repl-backlog-size": "16384"})
    replica = start_server()
    with server.client() as client, replica.client() as copy:
        copy.replicaof("127.0.0.1", server_port(server))
        wait_until(lambda: client.info()["connected_slaves"] == 1, timeout_s=20, why="a replica")
        with watched(server, run_dir):
            fill(client, 2000)

    assert found_by("replication-buffers", run_dir).verdict == "fail"


@pytest.mark.slow
def test_conversations_that_are_evicted_and_do_not_expire_are_told(start_server, tmp_path):
    """At the cap for half a minute, with times to live of ten."""
    server = start_server()
    over = threading.Event()

    def write():
        with server.client() as client:
            while not over.wait(0.05):
                fill(client, 2000, value_bytes=20_000, ttl_s=600)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        run_dir = sample(
            server.url,
            tmp_path,
            seconds=32.0,
            interval_s=1.0,
            say=lambda _: None,
            progress=lambda _: None,
        )
    finally:
        over.set()
        thread.join()

    assert found_by("evicted-not-expired", run_dir).verdict == "fail"


@pytest.mark.slow
def test_aof_that_waits_for_the_disk_in_memory_is_told(start, run_dir, shim):
    """An fsync that takes 3 s, and 40 MB written meanwhile."""
    server = start(maxmemory_bytes=400 * MIB)
    slow = server.folder / "slow-disk"
    with server.client() as client, watched(server, run_dir):
        slow.touch()
        fill(client, 10)
        wait_until(lambda: client.info()["aof_pending_bio_fsync"], timeout_s=10, why="an fsync")
        fill(client, 40, value_bytes=MIB)
    slow.unlink()

    assert found_by("aof-buffer", run_dir).verdict == "fail"
