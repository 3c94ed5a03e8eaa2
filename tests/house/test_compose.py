"""docker-compose.yml and its Dockerfile: as the profiles say, safe to start, and complete."""

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from tests.capabilities import compose
from workbench.server.profiles import profile
from workbench.units import MIB, parse_bytes

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "docker-compose.yml"
SERVICES = yaml.safe_load(FILE.read_text())["services"]

TASK_MEMORY_MIB = 1024
DOCUMENTED = {
    "redis-state": (
        profile("development"),
        {"maxmemory", "maxmemory-policy", "appendonly", "appendfsync", "save"},
    ),
    "redis-state-production": (
        profile("production", task_memory_mib=TASK_MEMORY_MIB),
        {
            *("maxmemory", "maxmemory-policy", "appendonly", "appendfsync", "save"),
            *("auto-aof-rewrite-percentage", "auto-aof-rewrite-min-size"),
            "stop-writes-on-bgsave-error",
        },
    ),
}


@pytest.mark.parametrize("service", DOCUMENTED)
def test_server_is_started_as_its_profile_says(service):
    """The documented flags, each with the value that the private server has."""
    program, *words = shlex.split(SERVICES[service]["command"])
    given = {
        name.removeprefix("--"): value for name, value in zip(words[::2], words[1::2], strict=True)
    }
    wanted, documented = DOCUMENTED[service]

    directives = {name: value.strip('"') for name, value in wanted.directives().items()}
    for size in {"maxmemory", "auto-aof-rewrite-min-size"} & set(given):
        given[size] = str(parse_bytes(given[size]))

    assert program == "redis-server"
    assert given == {name: directives[name] for name in documented}


def test_production_server_has_the_memory_of_its_share_of_the_task():
    """The container's limit is 35 % of the task, and the cap is below it."""
    limit_bytes = parse_bytes(SERVICES["redis-state-production"]["mem_limit"] + "b")

    assert limit_bytes == int(TASK_MEMORY_MIB * 0.35) * MIB
    assert DOCUMENTED["redis-state-production"][0].maxmemory_bytes < limit_bytes


@pytest.mark.parametrize("service", DOCUMENTED)
def test_server_has_the_documented_image_and_intervals(service):
    """Only the command of the health test differs from the documented one."""
    health = SERVICES[service]["healthcheck"]

    assert SERVICES[service]["image"] == "redis:7.0-alpine"
    assert health.keys() == {"test", "interval", "timeout", "retries"}
    assert (health["interval"], health["timeout"], health["retries"]) == ("5s", "3s", 3)
    assert health == SERVICES["redis-state"]["healthcheck"]


def test_ports_are_published_on_loopback_only():
    """Neither a server without a password nor a notebook is offered to the network."""
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]

    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_notebooks_ask_for_a_token():
    """Jupyter makes a token of its own unless it is told not to."""
    lab = SERVICES["lab"]

    assert "--ip 0.0.0.0" in lab["command"]
    assert not re.search("token|password|allow_origin", lab["command"], re.IGNORECASE)
    assert "environment" not in lab


def test_bench_writes_to_the_checkout_and_never_as_root():
    """What is mounted is there before, so that it is not made root's; the user is no root."""
    for service in ("lab", "load"):
        runs = next(v for v in SERVICES[service]["volumes"] if isinstance(v, dict))

        assert runs["source"] == "./runs"
        assert runs["bind"] == {"create_host_path": False}
        assert SERVICES[service]["user"] == "${WORKBENCH_USER:-1000:1000}"


def test_crew_is_a_master_with_its_page_and_as_many_workers_as_it_waits_for():
    """One variable says how many; only the master publishes a port, and it answers for a host."""
    master, worker = SERVICES["load-master"], SERVICES["load-worker"]
    words = shlex.split(master["command"])
    given = dict(pairwise(words))

    assert master["profiles"] == worker["profiles"] == ["crew"]
    assert "--master" in words
    assert "--worker" in shlex.split(worker["command"])
    assert worker["scale"] == given["--expect-workers"] == "${LOAD_WORKERS:-2}"
    assert given["--host"] == f"redis://{given['--i-own']}" == "redis://redis-state:6379"
    assert master["ports"] == ["127.0.0.1:8089:8089"]
    assert "ports" not in worker
    assert master["user"] == worker["user"] == SERVICES["load"]["user"]


def schema_verdict(file):
    """The file held against the compose specification, which comes with the checker."""
    words = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    return subprocess.run([*words, file], capture_output=True, text=True, check=False)


def compose_verdict(file, *options):
    """The file as Compose itself reads it."""
    words = [*compose(), "--project-directory", ROOT, "--file", file, *options]
    return subprocess.run(
        [*words, "config", "--quiet"], capture_output=True, text=True, check=False
    )


def changed(tmp_path, old, new):
    """A copy of the compose file with one thing changed."""
    text = FILE.read_text()
    assert old in text
    copy = tmp_path / FILE.name
    copy.write_text(text.replace(old, new, 1))
    return copy


def test_file_is_valid_by_the_specification():
    """Every key is one that Compose knows, with a value of its kind."""
    verdict = schema_verdict(FILE)

    assert verdict.returncode == 0, verdict.stdout


def test_specification_refuses_a_misspelt_key(tmp_path):
    """The control: a key that does not exist is found."""
    verdict = schema_verdict(changed(tmp_path, "timeout: 3s", "timeoutt: 3s"))

    assert verdict.returncode == 1
    assert "timeoutt" in verdict.stdout


@pytest.mark.capability("compose")
@pytest.mark.parametrize("options", [(), ("--profile", "*")], ids=["no profile", "every profile"])
def test_file_is_accepted_by_compose(options):
    """Compose resolves it, with the services of the profiles and without them."""
    verdict = compose_verdict(FILE, *options)

    assert verdict.returncode == 0, verdict.stderr


@pytest.mark.capability("compose")
@pytest.mark.parametrize("count", [None, 4])
def test_compose_starts_the_workers_that_the_master_waits_for(count):
    """Two, or as many as LOAD_WORKERS says."""
    kept = {name: value for name, value in os.environ.items() if name != "LOAD_WORKERS"}
    words = [*compose(), "--project-directory", ROOT, "--file", FILE, "--profile", "crew"]
    done = subprocess.run(
        [*words, "config", "--format", "json"],
        env=kept | ({"LOAD_WORKERS": str(count)} if count else {}),
        capture_output=True,
        text=True,
        check=True,
    )

    services = json.loads(done.stdout)["services"]
    words = services["load-master"]["command"]

    assert services["load-worker"]["scale"] == (count or 2)
    assert words[words.index("--expect-workers") + 1] == str(count or 2)


@pytest.mark.slow
@pytest.mark.whole_command
def test_crew_carries_a_load(redis_server, client, tmp_path):
    """Its commands as they stand, on this machine and for a shorter time."""
    server = redis_server.url.removeprefix("redis://")
    ports = iter(free_ports(2))
    page, bus = next(ports), next(ports)

    def led(service):
        text = SERVICES[service]["command"].replace("${LOAD_WORKERS:-2}", "2")
        text = text.replace("redis-state:6379", server).replace("load-master", "127.0.0.1")
        return [sys.executable, "-m", *shlex.split(text.replace("0.0.0.0", "127.0.0.1"))]

    master = [*led("load-master"), "--web-port", page, "--master-bind-port", bus]
    master += ["--run-time", "4s", "--autoquit", "0"]
    worker = [*led("load-worker"), "--master-port", bus]
    kept = {name: value for name, value in os.environ.items() if name != "REDIS_STATE_URL"}
    with ExitStack() as started:
        told = started.enter_context((tmp_path / "told").open("w+"))
        for words in (master, worker, worker):
            process = subprocess.Popen(
                list(map(str, words)), cwd=ROOT, env=kept, stdout=told, stderr=told
            )
            started.callback(process.wait)
            started.callback(process.kill)
            if words is master:
                leader = process
        leader.wait(timeout=90)
        talk = (tmp_path / "told").read_text()

    assert re.search(r"open loop, 200 turns/s: \d+ turns in 2 s measured .*, 2 processes", talk), (
        talk
    )


def free_ports(count):
    """So many that nobody listens on."""
    with ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


@pytest.mark.capability("compose")
def test_compose_refuses_a_dependency_on_a_service_that_is_not_started(tmp_path):
    """The control: a service without a profile needs one with a profile; the schema allows it."""
    image = "image: redis:7.0-alpine\n"
    file = changed(tmp_path, image, image + "    depends_on: [redis-state-production]\n")

    verdict = compose_verdict(file)

    assert schema_verdict(file).returncode == 0
    assert verdict.returncode == 1
    assert "depends on undefined service" in verdict.stderr


def copied():
    """What the Dockerfile copies, path by path."""
    lines = re.findall(r"^COPY (.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    return [name for line in lines for name in line.split()]


def test_image_installs_the_lock_and_runs_as_nobody_special():
    """The locked packages with their hashes, on a Python that the package allows; never as root."""
    dockerfile = (ROOT / "Dockerfile").read_text()
    ignored = (ROOT / ".dockerignore").read_text().split("\n")

    assert dockerfile.count("FROM python:3.11-slim\n") == 1
    assert "--require-hashes --requirement requirements.lock" in dockerfile
    assert re.findall(r"^USER (.*)", dockerfile, re.MULTILINE) == ["1000:1000"]
    assert "*" in ignored
    assert {line[1:] for line in ignored if line.startswith("!")} == set(copied())


@pytest.mark.slow
def test_image_holds_all_that_a_run_needs(tmp_path):
    """From nothing but what the Dockerfile copies, a run is carried out, judged and reported."""
    for name in copied():
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tmp_path / name)
        else:
            shutil.copy(ROOT / name, tmp_path)
    words = ["run", "demo", "--duration", "2s", "--rate", "50", "--exit-zero"]
    kept = {k: v for k, v in os.environ.items() if k not in {"WORKBENCH_RUNS", "REDIS_STATE_URL"}}

    done = subprocess.run(
        [sys.executable, "-c", "from workbench.cli import main; main()", *words],
        cwd=tmp_path,
        env=kept,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert (tmp_path / done.stdout.split()[-1]).is_relative_to(tmp_path / "runs")
    assert (tmp_path / done.stdout.split()[-1]).stat().st_size > 0
